"""VHD codec (dynamic and differencing disks): written and read as a stream, without seeking back.

Theory of operation
1. A dynamic VHD is: copy of the footer, header, block allocation table (BAT), blocks, footer. All numbers are
   big-endian; the BAT names the sector of each block of BLOCK bytes, or NONE for one that was never written; a block is
   a bitmap of its sectors, padded to a sector, and its data.
2. What is written has its blocks in the order of the disk, so the BAT is known before the first block is sent.
3. What is read must have its BAT before its blocks, as every writer we know makes it; blocks may come in any order. A
   VHD of fixed type is refused: only its end says what it is.
4. A differencing VHD names its parent by identity and has the sectors that differ from it, here whole blocks. Whoever
   reads it puts them on a disk that holds what the parent held.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

SECTOR: Final = 512
BLOCK: Final = 2 << 20
NONE: Final = 0xFFFFFFFF
BITMAP: Final = bytes([255]) * (BLOCK // SECTOR // 8)  # all sectors of the block are there; 512 bytes
LARGEST: Final = 2040 << 30  # what the format can address
_EPOCH: Final = 946684800  # 2000-01-01, seconds of Unix time
_FOOTER: Final = struct.Struct(">8sIIQI4sI4sQQHBBI I16sB427x")
_HEADER: Final = struct.Struct(">8sQQIII I16sI I512s 192x 256x")
_DYNAMIC: Final = 3
_DIFFERENCING: Final = 4


class VhdError(Exception):
    """The bytes are no VHD that can be read here: one sentence."""


def blocks_of(size: int, extents: Iterable[tuple[int, int]]) -> list[int]:
    """The numbers of the blocks that `extents` (offset, size in bytes) touch, in order."""
    count = -(-size // BLOCK)
    found: set[int] = set()
    for offset, length in extents:
        if length:
            found.update(range(offset // BLOCK, min(count, -(-(offset + length) // BLOCK))))
    return sorted(found)


def length_of(size: int, blocks: list[int]) -> int:
    """The length of a VHD with these blocks, in bytes."""
    return 2 * SECTOR + _HEADER.size + _table_size(size) + len(blocks) * (len(BITMAP) + BLOCK)


def head(size: int, blocks: list[int], identity: str, now: int, parent: str | None = None) -> bytes:
    """Everything before the first block of a disk of `size` bytes. `now`: an instant of Unix time, in seconds.

    `identity`, `parent`: uuids; with a parent the blocks are those in which the disk differs from it.
    """
    table = [NONE] * (-(-size // BLOCK))
    sector = (SECTOR + _HEADER.size + _table_size(size)) // SECTOR
    for number in blocks:
        table[number] = sector
        sector += (len(BITMAP) + BLOCK) // SECTOR
    packed = struct.pack(f">{len(table)}I", *table)
    return foot(size, identity, now, parent) + _header(len(table), parent) + packed.ljust(_table_size(size), b"\xff")


def foot(size: int, identity: str, now: int, parent: str | None = None) -> bytes:
    """The footer, which also begins the file."""
    cylinders, heads, sectors = _geometry(size)
    fields = (
        b"conectix", 2, 0x00010000, SECTOR, max(0, now - _EPOCH), b"tap\0", 0x00010003, b"\0\0\0\0", size, size,
        cylinders, heads, sectors, _DYNAMIC if parent is None else _DIFFERENCING,
    )  # fmt: skip
    return _summed(_FOOTER, (*fields, 0, uuid.UUID(identity).bytes, 0), 14)


def _header(entries: int, parent: str | None) -> bytes:
    fields = (b"cxsparse", (1 << 64) - 1, SECTOR + _HEADER.size, 0x00010000, entries, BLOCK)
    identity, name = (bytes(16), "") if parent is None else (uuid.UUID(parent).bytes, f"{parent}.vhd")
    return _summed(_HEADER, (*fields, 0, identity, 0, 0, name.encode("utf-16-be")), 6)


def _summed(layout: struct.Struct, fields: tuple[object, ...], place: int) -> bytes:
    """Packed, with the checksum (one's complement of the sum of all bytes) in field `place`."""
    total = ~sum(layout.pack(*fields)) & 0xFFFFFFFF
    return layout.pack(*fields[:place], total, *fields[place + 1 :])


def _table_size(size: int) -> int:
    """Bytes of the BAT, in whole sectors."""
    return -(-(-(-size // BLOCK) * 4) // SECTOR) * SECTOR


def _geometry(size: int) -> tuple[int, int, int]:
    """Cylinders, heads, sectors per track, as the format's specification computes them."""
    total = min(size // SECTOR, 65535 * 16 * 255)
    if total >= 65535 * 16 * 63:
        return total // 255 // 16, 16, 255
    sectors, heads = 17, max(4, (total // 17 + 1023) // 1024)
    if total // 17 >= heads * 1024 or heads > 16:
        sectors, heads = 31, 16
    if total // sectors >= heads * 1024:
        sectors, heads = 63, 16
    return total // sectors // heads, heads, sectors


@dataclass
class _Want:
    """The next part of the stream: `size` bytes of `kind`, after `skip` bytes that say nothing."""

    kind: str
    size: int
    skip: int = 0


class Reader:
    """Takes the bytes of a VHD as they come and gives the pieces of the disk. `size`: of the disk, once known."""

    def __init__(self) -> None:
        self.size: int | None = None
        self._held = bytearray()
        self._position = 0  # of the first byte of _held in the file
        self._want: _Want | None = _Want("footer", SECTOR)
        self._entries = 0
        self._block = BLOCK
        self._todo: list[tuple[int, int]] = []  # (position, block), last first
        self._number = 0

    @property
    def complete(self) -> bool:
        """Whether every block of the BAT has come; what follows is the footer."""
        return self._want is None

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """(offset, bytes) of the disk that `data` completed. VhdError."""
        if self._want is None:
            return
        self._held += data
        while self._want is not None:
            want = self._want
            dropped = min(want.skip, len(self._held))
            del self._held[:dropped]
            self._position += dropped
            want.skip -= dropped
            if want.skip or len(self._held) < want.size:
                return
            piece = bytes(self._held[: want.size])
            del self._held[: want.size]
            self._position += want.size
            if want.kind == "block":
                yield from self._give(piece)
            else:
                getattr(self, f"_read_{want.kind}")(piece)

    def _read_footer(self, data: bytes) -> None:
        fields = _checked(_FOOTER, data, 14, b"conectix")
        kind, offset = fields[13], fields[3]
        if kind not in (_DYNAMIC, _DIFFERENCING):
            raise VhdError("it is not of the dynamic or the differencing type")
        self.size = fields[9]
        if not 0 < fields[9] <= LARGEST or not SECTOR <= offset <= 1 << 30:
            raise VhdError("its footer makes no sense")
        self._want = _Want("header", _HEADER.size, offset - SECTOR)

    def _read_header(self, data: bytes) -> None:
        fields = _checked(_HEADER, data, 6, b"cxsparse")
        _, _, table, _, self._entries, self._block = fields[:6]
        if self._block not in (512 << 10, BLOCK, 4 << 20) or not self._position <= table <= 1 << 30:
            raise VhdError("its header makes no sense")
        assert self.size is not None
        needed = -(-self.size // self._block)
        if not needed <= self._entries <= LARGEST // self._block + 1:
            raise VhdError("its table does not fit its size")
        self._entries = needed
        self._want = _Want("table", needed * 4, table - self._position)

    def _read_table(self, data: bytes) -> None:
        table = struct.unpack(f">{self._entries}I", data)
        self._todo = sorted(
            ((sector * SECTOR, number) for number, sector in enumerate(table) if sector != NONE), reverse=True
        )
        self._next()

    def _next(self) -> None:
        if not self._todo:
            self._want = None
            self._held.clear()
            return
        position, self._number = self._todo.pop()
        if position < self._position:
            raise VhdError("its blocks overlap, or lie before its table")
        self._want = _Want("block", self._bitmap + self._block, position - self._position)

    @property
    def _bitmap(self) -> int:
        return -(-self._block // SECTOR // 8 // SECTOR) * SECTOR

    def _give(self, piece: bytes) -> Iterator[tuple[int, bytes]]:
        """The sectors of a block that its bitmap names."""
        assert self.size is not None
        bitmap, data = piece[: self._bitmap], piece[self._bitmap :]
        start = self._number * self._block
        sectors = min(self._block, self.size - start) // SECTOR
        at = 0
        if bitmap.count(255) * 8 >= sectors:  # the usual case: all of it
            yield start, data[: sectors * SECTOR]
            at = sectors
        while at < sectors:
            here = bool(bitmap[at // 8] & (128 >> at % 8))
            end = at + 1
            while end < sectors and bool(bitmap[end // 8] & (128 >> end % 8)) == here:
                end += 1
            if here:
                yield start + at * SECTOR, data[at * SECTOR : end * SECTOR]
            at = end
        self._next()


def _checked(layout: struct.Struct, data: bytes, place: int, cookie: bytes) -> tuple[int, ...]:
    """The fields, if cookie and checksum are right."""
    fields = layout.unpack(data)
    if fields[0] != cookie:
        raise VhdError(f"{cookie.decode()} is not where it should be")
    if fields[place] != ~(sum(data) - sum(struct.pack(">I", fields[place]))) & 0xFFFFFFFF:
        raise VhdError("a checksum is wrong")
    return fields
