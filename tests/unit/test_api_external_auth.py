"""External authentication: a directory is switched on, its users log in by subjects, and it is switched off again."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from api_pool import ApiPool, Refused, api_pool

from xenapi_core.api.auth import users_file
from xenapi_core.api.auth.directories import UsersDirectory, offers
from xenapi_core.api.auth.external import External
from xenapi_core.api.auth.users_file import add_user, remove_user
from xenapi_core.api.sessions import Sessions
from xenapi_core.errors import ApiError
from xenapi_core.model.catalog import SCHEMA
from xenapi_core.server.standing import furnish
from xenapi_core.store.journal import open_store

LAB = ("lab", "users")  # service name and type
ANN = "lab/user/ann"
STAFF = "lab/group/staff"
WORDS = {"ann": "ann's word", "ben": "ben's word", "root": "another root"}


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of ann (staff), ben (staff and guests) and root; hashing is cheap."""
    monkeypatch.setattr(users_file, "SCRYPT_N", 2)
    path = tmp_path / "lab.users"
    add_user(path, "ann", WORDS["ann"], ("pool-admin",), groups=("staff",))
    add_user(path, "ben", WORDS["ben"], ("read-only",), groups=("staff", "guests"))
    add_user(path, "root", WORDS["root"], ("pool-admin",))
    return path


def open_to_others(file: Path) -> None:
    file.chmod(0o644)


def take_away(file: Path) -> None:
    file.rename(file.with_suffix(".away"))


@asynccontextmanager
async def pool_with(file: Path, store: Any = None) -> AsyncIterator[tuple[ApiPool, str]]:
    """A pool of two hosts whose server offers the directory, and a session of root."""
    async with api_pool(store) as pool:
        txn = pool.store.begin()
        furnish(txn, pool.ids)
        pool.store.commit(txn)
        pool.add("host", hostname="two", enabled=True, metrics=pool.add("host_metrics", live=True))
        pool.sessions.external = External(pool.store, pool.clock, pool.authenticator, offers([("users", "lab", file)]))
        try:
            yield pool, await pool.login()
        finally:
            pool.sessions.external.close()


async def enable(pool: ApiPool, root: str) -> None:
    await pool.call("pool.enable_external_auth", root, pool.pool, {"user": "u", "pass": "s3cret"}, *LAB)


async def enter(pool: ApiPool, user: str, password: str | None = None) -> str:
    word = WORDS[user.partition("@")[0]] if password is None else password
    session: str = await pool.call("session.login_with_password", user, word, "1.0", "test")
    return session


async def refused(pool: ApiPool, user: str, password: str | None = None) -> str:
    word = WORDS[user.partition("@")[0]] if password is None else password
    return (await pool.refusal("session.login_with_password", user, word, "1.0", "test"))[0]


async def subject(pool: ApiPool, root: str, identifier: str, role: str) -> str:
    """A subject with that role."""
    ref: str = await pool.call("subject.create", root, {"subject_identifier": identifier, "other_config": {}})
    roles = {r["name_label"]: key for key, r in (await pool.call("role.get_all_records", root)).items()}
    if role != "pool-admin":
        await pool.call("subject.add_to_roles", root, ref, roles[role])
        await pool.call("subject.remove_from_roles", root, ref, roles["pool-admin"])
    return ref


# ---- switching on and off


async def test_a_pool_uses_a_directory_on_all_hosts_and_keeps_no_credentials(file: Path) -> None:
    async with pool_with(file) as (pool, root):
        await enable(pool, root)
        for host in (await pool.call("host.get_all_records", root)).values():
            assert (host["external_auth_type"], host["external_auth_service_name"]) == ("users", "lab")
            assert host["external_auth_configuration"] == {}
        assert await pool.refusal("pool.enable_external_auth", root, pool.pool, {}, *LAB) == [
            "POOL_AUTH_ALREADY_ENABLED", pool.host,
        ]  # fmt: skip
        assert await pool.refusal("host.enable_external_auth", root, pool.host, {}, *LAB) == [
            "AUTH_ALREADY_ENABLED", "users", "lab",
        ]  # fmt: skip
        await pool.call("pool.disable_external_auth", root, pool.pool, {})
        for host in (await pool.call("host.get_all_records", root)).values():
            assert (host["external_auth_type"], host["external_auth_service_name"]) == ("", "")
        await pool.call("pool.disable_external_auth", root, pool.pool)


