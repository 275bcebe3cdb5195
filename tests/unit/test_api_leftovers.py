"""Messages about running guests, saved VMs and records of disks that belong to no larger group."""

from __future__ import annotations

import inspect

import pytest
from api_pool import TCP, api_pool
from sim_api import ask, refused

from xenapi_core.engine.caller import Caller
from xenapi_core.ids import NULL_REF
from xenapi_core.model.schema import POOL_ADMIN
from xenapi_core.testing.pool import sim_pool
from xenapi_core.wire.api import Call

LOCAL = Caller(NULL_REF, "root", frozenset({POOL_ADMIN}), local_root=True)


# Running guests


async def test_scheduler_and_shadow_memory_of_a_running_guest_are_changed_at_once() -> None:
    async with sim_pool() as pool:
        vm = await pool.running()
        await ask(pool, "VM.add_to_VCPUs_params_live", vm, "weight", "512")
        await ask(pool, "VM.add_to_VCPUs_params_live", vm, "mask", "0,2")
        await ask(pool, "VM.set_shadow_multiplier_live", vm, 1.5)
        machine = pool.sim.machines[pool.vm(vm)["uuid"]]
        assert machine.scheduling == pool.vm(vm)["VCPUs_params"] == {"weight": "512", "mask": "0,2"}
        assert machine.shadow == pool.vm(vm)["HVM_shadow_multiplier"] == 1.5
        assert await refused(pool, "VM.set_shadow_multiplier_live", vm, 0.5) == [
            "INVALID_VALUE",
            "multiplier",
            "0.5",
        ]
        await ask(pool, "VM.hard_reboot_internal", vm, caller=LOCAL)
        assert pool.vm(vm)["domid"] == 2
        rebooted = pool.sim.machines[pool.vm(vm)["uuid"]]
        assert (rebooted.scheduling, rebooted.shadow) == ({"weight": "512", "mask": "0,2"}, 1.5)
        await ask(pool, "VM.hard_shutdown", vm)
        wrong = ["VM_BAD_POWER_STATE", vm, "running", "halted"]
        assert await refused(pool, "VM.add_to_VCPUs_params_live", vm, "cap", "50") == wrong
        assert await refused(pool, "VM.set_shadow_multiplier_live", vm, 2.0) == wrong


async def test_virtual_processors_are_pinned_one_by_one() -> None:
    async with sim_pool() as pool:
        vm = await pool.running(VCPUs_max=2, VCPUs_at_startup=2)
        await ask(pool, "VM.add_to_VCPUs_params_live", vm, "cpumap0", "0,1")
        await ask(pool, "VM.add_to_VCPUs_params_live", vm, "cpumap1", "3")
        pinned = {"cpumap0": "0,1", "cpumap1": "3"}
        assert pool.vm(vm)["VCPUs_params"] == pinned
        assert pool.sim.machines[pool.vm(vm)["uuid"]].scheduling == pinned
        await ask(pool, "VM.hard_reboot", vm)
        assert pool.sim.machines[pool.vm(vm)["uuid"]].scheduling == pinned


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("weight", "0"), ("weight", "65536"), ("cap", "-1"), ("cap", "1,2"), ("mask", "all"), ("x", "1"),
        ("cpumap1", "0"), ("cpumap00", "0"), ("cpumap", "0"), ("cpumap0", "all"),
    ],
)  # fmt: skip
async def test_scheduler_is_told_only_what_it_can_do(key: str, value: str) -> None:
    async with sim_pool() as pool:
        vm = await pool.running()
        assert await refused(pool, "VM.add_to_VCPUs_params_live", vm, key, value) == ["INVALID_VALUE", key, value]
        assert pool.vm(vm)["VCPUs_params"] == {}


async def test_guest_that_is_no_windows_is_not_prepared_and_no_host_has_plugins() -> None:
    async with sim_pool() as pool:
        vm = await pool.running()
        error = await refused(pool, "VM.sysprep", vm, "<unattend/>", 10.0)
        assert error == ["SYSPREP", vm, "the guest runs debian, not Windows"]
        error = await refused(pool, "VM.call_host_plugin", vm, "tool", "run", {})
        assert error == ["XENAPI_MISSING_PLUGIN", "tool"]
        await ask(pool, "VM.hard_shutdown", vm)
        wrong = ["VM_BAD_POWER_STATE", vm, "running", "halted"]
        assert await refused(pool, "VM.sysprep", vm, "<unattend/>", 10.0) == wrong
        assert await refused(pool, "VM.call_host_plugin", vm, "tool", "run", {}) == wrong


async def test_firmware_of_a_running_guest_stores_its_variables() -> None:
    async with sim_pool() as pool:
        vm = await pool.running()
        await ask(pool, "VM.set_NVRAM_EFI_variables", vm, "AAAA", caller=LOCAL)
        assert pool.vm(vm)["NVRAM"] == {"EFI-variables": "AAAA"}
        error = await refused(pool, "VM.set_NVRAM_EFI_variables", vm, "BBBB")
        assert error[0] == "RBAC_PERMISSION_DENIED"


# Saved VMs of API 1.0


