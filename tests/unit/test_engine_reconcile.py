"""Guests that act by themselves, and servers that come back."""

from __future__ import annotations

import asyncio

import pytest

from xenapi_core.drivers.api import PowerState
from xenapi_core.engine.engine import Engine
from xenapi_core.ids import NULL_REF
from xenapi_core.model.catalog import SCHEMA
from xenapi_core.testing.pool import TEST_CALLER, SimPool, render_plain, sim_pool
from xenapi_core.testing.virtual_time import drive


def names_of_messages(pool: SimPool) -> list[str]:
    return [message["name"] for message in pool.store.all("message").values()]


@pytest.mark.parametrize(
    ("field", "action", "act", "message"),
    [
        ("actions_after_shutdown", "destroy", "poweroff", "VM_SHUTDOWN"),
        ("actions_after_reboot", "destroy", "reboot", "VM_SHUTDOWN"),
        ("actions_after_crash", "destroy", "crash", "VM_CRASHED"),
        ("actions_after_crash", "coredump_and_destroy", "crash", "VM_CRASHED"),
    ],
)
async def test_guest_that_ends_leaves_its_vm_halted(field: str, action: str, act: str, message: str) -> None:
    async with sim_pool() as pool:
        vm = await pool.running(**{field: action})
        getattr(pool.sim.guest(pool.vm(vm)["uuid"]), act)()
        await pool.pass_time(1)
        record = pool.vm(vm)
        assert (record["power_state"], record["resident_on"], record["domid"]) == ("Halted", NULL_REF, -1)
        for device in (*pool.store.related(vm, "VBDs"), *pool.store.related(vm, "VIFs")):
            assert pool.store.get(device)["currently_attached"] is False
        assert names_of_messages(pool)[-1] == message


@pytest.mark.parametrize(
    ("field", "action", "act", "message"),
    [
        ("actions_after_shutdown", "restart", "poweroff", "VM_SHUTDOWN"),
        ("actions_after_reboot", "restart", "reboot", "VM_REBOOTED"),
        ("actions_after_crash", "restart", "crash", "VM_CRASHED"),
        ("actions_after_crash", "coredump_and_restart", "crash", "VM_CRASHED"),
    ],
)
async def test_guest_that_ends_is_started_again(field: str, action: str, act: str, message: str) -> None:
    async with sim_pool() as pool:
        vm = await pool.running(**{field: action})
        domid = pool.vm(vm)["domid"]
        getattr(pool.sim.guest(pool.vm(vm)["uuid"]), act)()
        await pool.pass_time(20)
        assert pool.vm(vm)["power_state"] == "Running"
        assert pool.vm(vm)["domid"] > domid
        assert names_of_messages(pool)[-1] == message


async def test_guest_that_ends_during_another_operation_is_noticed_at_its_end() -> None:
    async with sim_pool() as pool:
        vm = await pool.running(disks=4)
        snapshot = asyncio.ensure_future(pool.engine.perform("VM.snapshot", (vm, "snap"), TEST_CALLER))
        await pool.pass_time(0.3)
        pool.sim.guest(pool.vm(vm)["uuid"]).poweroff()
        await pool.pass_time(0.1)
        assert pool.vm(vm)["power_state"] == "Running", "the operation that claimed it goes first"
        await drive(pool.clock, snapshot)
        await pool.pass_time(1)
        assert pool.vm(vm)["power_state"] == "Halted"


async def test_guest_that_ends_during_a_clean_shutdown_is_not_started_again() -> None:
    async with sim_pool() as pool:
        vm = await pool.running(actions_after_shutdown="restart")
        await pool.call("VM.clean_shutdown", vm)
        await pool.pass_time(30)
        assert pool.vm(vm)["power_state"] == "Halted"


async def test_machine_that_was_changed_behind_the_engine_is_followed() -> None:
    async with sim_pool() as pool:
        vm = await pool.running()
        driver = next(iter(pool.sim.hosts.values()))
        await drive(pool.clock, driver.pause(pool.vm(vm)["uuid"]))
        await pool.pass_time(1)
        assert pool.vm(vm)["power_state"] == "Paused"
        await drive(pool.clock, driver.destroy(pool.vm(vm)["uuid"]))
        await pool.pass_time(1)
        assert pool.vm(vm)["power_state"] == "Halted"


