"""The store: all records in memory under one revision, optionally journalled to disk. Contract: store/api.py.

Theory of operation
1. `commit` has two halves. The first compares, checks and may raise; it changes nothing. The second applies what the
   first found and cannot fail. No await and no callback is in between, so no reader ever sees half a transaction.
2. An object gets a new version in a commit when: a stored field of it changed; it was touched; a reference to it was
   set or cleared (relations: both ends change); or something it follows changed (schema: Field.follows). At most one
   version per object and commit. Following goes one hop: from fields that were written, and from inverse fields whose
   members changed.
3. Creating or deleting an object counts as a change of all its fields. Deleting clears no reference; an index entry
   lives as long as the object that refers, so references to nothing are answered like others.
4. Tombstones are kept for the last deletions only. A token older than a forgotten tombstone is EVENTS_LOST, and so is
   one from before the start of this store (its tombstones died with the process) or one never given out. Token 0 means
   "from nothing" and is never lost.
5. Only versions whose journalled fields changed go to the journal; a follower's version is no news for the disk.
   `modified` is therefore exact for tokens of this process, and those are the only tokens that are answered.
6. If the journal fails, commit raises ReadOnlyError from then on for objects of classes that are journalled. Reading
   goes on, and so do sessions and tasks.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from xenapi_core.errors import E, never
from xenapi_core.model.schema import Schema
from xenapi_core.store.api import Change, Txn, Version
from xenapi_core.store.index import OrderedIndex
from xenapi_core.store.layout import Follow, Layout, Place, Pointer, layouts
from xenapi_core.store.table import Table
from xenapi_core.store.txn import MemoryTxn

if TYPE_CHECKING:
    from xenapi_core.store.journal import Journal


class _Write(NamedTuple):
    """One object of a commit: `changed` is None for a creation (no `old`) and for a deletion (no `values`)."""

    table: Table
    ref: str
    old: Version | None
    values: Mapping[str, Any] | None
    changed: Mapping[str, Any] | None


class _Move(NamedTuple):
    """A reference that begins or ceases to point: `key` is where to."""

    pointer: Pointer
    entries: OrderedIndex
    key: str
    ref: str


class _Tombstone(NamedTuple):
    cls: str
    created: int
    revision: int
    uuid: str


class MemoryStore:
    """The store.api.Store that keeps all records in memory. `versions` in creation order and `revision` are where a
    journalled store starts.

    `tombstones` is how many deletions `changes` can look back at. `reuse_refs`: references are not ours (a mirror of
    another pool), so one may come back; `changes` then tells of the new object only.
    """

    def __init__(
        self,
        schema: Schema,
        journal: Journal | None = None,
        tombstones: int = 50_000,
        *,
        versions: Iterable[Version] = (),
        revision: int = 0,
        reuse_refs: bool = False,
    ) -> None:
        self.schema = schema
        self._reuse_refs = reuse_refs
        self.journal = journal
        self._layouts = layouts(schema)
        self._revision = self._horizon = revision
        self._tombstone_limit = tombstones
        self._tombstones: OrderedDict[str, _Tombstone] = OrderedDict()
        self._head: dict[str, Version] = {}
        self._serials: dict[str, int] = {}
        self._serial = 0
        self._tables = {name: Table(layout, self._serials, revision) for name, layout in self._layouts.items()}
        self._indexes: dict[Place, OrderedIndex] = {}
        for layout in self._layouts.values():
            for place in (*((layout.name, p.field) for p in layout.pointers), *layout.inverses.values()):
                self._indexes.setdefault(place, OrderedIndex(self._serials))
        self._waiters: dict[asyncio.Future[bool], int] = {}
        self._load(versions, revision)

    # Reading

    @property
    def revision(self) -> int:
        return self._revision

    def get(self, ref: str, cls: str | None = None) -> Version:
        """HANDLE_INVALID [class, ref] if there is no such object, or it is of another class."""
        version = self._head.get(ref)
        if version is None or (cls is not None and version.cls != cls):
            raise E.HANDLE_INVALID(cls or "", ref)
        return version

    def find(self, ref: str) -> Version | None:
        """The newest version of `ref`, or None."""
        return self._head.get(ref)

    def all(self, cls: str) -> Mapping[str, Version]:
        """Live view: ref -> version, in creation order. Do not commit while iterating over it."""
        return self._tables[cls].view

    def by_uuid(self, cls: str, uuid: str) -> Version | None:
        """The object of `cls` with that uuid, or None; at most one exists."""
        ref = self._tables[cls].uuids.get(uuid)
        return None if ref is None else self._head[ref]

    def by_name(self, cls: str, name: str) -> tuple[str, ...]:
        """The objects of `cls` with that name_label, oldest first; none for a class without names."""
        return self._tables[cls].names.get(name)

    def related(self, ref: str, inverse: str) -> tuple[str, ...]:
        """References that point at `ref` through the relation whose far end is the field `inverse`, oldest first.

        Also answered for an object that is gone, as long as others refer to it.
        """
        version = self._head.get(ref)
        return self.related_as(None if version is None else version.cls, ref, inverse)

    def related_as(self, cls: str | None, ref: str, inverse: str) -> tuple[str, ...]:
        """`related` for an object known to be of `cls` (None: no longer known)."""
        places = self._places(cls, inverse)
        if len(places) == 1:
            return self._indexes[places[0]].get(ref)
        return tuple(other for place in places for other in self._indexes[place].get(ref))

    def class_revision(self, cls: str) -> int:
        """The revision of the last change to any object of `cls` (add, mod or del)."""
        return self._tables[cls].revision

    def counts(self) -> Mapping[str, int]:
        """Live objects per class, for every class of the database, also those without any."""
        return {name: len(table.view) for name, table in self._tables.items() if table.layout.is_counted}

    def changes(self, since: int, classes: Iterable[str] | None = None) -> list[Change]:
        """What happened after `since`, by revision; `None` means all classes; a class that does not exist has none.

        EVENTS_LOST for a token that cannot be answered (rule 4). Costs as much as there are changes.
        """
        if since > self._revision or 0 < since < self._horizon:
            raise E.EVENTS_LOST()
        names = self._tables.keys() if classes is None else self._tables.keys() & set(classes)
        tables = [self._tables[name] for name in self._tables if name in names and self._tables[name].revision > since]
        found = [change for table in tables for change in table.changed(since)]
        if tables and since > 0:
            wanted = {table.layout.name for table in tables}
            found.extend(change for change in self._deleted(since) if change.cls in wanted)
        found.sort(key=lambda change: change.revision)
        return found

    async def wait(self, since: int, timeout: float | None) -> bool:
        """True as soon as revision > since; False after `timeout` seconds of the loop's time (None: never)."""
        if self._revision > since:
            return True
        if timeout is not None and timeout <= 0:
            return False
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[bool] = loop.create_future()
        timer = None if timeout is None else loop.call_later(timeout, _settle, waiter, False)
        self._waiters[waiter] = since
        try:
            return await waiter
        finally:
            del self._waiters[waiter]
            if timer is not None:
                timer.cancel()

    def wake(self) -> None:
        """End all waits as if their time were up."""
        for waiter in tuple(self._waiters):
            _settle(waiter, False)

    # What a transaction asks

    def layout(self, cls: str) -> Layout:
        return self._layouts[cls]

    def was_used(self, ref: str) -> bool:
        """Whether `ref` names an object, or one whose deletion is still remembered."""
        return ref in self._head or (ref in self._tombstones and not self._reuse_refs)

    def pointing(self, cls: str | None, inverse: str) -> Iterator[tuple[Layout, Pointer]]:
        """The reference fields behind an inverse field of `cls` (None: of any class)."""
        for owner, field in self._places(cls, inverse):
            layout = self._layouts.get(owner)
            for pointer in layout.pointers if layout is not None else ():
                if pointer.field == field:
                    yield self._layouts[owner], pointer

    def oldest_first(self, refs: Iterable[str]) -> tuple[str, ...]:
        """`refs` in creation order; those that do not exist yet last, in the order given."""
        return tuple(sorted(refs, key=lambda ref: self._serials.get(ref, self._serial + 1)))

    # Writing

    def begin(self) -> MemoryTxn:
        return MemoryTxn(self)

    def commit(self, txn: Txn) -> int:
        """Apply and return the new revision (or the present one, if the transaction changed nothing).

        HANDLE_INVALID if an object to change is gone meanwhile; ReadOnlyError or StoreError from the journal. The store
        is unchanged then.
        """
        if not isinstance(txn, MemoryTxn) or txn.store is not self:
            never("a transaction is committed to the store that began it")
        writes = self._compare(txn)
        if not writes:
            return self._revision
        revision = self._revision + 1
        if self.journal is not None:
            self._admit(self.journal, revision, writes)
        self._check_uuids(writes)
        gone, new = self._moves(writes)

        self._revision = revision
        self._apply(writes, revision)
        for move in gone:
            move.entries.remove(move.key, move.ref)
        for move in new:
            move.entries.add(move.key, move.ref)
        self._renew(writes, (*gone, *new), revision)
        if self.journal is not None:
            self.journal.append(revision, [(w.ref, self._head.get(w.ref)) for w in writes if _is_journalled(w)])
        for waiter, since in self._waiters.items():
            if since < revision:
                _settle(waiter, True)
        return revision

    @property
    def writable(self) -> bool:
        return self.journal is None or self.journal.writable

    async def durable(self, revision: int) -> None:
        """Return when everything up to `revision` survives a crash; at once for a store in memory.

        ReadOnlyError if it never will; StoreError if the disk does not answer in time (then nobody knows).
        """
        if self.journal is not None:
            await self.journal.durable(revision)

    async def close(self) -> None:
        """Flush and give the state directory free; nothing can be written afterwards.

        ReadOnlyError if not everything could be flushed.
        """
        if self.journal is not None:
            await self.journal.close(self._revision)

    # Commit, first half: nothing changes

    def _compare(self, txn: MemoryTxn) -> list[_Write]:
        """What the transaction really changes, against the newest versions."""
        writes: list[_Write] = []
        drafts, touched = txn.take()
        for ref, draft in drafts.items():
            old = self._head.get(ref)
            table = self._tables[draft.layout.name]
            if draft.created:
                if self.was_used(ref):
                    never(f"the reference of a new {draft.layout.name} was used before")
                writes.append(_Write(table, ref, None, draft.fields, None))
            elif draft.deleted:
                if old is not None:
                    writes.append(_Write(table, ref, old, None, None))
            elif old is None:
                raise E.HANDLE_INVALID(draft.layout.name, ref)
            else:
                before = old.values
                changed = {f: v for f, v in draft.fields.items() if before[f] is not v and before[f] != v}
                if changed:
                    writes.append(_Write(table, ref, old, {**before, **changed}, changed))
                elif ref in touched:
                    writes.append(_Write(table, ref, old, before, changed))
        return writes

    @staticmethod
    def _admit(journal: Journal, revision: int, writes: Sequence[_Write]) -> None:
        journal.admit(revision, any(write.table.layout.persisted for write in writes))
        for write in writes:
            fields = write.values if write.changed is None else write.changed
            if fields and write.table.layout.persisted:
                journal.check(write.table.layout.name, fields)

    @staticmethod
    def _check_uuids(writes: Sequence[_Write]) -> None:
        """Two live objects of a class never share a uuid: handlers refuse duplicates before they get here."""
        news = [w for w in writes if w.changed is None or "uuid" in w.changed]
        after: dict[tuple[str, str], str | None] = {}
        for table, _, old, _, _ in news:
            if old is not None and table.has_uuid:
                after[table.layout.name, old.values["uuid"]] = None
        for table, ref, _, values, _ in news:
            if values is not None and table.has_uuid:
                key = (table.layout.name, values["uuid"])
                if after.get(key, None if key in after else table.uuids.get(key[1])) is not None:
                    never(f"two objects of class {key[0]} would have the uuid {key[1]}")
                after[key] = ref

    def _moves(self, writes: Sequence[_Write]) -> tuple[list[_Move], list[_Move]]:
        """Which references cease and which begin to point."""
        gone: list[_Move] = []
        new: list[_Move] = []
        for table, ref, old, values, changed in writes:
            layout = table.layout
            if changed is not None and layout.watched.isdisjoint(changed):
                continue
            for pointer in layout.pointers:
                field = pointer.field
                if changed is not None and field not in changed:
                    continue
                was = () if old is None else pointer.targets(old.values[field])
                now = () if values is None else pointer.targets(values[field])
                index = self._indexes[layout.name, field]
                kept = set(was).intersection(now)
                gone.extend(_Move(pointer, index, key, ref) for key in was if key not in kept)
                new.extend(_Move(pointer, index, key, ref) for key in now if key not in kept)
        return gone, new

    # Commit, second half: nothing fails

    def _apply(self, writes: Sequence[_Write], revision: int) -> None:
        """Put the written versions in place, with their uuids and names."""
        renamed: list[_Write] = []
        for write in writes:
            table, ref, old, values, changed = write
            if changed is None or not table.layout.watched.isdisjoint(changed):
                renamed.append(write)
            if values is None:
                self._bury(table, ref, revision)
            elif old is None:
                self._add(table, Version(table.layout.name, ref, values, revision, revision))
            else:
                self._put(table, Version(old.cls, ref, values, old.created, revision))
        # First all old entries, then all new ones: a uuid may pass from one object to another in one commit.
        for table, ref, old, values, _ in renamed:
            if old is not None:
                table.unname(ref, old.values, values)
        for table, ref, old, values, _ in renamed:
            if values is not None:
                table.name(ref, None if old is None else old.values, values)

    def _add(self, table: Table, version: Version) -> None:
        self._serial += 1
        self._serials[version.ref] = self._serial
        if self._reuse_refs:
            self._tombstones.pop(version.ref, None)
        self._put(table, version)

    def _put(self, table: Table, version: Version) -> None:
        self._head[version.ref] = version
        table.put(version)

    def _bury(self, table: Table, ref: str, revision: int) -> None:
        version = self._head.pop(ref)
        del self._serials[ref]
        table.remove(ref, revision)
        self._tombstones[ref] = _Tombstone(version.cls, version.created, revision, version.values.get("uuid", ""))
        while len(self._tombstones) > self._tombstone_limit:
            self._horizon = self._tombstones.popitem(last=False)[1].revision

    def _renew(self, writes: Sequence[_Write], moves: Iterable[_Move], revision: int) -> None:
        """New versions, with the same values, of far ends and followers (rule 2)."""
        renewed: dict[str, None] = {}
        for pointer, _, key, _ in moves:
            far = self._head.get(key) if pointer.far is not None else None
            if far is not None and pointer.far is not None and far.cls == pointer.far[0]:
                renewed[key] = None
                follows = self._layouts[far.cls].followers.get(pointer.far[1], ())
                renewed.update(self._following(follows, key, far.values))
        for table, ref, old, values, changed in writes:
            layout = table.layout
            if not layout.everyone:
                continue
            present = values if values is not None else old.values if old is not None else {}
            if changed is None:
                renewed.update(self._following(layout.everyone, ref, present))
            else:
                for field in layout.followers.keys() & changed.keys():
                    renewed.update(self._following(layout.followers[field], ref, present))
        if renewed:
            for write in writes:
                renewed.pop(write.ref, None)
            for ref in renewed:
                old = self._head[ref]
                self._put(self._tables[old.cls], Version(old.cls, ref, old.values, old.created, revision))

    def _following(self, follows: Iterable[Follow], ref: str, values: Mapping[str, Any]) -> dict[str, None]:
        """The living objects that follow `ref`, which has `values`."""
        found: dict[str, None] = {}
        for cls, place, pointer in follows:
            if place is not None:
                found.update(dict.fromkeys(self._indexes[place].get(ref)))
            elif pointer is not None:
                for target in pointer.targets(values[pointer.field]):
                    version = self._head.get(target)
                    if version is not None and version.cls == cls:
                        found[target] = None
        return found

    # Small things

    def _places(self, cls: str | None, inverse: str) -> tuple[Place, ...]:
        """The places whose index answers an inverse field: one place, or all of that name if the class is not known."""
        if cls is None:
            return tuple(dict.fromkeys(x.inverses[inverse] for x in self._layouts.values() if inverse in x.inverses))
        place = self._layouts[cls].inverses.get(inverse)
        return never(f"{cls} has no inverse field {inverse}") if place is None else (place,)

    def _deleted(self, since: int) -> Iterator[Change]:
        """Deletions after `since` of objects that existed then, the latest first."""
        for ref, tombstone in reversed(self._tombstones.items()):
            if tombstone.revision <= since:
                return
            if tombstone.created <= since:
                yield Change("del", tombstone.cls, ref, tombstone.revision, None, tombstone.uuid)

    def _load(self, versions: Iterable[Version], revision: int) -> None:
        """Take over what the journal kept."""
        for version in versions:
            table = self._tables[version.cls]
            self._add(table, version)
            table.name(version.ref, None, version.values)
            for pointer in table.layout.pointers:
                for key in pointer.targets(version.values[pointer.field]):
                    self._indexes[version.cls, pointer.field].add(key, version.ref)
        for table in self._tables.values():
            table.settle(revision)


def _is_journalled(write: _Write) -> bool:
    persisted = write.table.layout.persisted
    return bool(persisted) and (write.changed is None or not persisted.isdisjoint(write.changed))


def _settle(waiter: asyncio.Future[bool], answer: bool) -> None:
    if not waiter.done():
        waiter.set_result(answer)