@pytest.mark.parametrize(
    ("service", "kind", "code"),
    [
        ("lab", "AD", "AUTH_UNKNOWN_TYPE"),
        ("lab", "", "AUTH_UNKNOWN_TYPE"),
        ("elsewhere", "users", "AUTH_ENABLE_FAILED_DOMAIN_LOOKUP_FAILED"),
        ("login", "PAM", "AUTH_ENABLE_FAILED_DOMAIN_LOOKUP_FAILED"),
        ("../../lab.users", "users", "AUTH_ENABLE_FAILED_DOMAIN_LOOKUP_FAILED"),
    ],
)
async def test_only_directories_that_the_server_offers_are_switched_on(
    file: Path, service: str, kind: str, code: str
) -> None:
    async with pool_with(file) as (pool, root):
        config = {"file": str(file)}
        of_host = await pool.refusal("host.enable_external_auth", root, pool.host, config, service, kind)
        of_pool = await pool.refusal("pool.enable_external_auth", root, pool.pool, config, service, kind)
        assert of_host[0] == code
        assert of_pool[0] == (code if code == "AUTH_UNKNOWN_TYPE" else f"POOL_{code}")
        assert pool.store.get(pool.host)["external_auth_type"] == ""


async def test_a_directory_that_a_host_cannot_use_is_switched_on_at_no_host(file: Path) -> None:
    async with pool_with(file) as (pool, root):
        down = pool.add("host", hostname="three", metrics=pool.add("host_metrics", live=False))
        refusal = await pool.refusal("pool.enable_external_auth", root, pool.pool, {}, *LAB)
        assert refusal[:2] == ["POOL_AUTH_ENABLE_FAILED_UNAVAILABLE", down]
        assert (await pool.refusal("host.enable_external_auth", root, down, {}, *LAB))[0] == (
            "AUTH_ENABLE_FAILED_UNAVAILABLE"
        )
        pool.change(pool.store.get(down)["metrics"], live=True)
        open_to_others(file)
        refusal = await pool.refusal("pool.enable_external_auth", root, pool.pool, {}, *LAB)
        assert refusal[:2] == ["POOL_AUTH_ENABLE_FAILED_UNAVAILABLE", pool.host]
        assert {host["external_auth_type"] for host in pool.store.all("host").values()} == {""}


async def test_hosts_that_use_different_directories_are_found_out(file: Path) -> None:
    async with pool_with(file) as (pool, root):
        await pool.call("pool.detect_nonhomogeneous_external_auth", root, pool.pool)
        await pool.call("host.enable_external_auth", root, pool.host, {}, *LAB)
        detected = await pool.refusal("pool.detect_nonhomogeneous_external_auth", root, pool.pool)
        assert detected == ["POOL_JOINING_EXTERNAL_AUTH_MISMATCH"]
        await pool.call("host.disable_external_auth", root, pool.host, {}, True)
        await enable(pool, root)
        await pool.call("pool.detect_nonhomogeneous_external_auth", root, pool.pool)


async def test_directories_without_ldap_refuse_its_setting(file: Path) -> None:
    async with pool_with(file) as (pool, root):
        assert await pool.refusal("host.external_auth_set_ldaps", root, pool.host, True) == ["AUTH_IS_DISABLED"]
        await enable(pool, root)
        for message, ref in (("host.external_auth_set_ldaps", pool.host), ("pool.external_auth_set_ldaps", pool.pool)):
            assert (await pool.refusal(message, root, ref, True))[:2] == ["AUTH_SET_LDAPS_FAILED", pool.host]


# ---- logging in


