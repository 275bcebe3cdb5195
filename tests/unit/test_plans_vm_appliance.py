"""Appliances: ranks, delays, and VMs that fail."""

from __future__ import annotations

from sim_api import ask, refused

from xenapi_core.ids import NULL_REF
from xenapi_core.testing.pool import GIB, TEST_CALLER, SimPool, sim_pool


def appliance_of(pool: SimPool, *vms: str) -> str:
    appliance = pool.add("VM_appliance", name_label="shop")
    for vm in vms:
        pool.change(vm, appliance=appliance)
    return appliance


def states(pool: SimPool, *vms: str) -> list[str]:
    return [pool.vm(vm)["power_state"] for vm in vms]


async def test_ranks_start_one_after_the_other_with_their_delays() -> None:
    async with sim_pool(hosts=2) as pool:
        base = pool.add_vm("base", order=0, start_delay=60)
        middle = pool.add_vm("middle", order=1)
        twin, top = pool.add_vm("twin", order=1), pool.add_vm("top", order=2)
        appliance = appliance_of(pool, top, middle, twin, base)
        task = pool.engine.launch("VM_appliance.start", (appliance, False), TEST_CALLER)
        await pool.pass_time(30)
        assert states(pool, base, middle, twin, top) == ["Running", "Halted", "Halted", "Halted"]
        assert list(pool.store.get(appliance)["current_operations"].values()) == ["start"]
        await pool.pass_time(60 - 30 + 10)
        assert states(pool, base, middle, twin) == ["Running"] * 3
        await pool.pass_time(30)
        assert pool.store.get(task)["status"] == "success"
        begun = [pool.store.get(pool.vm(vm)["metrics"])["start_time"] for vm in (base, middle, twin, top)]
        assert begun[1] - begun[0] >= 60
        assert begun[3] > max(begun[1], begun[2])
        names = [pool.store.get(part)["name_label"] for part in pool.store.related(task, "subtasks")]
        assert names == ["Async.VM.start"] * 4


async def test_shutdown_goes_the_other_way() -> None:
    async with sim_pool() as pool:
        base, top = await pool.running("base", order=0), await pool.running("top", order=1, shutdown_delay=30)
        appliance = appliance_of(pool, base, top)
        task = pool.engine.launch("VM_appliance.clean_shutdown", (appliance,), TEST_CALLER)
        await pool.pass_time(20)
        assert states(pool, base, top) == ["Running", "Halted"]
        await pool.pass_time(30)
        assert states(pool, base, top) == ["Halted", "Halted"]
        assert pool.store.get(task)["status"] == "success"


async def test_vms_that_fail_are_named_and_the_others_are_done() -> None:
    async with sim_pool() as pool:
        large, small = pool.add_vm("large", memory=100 * GIB), pool.add_vm("small", order=1)
        appliance = appliance_of(pool, large, small)
        error = await refused(pool, "VM_appliance.start", appliance, False)
        assert error == ["OPERATION_PARTIALLY_FAILED", "VM_appliance.start", large]
        assert states(pool, large, small) == ["Halted", "Running"]
        assert pool.store.get(appliance)["current_operations"] == {}


async def test_suspended_and_paused_vms_take_part_in_a_start() -> None:
    async with sim_pool() as pool:
        asleep, frozen = await pool.running("asleep"), await pool.running("frozen")
        await pool.call("VM.suspend", asleep)
        await pool.call("VM.pause", frozen)
        appliance = appliance_of(pool, asleep, frozen)
        await ask(pool, "VM_appliance.start", appliance, False)
        assert states(pool, asleep, frozen) == ["Running", "Running"]
        error = await refused(pool, "VM_appliance.start", appliance, False)
        assert error == ["OPERATION_NOT_ALLOWED", "All VMs in this appliance are already running."]


async def test_cancelled_start_starts_no_further_rank() -> None:
    async with sim_pool() as pool:
        base, top = pool.add_vm("base", start_delay=60), pool.add_vm("top", order=1)
        task = pool.engine.launch("VM_appliance.start", (appliance_of(pool, base, top), False), TEST_CALLER)
        await pool.pass_time(30)
        pool.engine.cancel(task)
        await pool.pass_time(100)
        assert pool.store.get(task)["status"] == "cancelled"
        assert states(pool, base, top) == ["Running", "Halted"]


async def test_appliance_is_made_joined_and_destroyed() -> None:
    async with sim_pool() as pool:
        appliance = await ask(pool, "VM_appliance.create", {"name_label": "shop", "name_description": ""})
        vm = pool.add_vm()
        await ask(pool, "VM.set_appliance", vm, appliance)
        assert await ask(pool, "VM_appliance.get_SRs_required_for_recovery", appliance, NULL_REF) == (pool.sr,)
        template = pool.add_vm("template", is_a_template=True)
        assert (await refused(pool, "VM.set_appliance", template, appliance))[0] == "VM_IS_TEMPLATE"
        await ask(pool, "VM_appliance.destroy", appliance)
        assert pool.vm(vm)["appliance"] == NULL_REF
