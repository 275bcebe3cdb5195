"""What xm does to VMs and their devices, in the words of API 1.0, on the simulator."""

from __future__ import annotations

import pytest
from sim_api import ask, refused

from xenapi_core.engine.caller import Caller
from xenapi_core.ids import NULL_REF
from xenapi_core.model.schema import VM_ADMIN, VM_OPERATOR
from xenapi_core.testing.pool import GIB, SimPool, sim_pool

OPERATOR = Caller(NULL_REF, "operator", frozenset({VM_OPERATOR}), originator="test")
VM_MASTER = Caller(NULL_REF, "master", frozenset({VM_ADMIN}), originator="test")


# VM extra methods for xm


async def test_pause_flag_is_true_of_a_paused_vm_and_makes_others_so() -> None:
    async with sim_pool() as pool:
        vm = await pool.running()
        await ask(pool, "VM.pause", vm)
        await ask(pool, "VM.set_pauseflag", vm, True)
        assert pool.vm(vm)["power_state"] == "Paused"
        await ask(pool, "VM.set_pauseflag", vm, False, caller=OPERATOR)
        assert pool.vm(vm)["power_state"] == "Running"
        await ask(pool, "VM.set_pauseflag", vm, True)
        assert pool.vm(vm)["power_state"] == "Paused"
        halted = pool.add_vm("halted")
        assert await refused(pool, "VM.set_pauseflag", halted, True) == [
            "VM_BAD_POWER_STATE",
            halted,
            "running",
            "halted",
        ]


async def test_mem_set_moves_both_ends_of_a_running_guests_range() -> None:
    async with sim_pool() as pool:
        vm = await pool.running(memory=4 * GIB, memory_dynamic_min=3 * GIB, memory_static_min=GIB)
        for size in (2 * GIB, 4 * GIB):
            await ask(pool, "VM.set_memory_dynamic_max_live", vm, size)
            assert pool.vm(vm)["memory_dynamic_max"] == size
            await ask(pool, "VM.set_memory_dynamic_min_live", vm, size)
            assert (pool.vm(vm)["memory_dynamic_min"], pool.vm(vm)["memory_dynamic_max"]) == (size, size)
            assert pool.store.get(pool.vm(vm)["metrics"])["memory_actual"] == size
        await ask(pool, "VM.set_memory_dynamic_min_live", vm, 2 * GIB)
        assert (pool.vm(vm)["memory_dynamic_min"], pool.vm(vm)["memory_dynamic_max"]) == (2 * GIB, 4 * GIB)
        assert (await refused(pool, "VM.set_memory_dynamic_max_live", vm, 5 * GIB))[0] == "MEMORY_CONSTRAINT_VIOLATION"
        halted = pool.add_vm("halted")
        error = await refused(pool, "VM.set_memory_dynamic_min_live", halted, GIB)
        assert error == ["VM_BAD_POWER_STATE", halted, "running", "halted"]
        denied = await refused(pool, "VM.set_memory_dynamic_max_live", vm, GIB, caller=VM_MASTER)
        assert denied[0] == "RBAC_PERMISSION_DENIED"


async def test_migrate_goes_to_the_host_of_that_address_or_name() -> None:
    async with sim_pool(hosts=2) as pool:
        vm = await pool.running()
        # as xm sends them: numbers and nothing where the document says string
        await ask(pool, "VM.migrate", vm, "192.0.2.2", True, {"port": 0, "node": -1, "ssl": None})
        assert pool.vm(vm)["resident_on"] == pool.hosts[1]
        await ask(pool, "VM.migrate", vm, "h0", False, {"port": "8002"})
        assert pool.vm(vm)["resident_on"] == pool.hosts[0]
        for dest in ("elsewhere", ""):
            error = await refused(pool, "VM.migrate", vm, dest, True, {})
            assert error[:3] == ["VALUE_NOT_SUPPORTED", "dest", dest]
        assert (await refused(pool, "VM.migrate", vm, "h1", True, {}, caller=VM_MASTER))[0] == "RBAC_PERMISSION_DENIED"


