"""Repositories, their connections, networks and VLANs, row by row: what keeps them from being made and given up."""

from __future__ import annotations

import pytest

NULL = "OpaqueRef:NULL"


@pytest.fixture(scope="module")
def shared(client):
    """(SR that all hosts use, its record)"""
    srs = client.call("SR.get_all_records").items()
    return next((ref, sr) for ref, sr in srs if sr["shared"] and sr["content_type"] != "iso")


@pytest.fixture
def empty(client):
    """A repository without a connection."""
    sr = client.call("SR.introduce", "", "row", "", "nfs", "user", True, {})
    yield sr
    if sr in client.call("SR.get_all"):
        client.call("SR.forget", sr)


@pytest.fixture
def network(client):
    record = {"name_label": "row", "name_description": "", "other_config": {}, "bridge": "", "managed": True,
              "MTU": "1500", "tags": []}  # fmt: skip
    ref = client.call("network.create", record)
    yield ref
    if ref in client.call("network.get_all"):
        client.call("network.destroy", ref)


def test_an_sr_without_a_connection_is_not_destroyed(client, empty):
    assert client.refusal("SR.destroy", empty) == ["SR_HAS_NO_PBDS", empty]


def test_a_host_is_connected_once(client, shared):
    sr, record = shared
    pbd = client.call("PBD.get_record", record["PBDs"][0])
    given = {"host": pbd["host"], "SR": sr, "device_config": {}, "other_config": {}}
    assert client.refusal("PBD.create", given) == ["PBD_EXISTS", sr, pbd["host"], record["PBDs"][0]]


def test_key_of_the_coordinator_is_not_for_clients(client, empty):
    host = client.call("host.get_all")[0]
    given = {"host": host, "SR": empty, "device_config": {"SRmaster": "true"}, "other_config": {}}
    words = client.refusal("PBD.create", given)
    assert words[0] == "VALUE_NOT_SUPPORTED"
    assert any("SRmaster" in word for word in words[1:])


def test_a_connection_with_disks_in_use_is_kept(client, shared):
    record = shared[1]
    busy = next(
        vdi for vdi in record["VDIs"]
        if any(client.call("VBD.get_currently_attached", vbd) for vbd in client.call("VDI.get_VBDs", vdi))
    )  # fmt: skip
    vbd = next(v for v in client.call("VDI.get_VBDs", busy) if client.call("VBD.get_currently_attached", v))
    host = client.call("VM.get_resident_on", client.call("VBD.get_VM", vbd))
    pbd = next(p for p in record["PBDs"] if client.call("PBD.get_host", p) == host)
    words = client.refusal("PBD.unplug", pbd)
    assert words[0] == "VDI_IN_USE"
    assert busy in words[1:]
    assert client.call("PBD.get_currently_attached", pbd) is True


def test_a_network_goes_with_idle_vifs_and_stays_with_interfaces(client, network, vm):
    given = {"VM": vm, "network": network, "device": "3", "MAC": "", "MTU": "1500", "other_config": {},
             "qos_algorithm_type": "", "qos_algorithm_params": {}}  # fmt: skip
    vif = client.call("VIF.create", given)
    client.call("VM.start", vm, False, False)
    assert client.refusal("network.destroy", network) == ["NETWORK_CONTAINS_VIF", vif]
    client.call("VM.hard_shutdown", vm)
    client.call("network.destroy", network)
    assert client.refusal("VIF.get_uuid", vif) == ["HANDLE_INVALID", "VIF", vif]
    (pif, of) = next((ref, pif["network"]) for ref, pif in client.call("PIF.get_all_records").items())
    words = client.refusal("network.destroy", of)
    in_use = [vif for vif in client.call("network.get_VIFs", of) if client.call("VIF.get_currently_attached", vif)]
    assert words[0] == ("NETWORK_CONTAINS_VIF" if in_use else "NETWORK_CONTAINS_PIF")
    assert (in_use[0] if in_use else pif) in words


def test_the_hosts_own_network_stays(client, network):
    client.call("network.add_to_other_config", network, "is_host_internal_management_network", "true")
    assert client.refusal("network.destroy", network) == ["CANNOT_DESTROY_SYSTEM_NETWORK", network]
    client.call("network.remove_from_other_config", network, "is_host_internal_management_network")


def test_a_bridge_has_one_network(client):
    bridge = next(network["bridge"] for network in client.call("network.get_all_records").values() if network["bridge"])
    record = {"name_label": "row", "name_description": "", "other_config": {}, "bridge": bridge, "managed": True,
              "MTU": "1500", "tags": []}  # fmt: skip
    assert client.refusal("network.create", record) == ["BRIDGE_NAME_EXISTS", bridge]


@pytest.mark.parametrize("tag", ["-1", "4095", "70000"])
def test_tags_of_vlans_have_a_range(client, network, tag):
    pif = next(ref for ref, record in client.call("PIF.get_all_records").items() if record["physical"])
    assert client.refusal("VLAN.create", pif, tag, network) == ["VLAN_TAG_INVALID", tag]


def test_a_tag_is_used_once_on_a_device(client, network):
    pif, record = next((r, p) for r, p in client.call("PIF.get_all_records").items() if p["physical"])
    vlan = client.call("VLAN.create", pif, "77", network)
    second = {"name_label": "row 2", "name_description": "", "other_config": {}, "bridge": "", "managed": True,
              "MTU": "1500", "tags": []}  # fmt: skip
    other = client.call("network.create", second)
    words = client.refusal("VLAN.create", pif, "77", other)
    assert words[0] == "PIF_VLAN_EXISTS"
    assert words[1] in (record["device"], client.call("VLAN.get_untagged_PIF", vlan), pif)
    client.call("VLAN.destroy", vlan)
    client.call("network.destroy", other)


def test_media_of_a_suspended_vm_stay(client):
    running = next(
        ref for ref, vm in sorted(client.call("VM.get_all_records").items(), key=lambda item: item[1]["name_label"])
        if vm["power_state"] == "Running" and not vm["is_control_domain"]
        and "suspend" in client.until(lambda ref=ref: client.call("VM.get_allowed_operations", ref))
    )  # fmt: skip
    client.to_state(running, "Halted")
    given = {"VM": running, "VDI": NULL, "userdevice": "autodetect", "bootable": False, "mode": "RO", "type": "CD",
             "unpluggable": True, "empty": True, "other_config": {}, "qos_algorithm_type": "",
             "qos_algorithm_params": {}}  # fmt: skip
    drive = client.call("VBD.create", given)
    isos = next(ref for ref, sr in client.call("SR.get_all_records").items() if sr["content_type"] == "iso")
    client.to_state(running, "Running")
    client.to_state(running, "Suspended")
    words = ["VM_BAD_POWER_STATE", running, "halted, running", "suspended"]
    assert client.refusal("VBD.insert", drive, client.call("SR.get_VDIs", isos)[0]) == words
    client.to_state(running, "Halted")
    client.call("VBD.destroy", drive)
    client.to_state(running, "Running")
