"""Resolves host names of listeners in threads of their own, so that a lookup that hangs delays no other.

Theory of operation
1. A lookup cannot be cancelled: its callers leave at their own deadlines, and the thread stays until the system gives
   up. So a name has one thread at most: all its callers wait for the same answer.
2. There are MAX_LOOKUPS threads at most, of which MAX_SLOW for names whose lookup a caller gave up before: names that
   hang, however many and however often they are tried, keep the other threads free. Beyond that a lookup fails at once.
3. The tables belong to the loop's thread; a lookup's thread only hands over what it has found. Nothing is remembered
   of an answer: that is for the system to do.
4. The threads are daemons: the end of the program waits for none of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading

MAX_LOOKUPS, MAX_SLOW = 64, 16
THREAD = "xencim-listener-name"

Target = tuple[socket.AddressFamily, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]]
Found = list[Target] | Exception


class Names:
    """The lookups of one delivery."""

    def __init__(self) -> None:
        self._asked: dict[str, asyncio.Future[Found]] = {}
        self._slow: set[str] = set()  # names that somebody has left waiting since they were last found

    async def find(self, host: str) -> list[Target]:
        """The addresses of a host, best first, with port 0. OSError, UnicodeError if there are none, or too many names
        are being looked up. The deadline is the caller's."""
        with contextlib.suppress(socket.gaierror):
            return _targets(host, socket.AI_NUMERICHOST)  # no name: this asks nobody
        answer = self._asked.get(host) or self._begin(host)
        try:
            found = await asyncio.shield(answer)
        except asyncio.CancelledError:
            if host in self._asked:
                self._slow.add(host)
            raise
        if isinstance(found, Exception):
            raise found
        return found

    def keep(self, hosts: set[str]) -> None:
        """Forget what is known of any other host."""
        self._slow &= hosts

    def _begin(self, host: str) -> asyncio.Future[Found]:
        slow = sum(name in self._slow for name in self._asked)
        if len(self._asked) >= MAX_LOOKUPS or (host in self._slow and slow >= MAX_SLOW):
            raise OSError(0, "too many host names are being looked up")
        loop = asyncio.get_running_loop()
        thread = threading.Thread(target=self._look_up, args=(loop, host), name=THREAD, daemon=True)
        try:
            thread.start()
        except RuntimeError:
            raise OSError(0, "there is no thread left to look the host name up") from None
        answer = self._asked[host] = loop.create_future()
        return answer

    def _look_up(self, loop: asyncio.AbstractEventLoop, host: str) -> None:
        """In the lookup's thread."""
        found: Found
        try:
            found = _targets(host)
        except Exception as error:
            found = error
        with contextlib.suppress(RuntimeError):  # a loop that was closed has nobody waiting
            loop.call_soon_threadsafe(self._settle, host, found)

    def _settle(self, host: str, found: Found) -> None:
        if not isinstance(found, Exception):
            self._slow.discard(host)
        self._asked.pop(host).set_result(found)


def _targets(host: str, flags: int = 0) -> list[Target]:
    found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM, flags=flags)
    return [(family, address) for family, _, _, _, address in found]
