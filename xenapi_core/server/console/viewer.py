"""One RFB viewer of a machine's screen, over any connection, until the viewer leaves or the console ends.

Theory of operation
1. A simulated machine has no graphics. Its screen is text: what its records say, and what this viewer typed. So it
   changes when the records do, and everything on it is true.
2. The viewer asks for updates; an incremental one is answered when a line has changed that it has not seen yet.
3. Two tasks: one reads what the viewer sends, one sends updates. Whichever ends ends both.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final, Protocol

from xenapi_core.server.console import picture
from xenapi_core.store.api import Store
from xenapi_core.wire import rfb

GREET_WITHIN: Final = 30.0  # seconds from the banner to the viewer's last word of the handshake
_LONGEST_CUT: Final = 1 << 20
_TYPED: Final = 48  # letters that are shown
_ENTER, _BACKSPACE = 0xFF0D, 0xFF08


class Link(Protocol):
    """The connection to a viewer. All of them raise OSError or EOFError when it is broken."""

    async def read(self, size: int) -> bytes: ...

    async def write(self, data: bytes) -> None: ...

    def close(self) -> None: ...


Describe = Callable[[], list[str] | None]  # the lines of the screen now; None: the console is gone


class Viewer:
    """One RFB viewer of the screen of the machine `name`. `describe` reads records of `store` only."""

    def __init__(self, link: Link, store: Store, name: str, describe: Describe) -> None:
        self._link = link
        self._store = store
        self._name = name
        self._describe = describe
        self._form = rfb.PixelFormat()
        self._typed = ""
        self._pointer = ""
        self._wanted: tuple[int, int, int, int] | None = None
        self._seen: dict[int, str] = {}  # number of a line -> what the viewer has
        self._news = asyncio.Event()

    async def serve(self) -> None:
        """Return when it is over, for whatever reason lies on the other side."""
        with contextlib.suppress(OSError, EOFError, TimeoutError, rfb.RfbError):
            async with asyncio.timeout(GREET_WITHIN):
                await self._greet()
            tasks = [asyncio.create_task(each) for each in (self._listen(), self._send_updates(), self._follow())]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                ends = await asyncio.gather(*tasks, return_exceptions=True)
            for end in ends:
                if isinstance(end, Exception):
                    raise end

    async def _greet(self) -> None:
        link = self._link
        await link.write(rfb.BANNER)
        version = rfb.version_of(await link.read(len(rfb.BANNER)))
        if version == 3:
            await link.write(rfb.NONE.to_bytes(4, "big"))
        else:
            await link.write(bytes((1, rfb.NONE)))
            if (await link.read(1))[0] != rfb.NONE:
                await link.write(rfb.refusal("Only the security type None is offered.") if version == 8 else b"")
                raise rfb.RfbError("A security type that was not offered.")
            if version == 8:
                await link.write(bytes(4))
        await link.read(1)  # whether the screen is to be shared: it always is
        await link.write(rfb.server_init(picture.WIDTH, picture.HEIGHT, self._form, self._name))

    async def _listen(self) -> None:
        while True:
            kind = (await self._link.read(1))[0]
            if kind not in rfb.SIZES:
                raise rfb.RfbError(f"A message of the unknown type {kind}.")
            await self._take(kind, await self._link.read(rfb.SIZES[kind]))

    async def _take(self, kind: int, body: bytes) -> None:
        if kind == rfb.SET_PIXEL_FORMAT:
            self._form = rfb.pixel_format(body)
            self._seen.clear()
            if not self._form.true_colour:
                await self._link.write(rfb.colour_map(picture.COLOURS))
        elif kind == rfb.SET_ENCODINGS:
            await self._link.read(4 * int.from_bytes(body[1:], "big"))
        elif kind == rfb.CUT_TEXT:
            size = int.from_bytes(body[3:], "big")
            if size > _LONGEST_CUT:
                raise rfb.RfbError("A text that is too long.")
            await self._link.read(size)
        elif kind == rfb.UPDATE_REQUEST:
            incremental, x, y, width, height = rfb.rectangle(body)
            self._wanted = (
                min(x, picture.WIDTH), min(y, picture.HEIGHT),
                min(x + width, picture.WIDTH), min(y + height, picture.HEIGHT),
            )  # fmt: skip
            if not incremental:
                self._seen.clear()
            self._news.set()
        elif kind == rfb.KEY:
            self._press(*rfb.key(body))
        else:
            buttons, x, y = rfb.pointer(body)
            self._pointer = f"Pointer: {x}, {y}, buttons {buttons:03b}"
            self._news.set()

    def _press(self, down: bool, symbol: int) -> None:
        """What is typed is shown: nothing in a simulated machine reads it."""
        if not down:
            return
        if symbol == _BACKSPACE:
            self._typed = self._typed[:-1]
        elif symbol == _ENTER:
            self._typed = ""
        elif 0x20 <= symbol <= 0x7E:
            self._typed = (self._typed + chr(symbol))[-_TYPED:]
        self._news.set()

    def _lines(self) -> list[str] | None:
        told = self._describe()
        return None if told is None else [*told, "", f"Typed: {self._typed}", self._pointer]

    async def _send_updates(self) -> None:
        """Answer update requests as soon as a line has changed."""
        while True:
            await self._news.wait()
            self._news.clear()
            lines = self._lines()
            if lines is None:
                return
            changed = self._changed(lines)
            if changed:
                self._wanted = None
                await self._link.write(rfb.update(changed))

    def _changed(self, lines: list[str]) -> list[tuple[int, int, int, int, bytes]]:
        """The rectangles of lines that differ from what the viewer has, inside of what it asked for."""
        if self._wanted is None:
            return []
        left, top, right, bottom = self._wanted
        padded = [*lines[: picture.LINES], *[""] * (picture.LINES - len(lines))]
        rows: list[bytes] | None = None
        found = []
        for number, text in enumerate(padded):
            first, last = number * picture.CELL[1], (number + 1) * picture.CELL[1]
            y, end = max(first, top), min(last, bottom)
            if self._seen.get(number) == text or y >= end or left >= right:
                continue
            rows = rows or picture.draw(lines)
            if (left, right, y, end) == (0, picture.WIDTH, first, last):
                self._seen[number] = text
            dots = self._form.dots(picture.crop(rows, left, y, right - left, end - y), picture.COLOURS)
            found.append((left, y, right - left, end - y, dots))
        return found

    async def _follow(self) -> None:
        """Look again whenever a record has changed; ends when the console is gone."""
        while self._describe() is not None:
            revision = self._store.revision
            self._news.set()
            await self._store.wait(revision, None)
