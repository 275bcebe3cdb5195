"""event.from, event.next and their relatives (API reference, events)."""

from __future__ import annotations

import asyncio
import xmlrpc.client

import pytest
from api_pool import api_pool, value_of

from xenapi_core.api import events
from xenapi_core.model.catalog import SCHEMA
from xenapi_core.store.memory import MemoryStore


def heard(batch):
    return [(event["operation"], event["class"], event["ref"]) for event in batch["events"]]


def waiting(pool, method, *params):
    """A call that has begun to wait."""
    return asyncio.ensure_future(pool.call(method, *params))


async def test_first_call_adds_every_object_with_its_record():
    async with api_pool() as pool:
        session, vm = await pool.login(), pool.add_vm()
        batch = await pool.call("event.from", session, ["VM"], "", 0.0)
        (event,) = batch["events"]
        assert set(event) == {"id", "timestamp", "class", "operation", "ref", "snapshot"}
        assert (event["class"], event["operation"], event["timestamp"]) == ("vm", "add", "0.0")
        assert event["snapshot"] == await pool.call("VM.get_record", session, vm)
        assert event["id"] == str(pool.store.get(vm).modified)


async def test_token_is_two_numbers_of_twenty_digits_and_continues():
    async with api_pool() as pool:
        session, vm = await pool.login(), pool.add_vm()
        token = (await pool.call("event.from", session, ["*"], "", 0.0))["token"]
        assert [len(part) for part in token.split(",")] == [20, 20]
        await pool.call("VM.set_name_label", session, vm, "renamed")
        batch = await pool.call("event.from", session, ["*"], token, 0.0)
        assert heard(batch) == [("mod", "vm", vm)]
        assert batch["events"][0]["snapshot"]["name_label"] == "renamed"


@pytest.mark.parametrize("bad", ["x", "1", "1,2,3", "-1,0", "1;2", " 1,2", "1,2\n"])
async def test_token_of_another_form_is_refused(bad):
    async with api_pool() as pool:
        session = await pool.login()
        assert await pool.refusal("event.from", session, ["*"], bad, 0.0) == ["EVENT_FROM_TOKEN_PARSE_FAILURE", bad]


async def test_token_of_another_life_is_lost():
    async with api_pool() as pool:
        session = await pool.login()
        assert await pool.refusal("event.from", session, ["*"], f"{9:020d},{10**9:020d}", 0.0) == ["EVENTS_LOST"]


@pytest.mark.parametrize("bad", ["vm/a/b", "", "/x", "vm/"])
async def test_subscription_of_another_form_is_refused(bad):
    async with api_pool() as pool:
        session = await pool.login()
        assert await pool.refusal("event.from", session, [bad], "", 0.0) == ["EVENT_SUBSCRIPTION_PARSE_FAILURE", bad]


async def test_subscription_is_case_insensitive_and_may_name_one_object():
    async with api_pool() as pool:
        session, one, two = await pool.login(), pool.add_vm(), pool.add_vm()
        assert len((await pool.call("event.from", session, ["vM"], "", 0.0))["events"]) == 2
        batch = await pool.call("event.from", session, [f"VM/{two}", "Host"], "", 0.0)
        assert {ref for _, _, ref in heard(batch)} == {two, pool.host}
        pool.change(one, name_label="not asked for")
        pool.change(two, name_label="asked for")
        assert heard(await pool.call("event.from", session, [f"vm/{two}"], batch["token"], 0.0)) == [("mod", "vm", two)]


async def test_unknown_class_matches_nothing():
    async with api_pool() as pool:
        batch = await pool.call("event.from", await pool.login(), ["unicorn"], "", 0.0)
        assert batch["events"] == []


async def test_changes_are_coalesced_and_grouped():
    async with api_pool() as pool:
        session = await pool.login()
        old, gone = pool.add_vm(), pool.add_vm()
        token = (await pool.call("event.from", session, ["*"], "", 0.0))["token"]
        txn = pool.store.begin()
        txn.delete(gone)
        pool.store.commit(txn)
        for name in ("a", "b"):
            pool.change(old, name_label=name)
        new = pool.add("network")
        pool.change(new, name_label="new")
        brief = pool.add("network")
        txn = pool.store.begin()
        txn.delete(brief)
        pool.store.commit(txn)
        uuid = pool.store.get(old)["uuid"]
        message = await pool.call("message.create", session, "M", "1", "VM", uuid, "")
        batch = await pool.call("event.from", session, ["*"], token, 0.0)
        assert heard(batch) == [
            ("add", "message", message), ("add", "network", new), ("mod", "vm", old), ("del", "vm", gone),
        ]  # fmt: skip
        assert "snapshot" not in batch["events"][-1]


