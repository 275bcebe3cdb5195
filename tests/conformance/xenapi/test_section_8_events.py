"""Events, row by row: tokens, batches, coalescing, counts, and the older event.next."""

from __future__ import annotations

import re
import threading

import pytest
from server_client import Wire, api_result, xml_call
from xenapi_rows import Client

TOKEN = re.compile(r"[0-9]{20},[0-9]{20}\Z")


def batch(client, words, token, timeout=0.0):
    return client.call("event.from", words, token, timeout)


@pytest.fixture
def token(client):
    return batch(client, ["*"], "")["token"]


@pytest.mark.parametrize("words", [["VM"], ["vm"], ["Vm", "vM"], ["vm", "vm/OpaqueRef:x"]])
def test_the_first_batch_has_every_object(client, words):
    found = batch(client, words, "")
    records = client.call("VM.get_all_records")
    assert list(found) == ["events", "valid_ref_counts", "token"]
    assert TOKEN.match(found["token"])
    assert {event["ref"]: event["snapshot"] for event in found["events"]} == records
    for event in found["events"]:
        assert list(event) == ["id", "timestamp", "class", "operation", "ref", "snapshot"]
        assert (event["class"], event["operation"], event["timestamp"]) == ("vm", "add", "0.0")
        assert event["id"].isdigit()


def test_everything_is_all_classes_with_events(client):
    found = batch(client, ["*"], "")
    classes = {event["class"] for event in found["events"]}
    assert {"vm", "host", "pool", "sr", "network", "pif", "vdi", "vbd", "vif", "console"} <= classes
    assert "session" not in classes


def test_counts_are_of_all_tables(client):
    counts = batch(client, ["no such class"], "")["valid_ref_counts"]
    for cls in ("VM", "host", "VDI", "VBD", "PIF", "VM_metrics", "network", "task"):
        assert counts[cls.lower()] == len(client.call(f"{cls}.get_all")), cls
    assert all(name == name.lower() and type(count) is int for name, count in counts.items())


def test_one_object_is_told_of_alone(client, vm):
    found = batch(client, [f"vM/{vm}"], "")
    assert [event["ref"] for event in found["events"]] == [vm]
    client.call("event.inject", "VM", client.call("VM.get_all")[0])
    assert batch(client, [f"VM/{vm}"], found["token"])["events"] == []


@pytest.mark.parametrize("bad", ["x", "1", "1,", ",1", "1,2,3", "-1,-1", "1.0,1", " 1,1", "0x1,1", "9" * 21 + ",1"])
def test_a_token_that_is_none(client, bad):
    assert client.refusal("event.from", ["vm"], bad, 0.0) == ["EVENT_FROM_TOKEN_PARSE_FAILURE", bad]


@pytest.mark.parametrize("bad", ["", "/", "vm/", "/OpaqueRef:x", "vm/a/b"])
def test_a_subscription_that_is_none(client, bad):
    assert client.refusal("event.from", ["vm", bad], "", 0.0) == ["EVENT_SUBSCRIPTION_PARSE_FAILURE", bad]
    assert client.refusal("event.register", [bad]) == ["EVENT_SUBSCRIPTION_PARSE_FAILURE", bad]


def test_a_token_of_another_server_is_lost(client):
    assert client.refusal("event.from", ["vm"], "09999999999999999999,09999999999999999999", 0.0) == ["EVENTS_LOST"]


@pytest.mark.parametrize("timeout", [0.0, 0.05, -1.0, "0"])
def test_nothing_new_is_an_empty_batch(client, token, timeout):
    found = batch(client, ["vm_appliance"], token, timeout)
    assert found["events"] == []
    assert TOKEN.match(found["token"])


def test_waiting_ends_with_the_first_event(server, client, vm, token):
    answers = []

    def wait():
        with Wire(server, "xenapi") as wire:
            answers.append(api_result(wire.ask(xml_call("event.from", client.session, [f"vm/{vm}"], token, 1e30))))

    waiting = threading.Thread(target=wait)
    waiting.start()
    client.call("VM.set_name_description", vm, "changed")
    waiting.join(30)
    ((status, found),) = answers
    assert status == "Success"
    (event,) = found["events"]
    assert (event["operation"], event["ref"]) == ("mod", vm)
    assert event["snapshot"]["name_description"] == "changed"


