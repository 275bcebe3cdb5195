"""Clocks of hosts: what they say, who may set them, and when they follow time servers."""

from __future__ import annotations

import pytest
from sim_api import ask, refused

from xenapi_core.drivers.sim.host_time import DHCP, FACTORY, SETTLES
from xenapi_core.drivers.sim.hypervisor import SimHypervisor
from xenapi_core.server.adopt import adopt_pool
from xenapi_core.testing.pool import SimPool, sim_pool
from xenapi_core.testing.virtual_time import drive

HOUR = 3600


def simulated(pool: SimPool, host: str) -> SimHypervisor:
    return pool.sim.hosts[pool.store.get(host)["uuid"]]


async def test_clock_that_was_set_is_told_by_its_host_alone_and_records_keep_their_time() -> None:
    async with sim_pool(hosts=2) as pool:
        host, other = pool.hosts
        now = pool.clock.now()
        await ask(pool, "host.set_timezone", host, "Asia/Tokyo")
        await ask(pool, "host.set_ntp_mode", host, "Disabled")
        await ask(pool, "host.set_servertime", host, now - HOUR)
        assert await ask(pool, "host.get_servertime", host) == now - HOUR
        assert await ask(pool, "host.get_server_localtime", host) == now + 8 * HOUR
        assert await ask(pool, "host.get_servertime", other) == now
        task = await ask(pool, "task.create", "a task", "")
        assert pool.store.get(task)["created"] == now
        await pool.clock.advance(10)  # type: ignore[attr-defined]
        assert await ask(pool, "host.get_servertime", host) == now - HOUR + 10


@pytest.mark.parametrize("mode", ["Factory", "DHCP", "Custom"])
async def test_clock_that_follows_servers_cannot_be_set(mode: str) -> None:
    async with sim_pool() as pool:
        host = pool.hosts[0]
        await ask(pool, "host.set_ntp_custom_servers", host, ("none.invalid",))
        await ask(pool, "host.set_ntp_mode", host, mode)
        refusal = await refused(pool, "host.set_servertime", host, 0)
        assert refusal == ["NOT_ALLOWED_WHEN_NTP_IS_ENABLED", host]


async def test_clock_is_right_again_when_a_server_has_answered_long_enough() -> None:
    async with sim_pool() as pool:
        host = pool.hosts[0]
        await ask(pool, "host.set_ntp_mode", host, "Disabled")
        await ask(pool, "host.set_servertime", host, pool.clock.now() + HOUR)
        assert await ask(pool, "host.get_ntp_servers_status", host) == {}
        assert await ask(pool, "host.get_ntp_synchronized", host) is False
        await ask(pool, "host.set_ntp_mode", host, "DHCP")
        assert await ask(pool, "host.get_ntp_servers_status", host) == {DHCP[0]: "unselected"}
        assert await ask(pool, "host.get_ntp_synchronized", host) is False
        assert await ask(pool, "host.get_servertime", host) == pool.clock.now() + HOUR
        await pool.clock.advance(SETTLES)  # type: ignore[attr-defined]
        assert await ask(pool, "host.get_ntp_servers_status", host) == {DHCP[0]: "selected"}
        assert await ask(pool, "host.get_ntp_synchronized", host) is True
        assert await ask(pool, "host.get_servertime", host) == pool.clock.now()
        await ask(pool, "host.set_ntp_mode", host, "Disabled")
        assert await ask(pool, "host.get_servertime", host) == pool.clock.now()


async def test_servers_that_do_not_answer_leave_the_clock_as_it_is() -> None:
    async with sim_pool() as pool:
        host = pool.hosts[0]
        await ask(pool, "host.set_ntp_mode", host, "Disabled")
        await ask(pool, "host.set_servertime", host, pool.clock.now() + HOUR)
        servers = ("none.INVALID", "a.example", "b.example")
        await ask(pool, "host.set_ntp_custom_servers", host, servers)
        simulated(pool, host).time.silent |= {"a.example", "b.example"}
        await ask(pool, "host.set_ntp_mode", host, "Custom")
        await pool.clock.advance(HOUR)  # type: ignore[attr-defined]
        assert await ask(pool, "host.get_ntp_servers_status", host) == dict.fromkeys(servers, "unreachable")
        assert await ask(pool, "host.get_ntp_synchronized", host) is False
        assert await ask(pool, "host.get_servertime", host) == pool.clock.now() + HOUR
        simulated(pool, host).time.silent.clear()
        states = await ask(pool, "host.get_ntp_servers_status", host)
        assert list(states.values()) == ["unreachable", "selected", "combined"]


async def test_host_that_boots_asks_its_servers_anew_and_one_that_is_down_tells_nothing() -> None:
    async with sim_pool() as pool:
        host = pool.hosts[0]
        assert set(await ask(pool, "host.get_ntp_servers_status", host)) == set(FACTORY)
        assert await ask(pool, "host.get_ntp_synchronized", host) is True
        driver = simulated(pool, host)
        await drive(pool.clock, driver.power_off())
        for message in ("get_servertime", "get_server_localtime", "get_ntp_synchronized", "get_ntp_servers_status"):
            assert await refused(pool, f"host.{message}", host) == ["HOST_OFFLINE", host]
        await drive(pool.clock, driver.power_on("wake-on-lan", {}))
        while not driver.up:
            await pool.clock.advance(1)  # type: ignore[attr-defined]
        assert await ask(pool, "host.get_ntp_synchronized", host) is False
        await pool.clock.advance(SETTLES)  # type: ignore[attr-defined]
        assert await ask(pool, "host.get_ntp_synchronized", host) is True


async def test_servers_of_a_host_are_known_after_a_restart_of_the_server() -> None:
    async with sim_pool() as pool:
        host = pool.hosts[0]
        pool.change(host, ntp_mode="Custom", ntp_custom_servers=("a.example",))
        for made in (pool.sim.hosts, pool.sim.repositories, pool.engine.hypervisors, pool.engine.backends):
            made.clear()  # type: ignore[attr-defined]
        adopt_pool(pool.store, pool.engine, pool.sim)
        assert await ask(pool, "host.get_ntp_servers_status", host) == {"a.example": "selected"}
