"""Devices, row by row: what VBD, VIF and VDI calls are told when they cannot be done."""

from __future__ import annotations

import pytest

NULL = "OpaqueRef:NULL"
GIB = str(1 << 30)


@pytest.fixture(scope="module")
def site(client, vm):
    """A halted VM, a running one with PV drivers, an SR and a network, and two disks of their own."""
    records = client.call("VM.get_all_records")
    running = next(
        ref for ref, record in sorted(records.items(), key=lambda item: item[1]["name_label"])
        if record["power_state"] == "Running" and not record["is_control_domain"]
    )  # fmt: skip
    client.until(lambda: "suspend" in client.call("VM.get_allowed_operations", running))
    srs = client.call("SR.get_all_records")
    sr = next(ref for ref, record in srs.items() if record["content_type"] != "iso" and record["shared"])
    isos = next(ref for ref, record in srs.items() if record["content_type"] == "iso")
    made = {
        "vm": vm,
        "running": running,
        "sr": sr,
        "iso": client.call("SR.get_VDIs", isos)[0],
        "network": client.call("network.get_all")[0],
        "disk": create_disk(client, sr),
        "other": create_disk(client, sr),
    }
    yield made
    for disk in ("disk", "other"):
        for vbd in client.call("VDI.get_VBDs", made[disk]):
            if client.call("VBD.get_currently_attached", vbd):
                client.call("VBD.unplug", vbd)
            client.call("VBD.destroy", vbd)
        client.call("VDI.destroy", made[disk])


def create_disk(client, sr, **more):
    record = {
        "name_label": "row", "name_description": "", "SR": sr, "virtual_size": GIB, "type": "user", "sharable": False,
        "read_only": False, "other_config": {}, **more,
    }  # fmt: skip
    return client.call("VDI.create", record)


def vbd(site, **more):
    return {
        "VM": site["vm"], "VDI": site["disk"], "userdevice": "autodetect", "bootable": False, "mode": "RW",
        "type": "Disk", "unpluggable": True, "empty": False, "other_config": {}, "qos_algorithm_type": "",
        "qos_algorithm_params": {}, **more,
    }  # fmt: skip


def vif(site, **more):
    return {
        "VM": site["vm"], "network": site["network"], "device": "0", "MAC": "", "MTU": "1500", "other_config": {},
        "qos_algorithm_type": "", "qos_algorithm_params": {}, **more,
    }  # fmt: skip


VBD_ROWS = {
    "a CD is read only": ({"type": "CD", "mode": "RW", "VDI": "$iso"}, ["VBD_CDS_MUST_BE_READONLY"]),
    "only a CD is empty": ({"empty": True, "VDI": NULL}, ["VBD_NOT_REMOVABLE_MEDIA", "in constructor"]),
    "a read-only disk": ({"VDI": "$iso"}, ["VDI_READONLY", "$iso"]),
    "no device": ({"userdevice": "nonsense"}, ["INVALID_DEVICE", "nonsense"]),
    "a negative device": ({"userdevice": "-1"}, ["INVALID_DEVICE", "-1"]),
    "no VM": ({"VM": NULL}, ["HANDLE_INVALID", "VM", NULL]),
    "no such disk": ({"VDI": "OpaqueRef:no"}, ["HANDLE_INVALID", "VDI", "OpaqueRef:no"]),
}


@pytest.mark.parametrize("case", VBD_ROWS)
def test_vbd_create_refuses_what_cannot_be(client, site, case):
    changes, words = VBD_ROWS[case]

    def filled(value):
        return site[value[1:]] if isinstance(value, str) and value[:1] == "$" else value

    changes = {name: filled(value) for name, value in changes.items()}
    assert client.refusal("VBD.create", vbd(site, **changes)) == [filled(word) for word in words]


