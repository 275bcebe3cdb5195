"""A dump of the database: every kept record, in one file or on a disk of the pool.

Theory of operation
1. The form is our own: a head of HEAD bytes (magic, format, generation, instant, length and SHA-256 of what follows),
   then lines of JSON, compressed by zlib. The first line tells whose database it is; each other line is
   [class, reference, record], the record in the form of rows.py, in creation order.
2. What is damaged, incomplete or of a newer format is refused as a whole (DumpError); what this schema does not know of
   a record is left out, as in a journal.
3. What does not outlast a restart, operations in progress among it, is not in a dump. The caller may leave out more
   classes.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import orjson

from xenapi_core.model.schema import Schema
from xenapi_core.store.api import Store, Version
from xenapi_core.store.memory import MemoryStore
from xenapi_core.store.rows import Rows

FORMAT: Final = 1
LARGEST: Final = 1 << 30  # bytes of lines
_MAGIC: Final = b"xencimDB"
_HEAD: Final = struct.Struct(">8sIQQQ32s")
HEAD: Final = _HEAD.size
_LEVEL: Final = 3


class DumpError(Exception):
    """Bytes that are no database we can read: why, in a sentence."""


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a dump. `generation` grows with each dump of a row; `instant` is when it was made."""

    generation: int
    instant: int
    length: int
    digest: bytes

    def encode(self) -> bytes:
        return _HEAD.pack(_MAGIC, FORMAT, self.generation, self.instant, self.length, self.digest)


@dataclass(frozen=True, slots=True)
class Content:
    """The compressed lines of a dump, and their SHA-256."""

    data: bytes
    digest: bytes

    def head(self, generation: int, instant: int) -> Head:
        return Head(generation, instant, len(self.data), self.digest)


@dataclass(frozen=True, slots=True)
class Database:
    """A dump that was read: the uuid of its pool, its records in a store of their own, the digest of its content."""

    pool: str
    store: MemoryStore
    digest: bytes


def kept_records(schema: Schema, store: Store, without: frozenset[str] = frozenset()) -> tuple[Version, ...]:
    """The versions a dump of this moment holds, oldest of each class first. They may be encoded later."""
    names = [cls.name for cls in schema.classes.values() if cls.persist and cls.has_records and cls.name not in without]
    return tuple(version for name in names for version in store.all(name).values())


def encode(schema: Schema, pool: str, versions: Iterable[Version]) -> Content:
    """The content of a dump of `versions`, records of the pool with that uuid. The same records give the same bytes."""
    rows, squeezer = Rows(schema), zlib.compressobj(_LEVEL)
    parts = [squeezer.compress(orjson.dumps({"pool": pool}) + b"\n")]
    for version in versions:
        line = orjson.dumps([version.cls, version.ref, rows.encode(version.cls, version.values)])
        parts.append(squeezer.compress(line + b"\n"))
    parts.append(squeezer.flush())
    data = b"".join(parts)
    return Content(data, hashlib.sha256(data).digest())


def read_head(data: bytes) -> Head | None:
    """The head at the beginning of `data`; None if there is none. DumpError for a newer format."""
    if len(data) < HEAD:
        return None
    magic, form, generation, instant, length, digest = _HEAD.unpack(data[:HEAD])
    if magic != _MAGIC:
        return None
    if form != FORMAT:
        raise DumpError(f"It has format {form}; this server knows format {FORMAT}.")
    return Head(generation, instant, length, digest)


def is_whole(head: Head, data: bytes) -> bool:
    """Whether `data` is the content that `head` was written for."""
    return len(data) == head.length and hashlib.sha256(data).digest() == head.digest


def decode(schema: Schema, data: bytes) -> Database:
    """The database in the content of a dump. DumpError."""
    inflate = zlib.decompressobj()
    try:
        lines = inflate.decompress(data, LARGEST).split(b"\n")
        if inflate.unconsumed_tail or not inflate.eof:
            raise DumpError("It is too large, or its end is missing.")
        pool = orjson.loads(lines[0])["pool"]
        if type(pool) is not str:
            raise DumpError("It does not tell whose it is.")
        rows, versions = Rows(schema), []
        seen: set[str] = set()
        for line in lines[1:-1]:
            cls, ref, record = orjson.loads(line)
            if not all(type(word) is str for word in (cls, ref, record)):
                raise TypeError("a line that is no record")
            if ref in seen:
                raise DumpError(f"It holds {ref} twice.")
            seen.add(ref)
            values = rows.decode(cls, record)
            if values is not None:
                versions.append(Version(cls, ref, values, 1, 1))
        return Database(pool, MemoryStore(schema, versions=versions, revision=1), hashlib.sha256(data).digest())
    except (zlib.error, ValueError, TypeError, KeyError, IndexError) as error:
        raise DumpError(f"It makes no sense: {error}") from error


def decode_file(schema: Schema, data: bytes) -> Database:
    """The database in a dump with its head. DumpError."""
    head = read_head(data)
    if head is None:
        raise DumpError("It is no database of xencim.")
    if not is_whole(head, data[HEAD:]):
        raise DumpError("It is damaged or incomplete.")
    return decode(schema, data[HEAD:])