async def test_users_of_a_directory_log_in_when_it_is_on_and_a_subject_says_so(file: Path) -> None:
    async with pool_with(file) as (pool, root):
        assert await refused(pool, "ann") == "SESSION_AUTHENTICATION_FAILED"
        await enable(pool, root)
        assert await refused(pool, "ann") == "SESSION_AUTHORIZATION_FAILED", "the roles of its file do not count"
        await subject(pool, root, "ann@lab", "read-only")
        assert await refused(pool, "ann") == "SESSION_AUTHORIZATION_FAILED", "that is no identifier of the directory"
        ref = await subject(pool, root, ANN, "vm-operator")
        assert await refused(pool, "ann", "wrong") == "SESSION_AUTHENTICATION_FAILED"
        for name in ("ann", "ann@lab"):
            session = await enter(pool, name)
            record = await pool.call("session.get_record", session, session)
            assert (record["auth_user_name"], record["auth_user_sid"], record["subject"]) == ("ann@lab", ANN, ref)
            assert not record["is_local_superuser"]
            assert (await pool.refusal("VM.create", session, {}))[0] == "RBAC_PERMISSION_DENIED"


async def test_a_root_of_a_directory_is_no_superuser_and_the_own_root_comes_first(file: Path) -> None:
    async with pool_with(file) as (pool, root):
        await enable(pool, root)
        await subject(pool, root, "lab/user/root", "read-only")
        other = await enter(pool, "root")
        record = await pool.call("session.get_record", other, other)
        assert (record["auth_user_name"], record["is_local_superuser"]) == ("root@lab", False)
        own = await pool.login()
        assert await pool.call("session.get_auth_user_sid", own, own) == ""


async def test_groups_let_their_members_in_and_roles_add_up(file: Path) -> None:
    async with pool_with(file) as (pool, root):
        await enable(pool, root)
        staff = await subject(pool, root, STAFF, "vm-operator")
        own = await subject(pool, root, "lab/user/ben", "read-only")
        ann, ben = await enter(pool, "ann"), await enter(pool, "ben")
        assert pool.sessions.check(ben).roles == {"vm-operator", "read-only"}
        assert await pool.call("session.get_subject", ann, ann) == staff
        assert await pool.call("session.get_subject", ben, ben) == own
        told = await pool.call("session.get_all_subject_identifiers", root)
        assert told == [STAFF, ANN, "lab/user/ben"]
        await pool.call("subject.destroy", root, staff)
        for session in (ann, ben):
            assert await pool.refusal("VM.get_all", session) == ["SESSION_INVALID", session]
        assert pool.sessions.check(await enter(pool, "ben")).roles == {"read-only"}


async def test_logging_out_a_group_ends_the_sessions_it_let_in(file: Path) -> None:
    async with pool_with(file) as (pool, root):
        await enable(pool, root)
        await subject(pool, root, STAFF, "read-only")
        ann, ben = await enter(pool, "ann"), await enter(pool, "ben")
        await pool.call("session.logout_subject_identifier", root, ANN)
        assert not pool.sessions.alive(ann)
        assert pool.sessions.alive(ben)
        await pool.call("session.logout_subject_identifier", root, STAFF)
        assert not pool.sessions.alive(ben)


async def test_switching_off_ends_the_sessions_of_the_directory_and_no_others(file: Path) -> None:
    async with pool_with(file) as (pool, root):
        await enable(pool, root)
        ref = await subject(pool, root, ANN, "pool-admin")
        ann, other = await enter(pool, "ann"), await pool.login("vm-admin")
        assert await pool.call("pool.disable_external_auth", ann, pool.pool, {}) == ""
        assert not pool.sessions.alive(ann)
        assert pool.sessions.alive(other)
        assert await pool.call("subject.get_all", root) == [ref]
        assert await refused(pool, "ann") == "SESSION_AUTHENTICATION_FAILED"
        await enable(pool, root)
        assert pool.sessions.alive(await enter(pool, "ann"))


async def test_a_login_that_the_directory_is_switched_off_under_fails(file: Path) -> None:
    async with pool_with(file) as (pool, root):
        await enable(pool, root)
        await subject(pool, root, ANN, "read-only")
        login = asyncio.ensure_future(enter(pool, "ann"))
        await asyncio.sleep(0)
        await pool.call("pool.disable_external_auth", root, pool.pool)
        with pytest.raises(Refused, match="SESSION_AUTHENTICATION_FAILED"):
            await login


