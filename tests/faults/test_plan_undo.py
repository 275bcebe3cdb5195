"""Every driver call of every plan fails in turn, and is cancelled in turn: the world is as it was before."""

from __future__ import annotations

from typing import Any

import disk_scenarios  # noqa: F401 - adds its scenarios
import ha_scenarios  # noqa: F401 - adds its scenarios
import host_scenarios  # noqa: F401 - adds its scenarios
import outside_scenarios  # noqa: F401 - adds its scenarios
import processor_scenarios  # noqa: F401 - adds its scenarios
import pytest
from plan_scenarios import SCENARIOS, Scenario

from xenapi_core.engine.plan import PLANS
from xenapi_core.errors import ApiError
from xenapi_core.testing.faults import FaultRule, Faulty
from xenapi_core.testing.pool import TEST_CALLER, SimPool, sim_pool
from xenapi_core.testing.virtual_time import drive


def wrap(pool: SimPool, rules: list[FaultRule]) -> list[Faulty]:
    """Put `rules` in front of every driver of the pool."""
    wrapped = []
    for drivers in (pool.engine.hypervisors, pool.engine.storages, pool.engine.backends):
        for ref, driver in drivers.items():
            drivers[ref] = faulty = Faulty(driver, rules, pool.clock)
            wrapped.append(faulty)
    return wrapped


def comparable(pool: SimPool) -> dict[str, Any]:
    """The world, without what a domain that ended and came back cannot keep."""
    picture = pool.picture()
    records = picture["records"]
    picture["records"] = {
        ref: {name: value for name, value in values.items() if name not in ("domid", "start_time")}
        for ref, values in records.items()
    }
    return picture


async def drivers_calls(case: Scenario) -> list[str]:
    """Names of the driver calls of an undisturbed run, in order; looking at domains is no part of a plan."""
    async with sim_pool(hosts=2) as pool:
        args = await case.prepare(pool)
        rule = FaultRule(kind="", after=10**6)
        names: list[str] = []
        for faulty in wrap(pool, [rule]):
            faulty.calls = names
        await pool.call(case.wire_name, *args)
        return [name for name in names if name != "domains"]


def test_every_plan_has_a_scenario() -> None:
    assert {case.wire_name for case in SCENARIOS} == set(PLANS)


@pytest.mark.parametrize("case", SCENARIOS, ids=lambda case: case.id)
async def test_a_failing_driver_call_leaves_the_world_as_it_was(case: Scenario) -> None:
    calls = await drivers_calls(case)
    for number, name in enumerate(calls):
        async with sim_pool(hosts=2) as pool:
            args = await case.prepare(pool)
            before = comparable(pool)
            wrap(pool, [rule := FaultRule(name, after=calls[:number].count(name))])
            told: ApiError | None = None
            try:
                await pool.call(case.wire_name, *args)
            except ApiError as error:
                told = error
            assert rule.fired == 1
            if told is None:
                assert name in case.forgives, f"the failure of call {number} ({name}) was swallowed"
            else:
                assert told.code != "INTERNAL_ERROR"
                assert comparable(pool) == before, f"after call {number} ({name}) failed"


@pytest.mark.parametrize("case", SCENARIOS, ids=lambda case: case.id)
async def test_cancelling_at_any_moment_leaves_the_world_as_it_was_or_done(case: Scenario) -> None:
    for moment in (0.0, 0.05, 0.25, 0.9, 1.9, 3.1, 4.7):
        async with sim_pool(hosts=2) as pool:
            args = await case.prepare(pool)
            before = comparable(pool)
            task = pool.engine.launch(case.wire_name, args, TEST_CALLER)
            await pool.pass_time(moment)
            pool.engine.cancel(task)
            await drive(pool.clock, _ended(pool, task))
            record = pool.store.get(task)
            if record["status"] == "cancelled":
                assert record["error_info"] == ("TASK_CANCELLED", task)
                if case.wire_name.startswith(("VM.clean_reboot", "VM.hard_reboot")) and moment > 0.05:
                    continue  # a machine whose rebuilding is cancelled is gone (drivers.api, rule 5)
                assert comparable(pool) == before, f"cancelled after {moment} s"
            else:
                assert record["status"] == "success"


async def _ended(pool: SimPool, task: str) -> None:
    while pool.store.get(task)["status"] == "pending":
        await pool.clock.sleep(0.1)
