"""Transfer formats of disks: raw bytes, VHD, and chunks with their offsets.

Rule 1: what comes in becomes (offset, bytes) of at most PIECE bytes; what goes out is put into a Pipe piece by piece.
Rule 2: a form that says how long the disk is, and is longer than the disk it is for, is refused before it is written.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from struct import Struct
from typing import Final

from xenapi_core.drivers.storage import PIECE, Storage
from xenapi_core.engine.plan import Run
from xenapi_core.engine.steps.vdi_differences import differing
from xenapi_core.errors import E
from xenapi_core.server.actions.pipe import Pipe
from xenapi_core.server.upload import Upload, UploadBroken
from xenapi_core.store.api import Version
from xenapi_core.wire import vhd

_CHUNK: Final = Struct("<QI")  # offset, size; a chunk of no bytes is the last

Pieces = AsyncIterator[tuple[int, bytes]]


async def raw(upload: Upload, record: Version) -> Pieces:
    """The disk from its beginning on. VDI_TOO_SMALL.

    A body of unknown length ends with the disk, or where the client leaves: UploadBroken comes after all that it sent.
    """
    size, offset = record["virtual_size"], 0
    if upload.size is not None and upload.size > size and not upload.endless:
        raise E.VDI_TOO_SMALL(record.ref, str(upload.size))
    held = bytearray()
    try:
        async for data in upload:
            held += data
            if offset + len(held) > size:
                if not upload.endless:
                    raise E.VDI_TOO_SMALL(record.ref, str(offset + len(held)))
                del held[size - offset :]
            while len(held) >= PIECE:
                yield offset, bytes(held[:PIECE])
                del held[:PIECE]
                offset += PIECE
            if upload.endless and offset + len(held) == size:
                break
    except UploadBroken:
        if upload.endless and held:
            yield offset, bytes(held)
        raise
    if held:
        yield offset, bytes(held)


async def chunked(upload: Upload, record: Version) -> Pieces:
    """Chunks of raw bytes, each behind its offset and size. IMPORT_ERROR_PREMATURE_EOF, VDI_TOO_SMALL."""
    held = bytearray()
    while True:
        await _fill(upload, held, _CHUNK.size)
        offset, left = _CHUNK.unpack_from(held)
        del held[: _CHUNK.size]
        if left == 0:
            return
        if offset + left > record["virtual_size"]:
            raise E.VDI_TOO_SMALL(record.ref, str(offset + left))
        while left:
            await _fill(upload, held, min(left, PIECE))
            piece = bytes(held[: min(left, PIECE)])
            del held[: len(piece)]
            yield offset, piece
            offset, left = offset + len(piece), left - len(piece)


async def _fill(upload: Upload, held: bytearray, wanted: int) -> None:
    """At least `wanted` bytes in `held`. IMPORT_ERROR_PREMATURE_EOF."""
    while len(held) < wanted:
        try:
            held += await anext(upload)
        except StopAsyncIteration:
            raise E.IMPORT_ERROR_PREMATURE_EOF() from None


async def from_vhd(upload: Upload, record: Version) -> Pieces:
    """A VHD; a differencing one is for a disk that holds what its parent held.

    IMPORT_ERROR with what is wrong with it, IMPORT_ERROR_PREMATURE_EOF, VDI_TOO_SMALL.
    """
    reader, checked = vhd.Reader(), False
    async for data in upload:
        try:
            for offset, piece in reader.feed(data):
                for start in range(0, len(piece), PIECE):
                    yield offset + start, piece[start : start + PIECE]
        except vhd.VhdError as error:
            raise E.IMPORT_ERROR(f"The VHD cannot be read: {error}.") from error
        if reader.size is not None and not checked:
            checked = True
            if reader.size > record["virtual_size"]:
                raise E.VDI_TOO_SMALL(record.ref, str(reader.size))
        if reader.complete and upload.endless:
            return
    if not reader.complete:
        raise E.IMPORT_ERROR_PREMATURE_EOF()


async def send_raw(pipe: Pipe, run: Run, storage: Storage, record: Version) -> None:
    """Every byte of the disk; stretches without data are not read."""
    size = record["virtual_size"]
    pipe.open(size)
    extents = [*await storage.extents(record["uuid"]), (size, 0)]
    position = 0
    for offset, length in extents:
        while position < offset:
            await pipe.put(bytes(min(PIECE, offset - position)))
            position += min(PIECE, offset - position)
            run.progress(position / size)
        while position < offset + length:
            piece = await storage.read(record["uuid"], position, min(PIECE, offset + length - position))
            await pipe.put(piece)
            position += len(piece)
            run.progress(position / size)


async def send_vhd(pipe: Pipe, run: Run, storage: Storage, record: Version, base: Version | None) -> None:
    """A dynamic VHD of the blocks that may hold data, or a differencing one of those that are not as in `base`."""
    size, uuid, now = record["virtual_size"], record["uuid"], run.world.clock.now()
    if size > vhd.LARGEST:
        raise E.IMPORT_ERROR(f"A VHD holds at most {vhd.LARGEST} bytes.")
    if base is None:
        parent, extents = None, await storage.extents(uuid)
    else:
        parent = base["uuid"]
        extents = [(offset, len(data)) async for offset, data in differing(run, record, base)]
    blocks = vhd.blocks_of(size, extents)
    pipe.open(vhd.length_of(size, blocks))
    await pipe.put(vhd.head(size, blocks, uuid, now, parent))
    for done, number in enumerate(blocks):
        start = number * vhd.BLOCK
        await pipe.put(vhd.BITMAP)
        for offset in range(start, start + vhd.BLOCK, PIECE):
            length = max(0, min(PIECE, size - offset))
            piece = await storage.read(uuid, offset, length) if length else b""
            await pipe.put(piece.ljust(PIECE, b"\0"))
        run.progress((done + 1) / len(blocks))
    await pipe.put(vhd.foot(size, uuid, now, parent))
