"""What the store promises beyond the random walk: refusals, overlapping transactions, followers, waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from xenapi_core.errors import ApiError
from xenapi_core.ids import NULL_REF
from xenapi_core.model.schema import RO, RW, Class, Field, Schema
from xenapi_core.model.types import INT, STRING, Ref, Set
from xenapi_core.store.api import Store
from xenapi_core.store.memory import MemoryStore

UUID = Field("uuid", STRING, RO, "", default="")
NAME = Field("name_label", STRING, RW, "", default="")


def _following(**follows: tuple[str, ...]) -> Field:
    return Field("seen", INT, RO, "", default=0, computed=lambda reader, version: 0, follows=follows)


SCHEMA = Schema(
    Class("VM", "", (
        UUID, NAME, Field("n", INT, RW, "", default=7), Field("metrics", Ref("Metrics"), RO, "", default=NULL_REF),
        Field("VBDs", Set(Ref("VBD")), RO, "", inverse="VBD.VM"),
        Field("groups", Set(Ref("Group")), RW, "", default=()), _following(metrics=("level",)),
    )),
    Class("VBD", "", (UUID, Field("VM", Ref("VM"), RO, "", default=NULL_REF))),
    Class("Metrics", "", (UUID, Field("level", INT, RO, "", default=0), Field("noise", INT, RO, "", default=0))),
    Class("Group", "", (UUID, Field("VMs", Set(Ref("VM")), RO, "", inverse="VM.groups"))),
    Class("event", "", (), in_database=False, has_records=False),
)  # fmt: skip


def make(store: MemoryStore, cls: str, ref: str, **values: object) -> int:
    txn = store.begin()
    txn.create(cls, ref, {"uuid": f"uuid of {ref}", **values})
    return store.commit(txn)


def change(store: MemoryStore, ref: str, **values: object) -> int:
    txn = store.begin()
    txn.update(ref, **values)
    return store.commit(txn)


def drop(store: MemoryStore, ref: str) -> int:
    txn = store.begin()
    txn.delete(ref)
    return store.commit(txn)


def modified(store: MemoryStore, ref: str) -> int:
    return store.get(ref).modified


@pytest.fixture
def store() -> MemoryStore:
    made: Store = MemoryStore(SCHEMA)  # the contract, as mypy sees it
    assert isinstance(made, MemoryStore)
    return made


def test_counts_name_every_class_with_records_and_no_other(store: MemoryStore) -> None:
    make(store, "VM", "v")
    assert store.counts() == {"VM": 1, "VBD": 0, "Metrics": 0, "Group": 0}


def test_a_new_object_has_the_initial_values_of_the_schema(store: MemoryStore) -> None:
    make(store, "VM", "v", name_label="x")
    assert store.get("v").values == {
        "uuid": "uuid of v", "name_label": "x", "n": 7, "metrics": NULL_REF, "groups": (),
    }  # fmt: skip


def test_handles_are_checked_with_their_class(store: MemoryStore) -> None:
    make(store, "VM", "v")
    for read in (store.get, store.begin().get):
        assert read("v", "VM")["n"] == 7
        with pytest.raises(ApiError) as wrong_class:
            read("v", "VBD")
        assert wrong_class.value.description == ["HANDLE_INVALID", "VBD", "v"]
        with pytest.raises(ApiError) as unknown:
            read("nothing", "VM")
        assert unknown.value.description == ["HANDLE_INVALID", "VM", "nothing"]


@pytest.mark.parametrize("write", [lambda t: t.update("gone", n=1), lambda t: t.touch("gone")])
def test_writing_to_a_missing_object_is_refused(store: MemoryStore, write: Callable[[object], None]) -> None:
    with pytest.raises(ApiError, match="HANDLE_INVALID"):
        write(store.begin())


def test_a_deleted_object_cannot_be_changed_in_the_same_transaction(store: MemoryStore) -> None:
    make(store, "VM", "v")
    txn = store.begin()
    txn.delete("v")
    with pytest.raises(ApiError, match="HANDLE_INVALID VM v"):
        txn.update("v", n=1)
    assert txn.find("v") is None


def test_deleting_what_is_gone_is_no_change(store: MemoryStore) -> None:
    assert drop(store, "nothing") == 0
    make(store, "VM", "v")
    first, second = store.begin(), store.begin()
    first.delete("v")
    second.delete("v")
    assert (store.commit(first), store.commit(second)) == (2, 2)


def test_what_is_made_and_deleted_in_one_transaction_never_existed(store: MemoryStore) -> None:
    txn = store.begin()
    txn.create("VM", "v", {"uuid": "u"})
    txn.touch("v")
    txn.delete("v")
    assert store.commit(txn) == 0
    assert store.changes(0) == []


@pytest.mark.parametrize(
    ("cls", "ref", "values"),
    [
        ("VM", "new", {}),
        ("VM", "new", {"uuid": "u", "power": 1}),
        ("VM", "new", {"uuid": "u", "VBDs": ()}),
        ("VM", "alive", {"uuid": "u"}),
        ("VM", "dead", {"uuid": "u"}),
        ("event", "new", {}),
    ],
)
def test_a_wrong_creation_is_our_bug(store: MemoryStore, cls: str, ref: str, values: dict[str, object]) -> None:
    make(store, "VM", "alive")
    make(store, "VM", "dead")
    drop(store, "dead")
    with pytest.raises(AssertionError):
        store.begin().create(cls, ref, values)


def test_two_objects_of_a_class_never_share_a_uuid(store: MemoryStore) -> None:
    make(store, "VM", "a", uuid="1")
    make(store, "VM", "b", uuid="2")
    with pytest.raises(AssertionError, match="uuid"):
        make(store, "VM", "c", uuid="1")
    with pytest.raises(AssertionError, match="uuid"):
        change(store, "b", uuid="1")
    assert store.revision == 2
    assert store.find("c") is None
    make(store, "VBD", "d", uuid="1")  # another class


def test_uuids_may_pass_between_objects_of_one_transaction(store: MemoryStore) -> None:
    make(store, "VM", "a", uuid="1")
    make(store, "VM", "b", uuid="2")
    txn = store.begin()
    txn.update("a", uuid="2")
    txn.update("b", uuid="1")
    store.commit(txn)
    assert [store.by_uuid("VM", uuid) for uuid in "12"] == [store.get("b"), store.get("a")]
    txn = store.begin()
    txn.create("VM", "c", {"uuid": "1"})
    txn.delete("b")
    store.commit(txn)
    assert store.by_uuid("VM", "1") is store.get("c")


def test_overlapping_transactions_keep_each_others_fields(store: MemoryStore) -> None:
    make(store, "VM", "v")
    first, second = store.begin(), store.begin()
    first.update("v", n=1)
    second.update("v", name_label="x")
    store.commit(first)
    assert second.get("v")["n"] == 1
    store.commit(second)
    assert (store.get("v")["n"], store.get("v")["name_label"]) == (1, "x")


def test_a_failed_commit_changes_nothing(store: MemoryStore) -> None:
    make(store, "VM", "v")
    make(store, "VM", "w")
    txn = store.begin()
    txn.update("v", n=1)
    txn.update("w", n=1)
    drop(store, "w")
    with pytest.raises(ApiError, match="HANDLE_INVALID VM w"):
        store.commit(txn)
    assert (store.revision, store.get("v")["n"]) == (3, 7)


def test_a_transaction_is_used_once(store: MemoryStore) -> None:
    txn = store.begin()
    store.commit(txn)
    with pytest.raises(AssertionError):
        txn.create("VM", "v", {"uuid": "u"})
    with pytest.raises(AssertionError):
        store.commit(txn)
    with pytest.raises(AssertionError):
        store.commit(MemoryStore(SCHEMA).begin())


def test_values_read_in_a_transaction_stay_as_they_were(store: MemoryStore) -> None:
    make(store, "VM", "v")
    txn = store.begin()
    txn.update("v", n=1)
    before = txn.get("v")
    txn.update("v", n=2)
    assert (before["n"], txn.get("v")["n"]) == (1, 2)


async def test_equal_values_are_no_change_and_wake_nobody(store: MemoryStore) -> None:
    make(store, "VM", "v")
    waiting = asyncio.ensure_future(store.wait(1, None))
    await asyncio.sleep(0)
    assert change(store, "v", n=7) == 1
    await asyncio.sleep(0)
    assert not waiting.done()
    assert change(store, "v", n=8) == 2
    assert await waiting


def test_followers_change_with_what_they_follow_and_with_nothing_else(store: MemoryStore) -> None:
    make(store, "VM", "v", metrics="m")
    for step, changes in (
        (lambda: make(store, "Metrics", "m"), True),
        (lambda: change(store, "m", noise=1), False),
        (lambda: change(store, "m", level=1), True),
        (lambda: drop(store, "m"), True),
    ):
        before = store.get("v")
        revision = step()
        assert (store.get("v") is not before) == changes
        assert not changes or modified(store, "v") == revision


def test_only_members_that_come_or_go_change_the_far_end(store: MemoryStore) -> None:
    for group in "abc":
        make(store, "Group", group)
    make(store, "VM", "v", groups=("a", "b", NULL_REF, "a"))
    revision = change(store, "v", groups=("c", "b"))
    assert [modified(store, group) == revision for group in "abc"] == [True, False, True]
    assert [store.related(group, "VMs") for group in "abc"] == [(), ("v",), ("v",)]
    assert change(store, "v", groups=("b", "c")) == modified(store, "v") == revision + 1
    assert modified(store, "c") == revision


def test_related_objects_come_oldest_first_however_they_came(store: MemoryStore) -> None:
    make(store, "VM", "v")
    for ref in "abc":
        make(store, "VBD", ref, VM="v" if ref == "c" else NULL_REF)
    change(store, "b", VM="v")
    txn = store.begin()
    txn.update("a", VM="v")
    txn.create("VBD", "d", {"uuid": "d", "VM": "v"})
    txn.update("b", VM=NULL_REF)
    assert txn.related("v", "VBDs") == ("a", "c", "d")
    store.commit(txn)
    assert store.related("v", "VBDs") == ("a", "c", "d")


def test_what_a_transaction_makes_comes_after_the_youngest_that_exists(store: MemoryStore) -> None:
    make(store, "VM", "v")
    make(store, "VBD", "youngest", VM="v")
    txn = store.begin()
    txn.create("VBD", "new", {"uuid": "new", "VM": "v"})
    txn.update("youngest", uuid="changed after the other was made")
    assert txn.related("v", "VBDs") == ("youngest", "new")
    store.commit(txn)
    assert store.related("v", "VBDs") == ("youngest", "new")


def test_references_to_what_is_gone_or_not_yet_there_are_answered(store: MemoryStore) -> None:
    make(store, "VBD", "b", VM="v")
    assert store.related("v", "VBDs") == ("b",)
    revision = make(store, "VM", "v")
    drop(store, "v")
    assert store.related("v", "VBDs") == ("b",)
    assert modified(store, "b") < revision  # a VBD says the same whether its VM exists or not
    change(store, "b", VM=NULL_REF)
    assert store.related("v", "VBDs") == ()


def test_asking_for_a_relation_that_is_none_is_our_bug(store: MemoryStore) -> None:
    make(store, "VM", "v")
    with pytest.raises(AssertionError, match="VIFs"):
        store.related("v", "VIFs")


def test_a_reference_to_an_object_of_another_class_changes_nobody(store: MemoryStore) -> None:
    make(store, "Group", "g")
    make(store, "VBD", "b", VM="g")
    assert modified(store, "g") == 1


def test_a_token_never_given_out_is_lost(store: MemoryStore) -> None:
    make(store, "VM", "v")
    with pytest.raises(ApiError, match="EVENTS_LOST"):
        store.changes(2)
    assert [change.operation for change in store.changes(-1)] == ["add"]


def test_unknown_classes_have_no_changes(store: MemoryStore) -> None:
    make(store, "VM", "v")
    assert store.changes(0, ["nonsense"]) == []
    assert len(store.changes(0, iter(["VM", "nonsense"]))) == 1


def test_one_deletion_of_more_than_can_be_remembered_loses_older_tokens_only() -> None:
    store = MemoryStore(SCHEMA, tombstones=1)
    txn = store.begin()
    for ref in "abc":
        txn.create("VM", ref, {"uuid": ref})
    store.commit(txn)
    txn = store.begin()
    for ref in "abc":
        txn.delete(ref)
    store.commit(txn)
    with pytest.raises(ApiError, match="EVENTS_LOST"):
        store.changes(1)
    assert store.changes(0) == store.changes(2) == []


async def test_wait_answers_at_once_what_is_known(store: MemoryStore) -> None:
    make(store, "VM", "v")
    assert await store.wait(0, None)
    assert not await store.wait(1, 0)
    assert not await store.wait(1, -5)
    assert not await store.wait(1, 0.001)


async def test_a_commit_wakes_everyone_it_concerns(store: MemoryStore) -> None:
    waiting = [asyncio.ensure_future(store.wait(since, None)) for since in (0, 0, 1)]
    await asyncio.sleep(0)
    make(store, "VM", "v")
    assert await asyncio.gather(*waiting[:2]) == [True, True]
    assert not waiting[2].done()
    make(store, "VM", "w")
    assert await waiting[2]


async def test_a_cancelled_waiter_leaves_nothing_behind(store: MemoryStore) -> None:
    waiting = asyncio.ensure_future(store.wait(0, 60))
    await asyncio.sleep(0)
    assert len(store._waiters) == 1
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not store._waiters
    make(store, "VM", "v")


def test_index_entries_end_with_their_objects(store: MemoryStore) -> None:
    make(store, "VM", "v", name_label="x", metrics="m", groups=("g",))
    make(store, "VBD", "b", VM="v")
    for ref in "vb":
        drop(store, ref)
    assert not any(len(index) for index in store._indexes.values())
    assert not any(len(table.names) + len(table.uuids) + len(table.recent) for table in store._tables.values())
    assert not store._serials


def test_relations_through_fields_that_are_not_stored_are_refused() -> None:
    broken = Schema(
        Class("A", "", (UUID, Field("Bs", Set(Ref("B")), RO, "", inverse="B.As"))),
        Class("B", "", (UUID, Field("As", Set(Ref("A")), RO, "", inverse="A.Bs"))),
    )
    with pytest.raises(ValueError, match="stored"):
        MemoryStore(broken)


async def test_a_store_in_memory_is_always_durable(store: MemoryStore) -> None:
    await store.durable(make(store, "VM", "v"))
    await store.close()
