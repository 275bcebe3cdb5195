"""A request body that is too large to buffer: its handler reads it while it arrives.

Theory of operation
1. The connection feeds what arrives; the handler iterates. When more than HIGH bytes wait, the connection is not read
   until the handler has taken them (`full`), so a fast client costs no more memory than that.
2. A body that ends before its end (the client left, was too slow, or broke the protocol) raises UploadBroken in the
   handler: what came so far is not the whole, and nothing may be made of it.
3. `wanted` is called when the handler asks for more: the connection then says 100 Continue, or reads on.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Final

HIGH: Final = 512 * 1024
UNKNOWN_LENGTH: Final = 1 << 50


class UploadBroken(Exception):  # noqa: N818 - a state of the body, not a fault of ours
    """The body ended early: one sentence."""


class Upload(AsyncIterator[bytes]):
    """A body on its way. `size`: its length in bytes if the client told it, else None; `received`: bytes so far."""

    def __init__(self, size: int | None, wanted: Callable[[], None]) -> None:
        self.size = size
        self.received = 0
        self.broken: str | None = None
        self.complete = False
        self._wanted = wanted
        self._parts: deque[bytes] = deque()
        self._waiting = 0
        self._news = asyncio.Event()

    @property
    def full(self) -> bool:
        return self._waiting > HIGH

    def feed(self, data: bytes) -> None:
        self.received += len(data)
        self._waiting += len(data)
        self._parts.append(data)
        self._news.set()

    def finish(self) -> None:
        """The body is whole."""
        self.complete = True
        self._news.set()

    def fail(self, reason: str) -> None:
        """The rest will not come; does nothing after `finish`."""
        if not self.complete and self.broken is None:
            self.broken = reason
            self._news.set()

    @property
    def endless(self) -> bool:
        """Whether the client names a length beyond any disk, because it does not know it; it leaves at the end."""
        return self.size is not None and self.size >= UNKNOWN_LENGTH

    async def begun(self) -> bool:
        """True when the first bytes are there, False if none will come."""
        while not (self._parts or self.complete or self.broken is not None):
            self._news.clear()
            self._wanted()
            await self._news.wait()
        return bool(self._parts)

    async def __anext__(self) -> bytes:
        while not self._parts:
            if self.complete:
                raise StopAsyncIteration
            if self.broken is not None:
                raise UploadBroken(self.broken)
            self._news.clear()
            self._wanted()
            await self._news.wait()
        data = self._parts.popleft()
        was_full = self.full
        self._waiting -= len(data)
        if was_full and not self.full:
            self._wanted()
        return data
