"""Setters and calls with rules of their own: VM, VBD, network, PBD, host, message, task."""

from __future__ import annotations

import pytest
from api_pool import api_pool

GIB = 1 << 30


async def test_memory_limits_keep_their_order():
    async with api_pool() as pool:
        session, vm = await pool.login(), pool.add_vm()
        for method, args in (
            ("set_memory_static_max", (GIB - 1,)),
            ("set_memory_dynamic_max", (GIB - 1,)),
            ("set_memory_dynamic_min", (GIB + 1,)),
            ("set_memory_static_min", (GIB + 1,)),
            ("set_memory_dynamic_range", (GIB, 2 * GIB)),
            ("set_memory_limits", (2 * GIB, GIB, GIB, GIB)),
        ):
            described = await pool.refusal(f"VM.{method}", session, vm, *map(str, args))
            assert described[0] == "MEMORY_CONSTRAINT_VIOLATION", method
        await pool.call("VM.set_memory_limits", session, vm, str(GIB), str(4 * GIB), str(2 * GIB), str(3 * GIB))
        values = pool.store.get(vm)
        assert [values[f"memory_{n}"] for n in ("static_min", "dynamic_min", "dynamic_max", "static_max")] == [
            GIB, 2 * GIB, 3 * GIB, 4 * GIB,
        ]  # fmt: skip


async def test_static_memory_of_a_running_vm_cannot_change():
    async with api_pool() as pool:
        session, vm = await pool.login(), pool.add_vm(power_state="Running")
        described = await pool.refusal("VM.set_memory_static_max", session, vm, str(2 * GIB))
        assert described == ["VM_BAD_POWER_STATE", vm, "halted", "running"]


@pytest.mark.parametrize(
    ("method", "value", "refused"),
    [("set_VCPUs_max", 0, True), ("set_VCPUs_max", 1, True), ("set_VCPUs_max", 2, False),
     ("set_VCPUs_at_startup", 0, True), ("set_VCPUs_at_startup", 5, True), ("set_VCPUs_at_startup", 4, False)],
)  # fmt: skip
async def test_vcpu_counts_stay_consistent(method, value, refused):
    async with api_pool() as pool:
        session, vm = await pool.login(), pool.add_vm(VCPUs_max=4, VCPUs_at_startup=2)
        field = method.removeprefix("set_")
        if refused:
            assert await pool.refusal(f"VM.{method}", session, vm, value) == ["INVALID_VALUE", field, str(value)]
        else:
            await pool.call(f"VM.{method}", session, vm, value)
            assert pool.store.get(vm)[field] == value


async def test_ha_restart_priority_takes_three_words():
    async with api_pool() as pool:
        session, vm = await pool.login(), pool.add_vm()
        for word in ("restart", "best-effort", ""):
            await pool.call("VM.set_ha_restart_priority", session, vm, word)
            assert pool.store.get(vm)["ha_restart_priority"] == word
        assert await pool.refusal("VM.set_ha_restart_priority", session, vm, "1") == [
            "INVALID_VALUE", "ha_restart_priority", "1",
        ]  # fmt: skip


async def test_only_a_halted_unprotected_vm_becomes_a_template():
    async with api_pool() as pool:
        session = await pool.login()
        running = pool.add_vm(power_state="Running")
        assert await pool.refusal("VM.set_is_a_template", session, running, True) == [
            "VM_BAD_POWER_STATE", running, "halted", "running",
        ]  # fmt: skip
        protected = pool.add_vm(ha_restart_priority="restart")
        assert await pool.refusal("VM.set_is_a_template", session, protected, True) == ["VM_IS_PROTECTED", protected]
        vm = pool.add_vm()
        await pool.call("VM.set_is_a_template", session, vm, True)
        assert "start" not in await pool.call("VM.get_allowed_operations", session, vm)
        await pool.call("VM.set_is_a_template", session, vm, False)
        assert "start" in await pool.call("VM.get_allowed_operations", session, vm)


async def test_domain_type_and_boot_policy_follow_each_other():
    async with api_pool() as pool:
        session, vm = await pool.login(), pool.add_vm()
        await pool.call("VM.set_domain_type", session, vm, "hvm")
        assert pool.store.get(vm)["HVM_boot_policy"] == "BIOS order"
        await pool.call("VM.set_HVM_boot_policy", session, vm, "")
        assert pool.store.get(vm)["domain_type"] == "pv"


