"""Who asked for something."""

from __future__ import annotations

from dataclasses import dataclass

from xenapi_core.ids import NULL_REF


@dataclass(frozen=True, slots=True)
class Caller:
    """The session behind a call. `local_root`: it came through the Unix socket. `session` is secret: never log it."""

    session: str
    user: str
    roles: frozenset[str]
    originator: str = ""
    address: str = ""
    local_root: bool = False


SYSTEM = Caller(NULL_REF, "", frozenset(), originator="xencim")  # what the engine does by itself
