"""High availability at work: a host dies, and its protected VMs run elsewhere without anyone's help."""

from __future__ import annotations

import pytest
from ha_pool import BOOTED, GIB, NOTICED, TIMEOUT, followed, guarded, kill, messages, protected, revive, state
from sim_api import ask, refused

from xenapi_core.engine.ha_failover import RETRY
from xenapi_core.model.hosts import is_live
from xenapi_core.testing.faults import FaultRule, Faulty
from xenapi_core.testing.pool import TEST_CALLER, SimPool


async def after_timeout(pool: SimPool) -> None:
    """Long enough for a host that died just now to be given up, and for its VMs to be running."""
    await pool.pass_time(TIMEOUT + NOTICED + BOOTED)


async def test_protected_vms_of_a_dead_host_run_on_others() -> None:
    async with guarded() as pool:
        dying = pool.hosts[1]
        vms = [await protected(pool, f"vm{n}", affinity=dying) for n in range(3)]
        plain = await pool.running("plain", affinity=dying)
        kill(pool, dying)
        await pool.pass_time(TIMEOUT - 5)
        assert {state(pool, vm) for vm in vms} == {("Running", dying)}, "the host may still come back"
        await pool.pass_time(5 + NOTICED + BOOTED)
        for vm in vms:
            power, host = state(pool, vm)
            assert (power, host != dying) == ("Running", True)
            assert pool.store.get(pool.vm(vm)["metrics"])["memory_actual"] == GIB
        assert state(pool, plain)[0] == "Halted", "nobody asked to restart it"
        assert messages(pool) == ["HA_HOST_FAILED"]


async def test_host_that_comes_back_in_time_is_not_given_up() -> None:
    async with guarded() as pool:
        pool.sim.host_boot_time = 10.0
        dying = pool.hosts[1]
        vm = await protected(pool, affinity=dying)
        kill(pool, dying)
        await revive(pool, dying)
        await after_timeout(pool)
        assert state(pool, vm) == ("Running", dying), "its machine had ended with the host, and is started again"
        assert messages(pool) == []


async def test_best_effort_vms_come_last_and_only_while_memory_is_left() -> None:
    async with guarded(tolerate=0) as pool:
        dying = pool.hosts[1]
        first = await protected(pool, "first", memory=8 * GIB, affinity=dying)
        lucky = await protected(pool, "lucky", "best-effort", memory=3 * GIB, affinity=dying)
        unlucky = await protected(pool, "unlucky", "best-effort", memory=4 * GIB, affinity=dying)
        for host in (pool.hosts[0], pool.hosts[2]):
            await pool.running("filler", memory=4 * GIB, affinity=host)
        await pool.running("more", memory=9 * GIB, affinity=pool.hosts[0])
        kill(pool, dying)
        await after_timeout(pool)
        await pool.pass_time(2 * BOOTED)
        assert state(pool, first) == ("Running", pool.hosts[2])
        assert state(pool, lucky) == ("Running", pool.hosts[2])
        assert state(pool, unlucky)[0] == "Halted", "no host has 4 GiB left"


async def test_vms_start_by_order_each_rank_after_the_delay_of_the_one_before() -> None:
    async with guarded() as pool:
        dying = pool.hosts[1]
        last = await protected(pool, "last", order=2, affinity=dying)
        first = await protected(pool, "first", order=0, start_delay=100, affinity=dying)
        second = await protected(pool, "second", order=1, start_delay=50, affinity=dying)
        kill(pool, dying)
        await after_timeout(pool)
        assert [state(pool, vm)[0] for vm in (first, second, last)] == ["Running", "Halted", "Halted"]
        await pool.pass_time(100)
        assert [state(pool, vm)[0] for vm in (first, second, last)] == ["Running", "Running", "Halted"]
        await pool.pass_time(60)
        assert [state(pool, vm)[0] for vm in (first, second, last)] == ["Running", "Running", "Running"]


async def test_vms_of_a_second_host_join_those_that_are_being_started() -> None:
    async with guarded(hosts=4) as pool:
        first, second, third, fourth = pool.hosts
        early = await protected(pool, "early", order=0, start_delay=500, affinity=first)
        late = await protected(pool, "late", order=2, affinity=first)
        joining = await protected(pool, "joining", order=1, start_delay=300, affinity=second)
        pool.change(third, enabled=False)
        kill(pool, first)
        await after_timeout(pool)
        assert state(pool, early) == ("Running", fourth)
        kill(pool, second)
        await pool.pass_time(500)
        assert [state(pool, vm)[0] for vm in (early, joining, late)] == ["Running", "Running", "Halted"]
        await pool.pass_time(320)
        assert state(pool, late)[0] == "Running"


async def test_dead_coordinator_is_followed_by_a_member() -> None:
    async with guarded() as pool:
        first, *members = pool.hosts
        pool.change(members[0], enabled=False)
        vm = await protected(pool, affinity=first)
        kill(pool, first)
        await after_timeout(pool)
        assert pool.store.get(pool.pool)["master"] == members[1], "an enabled host comes before a disabled one"
        assert state(pool, vm) == ("Running", members[1])
        assert messages(pool, "POOL_") == ["POOL_MASTER_TRANSITION"]


