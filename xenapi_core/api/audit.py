"""The audit log: who called what that only some roles may call, on which objects, and how it went.

Rule 1: a line is `time trackid='..' 'user' ALLOWED|DENIED result API|HTTP name (parameter 'name' uuid reference)...`.
        The result is OK, STARTED (a task, whose record tells how it ends) or ERROR:CODE. What a client chose is quoted,
        on one line and at most LONGEST characters long, so that nobody can forge a line.
Rule 2: of the parameters only the objects they name are told. No other value is, and no session: its track id is a
        digest of the reference, by which lines of one session can be found, and nobody gets the reference from it.
Rule 3: the log is in memory, KEPT lines long. For a line too many, the user with most lines loses the oldest: who makes
        thousands of calls that are refused cannot push out what others did, or what they did before by another name.
"""

from __future__ import annotations

import hashlib
import heapq
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
        self._lines: dict[str, deque[tuple[int, int, str]]] = {}  # user -> (number, instant, line), the oldest first
        self._written = 0
        self._kept = 0

    def add(self, caller: Caller, kind: str, name: str, result: str, objects: Iterable[str] = ()) -> None:
        """One line about a call. `kind`: API or HTTP; `result` DENIED: the role was missing."""
        track = hashlib.sha256(caller.session.encode(errors="surrogatepass")).hexdigest()[:16] if caller.session else ""
        access = "DENIED" if result == "DENIED" else "ALLOWED"
        words = [f"trackid={quoted(track)}", quoted(caller.user), access]
        words += [] if result == "DENIED" else [result]
        self._append(caller.user, " ".join([*words, kind, name, *(f"({text})" for text in objects)]))

    def append(self, text: str) -> None:
        """A line that somebody else wrote (pool.audit_log_append)."""
        self._append("", quoted(text))

    def _append(self, user: str, text: str) -> None:
        now = self._clock.now()
        self._written += 1
        self._lines.setdefault(user, deque()).append((self._written, now, f"{format_datetime(now)} {text}"))
        if self._kept < KEPT:
            self._kept += 1
            return
        most = max(self._lines, key=lambda name: len(self._lines[name]))
        self._lines[most].popleft()
        if not self._lines[most]:
            del self._lines[most]

    def since(self, instant: int) -> Iterator[str]:
        """The lines from that second on, the oldest first."""
        return (line for _, at, line in tuple(heapq.merge(*self._lines.values())) if at >= instant)
