"""The layout of a database on a disk: two halves, and which of them is valid.

Rule 1: a disk has two halves, and each write takes the half that does not hold the newest whole dump (store/dump.py):
        its content first, then its head. So whatever breaks a write, one whole dump is there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Final

from xenapi_core.drivers.api import DriverError
from xenapi_core.drivers.storage import PIECE, Storage, VolumeState
from xenapi_core.errors import E
from xenapi_core.model.schema import Schema
from xenapi_core.store.dump import HEAD, Content, Database, DumpError, Head, decode, is_whole, read_head

log = logging.getLogger(__name__)

NEEDED: Final = frozenset({"VDI_CREATE", "VDI_DELETE", "VDI_COPY"})  # features of a type that can hold a database
LONG: Final = 64 << 10  # bytes that are decoded in a thread of their own


def _halves(size: int) -> tuple[int, int]:
    return 0, size // 2


async def heads(storage: Storage, uuid: str, size: int) -> list[tuple[Head, int]]:
    """The heads of a disk with their places, the newest first. DumpError for a newer format."""
    if size < 2 * HEAD:
        return []
    found = [(read_head(await storage.read(uuid, place, HEAD)), place) for place in _halves(size)]
    return sorted(((head, place) for head, place in found if head is not None), key=lambda one: -one[0].generation)


async def write_copy(storage: Storage, uuid: str, size: int, content: Content, now: int) -> None:
    """Write one more dump. DriverError; SR_BACKEND_FAILURE if the disk is too small, or a newer server wrote to it."""
    try:
        whole = await _newest(storage, uuid, size)
    except DumpError as error:
        raise E.SR_BACKEND_FAILURE("failed", "", str(error)) from error
    generation, taken = (0, _halves(size)[1]) if whole is None else (whole[0].generation, whole[1])
    place = next(half for half in _halves(size) if half != taken)
    if HEAD + len(content.data) > size // 2:
        raise E.SR_BACKEND_FAILURE("no_space", "", "the database is too large for its disk")
    for start in range(0, len(content.data), PIECE):
        await storage.write(uuid, place + HEAD + start, content.data[start : start + PIECE])
    await storage.write(uuid, place, content.head(generation + 1, now).encode())


async def _newest(storage: Storage, uuid: str, size: int) -> tuple[Head, int, bytes] | None:
    """The newest whole dump of a disk: its head, place and content. DumpError."""
    for head, place in await heads(storage, uuid, size):
        if HEAD + head.length > size // 2:
            continue
        first = place + HEAD
        starts = range(first, first + head.length, PIECE)
        pieces = [await storage.read(uuid, at, min(PIECE, first + head.length - at)) for at in starts]
        data = b"".join(pieces)
        if is_whole(head, data):
            return head, place, data
    return None


async def read_copy(schema: Schema, storage: Storage, uuid: str, size: int) -> Database:
    """The newest database on a disk. COULD_NOT_IMPORT_DATABASE, DriverError."""
    try:
        whole = await _newest(storage, uuid, size)
        if whole is None:
            raise DumpError("The disk holds no whole database.")
        data = whole[2]
        return await asyncio.to_thread(decode, schema, data) if len(data) > LONG else decode(schema, data)
    except DumpError as error:
        raise E.COULD_NOT_IMPORT_DATABASE(str(error)) from error


async def database_disks(storage: Storage, volumes: Iterable[VolumeState]) -> frozenset[str]:
    """The uuids of those volumes that hold a database, of any format. What cannot be read holds none."""
    found = set()
    for volume in volumes:
        try:
            holds = bool(await heads(storage, volume.uuid, volume.virtual_size))
        except DumpError:
            holds = True
        except DriverError as error:
            log.warning("volume %s could not be read: %s", volume.uuid, error)
            holds = False
        if holds:
            found.add(volume.uuid)
    return frozenset(found)
