"""Hosts: disabling, emptying, switching off and on, and removing them."""

from __future__ import annotations

import asyncio

import pytest
from sim_api import ask, refused

from xenapi_core.ids import NULL_REF
from xenapi_core.testing.faults import FaultRule, Faulty
from xenapi_core.testing.pool import GIB, TEST_CALLER, SimPool, sim_pool
from xenapi_core.testing.virtual_time import drive


def live(pool: SimPool, host: str) -> bool:
    return bool(pool.store.get(pool.store.get(host)["metrics"])["live"])


async def crowd(pool: SimPool, host: str, count: int, memory: int = GIB) -> list[str]:
    return [await pool.running(f"vm{n}", memory=memory, affinity=host) for n in range(count)]


async def test_evacuation_shows_progress_with_every_vm_that_has_moved() -> None:
    async with sim_pool(hosts=2) as pool:
        host = pool.hosts[0]
        for memory in (GIB, 4 * GIB):  # the small one arrives first
            await crowd(pool, host, 1, memory)
        task = pool.engine.launch("host.evacuate", (host, NULL_REF, 0), TEST_CALLER)
        seen = []
        while (record := pool.store.get(task))["status"] == "pending":
            seen.append(record["progress"])
            await pool.pass_time(0.2)
        assert set(seen) == {0.0, 0.5}
        assert record["status"] == "success"


async def test_evacuation_moves_every_vm_in_batches_with_tasks_of_their_own() -> None:
    async with sim_pool(hosts=3) as pool:
        host = pool.hosts[0]
        vms = await crowd(pool, host, 3)
        task = pool.engine.launch("host.evacuate", (host, NULL_REF, 2), TEST_CALLER)
        await pool.pass_time(1)
        assert list(pool.store.get(host)["current_operations"].values()) == ["evacuate"]
        parts = [pool.store.get(part) for part in pool.store.related(task, "subtasks")]
        assert [part["name_label"] for part in parts] == ["Async.VM.pool_migrate"] * 2
        assert await refused(pool, "VM.start_on", pool.add_vm("late"), host, False, False) == [
            "HOST_EVACUATE_IN_PROGRESS", host,
        ]  # fmt: skip
        await pool.pass_time(30)
        assert pool.store.get(task)["status"] == "success"
        assert all(pool.vm(vm)["resident_on"] in pool.hosts[1:] for vm in vms)
        assert all(pool.vm(vm)["power_state"] == "Running" for vm in vms)
        assert pool.store.get(host)["current_operations"] == {}


async def test_host_that_cannot_be_emptied_is_not_touched_and_says_why() -> None:
    async with sim_pool(hosts=2, host_memory=4 * GIB) as pool:
        host, other = pool.hosts
        small, large = await crowd(pool, host, 1) + [await pool.running("large", memory=2 * GIB, affinity=host)]
        await pool.running("there", memory=3 * GIB, affinity=other)
        why = ["HOST_NOT_ENOUGH_FREE_MEMORY", str(2 * GIB), str(GIB)]
        assert await ask(pool, "host.get_vms_which_prevent_evacuation", host) == {large: tuple(why)}
        assert await refused(pool, "host.assert_can_evacuate", host) == ["CANNOT_EVACUATE_HOST", ",".join(why)]
        assert await refused(pool, "host.evacuate", host, NULL_REF, 0) == why
        assert pool.vm(small)["resident_on"] == host
        pool.change(other, enabled=False)
        nowhere = ["NO_HOSTS_AVAILABLE"]
        assert await refused(pool, "host.evacuate", host, NULL_REF, 0) == nowhere
        assert await refused(pool, "host.assert_can_evacuate", host) == ["CANNOT_EVACUATE_HOST", *nowhere]
        await pool.call("VM.pause", small)
        told = await ask(pool, "host.get_vms_which_prevent_evacuation", host)
        assert told[small] == ("VM_BAD_POWER_STATE", small, "running", "paused")


