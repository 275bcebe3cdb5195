"""Authenticators: the users file, PAM, and accounts in memory."""

from __future__ import annotations

import asyncio
import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from xenapi_core.api.auth import Identity
from xenapi_core.api.auth.pam import PamAuthenticator, PamError
from xenapi_core.api.auth.static import StaticAuthenticator
from xenapi_core.api.auth.users_file import (
    UsersFileAuthenticator,
    UsersFileError,
    add_user,
    load,
    remove_user,
)


@pytest.fixture
def users(tmp_path):
    path = tmp_path / "users"
    add_user(path, "ann", "pass word", ("vm-admin", "read-only"))
    return path


def test_file_is_private_and_holds_no_password(users):
    assert users.stat().st_mode & 0o777 == 0o600
    assert b"pass word" not in users.read_bytes()


def test_same_password_is_never_hashed_to_the_same_line(users):
    add_user(users, "ben", "pass word", ("read-only",))
    accounts = load(users)
    assert accounts["ann"].hash != accounts["ben"].hash
    assert list(accounts) == ["ann", "ben"]


async def test_account_is_verified_with_its_roles_only_by_its_password(users):
    checker = UsersFileAuthenticator(users)
    assert await checker.verify("ann", "pass word") == Identity("ann", frozenset({"vm-admin", "read-only"}))
    for user, password in (("ann", "pass"), ("ann", ""), ("nobody", "pass word"), ("", "")):
        assert await checker.verify(user, password) is None
    checker.close()


async def test_unknown_user_is_hashed_too(users, monkeypatch):
    from xenapi_core.api.auth import users_file

    hashed = []
    real = users_file.hash_password
    monkeypatch.setattr(users_file, "hash_password", lambda *args: hashed.append(1) or real(*args))
    checker = UsersFileAuthenticator(users)
    await checker.verify("nobody", "x")
    await checker.verify("ann", "x")
    assert len(hashed) == 2
    checker.close()


async def test_hashing_does_not_hold_up_the_loop(users):
    checker = UsersFileAuthenticator(users)
    turns = 0
    check = asyncio.ensure_future(checker.verify("ann", "pass word"))
    while not check.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns > 1
    assert await check
    checker.close()


async def test_changed_file_counts_from_the_next_login(users):
    checker = UsersFileAuthenticator(users)
    add_user(users, "ben", "other word", ("read-only",))
    assert await checker.verify("ben", "other word")
    remove_user(users, "ann")
    assert await checker.verify("ann", "pass word") is None
    assert await checker.set_password("ben", "third word")
    assert await checker.verify("ben", "third word")
    assert not await checker.set_password("nobody", "x")
    checker.close()


async def test_file_that_breaks_keeps_the_last_good_accounts(users, caplog):
    checker = UsersFileAuthenticator(users)
    users.write_text("garbage\n")
    os.utime(users, ns=(time.time_ns(), time.time_ns() + 1))
    assert await checker.verify("ann", "pass word")
    assert "no account" in caplog.text
    checker.close()


HEX = "00" * 32


@pytest.mark.parametrize(
    "line",
    [
        "garbage",
        "[]",
        "{}",
        '{"user": 1, "roles": [], "salt": "00", "hash": "00"}',
        f'{{"user": "x", "roles": ["king"], "salt": "{HEX}", "hash": "{HEX}"}}',
        '{"user": "x", "roles": ["read-only"], "salt": "", "hash": ""}',
    ],
)
def test_malformed_line_is_named_by_its_number(users, line):
    with users.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(UsersFileError, match=":2: "):
        load(users)


def test_file_open_to_others_is_refused(users):
    users.chmod(0o644)
    with pytest.raises(UsersFileError, match="chmod 600"):
        load(users)


def test_missing_and_empty_files_are_refused_with_the_remedy(tmp_path):
    with pytest.raises(UsersFileError, match="xencim user add"):
        UsersFileAuthenticator(tmp_path / "nothing")
    empty = tmp_path / "empty"
    empty.touch(mode=0o600)
    with pytest.raises(UsersFileError, match="no accounts"):
        UsersFileAuthenticator(empty)


@pytest.mark.parametrize(
    ("user", "password", "roles"),
    [
        ("", "x", ("read-only",)),
        ("x", "", ("read-only",)),
        ("x", "y", ()),
        ("x", "y", ("king",)),
        ("x\0", "y", ("read-only",)),
        ("x:z", "y", ("read-only",)),
        ("x\nz", "y", ("read-only",)),
    ],
)
def test_unusable_account_is_refused_and_changes_nothing(users, user, password, roles):
    before = users.read_bytes()
    with pytest.raises(UsersFileError):
        add_user(users, user, password, roles)
    with pytest.raises(UsersFileError):
        remove_user(users, "nobody")
    assert users.read_bytes() == before


def test_changes_made_at_the_same_time_are_all_kept(users):
    names = [f"user-{number}" for number in range(12)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: add_user(users, name, "pass word", ("read-only",)), names))
    assert load(users).keys() == {"ann", *names}


async def test_root_in_memory_is_superuser_and_others_are_not():
    checker = StaticAuthenticator({"root": ("a", ("pool-admin",)), "boss": ("b", ("pool-admin",)), "none": ("", ())})
    assert (await checker.verify("root", "a")).superuser
    assert not (await checker.verify("boss", "b")).superuser
    assert await checker.verify("none", "") is None
    assert await checker.verify("nobody", "") is None


def test_pam_refuses_to_start_without_a_service_file_of_its_own(tmp_path):
    with pytest.raises(PamError, match="does not exist"):
        PamAuthenticator("xencim", directory=tmp_path)
    with pytest.raises(PamError, match="no name"):
        PamAuthenticator("../login", directory=tmp_path)


async def test_pam_never_sees_a_password_with_nul(tmp_path):
    (tmp_path / "xencim").write_text("auth required pam_permit.so\n")
    checker = PamAuthenticator("xencim", {"root": ("pool-admin",)}, directory=tmp_path)
    checker._check = None  # calling it would be a TypeError
    assert await checker.verify("root", "right\0garbage") is None
    assert await checker.verify("root\0x", "right") is None
    checker.close()
