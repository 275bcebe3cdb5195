"""Reads passwords from the terminal."""

from __future__ import annotations

import os
import sys

import click


def ask_password(what: str, otherwise: str, confirm: bool = False) -> str:
    """A password from the terminal, not shown; typed twice if `confirm`. Wrong usage without a terminal: `otherwise`
    says what to do then."""
    if not (sys.stdin.isatty() or _has_terminal()):
        raise click.UsageError(f"there is no terminal to ask for a password: {otherwise}")
    found: str = click.prompt(what, hide_input=True, confirmation_prompt=confirm)
    return found


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
