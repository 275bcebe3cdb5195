"""Keeps recorded measurements across restarts: a file in the state directory, written now and then and at the end.

Theory of operation
1. The file appears whole or not at all: its bytes are written beside it and renamed. Its head tells their length and
   SHA-256. What is damaged, of another format or machine, or newer than the clock is dropped with a line in the log:
   measurements are no reason not to start.
2. Series of objects that are gone are not kept, so the file is bounded by what there is and by the archives.
3. Packing happens in slices on the loop, compressing and writing in a thread. A server that is killed loses what was
   measured since the last time, at most EVERY seconds.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import struct
import zlib
from pathlib import Path
from typing import Final

from xenapi_core.atomic_file import replace_file
from xenapi_core.clock import Clock, Later, Slices
from xenapi_core.server.actions.recorder import Recorder, Series
from xenapi_core.store.api import Store

log = logging.getLogger(__name__)

NAME: Final = "measurements.xencim"
EVERY: Final = 300  # seconds between two times
LARGEST: Final = 1 << 30  # bytes, unpacked
_HEAD: Final = struct.Struct("=8sQ32s")  # in the machine's own byte order, as the rows are
_MAGIC: Final = b"xencimM1"
_LEVEL: Final = 1
_CLASSES: Final = {"host": "host", "vm": "VM", "sr": "SR"}


class History:
    """The recorder and its file. `directory`: the pool's state; None: nothing stays."""

    def __init__(self, recorder: Recorder, store: Store, clock: Clock, directory: Path | None = None) -> None:
        self.recorder = recorder
        self._store, self._clock = store, clock
        self._path = directory / NAME if directory is not None else None
        self._due = clock.now() + EVERY
        self._slices = Slices()

    def records(self, kind: str, uuid: str, name: str) -> bool:
        return self.recorder.knows(Series(kind, uuid, name))

    async def begin(self, kind: str, uuid: str, name: str) -> None:
        self.recorder.begin(self._clock.now(), Series(kind, uuid, name))
        await self.save()

    def forget(self, kind: str, uuid: str, name: str) -> bool:
        return self.recorder.forget(Series(kind, uuid, name))

    async def back_up(self, delay: float) -> bool:
        """Whether the recorded history is or will be written to disk: at once, or within `delay` seconds by the task
        that takes the samples (api.history.History)."""
        if self._path is None:
            return False
        if delay > 0:
            self._due = min(self._due, int(self._clock.now() + delay))
        else:
            await self._write()
        return True

    async def restore(self) -> None:
        """Take over what the file tells (rule 1)."""
        if self._path is None or not self._path.exists():
            return
        try:
            data = await asyncio.to_thread(_read, self._path)
            self.recorder.unpack(data, self._clock.now())
        except (OSError, ValueError) as error:
            log.warning("%s is dropped: %s", self._path, error)

    async def save_when_due(self) -> None:
        if self._clock.now() >= self._due:
            await self.save()

    async def save(self) -> None:
        """Write the file. What cannot be written is tried again next time."""
        try:
            await self._write()
        except OSError as error:
            log.warning("%s cannot be written: %s", self._path, error)

    async def _write(self) -> None:
        """OSError."""
        self._due = self._clock.now() + EVERY
        self.recorder.keep(lambda one: self._store.by_uuid(_CLASSES[one.kind], one.uuid) is not None)
        if self._path is None:
            return
        packed = self._slices.run(self.recorder.packed())
        pieces = await packed if isinstance(packed, Later) else packed
        await asyncio.to_thread(_replace, self._path, pieces)


def _replace(path: Path, pieces: list[bytes]) -> None:
    """OSError."""
    packer = zlib.compressobj(_LEVEL)
    body = b"".join((*map(packer.compress, pieces), packer.flush()))
    head = _HEAD.pack(_MAGIC, len(body), hashlib.sha256(body).digest())
    replace_file(path, head + body, 0o600)


def _read(path: Path) -> bytes:
    """ValueError, OSError."""
    with path.open("rb") as file:
        head, body = file.read(_HEAD.size), file.read(LARGEST)
    if len(head) < _HEAD.size:
        raise ValueError("it is damaged")
    magic, length, digest = _HEAD.unpack(head)
    if magic != _MAGIC:
        raise ValueError("it is no file of measurements of this machine and version")
    if len(body) != length or hashlib.sha256(body).digest() != digest:
        raise ValueError("it is damaged")
    try:
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(body, LARGEST)
    except zlib.error as error:
        raise ValueError("it is damaged") from error
    if not unpacker.eof:
        raise ValueError("it is too large")
    return data