async def test_negative_delays_and_orders_are_invalid():
    async with api_pool() as pool:
        session, vm = await pool.login(), pool.add_vm()
        for field in ("order", "start_delay", "shutdown_delay"):
            assert await pool.refusal(f"VM.set_{field}", session, vm, "-1") == ["INVALID_VALUE", field, "-1"]
            await pool.call(f"VM.set_{field}", session, vm, "3")
            assert pool.store.get(vm)[field] == 3


async def test_allowed_device_numbers_are_those_not_taken():
    async with api_pool() as pool:
        session, vm = await pool.login(), pool.add_vm()
        for device in ("0", "xvdc", "hdd"):
            pool.add("VBD", VM=vm, userdevice=device)
        pool.add("VIF", VM=vm, device="1")
        assert (await pool.call("VM.get_allowed_VBD_devices", session, vm))[:3] == ["1", "4", "5"]
        assert await pool.call("VM.get_allowed_VIF_devices", session, vm) == ["0", "2", "3", "4", "5", "6"]


async def test_operation_can_be_asked_about_before_it_is_tried():
    async with api_pool() as pool:
        session, vm = await pool.login(), pool.add_vm()
        await pool.call("VM.assert_operation_valid", session, vm, "start")
        assert await pool.refusal("VM.assert_operation_valid", session, vm, "pause") == [
            "VM_BAD_POWER_STATE", vm, "running", "halted",
        ]  # fmt: skip


async def test_host_that_is_disabled_is_no_possible_host():
    async with api_pool() as pool:
        session, vm = await pool.login(), pool.add_vm()
        pool.change(pool.host, metrics=pool.add("host_metrics", live=True, memory_total=8 * GIB))
        assert await pool.call("VM.get_possible_hosts", session, vm) == [pool.host]
        await pool.call("host.disable", session, pool.host)
        assert await pool.call("VM.get_possible_hosts", session, vm) == []
        assert await pool.refusal("VM.assert_can_boot_here", session, vm, pool.host) == ["HOST_DISABLED", pool.host]
        await pool.call("host.enable", session, pool.host)
        await pool.call("VM.assert_can_boot_here", session, vm, pool.host)


async def test_vbd_mode_has_rules():
    async with api_pool() as pool:
        session, vm = await pool.login(), pool.add_vm()
        cd = pool.add("VBD", VM=vm, type="CD", mode="RO", empty=True)
        assert await pool.refusal("VBD.set_mode", session, cd, "RW") == ["VBD_CDS_MUST_BE_READONLY"]
        vdi = pool.add("VDI", read_only=True)
        disk = pool.add("VBD", VM=vm, VDI=vdi, type="Disk", mode="RO")
        assert await pool.refusal("VBD.set_mode", session, disk, "RW") == ["VDI_READONLY", vdi]
        pool.change(vdi, read_only=False)
        await pool.call("VBD.set_mode", session, disk, "RW")
        pool.change(vm, power_state="Running")
        assert await pool.refusal("VBD.set_mode", session, disk, "RO") == [
            "VM_BAD_POWER_STATE", vm, "halted", "running",
        ]  # fmt: skip


async def test_network_gets_a_bridge_of_its_own():
    async with api_pool() as pool:
        session = await pool.login()
        one = await pool.call("network.create", session, {"name_label": "one", "other_config": {}})
        two = await pool.call("network.create", session, {"name_label": "two", "other_config": {}})
        bridges = [await pool.call("network.get_bridge", session, ref) for ref in (one, two)]
        assert bridges == ["xapi0", "xapi1"]
        described = await pool.refusal("network.create", session, {"bridge": "xapi1", "other_config": {}})
        assert described == ["BRIDGE_NAME_EXISTS", "xapi1"]


async def test_network_in_use_is_not_destroyed():
    async with api_pool() as pool:
        session = await pool.login()
        network = pool.add("network")
        vif = pool.add("VIF", network=network, VM=pool.add_vm(), currently_attached=True)
        assert await pool.refusal("network.destroy", session, network) == ["NETWORK_CONTAINS_VIF", vif]
        pool.change(vif, currently_attached=False)
        pif = pool.add("PIF", network=network)
        assert await pool.refusal("network.destroy", session, network) == ["NETWORK_CONTAINS_PIF", pif]
        pool.change(pif, network="OpaqueRef:NULL")
        pool.change(network, other_config={"is_host_internal_management_network": "true"})
        assert await pool.refusal("network.destroy", session, network) == ["CANNOT_DESTROY_SYSTEM_NETWORK", network]
        pool.change(network, other_config={})
        await pool.call("network.destroy", session, network)
        assert pool.store.find(vif) is None
        assert pool.store.find(network) is None