class Gate:
    """Holds up a method of a directory, in its thread, until it is opened."""

    def __init__(self, directory: Any, method: str) -> None:
        self._loop, self.reached, self.opened = asyncio.get_running_loop(), asyncio.Event(), threading.Event()
        answer = getattr(directory, method)

        def later(*args: str) -> Any:
            self._loop.call_soon_threadsafe(self.reached.set)
            assert self.opened.wait(30)
            return answer(*args)

        setattr(directory, method, later)


@pytest.mark.parametrize("method", ["verify", "groups"])
async def test_an_answer_of_a_directory_that_another_one_replaced_counts_for_nothing(file: Path, method: str) -> None:
    async with pool_with(file) as (pool, root):
        first, second = UsersDirectory("lab", file), UsersDirectory("lab", file)
        pool.sessions.external = External(
            pool.store, pool.clock, pool.authenticator,
            {"users": {"lab": lambda: first}, "new": {"lab": lambda: second}},
        )  # fmt: skip
        await enable(pool, root)
        await subject(pool, root, ANN, "read-only")
        await subject(pool, root, "lab/user/ben", "read-only")
        gate = Gate(first, method)
        login = asyncio.ensure_future(enter(pool, "ann"))
        await gate.reached.wait()
        await pool.call("pool.disable_external_auth", root, pool.pool)
        await pool.call("pool.enable_external_auth", root, pool.pool, {}, "lab", "new")
        pool.change(pool.pool, ext_auth_max_threads=2)
        await enter(pool, "ben")
        gate.opened.set()
        with pytest.raises(Refused, match="SESSION_AUTHENTICATION_FAILED"):
            await login
        assert list(pool.sessions.external._answers) == ["ben"]
        pool.sessions.external.close()


async def test_an_account_of_the_server_with_the_long_name_keeps_the_other_user_out(file: Path) -> None:
    async with pool_with(file) as (pool, root):
        await enable(pool, root)
        await subject(pool, root, ANN, "read-only")
        pool.authenticator._passwords["ann@lab"] = "local"
        assert await refused(pool, "ann") == "SESSION_AUTHORIZATION_FAILED"


async def test_emergency_logins_are_for_accounts_of_the_server(file: Path) -> None:
    async with pool_with(file) as (pool, root):
        await enable(pool, root)
        await subject(pool, root, ANN, "pool-admin")
        refusal = await pool.refusal("session.slave_local_login_with_password", "ann", WORDS["ann"])
        assert refusal[0] == "SESSION_AUTHENTICATION_FAILED"


async def test_the_directory_is_there_again_after_a_restart_and_follows_the_coordinator(
    file: Path, tmp_path: Path
) -> None:
    store = await open_store(tmp_path / "state", SCHEMA)
    async with pool_with(file, store) as (pool, root):
        await enable(pool, root)
        await subject(pool, root, ANN, "read-only")
    await store.close()
    store = await open_store(tmp_path / "state", SCHEMA)
    external = External(store, pool.clock, pool.authenticator, offers([("users", "lab", file)]))
    sessions = Sessions(SCHEMA, store, pool.ids, pool.clock, pool.authenticator, failure_delay=0, external=external)
    caller = sessions.check(await sessions.login("ann", WORDS["ann"]))
    assert (caller.user, caller.roles) == ("ann@lab", {"read-only"})
    txn = store.begin()
    txn.update(pool.pool, master=txn.create("host", pool.ids.ref(), {"uuid": pool.ids.uuid()}))
    store.commit(txn)
    assert external.chosen() is None
    with pytest.raises(ApiError, match="SESSION_AUTHENTICATION_FAILED"):
        await sessions.login("ann", WORDS["ann"])
    external.close()
    await store.close()


