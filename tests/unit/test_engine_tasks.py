"""Task records of asynchronous calls."""

from __future__ import annotations

import asyncio
import itertools
from functools import partial

import pytest
from sim_api import ask

from xenapi_core.clock import VirtualClock
from xenapi_core.engine.tasks import CROWD, FRESH, KEPT, SLACK
from xenapi_core.errors import ApiError, E
from xenapi_core.testing.pool import TEST_CALLER, sim_pool


async def test_task_is_there_before_the_work_and_tells_its_result() -> None:
    async with sim_pool() as pool:
        vm = pool.add_vm()
        ref = pool.engine.launch("VM.clone", (vm, "copy"), TEST_CALLER)
        task = pool.store.get(ref, "task")
        assert (task["name_label"], task["status"], task["progress"]) == ("Async.VM.clone", "pending", 0.0)
        assert (task["type"], task["result"], task["error_info"]) == ("<none/>", "", ())
        assert (task["created"], task["finished"]) == (pool.clock.now(), 0)
        assert task["resident_on"] == pool.hosts[0]
        assert pool.store.get(vm)["current_operations"] == {}, "the work begins after the answer"
        await pool.pass_time(5)
        task = pool.store.get(ref, "task")
        (copy,) = pool.store.by_name("VM", "copy")
        assert (task["status"], task["progress"]) == ("success", 1.0)
        assert task["result"] == f"<value>{copy}</value>"
        assert task["finished"] >= task["created"]


async def test_task_of_a_void_message_has_an_empty_value() -> None:
    async with sim_pool() as pool:
        ref = pool.engine.launch("VM.start", (pool.add_vm(), False, False), TEST_CALLER)
        await pool.pass_time(10)
        assert pool.store.get(ref)["result"] == "<value></value>"


async def test_failed_task_has_the_error_and_the_reference_in_current_operations_was_the_tasks() -> None:
    async with sim_pool() as pool:
        vm = await pool.running()
        ref = pool.engine.launch("VM.start", (vm, False, False), TEST_CALLER)
        await pool.pass_time(1)
        task = pool.store.get(ref)
        assert task["status"] == "failure"
        assert task["error_info"] == ("VM_BAD_POWER_STATE", vm, "halted", "running")
        pause = pool.engine.launch("VM.pause", (vm,), TEST_CALLER)
        await pool.pass_time(0)
        assert pool.vm(vm)["current_operations"] == {pause: "pause"}
        await pool.pass_time(1)


async def test_progress_grows_in_steps_that_clients_can_follow() -> None:
    async with sim_pool() as pool:
        ref = pool.engine.launch("VM.start", (pool.add_vm(), False, False), TEST_CALLER)
        seen: list[tuple[float, float]] = []
        for _ in range(600):
            await pool.pass_time(0.01)
            progress = pool.store.get(ref)["progress"]
            if not seen or seen[-1][1] != progress:
                seen.append((pool.clock.monotonic(), progress))
        values = [progress for _, progress in seen]
        assert values == sorted(values)
        assert values[-1] == 1.0
        assert len(values) > 5
        gaps = [after[0] - before[0] for before, after in itertools.pairwise(seen[1:-1])]
        assert min(gaps) >= 0.249


async def test_cancelled_task_ends_as_cancelled_and_its_work_is_undone() -> None:
    async with sim_pool() as pool:
        vm = pool.add_vm()
        ref = pool.engine.launch("VM.start", (vm, False, False), TEST_CALLER)
        await pool.pass_time(1)
        pool.engine.cancel(ref)
        assert list(pool.store.get(ref)["current_operations"].values()) == ["cancel"]
        await pool.pass_time(1)
        task = pool.store.get(ref)
        assert (task["status"], task["error_info"]) == ("cancelled", ("TASK_CANCELLED", ref))
        assert pool.vm(vm)["power_state"] == "Halted"
        assert pool.sim.machines == {}


async def test_cancelling_an_ended_task_changes_nothing() -> None:
    async with sim_pool() as pool:
        ref = pool.engine.launch("VM.start", (pool.add_vm(), False, False), TEST_CALLER)
        await pool.pass_time(10)
        before = pool.store.get(ref)
        pool.engine.cancel(ref)
        assert pool.store.get(ref) is before
        with pytest.raises(ApiError) as failure:
            pool.engine.cancel("OpaqueRef:nobody")
        assert failure.value.description == ["HANDLE_INVALID", "task", "OpaqueRef:nobody"]


