"""Clone, copy, snapshot, checkpoint, revert and provision, row by row: what of the source the new VM has."""

from __future__ import annotations

import pytest

NULL = "OpaqueRef:NULL"
EPOCH = "19700101T00:00:00Z"
COPIES = ("clone", "copy", "snapshot", "checkpoint")


@pytest.fixture(scope="module")
def machine(client):
    """A demo VM with disks and PV drivers."""
    return next(
        ref for ref, record in sorted(client.call("VM.get_all_records").items(), key=lambda item: item[1]["name_label"])
        if record["power_state"] == "Running" and not record["is_control_domain"] and record["VIFs"]
    )  # fmt: skip


def copied(client, machine, operation, name="copy"):
    more = [NULL] if operation == "copy" else []
    return client.call(f"VM.{operation}", machine, name, *more)


def gone(client, *vms):
    """The VMs and the disks that were made for them."""
    for vm in vms:
        record = client.call("VM.get_record", vm)
        if record["power_state"] != "Halted" and not record["is_a_snapshot"]:
            client.call("VM.hard_shutdown", vm)
        vdis = [client.call("VBD.get_VDI", vbd) for vbd in record["VBDs"] if client.call("VBD.get_type", vbd) == "Disk"]
        client.call("VM.destroy", vm)
        for vdi in vdis:
            client.call("VDI.destroy", vdi)


def disks(client, vm):
    vbds = [client.call("VBD.get_record", vbd) for vbd in client.call("VM.get_VBDs", vm)]
    return {vbd["userdevice"]: vbd["VDI"] for vbd in vbds if vbd["type"] == "Disk"}


def macs(client, vm):
    vifs = [client.call("VIF.get_record", vif) for vif in client.call("VM.get_VIFs", vm)]
    return {vif["device"]: vif["MAC"] for vif in vifs}


@pytest.mark.parametrize("operation", COPIES)
def test_disks_of_a_copy_are_its_own(client, machine, operation):
    client.to_state(machine, "Halted" if operation in ("clone", "copy") else "Running")
    new = copied(client, machine, operation)
    old_disks, new_disks = disks(client, machine), disks(client, new)
    assert old_disks.keys() == new_disks.keys()
    assert not set(old_disks.values()) & set(new_disks.values())
    sources = {position: client.call("VDI.get_snapshot_of", vdi) for position, vdi in new_disks.items()}
    expected = old_disks if operation in ("snapshot", "checkpoint") else dict.fromkeys(old_disks, NULL)
    assert sources == expected
    gone(client, new)


@pytest.mark.parametrize("operation", COPIES)
def test_what_a_copy_is(client, machine, operation):
    client.to_state(machine, "Halted" if operation in ("clone", "copy") else "Running")
    source = client.call("VM.get_record", machine)
    new = copied(client, machine, operation, "the copy")
    record = client.call("VM.get_record", new)
    is_snapshot = operation in ("snapshot", "checkpoint")
    assert record["name_label"] == "the copy"
    assert record["power_state"] == ("Suspended" if operation == "checkpoint" else "Halted")
    assert (record["is_a_template"], record["is_a_snapshot"]) == (is_snapshot, is_snapshot)
    assert record["snapshot_of"] == (machine if is_snapshot else NULL)
    assert (str(record["snapshot_time"]) == EPOCH) == (not is_snapshot)
    assert record["is_default_template"] is False
    assert record["generation_id"] != source["generation_id"]
    assert record["current_operations"] == {}
    assert record["snapshot_info"]["power-state-at-snapshot"] == source["power_state"]
    if is_snapshot:
        assert record["snapshot_info"]["disk-snapshot-type"] == "crash_consistent"
        assert (record["parent"], client.call("VM.get_parent", machine)) == (source["parent"], new)
        assert macs(client, new) == macs(client, machine)
    else:
        assert record["parent"] == NULL
        assert not set(macs(client, new).values()) & set(macs(client, machine).values())
        assert record["other_config"]["mac_seed"] != source["other_config"].get("mac_seed")
    gone(client, new)