@pytest.mark.parametrize("clash", ["1", "hdb", "xvdb"])
def test_vbd_devices_have_several_names(client, site, clash):
    made = client.call("VBD.create", vbd(site, userdevice="1"))
    assert client.refusal("VBD.create", vbd(site, VDI=site["other"], userdevice=clash)) == [
        "DEVICE_ALREADY_EXISTS",
        clash,
    ]
    assert "1" not in client.call("VM.get_allowed_VBD_devices", site["vm"])
    assert client.call("VBD.get_device", made) == ""
    client.call("VBD.destroy", made)
    assert "1" in client.call("VM.get_allowed_VBD_devices", site["vm"])


def test_vbd_mode_is_set_on_halted_vms_only(client, site):
    made = client.call("VBD.create", vbd(site, VM=site["running"]))
    words = ["VM_BAD_POWER_STATE", site["running"], "halted", "running"]
    assert client.refusal("VBD.set_mode", made, "RO") == words
    client.call("VBD.destroy", made)


def test_vbd_plug_wants_a_running_vm(client, site):
    made = client.call("VBD.create", vbd(site))
    words = ["VM_BAD_POWER_STATE", site["vm"], "running", "halted"]
    for message in ("plug", "unplug", "unplug_force"):
        assert client.refusal(f"VBD.{message}", made) == words
    client.call("VBD.destroy", made)


def test_vbd_is_plugged_once_and_unplugged_once(client, site):
    made = client.call("VBD.create", vbd(site, VM=site["running"]))
    assert client.refusal("VBD.unplug", made) == ["DEVICE_ALREADY_DETACHED", made]
    client.call("VBD.plug", made)
    assert client.call("VBD.get_device", made).startswith("xvd")
    assert client.refusal("VBD.plug", made) == ["DEVICE_ALREADY_ATTACHED", made]
    words = client.refusal("VBD.destroy", made)
    uuids = client.call("VBD.get_uuid", made), client.call("VM.get_uuid", site["running"])
    assert words == ["OPERATION_NOT_ALLOWED", "VBD '{}' still attached to '{}'".format(*uuids)]
    second = client.call("VBD.create", vbd(site, VM=site["running"]))
    assert client.refusal("VBD.plug", second) == ["VDI_IN_USE", site["disk"]]
    for message in ("destroy", "resize"):
        more = [str(2 << 30)] if message == "resize" else []
        assert client.refusal(f"VDI.{message}", site["disk"], *more) == ["VDI_IN_USE", site["disk"], message]
    copy = client.call("VDI.snapshot", site["disk"])
    assert client.call("VDI.get_snapshot_of", copy) == site["disk"]
    client.call("VDI.destroy", copy)
    client.call("VBD.unplug", made)
    assert client.refusal("VBD.unplug", made) == ["DEVICE_ALREADY_DETACHED", made]
    for each in (made, second):
        client.call("VBD.destroy", each)


def test_vbd_that_cannot_be_unplugged(client, site):
    made = client.call("VBD.create", vbd(site, VM=site["running"], unpluggable=False))
    client.call("VBD.plug", made)
    assert client.refusal("VBD.unplug", made) == ["VBD_NOT_UNPLUGGABLE", made]
    client.call("VBD.set_unpluggable", made, True)
    client.call("VBD.unplug", made)
    client.call("VBD.destroy", made)


def test_media_are_for_cds(client, site):
    disk = client.call("VBD.create", vbd(site))
    assert client.refusal("VBD.insert", disk, site["iso"]) == ["VBD_NOT_REMOVABLE_MEDIA", disk]
    assert client.refusal("VBD.eject", disk) == ["VBD_NOT_REMOVABLE_MEDIA", disk]
    drive = client.call("VBD.create", vbd(site, VDI=NULL, type="CD", mode="RO", empty=True))
    assert client.refusal("VBD.eject", drive) == ["VBD_IS_EMPTY", drive]
    client.call("VBD.insert", drive, site["iso"])
    assert client.call("VBD.get_VDI", drive) == site["iso"]
    assert client.refusal("VBD.insert", drive, site["iso"]) == ["VBD_NOT_EMPTY", drive]
    client.call("VBD.eject", drive)
    assert (client.call("VBD.get_VDI", drive), client.call("VBD.get_empty", drive)) == (NULL, True)
    for made in (disk, drive):
        client.call("VBD.destroy", made)


