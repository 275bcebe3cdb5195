"""Transactions of the store in memory: pending writes, visible to the transaction's own reads.

Rule 1: a transaction holds only the fields that were set; they are laid over the newest version when it is committed.
        Two transactions that overlap and set different fields of an object therefore both keep their word.
Rule 2: reads see this transaction's writes over the newest committed state, which may move between two reads.
Rule 3: a transaction is used up by commit, also when commit fails.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from xenapi_core.errors import E, never

if TYPE_CHECKING:
    from xenapi_core.store.layout import Layout
    from xenapi_core.store.memory import MemoryStore


class Draft:
    """What a transaction wants for one object. For a new object `fields` are all of its stored fields."""

    __slots__ = ("created", "deleted", "fields", "layout")

    def __init__(self, layout: Layout, fields: dict[str, Any], created: bool = False, deleted: bool = False) -> None:
        self.layout = layout
        self.fields = fields
        self.created = created
        self.deleted = deleted


class MemoryTxn:
    """The store.api.Txn of a MemoryStore: one draft for each object it writes. A draft without fields is a touch: a new
    version with the same values."""

    __slots__ = ("_drafts", "_touched", "store")

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self._drafts: dict[str, Draft] | None = {}
        self._touched: set[str] = set()

    def get(self, ref: str, cls: str | None = None) -> Mapping[str, Any]:
        """Values as this transaction sees them. HANDLE_INVALID if there is no such object (of that class)."""
        values = self.find(ref)
        if values is None or (cls is not None and self._class_of(ref) != cls):
            raise E.HANDLE_INVALID(cls or "", ref)
        return values

    def find(self, ref: str) -> Mapping[str, Any] | None:
        """Values as this transaction sees them, or None if there is no such object. The mapping does not change when
        the transaction goes on."""
        draft = self._open().get(ref)
        if draft is not None and draft.created:
            return draft.fields
        version = self.store.find(ref)
        if version is None or (draft is not None and draft.deleted):
            return None
        return {**version.values, **draft.fields} if draft is not None and draft.fields else version.values

    def related(self, ref: str, inverse: str) -> tuple[str, ...]:
        """The objects that refer to `ref` (Store.related), with this transaction's writes applied; objects it created
        come last."""
        drafts = self._open()
        refs = self.store.related_as(self._class_of(ref), ref, inverse)
        if not drafts:
            return refs
        found = [other for other in refs if other not in drafts]
        for layout, pointer in self.store.pointing(self._class_of(ref), inverse):
            for other, draft in drafts.items():
                if draft.layout is layout:
                    values = self.find(other)
                    if values is not None and ref in pointer.targets(values[pointer.field]):
                        found.append(other)
        return self.store.oldest_first(found)

    def create(self, cls: str, ref: str, values: Mapping[str, Any]) -> str:
        """A new object: missing fields get the schema's initial values, `uuid` must be given. Returns `ref`."""
        layout = self.store.layout(cls)
        if not layout.has_records:
            never(f"{cls} has no records")
        fields = {**layout.initial, **values}
        if len(fields) != len(layout.initial):
            never(f"{cls} has no stored field {sorted(fields.keys() - layout.initial.keys())}")
        if "uuid" in layout.initial and not fields["uuid"]:
            never(f"a new {cls} needs a uuid")
        drafts = self._open()
        if ref in drafts or self.store.was_used(ref):
            never(f"the reference of a new {cls} was used before")
        drafts[ref] = Draft(layout, fields, created=True)
        return ref

    def update(self, ref: str, /, **values: Any) -> None:
        """Change some fields. A value equal to the old one is no change. HANDLE_INVALID if there is no such object."""
        draft = self._draft(ref)
        if not values.keys() <= draft.layout.initial.keys():
            never(f"{draft.layout.name} has no stored field {sorted(values.keys() - draft.layout.initial.keys())}")
        draft.fields = {**draft.fields, **values} if draft.fields else values

    def touch(self, ref: str) -> None:
        """A new version with the same values (event.inject). HANDLE_INVALID if there is no such object."""
        self._draft(ref)
        self._touched.add(ref)

    def delete(self, ref: str) -> None:
        """Remove an object; deleting one that is gone is no error. What was created here never existed."""
        drafts = self._open()
        draft = drafts.get(ref)
        if draft is not None and draft.created:
            del drafts[ref]
            self._touched.discard(ref)
        elif (version := self.store.find(ref)) is not None:
            drafts[ref] = Draft(self.store.layout(version.cls), {}, deleted=True)

    def take(self) -> tuple[dict[str, Draft], set[str]]:
        """For Store.commit: the drafts, and the references to touch; the transaction is used up."""
        drafts = self._open()
        self._drafts = None
        return drafts, self._touched

    def _open(self) -> dict[str, Draft]:
        if self._drafts is None:
            never("this transaction was committed")
        return self._drafts

    def _draft(self, ref: str) -> Draft:
        drafts = self._open()
        draft = drafts.get(ref)
        if draft is None:
            version = self.store.find(ref)
            if version is None:
                raise E.HANDLE_INVALID("", ref)
            draft = drafts[ref] = Draft(self.store.layout(version.cls), {})
        elif draft.deleted:
            raise E.HANDLE_INVALID(draft.layout.name, ref)
        return draft

    def _class_of(self, ref: str) -> str | None:
        draft = self._open().get(ref)
        if draft is not None:
            return draft.layout.name
        version = self.store.find(ref)
        return None if version is None else version.cls
