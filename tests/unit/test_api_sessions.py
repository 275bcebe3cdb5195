"""Sessions: login, limits, expiry, and what ends them (API reference, sessions)."""

from __future__ import annotations

import asyncio

import pytest
from api_pool import UNIX, api_pool

from xenapi_core.api.auth import Identity
from xenapi_core.api.auth.basic import LIFETIME, BasicAuth
from xenapi_core.api.sessions import INACTIVITY, LIMIT, LIMIT_ANONYMOUS, REFRESH
from xenapi_core.errors import ApiError


async def test_login_makes_a_record_that_says_who_it_is():
    async with api_pool() as pool:
        session = await pool.login("root", "my tool")
        record = await pool.call("session.get_record", session, session)
        assert record["auth_user_name"] == "root"
        assert record["originator"] == "my tool"
        assert record["is_local_superuser"] is True
        assert record["this_host"] == pool.host
        assert "tasks" in record


async def test_ordinary_user_is_told_its_permissions():
    async with api_pool() as pool:
        session = await pool.login("vm-operator")
        permissions = await pool.call("session.get_rbac_permissions", session, session)
        assert "vm.start" in permissions
        assert "host.reboot" not in permissions


async def test_wrong_password_costs_the_delay_before_it_is_refused():
    async with api_pool(failure_delay=5.0) as pool:
        waiting = asyncio.ensure_future(pool.refusal("session.login_with_password", "root", "wrong"))
        await pool.clock.advance(4.9)
        assert not waiting.done()
        await pool.clock.advance(0.2)
        assert (await waiting)[:2] == ["SESSION_AUTHENTICATION_FAILED", "root"]


async def test_unix_socket_accepts_any_credentials_as_root():
    async with api_pool() as pool:
        session = await pool.call("session.login_with_password", "anyone", "anything", peer=UNIX)
        assert await pool.call("session.get_is_local_superuser", session, session) is True
        assert (await pool.refusal("session.login_with_password", "anyone", "anything"))[0].startswith("SESSION_AUTH")


async def test_session_refs_are_random_whatever_the_seed():
    seen = set()
    for _ in range(2):
        async with api_pool() as pool:
            session = await pool.login()
            seen |= {session, await pool.call("session.get_uuid", session, session)}
    assert len(seen) == 4


async def test_logout_ends_the_session_and_its_record():
    async with api_pool() as pool:
        session, other = await pool.login(), await pool.login()
        await pool.call("session.logout", session)
        assert (await pool.refusal("VM.get_all", session))[0] == "SESSION_INVALID"
        assert list(pool.store.all("session")) == [other]


async def test_local_session_has_no_record_and_ends_with_local_logout():
    async with api_pool() as pool:
        session = await pool.call("session.slave_local_login_with_password", "root", "secret")
        assert not pool.store.all("session")
        assert await pool.call("VM.get_all", session) == []
        await pool.call("session.local_logout", session)
        assert (await pool.refusal("VM.get_all", session))[0] == "SESSION_INVALID"


async def test_session_unused_for_a_day_expires():
    async with api_pool() as pool:
        idle, used = await pool.login(), await pool.login()
        await pool.clock.advance(INACTIVITY - 10)
        await pool.call("VM.get_all", used)
        await pool.clock.advance(20)
        assert (await pool.refusal("VM.get_all", idle))[0] == "SESSION_INVALID"
        assert await pool.call("VM.get_all", used) == []


async def test_sweep_removes_what_nobody_asks_for_any_more():
    async with api_pool() as pool:
        await pool.login()
        await pool.clock.advance(INACTIVITY + 1)
        kept = await pool.login()
        assert pool.sessions.sweep() == 1
        assert list(pool.store.all("session")) == [kept]


async def test_last_active_is_written_only_every_ten_minutes():
    async with api_pool() as pool:
        session = await pool.login()
        start = pool.store.get(session)["last_active"]
        await pool.clock.advance(REFRESH - 1)
        before = pool.store.revision
        await pool.call("VM.get_all", session)
        assert pool.store.revision == before
        await pool.clock.advance(1)
        await pool.call("VM.get_all", session)
        assert pool.store.get(session)["last_active"] == start + REFRESH


async def test_one_originator_keeps_only_its_latest_sessions():
    async with api_pool() as pool:
        first = await pool.login("root", "loop")
        await pool.clock.advance(1)
        second = await pool.login("root", "loop")
        await pool.clock.advance(1)
        await pool.call("VM.get_all", first)  # now `second` was idle longest
        for _ in range(LIMIT - 1):
            await pool.login("root", "loop")
        assert pool.sessions.alive(first)
        assert not pool.sessions.alive(second)
        assert len(pool.store.all("session")) == LIMIT


async def test_one_user_keeps_only_its_latest_sessions_across_originators():
    async with api_pool() as pool:
        other = await pool.login("read-only", "0")
        for n in range(LIMIT + 3):
            await pool.login("root", str(n))
        assert len(pool.store.all("session")) == LIMIT + 1
        assert pool.sessions.alive(other)


