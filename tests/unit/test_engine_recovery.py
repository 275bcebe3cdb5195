"""What a server that was killed in the middle of an operation finds and makes true when it comes back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from xenapi_core.engine.engine import Engine
from xenapi_core.ids import NULL_REF
from xenapi_core.model.catalog import SCHEMA
from xenapi_core.testing.faults import FaultRule, Faulty
from xenapi_core.testing.pool import TEST_CALLER, SimPool, render_plain, sim_pool
from xenapi_core.testing.virtual_time import drive


async def killed(pool: SimPool, call: str, wire_name: str, args: Sequence[Any]) -> str:
    """Begin an operation whose server dies when the driver has done `call`. Returns its task."""
    hypervisors = pool.engine.hypervisors
    for host, driver in hypervisors.items():
        hypervisors[host] = Faulty(driver, [FaultRule(call, lost=True)], pool.clock)
    task = pool.engine.launch(wire_name, args, TEST_CALLER)
    await pool.pass_time(30)
    assert pool.store.get(task)["status"] == "pending"
    for host, driver in hypervisors.items():
        assert isinstance(driver, Faulty)
        hypervisors[host] = driver.driver
    return task


async def come_back(pool: SimPool) -> Engine:
    """The next server, over what the old one left."""
    engine = Engine(pool.store, SCHEMA, pool.clock, pool.ids, render_plain)
    for host, driver in pool.engine.hypervisors.items():
        engine.add_host(host, driver)
    for sr, storage in pool.engine.storages.items():
        engine.add_storage(sr, storage)
    await engine.recover()
    await pool.pass_time(1)
    return engine


@pytest.mark.parametrize(("wire_name", "args"), [("VM.suspend", ()), ("VM.checkpoint", ("check",))])
async def test_memory_saved_before_the_kill_is_found_again(wire_name: str, args: tuple[Any, ...]) -> None:
    async with sim_pool() as pool:
        vm = await pool.running()
        task = await killed(pool, "suspend", wire_name, (vm, *args))
        assert pool.vm(vm)["power_state"] == "Running"
        engine = await come_back(pool)
        record = pool.vm(vm)
        assert (record["power_state"], record["resident_on"], record["domid"]) == ("Suspended", NULL_REF, -1)
        assert record["current_operations"] == {}
        assert pool.store.get(task)["error_info"] == ("TASK_CANCELLED", task)
        image = pool.store.get(record["suspend_VDI"])
        assert image["type"] == "suspend"
        assert pool.sim.find_volume(image["uuid"]) is not None
        await drive(pool.clock, engine.perform("VM.resume", (vm, False, False), TEST_CALLER))
        assert pool.vm(vm)["power_state"] == "Running"
        await drive(pool.clock, engine.close())


async def test_machine_that_died_before_its_memory_was_saved_is_halted_and_its_image_removed() -> None:
    async with sim_pool() as pool:
        vm = await pool.running()
        pool.engine.launch("VM.suspend", (vm,), TEST_CALLER)
        await pool.pass_time(1)
        image = pool.vm(vm)["suspend_VDI"]
        assert image != NULL_REF
        pool.sim.hosts[pool.store.get(pool.hosts[0])["uuid"]].machines.clear()
        engine = await come_back(pool)
        await pool.pass_time(5)
        assert (pool.vm(vm)["power_state"], pool.vm(vm)["suspend_VDI"]) == ("Halted", NULL_REF)
        assert pool.store.find(image) is None
        await drive(pool.clock, engine.close())


async def test_vm_that_had_moved_when_its_server_was_killed_is_found_on_the_other_host() -> None:
    async with sim_pool(hosts=2) as pool:
        vm = await pool.running()
        before = pool.vm(vm)
        other = next(host for host in pool.hosts if host != before["resident_on"])
        await killed(pool, "migrate", "VM.pool_migrate", (vm, other, {}))
        engine = await come_back(pool)
        record = pool.vm(vm)
        assert (record["power_state"], record["resident_on"]) == ("Running", other)
        assert record["guest_metrics"] == before["guest_metrics"]
        assert record["scheduled_to_be_resident_on"] == NULL_REF
        assert pool.store.get(other)["current_operations"] == {}
        await drive(pool.clock, engine.close())


async def test_vm_that_was_resumed_when_its_server_was_killed_runs_and_its_image_goes() -> None:
    async with sim_pool() as pool:
        vm = await pool.running()
        await pool.call("VM.suspend", vm)
        image = pool.vm(vm)["suspend_VDI"]
        await killed(pool, "resume", "VM.resume", (vm, False, False))
        engine = await come_back(pool)
        assert (pool.vm(vm)["power_state"], pool.vm(vm)["suspend_VDI"]) == ("Running", NULL_REF)
        await pool.pass_time(5)
        assert pool.store.find(image) is None
        await drive(pool.clock, engine.close())


async def test_checkpoint_that_cannot_bring_the_machine_back_leaves_the_vm_suspended() -> None:
    async with sim_pool() as pool:
        vm = await pool.running()
        (host,) = pool.hosts
        driver = pool.engine.hypervisors[host]
        pool.engine.hypervisors[host] = Faulty(driver, [FaultRule("resume", count=None)], pool.clock)
        task = pool.engine.launch("VM.checkpoint", (vm, "check"), TEST_CALLER)
        await pool.pass_time(60)
        assert pool.store.get(task)["error_info"] == ("VM_CHECKPOINT_RESUME_FAILED", vm)
        assert pool.vm(vm)["power_state"] == "Suspended"
        pool.engine.hypervisors[host] = driver
        await pool.call("VM.resume", vm, False, False)
        assert pool.vm(vm)["power_state"] == "Running"


async def test_power_of_hosts_is_looked_at_when_the_server_comes_back() -> None:
    async with sim_pool(hosts=3) as pool:
        lost, back, stays = pool.hosts
        metrics = [pool.store.get(host)["metrics"] for host in pool.hosts]
        vm = await pool.running(affinity=lost)
        old, pool.engine.reconciler.watch = pool.engine, None  # type: ignore[method-assign,assignment]
        await drive(pool.clock, old.close())
        pool.sim.hosts[pool.store.get(lost)["uuid"]].fail()
        pool.change(metrics[1], live=False)
        pool.change(back, enabled=False)
        pool.change(stays, enabled=False)
        engine = await come_back(pool)
        assert [pool.store.get(ref)["live"] for ref in metrics] == [False, True, True]
        assert [pool.store.get(host)["enabled"] for host in (back, stays)] == [True, False]
        assert pool.vm(vm)["power_state"] == "Running", "nobody can say that it does not run"
        await drive(pool.clock, engine.close())


async def test_suspension_that_happened_though_it_was_reported_as_failed_keeps_the_memory() -> None:
    async with sim_pool() as pool:
        vm = await pool.running()
        (host,) = pool.hosts
        driver = pool.engine.hypervisors[host]
        pool.engine.hypervisors[host] = Faulty(driver, [FaultRule("suspend", reached=True)], pool.clock)
        await pool.call("VM.suspend", vm)
        assert pool.vm(vm)["power_state"] == "Suspended"
        await pool.call("VM.resume", vm, False, False)
        assert pool.vm(vm)["power_state"] == "Running"
