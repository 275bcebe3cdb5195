"""The endpoint of a host: what a member answers, and how the roles change."""

from __future__ import annotations

import inspect
import xmlrpc.client
from typing import Any

import pytest
from api_pool import TCP, Refused, api_pool, value_of

from xenapi_core.api.membership import EMERGENCY, Door
from xenapi_core.model.catalog import SCHEMA
from xenapi_core.wire.jsonrpc import JsonRpc

SECRET = "a-secret-of-the-members"


async def at(pool: Any, door: Door, method: str, *params: Any) -> Any:
    """The value of a call at a door. Raises Refused."""
    body = xmlrpc.client.dumps(params, method).encode()
    reply = door.handle(pool.codec.decode(body), pool.codec, TCP)
    return value_of(await reply if inspect.isawaitable(reply) else reply)


async def refused(pool: Any, door: Door, method: str, *params: Any) -> list[str]:
    with pytest.raises(Refused) as refusal:
        await at(pool, door, method, *params)
    return refusal.value.description


def doors(pool: Any) -> tuple[Door, Door, str]:
    """The endpoints of the coordinator at 127.0.0.1 and of a member at 127.0.0.2, and the member."""
    pool.change(pool.host, address="127.0.0.1", metrics=pool.add("host_metrics", live=True))
    member = pool.add("host", address="127.0.0.2", metrics=pool.add("host_metrics", live=True))
    pool.serve(pool.host, member)
    pool.sessions.membership.secret = SECRET
    first, second = (Door(pool.dispatcher, pool.store, pool.sessions, host) for host in (pool.host, member))
    return first, second, member


async def test_a_member_sends_clients_to_the_coordinator():
    async with api_pool() as pool:
        coordinator, member, _ = doors(pool)
        session = await at(pool, coordinator, "session.login_with_password", "root", "secret")
        away = ["HOST_IS_SLAVE", "127.0.0.1"]
        assert await refused(pool, member, "session.login_with_password", "root", "secret") == away
        assert await refused(pool, member, "session.slave_login", pool.host, SECRET) == away
        for method in ("VM.get_all", "VM_get_all", "Async.VM.start", "no.such_thing"):
            assert await refused(pool, member, method, session) == away
        assert await at(pool, coordinator, "VM.get_all", session) == []


async def test_a_member_says_so_in_json_too():
    async with api_pool() as pool:
        _, member, _ = doors(pool)
        codec = JsonRpc()
        call = codec.decode(
            b'{"jsonrpc": "2.0", "id": 4, "method": "session.login_with_password", "params": ["a", "b"]}'
        )
        reply = member.handle(call, codec, TCP)
        expected = b'{"jsonrpc":"2.0","error":{"code":1,"message":"HOST_IS_SLAVE","data":["127.0.0.1"]},"id":4}'
        assert reply == expected


async def test_a_member_answers_the_calls_of_an_emergency_itself():
    async with api_pool() as pool:
        _, member, host = doors(pool)
        local = await at(pool, member, "session.slave_local_login_with_password", "root", "secret")
        assert await at(pool, member, "pool.is_slave", local, host) is True
        assert await at(pool, member, "host.is_in_emergency_mode", local) is False
        assert await refused(pool, member, "VM.get_all", local) == ["HOST_IS_SLAVE", "127.0.0.1"]
        assert await at(pool, member, "session_local_logout", local) == ""
        assert "VM.get_all" in await at(pool, member, "system.listMethods")


async def test_other_members_may_call_a_member():
    async with api_pool() as pool:
        coordinator, member, _ = doors(pool)
        session = await at(pool, coordinator, "session.slave_login", pool.host, SECRET)
        assert await at(pool, member, "VM.get_all", session) == []


async def test_the_roles_change_with_the_record():
    async with api_pool() as pool:
        first, second, member = doors(pool)
        session = await at(pool, first, "session.login_with_password", "root", "secret")
        await at(pool, first, "pool.designate_new_master", session, member)
        assert await refused(pool, first, "VM.get_all", session) == ["HOST_IS_SLAVE", "127.0.0.2"]
        assert await at(pool, second, "VM.get_all", session) == []


