"""A store in memory for tests that write records directly, without the API."""

from __future__ import annotations

from typing import Any

from xenapi_core.ids import Ids
from xenapi_core.model.catalog import SCHEMA
from xenapi_core.store.memory import MemoryStore


class Records:
    """A store, a new one in memory unless given. The same seed gives the same references and uuids in their order."""

    def __init__(self, seed: str, store: MemoryStore | None = None) -> None:
        self.store = MemoryStore(SCHEMA) if store is None else store
        self.ids = Ids(seed)

    def add(self, cls: str, **values: Any) -> str:
        """A record with the schema's initial values and these; its reference."""
        txn = self.store.begin()
        ref = txn.create(cls, self.ids.ref(), {"uuid": self.ids.uuid(), **values})
        self.store.commit(txn)
        return ref

    def change(self, ref: str, /, **values: Any) -> None:
        txn = self.store.begin()
        txn.update(ref, **values)
        self.store.commit(txn)

    def remove(self, ref: str) -> None:
        txn = self.store.begin()
        txn.delete(ref)
        self.store.commit(txn)
