"""VBDs, VIFs and VDIs: making, plugging, changing and removing them."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from sim_api import ask

from xenapi_core.api.handlers.data_sources import moved_on
from xenapi_core.errors import ApiError
from xenapi_core.ids import NULL_REF
from xenapi_core.testing.pool import GIB, TEST_CALLER, SimPool, sim_pool
from xenapi_core.testing.virtual_time import drive


async def refused(pool: SimPool, wire_name: str, *args: Any) -> list[str]:
    with pytest.raises(ApiError) as failure:
        await pool.call(wire_name, *args)
    return failure.value.description


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"type": "CD"}, ["VBD_CDS_MUST_BE_READONLY"]),
        ({"empty": True}, ["VBD_NOT_REMOVABLE_MEDIA", "in constructor"]),
        ({"VDI": NULL_REF}, ["VBD_NOT_REMOVABLE_MEDIA", "in constructor"]),
        ({"userdevice": "0"}, ["DEVICE_ALREADY_EXISTS", "0"]),
        ({"userdevice": "xvda"}, ["DEVICE_ALREADY_EXISTS", "xvda"]),
        ({"userdevice": "hda"}, ["DEVICE_ALREADY_EXISTS", "hda"]),
        ({"userdevice": "nonsense"}, ["INVALID_DEVICE", "nonsense"]),
        ({"userdevice": "-1"}, ["INVALID_DEVICE", "-1"]),
        ({"userdevice": "255"}, ["INVALID_DEVICE", "255"]),
        ({"userdevice": "\u0662"}, ["INVALID_DEVICE", "\u0662"]),
        ({"VM": "OpaqueRef:none"}, ["HANDLE_INVALID", "VM", "OpaqueRef:none"]),
        ({"VDI": "OpaqueRef:none"}, ["HANDLE_INVALID", "VDI", "OpaqueRef:none"]),
    ],
)
async def test_vbd_create_refuses(changes: dict[str, Any], error: list[str]) -> None:
    async with sim_pool() as pool:
        values = pool.vbd_values(pool.add_vm(), pool.add_vdi(), "1") | changes
        assert await refused(pool, "VBD.create", values) == error


async def test_vbd_create_looks_at_the_disk() -> None:
    async with sim_pool() as pool:
        vm = pool.add_vm()
        read_only = pool.add_vdi(read_only=True)
        assert await refused(pool, "VBD.create", pool.vbd_values(vm, read_only, "1")) == ["VDI_READONLY", read_only]
        redo = pool.add_vdi(type="redo_log")
        error = await refused(pool, "VBD.create", pool.vbd_values(vm, redo, "1"))
        assert error == ["VDI_INCOMPATIBLE_TYPE", redo, "redo_log"]


async def test_vbd_create_finds_a_free_position() -> None:
    async with sim_pool() as pool:
        vm = pool.add_vm()
        refs = [await pool.call("VBD.create", pool.vbd_values(vm, pool.add_vdi(), at)) for at in ("2", "autodetect")]
        records = [pool.store.get(ref) for ref in refs]
        assert [record["userdevice"] for record in records] == ["2", "1"]
        assert [record["currently_attached"] for record in records] == [False, False]
        assert records[0]["device"] == ""


async def test_disk_is_plugged_and_unplugged() -> None:
    async with sim_pool() as pool:
        vm = await pool.running()
        vdi = pool.add_vdi()
        vbd = await pool.call("VBD.create", pool.vbd_values(vm, vdi, "2"))
        await pool.call("VBD.plug", vbd)
        assert (pool.store.get(vbd)["currently_attached"], pool.store.get(vbd)["device"]) == (True, "xvdc")
        machine = pool.sim.machines[pool.vm(vm)["uuid"]]
        assert pool.store.get(vbd)["uuid"] in machine.disks
        assert await refused(pool, "VBD.plug", vbd) == ["DEVICE_ALREADY_ATTACHED", vbd]
        assert (await refused(pool, "VBD.destroy", vbd))[0] == "OPERATION_NOT_ALLOWED"
        assert await refused(pool, "VDI.destroy", vdi) == ["VDI_IN_USE", vdi, "destroy"]
        await pool.call("VBD.unplug", vbd)
        assert pool.store.get(vbd)["currently_attached"] is False
        assert pool.store.get(vbd)["uuid"] not in machine.disks
        await pool.call("VBD.destroy", vbd)
        assert pool.store.find(vbd) is None
        assert pool.store.find(vdi) is not None


async def test_position_chosen_while_a_vm_starts_is_for_its_next_boot() -> None:
    async with sim_pool() as pool:
        vm = pool.add_vm()
        (vbd,) = pool.store.related(vm, "VBDs")
        pool.engine.launch("VM.start", (vm, False, False), TEST_CALLER)
        await pool.pass_time(1)
        assert pool.store.get(vbd)["reserved"]
        await ask(pool, "VBD.set_userdevice", vbd, "3")
        await pool.pass_time(60)
        (disk,) = pool.sim.machines[pool.vm(vm)["uuid"]].disks.values()
        assert (disk.position, pool.store.get(vbd)["device"]) == ("0", "xvda")
        usage = await pool.engine.hypervisors[pool.hosts[0]].usage()
        assert list(moved_on(pool.store, usage)) == [pool.sr]
        await pool.call("VM.hard_reboot", vm)
        assert pool.store.get(vbd)["device"] == "xvdd"


async def test_disk_the_host_does_not_reach_is_not_plugged() -> None:
    async with sim_pool() as pool:
        vm, far = await pool.running(), pool.add_sr("far", 8 * GIB)
        (pbd,) = pool.store.related(far, "PBDs")
        pool.change(pbd, currently_attached=False)
        disk, image = pool.add_vdi(sr=far), pool.add_vdi(sr=far, read_only=True)
        vbd = await pool.call("VBD.create", pool.vbd_values(vm, disk, "2"))
        assert await refused(pool, "VBD.plug", vbd) == ["SR_NOT_ATTACHED", far]
        assert pool.store.get(vbd)["reserved"] is False
        empty = {"type": "CD", "mode": "RO", "empty": True}
        drive = await pool.call("VBD.create", pool.vbd_values(vm, NULL_REF, "3", **empty))
        assert await refused(pool, "VBD.insert", drive, image) == ["SR_NOT_ATTACHED", far]
        pool.change(pbd, currently_attached=True)
        await pool.call("VBD.plug", vbd)
        assert pool.store.get(vbd)["currently_attached"] is True


async def test_nic_stays_while_its_machine_is_on_its_way() -> None:
    async with sim_pool() as pool:
        vm = pool.add_vm()
        (vif,) = pool.store.related(vm, "VIFs")
        start = pool.engine.launch("VM.start", (vm, False, False), TEST_CALLER)
        await pool.pass_time(1)
        assert pool.store.get(start)["status"] == "pending"
        assert (await refused(pool, "VIF.destroy", vif))[0] == "OPERATION_NOT_ALLOWED"
        await pool.pass_time(60)
        assert (pool.store.get(vif)["currently_attached"], pool.store.get(vif)["reserved"]) == (True, False)


async def test_nic_stays_while_it_is_being_plugged() -> None:
    async with sim_pool() as pool:
        vm = await pool.running()
        values = {"VM": vm, "network": pool.network, "device": "3", "MAC": "", "MTU": 1500, "other_config": {},
                  "qos_algorithm_type": "", "qos_algorithm_params": {}}  # fmt: skip
        vif = await pool.call("VIF.create", values)
        plug = pool.engine.launch("VIF.plug", (vif,), TEST_CALLER)
        await pool.pass_time(0)
        assert pool.store.get(plug)["status"] == "pending"
        assert (await refused(pool, "VIF.destroy", vif))[0] == "OPERATION_NOT_ALLOWED"
        await pool.pass_time(20)
        assert pool.store.get(plug)["status"] == "success"
        assert (pool.store.get(vif)["currently_attached"], pool.store.get(vif)["reserved"]) == (True, False)


async def test_disk_is_plugged_into_one_of_two_machines_that_want_it_at_once() -> None:
    async with sim_pool() as pool:
        vdi = pool.add_vdi()
        vbds = [
            await pool.call("VBD.create", pool.vbd_values(await pool.running(name), vdi, "2"))
            for name in ("one", "two")
        ]
        plugging = (pool.engine.perform("VBD.plug", (vbd,), TEST_CALLER) for vbd in vbds)
        ends = await drive(pool.clock, asyncio.gather(*plugging, return_exceptions=True))
        refusals = [end.description for end in ends if isinstance(end, ApiError)]
        assert (ends.count(None), refusals) == (1, [["VDI_IN_USE", vdi]])
        flags = sorted((pool.store.get(v)["currently_attached"], pool.store.get(v)["reserved"]) for v in vbds)
        assert flags == [(False, False), (True, False)]


async def test_machine_starts_when_the_copy_of_its_disk_is_made() -> None:
    async with sim_pool() as pool:
        vm = pool.add_vm()
        vdi = pool.store.get(pool.store.related(vm, "VBDs")[0])["VDI"]
        copy = pool.engine.launch("VDI.copy", (vdi, NULL_REF), TEST_CALLER)
        start = pool.engine.launch("VM.start", (vm, False, False), TEST_CALLER)
        while pool.store.get(start)["status"] == "pending":
            copied = pool.store.get(copy)["status"] == "success"
            assert copied or not pool.sim.machines
            assert copied or not pool.store.get(pool.store.related(vm, "VBDs")[0])["reserved"]
            await pool.pass_time(0.1)
        assert [pool.store.get(task)["status"] for task in (copy, start)] == ["success", "success"]


async def test_machine_whose_disk_is_going_starts_without_it() -> None:
    async with sim_pool() as pool:
        vm = pool.add_vm(disks=2)
        vdi = pool.store.get(pool.store.related(vm, "VBDs")[1])["VDI"]
        both = (
            pool.engine.perform(*call, TEST_CALLER)
            for call in (("VDI.destroy", (vdi,)), ("VM.start", (vm, False, False)))
        )
        assert await drive(pool.clock, asyncio.gather(*both)) == [None, None]
        (machine,) = pool.sim.machines.values()
        assert len(machine.disks) == len(pool.store.related(vm, "VBDs")) == 1


async def test_attached_device_that_cannot_go_says_whose_it_is() -> None:
    async with sim_pool() as pool:
        vm = await pool.running()
        (vbd,) = pool.store.related(vm, "VBDs")
        owner = pool.vm(vm)["uuid"]
        text = f"VBD '{pool.store.get(vbd)['uuid']}' still attached to '{owner}'"
        assert await refused(pool, "VBD.destroy", vbd) == ["OPERATION_NOT_ALLOWED", text]


@pytest.mark.parametrize("running", [True, False])
async def test_medium_is_changed_in_a_halted_and_in_a_running_vm(running: bool) -> None:
    async with sim_pool() as pool:
        vm = pool.add_vm()
        drive = await pool.call("VBD.create", pool.vbd_values(vm, NULL_REF, "3", type="CD", mode="RO", empty=True))
        if running:
            await pool.call("VM.start", vm, False, False)
        iso = pool.add_vdi(sr=pool.iso, read_only=True, sharable=True)
        await pool.call("VBD.insert", drive, iso)
        assert (pool.store.get(drive)["VDI"], pool.store.get(drive)["empty"]) == (iso, False)
        if running:
            inside = pool.sim.machines[pool.vm(vm)["uuid"]].disks[pool.store.get(drive)["uuid"]]
            assert inside.volume == pool.store.get(iso)["uuid"]
        await pool.call("VBD.eject", drive)
        assert (pool.store.get(drive)["VDI"], pool.store.get(drive)["empty"]) == (NULL_REF, True)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"device": "zero"}, ["INVALID_DEVICE", "zero"]),
        ({"device": "-1"}, ["INVALID_DEVICE", "-1"]),
        ({"device": "0"}, ["DEVICE_ALREADY_EXISTS", "0"]),
        ({"MAC": "nonsense"}, ["MAC_INVALID", "nonsense"]),
        ({"MAC": "01:00:5e:00:00:01"}, ["MAC_INVALID", "01:00:5e:00:00:01"]),
        ({"network": "OpaqueRef:none"}, ["HANDLE_INVALID", "network", "OpaqueRef:none"]),
    ],
)
async def test_vif_create_refuses(changes: dict[str, Any], error: list[str]) -> None:
    async with sim_pool() as pool:
        values = {"VM": pool.add_vm(), "network": pool.network, "device": "1", "MAC": "", "MTU": 1500, **changes}
        assert await refused(pool, "VIF.create", values) == error


async def test_vif_gets_a_stable_local_mac_unless_it_brings_one() -> None:
    async with sim_pool() as pool:
        vm = pool.add_vm(nics=0)
        base = {"VM": vm, "network": pool.network, "MTU": 1500}
        made = await pool.call("VIF.create", {**base, "device": "0", "MAC": ""})
        brought = await pool.call("VIF.create", {**base, "device": "1", "MAC": "02:11:22:33:44:55"})
        first, second = pool.store.get(made), pool.store.get(brought)
        assert re.fullmatch(r"[0-9a-f][26ae](:[0-9a-f]{2}){5}", first["MAC"])
        assert (first["MAC_autogenerated"], second["MAC_autogenerated"]) == (True, False)
        assert second["MAC"] == "02:11:22:33:44:55"
        await pool.call("VIF.destroy", made)
        again = await pool.call("VIF.create", {**base, "device": "0", "MAC": ""})
        assert pool.store.get(again)["MAC"] == first["MAC"]


async def test_nic_is_plugged_and_unplugged() -> None:
    async with sim_pool() as pool:
        vm = await pool.running(nics=0)
        values = {"VM": vm, "network": pool.network, "device": "0", "MAC": "", "MTU": 1500}
        vif = await pool.call("VIF.create", values)
        machine = pool.sim.machines[pool.vm(vm)["uuid"]]
        for wire_name, attached in (("VIF.plug", True), ("VIF.unplug", False), ("VIF.plug", True)):
            await pool.call(wire_name, vif)
            assert pool.store.get(vif)["currently_attached"] is attached
            assert (pool.store.get(vif)["uuid"] in machine.nics) is attached
        assert (await refused(pool, "VIF.destroy", vif))[0] == "OPERATION_NOT_ALLOWED"
        await pool.call("VIF.unplug_force", vif)
        await pool.call("VIF.destroy", vif)
        assert pool.store.find(vif) is None


async def test_disk_is_made_counted_and_destroyed() -> None:
    async with sim_pool() as pool:
        given = {"SR": pool.sr, "virtual_size": GIB + 1, "name_label": "new", "type": "user", "tags": ("a",)}
        vdi = await pool.call("VDI.create", {**given, "other_config": {"k": "v"}})
        record = pool.store.get(vdi)
        assert record["virtual_size"] > GIB + 1, "rounded up to what the storage gives out"
        assert (record["name_label"], record["tags"], record["managed"]) == ("new", ("a",), True)
        assert record["other_config"] == {"k": "v", "location": record["location"]}
        assert pool.store.get(pool.sr)["virtual_allocation"] == record["virtual_size"]
        (volume,) = await pool.engine.storages[pool.sr].volumes()
        assert volume.uuid == record["uuid"]
        await pool.call("VDI.destroy", vdi)
        assert pool.store.find(vdi) is None
        assert pool.store.get(pool.sr)["virtual_allocation"] == 0
        assert await pool.engine.storages[pool.sr].volumes() == []


async def test_disk_that_does_not_fit_is_told_the_numbers() -> None:
    async with sim_pool() as pool:
        small = pool.add_sr("small", GIB)
        error = await refused(pool, "VDI.create", {"SR": small, "virtual_size": 2 * GIB, "type": "user"})
        assert error == ["SR_FULL", str(2 * GIB), str(GIB)]
        error = await refused(pool, "VDI.create", {"SR": pool.sr, "virtual_size": 0, "type": "user"})
        assert error == ["INVALID_VALUE", "virtual_size", "0"]
        error = await refused(pool, "VDI.create", {"SR": pool.iso, "virtual_size": GIB, "type": "user"})
        assert error == ["SR_OPERATION_NOT_SUPPORTED", pool.iso]
        for pbd in pool.store.related(small, "PBDs"):
            pool.change(pbd, currently_attached=False)
        error = await refused(pool, "VDI.create", {"SR": small, "virtual_size": GIB, "type": "user"})
        assert error == ["SR_HAS_NO_PBDS", small]


@pytest.mark.parametrize("operation", ["clone", "snapshot"])
async def test_copies_of_a_disk_take_over_what_the_reference_says(operation: str) -> None:
    async with sim_pool() as pool:
        vdi = pool.add_vdi(name_label="n", tags=("t",), other_config={"k": "v"}, xenstore_data={"x": "y"})
        ref = await pool.call(f"VDI.{operation}", vdi, {})
        record = pool.store.get(ref)
        assert (record["name_label"], record["tags"], record["xenstore_data"]) == ("n", ("t",), {"x": "y"})
        assert record["other_config"]["k"] == "v"
        assert record["other_config"]["location"] == record["location"]
        expected = (True, vdi) if operation == "snapshot" else (False, NULL_REF)
        assert (record["is_a_snapshot"], record["snapshot_of"]) == expected
        assert (record["snapshot_time"] > 0) == (operation == "snapshot")


async def test_disk_is_copied_across_repositories_and_grown() -> None:
    async with sim_pool() as pool:
        vdi, other = pool.add_vdi(), pool.add_sr("other", 100 * GIB)
        ref = await pool.call("VDI.copy", vdi, other, NULL_REF, NULL_REF)
        assert pool.store.get(ref)["SR"] == other
        await pool.call("VDI.resize", ref, 3 * GIB)
        assert pool.store.get(ref)["virtual_size"] == 3 * GIB
        assert await refused(pool, "VDI.resize", ref, GIB) == ["VDI_TOO_SMALL", ref, str(3 * GIB)]


async def test_destroying_a_medium_empties_its_drives_and_removes_disk_connections() -> None:
    async with sim_pool() as pool:
        vm, vdi = pool.add_vm(disks=0), pool.add_vdi()
        drive = await pool.call("VBD.create", pool.vbd_values(vm, vdi, "3", type="CD", mode="RO"))
        disk = await pool.call("VBD.create", pool.vbd_values(vm, vdi, "0"))
        await pool.call("VDI.destroy", vdi)
        assert pool.store.find(disk) is None
        assert (pool.store.get(drive)["VDI"], pool.store.get(drive)["empty"]) == (NULL_REF, True)


async def test_disk_whose_traffic_is_held_moves_nothing_until_it_is_released() -> None:
    async with sim_pool() as pool:
        vm = await pool.running()
        (vbd,) = pool.store.related(vm, "VBDs")
        driver = next(iter(pool.sim.hosts.values()))

        async def moved() -> float:
            (traffic,) = (await driver.usage()).machines[pool.vm(vm)["uuid"]].disks.values()
            return traffic.inward

        assert await moved() > 0
        token = await pool.call("VBD.pause", vbd)
        assert await moved() == 0
        assert (await refused(pool, "VBD.pause", vbd))[0] == "OPERATION_NOT_ALLOWED"
        assert (await refused(pool, "VBD.unpause", vbd, "another"))[0] == "OPERATION_NOT_ALLOWED"
        await pool.call("VBD.unpause", vbd, token)
        assert await moved() > 0
        assert (await refused(pool, "VBD.unpause", vbd, ""))[0] == "OPERATION_NOT_ALLOWED"
        await pool.call("VBD.pause", vbd)
        await pool.call("VBD.unpause", vbd, "")
        await pool.call("VM.hard_shutdown", vm)
        assert (await refused(pool, "VBD.pause", vbd))[0] == "VM_BAD_POWER_STATE"