@pytest.mark.parametrize(("act", "action"), [("poweroff", "actions_after_shutdown"), ("crash", "actions_after_crash")])
async def test_protected_vm_that_ends_by_itself_is_started_again(act: str, action: str) -> None:
    async with guarded() as pool:
        vm = await protected(pool, **{action: "destroy"})
        getattr(pool.sim.guest(pool.vm(vm)["uuid"]), act)()
        await pool.pass_time(0.5)
        assert state(pool, vm)[0] == "Halted"
        await pool.pass_time(NOTICED + BOOTED)
        assert state(pool, vm)[0] == "Running"


async def test_guest_may_shut_itself_down_where_the_pool_says_so() -> None:
    async with guarded() as pool:
        await ask(pool, "pool.set_ha_reboot_vm_on_internal_shutdown", pool.pool, False)
        vm = await protected(pool)
        pool.sim.guest(pool.vm(vm)["uuid"]).poweroff()
        await pool.pass_time(NOTICED + BOOTED)
        assert (state(pool, vm)[0], pool.vm(vm)["ha_always_run"]) == ("Halted", False)


@pytest.mark.parametrize("wire_name", ["VM.clean_shutdown", "VM.hard_shutdown", "VM.suspend"])
async def test_vm_that_somebody_stops_stays_stopped_until_it_is_started(wire_name: str) -> None:
    async with guarded() as pool:
        vm = await protected(pool)
        await ask(pool, wire_name, vm)
        await pool.pass_time(NOTICED + BOOTED)
        assert pool.vm(vm)["power_state"] in ("Halted", "Suspended")
        assert (pool.vm(vm)["ha_always_run"], pool.vm(vm)["ha_restart_priority"]) == (False, "restart")
        await ask(pool, "VM.resume" if wire_name == "VM.suspend" else "VM.start", vm, False, False)
        assert pool.vm(vm)["ha_always_run"]


async def test_restart_that_fails_is_told_and_tried_again() -> None:
    async with followed(hosts=2) as pool:
        await ask(pool, "pool.set_ha_allow_overcommit", pool.pool, True)
        await ask(pool, "pool.set_ha_host_failures_to_tolerate", pool.pool, 1)
        await ask(pool, "pool.enable_ha", (pool.sr,), {"timeout": "30"})
        dying, other = pool.hosts
        vm = await protected(pool, memory=8 * GIB, affinity=dying)
        filler = await pool.running("filler", memory=10 * GIB, affinity=other)
        assert pool.store.get(pool.pool)["ha_overcommitted"]
        kill(pool, dying)
        await after_timeout(pool)
        assert state(pool, vm)[0] == "Halted"
        assert "HA_PROTECTED_VM_RESTART_FAILED" in messages(pool)
        await pool.pass_time(2 * RETRY)
        await ask(pool, "VM.hard_shutdown", filler)
        await pool.pass_time(RETRY + BOOTED)
        assert state(pool, vm) == ("Running", other)
        assert messages(pool).count("HA_PROTECTED_VM_RESTART_FAILED") == 1


async def test_restart_is_not_refused_for_the_sake_of_the_plan() -> None:
    async with followed(hosts=4) as pool:
        dying = pool.hosts[3]
        large = await protected(pool, "large", memory=10 * GIB, affinity=dying)
        small = await protected(pool, "small", memory=6 * GIB, affinity=dying)
        for number, size in enumerate((6, 10, 6)):
            await pool.running(f"filler{number}", memory=size * GIB, affinity=pool.hosts[number])
        await ask(pool, "pool.set_ha_host_failures_to_tolerate", pool.pool, 1)
        await ask(pool, "pool.enable_ha", (pool.sr,), {"timeout": "30"})
        kill(pool, dying)
        await after_timeout(pool)
        assert [state(pool, vm)[0] for vm in (large, small)] == ["Running", "Running"]


async def test_vm_whose_operation_outlives_the_host_is_restarted_when_that_ends() -> None:
    async with guarded() as pool:
        dying = pool.hosts[1]
        vm = await protected(pool, affinity=dying)
        driver = pool.engine.hypervisors[dying]
        rule = FaultRule("reset", kind="offline", delay=100.0)
        pool.engine.hypervisors[dying] = Faulty(driver, [rule], pool.clock)  # type: ignore[assignment]
        task = pool.engine.launch("VM.hard_reboot", (vm,), TEST_CALLER)
        await pool.pass_time(1)
        kill(pool, dying)
        await after_timeout(pool)
        assert (pool.store.get(task)["status"], state(pool, vm)) == ("pending", ("Running", dying))
        await pool.pass_time(100)
        power, host = state(pool, vm)
        assert (power, host != dying) == ("Running", True)


