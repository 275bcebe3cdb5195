"""Tasks, row by row: what an asynchronous call looks like from its start to its end, and tasks of clients."""

from __future__ import annotations

from xmlrpc.client import DateTime

import pytest

EPOCH = DateTime("19700101T00:00:00Z")


def test_a_task_at_its_start(client):
    """The simulator needs a while for a start, so the first look comes before the end."""
    vm = client.named("rows-power")
    before = client.call("host.get_servertime", client.call("host.get_all")[0])
    task = client.call("Async.VM.start", vm, True, False)
    record = client.call("task.get_record", task)
    assert record.pop("created") >= before
    assert record.pop("uuid")
    assert record.pop("progress") < 1.0
    assert record == {
        "name_label": "Async.VM.start", "name_description": "", "status": "pending",
        "type": "<none/>", "result": "", "error_info": [], "finished": EPOCH, "current_operations": {},
        "allowed_operations": ["cancel", "destroy"], "other_config": {}, "subtask_of": "OpaqueRef:NULL",
        "subtasks": [], "backtrace": "()",
        "resident_on": client.call("pool.get_master", client.call("pool.get_all")[0]),
    }  # fmt: skip
    assert client.call("VM.get_current_operations", vm) == {task: "start"}
    assert task in client.call("session.get_tasks", client.session)
    record = client.ended(task)
    assert (record["status"], record["result"], record["error_info"]) == ("success", "<value></value>", [])
    assert (record["progress"], record["allowed_operations"]) == (1.0, [])
    assert record["finished"] >= record["created"]
    assert client.call("VM.get_current_operations", vm) == {}
    assert client.call("VM.get_power_state", vm) == "Paused"
    client.call("VM.hard_shutdown", vm)


@pytest.fixture(scope="module", autouse=True)
def power(client, vm):
    """A second VM under a name of its own."""
    ref = client.call("VM.clone", vm, "rows-power")
    yield ref
    client.to_state(ref, "Halted")
    client.call("VM.destroy", ref)


def test_the_result_is_xml_text_of_the_value(client, vm):
    record = client.ended(client.call("Async.VM.snapshot", vm, "row"))
    (snapshot,) = client.call("VM.get_snapshots", vm)
    assert record["result"] == f"<value>{snapshot}</value>"
    record = client.ended(client.call("Async.VM.get_possible_hosts", vm))
    hosts = client.call("VM.get_possible_hosts", vm)
    words = "".join(f"<value>{host}</value>" for host in hosts)
    assert record["result"] == f"<value><array><data>{words}</data></array></value>"
    client.call("VM.destroy", snapshot)


def test_a_failure_is_told_in_error_info(client, vm):
    record = client.ended(client.call("Async.VM.pause", vm))
    assert (record["status"], record["result"]) == ("failure", "")
    assert record["error_info"] == ["VM_BAD_POWER_STATE", vm, "running", "halted"]
    assert record["progress"] == 1.0
    assert record["finished"] >= record["created"]
    assert record["allowed_operations"] == []


def test_only_pending_tasks_change_their_status(client):
    task = client.call("task.create", "mine", "by a client")
    record = client.call("task.get_record", task)
    assert (record["status"], record["name_label"], record["name_description"]) == ("pending", "mine", "by a client")
    assert (record["type"], record["finished"], record["progress"]) == ("<none/>", EPOCH, 0.0)
    client.call("task.set_progress", task, 0.5)
    client.call("task.set_result", task, "half")
    client.call("task.set_error_info", task, ["A", "b"])
    client.call("task.set_other_config", task, {"k": "v"})
    client.call("task.set_status", task, "failure")
    record = client.call("task.get_record", task)
    assert (record["status"], record["result"], record["error_info"]) == ("failure", "half", ["A", "b"])
    assert (record["other_config"], record["progress"]) == ({"k": "v"}, 1.0)
    assert record["finished"] >= record["created"]
    for status in ("success", "pending", "cancelled"):
        client.call("task.set_status", task, status)
        assert client.call("task.get_status", task) == "failure"
    client.call("task.destroy", task)
    assert client.refusal("task.get_status", task) == ["HANDLE_INVALID", "task", task]


@pytest.mark.parametrize("progress", ["-0.1", "1.1", "nan", "inf"])
def test_progress_is_a_fraction(client, progress):
    task = client.call("task.create", "mine", "")
    assert client.refusal("task.set_progress", task, progress)[:2] == ["INVALID_VALUE", "progress"]
    client.call("task.destroy", task)
    client.call("task.set_status", task, "success")


@pytest.mark.parametrize("status", ["success", "failure", "cancelled"])
def test_a_pending_task_is_destroyed_when_it_ends(client, status):
    task = client.call("task.create", "mine", "")
    client.call("task.destroy", task)
    ((asking, operation),) = client.call("task.get_current_operations", task).items()
    assert (operation, asking[:10]) == ("destroy", "DummyRef:|")
    assert client.call("task.get_status", task) == "pending"
    client.call("task.set_status", task, status)
    assert client.refusal("task.get_status", task) == ["HANDLE_INVALID", "task", task]


def test_cancel_asks_and_the_worker_obeys(client, power):
    client.to_state(power, "Running")
    task = client.call("Async.VM.clean_shutdown", power)
    client.call("task.cancel", task)
    record = client.ended(task)
    assert (record["status"], record["error_info"]) == ("cancelled", ["TASK_CANCELLED", task])
    assert client.call("VM.get_power_state", power) == "Running"
    assert client.call("VM.get_current_operations", power) == {}
    client.call("task.cancel", task)  # an ended one: nothing to do, and no failure
    assert client.call("task.get_status", task) == "cancelled"


def test_cancelling_a_task_of_a_client_is_shown_to_it(client):
    task = client.call("task.create", "mine", "")
    client.call("task.cancel", task)
    assert list(client.call("task.get_current_operations", task).values()) == ["cancel"]
    assert client.call("task.get_status", task) == "pending"
    client.call("task.set_status", task, "cancelled")
    assert client.call("task.get_status", task) == "cancelled"
    client.call("task.destroy", task)


def test_a_synchronous_call_leaves_no_task(client, vm):
    before = set(client.call("task.get_all"))
    client.call("VM.destroy", client.call("VM.snapshot", vm, "row"))
    assert set(client.call("task.get_all")) <= before