def test_at_most_one_event_for_an_object(client, token):
    first, second, third = (client.call("task.create", name, "") for name in "abc")
    for progress in (0.1, 0.2, 0.3):
        client.call("task.set_progress", first, progress)
    client.call("task.set_status", second, "success")
    client.call("task.destroy", second)  # created and gone: nothing to tell
    found = batch(client, ["task"], token)
    mine = [(e["operation"], e["ref"]) for e in found["events"] if e["ref"] in (first, second, third)]
    assert mine == [("add", third), ("add", first)]
    (told,) = [e["snapshot"] for e in found["events"] if e["ref"] == first]
    assert told == client.call("task.get_record", first)
    client.call("task.set_progress", third, 0.5)
    client.call("task.set_status", first, "success")
    client.call("task.destroy", first)
    fourth = client.call("task.create", "d", "")
    after = batch(client, ["task"], found["token"])["events"]
    mine = [(e["operation"], e["ref"]) for e in after if e["ref"] in (first, third, fourth)]
    assert mine == [("add", fourth), ("mod", third), ("del", first)]
    (gone,) = [e for e in after if e["ref"] == first]
    assert list(gone) == ["id", "timestamp", "class", "operation", "ref"]
    assert batch(client, ["task"], token)["token"] >= found["token"]
    for task in (third, fourth):
        client.call("task.set_status", task, "success")
        client.call("task.destroy", task)


def test_messages_come_first(client, vm, token):
    client.call("VM.set_name_description", vm, "x")
    uuid = client.call("VM.get_uuid", vm)
    told = client.call("message.create", "ROW", 5, "VM", uuid, "body")
    found = batch(client, ["vm", "message"], token)
    assert [(e["class"], e["operation"]) for e in found["events"]][:1] == [("message", "add")]
    assert found["events"][0]["snapshot"]["body"] == "body"
    client.call("message.destroy", told)
    after = batch(client, ["message"], found["token"])["events"]
    assert [(e["operation"], e["ref"]) for e in after] == [("del", told)]


def test_inject_is_a_barrier(client, vm, token):
    for cls in ("VM", "vm"):
        barrier = client.call("event.inject", cls, vm)
        assert TOKEN.match(barrier)
        (event,) = batch(client, [f"vm/{vm}"], barrier)["events"]
        assert (event["operation"], event["ref"]) == ("mod", vm)


@pytest.mark.parametrize(
    ("cls", "ref"), [("host", None), ("VM", "OpaqueRef:x"), ("VM", "OpaqueRef:NULL"), ("nope", None)]
)
def test_inject_wants_an_object_of_the_class(client, vm, cls, ref):
    assert client.refusal("event.inject", cls, ref or vm) == ["HANDLE_INVALID", cls, ref or vm]


def test_next_wants_a_registration(server, client, vm):
    other = Client(server)
    session = other.session
    assert other.refusal("event.next") == ["SESSION_NOT_REGISTERED", session]
    assert other.call("event.register", ["VM"]) == ""
    number = int(other.call("event.get_current_id"))
    client.call("VM.set_name_description", vm, "for next")
    (event,) = other.call("event.next")
    record = client.call("VM.get_record", vm)
    assert int(event["id"]) > number
    assert re.fullmatch(r"[0-9]+\.[0-9]*", event["timestamp"])
    assert (event["class"], event["operation"], event["ref"]) == ("vm", "mod", vm)
    assert (event["snapshot"], event["obj_uuid"]) == (record, record["uuid"])
    assert other.call("event.unregister", ["vm"]) == ""
    assert other.refusal("event.next") == ["SESSION_NOT_REGISTERED", session]
    other.close()


def test_next_tells_what_happened_between_two_calls(server, client):
    other = Client(server)
    other.call("event.register", ["task"])
    task = client.call("task.create", "between", "")
    (event,) = other.call("event.next")
    assert (event["operation"], event["ref"]) == ("add", task)
    client.call("task.set_status", task, "success")
    client.call("task.destroy", task)
    (event,) = other.call("event.next")
    assert (event["operation"], event["ref"], "snapshot" in event) == ("del", task, False)
    other.close()


def test_current_id_is_an_int_that_grows(client, vm):
    before = client.raw("event.get_current_id")
    assert re.search(rb"<name>Value</name><value>[0-9]+</value>", before)
    client.call("VM.set_name_description", vm, "grown")
    client.call("VM.set_name_description", vm, "again")
    assert client.raw("event.get_current_id") > before or len(client.raw("event.get_current_id")) > len(before)