async def test_body_of_a_message_without_plan_runs_as_a_task() -> None:
    async with sim_pool() as pool:

        async def slowly() -> str:
            await pool.clock.sleep(2)
            return "value"

        def refuse() -> None:
            raise E.HOST_DISABLED("h")

        def broken() -> None:
            raise ZeroDivisionError

        good = pool.engine.launch("VM.get_name_label", (), TEST_CALLER, body=slowly)
        bad = pool.engine.launch("VM.get_name_label", (), TEST_CALLER, body=refuse)
        ugly = pool.engine.launch("VM.get_name_label", (), TEST_CALLER, body=broken)
        await pool.pass_time(1)
        assert pool.store.get(good)["status"] == "pending"
        await pool.pass_time(2)
        assert pool.store.get(good)["result"] == "<value>value</value>"
        assert pool.store.get(bad)["error_info"] == ("HOST_DISABLED", "h")
        assert pool.store.get(ugly)["error_info"][0] == "INTERNAL_ERROR"


async def test_cancelling_a_body_interrupts_it() -> None:
    async with sim_pool() as pool:

        async def forever() -> None:
            await asyncio.get_running_loop().create_future()

        ref = pool.engine.launch("VM.get_name_label", (), TEST_CALLER, body=forever)
        await pool.pass_time(1)
        pool.engine.cancel(ref)
        await pool.pass_time(1)
        assert pool.store.get(ref)["status"] == "cancelled"


async def test_destroying_a_pending_task_takes_effect_at_its_end() -> None:
    async with sim_pool() as pool:
        vm = pool.add_vm()
        ref = pool.engine.launch("VM.start", (vm, False, False), TEST_CALLER)
        await pool.pass_time(1)
        pool.engine.destroy_task(ref)
        assert list(pool.store.get(ref)["current_operations"].values()) == ["destroy"]
        await pool.pass_time(10)
        assert pool.store.find(ref) is None
        assert pool.vm(vm)["power_state"] == "Running"


async def test_ended_tasks_go_after_65_minutes_and_quiet_pending_ones_after_a_day() -> None:
    async with sim_pool() as pool:
        mine = pool.engine.tasks.create("mine", TEST_CALLER)
        ended = pool.engine.launch("VM.start", (pool.add_vm(), False, False), TEST_CALLER)
        await pool.pass_time(64 * 60)
        assert pool.store.find(ended) is not None
        await pool.pass_time(3 * 60)
        assert pool.store.find(ended) is None
        assert isinstance(pool.clock, VirtualClock)
        for hours in range(23):
            pool.clock._time += 3600  # a day of idle minutes one by one would take the test too long
            assert pool.store.find(mine) is not None, hours
            pool.engine.tasks.collect()
        pool.clock._time += 3 * 3600
        pool.engine.tasks.collect()
        assert pool.store.find(mine) is None


async def test_more_than_two_hundred_ended_tasks_are_not_kept_when_they_are_no_longer_fresh() -> None:
    async with sim_pool() as pool:
        launch = partial(pool.engine.launch, "VM.get_name_label", (), TEST_CALLER, body=lambda: "x")
        first = launch()
        await pool.pass_time(2)
        started = [launch() for _ in range(KEPT + 50)]  # by one who looks at their ends only afterwards
        await pool.pass_time(FRESH - 60)
        statuses = [pool.store.get(task)["status"] for task in (first, *started)]
        assert statuses == ["success"] * len(statuses)
        await pool.pass_time(180)
        assert len(pool.store.all("task")) == KEPT
        assert pool.store.find(first) is None
        assert pool.store.find(started[-1]) is not None


async def test_a_crowd_of_ended_tasks_goes_while_they_are_fresh() -> None:
    async with sim_pool() as pool:
        first = pool.engine.new_task("mine", TEST_CALLER)
        txn = pool.store.begin()
        pool.engine.tasks.fail(txn, first, E.TASK_CANCELLED(first))
        pool.store.commit(txn)
        waiting = [pool.engine.new_task("mine", TEST_CALLER) for _ in range(CROWD + SLACK)]
        assert pool.store.find(first) is None
        assert all(map(pool.store.find, waiting))  # who waits is not among those that go


async def test_a_task_that_its_owner_calls_cancelling_is_still_pending() -> None:
    async with sim_pool() as pool:
        work = pool.engine.launch("VM.start", (pool.add_vm(), False, False), TEST_CALLER)
        mine = await ask(pool, "task.create", "mine", "")
        other = await ask(pool, "task.create", "other", "")
        for task in (work, mine, other):
            await ask(pool, "task.set_status", task, "cancelling")
        await ask(pool, "task.destroy", mine)
        await pool.pass_time(180)
        assert pool.store.get(work)["status"] == "success"
        assert list(pool.store.get(mine)["current_operations"].values()) == ["destroy"]
        await ask(pool, "task.set_status", mine, "cancelled")
        assert pool.store.find(mine) is None
        assert pool.store.get(other)["status"] == "cancelling"


async def test_tasks_of_clients_are_cleared_away_though_the_server_has_none_of_its_own() -> None:
    async with sim_pool() as pool:
        task = await ask(pool, "task.create", "mine", "")
        await ask(pool, "task.set_status", task, "success")
        await pool.pass_time(66 * 60 + 61)
        assert pool.store.find(task) is None
