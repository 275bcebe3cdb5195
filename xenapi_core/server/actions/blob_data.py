"""Stores the bytes of blobs: in files of the state directory, or in memory without one."""

from __future__ import annotations

from pathlib import Path
from typing import Final

TOTAL: Final = 256 << 20  # bytes of all blobs in memory


class InMemory:
    """BlobData for as long as the process lives."""

    def __init__(self) -> None:
        self._data: dict[str, bytes] = {}

    def get(self, uuid: str) -> bytes | None:
        return self._data.get(uuid)

    def put(self, uuid: str, data: bytes) -> None:
        others = sum(len(kept) for other, kept in self._data.items() if other != uuid)
        if others + len(data) > TOTAL:
            raise MemoryError
        self._data[uuid] = data

    def keep(self, uuids: frozenset[str]) -> None:
        self._data = {uuid: data for uuid, data in self._data.items() if uuid in uuids}


class InDirectory:
    """BlobData in files; they appear whole or not at all."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def get(self, uuid: str) -> bytes | None:
        try:
            return (self._directory / uuid).read_bytes()
        except FileNotFoundError:
            return None

    def put(self, uuid: str, data: bytes) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial = self._directory / f".{uuid}"
        try:
            partial.write_bytes(data)
            partial.replace(self._directory / uuid)
        except OSError as error:
            raise MemoryError from error

    def keep(self, uuids: frozenset[str]) -> None:
        if self._directory.is_dir():
            for path in self._directory.iterdir():
                if path.name not in uuids:
                    path.unlink(missing_ok=True)
