"""A small RFB viewer over any stream of bytes, and a WebSocket around it: what tests of consoles look with."""

from __future__ import annotations

import base64
import os
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from xenapi_core.server.console import font, picture

Reads = Callable[[int], Awaitable[bytes]]
Writes = Callable[[bytes], Awaitable[None]]


@dataclass
class Screen:
    """A viewer after its handshake. `read` gives exactly so many bytes. Dots are 32 bits in the server's own format."""

    read: Reads
    write: Writes
    width: int = 0
    height: int = 0
    name: str = ""
    dots: bytearray = b""  # type: ignore[assignment]

    async def greet(self, version: bytes = b"RFB 003.008\n") -> None:
        assert await self.read(12) == b"RFB 003.008\n"
        await self.write(version)
        if version == b"RFB 003.003\n":
            assert await self.read(4) == b"\0\0\0\1"
        else:
            assert await self.read(2) == b"\1\1"
            await self.write(b"\1")
            if version >= b"RFB 003.008\n":
                assert await self.read(4) == bytes(4)
        await self.write(b"\1")
        self.width, self.height = struct.unpack(">HH", await self.read(4))
        await self.read(16)
        (size,) = struct.unpack(">I", await self.read(4))
        self.name = (await self.read(size)).decode()
        self.dots = bytearray(4 * self.width * self.height)

    async def ask(self, incremental: bool = False) -> None:
        await self.write(struct.pack(">BBHHHH", 3, incremental, 0, 0, self.width, self.height))

    async def update(self, size: int = 4) -> int:
        """Take one update of dots of `size` bytes; returns how many rectangles it had."""
        kind, count = struct.unpack(">BxH", await self.read(4))
        assert kind == 0
        for _ in range(count):
            x, y, width, height, encoding = struct.unpack(">HHHHi", await self.read(12))
            assert encoding == 0
            data = await self.read(width * height * size)
            if size == 4:
                for row in range(height):
                    start = 4 * ((y + row) * self.width + x)
                    self.dots[start : start + 4 * width] = data[4 * width * row : 4 * width * (row + 1)]
        return count

    def text(self) -> list[str]:
        """The lines on the screen, read back from the dots."""
        background = bytes(reversed(picture.COLOURS[0])) + b"\0"
        letters = {rows: letter for letter, rows in font.GLYPHS.items()}
        wide, high = picture.CELL
        found = []
        for line in range(self.height // high):
            words = ""
            for column in range(self.width // wide):
                rows = []
                for row in range(font.HEIGHT):
                    start = 4 * ((line * high + 2 * row) * self.width + column * wide)
                    dots = [self.dots[start + 8 * dot : start + 8 * dot + 4] for dot in range(font.WIDTH)]
                    rows.append(sum((dot != background) << (font.WIDTH - 1 - n) for n, dot in enumerate(dots)))
                words += letters.get(tuple(rows), "#")
            found.append(words.rstrip())
        return found

    async def press(self, text: str) -> None:
        for letter in text:
            await self.write(struct.pack(">BBxxI", 4, 1, ord(letter)) + struct.pack(">BBxxI", 4, 0, ord(letter)))

    async def until(self, words: str) -> None:
        """Take updates until the screen has these words."""
        while not any(words in line for line in self.text()):
            await self.ask(incremental=True)
            await self.update()


class WebSocket:
    """The client's side of frames over a stream."""

    def __init__(self, read: Reads, write: Writes, text: bool = False) -> None:
        self._read, self._write, self._text = read, write, text
        self._held = b""
        self.closed: int | None = None

    @staticmethod
    def headers(subprotocol: str = "") -> dict[str, str]:
        key = base64.b64encode(os.urandom(16)).decode()
        made = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec_WebSocket_Version": "13"}
        return made | {"Sec_WebSocket_Key": key} | ({"Sec_WebSocket_Protocol": subprotocol} if subprotocol else {})

    async def frame(self) -> tuple[int, bytes]:
        first, size = await self._read(2)
        if size >= 126:
            size = int.from_bytes(await self._read(2 if size == 126 else 8), "big")
        return first & 15, await self._read(size)

    async def send(self, opcode: int, data: bytes, mask: bytes = b"\1\2\3\4") -> None:
        masked = bytes(byte ^ mask[n % 4] for n, byte in enumerate(data))
        size = struct.pack(">B", 128 | len(data)) if len(data) < 126 else struct.pack(">BH", 254, len(data))
        await self._write(struct.pack(">B", 128 | opcode) + size + mask + masked)

    async def read(self, size: int) -> bytes:
        while len(self._held) < size:
            opcode, data = await self.frame()
            assert opcode == (1 if self._text else 2), (opcode, data)
            self._held += base64.b64decode(data) if self._text else data
        taken, self._held = self._held[:size], self._held[size:]
        return taken

    async def write(self, data: bytes) -> None:
        await self.send(1 if self._text else 2, base64.b64encode(data) if self._text else data)
