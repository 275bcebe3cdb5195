"""The data of blobs, which the server keeps (server/actions/blob_data.py), and whether the pool keeps any."""

from __future__ import annotations

from typing import Protocol

from xenapi_core.errors import E
from xenapi_core.store.api import Store


class BlobData(Protocol):
    """Where the bytes of blobs are, by uuid."""

    def get(self, uuid: str) -> bytes | None: ...

    def put(self, uuid: str, data: bytes) -> None:
        """Replace them. MemoryError if there is no room."""

    def keep(self, uuids: frozenset[str]) -> None:
        """Remove all others."""


def check_kept(store: Store) -> None:
    """OPERATION_NOT_ALLOWED where the pool keeps no binary objects."""
    if not all(pool["binary_storage"] for pool in store.all("pool").values()):
        raise E.OPERATION_NOT_ALLOWED("The pool keeps no binary objects; pool.enable_binary_storage changes that.")