async def test_a_task_that_has_another_message_do_its_work_cancels_that_too() -> None:
    async with sim_pool(hosts=2) as pool:
        vm = await pool.running()
        before = pool.picture()
        task = await ask(pool, "Async.VM.migrate", vm, "192.0.2.2", True, {})
        await pool.pass_time(0.2)
        assert list(pool.vm(vm)["current_operations"].values()) == ["pool_migrate"]
        await ask(pool, "task.cancel", task)
        while (record := pool.store.get(task))["status"] == "pending":
            await pool.pass_time(0.1)
        assert (record["status"], record["error_info"]) == ("cancelled", ("TASK_CANCELLED", task))
        assert not pool.vm(vm)["current_operations"]  # nothing is left at work
        await pool.pass_time(60)
        assert pool.picture() == before


async def test_tools_version_is_what_the_guest_reported() -> None:
    async with sim_pool() as pool:
        vm = await pool.running()
        told = pool.store.get(pool.vm(vm)["guest_metrics"])["PV_drivers_version"]
        assert told
        assert await ask(pool, "VM.get_tools_version", vm) == told
        assert await ask(pool, "VM.get_tools_version", pool.add_vm("silent")) == {}


# VM.send_trigger


async def test_trigger_may_name_a_virtual_cpu() -> None:
    async with sim_pool() as pool:
        vm = await pool.running()
        await ask(pool, "VM.send_trigger", vm, "nmi", 0)
        await ask(pool, "VM.send_trigger", vm, "nmi", "0")
        await ask(pool, "VM.send_trigger", vm, "nmi")
        assert (await refused(pool, "VM.send_trigger", vm, "s3resume", 0))[0] == "INVALID_VALUE"
        with pytest.raises(ValueError, match="Expected int"):
            await ask(pool, "VM.send_trigger", vm, "nmi", "first")
        counted = await refused(pool, "VM.send_trigger", vm, "nmi", 0, 0)
        assert counted == ["MESSAGE_PARAMETER_COUNT_MISMATCH", "VM.send_trigger", "2", "4"]


# VM.snapshot


async def test_snapshot_may_name_disks_to_leave_out() -> None:
    async with sim_pool() as pool:
        vm = pool.add_vm(disks=2)
        first, second = (pool.store.get(pool.store.get(vbd)["VDI"]) for vbd in pool.store.related(vm, "VBDs"))
        whole = await ask(pool, "VM.snapshot", vm, "whole")
        part = await ask(pool, "VM.snapshot", vm, "part", (first["uuid"],))
        assert snapshot_sources(pool, whole) == {first.ref, second.ref}
        assert snapshot_sources(pool, part) == {second.ref}


def snapshot_sources(pool: SimPool, snapshot: str) -> set[str]:
    disks = [pool.store.find(pool.store.get(vbd)["VDI"]) for vbd in pool.store.related(snapshot, "VBDs")]
    return {disk["snapshot_of"] for disk in disks if disk is not None}


# VM.metrics


async def test_every_vm_has_metrics_whatever_it_was_made_from() -> None:
    async with sim_pool() as pool:
        vm = pool.add_vm()
        made = [await ask(pool, f"VM.{how}", vm, how) for how in ("clone", "snapshot")]
        await ask(pool, "VM.set_is_a_template", made[0], True)
        assert len({pool.store.get(pool.vm(ref)["metrics"], "VM_metrics").ref for ref in (vm, *made)}) == 3


# VIF/VBD.runtime_properties