async def test_counts_are_numbers_for_every_class_in_lower_case():
    async with api_pool() as pool:
        session = await pool.login()
        pool.add_vm()
        reply = await pool.send("event.from", session, ["network"], "", 0.0)
        counts = value_of(reply)["valid_ref_counts"]
        assert counts["vm"] == 1
        assert counts["sr"] == 0
        assert set(counts) == {name.lower() for name, cls in SCHEMA.classes.items() if cls.in_database}
        assert b"<name>vm</name><value><i4>1</i4></value>" in reply


async def test_call_waits_for_something_relevant():
    async with api_pool() as pool:
        session, vm = await pool.login(), pool.add_vm()
        token = (await pool.call("event.from", session, ["VM"], "", 0.0))["token"]
        call = waiting(pool, "event.from", session, ["VM"], token, 3600.0)
        await pool.clock.settle()
        pool.add("network")
        await pool.clock.settle()
        assert not call.done()
        pool.change(vm, name_label="now")
        assert heard(await call) == [("mod", "vm", vm)]


async def test_timeout_gives_an_empty_batch_with_a_token():
    async with api_pool() as pool:
        session, vm = await pool.login(), pool.add_vm()
        token = (await pool.call("event.from", session, ["VM"], "", 0.0))["token"]
        batch = await pool.call("event.from", session, ["VM"], token, 0.02)
        assert batch["events"] == []
        pool.change(vm, name_label="later")
        assert heard(await pool.call("event.from", session, ["VM"], batch["token"], 0.0)) == [("mod", "vm", vm)]


async def test_batch_collects_what_happens_within_the_delay():
    async with api_pool(from_delay=0.05) as pool:
        session, one, two = await pool.login(), pool.add_vm(), pool.add_vm()
        token = (await pool.call("event.from", session, ["VM"], "", 0.0))["token"]
        call = waiting(pool, "event.from", session, ["VM"], token, 60.0)
        await pool.clock.advance(1.0)
        pool.change(one, name_label="first")
        await pool.clock.advance(0.04)
        assert not call.done()
        pool.change(two, name_label="second")
        await pool.clock.advance(0.02)
        assert len((await call)["events"]) == 2


async def test_subscription_to_tasks_alone_is_answered_without_delay():
    async with api_pool(from_delay=3600.0) as pool:
        session = await pool.login()
        token = (await pool.call("event.from", session, ["*"], "", 0.0))["token"]
        call = waiting(pool, "event.from", session, ["task"], token, 60.0)
        await pool.clock.settle()
        task = await pool.call("task.create", session, "mine", "")
        assert heard(await call) == [("add", "task", task)]


async def test_logout_wakes_those_who_wait_in_its_name():
    async with api_pool() as pool:
        session, other = await pool.login(), await pool.login()
        token = (await pool.call("event.from", session, ["*"], "", 0.0))["token"]
        await pool.call("event.register", session, ["VM"])
        calls = [
            waiting(pool, "event.from", session, ["*"], token, 3600.0),
            waiting(pool, "event.next", session),
        ]
        stays = waiting(pool, "event.from", other, ["VM"], token, 3600.0)
        await pool.clock.settle()
        await pool.call("session.logout", session)
        for call in calls:
            with pytest.raises(Exception, match="SESSION_INVALID"):
                await call
        assert not stays.done()
        vm = pool.add_vm()
        assert heard(await stays) == [("add", "vm", vm)]


async def test_injected_event_is_still_to_come_from_its_token():
    async with api_pool() as pool:
        session, vm = await pool.login(), pool.add_vm()
        token = await pool.call("event.inject", session, "vm", vm)
        assert heard(await pool.call("event.from", session, [f"VM/{vm}"], token, 0.0)) == [("mod", "vm", vm)]
        assert await pool.refusal("event.inject", session, "host", vm) == ["HANDLE_INVALID", "host", vm]
        assert (await pool.refusal("event.inject", session, "session", session))[0] == "HANDLE_INVALID"


