"""host.tickle_heartbeat: a member that is heard from is up, and its clock is compared."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import sim_api
from ha_pool import guarded, kill, messages

from xenapi_core.testing.faults import FaultRule, Faulty
from xenapi_core.testing.pool import TEST_CALLER, SimPool, sim_pool

ROOT = replace(TEST_CALLER, local_root=True)


async def tickle(pool: SimPool, host: str, **stuff: str) -> None:
    """A heartbeat of the host; its answer is empty."""
    told = {name.replace("_", "-"): value for name, value in stuff.items()}
    assert await sim_api.ask(pool, "host.tickle_heartbeat", host, told, caller=ROOT) == {}


def metrics(pool: SimPool, host: str) -> Any:
    return pool.store.get(pool.store.get(host)["metrics"])


async def unheard(pool: SimPool, host: str) -> None:
    """The host did not answer once, and counts as down; it runs on."""
    driver = pool.engine.hypervisors[host]
    pool.engine.hypervisors[host] = Faulty(driver, [FaultRule("domains", kind="offline")], pool.clock)  # type: ignore[assignment]
    await sim_api.ask(pool, "host.restart_agent", host, caller=ROOT)
    assert not metrics(pool, host)["live"]


async def test_heartbeat_says_when_the_host_was_last_heard() -> None:
    async with sim_pool(hosts=2) as pool:
        await pool.pass_time(100)
        await tickle(pool, pool.hosts[1])
        assert metrics(pool, pool.hosts[1])["last_updated"] == pool.clock.now()
        assert metrics(pool, pool.hosts[0])["last_updated"] < pool.clock.now()


async def test_host_that_is_heard_again_is_up() -> None:
    async with sim_pool(hosts=2) as pool:
        host = pool.hosts[1]
        vm = await pool.running(affinity=host)
        await unheard(pool, host)
        await tickle(pool, host)
        assert metrics(pool, host)["live"]
        assert pool.vm(vm)["resident_on"] == host


async def test_heartbeat_of_a_host_that_is_off_is_not_believed() -> None:
    async with sim_pool(hosts=2) as pool:
        kill(pool, pool.hosts[1])
        await pool.pass_time(1)
        await tickle(pool, pool.hosts[1])
        assert not metrics(pool, pool.hosts[1])["live"]


async def test_host_that_says_farewell_is_down_until_it_is_heard_again() -> None:
    async with sim_pool(hosts=2) as pool:
        host = pool.hosts[1]
        await tickle(pool, host, shutting_down="true")
        assert not metrics(pool, host)["live"]
        assert await sim_api.refused(pool, "host.disable", host) == ["HOST_OFFLINE", host]
        await tickle(pool, host)
        assert metrics(pool, host)["live"]


async def test_heartbeats_prove_nothing_under_high_availability() -> None:
    async with guarded(2) as pool:
        host = pool.hosts[1]
        await tickle(pool, host, shutting_down="true")
        assert metrics(pool, host)["live"]
        await unheard(pool, host)
        await tickle(pool, host)
        assert not metrics(pool, host)["live"]


async def test_clock_that_is_far_off_is_told_once_until_it_was_right() -> None:
    async with sim_pool(hosts=2) as pool:
        host = pool.hosts[1]

        async def told(offset: float) -> int:
            await tickle(pool, host, time=f"{pool.clock.now() + offset}.")
            return len(messages(pool, "HOST_CLOCK_SKEW_DETECTED"))

        assert [await told(offset) for offset in (299, -301, 400, 200, -400)] == [0, 1, 1, 1, 1]
        assert [await told(offset) for offset in (100, 301)] == [1, 2]
        record = next(iter(pool.store.all("message").values()))
        assert (record["cls"], record["obj_uuid"]) == ("Host", pool.store.get(host)["uuid"])


@pytest.mark.parametrize("time", ["", "noon", "nan", "inf", "1e999"])
async def test_time_that_is_no_number_is_overlooked(time: str) -> None:
    async with sim_pool(hosts=2) as pool:
        await tickle(pool, pool.hosts[1], time=time)
        assert messages(pool, "HOST_CLOCK") == []
        assert metrics(pool, pool.hosts[1])["live"]