async def test_a_member_becomes_coordinator_when_the_old_one_is_lost():
    async with api_pool() as pool:
        first, second, member = doors(pool)
        pool.change(pool.store.get(pool.host)["metrics"], live=False)
        local = await at(pool, second, "session.slave_local_login", SECRET)
        assert await at(pool, second, "host.is_in_emergency_mode", local) is True
        await at(pool, second, "pool.emergency_transition_to_master", local)
        assert pool.store.get(pool.pool)["master"] == member
        assert await at(pool, second, "host.is_in_emergency_mode", local) is False
        assert await at(pool, second, "session.login_with_password", "root", "secret")
        assert first.coordinator() == "127.0.0.2"


async def test_a_member_of_this_server_follows_the_coordinator_of_the_records_only():
    async with api_pool() as pool:
        _, second, _ = doors(pool)
        local = await at(pool, second, "session.slave_local_login", SECRET)
        assert await at(pool, second, "pool.emergency_reset_master", local, "127.0.0.1") == ""
        description = await refused(pool, second, "pool.emergency_reset_master", local, "192.0.2.77")
        assert description[0] == "OPERATION_NOT_ALLOWED"


async def test_a_server_that_joined_another_pool_answers_as_a_member_at_every_door():
    async with api_pool() as pool:
        whole = Door(pool.dispatcher, pool.store, pool.sessions)
        session = await at(pool, whole, "session.login_with_password", "root", "secret")
        pool.sessions.membership.follow("192.0.2.9:8080", SECRET)
        assert await refused(pool, whole, "VM.get_all", session) == ["HOST_IS_SLAVE", "192.0.2.9"]
        local = await at(pool, whole, "session.slave_local_login", SECRET)
        assert await at(pool, whole, "host.is_in_emergency_mode", local) is True, "nobody can reach the coordinator"
        await at(pool, whole, "pool.emergency_reset_master", local, "192.0.2.10")
        assert await refused(pool, whole, "VM.get_all", session) == ["HOST_IS_SLAVE", "192.0.2.10"]
        for none in ("", "no address/ /", "192.0.2.11:99999"):
            refusal = await refused(pool, whole, "pool.emergency_reset_master", local, none)
            assert refusal == ["INVALID_VALUE", "master_address", none]
        await at(pool, whole, "host.propose_new_master", local, "no address/ /", True)
        refusal = await refused(pool, whole, "host.commit_new_master", local, "no address/ /")
        assert refusal == ["INVALID_VALUE", "master_address", "no address/ /"]
        assert await refused(pool, whole, "VM.get_all", session) == ["HOST_IS_SLAVE", "192.0.2.10"]
        await at(pool, whole, "pool.emergency_transition_to_master", local)
        assert await at(pool, whole, "VM.get_all", session) == []
        assert not pool.sessions.membership.knows(SECRET), "a host alone has a secret of its own"


async def test_each_endpoint_agrees_to_a_new_coordinator_for_its_host_alone():
    async with api_pool() as pool:
        first, second, member = doors(pool)
        third = pool.add("host", address="127.0.0.3", metrics=pool.add("host_metrics", live=True))
        pool.serve(third)
        local = await at(pool, second, "session.slave_local_login", SECRET)
        assert await at(pool, second, "host.propose_new_master", local, "127.0.0.3", True) == ""
        assert await at(pool, first, "host.propose_new_master", local, "127.0.0.2", True) == ""
        assert (await refused(pool, second, "host.propose_new_master", local, "127.0.0.2", True))[0] == (
            "HA_ABORT_NEW_MASTER"
        )
        assert await at(pool, second, "host.commit_new_master", local, "127.0.0.3") == ""
        assert pool.store.get(pool.pool)["master"] == third
        assert await at(pool, first, "host.commit_new_master", local, "127.0.0.2") == ""
        assert pool.store.get(pool.pool)["master"] == member
        assert await at(pool, second, "host.abort_new_master", local, "127.0.0.2") == ""
        assert await at(pool, second, "host.update_master", local, member, "127.0.0.2") == ""


def test_every_emergency_call_is_a_message_of_the_schema():
    assert set(SCHEMA.methods) >= EMERGENCY
    assert len(EMERGENCY) == 23
