"""The lifecycle of VMs: each operation in each power state, through real calls, and what each state allows."""

from __future__ import annotations

import pytest

STATES = ("Halted", "Running", "Paused", "Suspended")
NULL = "OpaqueRef:NULL"

# operation: (the message and its arguments, states it is allowed from in the reference's order, the state it ends in:
# "" for the one before). "$host" is a host that fits, "$vm" the machine itself.
OPERATIONS = {
    "start": (["start", False, False], ["Halted"], "Running"),
    "start paused": (["start", True, False], ["Halted"], "Paused"),
    "start_on": (["start_on", "$host", False, False], ["Halted"], "Running"),
    "pause": (["pause"], ["Running"], "Paused"),
    "unpause": (["unpause"], ["Paused"], "Running"),
    "suspend": (["suspend"], ["Running"], "Suspended"),
    "resume": (["resume", False, False], ["Suspended"], "Running"),
    "resume paused": (["resume", True, False], ["Suspended"], "Paused"),
    "resume_on": (["resume_on", "$host", False, False], ["Suspended"], "Running"),
    "clean_shutdown": (["clean_shutdown"], ["Running"], "Halted"),
    "shutdown": (["shutdown"], ["Paused", "Suspended", "Running"], "Halted"),
    "hard_shutdown": (["hard_shutdown"], ["Paused", "Suspended", "Running"], "Halted"),
    "clean_reboot": (["clean_reboot"], ["Running"], "Running"),
    "hard_reboot": (["hard_reboot"], ["Paused", "Running"], "Running"),
    "pool_migrate": (["pool_migrate", "$other", {"live": "true"}], ["Running"], "Running"),
    "snapshot": (["snapshot", "row"], list(STATES), ""),
    "checkpoint": (["checkpoint", "row"], ["Paused", "Suspended", "Running"], ""),
    "clone": (["clone", "row"], ["Halted"], ""),
    "copy": (["copy", "row", NULL], ["Halted"], ""),
    "get_boot_record": (["get_boot_record"], ["Paused", "Suspended", "Running"], ""),
    "changing_VCPUs": (["set_VCPUs_max", "4"], ["Halted"], ""),
    "changing_static_range": (["set_memory_static_range", "$min", "$max"], ["Halted"], ""),
    "changing_dynamic_range": (["set_memory_dynamic_range", "1073741824", "1073741824"], ["Halted", "Running"], ""),
    "changing_VCPUs_live": (["set_VCPUs_number_live", "1"], ["Running"], ""),
    "send_sysrq": (["send_sysrq", "h"], ["Running"], ""),
    "send_trigger": (["send_trigger", "nmi"], ["Running"], ""),
    "update_allowed_operations": (["update_allowed_operations"], list(STATES), ""),
}  # fmt: skip
OF_TEMPLATES = {"provision": (["provision"], ["Halted"], ["PROVISION_ONLY_ALLOWED_ON_TEMPLATE"])}
OF_SNAPSHOTS = {"revert": (["revert"], list(STATES), ["REVERT_ONLY_ALLOWED_ON_SNAPSHOT"])}


@pytest.fixture(scope="module")
def machine(client):
    """A demo VM with PV drivers, whose memory leaves room on every host."""
    ref = next(
        ref for ref, record in sorted(client.call("VM.get_all_records").items(), key=lambda item: item[1]["name_label"])
        if record["power_state"] == "Running" and not record["is_control_domain"]
    )  # fmt: skip
    before = set(client.call("VM.get_all"))
    yield ref
    for made in set(client.call("VM.get_all")) - before:
        if not client.call("VM.get_is_a_snapshot", made):
            client.to_state(made, "Halted")
        client.call("VM.destroy", made)


def filled(client, machine, params):
    hosts = client.call("VM.get_possible_hosts", machine)
    here = client.call("VM.get_resident_on", machine)
    words = {"$vm": machine, "$host": hosts[0], "$other": next((h for h in hosts if h != here), hosts[0])}
    for word in ("min", "max"):
        words[f"${word}"] = client.call(f"VM.get_memory_static_{word}", machine)
    return [words.get(param, param) if isinstance(param, str) else param for param in params]


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_operation_in_state(client, machine, operation, state):
    (message, *params), allowed, ends = OPERATIONS[operation]
    client.to_state(machine, state)
    told = client.result(f"VM.{message}", machine, *filled(client, machine, params))
    if state in allowed:
        assert told[0] == "Success", told[1]
        assert client.call("VM.get_power_state", machine) == (ends or state)
    else:
        expected = ", ".join(name.lower() for name in allowed)
        assert told == ("Failure", ["VM_BAD_POWER_STATE", machine, expected, state.lower()])
        assert client.call("VM.get_power_state", machine) == state
    assert client.call("VM.get_current_operations", machine) == {}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("operation", [*OF_TEMPLATES, *OF_SNAPSHOTS])
def test_what_is_not_for_plain_vms(client, machine, operation, state):
    (message, *params), allowed, words = {**OF_TEMPLATES, **OF_SNAPSHOTS}[operation]
    client.to_state(machine, state)
    if state not in allowed:
        words = ["VM_BAD_POWER_STATE", machine, "halted", state.lower()]
    assert client.refusal(f"VM.{message}", machine, *params) == words


@pytest.mark.parametrize("state", ["Running", "Paused"])
def test_destroy_wants_a_vm_that_does_not_run(client, machine, state):
    client.to_state(machine, state)
    words = ["VM_BAD_POWER_STATE", machine, "halted, suspended", state.lower()]
    assert client.refusal("VM.destroy", machine) == words


