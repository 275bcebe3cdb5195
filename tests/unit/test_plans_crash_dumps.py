"""Guests and hosts that crash, and what is left of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sim_api import ask, refused

from xenapi_core.ids import NULL_REF
from xenapi_core.testing.faults import FaultRule, Faulty
from xenapi_core.testing.pool import GIB, TEST_CALLER, SimPool, sim_pool


@asynccontextmanager
async def dumping_pool() -> AsyncIterator[SimPool]:
    """A pool that has a place for crash dumps."""
    async with sim_pool() as pool:
        pool.change(pool.pool, crash_dump_SR=pool.sr)
        yield pool


def messages(pool: SimPool) -> list[str]:
    return [message["name"] for message in pool.store.all("message").values()]


@pytest.mark.parametrize(("action", "state"), [("coredump_and_destroy", "Halted"), ("coredump_and_restart", "Running")])
async def test_memory_of_a_guest_that_crashed_is_kept_on_a_disk(action: str, state: str) -> None:
    async with dumping_pool() as pool:
        vm = await pool.running(actions_after_crash=action)
        await ask(pool, "VM.send_sysrq", vm, "c")
        await pool.pass_time(30)
        assert pool.vm(vm)["power_state"] == state
        assert messages(pool)[-1] == "VM_CRASHED"
        (dump,) = await ask(pool, "VM.get_crash_dumps", vm)
        record = pool.store.get(dump)
        disk = pool.store.get(record["VDI"])
        assert (record["VM"], disk["type"], disk["SR"], disk["name_label"]) == (vm, "crashdump", pool.sr, "Crash dump")
        assert disk["physical_utilisation"] >= GIB
        assert await ask(pool, "VDI.get_crash_dumps", disk.ref) == (dump,)
        await ask(pool, "crashdump.destroy", dump)
        assert pool.store.all("crashdump") == {}
        assert pool.sim.find_volume(disk["uuid"]) is None


@pytest.mark.parametrize("action", ["destroy", "restart"])
async def test_other_crashes_leave_no_dump(action: str) -> None:
    async with dumping_pool() as pool:
        vm = await pool.running(actions_after_crash=action)
        pool.sim.guest(pool.vm(vm)["uuid"]).crash()
        await pool.pass_time(30)
        assert messages(pool)[-1] == "VM_CRASHED"
        assert pool.store.all("crashdump") == {}


async def test_dump_goes_where_the_host_says_first() -> None:
    async with dumping_pool() as pool:
        own = pool.add_sr("own", 100 * GIB)
        pool.change(pool.hosts[0], crash_dump_sr=own)
        vm = await pool.running(actions_after_crash="coredump_and_destroy")
        pool.sim.guest(pool.vm(vm)["uuid"]).crash()
        await pool.pass_time(10)
        (dump,) = pool.store.all("crashdump").values()
        assert pool.store.get(dump["VDI"])["SR"] == own


@pytest.mark.parametrize("why", ["full", "nowhere"])
async def test_dump_that_cannot_be_made_keeps_no_vm_from_starting(why: str) -> None:
    async with dumping_pool() as pool:
        pool.change(pool.pool, crash_dump_SR=pool.add_sr("small", GIB // 2) if why == "full" else NULL_REF)
        vm = await pool.running(actions_after_crash="coredump_and_restart")
        disks = set(pool.store.all("VDI"))
        pool.sim.guest(pool.vm(vm)["uuid"]).crash()
        await pool.pass_time(30)
        assert pool.vm(vm)["power_state"] == "Running"
        assert (set(pool.store.all("VDI")), pool.store.all("crashdump")) == (disks, {})


async def test_dump_stays_when_the_vm_cannot_be_started_again() -> None:
    async with dumping_pool() as pool:
        vm = await pool.running(actions_after_crash="coredump_and_restart")
        disk = pool.store.get(pool.store.get(pool.store.related(vm, "VBDs")[0])["VDI"])
        del pool.sim.storage(pool.store.get(pool.sr)["uuid"]).contents[disk["uuid"]]
        pool.sim.guest(pool.vm(vm)["uuid"]).crash()
        await pool.pass_time(30)
        assert pool.vm(vm)["power_state"] == "Halted"
        assert len(pool.store.all("crashdump")) == 1


async def test_guest_that_crashed_can_be_kept_and_looked_at() -> None:
    async with dumping_pool() as pool:
        vm = await pool.running(actions_after_crash="preserve")
        pool.sim.guest(pool.vm(vm)["uuid"]).crash()
        await pool.pass_time(1)
        assert (pool.vm(vm)["power_state"], pool.vm(vm)["resident_on"]) == ("Paused", pool.hosts[0])
        assert messages(pool)[-1] == "VM_CRASHED"
        assert (await refused(pool, "VM.unpause", vm))[0] == "OPERATION_NOT_ALLOWED"
        await ask(pool, "VM.hard_reboot", vm)
        await pool.pass_time(20)
        assert pool.vm(vm)["power_state"] == "Running"
        pool.sim.guest(pool.vm(vm)["uuid"]).crash()
        await pool.pass_time(1)
        await ask(pool, "VM.hard_shutdown", vm)
        assert pool.vm(vm)["power_state"] == "Halted"


@pytest.mark.parametrize(
    ("built", "now", "state"),
    [("restart", "preserve", "Paused"), ("preserve", "restart", "Running"), ("preserve", "destroy", "Halted")],
)
async def test_what_a_running_vm_says_by_now_is_done_when_its_guest_crashes(built: str, now: str, state: str) -> None:
    async with dumping_pool() as pool:
        vm = await pool.running(actions_after_crash=built)
        before = pool.vm(vm)["domid"]
        await ask(pool, "VM.set_actions_after_crash", vm, now)
        await ask(pool, "VM.send_sysrq", vm, "c")
        await pool.pass_time(30)
        assert pool.vm(vm)["power_state"] == state
        assert (pool.vm(vm)["domid"] == before) == (state == "Paused")
        assert messages(pool)[-1] == "VM_CRASHED"


async def test_crashed_machine_that_cannot_be_cleared_away_is_shown_as_it_is() -> None:
    async with dumping_pool() as pool:
        vm, host = await pool.running(actions_after_crash="restart"), pool.hosts[0]
        good = pool.engine.hypervisors[host]
        pool.engine.hypervisors[host] = Faulty(good, [FaultRule("destroy", kind="failed")], pool.clock)
        pool.sim.guest(pool.vm(vm)["uuid"]).crash()
        await pool.pass_time(30)
        assert (pool.vm(vm)["power_state"], pool.vm(vm)["current_operations"]) == ("Paused", {})
        pool.engine.hypervisors[host] = good
        await ask(pool, "VM.hard_reboot", vm)
        assert pool.vm(vm)["power_state"] == "Running"


async def test_guest_that_crashes_while_its_vm_is_worked_on_is_answered_once_afterwards() -> None:
    async with dumping_pool() as pool:
        vm = await pool.running(actions_after_crash="restart")
        before = pool.vm(vm)["domid"]
        task = pool.engine.launch("VM.snapshot", (vm, "beside"), TEST_CALLER)
        pool.sim.guest(pool.vm(vm)["uuid"]).crash()
        await pool.pass_time(60)
        assert pool.store.get(task)["status"] == "success"
        assert (pool.vm(vm)["power_state"], pool.vm(vm)["domid"]) == ("Running", before + 1)
        assert messages(pool).count("VM_CRASHED") == 1


async def test_dump_goes_with_its_disk_and_with_its_vm() -> None:
    async with dumping_pool() as pool:
        vm = await pool.running(actions_after_crash="coredump_and_destroy")
        for _ in range(2):
            pool.sim.guest(pool.vm(vm)["uuid"]).crash()
            await pool.pass_time(10)
            await ask(pool, "VM.start", vm, False, False)
        first, second = pool.store.all("crashdump").values()
        await ask(pool, "VDI.destroy", first["VDI"])
        assert list(pool.store.all("crashdump")) == [second.ref]
        await ask(pool, "VM.hard_shutdown", vm)
        await ask(pool, "VM.destroy", vm)
        assert pool.store.all("crashdump") == {}


async def test_host_that_crashed_comes_back_with_a_dump() -> None:
    async with dumping_pool() as pool:
        (host,) = pool.hosts
        vm = await pool.running()
        await ask(pool, "host.send_debug_keys", host, "C")
        await pool.pass_time(1)
        assert not pool.store.get(pool.store.get(host)["metrics"])["live"]
        await pool.pass_time(100)
        assert pool.store.get(pool.store.get(host)["metrics"])["live"]
        assert pool.vm(vm)["power_state"] == "Halted"
        (dump,) = await ask(pool, "host.get_crashdumps", host)
        record = pool.store.get(dump)
        assert (record["host"], record["size"] > 0, record["timestamp"] > 0) == (host, True, True)
        await ask(pool, "host_crashdump.destroy", dump)
        assert pool.store.all("host_crashdump") == {}
        await pool.engine.recover()
        assert pool.store.all("host_crashdump") == {}


async def test_records_of_host_dumps_follow_what_the_host_has() -> None:
    async with dumping_pool() as pool:
        driver = next(iter(pool.sim.hosts.values()))
        driver.crash()
        await pool.pass_time(100)
        driver.crash()
        await pool.pass_time(1)
        (first,) = pool.store.all("host_crashdump")
        assert await refused(pool, "host_crashdump.destroy", first) == ["HOST_OFFLINE", pool.hosts[0]]
        await pool.pass_time(100)
        assert len(pool.store.all("host_crashdump")) == 2
        del driver.dumps[pool.store.get(first)["filename"]]
        await ask(pool, "host_crashdump.destroy", first)
        driver.dumps.clear()
        await pool.engine.recover()
        assert pool.store.all("host_crashdump") == {}
