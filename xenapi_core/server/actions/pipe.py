"""A bounded pipe from an operation of the engine that makes bytes to the reply that sends them to a client.

Theory of operation
1. The operation says how much will come (`open`), then puts pieces; it waits while HIGH bytes have not been taken, so a
   slow client costs no more memory than that.
2. The reply iterates. It ends when the operation has ended, with everything written and released, and not before; if
   the operation fails, so does the reply, half way: the client must not take it for whole.
3. When the reply is given up, the next `put` fails and the operation undoes what it did. A reply that takes nothing for
   PATIENCE seconds counts as given up.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Final

from xenapi_core.errors import E

HIGH: Final = 4 << 20
PATIENCE: Final = 600.0


class Pipe(AsyncIterator[bytes]):
    """One stream of bytes from an operation to a reply. `length`: in bytes, None while or if it is not known."""

    def __init__(self) -> None:
        self.length: int | None = None
        self._opened = asyncio.Event()
        self._parts: deque[bytes] = deque()
        self._waiting = 0
        self._news = asyncio.Event()  # for the reply
        self._room = asyncio.Event()  # for the operation
        self._closed = False
        self._task: asyncio.Future[Any] | None = None

    # The operation's side.

    def open(self, length: int | None) -> None:
        """Nothing forbids it any more, and this much will come."""
        self.length = length
        self._opened.set()

    async def put(self, data: bytes) -> None:
        """VDI_IO_ERROR when nobody reads on."""
        while self._waiting > HIGH and not self._closed:
            self._room.clear()
            try:
                async with asyncio.timeout(PATIENCE):
                    await self._room.wait()
            except TimeoutError:
                self._closed = True
        if self._closed:
            raise E.VDI_IO_ERROR("The client left before the end.")
        self._parts.append(data)
        self._waiting += len(data)
        self._news.set()

    # The reply's side.

    async def follow(self, task: asyncio.Future[Any]) -> None:
        """Wait until the operation has opened; raises what ended it before that."""
        self._task = task
        task.add_done_callback(self._ended)
        try:
            await self._opened.wait()
        except asyncio.CancelledError:
            await self.aclose()
            raise
        if task.done() and not self._parts:
            task.result()

    def _ended(self, task: asyncio.Future[Any]) -> None:
        self._opened.set()
        self._news.set()

    async def __anext__(self) -> bytes:
        assert self._task is not None
        while not self._parts:
            if self._closed:
                raise StopAsyncIteration
            if self._task.done():
                self._task.result()
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        data = self._parts.popleft()
        self._waiting -= len(data)
        self._room.set()
        return data

    async def aclose(self) -> None:
        """Nobody reads on."""
        self._closed = True
        self._parts.clear()
        self._room.set()