ALLOWED = {
    "Halted": "start start_on clone copy snapshot export destroy make_into_template migrate_send metadata_export "
    "changing_dynamic_range changing_static_range changing_shadow_memory changing_NVRAM create_vtpm",
    "Running": "clean_shutdown clean_reboot hard_shutdown hard_reboot pause suspend snapshot checkpoint pool_migrate "
    "migrate_send changing_dynamic_range changing_VCPUs_live metadata_export sysprep",
    "Paused": "unpause hard_shutdown hard_reboot snapshot checkpoint metadata_export",
    "Suspended": "resume resume_on hard_shutdown snapshot checkpoint export destroy migrate_send metadata_export",
}


@pytest.mark.parametrize("state", STATES)
def test_each_state_allows_its_operations(client, machine, state):
    client.to_state(machine, state)
    assert sorted(client.call("VM.get_allowed_operations", machine)) == sorted(ALLOWED[state].split())


@pytest.mark.parametrize("state", STATES)
def test_what_a_state_leaves_in_the_records(client, machine, state):
    client.to_state(machine, state)
    record = client.call("VM.get_record", machine)
    resides = state in ("Running", "Paused")
    assert (record["resident_on"] != NULL) == resides
    assert (record["domid"] != "-1") == resides
    assert record["scheduled_to_be_resident_on"] == NULL
    if state == "Halted":
        for cls, refs in (("VBD", record["VBDs"]), ("VIF", record["VIFs"])):
            assert refs
            for ref in refs:
                device = client.call(f"{cls}.get_record", ref)
                assert (device["currently_attached"], device["current_operations"]) == (False, {})
    if state == "Running":
        assert all(client.call("VIF.get_currently_attached", ref) for ref in record["VIFs"])
        assert str(client.call("VM_metrics.get_start_time", record["metrics"])) > "2026"


@pytest.mark.parametrize(
    ("message", "name"),
    [
        ("pause", "VM_PAUSED"),
        ("suspend", "VM_SUSPENDED"),
        ("hard_reboot", "VM_REBOOTED"),
        ("hard_shutdown", "VM_SHUTDOWN"),
    ],
)
def test_operations_leave_messages(client, machine, message, name):
    client.to_state(machine, "Running")
    token = client.call("event.from", ["message"], "", 0.0)["token"]
    client.call(f"VM.{message}", machine)
    told = [event["snapshot"] for event in client.call("event.from", ["message"], token, 5.0)["events"]]
    uuid = client.call("VM.get_uuid", machine)
    assert name in [record["name"] for record in told if record["obj_uuid"] == uuid and record["cls"] == "VM"]


def test_blocked_operations_come_before_the_power_state(client, machine):
    client.to_state(machine, "Halted")
    client.call("VM.set_blocked_operations", machine, {"pause": "not today", "start": "never"})
    assert client.refusal("VM.pause", machine) == ["OPERATION_BLOCKED", machine, "not today"]
    assert client.refusal("VM.start", machine, False, False) == ["OPERATION_BLOCKED", machine, "never"]
    assert client.refusal("VM.assert_operation_valid", machine, "start") == ["OPERATION_BLOCKED", machine, "never"]
    assert "start" not in client.call("VM.get_allowed_operations", machine)
    client.call("VM.set_blocked_operations", machine, {})
    assert "start" in client.call("VM.get_allowed_operations", machine)


def test_templates_and_snapshots_are_not_started(client, vm):
    snapshot = client.call("VM.snapshot", vm, "row")
    client.call("VM.set_is_a_template", vm, True)
    assert client.refusal("VM.start", vm, False, False) == ["VM_IS_TEMPLATE", vm, "start"]
    assert client.refusal("VM.start", snapshot, False, False)[0] in ("VM_IS_TEMPLATE", "VM_IS_SNAPSHOT")
    client.call("VM.set_is_a_template", vm, False)
    client.call("VM.destroy", snapshot)


def test_control_domains_are_left_alone(client):
    (dom0, *_) = [ref for ref, record in client.call("VM.get_all_records").items() if record["is_control_domain"]]
    for message, params in (("pause", []), ("hard_shutdown", []), ("hard_reboot", []), ("destroy", [])):
        assert client.refusal(f"VM.{message}", dom0, *params)[0] == "OPERATION_NOT_ALLOWED"
    assert client.call("VM.get_power_state", dom0) == "Running"


def test_hard_shutdown_is_allowed_beside_a_clean_one_and_cancels_it(client, machine):
    client.to_state(machine, "Running")
    task = client.call("Async.VM.clean_shutdown", machine)
    assert client.call("VM.get_current_operations", machine) == {task: "clean_shutdown"}
    client.call("VM.hard_shutdown", machine)
    record = client.ended(task)
    assert (record["status"], record["error_info"][:1]) == ("cancelled", ["TASK_CANCELLED"])
    assert client.call("VM.get_power_state", machine) == "Halted"


def test_two_starts_at_once_are_one_start(client, machine):
    client.to_state(machine, "Halted")
    tasks = [client.call("Async.VM.start", machine, False, False) for _ in range(2)]
    first, second = (client.ended(task) for task in tasks)
    assert first["status"] == "success"
    assert second["error_info"] == ["VM_BAD_POWER_STATE", machine, "halted", "running"]