async def test_pbd_connects_one_host_once():
    async with api_pool() as pool:
        session = await pool.login()
        sr = pool.add("SR", type="lvm")
        record = {"host": pool.host, "SR": sr, "device_config": {}}
        pbd = await pool.call("PBD.create", session, record)
        assert await pool.refusal("PBD.create", session, record) == ["PBD_EXISTS", sr, pool.host, pbd]
        assert await pool.refusal("PBD.plug", session, pbd) == ["SR_UNKNOWN_DRIVER", "lvm"]
        pool.change(pbd, currently_attached=True)
        assert (await pool.refusal("PBD.destroy", session, pbd))[0] == "OPERATION_NOT_ALLOWED"
        vm, vdi = pool.add_vm(resident_on=pool.host), pool.add("VDI", SR=sr)
        vbd = pool.add("VBD", VM=vm, VDI=vdi, currently_attached=True)
        assert await pool.refusal("PBD.unplug", session, pbd) == ["VDI_IN_USE", vdi]
        pool.change(vbd, currently_attached=False)
        await pool.call("PBD.unplug", session, pbd)
        await pool.call("PBD.destroy", session, pbd)
        assert pool.store.find(pbd) is None


async def test_forgotten_repository_takes_its_records_along():
    async with api_pool() as pool:
        session = await pool.login()
        sr = pool.add("SR", type="lvm")
        pbd = pool.add("PBD", host=pool.host, SR=sr, currently_attached=True)
        vdi = pool.add("VDI", SR=sr)
        assert await pool.refusal("SR.forget", session, sr) == ["SR_HAS_PBD", sr]
        pool.change(pbd, currently_attached=False)
        await pool.call("SR.forget", session, sr)
        assert [pool.store.find(ref) for ref in (sr, pbd, vdi)] == [None, None, None]


async def test_server_time_is_that_of_the_clock():
    async with api_pool() as pool:
        session = await pool.login()
        told = await pool.call("host.get_servertime", session, pool.host)
        assert told.value == "20260101T00:00:00Z"


async def test_messages_are_found_by_object_and_time():
    async with api_pool() as pool:
        session, vm = await pool.login(), pool.add_vm()
        uuid = await pool.call("VM.get_uuid", session, vm)
        first = await pool.call("message.create", session, "ONE", "3", "VM", uuid, "body")
        await pool.clock.advance(10)
        second = await pool.call("message.create", session, "TWO", "4", "VM", uuid, "body")
        assert set(await pool.call("message.get", session, "VM", uuid, "19700101T00:00:00Z")) == {first, second}
        since = (await pool.call("message.get_record", session, first))["timestamp"]
        assert set(await pool.call("message.get_since", session, since)) == {second}
        assert set(await pool.call("message.get_all_records_where", session, 'field "name" = "ONE"')) == {first}
        assert await pool.refusal("message.create", session, "X", "1", "VM", "nobody", "") == [
            "UUID_INVALID", "VM", "nobody",
        ]  # fmt: skip
        await pool.call("message.destroy_all", session, {"priority": "4"})
        assert await pool.call("message.get_all", session) == [first]
        assert (await pool.refusal("message.destroy_many", session, [first, second]))[0] == "HANDLE_INVALID"
        await pool.call("message.destroy", session, first)
        assert await pool.call("message.get_all", session) == []


async def test_client_made_task_is_ended_once():
    async with api_pool() as pool:
        session = await pool.login()
        task = await pool.call("task.create", session, "backup", "nightly")
        assert await pool.refusal("task.set_progress", session, task, 1.5) == ["INVALID_VALUE", "progress", "1.5"]
        await pool.call("task.set_progress", session, task, 0.5)
        await pool.call("task.set_result", session, task, "done")
        await pool.call("task.set_status", session, task, "success")
        await pool.call("task.set_status", session, task, "failure")
        record = await pool.call("task.get_record", session, task)
        assert (record["status"], record["progress"], record["result"]) == ("success", 1.0, "done")
        await pool.call("task.destroy", session, task)
        assert pool.store.find(task) is None


async def test_task_of_another_user_is_left_alone():
    async with api_pool() as pool:
        mine, other = await pool.login("vm-operator"), await pool.login("vm-admin")
        task = await pool.call("task.create", mine, "mine", "")
        for method, args in (("set_status", ["failure"]), ("cancel", []), ("destroy", [])):
            assert (await pool.refusal(f"task.{method}", other, task, *args))[0] == "RBAC_PERMISSION_DENIED"
        again = await pool.login("vm-operator")
        await pool.call("task.set_status", again, task, "success")
        await pool.call("task.destroy", await pool.login("pool-operator"), task)
