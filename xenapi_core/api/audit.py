"""The audit log: who called what that only some roles may call, on which objects, and how it went.

Rule 1: a line is `time trackid='..' 'user' ALLOWED|DENIED result API|HTTP name (parameter 'name' uuid reference)...`.
        The result is OK, STARTED (a task, whose record tells how it ends) or ERROR:CODE. What a client chose is quoted,
        on one line and at most LONGEST characters long, so that nobody can forge a line.
Rule 2: of the parameters only the objects they name are told. No other value is, and no session: its track id is a
        digest of the reference, by which lines of one session can be found, and nobody gets the reference from it.
Rule 3: the log is in memory; the KEPT newest lines are there.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

from xenapi_core.clock import Clock
from xenapi_core.engine.caller import Caller
from xenapi_core.model.types import format_datetime

KEPT: Final = 10_000
LONGEST: Final = 200


def quoted(text: str) -> str:
    """`text` in apostrophes, shortened, with everything escaped that could end the word or the line."""
    cut = text[:LONGEST] + ("..." if len(text) > LONGEST else "")
    return "'" + cut.encode("unicode_escape").decode("ascii").replace("'", "\\'") + "'"


class AuditLog:
    """See the rules of the module."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lines: deque[tuple[int, str]] = deque(maxlen=KEPT)

    def add(self, caller: Caller, kind: str, name: str, result: str, objects: Iterable[str] = ()) -> None:
        """One line about a call. `kind`: API or HTTP; `result` DENIED: the role was missing."""
        track = hashlib.sha256(caller.session.encode(errors="surrogatepass")).hexdigest()[:16] if caller.session else ""
        access = "DENIED" if result == "DENIED" else "ALLOWED"
        words = [f"trackid={quoted(track)}", quoted(caller.user), access]
        words += [] if result == "DENIED" else [result]
        self._append(" ".join([*words, kind, name, *(f"({text})" for text in objects)]))

    def append(self, text: str) -> None:
        """A line that somebody else wrote (pool.audit_log_append)."""
        self._append(quoted(text))

    def _append(self, text: str) -> None:
        now = self._clock.now()
        self._lines.append((now, f"{format_datetime(now)} {text}"))

    def since(self, instant: int) -> Iterator[str]:
        """The lines from that second on, the oldest first."""
        return (line for at, line in tuple(self._lines) if at >= instant)
