"""One server for both APIs, row by row: what clients of API 1.0 and of XenServer find where the two differ."""

from __future__ import annotations

import pytest
from server_client import post
from xenapi_rows import document

NULL = "OpaqueRef:NULL"


@pytest.fixture(scope="module")
def sr(client):
    return next(
        ref for ref, sr in client.call("SR.get_all_records").items() if sr["shared"] and sr["content_type"] != "iso"
    )


@pytest.mark.parametrize("paused", [False, True, 0, 1, "0", "1"])
def test_start_and_resume_take_two_arguments_and_any_spelling_of_a_boolean(client, vm, paused):
    ends = "Paused" if paused in (True, 1, "1") else "Running"
    client.call("VM.start", vm, paused)
    assert client.call("VM.get_power_state", vm) == ends
    if ends == "Paused":
        client.call("VM.unpause", vm)
    client.until(lambda: "suspend" in client.call("VM.get_allowed_operations", vm))
    client.call("VM.suspend", vm)
    client.call("VM.resume", vm, paused)
    assert client.call("VM.get_power_state", vm) == ends
    client.call("VM.hard_shutdown", vm)


def test_clone_without_a_name_has_that_of_its_source(client, vm):
    new = client.call("VM.clone", vm)
    assert client.call("VM.get_name_label", new) == client.call("VM.get_name_label", vm)
    client.call("VM.destroy", new)


def test_trigger_may_name_a_processor(client, vm):
    client.call("VM.start", vm, False)
    for more in ([], [0]):
        client.call("VM.send_trigger", vm, "nmi", *more)
    client.call("VM.hard_shutdown", vm)


def test_vtpm_is_made_from_a_record_or_from_arguments(client, vm):
    for params in ([{"VM": vm, "backend": NULL, "other_config": {}}], [vm, False]):
        made = client.call("VTPM.create", *params)
        assert client.call("VTPM.get_VM", made) == vm
        client.call("VTPM.destroy", made)


def test_console_is_made_from_a_record(client, vm):
    made = client.call("console.create", {"VM": vm, "protocol": "rfb", "other_config": {}})
    record = client.call("console.get_record", made)
    assert (record["VM"], record["protocol"], record["location"]) == (vm, "rfb", "")
    client.call("console.destroy", made)


def test_records_of_old_clients_are_completed(client, vm, sr):
    size = str(1 << 30)
    disk = {"name_label": "xm", "name_description": "", "SR": sr, "virtual_size": size, "type": "user",
            "sharable": False, "read_only": False, "other_config": {}}  # fmt: skip
    vdi = client.call("VDI.create", {**disk, "physical_utilisation": "0", "no such field": "x"})
    given = {"VM": vm, "VDI": vdi, "device": "xvdc", "bootable": False, "mode": "RW", "type": "disk", "driver": "",
             "currently_attached": True}  # fmt: skip
    vbd = client.call("VBD.get_record", client.call("VBD.create", given))
    assert (vbd["userdevice"], vbd["type"], vbd["currently_attached"]) == ("xvdc", "Disk", False)
    network = client.call("network.get_all")[0]
    old = {"VM": vm, "network": network, "device": "eth3", "MAC": "", "MTU": "", "runtime_properties": {}}
    vif = client.call("VIF.get_record", client.call("VIF.create", old))
    assert (vif["device"], vif["MTU"]) == ("3", client.call("network.get_MTU", network))
    assert client.call("VDI.get_other_config", vdi)["location"]
    for each, message in ((vif, "VIF"), (vbd, "VBD")):
        client.call(f"{message}.destroy", client.call(f"{message}.get_by_uuid", each["uuid"]))
    client.call("VDI.destroy", vdi)


def test_uuid_stands_for_a_reference_of_its_class(client, vm):
    uuid = client.call("VM.get_uuid", vm)
    assert client.call("VM.get_name_label", uuid) == client.call("VM.get_name_label", vm)
    host = client.call("host.get_all")[0]
    assert client.refusal("host.get_name_label", uuid) == ["HANDLE_INVALID", "host", uuid]
    assert client.call("host.get_name_label", client.call("host.get_uuid", host))


def test_events_name_objects_by_uuid_and_deleted_ones_too(client, vm):
    client.call("event.register", ["VM"])
    new = client.call("VM.clone", vm, "short-lived")
    uuid = client.call("VM.get_uuid", new)
    seen = {}

    def told(operation):
        for event in client.call("event.next"):
            if event["ref"] == new:
                seen[event["operation"]] = event
        return operation in seen

    client.until(lambda: told("add"))
    client.call("VM.destroy", new)
    client.until(lambda: told("del"))
    assert {event["obj_uuid"] for event in seen.values()} == {uuid}
    assert seen["add"]["snapshot"]["uuid"] == uuid
    assert "snapshot" not in seen["del"]
    assert {event["class"] for event in seen.values()} == {"vm"}
    client.call("event.unregister", ["VM"])


def test_every_vm_has_metrics_and_running_devices_a_handle(client):
    for record in client.call("VM.get_all_records").values():
        assert client.call("VM_metrics.get_record", record["metrics"])
        if record["power_state"] != "Running" or record["is_control_domain"]:
            continue
        for cls in ("VBD", "VIF"):
            for device in record[f"{cls}s"]:
                found = client.call(f"{cls}.get_record", device)
                assert ("handle" in found["runtime_properties"]) == found["currently_attached"]


def test_host_says_what_both_kinds_of_clients_read(client):
    for record in client.call("host.get_all_records").values():
        assert record["sched_policy"] == "credit"
        assert {"product_version", "xen"} <= record["software_version"].keys()
        assert record["cpu_configuration"]


def test_settings_that_are_constants_now_have_their_old_setters(client, vm, sr):
    for field, value in (("PV_args", "quiet"), ("VCPUs_max", "2"), ("platform", {"acpi": "1"})):
        before = client.call(f"VM.get_{field}", vm)
        client.call(f"VM.set_{field}", vm, value)
        assert client.call(f"VM.get_{field}", vm) == value
        client.call(f"VM.set_{field}", vm, before)
    client.call("VM.start", vm, False)
    words = ["VM_BAD_POWER_STATE", vm, "halted", "running"]
    assert client.refusal("VM.set_VCPUs_max", vm, "4") == words
    client.call("VM.hard_shutdown", vm)


@pytest.mark.parametrize("action", ["rename_restart", "preserve", "coredump_and_destroy", "destroy", "restart"])
def test_every_action_after_a_crash_of_both_apis_is_taken(client, vm, action):
    client.call("VM.set_actions_after_crash", vm, action)
    assert client.call("VM.get_actions_after_crash", vm) == action


def test_no_match_by_name_is_an_empty_set_and_one_is_a_set(client, vm):
    assert client.call("VM.get_by_name_label", "nobody is called so") == []
    assert vm in client.call("VM.get_by_name_label", client.call("VM.get_name_label", vm))


def test_notes_in_headers_are_kept_with_the_task(client, vm):
    body = document("Async.VM.get_possible_hosts", f"<value>{client.session}</value>", f"<value>{vm}</value>")
    request = post(body).replace(b"\r\n", b"\r\nX-Http-Other-Config-Who: somebody\r\n", 1)
    reply = client.ask(request)
    task = reply.body.split(b"<name>Value</name><value>")[1].split(b"</value>")[0].decode()
    client.ended(task)
    assert client.call("task.get_other_config", task) == {"http:who": "somebody"}