async def test_password_change_takes_effect_and_superuser_needs_no_old_one():
    async with api_pool() as pool:
        session = await pool.login()
        await pool.call("session.change_password", session, "not asked", "new secret")
        assert (await pool.refusal("session.login_with_password", "root", "secret"))[0].startswith("SESSION_AUTH")
        assert await pool.call("session.login_with_password", "root", "new secret")
        assert (await pool.refusal("session.change_password", session, "", ""))[0] == "CHANGE_PASSWORD_REJECTED"
        assert await pool.call("session.login_with_password", "root", "new secret")


async def test_basic_auth_reuses_one_session_for_one_pair():
    async with api_pool() as pool:
        basic = BasicAuth(pool.sessions)
        assert basic.known("root", "secret") is None
        caller = await basic.authenticate("root", "secret", originator="wbem")
        assert basic.known("root", "secret") == caller
        assert basic.known("root", "wrong") is None
        assert basic.known("rootsecret", "") is None
        assert await basic.authenticate("root", "secret", originator="wbem") == caller
        assert len(pool.store.all("session")) == 1


async def test_basic_auth_proves_a_pair_again_after_a_while_and_after_a_password_change():
    async with api_pool() as pool:
        basic = BasicAuth(pool.sessions)
        caller = await basic.authenticate("root", "secret", originator="wbem")
        await pool.clock.advance(LIFETIME + 1)
        assert basic.known("root", "secret") is None
        caller = await basic.authenticate("root", "secret", originator="wbem")
        await pool.sessions.change_password(caller, "", "other")
        assert basic.known("root", "secret") is None
        assert await basic.authenticate("root", "secret", originator="wbem") is None


async def test_basic_auth_opens_another_session_when_the_same_pair_proves_another_identity():
    async with api_pool() as pool:
        basic, found = BasicAuth(pool.sessions), [Identity("ann", frozenset({"read-only"}))]

        async def verify(user, password):
            return found[0]

        pool.authenticator.verify = verify
        before = await basic.authenticate("ann", "a word", originator="wbem")
        for identity in (
            Identity("ann", frozenset({"read-only"}), sid="lab/user/ann"),
            Identity("ann", frozenset({"read-only"}), superuser=True),
        ):
            found[0] = identity
            after = await basic.authenticate("ann", "a word", originator="wbem")
            assert after != before
            assert pool.sessions.identity(after) == identity
            assert not pool.sessions.alive(before.session)
            assert await basic.authenticate("ann", "a word", originator="wbem") == after
            before = after


async def test_a_password_that_changes_while_it_is_checked_is_not_remembered():
    async with api_pool() as pool:
        basic, verify = BasicAuth(pool.sessions), pool.authenticator.verify
        begun, go = asyncio.Event(), asyncio.Event()

        async def slow(user, password):
            identity = await verify(user, password)
            begun.set()
            await go.wait()
            return identity

        root = pool.sessions.check(await pool.login())
        pool.authenticator.verify = slow
        proof = asyncio.ensure_future(basic.authenticate("root", "secret", originator="wbem"))
        await begun.wait()
        await pool.sessions.change_password(root, "", "other")
        go.set()
        assert await proof is not None
        assert basic.known("root", "secret") is None


async def test_check_refuses_what_is_no_text():
    async with api_pool() as pool:
        for bad in (None, 3, [], {}):
            with pytest.raises(ApiError, match="SESSION_INVALID"):
                pool.sessions.check(bad)


async def test_sessions_a_program_leaks_end_none_of_another_program_or_user():
    async with api_pool() as pool:
        patient = await pool.login("root", "patient")
        silent = await pool.login("root", "")
        other = await pool.login("read-only", "leaky")
        await pool.clock.advance(60)
        identity = pool.sessions.identity(pool.sessions.check(patient))
        await pool.clock.advance(60)
        leaked = [pool.sessions.open(identity, originator="leaky") for _ in range(LIMIT * 3)]
        assert all(map(pool.sessions.alive, (patient, silent, other, leaked[-1])))
        nameless = [pool.sessions.open(identity) for _ in range(LIMIT * 3)]
        assert all(map(pool.sessions.alive, (patient, other, nameless[-1])))
        users = [session["auth_user_name"] for session in pool.store.all("session").values()]
        assert users.count("root") == LIMIT
        assert len(pool.store.all("session")) == LIMIT + 1


async def test_sessions_without_an_originator_end_none_of_another_user():
    async with api_pool() as pool:
        quiet = await pool.login("root", "")
        reader = pool.sessions.identity(pool.sessions.check(await pool.login("read-only", "")))
        await pool.clock.advance(60)
        for _ in range(LIMIT_ANONYMOUS * 2):
            pool.sessions.open(reader)
        assert pool.sessions.alive(quiet)
        assert len(pool.store.all("session")) == LIMIT_ANONYMOUS
