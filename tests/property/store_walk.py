"""One random walk over a store and the naive model at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from store_model import NAMED, SCHEMA, History, Objects, members

from xenapi_core.ids import NULL_REF
from xenapi_core.store.memory import MemoryStore
from xenapi_core.store.txn import MemoryTxn

NAMES = ("a", "b", "")


class Walker:
    """Applies the same transactions to `store` and to `history`."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self.history = History()
        self.objects: Objects = {}
        self.known: dict[str, list[str]] = {name: [] for name in SCHEMA.classes}  # also those that are gone

    def commit(self, operations: list[tuple[str, str, int, int]]) -> None:
        txn = self.store.begin()
        self.objects = {ref: (cls, dict(values)) for ref, (cls, values) in self.history.states[-1].items()}
        touched: set[str] = set()
        for kind, cls, i, j in operations:
            self._apply(txn, touched, kind, cls, i, j)
            check_reads(txn, self.objects)
        self.store.commit(txn)
        self.history.advance(self.objects, touched & self.objects.keys())

    def _apply(self, txn: MemoryTxn, touched: set[str], kind: str, cls: str, i: int, j: int) -> None:
        if kind == "create":
            ref = f"OpaqueRef:{cls}{len(self.known[cls])}"
            self.known[cls].append(ref)
            given: dict[str, Any] = {"uuid": f"uuid of {ref}"}
            if cls in NAMED:
                given["name_label"] = NAMES[i % 3]
            given.update(self._targets(cls, i, j))
            txn.create(cls, ref, given)
            self.objects[ref] = (cls, {**{f.name: f.initial for f in SCHEMA[cls].fields if f.stored}, **given})
            return
        alive = [ref for ref, (its_cls, _) in self.objects.items() if its_cls == cls]
        if not alive:
            return
        ref = alive[i % len(alive)]
        if kind == "delete":
            txn.delete(ref)
            del self.objects[ref]
        elif kind == "touch":
            txn.touch(ref)
            touched.add(ref)
        else:
            values = self._targets(cls, j, i) if kind == "point" else dict(self._plain(cls, j))
            txn.update(ref, **values)
            self.objects[ref][1].update(values)

    @staticmethod
    def _plain(cls: str, j: int) -> Iterator[tuple[str, Any]]:
        if cls in NAMED:
            yield "name_label", NAMES[j % 3]
        if cls == "VM":
            yield ("n", j % 3) if j < 5 else ("live", j)
        if cls == "VBD":
            yield "empty", bool(j % 2)
        if cls == "Metrics":
            yield "level", j % 3

    def _targets(self, cls: str, i: int, j: int) -> dict[str, Any]:
        """References to living, gone, and no objects."""
        if cls in ("VBD", "Task"):
            return {"VM": self._choose("VM", i)}
        if cls != "VM":
            return {}
        if i % 3 == 0:
            return {"groups": (self._choose("Group", i), self._choose("Group", j))}
        return {"parent": self._choose("VM", j)} if i % 3 == 1 else {"metrics": self._choose("Metrics", j)}

    def _choose(self, cls: str, i: int) -> str:
        return [NULL_REF, *self.known[cls][-3:]][i % (1 + len(self.known[cls][-3:]))]


def check_reads(reader: Any, objects: Objects) -> None:
    """`reader`, a store or a transaction, tells of every object what the model tells."""
    for ref, (cls, values) in objects.items():
        found = reader.find(ref)
        assert dict(found if isinstance(reader, MemoryTxn) else found.values) == values
        for field in SCHEMA[cls].fields:
            if field.inverse:
                assert reader.related(ref, field.name) == members(objects, ref, cls, field.name), (ref, field.name)
