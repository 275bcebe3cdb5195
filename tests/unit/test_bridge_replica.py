"""The mirror of another pool: what it takes from batches of events, and what it makes of what it does not know."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from xenapi_core.bridge.measurements import newest_samples, recorded, summed_up
from xenapi_core.bridge.pool_client import record, tolerant
from xenapi_core.bridge.replica import Batch, Replica, mirror_schema
from xenapi_core.model.catalog import SCHEMA
from xenapi_core.model.types import INT, STRING, Enum, Map, Option, Set
from xenapi_core.store.memory import MemoryStore

SCHEMA_OF_MIRROR = mirror_schema(SCHEMA)


def event(cls: str, ref: str, operation: str = "add", **snapshot: Any) -> dict[str, Any]:
    return {"class": cls, "ref": ref, "operation": operation, "snapshot": snapshot or None}


def applied(replica: Replica, *events: dict[str, Any], whole: bool = False) -> None:
    asyncio.run(replica.apply(Batch(list(events), {}, "1,0"), whole=whole))


def replica_with(*events: dict[str, Any]) -> Replica:
    replica = Replica(SCHEMA_OF_MIRROR)
    applied(replica, *events, whole=True)
    return replica


def test_a_field_that_is_computed_here_is_taken_as_the_pool_sent_it():
    replica = replica_with(event("vm", "OpaqueRef:a", uuid="a", allowed_operations=["start_on"]))
    assert replica.store.get("OpaqueRef:a")["allowed_operations"] == ("start_on",)


def test_an_inverse_field_is_answered_from_the_other_end():
    replica = replica_with(
        event("vm", "OpaqueRef:a", uuid="a"), event("vbd", "OpaqueRef:b", uuid="b", VM="OpaqueRef:a")
    )
    assert replica.store.related("OpaqueRef:a", "VBDs") == ("OpaqueRef:b",)


def test_classes_we_do_not_have_and_records_without_a_uuid_are_passed_over():
    replica = replica_with(event("starship", "OpaqueRef:x", uuid="x"), event("vm", "OpaqueRef:y", name_label="y"))
    assert not replica.store.find("OpaqueRef:x")
    assert not replica.store.find("OpaqueRef:y")


def test_the_whole_pool_leaves_nothing_that_it_does_not_name():
    replica = replica_with(event("vm", "OpaqueRef:a", uuid="a"), event("vm", "OpaqueRef:b", uuid="b"))
    kept = replica.store.get("OpaqueRef:b")
    applied(replica, event("vm", "OpaqueRef:b", uuid="b"), whole=True)
    assert replica.store.find("OpaqueRef:a") is None
    assert replica.store.get("OpaqueRef:b") is kept, "an object that did not change has no new version"


def test_a_deleted_reference_may_come_back():
    replica = replica_with(event("vm", "OpaqueRef:a", uuid="a"))
    before = replica.store.revision
    applied(replica, event("vm", "OpaqueRef:a", "del"))
    applied(replica, event("vm", "OpaqueRef:a", uuid="other"))
    assert replica.store.get("OpaqueRef:a")["uuid"] == "other"
    assert [(c.operation, c.ref) for c in replica.store.changes(before)] == [("add", "OpaqueRef:a")]


def test_a_uuid_may_pass_to_another_reference_within_a_batch():
    replica = replica_with(event("vm", "OpaqueRef:a", uuid="same"))
    applied(replica, event("vm", "OpaqueRef:b", uuid="same"), event("vm", "OpaqueRef:a", "del"))
    found = replica.store.by_uuid("VM", "same")
    assert found is not None
    assert found.ref == "OpaqueRef:b"


def test_counts_that_differ_say_that_something_was_missed():
    replica = replica_with(event("vm", "OpaqueRef:a", uuid="a"))
    assert replica.agrees({"vm": 1, "starship": 7})
    assert not replica.agrees({"vm": 2})


def test_lost_contact_is_said_of_every_host_until_the_pool_is_read_again():
    metrics = event("host_metrics", "OpaqueRef:m", uuid="m", live=True)
    replica = replica_with(metrics)
    replica.lose_contact()
    assert replica.store.get("OpaqueRef:m")["live"] is False
    applied(replica, metrics, whole=True)
    assert replica.store.get("OpaqueRef:m")["live"] is True


@pytest.mark.parametrize(
    ("type_", "sent", "kept"),
    [
        (INT, "12", 12),
        (INT, "twelve", 0),
        (STRING, None, ""),
        (Enum("e", "a", "b"), "c", "a"),
        (Set(Enum("e", "a", "b")), ["b", "c"], ("b",)),
        (Map(STRING, Enum("e", "a", "b")), {"x": "b", "y": "c"}, {"x": "b"}),
        (Option(INT), None, None),
        (Set(STRING), "none", ()),
    ],
)
def test_what_a_type_does_not_accept_becomes_its_empty_value(type_, sent, kept):
    assert tolerant(type_, sent, SCHEMA) == kept


def test_a_field_that_was_not_sent_is_as_it_is_at_first():
    values = record(SCHEMA["VM"], {"uuid": "a", "invented_later": 1}, SCHEMA)
    assert values["memory_static_max"] == SCHEMA["VM"]["memory_static_max"].initial
    assert "invented_later" not in values


@pytest.mark.parametrize(
    "answer", [None, [], {}, {"events": [], "token": "1"}, {"events": 1, "valid_ref_counts": [], "token": ""}]
)
def test_an_answer_that_is_none_of_event_from_is_refused(answer):
    with pytest.raises(ValueError, match=r"event\.from"):
        Batch.of(answer)


def test_a_store_of_our_own_never_uses_a_reference_twice():
    store = MemoryStore(SCHEMA)
    for txn_of in ("create", "delete"):
        txn = store.begin()
        txn.create("VM", "OpaqueRef:a", {"uuid": "a"}) if txn_of == "create" else txn.delete("OpaqueRef:a")
        store.commit(txn)
    with pytest.raises(AssertionError, match="was used before"):
        store.begin().create("VM", "OpaqueRef:a", {"uuid": "a"})


def test_the_newest_row_of_measurements_counts_and_what_is_no_number_does_not():
    page = (
        b'{"meta": {"legend": ["AVERAGE:vm:u:cpu0", "AVERAGE:vm:u:memory", "AVERAGE:host:h:loadavg"]},'
        b' "data": [{"t": 5, "values": [9, 9, 9]}, {"t": 10, "values": [0.5, NaN, null]}]}'
    )
    assert newest_samples(page) == (10, {"u": {"cpu0": 0.5}})
    assert newest_samples(b'{"meta": {"legend": []}, "data": []}') == (0, {})


def test_the_rows_of_a_minute_are_summed_up_and_no_others():
    page = (
        b'{"meta": {"legend": ["AVERAGE:vm:u:cpu0", "AVERAGE:vm:u:memory", "AVERAGE:host:h:loadavg"]}, "data": ['
        b'{"t": 125, "values": [8, 8, 8]}, {"t": 120, "values": [1, 7, null]}, {"t": 65, "values": [3, NaN, null]},'
        b' {"t": 60, "values": [9, 9, 9]}]}'
    )
    assert summed_up(page, 120) == {"u": {"cpu0": (2.0, 1.0, 3.0), "memory": (7.0, 7.0, 7.0)}}
    assert summed_up(page, 240) == {}


@pytest.mark.parametrize(
    "page", [b"", b"<xport/>", b"[]", b'{"meta": {"legend": ["a"]}, "data": [{"t": 1, "values": [1]}]}']
)
def test_what_is_no_answer_to_rrd_updates_is_refused(page):
    with pytest.raises(ValueError):
        newest_samples(page)
    with pytest.raises(ValueError):
        summed_up(page, 60)
    with pytest.raises(ValueError):
        recorded(page)


def test_an_answer_to_rrd_updates_is_taken_as_it_is_with_the_newest_row_first():
    page = (
        b'{"meta": {"step": 60, "legend": ["AVERAGE:vm:u:cpu0", "MIN:vm:u:cpu0"]}, "data": ['
        b'{"t": 60, "values": [1, "0.5"]}, {"t": 120, "values": [2, null]}]}'
    )
    found = recorded(page)
    assert (found.step, found.legend) == (60, ("AVERAGE:vm:u:cpu0", "MIN:vm:u:cpu0"))
    assert [(at, str(values)) for at, values in found.rows] == [(120, "(2.0, nan)"), (60, "(1.0, 0.5)")]
    with pytest.raises(ValueError, match="time between rows"):
        recorded(b'{"meta": {"legend": []}, "data": []}')