async def test_a_directory_that_is_gone_is_told_without_its_place(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with pool_with(file) as (pool, root):
        await enable(pool, root)
        take_away(file)
        pool.sessions.external = External(
            pool.store, pool.clock, pool.authenticator, {"users": {"lab": lambda: UsersDirectory("lab", file)}}
        )
        failed = await pool.refusal("session.login_with_password", "ann", WORDS["ann"])
        assert failed == ["SESSION_AUTHORIZATION_FAILED", "ann", "The external directory cannot be asked now."]
        assert (await pool.refusal("auth.get_subject_identifier", root, "ann"))[0] == "AUTH_SERVICE_ERROR"
        assert str(file) in caplog.text
        assert pool.sessions.alive(await pool.login())
        pool.sessions.external.close()


# ---- what the directory tells


async def test_the_directory_tells_of_its_users_and_groups_and_of_no_others(file: Path) -> None:
    async with pool_with(file) as (pool, root):
        messages = ("get_subject_identifier", "get_subject_information_from_identifier", "get_group_membership")
        for message in messages:
            assert await pool.refusal(f"auth.{message}", root, "ann") == ["AUTH_IS_DISABLED"]
        await enable(pool, root)
        assert await pool.call("auth.get_subject_identifier", root, "ann") == ANN
        assert await pool.call("auth.get_subject_identifier", root, "ann@lab") == ANN
        assert await pool.call("auth.get_subject_identifier", root, "staff") == STAFF
        told = await pool.call("auth.get_subject_information_from_identifier", root, ANN)
        assert told == {"subject-name": "ann", "subject-is-group": "false", "subject-upn": "ann@lab"}
        told = await pool.call("auth.get_subject_information_from_identifier", root, STAFF)
        assert told == {"subject-name": "staff", "subject-is-group": "true"}
        assert await pool.call("auth.get_group_membership", root, "lab/user/ben") == [STAFF, "lab/group/guests"]
        assert await pool.call("auth.get_group_membership", root, STAFF) == []
        for message in messages:
            for nobody in ("nobody", "", "lab/user/nobody", "lab/group/ann", "vm-admin", "other/user/ann"):
                assert await pool.refusal(f"auth.{message}", root, nobody) == ["SUBJECT_CANNOT_BE_RESOLVED"]


# ---- the cache


class Counting:
    """A directory that counts how often a password is checked."""

    def __init__(self, file: Path) -> None:
        self.directory = UsersDirectory("lab", file)
        self.checked: list[str] = []

    def verify(self, name: str, password: str) -> str | None:
        self.checked.append(name)
        return self.directory.verify(name, password)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.directory, name)


@asynccontextmanager
async def counted(file: Path) -> AsyncIterator[tuple[ApiPool, str, Counting]]:
    async with pool_with(file) as (pool, root):
        counting = Counting(file)
        pool.sessions.external = External(
            pool.store, pool.clock, pool.authenticator, {"users": {"lab": lambda: counting}}
        )
        await enable(pool, root)
        await subject(pool, root, STAFF, "read-only")
        yield pool, root, counting
        pool.sessions.external.close()


async def test_a_password_that_was_right_is_not_asked_for_again_until_it_expires(file: Path) -> None:
    async with counted(file) as (pool, root, counting):
        for _ in range(3):
            await enter(pool, "ann")
        assert counting.checked == ["ann"]
        assert await refused(pool, "ann", "wrong") == "SESSION_AUTHENTICATION_FAILED"
        assert counting.checked == ["ann", "ann"], "a wrong one is never answered from memory"
        await pool.call("pool.set_ext_auth_cache_expiry", root, pool.pool, 60)
        await pool.clock.advance(59)
        await enter(pool, "ann")
        assert len(counting.checked) == 2
        await pool.clock.advance(1)
        await enter(pool, "ann")
        assert len(counting.checked) == 3


async def test_the_size_of_the_cache_is_how_many_users_it_remembers(file: Path) -> None:
    async with counted(file) as (pool, root, counting):
        await pool.call("pool.set_ext_auth_cache_size", root, pool.pool, 1)
        for user in ("ann", "ben", "ann", "ann"):
            await enter(pool, user)
        assert counting.checked == ["ann", "ben", "ann"]
        await pool.call("pool.set_ext_auth_cache_size", root, pool.pool, 0)
        await enter(pool, "ann")
        assert counting.checked == ["ann", "ben", "ann", "ann"]


async def test_what_is_remembered_goes_when_the_cache_or_the_directory_is_switched_off(file: Path) -> None:
    async with counted(file) as (pool, root, counting):
        external = pool.sessions.external
        await enter(pool, "ann")
        assert len(external._answers) == 1
        assert WORDS["ann"] not in repr(external._answers)
        await pool.call("pool.set_ext_auth_cache_enabled", root, pool.pool, False)
        assert not external._answers
        await enter(pool, "ann")
        await enter(pool, "ann")
        assert len(counting.checked) == 3
        await pool.call("pool.set_ext_auth_cache_enabled", root, pool.pool, True)
        await enter(pool, "ann")
        await pool.call("pool.disable_external_auth", root, pool.pool)
        assert not external._answers


