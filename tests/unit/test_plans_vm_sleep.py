"""Guests that sleep, machines that get fresh device models, and disks that are torn away."""

from __future__ import annotations

from sim_api import ask, refused

from xenapi_core.testing.pool import GIB, sim_pool
from xenapi_core.testing.virtual_time import drive


async def test_sleeping_guest_computes_nothing_and_its_vm_runs() -> None:
    async with sim_pool() as pool:
        vm = await pool.running()
        uuid, hypervisor = pool.vm(vm)["uuid"], pool.engine.hypervisors[pool.hosts[0]]

        async def load() -> float:
            return sum((await hypervisor.usage()).machines[uuid].cpus)

        assert await load() > 0
        await ask(pool, "VM.s3_suspend", vm)
        assert (pool.vm(vm)["power_state"], await load()) == ("Running", 0)
        assert (await refused(pool, "VM.s3_suspend", vm))[0] == "OPERATION_NOT_ALLOWED"
        await ask(pool, "VM.s3_resume", vm)
        assert await load() > 0
        assert (await refused(pool, "VM.s3_resume", vm))[0] == "OPERATION_NOT_ALLOWED"


async def test_guest_that_cannot_be_asked_does_not_sleep() -> None:
    async with sim_pool() as pool:
        vm = await pool.running()
        off = pool.add_vm("off")
        assert await refused(pool, "VM.s3_suspend", off) == ["VM_BAD_POWER_STATE", off, "running", "halted"]
        pool.sim.machines[pool.vm(vm)["uuid"]].has_agent = False
        assert await refused(pool, "VM.s3_suspend", vm) == ["VM_LACKS_FEATURE", vm]


async def test_sleep_ends_when_the_machine_boots_again() -> None:
    async with sim_pool() as pool:
        vm = await pool.running()
        await ask(pool, "VM.s3_suspend", vm)
        await ask(pool, "VM.hard_reboot", vm)
        assert (await refused(pool, "VM.s3_resume", vm))[0] == "OPERATION_NOT_ALLOWED"


async def test_fresh_device_models_mean_a_new_domain_of_a_guest_that_runs_on() -> None:
    async with sim_pool(hosts=2) as pool:
        vm = await pool.running()
        before, started = pool.vm(vm), pool.store.get(pool.vm(vm)["metrics"])["start_time"]
        await ask(pool, "VM.restart_device_models", vm)
        after = pool.vm(vm)
        assert after["domid"] != before["domid"]
        assert (after["resident_on"], after["power_state"]) == (before["resident_on"], "Running")
        assert after["guest_metrics"] == before["guest_metrics"]
        assert pool.store.get(after["metrics"])["start_time"] == started
        assert after["current_operations"] == {}


async def test_fresh_device_models_need_memory_for_both_domains() -> None:
    async with sim_pool(host_memory=4 * GIB) as pool:
        vm = await pool.running(memory=3 * GIB)
        before = pool.vm(vm)["domid"]
        assert (await refused(pool, "VM.restart_device_models", vm))[0] == "HOST_NOT_ENOUGH_FREE_MEMORY"
        assert pool.vm(vm)["domid"] == before
        await pool.call("VM.pause", vm)
        assert (await refused(pool, "VM.restart_device_models", vm))[0] == "VM_BAD_POWER_STATE"


async def test_guest_loses_a_disk_without_a_check() -> None:
    async with sim_pool() as pool:
        vm = await pool.running(disks=2)
        vbd = next(ref for ref in pool.store.related(vm, "VBDs") if pool.store.get(ref)["userdevice"] == "1")
        await drive(pool.clock, pool.call("VBD.unplug_force_no_safety_check", vbd))
        assert not pool.store.get(vbd)["currently_attached"]
        machine = pool.sim.machines[pool.vm(vm)["uuid"]]
        assert pool.store.get(vbd)["uuid"] not in machine.disks
