"""The steps of high availability, told to one host at a time: disks, daemon, fencing, decisions, and their effects."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
import sim_api
from ha_pool import BOOTED, GIB, NOTICED, TIMEOUT, following, guarded, kill, messages, protected, revive, state

from xenapi_core.ids import NULL_REF
from xenapi_core.testing.faults import FaultRule, Faulty
from xenapi_core.testing.pool import TEST_CALLER, SimPool, sim_pool
from xenapi_core.testing.virtual_time import drive

ROOT = replace(TEST_CALLER, local_root=True)  # these messages are for members, and for the Unix socket


CHANGING = {"destroy", "forget", "resize", "resize_online", "set_on_boot"}  # what would spoil a heartbeat disk


async def ask(pool: SimPool, wire_name: str, *args: Any) -> Any:
    return await sim_api.ask(pool, wire_name, *args, caller=ROOT)


async def refused(pool: SimPool, wire_name: str, *args: Any) -> list[str]:
    return await sim_api.refused(pool, wire_name, *args, caller=ROOT)


async def configured(pool: SimPool, *hosts: str) -> tuple[str, str]:
    """A heartbeat disk and a metadata disk that these hosts have attached."""
    statefile, metadata = pool.add_vdi(type="ha_statefile"), pool.add_vdi(type="redo_log")
    for host in hosts:
        await ask(pool, "host.preconfigure_ha", host, (statefile,), metadata, "1")
    return statefile, metadata


def peers(pool: SimPool) -> list[int]:
    """How many hosts each host sees, itself included."""
    return [len(pool.store.get(host)["ha_network_peers"]) for host in pool.hosts]


async def too_long(pool: SimPool) -> None:
    """Long enough for a silent host to be given up, and for its VMs to run elsewhere."""
    await pool.pass_time(TIMEOUT + NOTICED + BOOTED)


# Disks


async def test_attached_heartbeat_disks_cannot_be_destroyed_before_their_release() -> None:
    async with sim_pool(hosts=2) as pool:
        first, second = pool.hosts
        statefile, metadata = await configured(pool, first, second)
        assert pool.store.get(first)["ha_statefiles"] == (statefile,)
        for vdi in (statefile, metadata):
            assert await refused(pool, "VDI.destroy", vdi) == ["VDI_IN_USE", vdi, "destroy"]
        await ask(pool, "host.ha_release_resources", first)
        assert await refused(pool, "VDI.forget", statefile) == ["VDI_IN_USE", statefile, "forget"]
        await ask(pool, "host.ha_release_resources", second)
        assert pool.store.get(first)["ha_statefiles"] == ()
        for vdi in (statefile, metadata):
            await ask(pool, "VDI.destroy", vdi)
            assert pool.store.find(vdi) is None


async def test_disks_of_another_configuration_take_the_place_of_the_first() -> None:
    async with sim_pool(hosts=2) as pool:
        host = pool.hosts[0]
        old, _ = await configured(pool, host)
        new, _ = await configured(pool, host)
        assert pool.store.get(host)["ha_statefiles"] == (new,)
        await ask(pool, "VDI.destroy", old)
        assert pool.store.find(old) is None


async def test_heartbeat_disks_must_hold_data_and_be_reached_by_the_host() -> None:
    async with sim_pool(hosts=2) as pool:
        host, other = pool.hosts
        disk, bare = pool.add_vdi(), pool.add_vdi(type="cbt_metadata")
        sr = pool.add_sr("half", 100 * GIB)
        pool.change(pool.store.related(sr, "PBDs")[0], currently_attached=False)
        far = pool.add_vdi(sr=sr)
        for statefiles, metadata, answer in (
            ((), disk, ["INVALID_VALUE", "statefiles", ""]),
            ((bare,), disk, ["VDI_INCOMPATIBLE_TYPE", bare, "cbt_metadata"]),
            ((disk,), bare, ["VDI_INCOMPATIBLE_TYPE", bare, "cbt_metadata"]),
            ((far,), disk, ["VDI_NOT_AVAILABLE", far]),
            ((disk,), far, ["VDI_NOT_AVAILABLE", far]),
        ):
            assert await refused(pool, "host.preconfigure_ha", host, statefiles, metadata, "1") == answer
        await ask(pool, "host.preconfigure_ha", other, (far,), disk, "1")
        assert pool.store.get(host)["ha_statefiles"] == ()


async def test_disk_that_somebody_else_has_is_not_taken_for_high_availability() -> None:
    async with sim_pool(hosts=2) as pool:
        host, free = pool.hosts[0], pool.add_vdi()
        vm = await pool.running()
        used = pool.store.get(pool.store.related(vm, "VBDs")[0])["VDI"]
        static, leaving = pool.add_vdi(), pool.add_vdi()
        await ask(pool, "host.attach_static_vdis", pool.hosts[1], {static: ""})
        pool.change(leaving, current_operations={"task": "destroy"})
        for taken, code in (
            (used, "VDI_IN_USE"),
            (static, "VDI_IN_USE"),
            (leaving, "OTHER_OPERATION_IN_PROGRESS"),
        ):
            for statefile, metadata in ((taken, free), (free, taken)):
                told = await refused(pool, "host.preconfigure_ha", host, (statefile,), metadata, "1")
                assert (told[0], taken in told) == (code, True)
        assert pool.store.get(host)["ha_statefiles"] == ()
        await ask(pool, "VM.hard_shutdown", vm)
        await ask(pool, "host.preconfigure_ha", host, (used,), free, "1")


@pytest.mark.parametrize("sharable", [False, True])
async def test_disk_of_high_availability_is_attached_to_no_vm(sharable: bool) -> None:
    async with sim_pool(hosts=2) as pool:
        disk, host = pool.add_vdi(sharable=sharable), pool.hosts[0]
        running, halted = await pool.running(disks=0), pool.add_vm(disks=0)
        vbd = await ask(pool, "VBD.create", pool.vbd_values(running, disk, "0"))
        await ask(pool, "VBD.create", pool.vbd_values(halted, disk, "0"))
        await ask(pool, "host.preconfigure_ha", host, (disk,), pool.add_vdi(), "1")
        in_use = ["VDI_IN_USE", disk]
        assert await refused(pool, "VBD.create", pool.vbd_values(pool.add_vm(), disk, "1")) == in_use
        assert await refused(pool, "VBD.plug", vbd) == in_use
        assert await refused(pool, "VM.start", halted, False, False) == in_use
        await ask(pool, "host.ha_release_resources", host)
        await ask(pool, "VBD.plug", vbd)


async def test_attached_heartbeat_disks_are_listed_with_what_is_allowed_of_them() -> None:
    async with sim_pool(hosts=2) as pool:
        statefile, metadata = await configured(pool, pool.hosts[0])
        for vdi in (statefile, metadata):
            free = set(await ask(pool, "VDI.get_allowed_operations", pool.add_vdi(type="redo_log")))
            assert free - set(await ask(pool, "VDI.get_allowed_operations", vdi)) == CHANGING
            assert await refused(pool, "VDI.resize", vdi, 1 << 40) == ["VDI_IN_USE", vdi, "resize"]
        await ask(pool, "host.ha_release_resources", pool.hosts[0])
        assert set(await ask(pool, "VDI.get_allowed_operations", statefile)) >= CHANGING


async def test_no_step_is_told_to_a_host_that_is_down() -> None:
    async with sim_pool(hosts=2) as pool:
        host, disk = pool.hosts[1], pool.add_vdi()
        kill(pool, host)
        await pool.pass_time(1)
        assert await refused(pool, "host.preconfigure_ha", host, (disk,), disk, "1") == ["HOST_OFFLINE", host]
        assert await refused(pool, "host.set_localdb_key", host, "key", "value") == ["HOST_OFFLINE", host]
        for step in (
            "join_liveset", "disarm_fencing", "stop_daemon", "release_resources", "disable_failover_decisions",
            "wait_for_shutdown_via_statefile",
        ):  # fmt: skip
            assert await refused(pool, f"host.ha_{step}", host) == ["HOST_OFFLINE", host]


# The live set


async def test_only_hosts_that_joined_are_in_the_live_set() -> None:
    async with sim_pool(hosts=3) as pool:
        first, second, third = pool.hosts
        await configured(pool, first, second, third)
        await ask(pool, "host.ha_join_liveset", first)
        assert peers(pool) == [1, 0, 0]
        await ask(pool, "host.ha_join_liveset", third)
        assert peers(pool) == [2, 0, 2]
        seen = {pool.store.get(host)["uuid"] for host in (first, third)}
        assert set(pool.store.get(first)["ha_network_peers"]) == seen
        await ask(pool, "host.ha_stop_daemon", third)
        assert peers(pool) == [1, 0, 0]


async def test_member_waits_for_the_coordinator_and_gives_up_in_the_end() -> None:
    async with sim_pool(hosts=2) as pool:
        first, second = pool.hosts
        await configured(pool, first, second)
        assert await refused(pool, "host.ha_join_liveset", second) == ["HA_FAILED_TO_FORM_LIVESET"]
        joining = asyncio.ensure_future(sim_api.dispatcher(pool).invoke(ROOT, "host.ha_join_liveset", (second,)))
        await pool.pass_time(20)
        assert not joining.done()
        await ask(pool, "host.ha_join_liveset", first)
        await drive(pool.clock, joining)
        assert peers(pool) == [2, 2]


async def test_daemon_starts_once_and_only_with_reachable_disks() -> None:
    async with sim_pool(hosts=2) as pool:
        host = pool.hosts[0]
        assert await refused(pool, "host.ha_join_liveset", host) == ["HA_HEARTBEAT_DAEMON_STARTUP_FAILED"]
        await configured(pool, host)
        pbd = next(pbd for pbd in pool.store.related(pool.sr, "PBDs") if pool.store.get(pbd)["host"] == host)
        pool.change(pbd, currently_attached=False)
        assert await refused(pool, "host.ha_join_liveset", host) == ["HA_HOST_CANNOT_ACCESS_STATEFILE"]
        pool.change(pbd, currently_attached=True)
        driver = pool.engine.hypervisors[host]
        pool.engine.hypervisors[host] = Faulty(driver, [FaultRule("settings")], pool.clock)  # type: ignore[assignment]
        assert await refused(pool, "host.ha_join_liveset", host) == ["HA_FAILED_TO_FORM_LIVESET"]
        await ask(pool, "host.ha_join_liveset", host)
        assert await refused(pool, "host.ha_join_liveset", host) == ["HA_HEARTBEAT_DAEMON_STARTUP_FAILED"]


async def test_hosts_that_were_configured_apart_form_no_live_set() -> None:
    async with sim_pool(hosts=2) as pool:
        first, second = pool.hosts
        statefile, metadata = await configured(pool, first)
        await ask(pool, "host.preconfigure_ha", second, (statefile,), metadata, "2")
        await ask(pool, "host.ha_join_liveset", first)
        assert await refused(pool, "host.ha_join_liveset", second) == ["HA_FAILED_TO_FORM_LIVESET"]
        assert peers(pool) == [1, 0]


async def test_running_daemon_keeps_its_disks_and_high_availability_from_beginning_anew() -> None:
    async with sim_pool(hosts=2) as pool:
        host = pool.hosts[0]
        disk, metadata = await configured(pool, host)
        await ask(pool, "host.ha_join_liveset", host)
        armed = ["HA_HOST_IS_ARMED", host]
        assert await refused(pool, "host.preconfigure_ha", host, (disk,), metadata, "2") == armed
        assert await refused(pool, "host.ha_release_resources", host) == armed
        assert await refused(pool, "pool.enable_ha", (pool.sr,), {}) == armed
        await ask(pool, "host.ha_stop_daemon", host)
        await ask(pool, "host.ha_release_resources", host)
        await ask(pool, "pool.enable_ha", (pool.sr,), {})
        assert pool.store.get(host)["ha_statefiles"] == pool.store.get(pool.pool)["ha_statefiles"] != (disk,)


async def test_host_that_left_the_live_set_takes_no_restarts_and_keeps_its_vms() -> None:
    async with guarded() as pool:
        first, second, third = pool.hosts
        stays = await protected(pool, "stays", affinity=third)
        goes = await protected(pool, "goes", affinity=second)
        await ask(pool, "host.ha_stop_daemon", third)
        await too_long(pool)
        assert state(pool, stays) == ("Running", third)
        assert messages(pool, "HA_HOST") == []
        kill(pool, second)
        await too_long(pool)
        assert state(pool, goes) == ("Running", first)
        assert peers(pool) == [1, 0, 0]


@pytest.mark.parametrize(("armed", "count"), [("true", 2), ("false", 1)])
async def test_armed_host_joins_again_when_it_boots(armed: str, count: int) -> None:
    async with guarded(hosts=2) as pool:
        pool.sim.host_boot_time = 5.0
        second = pool.hosts[1]
        await ask(pool, "host.set_localdb_key", second, "ha.armed", armed)
        kill(pool, second)
        await pool.pass_time(NOTICED)
        assert peers(pool) == [1, 0]
        await revive(pool, second)
        await pool.pass_time(5 + NOTICED)
        assert peers(pool) == [count, count if count > 1 else 0]


async def test_host_that_slept_through_the_end_stays_out_when_it_boots() -> None:
    async with guarded(hosts=2) as pool:
        pool.sim.host_boot_time = 5.0
        second = pool.hosts[1]
        kill(pool, second)
        await pool.pass_time(1)
        await ask(pool, "pool.disable_ha")
        assert pool.store.get(second)["ha_statefiles"] == ()
        await revive(pool, second)
        await pool.pass_time(10)
        assert peers(pool) == [0, 0]
        await ask(pool, "pool.enable_ha", (pool.sr,), {})
        assert peers(pool) == [2, 2]


# Waiting for the end


async def test_waiting_for_the_end_returns_when_the_pool_switches_off() -> None:
    async with guarded(hosts=2) as pool:
        waiting = asyncio.ensure_future(
            sim_api.dispatcher(pool).invoke(ROOT, "host.ha_wait_for_shutdown_via_statefile", (pool.hosts[1],))
        )
        await pool.pass_time(600)
        assert not waiting.done()
        await ask(pool, "pool.disable_ha")
        await drive(pool.clock, waiting)
        assert await ask(pool, "host.ha_wait_for_shutdown_via_statefile", pool.hosts[1]) is None


async def test_waiting_for_the_end_fails_when_the_host_loses_the_disk_or_dies() -> None:
    async with sim_pool(hosts=2) as pool:
        host = pool.hosts[0]
        await configured(pool, host)
        await ask(pool, "host.ha_join_liveset", host)
        task = await ask(pool, "Async.host.ha_wait_for_shutdown_via_statefile", host)
        await pool.pass_time(5)
        assert pool.store.get(task)["status"] == "pending"
        pbd = next(pbd for pbd in pool.store.related(pool.sr, "PBDs") if pool.store.get(pbd)["host"] == host)
        pool.change(pbd, currently_attached=False)
        await pool.pass_time(5)
        assert pool.store.get(task)["error_info"] == ("HA_LOST_STATEFILE",)
        pool.change(pbd, currently_attached=True)
        task = await ask(pool, "Async.host.ha_wait_for_shutdown_via_statefile", host)
        kill(pool, host)
        await pool.pass_time(5)
        assert pool.store.get(task)["error_info"] == ("HOST_OFFLINE", host)


# Fencing


async def silence(pool: SimPool, host: str) -> None:
    """The coordinator does not hear the host any more, which runs on."""
    driver = pool.engine.hypervisors[host]
    rules = [FaultRule("domains", kind="offline")]
    pool.engine.hypervisors[host] = Faulty(driver, rules, pool.clock)  # type: ignore[assignment]
    await ask(pool, "host.restart_agent", host)


def runs_on(pool: SimPool, host: str) -> list[str]:
    """Names of the machines that the host really has."""
    return [machine.spec.name for machine in pool.sim.hosts[pool.store.get(host)["uuid"]].machines.values()]


async def test_silent_host_is_fenced_before_its_vms_run_elsewhere() -> None:
    async with guarded() as pool:
        host = pool.hosts[1]
        vm = await protected(pool, "vm", affinity=host)
        await silence(pool, host)
        assert runs_on(pool, host) == ["vm"]
        await pool.pass_time(TIMEOUT + NOTICED)
        assert runs_on(pool, host) == []
        await pool.pass_time(BOOTED)
        power, place = state(pool, vm)
        assert (power, place != host) == ("Running", True)
        assert messages(pool) == ["HA_HOST_FAILED"]
        await pool.pass_time(pool.sim.host_boot_time)
        assert messages(pool) == ["HA_HOST_FAILED", "HA_HOST_WAS_FENCED"]
        assert peers(pool) == [3, 3, 3]


async def test_disarmed_host_is_not_fenced_and_its_vms_are_left_alone() -> None:
    async with guarded() as pool:
        host = pool.hosts[1]
        vm = await protected(pool, "vm", affinity=host)
        await ask(pool, "host.ha_disarm_fencing", host)
        assert peers(pool) == [3, 3, 3]
        await silence(pool, host)
        await too_long(pool)
        assert runs_on(pool, host) == ["vm"]
        assert state(pool, vm) == ("Running", host)
        assert messages(pool) == ["HA_HOST_FAILED"]


async def test_disarming_a_host_without_daemon_changes_nothing() -> None:
    async with sim_pool(hosts=2) as pool:
        before = pool.picture()
        await ask(pool, "host.ha_disarm_fencing", pool.hosts[0])
        await ask(pool, "host.ha_stop_daemon", pool.hosts[0])
        assert pool.picture() == before


# Decisions


async def test_coordinator_without_decisions_gives_no_host_up_until_it_may() -> None:
    async with guarded() as pool:
        coordinator, dying = pool.hosts[0], pool.hosts[1]
        vm = await protected(pool, affinity=dying)
        await ask(pool, "host.ha_disable_failover_decisions", coordinator)
        kill(pool, dying)
        await too_long(pool)
        assert state(pool, vm) == ("Running", dying)
        assert messages(pool, "HA_HOST") == []
        await ask(pool, "host.set_localdb_key", coordinator, "ha.disable_failover_decisions", "false")
        await pool.pass_time(NOTICED + BOOTED)
        power, place = state(pool, vm)
        assert (power, place != dying) == ("Running", True)
        assert messages(pool, "HA_HOST") == ["HA_HOST_FAILED"]


async def test_coordinator_without_decisions_restarts_no_vm_that_ended() -> None:
    async with guarded() as pool:
        vm = await protected(pool, affinity=pool.hosts[1])
        await ask(pool, "host.set_localdb_key", pool.hosts[0], "ha.disable_failover_decisions", "true")
        pool.sim.guest(pool.vm(vm)["uuid"]).poweroff()
        await pool.pass_time(NOTICED + BOOTED)
        assert state(pool, vm)[0] == "Halted"
        await ask(pool, "host.set_localdb_key", pool.hosts[0], "ha.disable_failover_decisions", "")
        await pool.pass_time(NOTICED + BOOTED)
        assert state(pool, vm)[0] == "Running"


async def test_member_without_decisions_does_not_become_coordinator() -> None:
    async with guarded() as pool:
        first, second, third = pool.hosts
        await ask(pool, "host.ha_disable_failover_decisions", second)
        kill(pool, first)
        await too_long(pool)
        assert pool.store.get(pool.pool)["master"] == third
        await ask(pool, "host.ha_disable_failover_decisions", third)
        kill(pool, third)
        await too_long(pool)
        assert pool.store.get(pool.pool)["master"] == third, "nobody may follow it"
        await ask(pool, "host.set_localdb_key", second, "ha.disable_failover_decisions", "false")
        await pool.pass_time(NOTICED)
        assert pool.store.get(pool.pool)["master"] == second


async def test_switching_on_anew_gives_the_hosts_their_decisions_back() -> None:
    async with guarded() as pool:
        for host in pool.hosts:
            await ask(pool, "host.ha_disable_failover_decisions", host)
        await ask(pool, "pool.disable_ha")
        await ask(pool, "pool.enable_ha", (pool.sr,), {"timeout": str(int(TIMEOUT))})
        vm = await protected(pool, affinity=pool.hosts[1])
        kill(pool, pool.hosts[1])
        await too_long(pool)
        power, place = state(pool, vm)
        assert (power, place != pool.hosts[1]) == ("Running", True)


async def test_keys_that_mean_nothing_are_kept_beside_the_others() -> None:
    async with sim_pool(hosts=2) as pool:
        host = pool.hosts[0]
        for key, value in (("redo_log.enabled", "true"), ("own", "1"), ("own", "2")):
            await ask(pool, "host.set_localdb_key", host, key, value)
        assert pool.store.get(host)["local_database"] == {"redo_log.enabled": "true", "own": "2"}
        assert pool.store.get(pool.hosts[1])["local_database"] == {}


async def test_pool_whose_hosts_kept_nothing_yet_has_all_of_them_joined() -> None:
    async with sim_pool(hosts=2) as pool:
        await ask(pool, "pool.enable_ha", (pool.sr,), {"timeout": str(int(TIMEOUT))})
        for host in pool.hosts:  # as a database of an older version has it
            pool.change(host, ha_daemon="", local_database={}, ha_generation="", ha_metadata_vdi="")
        disks = [vdi for vdi, record in pool.store.all("VDI").items() if record["ha_hosts"]]
        for vdi in disks:
            pool.change(vdi, ha_hosts=(), ha_pool=NULL_REF)
        async with following(pool):
            await pool.pass_time(1)
            assert [await refused(pool, "VDI.destroy", vdi) for vdi in disks] == [["HA_IS_ENABLED"]] * 2
            vm = await protected(pool, affinity=pool.hosts[1])
            kill(pool, pool.hosts[1])
            await too_long(pool)
            assert state(pool, vm) == ("Running", pool.hosts[0])


async def test_healthy_server_says_so_to_the_daemon() -> None:
    async with sim_pool(hosts=2) as pool:
        assert await ask(pool, "host.ha_xapi_healthcheck") is True
