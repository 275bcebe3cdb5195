"""Claims, contention, overruling and cancelling."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from xenapi_core.engine.plan import Claim, Plan, Step, World
from xenapi_core.errors import ApiError
from xenapi_core.testing.faults import FaultRule, Faulty
from xenapi_core.testing.pool import TEST_CALLER, SimPool, sim_pool
from xenapi_core.testing.virtual_time import drive


async def begun(pool: SimPool, wire_name: str, *args: Any) -> asyncio.Task[Any]:
    """A call in progress."""
    task = asyncio.ensure_future(pool.engine.perform(wire_name, args, TEST_CALLER))
    await pool.pass_time(0)
    return task


async def refused(pool: SimPool, wire_name: str, *args: Any) -> list[str]:
    with pytest.raises(ApiError) as failure:
        await pool.call(wire_name, *args)
    return failure.value.description


async def test_claim_is_visible_while_the_plan_runs_and_gone_with_the_final_change() -> None:
    async with sim_pool() as pool:
        vm = pool.add_vm()
        start = await begun(pool, "VM.start", vm, False, False)
        (task, operation), *rest = pool.vm(vm)["current_operations"].items()
        assert task.startswith("DummyRef:|")
        assert (operation, rest) == ("start", [])
        seen = []
        revision = pool.store.revision
        while not start.done():
            await pool.pass_time(0.05)
            for change in pool.store.changes(revision, ("VM",)):
                assert change.version is not None
                seen.append((change.version["power_state"], bool(change.version["current_operations"])))
            revision = pool.store.revision
        assert ("Running", True) not in seen
        assert seen[-1] == ("Running", False)


async def test_conflicting_operation_waits_for_the_release_and_then_runs() -> None:
    async with sim_pool() as pool:
        vm = await pool.running()
        pause = await begun(pool, "VM.pause", vm)
        snapshot = await begun(pool, "VM.snapshot", vm, "snap")
        _, ref = await drive(pool.clock, asyncio.gather(pause, snapshot))
        assert pool.vm(ref)["snapshot_info"]["power-state-at-snapshot"] == "Paused"


async def test_conflicting_operation_is_planned_again_and_may_then_be_refused() -> None:
    async with sim_pool() as pool:
        vm = pool.add_vm()
        first = await begun(pool, "VM.start", vm, False, False)
        second = await begun(pool, "VM.start", vm, False, False)
        results = await drive(pool.clock, asyncio.gather(first, second, return_exceptions=True))
        assert results[0] is None
        assert isinstance(results[1], ApiError)
        assert results[1].description == ["VM_BAD_POWER_STATE", vm, "halted", "running"]


async def test_without_patience_a_conflict_is_told_at_once() -> None:
    async with sim_pool(contention_timeout=0.0) as pool:
        vm = pool.add_vm()
        first = await begun(pool, "VM.start", vm, False, False)
        error = await refused(pool, "VM.clone", vm, "copy")
        task = next(iter(pool.vm(vm)["current_operations"]))
        assert error == ["OTHER_OPERATION_IN_PROGRESS", "VM", vm, "start", task]
        await drive(pool.clock, first)


async def test_patience_ends_after_the_contention_timeout() -> None:
    async with sim_pool(contention_timeout=60.0) as pool:
        vm = pool.add_vm()
        pool.change(vm, current_operations={"OpaqueRef:stuck": "export"})
        before = pool.clock.monotonic()
        assert (await refused(pool, "VM.start", vm, False, False))[0] == "OTHER_OPERATION_IN_PROGRESS"
        assert 60 <= pool.clock.monotonic() - before <= 61


async def test_claim_released_by_somebody_else_is_noticed() -> None:
    async with sim_pool() as pool:
        vm = pool.add_vm()
        pool.change(vm, current_operations={"OpaqueRef:other": "export"})
        start = await begun(pool, "VM.start", vm, False, False)
        pool.change(vm, current_operations={})
        await drive(pool.clock, start)
        assert pool.vm(vm)["power_state"] == "Running"


async def test_hard_shutdown_overrules_a_clean_shutdown_that_hangs() -> None:
    async with sim_pool() as pool:
        vm = await pool.running()
        pool.sim.guest(pool.vm(vm)["uuid"]).ignore_shutdown()
        clean = await begun(pool, "VM.clean_shutdown", vm)
        await pool.pass_time(30)
        task = next(iter(pool.vm(vm)["current_operations"]))
        await pool.call("VM.hard_shutdown", vm)
        assert pool.vm(vm)["power_state"] == "Halted"
        assert pool.vm(vm)["current_operations"] == {}
        with pytest.raises(ApiError) as failure:
            await clean
        assert failure.value.description == ["TASK_CANCELLED", task]


async def test_hard_shutdown_overrules_a_suspend_which_leaves_no_image_behind() -> None:
    async with sim_pool() as pool:
        vm = await pool.running()
        volumes = pool.picture()["volumes"]
        suspend = await begun(pool, "VM.suspend", vm)
        await pool.pass_time(1)
        await pool.call("VM.hard_shutdown", vm)
        assert pool.vm(vm)["power_state"] == "Halted"
        assert pool.picture()["volumes"] == volumes
        assert isinstance((await asyncio.gather(suspend, return_exceptions=True))[0], ApiError)


async def test_second_hard_shutdown_waits_and_finds_the_vm_halted() -> None:
    async with sim_pool() as pool:
        vm = await pool.running()
        both = [await begun(pool, "VM.hard_shutdown", vm) for _ in range(2)]
        first, second = await drive(pool.clock, asyncio.gather(*both, return_exceptions=True))
        assert first is None
        assert isinstance(second, ApiError)
        assert second.code == "VM_BAD_POWER_STATE"


async def test_caller_that_goes_away_does_not_stop_the_operation() -> None:
    async with sim_pool() as pool:
        vm = pool.add_vm()
        start = await begun(pool, "VM.start", vm, False, False)
        start.cancel()
        await pool.pass_time(10)
        assert start.cancelled()
        assert pool.vm(vm)["power_state"] == "Running"


async def test_step_that_misses_its_deadline_fails_and_is_undone() -> None:
    async with sim_pool() as pool:
        vm = pool.add_vm()
        done: list[str] = []

        async def quick(run: object) -> None:
            done.append("did")

        async def undo(run: object) -> None:
            done.append("undid")

        async def slow(run: object) -> None:
            await pool.clock.sleep(1000)

        def decide(world: World) -> Plan:
            return Plan((Step("quick", quick, undo), Step("slow", slow, deadline=5.0)), (Claim(vm, "start"),))

        with pytest.raises(ApiError) as failure:
            await drive(pool.clock, pool.engine.start(pool.engine.work("test"), decide))
        assert failure.value.description == ["OPERATION_NOT_ALLOWED", "slow did not finish within 5 seconds"]
        assert done == ["did", "undid"]
        assert pool.vm(vm)["current_operations"] == {}


async def test_defect_in_a_plan_is_undone_released_and_raised_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    async with sim_pool() as pool:
        vm = pool.add_vm()

        async def broken(run: object) -> None:
            raise ZeroDivisionError("ours")

        def decide(world: World) -> Plan:
            return Plan((Step("broken", broken),), (Claim(vm, "start"),))

        with pytest.raises(ZeroDivisionError):
            await pool.engine.start(pool.engine.work("test"), decide)
        assert pool.vm(vm)["current_operations"] == {}
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert re.fullmatch(r"incident [0-9a-f]{8}: an operation failed with a defect", record.getMessage())


async def test_undo_that_fails_leaves_records_that_tell_the_truth(caplog: pytest.LogCaptureFixture) -> None:
    async with sim_pool() as pool:
        vm = pool.add_vm()
        (host,) = pool.hosts
        pool.engine.hypervisors[host] = Faulty(
            pool.engine.hypervisors[host],
            [FaultRule("create", reached=True), FaultRule("destroy", count=None)],
            pool.clock,
        )
        assert (await refused(pool, "VM.start", vm, False, False))[0] == "DOMAIN_BUILDER_ERROR"
        assert pool.vm(vm)["power_state"] == "Running", "the domain exists, whatever the driver reported"
        assert pool.vm(vm)["resident_on"] == host
        assert pool.vm(vm)["scheduled_to_be_resident_on"] == "OpaqueRef:NULL"


async def test_close_cancels_and_undoes_what_is_in_progress() -> None:
    async with sim_pool() as pool:
        vm = pool.add_vm()
        before = pool.picture()
        start = await begun(pool, "VM.start", vm, False, False)
        await pool.pass_time(1)
        await drive(pool.clock, pool.engine.close())
        assert isinstance((await asyncio.gather(start, return_exceptions=True))[0], ApiError)
        assert pool.picture() == before