async def test_a_user_who_is_gone_or_left_the_group_is_out_in_spite_of_the_cache(file: Path) -> None:
    async with counted(file) as (pool, _, counting):
        await enter(pool, "ann")
        await enter(pool, "ben")
        add_user(file, "ben", WORDS["ben"], ("read-only",), groups=("guests",))
        assert await refused(pool, "ben") == "SESSION_AUTHORIZATION_FAILED"
        remove_user(file, "ann")
        assert await refused(pool, "ann") == "SESSION_AUTHENTICATION_FAILED"
        assert counting.checked == ["ann", "ben"]


# ---- open sessions


async def test_sessions_end_when_the_directory_drops_their_user_or_the_group(file: Path) -> None:
    async with counted(file) as (pool, root, _):
        own = await subject(pool, root, ANN, "read-only")
        ann, ben = await enter(pool, "ann"), await enter(pool, "ben")
        remove_user(file, "ann")
        assert await pool.sessions.revalidate() == 0, "they were looked up a moment ago"
        await pool.clock.advance(600)
        assert await pool.sessions.revalidate() == 1
        assert [pool.sessions.alive(session) for session in (ann, ben, root)] == [False, True, True]
        validated = pool.store.get(ben)["validation_time"]
        assert validated == pool.clock.now()
        add_user(file, "ben", WORDS["ben"], ("read-only",), groups=("guests",))
        await pool.clock.advance(600)
        assert await pool.sessions.revalidate() == 1
        assert not pool.sessions.alive(ben)
        assert pool.store.find(own) is not None


async def test_a_directory_that_does_not_answer_ends_no_session(file: Path) -> None:
    async with counted(file) as (pool, _, counting):
        ann = await enter(pool, "ann")

        def broken(identifier: str) -> tuple[str, ...]:
            raise OSError("no network")

        counting.directory.groups = broken
        await pool.clock.advance(600)
        assert await pool.sessions.revalidate() == 0
        assert pool.sessions.alive(ann)


# ---- settings


async def test_the_directory_is_asked_for_as_many_passwords_at_once_as_the_pool_allows(file: Path) -> None:
    async with counted(file) as (pool, root, counting):
        await pool.call("pool.set_ext_auth_max_threads", root, pool.pool, "2")
        loop, begun, go = asyncio.get_running_loop(), asyncio.Queue[str](), threading.Event()

        def slow(name: str, password: str) -> str:
            loop.call_soon_threadsafe(begun.put_nowait, name)
            assert go.wait(30)
            return ANN

        counting.verify = slow
        logins = [asyncio.create_task(pool.sessions.login("ann", f"word {number}")) for number in range(5)]
        for _ in range(2):
            await asyncio.wait_for(begun.get(), 30)
        turns = pool.sessions.external._turns
        assert (turns._taken, len(turns), begun.qsize()) == (2, 3, 0)
        go.set()
        assert len(set(await asyncio.gather(*logins))) == 5


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("local_auth_max_threads", (1, 64), (0, -1, 65)),
        ("ext_auth_max_threads", (1, 64), (0, -1, 65)),
        ("ext_auth_cache_size", (0, 10_000), (-1, 10_001)),
        ("ext_auth_cache_expiry", (0, 604_800), (-1, 604_801)),
    ],
)
async def test_limits_are_recorded_within_their_bounds(name: str, good: tuple[int, ...], bad: tuple[int, ...]) -> None:
    async with api_pool() as pool:
        root = await pool.login()
        for value in good:
            await pool.call(f"pool.set_{name}", root, pool.pool, str(value))
            assert await pool.call(f"pool.get_{name}", root, pool.pool) == str(value)
        for value in bad:
            assert await pool.refusal(f"pool.set_{name}", root, pool.pool, str(value)) == [
                "INVALID_VALUE", name, str(value),
            ]  # fmt: skip
        assert await pool.call(f"pool.get_{name}", root, pool.pool) == str(good[-1])
