"""RFB through a WebSocket, as browsers use it."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
from typing import Final

from xenapi_core.server.tunnel import Tunnel
from xenapi_core.wire import websocket as ws

_CLOSE_WITHIN: Final = 5.0


class WebSocketLink:
    """The stream of bytes inside a WebSocket. `text`: the subprotocol is base64."""

    def __init__(self, tunnel: Tunnel, text: bool) -> None:
        self._tunnel = tunnel
        self._text = text
        self._frames = ws.Reader()
        self._held = bytearray()
        self._ended = False

    async def read(self, size: int) -> bytes:
        """Exactly `size` bytes. EOFError, OSError."""
        while len(self._held) < size:
            data = await self._tunnel.read_some()
            try:
                for opcode, payload in self._frames.feed(data):
                    await self._take(opcode, payload)
            except ws.WebSocketError as error:
                await self._end(error.code)
                raise EOFError from None
        taken = bytes(self._held[:size])
        del self._held[:size]
        return taken

    async def _take(self, opcode: int, payload: bytes) -> None:
        if opcode == ws.CLOSE:
            await self._end(1000)
            raise EOFError
        if opcode == ws.PING:
            await self._tunnel.write(ws.frame(ws.PONG, payload))
        elif opcode != ws.PONG and self._text:
            try:
                self._held += base64.b64decode(payload, validate=True)
            except binascii.Error:
                raise ws.WebSocketError(1007, "A frame is not in base64.") from None
        elif opcode != ws.PONG:
            self._held += payload

    async def write(self, data: bytes) -> None:
        opcode, payload = (ws.TEXT, base64.b64encode(data)) if self._text else (ws.BINARY, data)
        await self._tunnel.write(ws.frame(opcode, payload))

    async def end(self) -> None:
        """Say goodbye: the console is over."""
        await self._end(1000)

    async def _end(self, code: int) -> None:
        """The closing frame, once."""
        if self._ended:
            return
        self._ended = True
        with contextlib.suppress(OSError):
            async with asyncio.timeout(_CLOSE_WITHIN):
                await self._tunnel.write(ws.close(code))

    def close(self) -> None:
        self._tunnel.close()
