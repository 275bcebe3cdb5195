"""The change of coordinator in two phases: what a host agrees to, refuses, forgets and follows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import sim_api
from ha_pool import kill

from xenapi_core.testing.pool import TEST_CALLER, SimPool, sim_pool

ROOT = replace(TEST_CALLER, local_root=True)
MINUTE = 60


async def ask(pool: SimPool, wire_name: str, *args: Any) -> Any:
    return await sim_api.ask(pool, wire_name, *args, caller=ROOT)


async def refused(pool: SimPool, wire_name: str, *args: Any) -> list[str]:
    return await sim_api.refused(pool, wire_name, *args, caller=ROOT)


def address(pool: SimPool, host: str) -> str:
    return str(pool.store.get(host)["address"])


def master(pool: SimPool) -> str:
    return str(pool.store.get(pool.pool)["master"])


async def test_committing_what_was_proposed_changes_the_coordinator() -> None:
    async with sim_pool(hosts=3) as pool:
        second = pool.hosts[1]
        await ask(pool, "host.propose_new_master", address(pool, second), True)
        assert master(pool) == pool.hosts[0], "agreeing changes nothing yet"
        await ask(pool, "host.commit_new_master", address(pool, second))
        assert master(pool) == second
        again = await refused(pool, "host.commit_new_master", address(pool, second))
        assert again == ["HA_ABORT_NEW_MASTER", "The host has not agreed to 192.0.2.2."]


async def test_host_that_agreed_refuses_another_coordinator_for_ten_minutes() -> None:
    async with sim_pool(hosts=3) as pool:
        second, third = (address(pool, host) for host in pool.hosts[1:])
        await ask(pool, "host.propose_new_master", second, True)
        await pool.pass_time(8 * MINUTE)
        await ask(pool, "host.propose_new_master", second, False)
        await pool.pass_time(10 * MINUTE)
        taken = ["HA_ABORT_NEW_MASTER", "The host agreed to 192.0.2.2 600 seconds ago."]
        assert await refused(pool, "host.propose_new_master", third, True) == taken
        assert (await refused(pool, "host.commit_new_master", third))[0] == "HA_ABORT_NEW_MASTER"
        await pool.pass_time(1)
        await ask(pool, "host.propose_new_master", third, True)
        await ask(pool, "host.commit_new_master", third)
        assert master(pool) == pool.hosts[2]


async def test_aborted_proposal_is_forgotten_whichever_it_was() -> None:
    async with sim_pool(hosts=3) as pool:
        second, third = (address(pool, host) for host in pool.hosts[1:])
        await ask(pool, "host.abort_new_master", second)
        await ask(pool, "host.propose_new_master", second, True)
        await ask(pool, "host.abort_new_master", third)
        assert (await refused(pool, "host.commit_new_master", second))[0] == "HA_ABORT_NEW_MASTER"
        await ask(pool, "host.propose_new_master", third, True)
        assert (await refused(pool, "host.commit_new_master", ""))[0] == "HA_ABORT_NEW_MASTER"
        assert master(pool) == pool.hosts[0]


async def test_commit_asks_of_the_new_coordinator_what_designating_it_asks() -> None:
    async with sim_pool(hosts=3) as pool:
        second, third = pool.hosts[1:]

        async def committed(place: str) -> list[str]:
            await ask(pool, "host.abort_new_master", "")
            await ask(pool, "host.propose_new_master", place, True)
            return await refused(pool, "host.commit_new_master", place)

        assert (await committed("203.0.113.9"))[0] == "OPERATION_NOT_ALLOWED"
        pool.change(third, joined_from="203.0.113.8")
        assert (await committed(address(pool, third)))[0] == "OPERATION_NOT_ALLOWED"
        kill(pool, second)
        await pool.pass_time(1)
        assert await committed(address(pool, second)) == ["HOST_OFFLINE", second]
        pool.change(pool.pool, ha_enabled=True)
        assert await committed(address(pool, third)) == ["HA_IS_ENABLED"]
        assert master(pool) == pool.hosts[0]


async def test_record_that_only_a_heartbeat_speaks_for_does_not_become_coordinator() -> None:
    async with sim_pool(hosts=2) as pool:
        metrics = pool.add("host_metrics", live=False)
        nobody = pool.add("host", hostname="nobody", address="192.0.2.9", metrics=metrics)
        await ask(pool, "host.tickle_heartbeat", nobody, {})
        assert pool.store.get(metrics)["live"]
        offline = ["HOST_OFFLINE", nobody]
        assert await refused(pool, "pool.designate_new_master", nobody) == offline
        await ask(pool, "host.propose_new_master", address(pool, nobody), True)
        assert await refused(pool, "host.commit_new_master", address(pool, nobody)) == offline
        assert master(pool) == pool.hosts[0]
        assert nobody not in await ask(pool, "pool.recover_slaves")


async def test_designating_fails_while_a_host_has_agreed_to_another() -> None:
    async with sim_pool(hosts=3) as pool:
        second, third = pool.hosts[1:]
        await ask(pool, "host.propose_new_master", address(pool, third), True)
        assert (await refused(pool, "pool.designate_new_master", second))[0] == "HA_ABORT_NEW_MASTER"
        assert master(pool) == pool.hosts[0]
        await ask(pool, "pool.designate_new_master", third)
        assert master(pool) == third
        await ask(pool, "pool.designate_new_master", second)
        assert master(pool) == second, "what was agreed to is done, and forgotten"


async def test_host_is_told_where_the_coordinator_of_its_database_is_only() -> None:
    async with sim_pool(hosts=3) as pool:
        first, second, third = pool.hosts
        assert await ask(pool, "host.update_master", second, address(pool, first)) is None
        wrong = await refused(pool, "host.update_master", second, address(pool, third))
        assert wrong[0] == "OPERATION_NOT_ALLOWED"
        pool.change(third, joined_from="203.0.113.8")
        assert await refused(pool, "host.update_master", third, address(pool, first)) == ["CANNOT_CONTACT_HOST", third]
        kill(pool, second)
        await pool.pass_time(1)
        assert await refused(pool, "host.update_master", second, address(pool, first)) == ["HOST_OFFLINE", second]


async def test_server_that_joined_another_pool_follows_the_coordinator_it_agreed_to() -> None:
    async with sim_pool(hosts=3) as pool:
        membership = sim_api.dispatcher(pool).sessions.membership
        membership.coordinator = "203.0.113.1"
        await ask(pool, "host.propose_new_master", "203.0.113.2", True)
        await ask(pool, "host.commit_new_master", "203.0.113.2")
        assert membership.coordinator == "203.0.113.2"
        await ask(pool, "host.update_master", pool.hosts[0], "203.0.113.3")
        assert membership.coordinator == "203.0.113.3"
        own = address(pool, pool.hosts[0])
        await ask(pool, "host.propose_new_master", own, True)
        await ask(pool, "host.commit_new_master", own)
        assert membership.coordinator == "", "it is the coordinator of its own host again"