async def test_time_of_a_silent_host_begins_anew_each_time_it_goes_down() -> None:
    async with guarded() as pool:
        pool.sim.host_boot_time = 5.0
        dying = pool.hosts[1]
        kill(pool, dying)
        await pool.pass_time(10)
        await revive(pool, dying)
        await pool.pass_time(10)
        kill(pool, dying)
        await pool.pass_time(TIMEOUT - 5)
        assert messages(pool) == []
        await pool.pass_time(5 + NOTICED)
        assert messages(pool) == ["HA_HOST_FAILED"]


async def test_restarts_wait_while_they_are_prevented() -> None:
    async with guarded() as pool:
        vm = await protected(pool, affinity=pool.hosts[1])
        await ask(pool, "pool.ha_prevent_restarts_for", 300)
        kill(pool, pool.hosts[1])
        await pool.pass_time(200)
        assert state(pool, vm)[0] == "Halted"
        await pool.pass_time(120)
        assert state(pool, vm)[0] == "Running"
        assert await refused(pool, "pool.ha_prevent_restarts_for", -1) == ["INVALID_VALUE", "seconds", "-1"]


async def test_host_that_was_shut_down_by_request_is_no_failure() -> None:
    async with guarded() as pool:
        host = pool.hosts[2]
        await ask(pool, "host.disable", host)
        await ask(pool, "host.shutdown", host)
        await after_timeout(pool)
        assert messages(pool) == []
        assert pool.store.get(host)["ha_network_peers"] == ()


async def test_host_that_boots_by_request_is_no_failure_however_long_that_takes() -> None:
    async with guarded() as pool:
        host = pool.hosts[2]
        await ask(pool, "host.disable", host)
        await ask(pool, "host.shutdown", host)
        await after_timeout(pool)
        pool.change(host, power_on_mode="wake-on-lan")
        await ask(pool, "host.power_on", host)
        await after_timeout(pool)
        assert (messages(pool), is_live(pool.store, pool.store.get(host))) == ([], False)
        await pool.pass_time(60)
        assert len(pool.store.get(host)["ha_network_peers"]) == len(pool.hosts)
        kill(pool, host)
        await after_timeout(pool)
        assert messages(pool) == ["HA_HOST_FAILED"], "it counts again once it has been up"


async def test_host_that_failed_with_its_vms_is_given_up_though_it_is_told_to_come_up() -> None:
    async with guarded() as pool:
        host = pool.hosts[2]
        vm = await protected(pool, affinity=host)
        pool.change(host, power_on_mode="wake-on-lan")
        kill(pool, host)
        await ask(pool, "host.power_on", host)
        await after_timeout(pool)
        assert messages(pool) == ["HA_HOST_FAILED"]
        await pool.pass_time(BOOTED)
        assert state(pool, vm)[0] == "Running"
        assert state(pool, vm)[1] != host


async def test_numbers_of_the_pool_follow_its_hosts() -> None:
    async with guarded(tolerate=2) as pool:

        async def plan() -> tuple[int, bool]:
            await pool.pass_time(NOTICED)
            record = pool.store.get(pool.pool)
            return record["ha_plan_exists_for"], record["ha_overcommitted"]

        await protected(pool, memory=8 * GIB, affinity=pool.hosts[0])
        assert await plan() == (2, False)
        kill(pool, pool.hosts[2])
        assert await plan() == (1, True)
        assert messages(pool) == ["HA_POOL_DROP_IN_PLAN_EXISTS_FOR", "HA_POOL_OVERCOMMITTED"]
        pool.sim.host_boot_time = 5.0
        await revive(pool, pool.hosts[2])
        await pool.pass_time(6)
        assert await plan() == (2, False)
        uuids = {pool.store.get(host)["uuid"] for host in pool.hosts}
        assert all(set(pool.store.get(host)["ha_network_peers"]) == uuids for host in pool.hosts)


async def test_nothing_is_restarted_when_high_availability_is_off() -> None:
    async with followed() as pool:
        vm = await protected(pool, affinity=pool.hosts[1])
        kill(pool, pool.hosts[1])
        await after_timeout(pool)
        assert state(pool, vm) == ("Running", pool.hosts[1]), "nobody says that it does not run"
        assert messages(pool) == []


async def test_switching_off_forgets_what_was_about_to_happen() -> None:
    async with guarded() as pool:
        vm = await protected(pool, affinity=pool.hosts[1])
        kill(pool, pool.hosts[1])
        await pool.pass_time(TIMEOUT / 2)
        await ask(pool, "pool.disable_ha")
        await after_timeout(pool)
        assert state(pool, vm) == ("Running", pool.hosts[1])


async def test_vm_that_was_starting_when_its_host_died_runs_elsewhere() -> None:
    async with guarded() as pool:
        dying = pool.hosts[1]
        vm = await protected(pool, affinity=dying)
        task = pool.engine.launch("VM.hard_reboot", (vm,), TEST_CALLER)
        await pool.pass_time(1)
        kill(pool, dying)
        await after_timeout(pool)
        assert pool.store.get(task)["status"] == "failure"
        power, host = state(pool, vm)
        assert (power, host != dying) == ("Running", True)
