"""Prints what `serve` and `bridge` serve, when they start.

Rule 1: the page is no reason to end when nobody reads it (`| head -1`); it is one when it cannot be written (a full
        disk), for then a script that reads it would wait for ever.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

import click
from rich.console import Console


class StartPage(Console):
    """Standard output, for text that means nothing but itself."""

    def __init__(self) -> None:
        super().__init__(highlight=False, emoji=False, markup=False, width=None if sys.stdout.isatty() else 110)

    def on_broken_pipe(self) -> None:
        self.quiet = True
        _drop_output()


@contextlib.contextmanager
def start_page() -> Iterator[StartPage]:
    """The page is written inside the block. ClickException if that is impossible (rule 1)."""
    try:
        yield StartPage()
    except OSError as error:
        _drop_output()
        raise click.ClickException(f"cannot write the start page to standard output: {error.strerror}") from None


def printable(text: str) -> str:
    """A name as it may go to a terminal: clients choose names, and nothing in them is markup or controls anything."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)


def _drop_output() -> None:
    """Let standard output lead nowhere, so that what it still holds at the end of the process is no second failure."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