async def test_next_needs_a_registration():
    async with api_pool() as pool:
        session = await pool.login()
        assert await pool.refusal("event.next", session) == ["SESSION_NOT_REGISTERED", session]
        await pool.call("event.register", session, ["VM"])
        await pool.call("event.unregister", session, ["VM"])
        assert await pool.refusal("event.next", session) == ["SESSION_NOT_REGISTERED", session]


async def test_next_tells_what_happened_since_and_waits_for_more():
    async with api_pool() as pool:
        session = await pool.login()
        before = pool.add_vm()
        await pool.call("event.register", session, ["VM"])
        after = pool.add_vm()
        (event,) = await pool.call("event.next", session)
        assert (event["ref"], event["operation"]) == (after, "add")
        assert event["obj_uuid"] == event["snapshot"]["uuid"]
        assert event["timestamp"] == f"{pool.clock.now()}.0"
        call = waiting(pool, "event.next", session)
        await pool.clock.settle()
        pool.add("network")
        await pool.clock.settle()
        assert not call.done()
        pool.change(before, name_label="changed")
        (event,) = await call
        assert (event["ref"], event["operation"]) == (before, "mod")


async def test_registration_of_nothing_means_everything_as_in_api_1_0():
    async with api_pool() as pool:
        session = await pool.login()
        await pool.call("event.register", session, [])
        network = pool.add("network")
        assert [event["ref"] for event in await pool.call("event.next", session)] == [network]


async def test_late_listener_is_told_that_events_are_lost_and_goes_on():
    async with api_pool(MemoryStore(SCHEMA, tombstones=2)) as pool:
        session = await pool.login()
        token = (await pool.call("event.from", session, ["*"], "", 0.0))["token"]
        await pool.call("event.register", session, ["*"])
        for _ in range(4):
            ref = pool.add("network")
            txn = pool.store.begin()
            txn.delete(ref)
            pool.store.commit(txn)
        assert await pool.refusal("event.from", session, ["*"], token, 0.0) == ["EVENTS_LOST"]
        assert await pool.refusal("event.next", session) == ["EVENTS_LOST"]
        vm = pool.add_vm()
        assert vm in [event["ref"] for event in await pool.call("event.next", session)]


async def test_current_id_is_that_of_the_latest_event():
    async with api_pool() as pool:
        session, vm = await pool.login(), pool.add_vm()
        pool.change(vm, name_label="x")
        (event, *_) = (await pool.call("event.from", session, [f"VM/{vm}"], "", 0.0))["events"]
        assert await pool.call("event.get_current_id", session) == event["id"]


async def test_no_event_ever_carries_a_session():
    async with api_pool() as pool:
        secret, reader = await pool.login(), await pool.login("read-only")
        await pool.call("Async.VM.update_allowed_operations", secret, pool.add_vm())
        await pool.clock.settle()
        for words in (["*"], ["session"], [f"session/{secret}"]):
            reply = await pool.send("event.from", reader, words, "", 0.0)
            assert secret.encode() not in reply
            assert xmlrpc.client.loads(reply)[0][0]["Status"] == "Success"
        await pool.call("event.register", reader, ["*", "session"])
        call = waiting(pool, "event.next", reader)
        third = await pool.login()
        pool.add_vm()
        assert third not in str(await call)


async def test_message_is_added_and_deleted_but_never_modified():
    async with api_pool() as pool:
        session = await pool.login()
        uuid = pool.store.get(pool.host)["uuid"]
        message = await pool.call("message.create", session, "M", "1", "Host", uuid, "")
        token = (await pool.call("event.from", session, ["message"], "", 0.0))["token"]
        await pool.call("event.inject", session, "message", message)
        assert (await pool.call("event.from", session, ["message"], token, 0.0))["events"] == []
        await pool.call("message.destroy", session, message)
        assert heard(await pool.call("event.from", session, ["message"], token, 0.0)) == [("del", "message", message)]


async def test_next_tells_of_the_pool_when_nothing_happens(monkeypatch):
    monkeypatch.setattr(events, "HEARTBEAT", 0.01)
    async with api_pool() as pool:
        session, other = await pool.login(), await pool.login()
        await pool.call("event.register", session, ["pool", "VM"])
        await pool.call("event.register", other, ["VM"])
        waits = waiting(pool, "event.next", other)
        (event,) = await pool.call("event.next", session)
        assert (event["class"], event["operation"], event["ref"]) == ("pool", "mod", pool.pool)
        assert event["snapshot"]["master"] == pool.host
        assert not waits.done()
        vm = pool.add_vm()
        assert [event["ref"] for event in await waits] == [vm]
