"""Renders a text screen as pixels, for RFB clients and for /vncsnapshot.

Rule 1: a picture is made of lines of COLUMNS characters. A dot is the index of its colour in COLOURS.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import zip_longest
from typing import Final

from xenapi_core.server.console import font

COLUMNS: Final = 60
LINES: Final = 25
CELL: Final = (12, 16)  # dots of one character; a dot of the font is two dots wide and high
WIDTH: Final = COLUMNS * CELL[0]
HEIGHT: Final = LINES * CELL[1]
# Red, green, blue, 0..255: the background, the text, and the first line.
COLOURS: Final = ((0x10, 0x18, 0x20), (0xD0, 0xD0, 0xD0), (0x60, 0xC0, 0xFF))
_INK: Final = 1
_TITLE: Final = 2


@lru_cache(maxsize=256)
def line_of(text: str, colour: int = _INK) -> tuple[bytes, ...]:
    """The rows of dots of one line of text; what is longer than the screen is wide is cut off."""
    rows = []
    glyphs = [font.glyph(letter) for letter in text[:COLUMNS]]
    for number in range(font.HEIGHT):
        row = bytearray(WIDTH)
        for column, rows_of_glyph in enumerate(glyphs):
            for dot in range(font.WIDTH):
                if rows_of_glyph[number] >> (font.WIDTH - 1 - dot) & 1:
                    left = column * CELL[0] + 2 * dot
                    row[left] = row[left + 1] = colour
        rows += [bytes(row), bytes(row)]
    return (*rows, *[bytes(WIDTH)] * (CELL[1] - len(rows)))


def draw(lines: Sequence[str]) -> list[bytes]:
    """The rows of dots of a screen; the first line has the title's colour."""
    shown = zip_longest(lines[:LINES], range(LINES), fillvalue="")
    return [row for text, number in shown for row in line_of(str(text), _INK if number else _TITLE)]


def crop(rows: Sequence[bytes], x: int, y: int, width: int, height: int) -> bytes:
    """The dots of a rectangle that lies inside the picture, row by row."""
    return b"".join(row[x : x + width] for row in rows[y : y + height])


def png(rows: Iterable[bytes]) -> bytes:
    """The picture as a PNG with a palette (ISO 15948)."""

    def piece(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 3, 0, 0, 0)
    palette = b"".join(map(bytes, COLOURS))
    dots = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        piece(*each) for each in ((b"IHDR", head), (b"PLTE", palette), (b"IDAT", dots), (b"IEND", b""))
    )