VIF_ROWS = {
    "no device": ({"device": "nonsense"}, ["INVALID_DEVICE", "nonsense"]),
    "a negative device": ({"device": "-1"}, ["INVALID_DEVICE", "-1"]),
    "no MAC": ({"MAC": "nonsense"}, ["MAC_INVALID", "nonsense"]),
    "a long MAC": ({"MAC": "00:11:22:33:44:55:66"}, ["MAC_INVALID", "00:11:22:33:44:55:66"]),
    "no network": ({"network": NULL}, ["HANDLE_INVALID", "network", NULL]),
}


@pytest.mark.parametrize("case", VIF_ROWS)
def test_vif_create_refuses_what_cannot_be(client, site, case):
    changes, words = VIF_ROWS[case]
    assert client.refusal("VIF.create", vif(site, device="5") | changes) == words


def test_vif_devices_are_taken_once(client, site):
    made = client.call("VIF.create", vif(site, device="4"))
    assert client.refusal("VIF.create", vif(site, device="4")) == ["DEVICE_ALREADY_EXISTS", "4"]
    first, *rest = client.call("VIF.get_MAC", made).split(":")
    assert int(first, 16) & 3 == 2  # locally administered, for one receiver
    assert len(rest) == 5
    words = ["VM_BAD_POWER_STATE", site["vm"], "running", "halted"]
    for message in ("plug", "unplug"):
        assert client.refusal(f"VIF.{message}", made) == words
    client.call("VIF.destroy", made)


def test_vif_is_plugged_once_and_unplugged_once(client, site):
    made = client.call("VIF.create", vif(site, VM=site["running"], device="6"))
    assert client.refusal("VIF.unplug", made) == ["DEVICE_ALREADY_DETACHED", made]
    client.call("VIF.plug", made)
    assert client.refusal("VIF.plug", made) == ["DEVICE_ALREADY_ATTACHED", made]
    client.call("VIF.unplug", made)
    client.call("VIF.destroy", made)


def test_a_snapshot_of_a_disk_copies_what_describes_it(client, site):
    client.call("VDI.set_tags", site["disk"], ["t"])
    client.call("VDI.set_other_config", site["disk"], {"k": "v"})
    source = client.call("VDI.get_record", site["disk"])
    copy = client.call("VDI.snapshot", site["disk"])
    record = client.call("VDI.get_record", copy)
    same = (
        "name_label",
        "name_description",
        "type",
        "sharable",
        "on_boot",
        "allow_caching",
        "tags",
        "virtual_size",
        "SR",
    )
    assert {name: record[name] for name in same} == {name: source[name] for name in same}
    assert record["other_config"].items() >= {"k": "v"}.items()
    assert (record["is_a_snapshot"], record["snapshot_of"]) == (True, site["disk"])
    assert record["snapshot_time"] > source["snapshot_time"]
    assert client.call("VDI.get_snapshots", site["disk"]) == [copy]
    client.call("VDI.destroy", copy)


def test_disks_that_refuse(client, site):
    assert client.refusal("VDI.data_destroy", site["disk"])[0] == "OPERATION_NOT_ALLOWED"
    sharable = create_disk(client, site["sr"], sharable=True)
    assert client.refusal("VDI.snapshot", sharable) == ["VDI_IS_SHARABLE", sharable]
    client.call("VDI.destroy", sharable)
    assert client.refusal("VDI.get_uuid", sharable) == ["HANDLE_INVALID", "VDI", sharable]


def test_an_sr_in_use_is_not_given_up(client, site):
    for message in ("destroy", "forget"):
        assert client.refusal(f"SR.{message}", site["sr"]) == ["SR_HAS_PBD", site["sr"]]
    assert client.refusal("PBD.destroy", client.call("SR.get_PBDs", site["sr"])[0])[0] == "OPERATION_NOT_ALLOWED"
