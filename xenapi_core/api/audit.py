"""The audit log: user, call, objects and result of each call that not every role may make.

Rule 1: a line is `time trackid='..' 'user' ALLOWED|DENIED result API|HTTP name (parameter 'name' uuid reference)...`.
        The result is OK, STARTED (a task, whose record tells how it ends) or ERROR:CODE. What a client chose is quoted,
        on one line and at most LONGEST characters long, so that nobody can forge a line.
Rule 2: of the parameters, a line names objects only. It holds no other value and no session: the track id is a digest
        of the session's reference, so that the lines of one session can be found and the reference stays secret.
Rule 3: the log is in memory, KEPT lines long. When it is full, the user with the most lines loses the oldest one: a
        user who makes thousands of refused calls cannot push out the lines of others.
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
    """The newest KEPT lines of the audit log, in memory (rule 3)."""

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
