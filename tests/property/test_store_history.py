"""The store against a model that keeps the whole history and searches."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_model import NAMED, SCHEMA, WALK, Objects, members
from store_walk import Walker, check_reads

from xenapi_core.errors import ApiError
from xenapi_core.store.api import Version
from xenapi_core.store.journal import open_store
from xenapi_core.store.memory import MemoryStore


def check_store(store: MemoryStore, objects: Objects) -> None:
    """All that a store tells about its present state."""
    check_reads(store, objects)
    for name, cls in SCHEMA.classes.items():
        refs = [ref for ref, (its_cls, _) in objects.items() if its_cls == name]
        assert list(store.all(name)) == refs
        assert all(store.all(name)[ref] is store.find(ref) for ref in refs)
        assert name not in store.counts() if not cls.in_database else store.counts()[name] == len(refs)
        assert all(store.by_uuid(name, objects[ref][1]["uuid"]) is store.find(ref) for ref in refs)
        assert store.by_uuid(name, "nobody's") is None
        for label in ("a", "b", "", "nobody's") if name in NAMED else ():
            assert store.by_name(name, label) == tuple(ref for ref in refs if objects[ref][1]["name_label"] == label)


@settings(max_examples=80, deadline=None)
@given(WALK)
def test_every_answer_is_that_of_a_full_history(walk: list[list[tuple[str, str, int, int]]]) -> None:
    store = MemoryStore(SCHEMA)
    walker = Walker(store)
    for operations in walk:
        walker.commit(operations)
        assert store.revision == walker.history.revision
    history = walker.history
    check_store(store, history.states[-1])
    for since in range(history.revision + 1):
        changes = store.changes(since)
        assert {(c.operation, c.ref, c.revision) for c in changes} == history.changes(since)
        assert len({c.ref for c in changes}) == len(changes)
        assert [c.revision for c in changes] == sorted(c.revision for c in changes)
        assert all(c.version is store.find(c.ref) for c in changes)
        for name in SCHEMA.classes:
            assert store.changes(since, [name]) == [c for c in changes if c.cls == name]
    for name in SCHEMA.classes:
        last = max((r for r in range(history.revision + 1) if _concerns(walker, name, r)), default=0)
        assert store.class_revision(name) == last


def _concerns(walker: Walker, name: str, revision: int) -> bool:
    """Whether an object of class `name` came, changed or went in `revision`."""
    if revision == 0:
        return False
    before, after = walker.history.states[revision - 1 : revision + 1]
    gone = [cls for ref, (cls, _) in before.items() if ref not in after]
    return name in gone or any(after[ref][0] == name for ref in walker.history.changed[revision])


@settings(max_examples=40, deadline=None)
@given(WALK, st.integers(0, 3))
def test_events_are_lost_exactly_when_a_deletion_was_forgotten(
    walk: list[list[tuple[str, str, int, int]]], limit: int
) -> None:
    store = MemoryStore(SCHEMA, tombstones=limit)
    walker = Walker(store)
    for operations in walk:
        walker.commit(operations)
    deletions = walker.history.deletions
    forgotten = deletions[: len(deletions) - limit] if len(deletions) > limit else []
    for since in range(walker.history.revision + 1):
        if since and forgotten and since < forgotten[-1]:
            with pytest.raises(ApiError, match="EVENTS_LOST"):
                store.changes(since)
        else:
            assert {(c.operation, c.ref, c.revision) for c in store.changes(since)} == walker.history.changes(since)


@settings(max_examples=15, deadline=None)
@given(WALK, st.booleans())
def test_a_reopened_store_has_what_is_journalled_and_nothing_else(
    walk: list[list[tuple[str, str, int, int]]], wait_each: bool
) -> None:
    async def scenario(directory: Path) -> None:
        store = await open_store(directory, SCHEMA)
        walker = Walker(store)
        for operations in walk:
            walker.commit(operations)
            if wait_each:
                await store.durable(store.revision)
        seen = store.revision
        await store.close()

        again = await open_store(directory, SCHEMA)
        kept: Objects = {}
        for ref, (cls, values) in walker.history.states[-1].items():
            if SCHEMA[cls].persist:
                kept[ref] = (cls, {name: v if SCHEMA[cls][name].persist else 0 for name, v in values.items()})
        check_store(again, kept)
        assert again.revision > seen
        assert {(c.operation, c.ref) for c in again.changes(0)} == {("add", ref) for ref in kept}
        assert again.changes(again.revision) == []
        for since in range(1, again.revision):
            with pytest.raises(ApiError, match="EVENTS_LOST"):
                again.changes(since)
        await again.close()

    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(scenario(Path(directory)))


@settings(max_examples=30, deadline=None)
@given(WALK)
def test_a_memo_never_outlives_what_it_was_made_from(walk: list[list[tuple[str, str, int, int]]]) -> None:
    store = MemoryStore(SCHEMA)
    walker = Walker(store)
    for operations in walk:
        walker.commit(operations)
        objects = walker.history.states[-1]
        for ref, (cls, values) in objects.items():
            version = store.get(ref)
            if "test" not in version.memo:
                version.memo["test"] = _render(store, version)
            shown = version.memo["test"]
            assert shown == (values, [members(objects, ref, cls, i) for i in _inverses(cls)])


def _inverses(cls: str) -> list[str]:
    return [f.name for f in SCHEMA[cls].fields if f.inverse]


def _render(store: MemoryStore, version: Version) -> tuple[dict[str, object], list[tuple[str, ...]]]:
    return dict(version.values), [store.related(version.ref, inverse) for inverse in _inverses(version.cls)]