def test_copied_disks_are_owned_by_the_copy_and_cds_keep_their_medium(client, machine):
    client.to_state(machine, "Halted")
    new = copied(client, machine, "clone")
    for vbd in (client.call("VBD.get_record", ref) for ref in client.call("VM.get_VBDs", new)):
        if vbd["type"] == "Disk":
            assert "owner" in vbd["other_config"]
    by_device = {
        vm: {v["userdevice"]: (v["VDI"], v["empty"]) for v in
             (client.call("VBD.get_record", ref) for ref in client.call("VM.get_VBDs", vm)) if v["type"] == "CD"}
        for vm in (machine, new)
    }  # fmt: skip
    assert by_device[new] == by_device[machine]
    gone(client, new)


def test_a_copy_does_not_go_to_an_iso_library(client, machine):
    client.to_state(machine, "Halted")
    library = next(ref for ref, sr in client.call("SR.get_all_records").items() if sr["content_type"] == "iso")
    assert client.refusal("VM.copy", machine, "copy", library)[0] == "OPERATION_NOT_ALLOWED"


def test_third_argument_of_snapshot_names_disks_to_leave_out(client, machine):
    left_out = sorted(disks(client, machine).items())[0]
    new = client.call("VM.snapshot", machine, "without", [left_out[1]])
    assert left_out[0] not in disks(client, new)
    gone(client, new)


def test_a_clone_of_a_checkpoint_is_halted(client, machine):
    client.to_state(machine, "Running")
    checkpoint = copied(client, machine, "checkpoint")
    clone = copied(client, checkpoint, "clone")
    assert client.call("VM.get_power_state", clone) == "Halted"
    gone(client, clone, checkpoint)


@pytest.mark.parametrize(("operation", "state"), [("snapshot", "Halted"), ("checkpoint", "Suspended")])
def test_reverted_vm_is_what_its_snapshot_is(client, machine, operation, state):
    client.to_state(machine, "Running")
    snapshot = copied(client, machine, operation)
    older = client.call("VM.snapshot", machine, "sibling")
    client.call("VM.set_blocked_operations", machine, {"csvm": "no"})
    client.call("VM.revert", snapshot)
    record = client.call("VM.get_record", machine)
    assert (record["power_state"], record["blocked_operations"]) == (state, {})
    assert sorted(record["snapshots"]) == sorted([snapshot, older])
    new_disks = set(disks(client, machine).values())
    for each in (snapshot, older):
        assert {client.call("VDI.get_snapshot_of", vdi) for vdi in disks(client, each).values()} == new_disks
    gone(client, snapshot, older)


@pytest.fixture
def template(client):
    default = next(ref for ref, vm in client.call("VM.get_all_records").items() if vm["is_default_template"])
    new = client.call("VM.clone", default, "from template")
    yield new
    gone(client, new)


def disk_wanted(sr):
    return f'<provision><disk device="0" size="1073741824" sr="{sr}" bootable="true" type="system"/></provision>'


def test_template_becomes_a_vm_with_the_disks_it_describes(client, template):
    assert client.call("VM.get_is_default_template", template) is False
    assert "default_template" not in client.call("VM.get_other_config", template)
    sr = next(sr for sr in client.call("SR.get_all_records").values() if sr["shared"] and sr["content_type"] != "iso")
    client.call("VM.remove_from_other_config", template, "disks")
    client.call("VM.add_to_other_config", template, "disks", disk_wanted(sr["uuid"]))
    client.call("VM.provision", template)
    record = client.call("VM.get_record", template)
    assert record["is_a_template"] is False
    assert not {"disks", "postinstall"} & set(record["other_config"])
    (vdi,) = disks(client, template).values()
    made = client.call("VDI.get_record", vdi)
    assert (made["name_label"], made["name_description"]) == ("0", "Created by template provisioner")
    assert (made["virtual_size"], made["type"]) == (str(1 << 30), "system")
    (vbd,) = (client.call("VBD.get_record", v) for v in made["VBDs"])
    assert (vbd["mode"], vbd["bootable"], "owner" in vbd["other_config"]) == ("RW", True, True)


def test_template_with_a_repository_nobody_knows_stays_a_template(client, template):
    client.call("VM.remove_from_other_config", template, "disks")
    client.call("VM.add_to_other_config", template, "disks", disk_wanted("nonsense"))
    before = set(client.call("VDI.get_all"))
    assert client.refusal("VM.provision", template) == ["UUID_INVALID", "sr", "nonsense"]
    assert client.call("VM.get_is_a_template", template) is True
    assert (set(client.call("VDI.get_all")), disks(client, template)) == (before, {})
