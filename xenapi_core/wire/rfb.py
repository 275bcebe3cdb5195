"""RFB 3.8 codec (RFC 6143), server side: decodes messages of a viewer, and encodes those to it.

Rule 1: 3.3 and 3.7 are spoken too; whoever asks for another version below 3.8 is taken for 3.3, as the RFC wants.
Rule 2: rectangles are sent raw: every viewer understands that, and the screens are small.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

BANNER: Final = b"RFB 003.008\n"
NONE: Final = 1  # the security type without a password
_VERSION: Final = re.compile(rb"RFB (\d{3})\.(\d{3})\n")
_FORMAT: Final = struct.Struct(">BBBBHHHBBB3x")

# Messages of a viewer, and how many bytes follow the number of each.
SET_PIXEL_FORMAT, SET_ENCODINGS, UPDATE_REQUEST, KEY, POINTER, CUT_TEXT = 0, 2, 3, 4, 5, 6
SIZES: Final = {SET_PIXEL_FORMAT: 19, SET_ENCODINGS: 3, UPDATE_REQUEST: 9, KEY: 7, POINTER: 5, CUT_TEXT: 7}


class RfbError(Exception):
    """What came is no RFB: one sentence."""


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """How a dot becomes bytes. `maxima` and `shifts` are of red, green and blue, in true colour."""

    bits: int = 32
    depth: int = 24
    big_endian: bool = False
    true_colour: bool = True
    maxima: tuple[int, int, int] = (255, 255, 255)
    shifts: tuple[int, int, int] = (16, 8, 0)

    def pack(self) -> bytes:
        return _FORMAT.pack(self.bits, self.depth, self.big_endian, self.true_colour, *self.maxima, *self.shifts)

    def dots(self, indices: bytes, colours: Sequence[tuple[int, int, int]]) -> bytes:
        """Dots given as indices of `colours` (0..255 each) as a viewer wants them."""
        size = self.bits // 8
        if not self.true_colour:
            values = list(range(len(colours)))
        else:
            values = [
                sum(part * most // 255 << shift for part, most, shift in zip(c, self.maxima, self.shifts, strict=True))
                for c in colours
            ]
        words = [
            (value & (1 << self.bits) - 1).to_bytes(size, "big" if self.big_endian else "little") for value in values
        ]
        found = bytearray(len(indices) * size)
        for plane in range(size):
            found[plane::size] = indices.translate(bytes(word[plane] for word in words).ljust(256, b"\0"))
        return bytes(found)


def pixel_format(body: bytes) -> PixelFormat:
    """The format in a message SetPixelFormat. RfbError."""
    bits, depth, endian, true_colour, *rest = _FORMAT.unpack(body[3:])
    if bits not in (8, 16, 32):
        raise RfbError(f"Dots of {bits} bits are none of RFB.")
    if true_colour and max(rest[3:]) >= bits:
        raise RfbError("A colour is shifted out of its dot.")
    first, second = tuple(rest[:3]), tuple(rest[3:])
    return PixelFormat(bits, depth, bool(endian), bool(true_colour), first, second)


def version_of(banner: bytes) -> int:
    """3, 7 or 8: the version that a viewer's answer to BANNER stands for (rule 1). RfbError."""
    match = _VERSION.fullmatch(banner)
    if match is None or int(match[1]) < 3:
        raise RfbError("The other side does not speak RFB.")
    major, minor = int(match[1]), int(match[2])
    if (major, minor) >= (3, 8):
        return 8
    return 7 if minor == 7 else 3


def refusal(reason: str) -> bytes:
    """SecurityResult of 3.8: failed."""
    text = reason.encode()
    return struct.pack(">II", 1, len(text)) + text


def server_init(width: int, height: int, form: PixelFormat, name: str) -> bytes:
    text = name.encode("utf-8", "replace")
    return struct.pack(">HH", width, height) + form.pack() + struct.pack(">I", len(text)) + text


def update(rectangles: Sequence[tuple[int, int, int, int, bytes]]) -> bytes:
    """A FramebufferUpdate; each rectangle is (x, y, width, height, dots)."""
    parts = [struct.pack(">BxH", 0, len(rectangles))]
    for x, y, width, height, dots in rectangles:
        parts += [struct.pack(">HHHHi", x, y, width, height, 0), dots]
    return b"".join(parts)


def colour_map(colours: Sequence[tuple[int, int, int]]) -> bytes:
    """SetColourMapEntries, for viewers without true colour."""
    entries = b"".join(struct.pack(">HHH", *(part * 257 for part in colour)) for colour in colours)
    return struct.pack(">BxHH", 1, 0, len(colours)) + entries


def rectangle(body: bytes) -> tuple[bool, int, int, int, int]:
    """A FramebufferUpdateRequest: whether it is incremental, and x, y, width, height."""
    incremental, x, y, width, height = struct.unpack(">BHHHH", body)
    return bool(incremental), x, y, width, height


def key(body: bytes) -> tuple[bool, int]:
    """A KeyEvent: whether the key went down, and its keysym."""
    down, symbol = struct.unpack(">BxxI", body)
    return bool(down), symbol


def pointer(body: bytes) -> tuple[int, int, int]:
    """A PointerEvent: buttons as bits, x, y."""
    buttons, x, y = struct.unpack(">BHH", body)
    return buttons, x, y
