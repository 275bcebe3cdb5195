"""A connection that has left HTTP (CONNECT, Upgrade): bytes in both directions, for another protocol.

Rule 1: the connection still belongs to the HTTP layer, which learns of its end (`gone`) and closes it when the exchange
        is over.
Rule 2: writing waits for the other side at most WRITE_WITHIN seconds; reading waits as long as the other side likes,
        unless the caller sets a deadline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

WRITE_WITHIN: Final = 60.0
_AHEAD: Final = 64 * 1024  # bytes that are read before they are asked for


class Tunnel(asyncio.Protocol):
    """Both directions of `transport`, from now on."""

    def __init__(self, transport: asyncio.Transport, gone: Callable[[Exception | None], None]) -> None:
        self._transport = transport
        self._gone = gone
        self._reader = asyncio.StreamReader(limit=_AHEAD)
        self._reader.set_transport(transport)
        self._room = asyncio.Event()
        self._room.set()
        self._lost = False
        transport.set_protocol(self)

    # The transport's side.

    def data_received(self, data: bytes) -> None:
        self._reader.feed_data(data)

    def eof_received(self) -> bool:
        self._reader.feed_eof()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._reader.feed_eof()
        self._room.set()
        self._gone(exc)

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    # The talk's side.

    async def read(self, size: int) -> bytes:
        """Exactly `size` bytes. EOFError if they do not come."""
        return await self._reader.readexactly(size)

    async def read_some(self) -> bytes:
        """The bytes that have arrived, at least one. EOFError."""
        data = await self._reader.read(_AHEAD)
        if not data:
            raise EOFError
        return data

    async def write(self, data: bytes) -> None:
        """OSError if the other side is gone, or does not read (rule 2)."""
        if self._lost:
            raise ConnectionError("the connection is closed")
        self._transport.write(data)
        async with asyncio.timeout(WRITE_WITHIN):
            await self._room.wait()

    def close(self) -> None:
        """Send what is written, and end."""
        self._transport.close()