async def test_attached_devices_tell_their_handles() -> None:
    async with sim_pool() as pool:
        vm = pool.add_vm(disks=2, nics=2)
        vbds, vifs = pool.store.related(vm, "VBDs"), pool.store.related(vm, "VIFs")
        assert await ask(pool, "VIF.get_runtime_properties", vifs[1]) == {}
        await pool.call("VM.start", vm, False, False)
        found = [await ask(pool, "VIF.get_runtime_properties", vif) for vif in vifs]
        assert [properties["handle"] for properties in found] == ["0", "1"]
        assert [properties["mac"] for properties in found] == [pool.store.get(vif)["MAC"] for vif in vifs]
        disks = [await ask(pool, "VBD.get_runtime_properties", vbd) for vbd in vbds]
        assert [properties["virtual-device"] for properties in disks] == ["51712", "51728"]  # xvda, xvdb
        assert all({"ring-ref", "event-channel", "state"} <= properties.keys() for properties in disks)
        domain = pool.vm(vm)["domid"]
        assert disks[1]["backend"] == f"/local/domain/0/backend/vbd/{domain}/51728"
        assert found[1]["backend"] == f"/local/domain/0/backend/vif/{domain}/1"
        await pool.call("VM.hard_reboot", vm)
        assert pool.vm(vm)["domid"] != domain
        again = await ask(pool, "VBD.get_runtime_properties", vbds[1])
        assert again["backend"] == f"/local/domain/0/backend/vbd/{pool.vm(vm)['domid']}/51728"
        await pool.pass_time(20)
        await pool.call("VM.suspend", vm)
        assert await ask(pool, "VIF.get_runtime_properties", vifs[1]) == {}
        await pool.call("VM.resume", vm, False, False)
        await pool.call("VM.hard_shutdown", vm)
        assert await ask(pool, "VBD.get_runtime_properties", vbds[0]) == {}


# VDI.other_config.location


async def test_vdi_tells_its_location_in_other_config() -> None:
    async with sim_pool() as pool:
        record = {
            "SR": pool.sr, "virtual_size": GIB, "type": "system", "sharable": 0, "read_only": 0, "other_config": {},
            "name_label": "made",
        }  # fmt: skip
        vdi = await ask(pool, "VDI.create", record)
        values = pool.store.get(vdi)
        assert values["other_config"]["location"] == values["location"] != ""


# RW in 1.0, StaticRO later


async def test_vif_settings_change_while_the_vm_is_halted() -> None:
    async with sim_pool() as pool:
        vm = pool.add_vm(nics=2)
        vif, other = pool.store.related(vm, "VIFs")
        await ask(pool, "VIF.set_device", vif, "eth4")
        await ask(pool, "VIF.set_MAC", vif, "00:16:3e:00:00:01")
        await ask(pool, "VIF.set_MTU", vif, "9000")
        values = pool.store.get(vif)
        assert (values["device"], values["MAC"], values["MTU"]) == ("4", "00:16:3e:00:00:01", 9000)
        assert not values["MAC_autogenerated"]
        await ask(pool, "VIF.set_MTU", vif, 0)
        assert pool.store.get(vif)["MTU"] == 1500
        taken = pool.store.get(other)["device"]
        assert await refused(pool, "VIF.set_device", vif, taken) == ["DEVICE_ALREADY_EXISTS", taken]
        for device in ("7", "x", ""):
            assert await refused(pool, "VIF.set_device", vif, device) == ["INVALID_DEVICE", device]
        assert await refused(pool, "VIF.set_MAC", vif, "01:00:00:00:00:01") == ["MAC_INVALID", "01:00:00:00:00:01"]
        assert await refused(pool, "VIF.set_MTU", vif, 67) == ["INVALID_VALUE", "MTU", "67"]
        await pool.call("VM.start", vm, False, False)
        for message, value in (("VIF.set_device", "5"), ("VIF.set_MAC", "00:16:3e:00:00:02"), ("VIF.set_MTU", 1400)):
            assert await refused(pool, message, vif, value) == ["VM_BAD_POWER_STATE", vm, "halted", "running"]


async def test_settings_of_devices_stay_while_the_vm_starts() -> None:
    async with sim_pool() as pool:
        vm = pool.add_vm()
        (vif,), (vbd,) = pool.store.related(vm, "VIFs"), pool.store.related(vm, "VBDs")
        task = await ask(pool, "Async.VM.start", vm, False, False)
        await pool.pass_time(1)
        settings = (("VIF.set_MTU", vif, 1400), ("VBD.set_mode", vbd, "RO"), ("VBD.set_type", vbd, "CD"))
        for message, device, value in settings:
            refusal = await refused(pool, message, device, value)
            assert refusal == ["OTHER_OPERATION_IN_PROGRESS", "VM", vm, "start", task]


