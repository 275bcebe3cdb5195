"""Roles: every message with every role, and what no role opens."""

from __future__ import annotations

import asyncio
import inspect

import pytest
from api_pool import ACCOUNTS, UNIX, Refused, api_pool, value_of

from xenapi_core.clock import VirtualClock
from xenapi_core.model.catalog import SCHEMA
from xenapi_core.model.schema import ROLES
from xenapi_core.model.types import (
    BoolType,
    DateTimeType,
    EnumType,
    FloatType,
    IntType,
    MapType,
    RecordType,
    RefType,
    SetType,
)

# API reference, role sets: the least role of a message -> who may call it.
MAY = {
    "pool-admin": {"pool-admin"},
    "pool-operator": {"pool-admin", "pool-operator"},
    "vm-power-admin": {"pool-admin", "pool-operator", "vm-power-admin"},
    "vm-admin": {"pool-admin", "pool-operator", "vm-power-admin", "vm-admin"},
    "vm-operator": {"pool-admin", "pool-operator", "vm-power-admin", "vm-admin", "vm-operator"},
    "client-cert": {"pool-admin", "pool-operator", "vm-power-admin", "vm-admin", "vm-operator", "client-cert"},
    "read-only": set(ROLES),
    "LOCAL_ROOT_ONLY": set(),
    None: set(ROLES),
}

# What a call without a living session is told: with one that has ended, and with none at all, when the first argument
# stands where the session should be or there is nothing there.
REFUSED_WITHOUT = (("SESSION_INVALID",), ("SESSION_INVALID", "MESSAGE_PARAMETER_COUNT_MISMATCH"))


def sample(type_):
    """A value of the right type that names no object, so that an allowed call goes no further than its references."""
    if isinstance(type_, BoolType):
        return False
    if isinstance(type_, FloatType):
        return 0.0
    if isinstance(type_, IntType):
        return "0"
    if isinstance(type_, DateTimeType):
        return "20260101T00:00:00Z"
    if isinstance(type_, EnumType):
        return type_.values[0]
    if isinstance(type_, RefType):
        return "OpaqueRef:nobody"
    if isinstance(type_, SetType):
        return []
    if isinstance(type_, MapType | RecordType):
        return {}
    return "text"


def expected(message, role):
    allowed = MAY[message.role] | ({"client-cert"} if message.client_cert else set())
    return role in allowed and not message.pool_internal


async def outcome(reply):
    """The error code of a reply, "" for success; "waits" for a call that got past every check and has work to do."""
    if inspect.isawaitable(reply):
        answer = asyncio.ensure_future(reply)
        await VirtualClock.settle(3)
        if not answer.done():
            answer.cancel()
            await asyncio.wait([answer])
            return "waits"
        reply = answer.result()
    try:
        value_of(reply)
    except Refused as refused:
        return refused.description[0]
    return ""


@pytest.mark.parametrize("role", ROLES)
async def test_every_message_is_open_to_exactly_its_roles(role):
    async with api_pool() as pool:
        wrong, checked = [], 0
        session = await pool.login(role)
        for name, method in SCHEMA.methods.items():
            message = method.message
            if not message.session or message.state == "removed" or message.key_roles:
                continue
            if not pool.sessions.alive(session):
                session = await pool.login(role)
            args = [sample(param.type) for param in method.params]
            if method.cls.name == "session" and args and args[0] == "OpaqueRef:nobody":
                args[0] = session  # others' sessions are another test's matter
            code = await outcome(pool.send(name, session, *args))
            checked += 1
            if (code != "RBAC_PERMISSION_DENIED") != expected(message, role):
                wrong.append((name, message.role, code))
        assert not wrong
        assert checked > 1000


ENDS = ("logout", "time")
SESSIONLESS = [*((role, ended) for role in ROLES for ended in ENDS), ("none", "never was"), ("none", "none")]


@pytest.mark.parametrize(("role", "ended"), SESSIONLESS)
async def test_no_message_is_open_without_a_session_that_lives(role, ended):
    async with api_pool() as pool:
        session = "OpaqueRef:never" if role == "none" else await pool.login(role)
        if ended == "logout":
            await pool.call("session.logout", session)
        elif ended == "time":
            await pool.clock.advance(25 * 3600.0)
        opened, checked = [], 0
        for name, method in SCHEMA.methods.items():
            if not method.message.session:
                continue
            args = [sample(param.type) for param in method.params]
            for form in (name, f"Async.{name}") if method.message.asynchronous else (name,):
                code = await outcome(pool.send(form, *([] if ended == "none" else [session]), *args))
                checked += 1
                if code not in REFUSED_WITHOUT[ended == "none"]:
                    opened.append((form, code))
        assert not opened
        assert checked > 2000


