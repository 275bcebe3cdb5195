"""SSH at hosts: for how long it is on, when it is on by itself, and what a pool's hosts agree on."""

from __future__ import annotations

import asyncio

import pytest
from sim_api import ask, refused

from xenapi_core.engine.plans.host_ssh import LONGEST
from xenapi_core.engine.ssh_expiry import LOOK_EVERY, expire, follow
from xenapi_core.testing.faults import FaultRule, Faulty
from xenapi_core.testing.pool import SimPool, sim_pool
from xenapi_core.testing.virtual_time import drive


def ssh(pool: SimPool, host: str) -> tuple[bool, int, int, bool]:
    """Whether it is on, its timeout, its expiry, whether it is on by itself."""
    record = pool.store.get(host)
    return record["ssh_enabled"], record["ssh_enabled_timeout"], record["ssh_expiry"], record["ssh_auto_mode"]


def chosen(pool: SimPool, host: str) -> dict[str, str]:
    """What the simulated host itself has."""
    return pool.sim.hosts[pool.store.get(host)["uuid"]].chosen


def break_last(pool: SimPool) -> str:
    last = pool.hosts[-1]
    pool.engine.hypervisors[last] = Faulty(
        pool.engine.hypervisors[last], [FaultRule("configure", count=None)], pool.clock
    )
    return last


async def test_time_of_ssh_begins_when_it_is_set_or_switched_on() -> None:
    async with sim_pool() as pool:
        host = pool.hosts[0]
        await ask(pool, "host.set_ssh_enabled_timeout", host, 600)
        assert ssh(pool, host) == (True, 600, pool.clock.now() + 600, False)
        assert chosen(pool, host)["ssh_enabled_timeout"] == "600"
        await ask(pool, "host.disable_ssh", host)
        assert ssh(pool, host) == (False, 600, 0, False)
        await ask(pool, "host.set_ssh_enabled_timeout", host, 60)
        assert ssh(pool, host) == (False, 60, 0, False)
        await ask(pool, "host.enable_ssh", host)
        assert ssh(pool, host) == (True, 60, pool.clock.now() + 60, False)
        await ask(pool, "host.set_ssh_enabled_timeout", host, 0)
        assert ssh(pool, host) == (True, 0, 0, False)


@pytest.mark.parametrize("seconds", [-1, LONGEST + 1])
async def test_time_of_ssh_is_at_most_two_days(seconds: int) -> None:
    async with sim_pool() as pool:
        for message, ref in (("host", pool.hosts[0]), ("pool", pool.pool)):
            error = await refused(pool, f"{message}.set_ssh_enabled_timeout", ref, seconds)
            assert error == ["INVALID_VALUE", "ssh_enabled_timeout", str(seconds)]
        assert ssh(pool, pool.hosts[0]) == (True, 0, 0, False)


async def test_ssh_goes_off_when_its_time_has_passed() -> None:
    async with sim_pool(hosts=2) as pool:
        first, other = pool.hosts
        await ask(pool, "host.set_ssh_enabled_timeout", first, 300)
        following = asyncio.ensure_future(follow(pool.engine))
        await pool.pass_time(299)
        assert ssh(pool, first)[0]
        await pool.pass_time(1 + LOOK_EVERY)
        assert ssh(pool, first) == (False, 300, 0, False)
        assert chosen(pool, first)["ssh"] == "false"
        assert ssh(pool, other)[0]
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def test_host_that_was_away_is_told_later() -> None:
    async with sim_pool() as pool:
        host = pool.hosts[0]
        await ask(pool, "host.set_ssh_enabled_timeout", host, 10)
        driver = pool.engine.hypervisors[host]
        pool.engine.hypervisors[host] = Faulty(driver, [FaultRule("configure", count=1)], pool.clock)
        await pool.pass_time(11)
        await expire(pool.engine)
        assert ssh(pool, host)[0]
        await expire(pool.engine)
        assert not ssh(pool, host)[0]


async def test_host_that_joins_meanwhile_does_not_stop_the_expiry_of_others() -> None:
    async with sim_pool(hosts=2) as pool:
        for host in pool.hosts:
            pool.change(host, ssh_enabled=True, ssh_expiry=1)
        expiring = asyncio.ensure_future(expire(pool.engine))
        await asyncio.sleep(0)
        pool.add_host(7, 1 << 30)
        await drive(pool.clock, expiring)
        assert [ssh(pool, host)[0] for host in pool.hosts[:2]] == [False, False]


async def test_ssh_by_itself_is_off_until_somebody_switches_it_on() -> None:
    async with sim_pool() as pool:
        host = pool.hosts[0]
        await ask(pool, "host.set_ssh_enabled_timeout", host, 600)
        await ask(pool, "host.set_ssh_auto_mode", host, True)
        assert ssh(pool, host) == (False, 600, 0, True)
        assert (chosen(pool, host)["ssh"], chosen(pool, host)["ssh_auto_mode"]) == ("false", "true")
        await ask(pool, "host.enable_ssh", host)
        assert ssh(pool, host) == (True, 600, pool.clock.now() + 600, False)
        assert (chosen(pool, host)["ssh"], chosen(pool, host)["ssh_auto_mode"]) == ("true", "false")
        await ask(pool, "host.set_ssh_auto_mode", host, False)
        assert ssh(pool, host)[0]


async def test_all_hosts_of_a_pool_change_or_none_does() -> None:
    async with sim_pool(hosts=2) as pool:
        await ask(pool, "pool.set_ssh_enabled_timeout", pool.pool, 90)
        await ask(pool, "pool.set_ssh_auto_mode", pool.pool, True)
        expected = (False, 90, 0, True)
        assert [ssh(pool, host) for host in pool.hosts] == [expected, expected]
        told = [dict(chosen(pool, host)) for host in pool.hosts]
        last = break_last(pool)
        for message, value in (("timeout", 30), ("auto_mode", False)):
            name = "set_ssh_enabled_timeout" if message == "timeout" else "set_ssh_auto_mode"
            code = f"SET_SSH_{message.upper()}_PARTIALLY_FAILED"
            assert await refused(pool, f"pool.{name}", pool.pool, value) == [code, last]
        assert [ssh(pool, host) for host in pool.hosts] == [expected, expected]
        assert [dict(chosen(pool, host)) for host in pool.hosts] == told