async def test_disk_moves_to_another_place_while_the_vm_is_halted() -> None:
    async with sim_pool() as pool:
        vm = pool.add_vm(disks=2)
        vbd, other = pool.store.related(vm, "VBDs")
        await ask(pool, "VBD.set_device", vbd, "xvdf")
        await ask(pool, "VBD.set_device", vbd, "xvdf")
        assert pool.store.get(vbd)["userdevice"] == "xvdf"
        assert await refused(pool, "VBD.set_device", other, "5") == ["DEVICE_ALREADY_EXISTS", "5"]
        assert await refused(pool, "VBD.set_device", other, "floppy") == ["INVALID_DEVICE", "floppy"]
        await pool.call("VM.start", vm, False, False)
        assert pool.store.get(vbd)["device"] == "xvdf"
        assert await refused(pool, "VBD.set_device", vbd, "xvdg") == ["VM_BAD_POWER_STATE", vm, "halted", "running"]


async def test_settings_that_later_versions_made_operations_keep_their_rules() -> None:
    async with sim_pool() as pool:
        vm = pool.add_vm(memory=2 * GIB)
        for message, value in (
            ("memory_static_min", 0), ("memory_dynamic_min", str(GIB)), ("memory_dynamic_max", GIB),
            ("memory_static_max", GIB), ("VCPUs_max", "4"), ("VCPUs_at_startup", 2), ("PV_args", "quiet"),
            ("HVM_boot_policy", "BIOS order"), ("platform", {"acpi": "1"}), ("other_config", {"a": "b"}),
        ):  # fmt: skip
            await ask(pool, f"VM.set_{message}", vm, value)
            assert str(pool.vm(vm)[message]) == str(value)
        await pool.call("VM.start", vm, False, False)
        for message, value in (("memory_static_max", GIB), ("VCPUs_max", 2)):
            assert (await refused(pool, f"VM.set_{message}", vm, value))[0] == "VM_BAD_POWER_STATE"


# VBD.media_change


async def test_media_change_swaps_the_medium_and_keeps_the_old_one_if_refused() -> None:
    async with sim_pool() as pool:
        vm, disc, next_disc = pool.add_vm(disks=0), pool.add_vdi(sr=pool.iso), pool.add_vdi(sr=pool.iso)
        drive = pool.add("VBD", **pool.vbd_values(vm, disc, "3", type="CD", mode="RO"))
        await pool.call("VM.start", vm, False, False)
        await ask(pool, "VBD.media_change", drive, next_disc)
        assert pool.store.get(drive)["VDI"] == next_disc
        writable = pool.add_vdi(type="redo_log")
        assert (await refused(pool, "VBD.media_change", drive, writable))[0] == "VDI_INCOMPATIBLE_TYPE"
        assert pool.store.get(drive)["VDI"] == next_disc
        await ask(pool, "VBD.media_change", drive, "")
        assert pool.store.get(drive)["empty"]
        await ask(pool, "VBD.media_change", drive, disc)
        assert pool.store.get(drive)["VDI"] == disc


# cpu_pool


async def test_pool_of_cpus_tells_the_vms_of_its_host() -> None:
    async with sim_pool(hosts=2) as pool:
        cpus = [pool.add_cpu_pool(host) for host in pool.hosts]
        vm = await pool.running()
        started = [await ask(pool, "cpu_pool.get_started_VMs", ref) for ref in cpus]
        assert sorted(started) == [(), (vm,)]
        assert await ask(pool, "VM.get_cpu_pool", vm) == tuple(
            ref for ref in cpus if pool.store.get(ref)["resident_on"] == pool.vm(vm)["resident_on"]
        )
        assert await ask(pool, "VM.get_pool_name", vm) == "Pool-0"
        seen = pool.store.revision
        await pool.call("VM.hard_shutdown", vm)
        assert any(change.ref in cpus for change in pool.store.changes(seen, {"cpu_pool"}))
        assert await ask(pool, "VM.get_cpu_pool", vm) == ()
        pool.add("cpu_pool", name_label="fast", resident_on=pool.hosts[0], activated=True)
        assert await ask(pool, "VM.get_pool_name", vm) == ""