async def test_room_on_the_other_hosts_is_given_once() -> None:
    async with sim_pool(hosts=2, host_memory=4 * GIB) as pool:
        host, other = pool.hosts
        vms = await crowd(pool, host, 2, memory=3 * GIB // 2)
        await pool.running("there", memory=2 * GIB, affinity=other)
        told = await ask(pool, "host.get_vms_which_prevent_evacuation", host)
        assert list(told.values()) == [("HOST_NOT_ENOUGH_FREE_MEMORY", str(3 * GIB // 2), str(GIB // 2))]
        assert set(told) < set(vms)
        pool.change(other, current_operations={"t": "evacuate"})
        assert await refused(pool, "host.evacuate", host, NULL_REF, 0) == ["NO_HOSTS_AVAILABLE"]


async def test_vm_whose_storage_no_other_host_has_prevents_evacuation() -> None:
    async with sim_pool(hosts=2) as pool:
        host, other = pool.hosts
        (vm,) = await crowd(pool, host, 1)
        (pbd,) = [pbd for pbd in pool.store.related(pool.sr, "PBDs") if pool.store.get(pbd)["host"] == other]
        pool.change(pbd, currently_attached=False)
        assert await refused(pool, "host.evacuate", host, NULL_REF, 0) == ["VM_REQUIRES_SR", vm, pool.sr]
        pool.change(pbd, currently_attached=True)
        away = pool.add("network", name_label="away", bridge="xenbr9", MTU=1500)
        assert await refused(pool, "host.evacuate", host, away, 0) == ["HOST_CANNOT_ATTACH_NETWORK", host, away]
        await ask(pool, "host.evacuate", host, pool.network, 0)
        assert pool.vm(vm)["resident_on"] == other


async def test_vm_that_stops_before_its_turn_does_not_stop_the_evacuation() -> None:
    async with sim_pool(hosts=2) as pool:
        host = pool.hosts[0]
        vms = await crowd(pool, host, 2)
        task = pool.engine.launch("host.evacuate", (host, NULL_REF, 1), TEST_CALLER)
        await pool.pass_time(1)
        waiting = next(vm for vm in vms if not pool.vm(vm)["current_operations"])
        pool.sim.guest(pool.vm(waiting)["uuid"]).poweroff()
        await pool.pass_time(30)
        assert pool.store.get(task)["status"] == "success"
        assert {pool.vm(vm)["power_state"] for vm in vms} == {"Running", "Halted"}


async def test_cancelled_evacuation_ends_with_its_parts() -> None:
    async with sim_pool(hosts=2) as pool:
        host = pool.hosts[0]
        vms = await crowd(pool, host, 2)
        task = pool.engine.launch("host.evacuate", (host, NULL_REF, 0), TEST_CALLER)
        await pool.pass_time(1)
        pool.engine.cancel(task)
        await pool.pass_time(1)
        assert pool.store.get(task)["status"] == "cancelled"
        assert {pool.store.get(part)["status"] for part in pool.store.related(task, "subtasks")} == {"cancelled"}
        assert all((pool.vm(vm)["resident_on"], pool.vm(vm)["power_state"]) == (host, "Running") for vm in vms)


async def test_failure_of_one_move_is_told_and_the_others_end() -> None:
    async with sim_pool(hosts=2) as pool:
        host, other = pool.hosts
        vms = await crowd(pool, host, 2)
        pool.engine.hypervisors[host] = Faulty(pool.engine.hypervisors[host], [FaultRule("migrate")], pool.clock)
        error = await refused(pool, "host.evacuate", host, NULL_REF, 0)
        assert error[0] == "VM_MIGRATE_FAILED"
        assert sorted(pool.vm(vm)["resident_on"] for vm in vms) == sorted((host, other))


async def test_reboot_takes_the_host_down_and_time_brings_it_back_enabled() -> None:
    async with sim_pool(hosts=2) as pool:
        host = pool.hosts[1]
        assert await refused(pool, "host.reboot", host) == ["HOST_NOT_DISABLED"]
        await ask(pool, "host.disable", host)
        (vm,) = await crowd(pool, pool.hosts[0], 1)
        await ask(pool, "host.reboot", host)
        assert not live(pool, host)
        assert await refused(pool, "host.enable", host) == ["HOST_OFFLINE", host]
        assert await refused(pool, "VM.pool_migrate", vm, host, {}) == ["HOST_NOT_LIVE"]
        await pool.pass_time(pool.sim.host_boot_time + 1)
        assert live(pool, host)
        assert pool.store.get(host)["enabled"]
        await ask(pool, "VM.pool_migrate", vm, host, {})


async def test_host_disabled_for_good_stays_disabled_after_a_reboot() -> None:
    async with sim_pool(hosts=2) as pool:
        host = pool.hosts[1]
        await ask(pool, "host.disable", host, False)
        await ask(pool, "host.reboot", host)
        await pool.pass_time(pool.sim.host_boot_time + 1)
        assert live(pool, host)
        assert not pool.store.get(host)["enabled"]
        await ask(pool, "host.enable", host)
        assert pool.store.get(host)["enabled"]
        assert "stays_disabled" not in pool.store.get(host)["other_config"]


@pytest.mark.parametrize("operation", ["host.shutdown", "host.reboot"])
async def test_host_with_guests_is_not_switched_off(operation: str) -> None:
    async with sim_pool(hosts=2) as pool:
        host = pool.hosts[0]
        starting = pool.add_vm("starting")
        args = (starting, host, False, False)
        start = asyncio.ensure_future(pool.engine.perform("VM.start_on", args, TEST_CALLER))
        await pool.pass_time(1)
        await ask(pool, "host.disable", host)
        assert await refused(pool, operation, host) == ["HOST_HAS_RESIDENT_VMS", host], "it waits for the start"
        await drive(pool.clock, start)
        assert live(pool, host)


async def test_power_on_needs_a_mode_and_a_host_that_is_down() -> None:
    async with sim_pool(hosts=2) as pool:
        host = pool.hosts[1]
        assert await refused(pool, "host.power_on", host) == ["HOST_IS_LIVE", host]
        await ask(pool, "host.disable", host)
        await ask(pool, "host.shutdown", host)
        await pool.pass_time(1000)
        assert not live(pool, host)
        assert await refused(pool, "host.power_on", host) == ["HOST_POWER_ON_MODE_DISABLED"]
        await ask(pool, "host.set_power_on_mode", host, "wake-on-lan", {})
        await ask(pool, "host.power_on", host)
        await pool.pass_time(pool.sim.host_boot_time + 1)
        assert live(pool, host)


async def test_vms_of_a_host_that_lost_power_can_be_reset_or_are_halted_when_it_is_back() -> None:
    async with sim_pool(hosts=2) as pool:
        host, other = pool.hosts
        reset, left = await crowd(pool, host, 2)
        pool.change(host, power_on_mode="wake-on-lan")
        assert await refused(pool, "VM.power_state_reset", reset) == ["HOST_IS_LIVE", host]
        pool.sim.hosts[pool.store.get(host)["uuid"]].fail()
        await pool.pass_time(1)
        assert not live(pool, host)
        assert pool.vm(reset)["power_state"] == pool.vm(left)["power_state"] == "Running"
        assert await refused(pool, "VM.clean_shutdown", left) == ["HOST_OFFLINE", host]
        await ask(pool, "VM.power_state_reset", reset)
        assert (pool.vm(reset)["power_state"], pool.vm(reset)["resident_on"]) == ("Halted", NULL_REF)
        await ask(pool, "VM.start_on", reset, other, False, False)
        await ask(pool, "host.power_on", host)
        await pool.pass_time(pool.sim.host_boot_time + 1)
        assert (pool.vm(left)["power_state"], pool.vm(left)["resident_on"]) == ("Halted", NULL_REF)
        assert pool.vm(reset)["power_state"] == "Running"


async def test_dead_host_can_be_removed_with_what_was_its_own() -> None:
    async with sim_pool(hosts=2) as pool:
        host, other = pool.hosts
        local = pool.add("SR", name_label="local", shared=False, type="ext")
        pool.add("PBD", host=other, SR=local, currently_attached=True)
        disk, vm = pool.add("VDI", SR=local, name_label="disk"), pool.add_vm(affinity=other)
        assert await refused(pool, "host.destroy", other) == ["HOST_IS_LIVE", other]
        await ask(pool, "host.disable", other)
        await ask(pool, "host.shutdown", other)
        await ask(pool, "host.destroy", other)
        for gone in (other, local, disk):
            assert pool.store.find(gone) is None
        assert pool.vm(vm)["affinity"] == NULL_REF
        assert [pool.store.get(pbd)["host"] for pbd in pool.store.related(pool.sr, "PBDs")] == [host]
        assert other not in pool.engine.hypervisors


@pytest.mark.parametrize(
    ("name", "reason"),
    [("", "hostname empty"), ("x" * 64, "hostname is too long"), ("a_b", "hostname contains invalid chars"),
     ("-a", "hostname contains invalid chars"), ("a..b", "hostname contains invalid chars"), ("xen-1.lab", None)],
)  # fmt: skip
async def test_host_name_is_a_dns_name(name: str, reason: str | None) -> None:
    async with sim_pool() as pool:
        (host,) = pool.hosts
        if reason is None:
            await ask(pool, "host.set_hostname_live", host, name)
            assert pool.store.get(host)["hostname"] == name
        else:
            error = await refused(pool, "host.set_hostname_live", host, name)
            assert error == ["HOST_NAME_INVALID", reason]


async def test_local_time_follows_the_hosts_zone() -> None:
    async with sim_pool() as pool:
        (host,) = pool.hosts
        pool.change(host, timezone="Asia/Tokyo")
        assert await ask(pool, "host.get_server_localtime", host) == pool.clock.now() + 9 * 3600
        pool.change(host, timezone="Nowhere/At_All")
        assert await ask(pool, "host.get_server_localtime", host) == pool.clock.now()
