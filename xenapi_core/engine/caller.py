"""Who asked for something."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """The session behind a call. `local_root`: it came through the Unix socket. `session` is secret: never log it."""

    session: str
    user: str
    roles: frozenset[str]
    originator: str = ""
    address: str = ""
    local_root: bool = False
