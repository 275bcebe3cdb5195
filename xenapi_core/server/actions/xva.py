"""The XVA archive of a VM: a tar of ova.xml, and of the disks in chunks, each with a checksum.

Theory of operation
1. ova.xml is an XML-RPC value: {version, objects}, each object {class, id, snapshot}; ids are "Ref:<n>", and references
   between objects are written as ids. Everything else a record refers to is written as null.
2. A disk is the files Ref:<n>/00000000, Ref:<n>/00000001 ..., CHUNK bytes each, the last one shorter. Chunks of zeros
   are left out, except for the first and the last: the last one tells that the disk is whole.
3. Each chunk is followed by <name>.checksum with its SHA-1 in hexadecimal, or in archives of other servers by
   <name>.xxhash with its XXH64.
4. An archive is read as a stream, and may be compressed with gzip or zstd. Whatever is not expected ends the import.
"""

from __future__ import annotations

import hashlib
import re
import tarfile
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Final

import xxhash

from xenapi_core.api.registry import Services
from xenapi_core.engine.exported import Exported
from xenapi_core.errors import ApiError, E
from xenapi_core.ids import NULL_REF
from xenapi_core.model.types import STRING, Record
from xenapi_core.store.api import Version
from xenapi_core.wire import compression
from xenapi_core.wire.api import WireError
from xenapi_core.wire.limits import Limits
from xenapi_core.wire.xmlrpc import XmlRpc

CHUNK: Final = 1 << 20
SLICE: Final = 50  # records that are written without a pause
LARGEST_CHUNK: Final = 16 << 20
LARGEST_OVA: Final = 128 << 20
OVA: Final = "ova.xml"
EXPORT_VERSION: Final = "2"
END: Final = bytes(2 * tarfile.BLOCKSIZE)
_LIMITS: Final = Limits(max_body=LARGEST_OVA + 1024, max_elements=16_000_000)
_REFERENCE: Final = re.compile(r"OpaqueRef:[0-9A-Za-z-]+")


def member(name: str, data: bytes) -> bytes:
    """One file of the archive."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o400
    return info.tobuf(tarfile.USTAR_FORMAT) + data + bytes(-len(data) % tarfile.BLOCKSIZE)


def chunk(name: str, data: bytes) -> bytes:
    """One chunk and its checksum."""
    digest = hashlib.sha1(data, usedforsecurity=False).hexdigest().encode()
    return member(name, data) + member(f"{name}.checksum", digest)


def names_of(records: Iterable[Version]) -> dict[str, str]:
    """Reference -> id in the archive."""
    return {record.ref: f"Ref:{number}" for number, record in enumerate(records)}


async def describe(services: Services, records: list[Version], about: Mapping[str, str]) -> bytes:
    """The content of ova.xml. `about`: the description of this server in the head."""
    codec, names = XmlRpc(), names_of(records)

    objects = []
    for count, record in enumerate(records):
        if count % SLICE == SLICE - 1:
            await services.clock.sleep(0)  # let others have the loop
        fragment = services.records.render(codec, Record(record.cls), record).decode("utf-8")
        renamed = _REFERENCE.sub(lambda match: names.get(match[0], NULL_REF), fragment).encode("utf-8")
        members = [
            ("class", codec.value(STRING, record.cls)),
            ("id", codec.value(STRING, names[record.ref])),
            ("snapshot", renamed),
        ]
        objects.append(codec.struct(members))
    version = codec.struct(
        (name, codec.value(STRING, value)) for name, value in {**about, "export_vsn": EXPORT_VERSION}.items()
    )
    return b'<?xml version="1.0"?>' + codec.struct([("version", version), ("objects", codec.array(objects))])


def read_ova(data: bytes) -> dict[str, Exported]:
    """Id -> record. IMPORT_ERROR, IMPORT_INCOMPATIBLE_VERSION."""
    text = re.sub(rb"\A\s*<\?xml[^>]*\?>", b"", data)
    call = b"<methodCall><methodName>x</methodName><params><param>%b</param></params></methodCall>" % text
    try:
        (content,) = XmlRpc(_LIMITS).decode(call).params
        if not isinstance(content["version"], dict) or not isinstance(content["objects"], list):
            raise TypeError("version or objects")
        objects = [Exported(one["class"], one["id"], one["snapshot"]) for one in content["objects"]]
        if not all(isinstance(one.name, str) and isinstance(one.values, dict) for one in objects):
            raise TypeError("objects")
    except (WireError, ApiError, KeyError, TypeError, ValueError) as error:
        raise E.IMPORT_ERROR(f"{OVA} makes no sense: {error}") from error
    if str(content["version"].get("export_vsn", "0")) not in ("0", "1", EXPORT_VERSION):
        raise E.IMPORT_INCOMPATIBLE_VERSION()
    return {one.name: one for one in objects}


async def unzipped(source: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The archive, whether or not it is compressed. IMPORT_ERROR."""
    data = b""
    async for more in source:
        data += more
        if len(data) >= compression.MAGIC:
            break
    inflate = compression.decompressor(data)
    while True:
        if inflate is None:
            yield data
        else:
            try:
                for piece in inflate.pieces(data):
                    yield piece
            except compression.CompressionError as error:
                raise E.IMPORT_ERROR(f"The archive cannot be decompressed: {error}") from error
            if inflate.ended:
                return
        try:
            data = await anext(source)
        except StopAsyncIteration:
            return