async def test_vm_is_saved_under_a_name_and_restored_by_it_once() -> None:
    async with sim_pool() as pool:
        vm = await pool.running()
        await ask(pool, "VM.save", vm, "/tmp/vm.save", False)
        assert pool.vm(vm)["power_state"] == "Suspended"
        assert await refused(pool, "VM.save", vm, "", False) == ["INVALID_VALUE", "dest", ""]
        assert await refused(pool, "VM.restore", "/tmp/other", False) == ["INVALID_VALUE", "src", "/tmp/other"]
        await ask(pool, "VM.restore", "/tmp/vm.save", True)
        assert pool.vm(vm)["power_state"] == "Paused"
        assert "saved_as" not in pool.vm(vm)["other_config"]
        assert (await refused(pool, "VM.restore", "/tmp/vm.save", False))[0] == "INVALID_VALUE"


async def test_checkpointed_vm_runs_on_and_goes_back_when_it_is_restored() -> None:
    async with sim_pool() as pool:
        vm = await pool.running()
        await ask(pool, "VM.save", vm, "here", True)
        assert pool.vm(vm)["power_state"] == "Running"
        assert await refused(pool, "VM.save", vm, "here", False) == ["INVALID_VALUE", "dest", "here"]
        pool.change(vm, PV_args="later")
        await ask(pool, "VM.restore", "here", False)
        assert pool.vm(vm)["power_state"] == "Running"
        assert pool.vm(vm)["PV_args"] == ""
        await ask(pool, "VM.restore", "here", False)
        assert pool.vm(vm)["power_state"] == "Running"


async def test_what_happens_after_a_suspension_is_a_setting_of_old_clients() -> None:
    async with api_pool() as pool:
        root = await pool.login()
        vm = pool.add_vm()
        assert await pool.call("VM.get_actions_after_suspend", root, vm) == ""
        await pool.call("VM.set_actions_after_suspend", root, vm, "preserve")
        assert await pool.call("VM.get_actions_after_suspend", root, vm) == "preserve"


async def test_vm_is_declared_a_snapshot_of_another_while_it_is_halted() -> None:
    async with api_pool() as pool:
        root = await pool.login()
        source, vm = pool.add_vm(), pool.add_vm(name_label="old")
        await pool.call("VM.update_snapshot_metadata", root, vm, source, "20260102T03:04:05Z", "id")
        record = pool.store.get(vm)
        assert (record["is_a_snapshot"], record["snapshot_of"]) == (True, source)
        assert pool.store.related(source, "snapshots") == (vm,)
        running = pool.add_vm(power_state="Running")
        error = await pool.refusal("VM.update_snapshot_metadata", root, running, source, "20260102T03:04:05Z", "")
        assert error == ["VM_BAD_POWER_STATE", running, "halted", "running"]


# Disks and repositories


async def test_members_record_disks_without_asking_the_storage() -> None:
    async with api_pool() as pool:
        root, admin = await pool.login(), await pool.login("pool-admin")
        sr = pool.add("SR", type="nfs")
        given = ["", "disk", "", sr, "user", False, False, {}, "place"]
        vdi = await pool.call("VDI.pool_introduce", admin, *given)
        record = await pool.call("VDI.get_record", root, vdi)
        assert (record["SR"], record["location"], record["other_config"]) == (sr, "place", {"location": "place"})
        assert await pool.refusal("VDI.db_introduce", root, *given) == ["LOCATION_NOT_UNIQUE", sr, "place"]
        again = [record["uuid"], *given[1:8], "elsewhere"]
        assert await pool.refusal("VDI.db_introduce", root, *again) == ["INVALID_VALUE", "uuid", record["uuid"]]
        assert (await pool.refusal("VDI.db_introduce", admin, *given))[0] == "RBAC_PERMISSION_DENIED"
        await pool.call("VDI.set_virtual_size", root, vdi, "4096")
        await pool.call("VDI.set_physical_utilisation", root, vdi, "512")
        await pool.call("VDI.set_cbt_enabled", root, vdi, True)
        values = pool.store.get(vdi)
        assert (values["virtual_size"], values["physical_utilisation"], values["cbt_enabled"]) == (4096, 512, True)
        assert await pool.refusal("VDI.force_unlock", root, vdi) == ["SR_OPERATION_NOT_SUPPORTED", sr]
        await pool.call("VDI.db_forget", root, vdi)
        assert await pool.refusal("VDI.get_record", root, vdi) == ["HANDLE_INVALID", "VDI", vdi]


# Events and tasks


async def test_event_of_a_deleted_object_names_it_by_the_uuid_it_had() -> None:
    async with api_pool() as pool:
        root = await pool.login()
        vm = pool.add_vm()
        uuid = pool.store.get(vm)["uuid"]
        await pool.call("event.register", root, ["vm"])
        txn = pool.store.begin()
        txn.delete(vm)
        pool.store.commit(txn)
        (event,) = await pool.call("event.next", root)
        assert (event["operation"], event["ref"], event["obj_uuid"]) == ("del", vm, uuid)


async def test_notes_of_a_request_are_in_other_config_of_its_task() -> None:
    async with api_pool() as pool:
        root = await pool.login()
        vm = pool.add_vm()
        call = Call("Async.VM.get_possible_hosts", [root, vm], notes=(("who", "me"),))
        reply = pool.dispatcher.handle(call, pool.codec, TCP)
        assert b"Success" in (await reply if inspect.isawaitable(reply) else reply)
        (task,) = pool.store.all("task").values()
        assert task["other_config"] == {"http:who": "me"}
