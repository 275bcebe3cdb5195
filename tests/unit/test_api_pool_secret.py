"""The pool secret: sessions of members, where it is kept, and where it never appears."""

from __future__ import annotations

import asyncio
import json
import stat

import pytest
from api_pool import UNIX, api_pool

from xenapi_core.api.auth.basic import BasicAuth
from xenapi_core.api.membership import Membership, new_secret
from xenapi_core.clock import VirtualClock
from xenapi_core.model.catalog import SCHEMA
from xenapi_core.server.http_auth import authenticated
from xenapi_core.server.pool_secret import FILE, MembershipFileError, open_membership
from xenapi_core.server.routes import Peer, Request, Response

SECRET = "a-secret-of-the-members"


async def test_a_member_logs_in_with_the_secret_and_may_do_everything():
    async with api_pool() as pool:
        pool.sessions.membership.secret = SECRET
        session = await pool.call("session.slave_login", pool.host, SECRET)
        assert await pool.call("session.get_pool", session, session) is True
        assert await pool.call("session.get_is_local_superuser", session, session) is True
        assert await pool.call("host.get_all", session) == [pool.host]
        assert await pool.call("session.logout", session) == ""
        assert (await pool.refusal("host.get_all", session))[0] == "SESSION_INVALID"


async def test_a_local_session_with_the_secret_has_no_record():
    async with api_pool() as pool:
        pool.sessions.membership.secret = SECRET
        session = await pool.call("session.slave_local_login", SECRET)
        assert pool.store.find(session) is None
        assert await pool.call("session.local_logout", session) == ""
        assert (await pool.refusal("session.local_logout", session))[0] == "SESSION_INVALID"


@pytest.mark.parametrize("given", ["", "x", SECRET.upper(), SECRET + " ", "é"])
async def test_a_wrong_secret_is_refused(given):
    async with api_pool() as pool:
        pool.sessions.membership.secret = SECRET
        for method, args in (("session.slave_login", (pool.host, given)), ("session.slave_local_login", (given,))):
            description = await pool.refusal(method, *args, peer=UNIX)
            assert description[0] == "SESSION_AUTHENTICATION_FAILED"
            assert SECRET not in " ".join(description)


async def test_a_server_without_a_secret_lets_no_member_in():
    async with api_pool() as pool:
        assert (await pool.refusal("session.slave_local_login", ""))[0] == "SESSION_AUTHENTICATION_FAILED"


async def test_a_wrong_secret_costs_the_usual_delay():
    async with api_pool(failure_delay=5.0) as pool:
        pool.sessions.membership.secret = SECRET
        reply = asyncio.ensure_future(pool.call("session.slave_login", pool.host, "wrong"))
        clock: VirtualClock = pool.clock
        await clock.advance(4.9)
        assert not reply.done()
        await clock.advance(0.2)
        with pytest.raises(Exception, match="SESSION_AUTHENTICATION_FAILED"):
            await reply


async def test_logins_of_members_are_not_listed():
    async with api_pool() as pool:
        listed = set(await pool.call("system.listMethods"))
        assert not {"session.slave_login", "session.slave_local_login"} & listed
        assert "session.slave_local_login_with_password" in listed


async def test_the_secret_is_given_to_administrators_and_written_into_no_record():
    async with api_pool() as pool:
        pool.sessions.membership.secret = SECRET
        session = await pool.login()
        assert await pool.call("pool.initial_auth", session) == SECRET
        assert (await pool.refusal("Async.pool.initial_auth", session))[0] == "Fault"
        operator = await pool.login("pool-operator")
        assert (await pool.refusal("pool.initial_auth", operator))[0] == "OPERATION_NOT_ALLOWED"
        assert SECRET not in repr(
            [version.values for cls in SCHEMA.classes for version in pool.store.all(cls).values()]
        )


async def test_a_rotated_secret_replaces_the_old_one():
    async with api_pool() as pool:
        pool.sessions.membership.secret = SECRET
        session = await pool.login()
        await pool.call("pool.rotate_secret", session)
        assert not pool.sessions.membership.knows(SECRET)
        pool.change(pool.pool, ha_enabled=True)
        assert await pool.refusal("pool.rotate_secret", session) == ["HA_IS_ENABLED"]
        pool.change(pool.pool, ha_enabled=False)
        pool.change(pool.host, joined_from="https://192.0.2.1:1")
        assert await pool.refusal("pool.rotate_secret", session) == ["CANNOT_CONTACT_HOST", pool.host]


async def test_the_secret_is_shown_to_no_address_that_a_client_wrote():
    async with api_pool() as pool:
        asked = []
        pool.sessions.membership.secret, pool.sessions.membership.connect = SECRET, asked.append
        operator = await pool.login("pool-operator")
        await pool.call("host.add_to_other_config", operator, pool.host, "joined_from", "http://192.0.2.1:1")
        for method in ("host.set_joined_from", "host.get_joined_from"):
            assert (await pool.refusal(method, operator, pool.host))[0] == "MESSAGE_METHOD_UNKNOWN"
        await pool.call("pool.rotate_secret", await pool.login())
        assert asked == []


def asked_with(pool, cookie: str) -> Response:
    answer = authenticated(pool.sessions, BasicAuth(pool.sessions), "x")(lambda _: Response(200, (), b"served"))
    return answer(Request("GET", "/about", {"cookie": cookie}, b"", Peer("tcp")))


async def test_http_handlers_take_the_secret_of_a_member_as_a_cookie():
    async with api_pool() as pool:
        pool.sessions.membership.secret = SECRET
        assert asked_with(pool, f"a=b; pool_secret={SECRET}").status == 200
        assert asked_with(pool, "pool_secret=wrong").status == 401
        assert asked_with(pool, "a=b").status == 401
        session = await pool.login()
        assert asked_with(pool, f"session_id={session}; pool_secret=wrong").status == 200
        assert asked_with(pool, f"session_id=wrong; pool_secret={SECRET}").status == 401, "the session decides first"


def test_the_secret_is_kept_for_its_owner_alone_and_found_again(tmp_path):
    made = open_membership(tmp_path / "state")
    path = tmp_path / "state" / FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(made.secret) >= 40
    assert open_membership(tmp_path / "state").secret == made.secret
    made.follow("192.0.2.9:80", "other")
    again = open_membership(tmp_path / "state")
    assert (again.coordinator, again.secret) == ("192.0.2.9:80", "other")
    assert [p.name for p in path.parent.iterdir()] == [FILE]


def test_a_damaged_file_is_told_of_and_left_as_it_is(tmp_path):
    path = tmp_path / FILE
    path.write_text(json.dumps({"secret": "x"}))
    with pytest.raises(MembershipFileError, match="damaged"):
        open_membership(tmp_path)
    assert path.read_text() == '{"secret": "x"}'


def test_every_pool_has_its_own_secret_and_does_not_show_it():
    assert new_secret() != new_secret()
    assert SECRET not in repr(Membership(SECRET))
    assert open_membership(None).secret != open_membership(None).secret