async def test_new_boot_forgets_what_the_old_guest_reported() -> None:
    async with sim_pool() as pool:
        vm = await pool.running()
        assert pool.store.get(pool.vm(vm)["guest_metrics"])["os_version"]["distro"] == "debian"
        await pool.call("VM.hard_reboot", vm)
        assert pool.vm(vm)["guest_metrics"] == NULL_REF
        await pool.pass_time(10)
        assert pool.vm(vm)["guest_metrics"] != NULL_REF


async def restarted(pool: SimPool) -> Engine:
    """A new engine over what the old one left, as after a crash of the server."""
    drivers, storages = dict(pool.engine.hypervisors), dict(pool.engine.storages)
    engine = Engine(pool.store, SCHEMA, pool.clock, pool.ids, render_plain)
    for host, driver in drivers.items():
        engine.add_host(host, driver)
    for sr, storage in storages.items():
        engine.add_storage(sr, storage)
    await engine.recover()
    return engine


async def test_recovery_makes_records_agree_with_the_hypervisors() -> None:
    async with sim_pool() as pool:
        stays, dies, pauses = [await pool.running(name) for name in ("stays", "dies", "pauses")]
        appears, sleeps = pool.add_vm("appears"), await pool.running("sleeps")
        await pool.call("VM.suspend", sleeps)
        old, pool.engine.reconciler.watch = pool.engine, None  # type: ignore[method-assign,assignment]
        await drive(pool.clock, old.close())
        (driver,) = pool.sim.hosts.values()
        await drive(pool.clock, driver.destroy(pool.vm(dies)["uuid"]))
        await drive(pool.clock, driver.pause(pool.vm(pauses)["uuid"]))
        driver.preload(pool.spec(appears), PowerState.RUNNING, domid=77)
        pool.change(stays, current_operations={"OpaqueRef:old": "snapshot"})
        task = pool.add("task", name_label="Async.VM.start", status="pending")
        vbd = pool.store.related(stays, "VBDs")[0]
        pool.change(vbd, current_operations={"OpaqueRef:old": "plug"}, reserved=True)
        engine = await restarted(pool)
        states = {vm: pool.vm(vm)["power_state"] for vm in (stays, dies, pauses, appears, sleeps)}
        assert states == {
            stays: "Running", dies: "Halted", pauses: "Paused", appears: "Running", sleeps: "Suspended",
        }  # fmt: skip
        assert pool.vm(appears)["domid"] == 77
        assert pool.vm(stays)["current_operations"] == {}
        assert (pool.store.get(vbd)["current_operations"], pool.store.get(vbd)["reserved"]) == ({}, False)
        record = pool.store.get(task)
        assert (record["status"], record["error_info"]) == ("failure", ("TASK_CANCELLED", task))
        await drive(pool.clock, engine.close())


@pytest.mark.parametrize(("action", "state"), [("restart", "Running"), ("destroy", "Halted"), ("preserve", "Paused")])
async def test_recovery_answers_a_crash_that_nobody_saw(action: str, state: str) -> None:
    async with sim_pool() as pool:
        vm = await pool.running(actions_after_crash=action)
        before = pool.vm(vm)["domid"]
        await drive(pool.clock, pool.engine.close())
        pool.sim.guest(pool.vm(vm)["uuid"]).crash()
        engine = await restarted(pool)
        await pool.pass_time(30)
        assert pool.vm(vm)["power_state"] == state
        assert (pool.vm(vm)["domid"] == before) == (state == "Paused")
        await drive(pool.clock, engine.close())


async def test_control_domains_are_not_looked_for_on_their_hosts() -> None:
    async with sim_pool() as pool:
        dom0 = pool.add_vm(
            "dom0",
            disks=0,
            nics=0,
            is_control_domain=True,
            power_state="Running",
            resident_on=pool.hosts[0],
            domid=0,
        )
        await pool.engine.recover()
        assert pool.vm(dom0)["power_state"] == "Running"


async def test_machine_nobody_knows_is_left_alone_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with sim_pool() as pool:
        spec = pool.spec(pool.add_vm())
        (driver,) = pool.sim.hosts.values()
        from dataclasses import replace

        driver.preload(replace(spec, uuid=pool.ids.uuid(), disks=()))
        await pool.engine.recover()
        assert len(pool.sim.machines) == 1
    assert "no VM of this pool" in caplog.text