class TarStream:
    """A tar archive, file by file, in the order in which it comes."""

    def __init__(self, source: AsyncIterator[bytes]) -> None:
        self._source = source
        self._held = bytearray()

    async def next(self) -> tuple[str, int] | None:
        """Name and size of the next file; None at the end. IMPORT_ERROR, IMPORT_ERROR_PREMATURE_EOF."""
        block = await self._take(tarfile.BLOCKSIZE)
        if not any(block):
            return None
        try:
            info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            raise E.IMPORT_ERROR(f"The archive is no tar file: {error}") from error
        if not info.isfile():
            raise E.IMPORT_ERROR("The archive holds something that is no file.")
        return info.name, info.size

    async def body(self, size: int, largest: int) -> bytes:
        """The content of the file. IMPORT_ERROR if it is longer than `largest` bytes."""
        if size > largest:
            raise E.IMPORT_ERROR(f"A file of the archive has {size} bytes; at most {largest} are read.")
        data = await self._take(size)
        await self._take(-size % tarfile.BLOCKSIZE)
        return data

    async def _take(self, size: int) -> bytes:
        while len(self._held) < size:
            try:
                self._held += await anext(self._source)
            except StopAsyncIteration:
                raise E.IMPORT_ERROR_PREMATURE_EOF() from None
        data = bytes(self._held[:size])
        del self._held[:size]
        return data

    async def chunks(self, sizes: Mapping[str, int]) -> AsyncIterator[tuple[str, int, bytes]]:
        """(id, offset, bytes) of every chunk, checked, until all disks are whole. `sizes`: of the disks, by id.

        IMPORT_ERROR_UNEXPECTED_FILE, IMPORT_ERROR_SOME_CHECKSUMS_FAILED, IMPORT_ERROR_PREMATURE_EOF.
        """
        missing = {name for name, size in sizes.items() if size}
        while (found := await self.next()) is not None:
            name, size = found
            disk, _, number = name.partition("/")
            if disk not in sizes or not re.fullmatch(r"[0-9]{8,12}", number):
                raise E.IMPORT_ERROR_UNEXPECTED_FILE("Ref:<n>/<number>", name)
            data = await self.body(size, LARGEST_CHUNK)
            offset = int(number) * CHUNK
            if offset + size > sizes[disk]:
                raise E.IMPORT_ERROR(f"{name} lies beyond the end of its disk.")
            await self._check(name, data)
            yield disk, offset, data
            if offset + size == sizes[disk]:
                missing.discard(disk)
            if not missing:
                return  # a client that knew no length would not end the body
        if missing:
            raise E.IMPORT_ERROR_PREMATURE_EOF()

    async def _check(self, name: str, data: bytes) -> None:
        """The checksum that follows a chunk (rule 3)."""
        found = await self.next()
        if found is None or found[0] not in (f"{name}.checksum", f"{name}.xxhash"):
            raise E.IMPORT_ERROR_UNEXPECTED_FILE(f"{name}.checksum", found[0] if found else "")
        told = (await self.body(found[1], 1024)).strip()
        if found[0].endswith(".checksum"):
            digest = hashlib.sha1(data, usedforsecurity=False).hexdigest()
        else:
            digest = xxhash.xxh64_hexdigest(data)
        if told.lower() != digest.encode():
            raise E.IMPORT_ERROR_SOME_CHECKSUMS_FAILED()
