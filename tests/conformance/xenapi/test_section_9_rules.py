"""VM calls that are refused for other reasons than the power state, row by row; and how a host is chosen."""

from __future__ import annotations

import pytest

NULL = "OpaqueRef:NULL"
MIB = 1 << 20


@pytest.fixture(scope="module")
def guest(client):
    """A demo VM with PV drivers, Running at the beginning of each test that brings it there."""
    return next(
        ref for ref, record in sorted(client.call("VM.get_all_records").items(), key=lambda item: item[1]["name_label"])
        if record["power_state"] == "Running" and not record["is_control_domain"]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("message", "value"), [("VCPUs_max", "0"), ("VCPUs_at_startup", "0"), ("VCPUs_at_startup", "99")]
)
def test_processors_at_startup_are_between_one_and_all(client, vm, message, value):
    assert client.refusal(f"VM.set_{message}", vm, value) == ["INVALID_VALUE", message, value]


@pytest.mark.parametrize("field", ["static_min", "static_max", "dynamic_min", "dynamic_max"])
def test_memory_limits_keep_their_order(client, vm, field):
    value = str(MIB if field.endswith("max") else 1 << 50)
    before = client.call("VM.get_record", vm)
    assert client.refusal(f"VM.set_memory_{field}", vm, value)[0] == "MEMORY_CONSTRAINT_VIOLATION"
    assert client.call("VM.get_record", vm)[f"memory_{field}"] == before[f"memory_{field}"]


def test_restart_priorities_are_three(client, vm):
    words = ["INVALID_VALUE", "ha_restart_priority", "always"]
    assert client.refusal("VM.set_ha_restart_priority", vm, "always") == words
    for value in ("restart", "best-effort", ""):
        client.call("VM.set_ha_restart_priority", vm, value)


def test_default_templates_stay(client):
    template = next(ref for ref, vm in client.call("VM.get_all_records").items() if vm["is_default_template"])
    assert client.refusal("VM.destroy", template) == ["VM_CANNOT_DELETE_DEFAULT_TEMPLATE", template]


@pytest.mark.parametrize("operation", ["suspend", "checkpoint", "pool_migrate"])
def test_an_immobile_vm_keeps_its_memory_where_it_is(client, guest, operation):
    client.to_state(guest, "Running")
    client.call("VM.set_platform", guest, {**client.call("VM.get_platform", guest), "nomigrate": "true"})
    try:
        assert client.refusal("VM.assert_operation_valid", guest, operation) == ["VM_IS_IMMOBILE", guest]
        assert operation not in client.call("VM.get_allowed_operations", guest)
    finally:
        client.call("VM.remove_from_platform", guest, "nomigrate")
    assert operation in client.call("VM.get_allowed_operations", guest)


def test_disks_that_forget_are_in_no_saved_state(client, guest):
    client.to_state(guest, "Halted")
    vbds = [client.call("VBD.get_record", vbd) for vbd in client.call("VM.get_VBDs", guest)]
    vdi = next(vbd["VDI"] for vbd in vbds if vbd["type"] == "Disk")
    client.call("VDI.set_on_boot", vdi, "reset")
    client.to_state(guest, "Running")
    try:
        for message, more in (("snapshot", ["row"]), ("checkpoint", ["row"]), ("suspend", [])):
            words = ["VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION"]
            assert client.refusal(f"VM.{message}", guest, *more) == words
    finally:
        client.to_state(guest, "Halted")
        client.call("VDI.set_on_boot", vdi, "persist")


def test_quiesced_snapshots_are_a_call_of_the_past(client, guest):
    assert client.refusal("VM.snapshot_with_quiesce", guest, "row") == ["MESSAGE_REMOVED"]


def test_second_module_is_refused(client, vm):
    made = client.call("VTPM.create", vm, False)
    assert client.refusal("VTPM.create", vm, False) == ["VTPM_MAX_AMOUNT_REACHED", "1"]
    assert "create_vtpm" not in client.call("VM.get_allowed_operations", vm)
    client.call("VTPM.destroy", made)


def test_a_vm_of_an_appliance_is_made_no_template(client, vm):
    record = {"name_label": "row", "name_description": ""}
    appliance = client.call("VM_appliance.create", record)
    client.call("VM.set_appliance", vm, appliance)
    words = ["VM_IS_PART_OF_AN_APPLIANCE", vm, appliance]
    assert client.refusal("VM.set_is_a_template", vm, True) == words
    client.call("VM.set_appliance", vm, NULL)
    client.call("VM_appliance.destroy", appliance)


def test_power_state_of_a_control_domain_is_not_reset(client):
    dom0 = next(ref for ref, vm in client.call("VM.get_all_records").items() if vm["is_control_domain"])
    assert client.refusal("VM.power_state_reset", dom0) == ["CANNOT_RESET_CONTROL_DOMAIN", dom0]


def test_no_host_has_that_much_memory(client, vm):
    size = str(1 << 45)
    before = client.call("VM.get_record", vm)
    client.call("VM.set_memory_limits", vm, before["memory_static_min"], size, size, size)
    host = client.call("host.get_all")[0]
    assert client.refusal("VM.start_on", vm, host, False, False)[0] == "HOST_NOT_ENOUGH_FREE_MEMORY"
    assert client.refusal("VM.start", vm, False, False)[0] in ("NO_HOSTS_AVAILABLE", "HOST_NOT_ENOUGH_FREE_MEMORY")
    names = ("static_min", "static_max", "dynamic_min", "dynamic_max")
    client.call("VM.set_memory_limits", vm, *(before[f"memory_{name}"] for name in names))


def test_a_host_without_the_network_or_the_storage_is_not_chosen(client, vm):
    host = client.call("host.get_all")[0]
    record = {"name_label": "nowhere", "name_description": "", "other_config": {}, "bridge": "", "managed": True,
              "MTU": "1500", "tags": []}  # fmt: skip
    network = client.call("network.create", record)
    sr = client.call("SR.introduce", "", "unplugged", "", "nfs", "user", True, {})
    disk = {"name_label": "d", "name_description": "", "SR": sr, "virtual_size": "4096", "type": "user",
            "sharable": False, "read_only": False, "other_config": {}}  # fmt: skip
    assert client.refusal("VDI.create", disk) == ["SR_HAS_NO_PBDS", sr]
    given = {"VM": vm, "network": network, "device": "2", "MAC": "", "MTU": "1500", "other_config": {},
             "qos_algorithm_type": "", "qos_algorithm_params": {}}  # fmt: skip
    vif = client.call("VIF.create", given)
    client.call("VM.start_on", vm, host, False, False)  # a network without interfaces is made on every host
    client.call("VM.hard_shutdown", vm)
    client.call("VIF.destroy", vif)
    client.call("network.destroy", network)
    client.call("SR.forget", sr)