@pytest.mark.parametrize("role", ROLES)
async def test_map_keys_have_roles_of_their_own(role):
    async with api_pool() as pool:
        session, checked = await pool.login(role), 0
        for name, method in SCHEMA.methods.items():
            rest = [sample(param.type) for param in method.params[2:]]
            for pattern, least in method.message.key_roles.items():
                key = pattern.replace("*", "anything")
                code = await outcome(pool.send(name, session, "OpaqueRef:nobody", key, *rest))
                assert (code != "RBAC_PERMISSION_DENIED") == (role in MAY[least]), (name, key)
                checked += 1
            if method.message.key_roles:
                code = await outcome(pool.send(name, session, "OpaqueRef:nobody", "no such key", *rest))
                assert (code != "RBAC_PERMISSION_DENIED") == expected(method.message, role), name
        assert checked > 0


async def test_async_form_asks_for_the_same_role():
    async with api_pool() as pool:
        vm = pool.add_vm()
        for role in ROLES:
            session = await pool.login(role)
            code = await outcome(pool.send("Async.VM.hard_shutdown", session, vm))
            assert (code == "RBAC_PERMISSION_DENIED") == (role not in MAY["vm-operator"])


async def test_refusal_names_permission_and_roles():
    async with api_pool() as pool:
        session, vm = await pool.login("read-only"), pool.add_vm()
        code, permission, text = await pool.refusal("VM.set_VCPUs_max", session, vm, "1")
        assert (code, permission) == ("RBAC_PERMISSION_DENIED", "vm.set_vcpus_max")
        assert "vm-admin" in text
        assert "vm-operator" not in text


async def test_role_is_checked_before_any_object_is_looked_for():
    async with api_pool() as pool:
        session = await pool.login("read-only")
        assert (await pool.refusal("VM.set_order", session, "OpaqueRef:x", "1"))[0] == "RBAC_PERMISSION_DENIED"


async def test_only_the_local_superuser_calls_local_root_messages():
    async with api_pool(accounts={**ACCOUNTS, "admin": ("admin word", ("pool-admin",))}) as pool:
        vm = pool.add_vm()
        admin = await pool.call("session.login_with_password", "admin", "admin word")
        args = (vm, pool.host)
        assert (await pool.refusal("VM.atomic_set_resident_on", admin, *args))[0] == "RBAC_PERMISSION_DENIED"
        local = await pool.call("session.login_with_password", "", "", peer=UNIX)
        assert await pool.call("VM.atomic_set_resident_on", local, *args) == ""


async def test_sessions_of_others_are_closed_to_all_but_pool_admins():
    async with api_pool() as pool:
        victim = await pool.login("pool-admin")
        uuid = pool.store.get(victim)["uuid"]
        for role in ROLES:
            session = await pool.login(role)
            opened = role == "pool-admin"
            for method in ("get_record", "get_uuid", "get_last_active", "get_tasks"):
                assert (await outcome(pool.send(f"session.{method}", session, victim)) == "") == opened
            assert (await outcome(pool.send("session.get_by_uuid", session, uuid)) == "") == opened
            assert await outcome(pool.send("session.get_record", session, session)) == ""
            assert await outcome(pool.send("VM.get_all", uuid)) == "SESSION_INVALID"
            refused = "HANDLE_INVALID" if opened else "RBAC_PERMISSION_DENIED"  # a uuid is no reference here
            assert await outcome(pool.send("session.get_record", session, uuid)) == refused


async def test_no_read_of_an_ordinary_user_shows_another_session():
    async with api_pool() as pool:
        victim, session = await pool.login("pool-admin"), await pool.login("read-only")
        task = await pool.call("task.create", victim, "t", "")
        for method in SCHEMA.methods.values():
            if method.message.derived is None or method.cls.name == "session":
                continue
            args = ["true" if param.name == "expr" else sample(param.type) for param in method.params]
            if args and method.cls.name == "task" and method.params[0].name == "self":
                args[0] = task
            reply = pool.send(method.wire_name, session, *args)
            if isinstance(reply, bytes):  # every read does
                assert victim.encode() not in reply, method.wire_name
            else:
                assert await outcome(reply)
        probe = f'field "session" = "{victim}"'
        assert (await pool.refusal("task.get_all_where", session, probe))[0] == "INTERNAL_ERROR"


async def test_nothing_secret_reaches_the_log(caplog):
    caplog.set_level("DEBUG")
    async with api_pool() as pool:
        session = await pool.login()

        async def broken(user, password):
            raise RuntimeError(f"could not check {user} {password}")

        pool.authenticator.verify = broken
        code, text = await pool.refusal("session.login_with_password", "root", "hunter2")
        assert code == "INTERNAL_ERROR"
        assert "hunter2" not in text
        vm = pool.add_vm(memory_overhead=session)  # int() will name what it could not read
        assert (await pool.refusal("VM.maximise_memory", session, vm, "1", False))[0] == "INTERNAL_ERROR"
    assert len(caplog.records) >= 2
    assert "hunter2" not in caplog.text
    assert session not in caplog.text
