"""The caller of an operation: the session behind a call, as a value."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Caller:
    """The session behind a call. `session` is secret: never log it.

    `local_root`: it came through the Unix socket. `of_pool`: it was made with the pool secret, by a member of the pool.
    `notes`: keys and texts that the task of this one call shall have in its other_config (wire.api.Call).
    `database`: the copy of a database that the session reads instead of the pool's own (api.database_reader).
    """

    session: str
    user: str
    roles: frozenset[str]
    originator: str = ""
    address: str = ""
    local_root: bool = False
    of_pool: bool = False
    notes: tuple[tuple[str, str], ...] = ()
    database: object | None = field(default=None, compare=False)
