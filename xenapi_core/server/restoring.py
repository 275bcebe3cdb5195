"""Backup of this server as one file, and restoring one when the server starts next.

Theory of operation
1. A backup is a tar of the pool's database (store/dump.py) and of the data of blobs. Disks of VMs are not in it: they
   are in repositories. Neither are the pool secret and the certificate: the holder of a backup must not be able to act
   as this server.
2. What runs is not exchanged under its clients. A backup that is to be restored waits in the state directory, and takes
   the place of what is there before the store is opened; what was written meanwhile is gone then. Doing that twice, as
   after a crash in the middle, is the same as once: the file goes last.
"""

from __future__ import annotations

import asyncio
import io
import re
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from xenapi_core.atomic_file import replace_file
from xenapi_core.model.schema import Schema
from xenapi_core.server.actions.blob_data import InDirectory
from xenapi_core.store.dump import DumpError
from xenapi_core.store.failure import StoreError
from xenapi_core.store.restore import replace_records

WAITING: Final = "restore.tar"
DATABASE: Final = "pool.xencimdb"
BLOBS: Final = "blobs"
_SECONDS: Final = 600.0  # to take a backup over
_BLOB: Final = re.compile(rf"{BLOBS}/([0-9a-f-]{{36}})\Z")


class BackupError(Exception):
    """Bytes that are no backup: why, in a sentence."""


@dataclass(frozen=True)
class Backup:
    """`database`: a dump with its head; `blobs`: data by uuid."""

    database: bytes
    blobs: Mapping[str, bytes] = field(default_factory=dict)

    def encode(self) -> bytes:
        blobs = {f"{BLOBS}/{uuid}": data for uuid, data in self.blobs.items()}
        made = io.BytesIO()
        with tarfile.open(fileobj=made, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            for name, data in {DATABASE: self.database, **blobs}.items():
                info = tarfile.TarInfo(name)
                info.size, info.mode = len(data), 0o400
                archive.addfile(info, io.BytesIO(data))
        return made.getvalue()


def decode(data: bytes) -> Backup:
    """BackupError. Refuses file names other than those that `encode` writes."""
    database, blobs = None, {}
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            for info in archive:
                file = archive.extractfile(info) if info.isreg() else None
                blob = _BLOB.match(info.name)
                if file is None or not (blob or info.name == DATABASE):
                    raise BackupError("It holds something that is in no backup of xencim.")
                content = file.read()
                if len(content) != info.size:
                    raise BackupError("Its end is missing.")
                if blob:
                    blobs[blob[1]] = content
                else:
                    database = content
    except (tarfile.TarError, ValueError, EOFError) as error:
        raise BackupError(f"It is no tar archive, or damaged: {type(error).__name__}.") from error
    if database is None:
        raise BackupError("It has no database.")
    return Backup(database, blobs)


def leave(directory: Path, backup: Backup) -> None:
    """Have it restored when the server starts next; one that waits already is replaced. Blocks. OSError."""
    replace_file(directory / WAITING, backup.encode(), 0o600)


async def take_over(directory: Path, schema: Schema) -> bool:
    """Restore the backup that waits in `directory`; False if none does. StoreError, a sentence for the operator."""
    path = directory / WAITING
    try:
        if not path.exists():
            return False
    except OSError as error:  # a folder above may not be entered, or the name is too long
        raise StoreError(f"The state directory {directory} cannot be used: {error.strerror}.") from error
    try:
        async with asyncio.timeout(_SECONDS):
            await asyncio.to_thread(_take, directory, path, schema)
    except (OSError, BackupError, DumpError, MemoryError) as error:
        raise StoreError(f"{path} cannot be restored ({error}); remove it to start without.") from error
    return True


def _take(directory: Path, path: Path, schema: Schema) -> None:
    backup, place = decode(path.read_bytes()), InDirectory(directory / BLOBS)
    for uuid, data in backup.blobs.items():
        place.put(uuid, data)
    replace_records(directory, schema, backup.database)
    path.unlink()
