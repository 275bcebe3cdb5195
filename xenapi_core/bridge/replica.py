"""A mirror of another pool's records, updated from the replies of its event.from.

Theory of operation
1. The mirror is a store of its own with revisions of its own; a batch of events is one commit, so readers see the pool
   as it was at one token.
2. Computed fields are stored here as the pool computes them: its rules may be of another version than ours. Inverse
   fields are answered by the mirror's index, as everywhere.
3. A batch from the empty token is the whole pool: what it does not name is gone. `counts` of every batch are compared
   with ours; `agrees` says whether something was missed.
4. Records of classes that we do not have, and such without a uuid, are passed over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from xenapi_core.bridge.pool_client import record
from xenapi_core.clock import Later, Slices, Steps
from xenapi_core.model.schema import Class, Schema
from xenapi_core.store.memory import MemoryStore

# Of no use to a reader of the pool, or none of its business.
NOT_MIRRORED: Final = frozenset({"event", "session", "secret", "user", "role", "subject", "auth"})


def mirror_schema(schema: Schema) -> Schema:
    """`schema` with computed fields that are stored (rule 2)."""

    def mirrored(cls: Class) -> Class:
        fields = tuple(replace(f, computed=None, follows={}) if f.computed is not None else f for f in cls.fields)
        return replace(cls, fields=fields)

    return Schema(*(mirrored(cls) for cls in schema.classes.values()))


@dataclass(frozen=True, slots=True)
class Batch:
    """What event.from answered: events as JSON has them, live objects per class in lower case, and the new token."""

    events: list[Mapping[str, Any]]
    counts: Mapping[str, int]
    token: str

    @classmethod
    def of(cls, answer: Any) -> Batch:
        """ValueError for what is no answer of event.from."""
        try:
            counts = {str(name): int(count) for name, count in answer["valid_ref_counts"].items()}
            return cls(list(answer["events"]), counts, str(answer["token"]))
        except (TypeError, KeyError, AttributeError, ValueError):
            raise ValueError("the answer to event.from has not the members it should have") from None


class Replica:
    """The mirror. `store` is for reading; only `apply` writes."""

    def __init__(self, schema: Schema) -> None:
        self.store = MemoryStore(schema, reuse_refs=True)
        self._schema = schema
        self._slices = Slices()
        self._classes = {
            name.lower(): cls
            for name, cls in schema.classes.items()
            if name not in NOT_MIRRORED and cls.has_records and "uuid" in cls.by_name and cls["uuid"].stored
        }

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes to subscribe to."""
        return tuple(cls.name for cls in self._classes.values() if cls.events)

    async def apply(self, batch: Batch, *, whole: bool) -> None:
        """Bring the mirror to the state after `batch`; `whole`: it is from the empty token (rule 3)."""
        read = self._slices.run(self._read(batch.events))
        found = await read if isinstance(read, Later) else read
        txn, store = self.store.begin(), self.store
        if whole:
            for name in self.classes:
                for ref in store.all(name):
                    if ref not in found:
                        txn.delete(ref)
        for ref, (cls, values) in found.items():
            if values is None:
                txn.delete(ref)
            elif store.find(ref) is None:
                txn.create(cls.name, ref, values)
            else:
                txn.update(ref, **values)
        store.commit(txn)

    def _read(self, events: Iterable[Mapping[str, Any]]) -> Steps[dict[str, tuple[Class, dict[str, Any] | None]]]:
        """The newest state of each object the events name; None: it is gone."""
        found: dict[str, tuple[Class, dict[str, Any] | None]] = {}
        for event in events:
            cls = self._classes.get(str(event.get("class", "")).lower())
            ref = event.get("ref")
            if cls is None or not isinstance(ref, str):
                continue
            if event.get("operation") == "del":
                found[ref] = (cls, None)
            elif isinstance(event.get("snapshot"), Mapping):
                values = record(cls, event["snapshot"], self._schema)
                if values["uuid"]:
                    found[ref] = (cls, values)
            yield
        return found

    def agrees(self, counts: Mapping[str, int]) -> bool:
        """Whether the mirror has as many objects of each class as the pool (rule 3); messages come and go apart."""
        ours = self.store.counts()
        return all(
            ours.get(name, 0) == counts[name.lower()]
            for name in self.classes
            if name.lower() in counts and self._schema.classes[name].in_database
        )

    def lose_contact(self) -> None:
        """Say of every host that it cannot be seen now (host_metrics.live); the next batch of all says otherwise."""
        txn = self.store.begin()
        for ref in self.store.all("host_metrics"):
            txn.update(ref, live=False)
        self.store.commit(txn)
