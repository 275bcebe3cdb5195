"""What members of a pool have copies of: the database, the data of blobs, and the accounts of the coordinator."""

from __future__ import annotations

import hashlib
import inspect
import os
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sim_api import dispatcher

from xenapi_core.api.auth.users_file import UsersFileAuthenticator, add_user
from xenapi_core.errors import ApiError
from xenapi_core.model.catalog import SCHEMA
from xenapi_core.server.actions.blob_data import InMemory
from xenapi_core.server.member_disks import HostFolders
from xenapi_core.store.dump import decode_file, read_head
from xenapi_core.testing.pool import TEST_CALLER, SimPool, sim_pool

MEMBER = replace(TEST_CALLER, local_root=True)  # these messages are for hosts of the pool only


@asynccontextmanager
async def keeping(state: Path) -> AsyncIterator[SimPool]:
    """A pool of two hosts whose server keeps its state in that directory."""
    async with sim_pool(hosts=2) as pool:
        dispatcher(pool).services.surroundings.member_disks = HostFolders(state)
        dispatcher(pool).services.surroundings.blobs = InMemory()
        yield pool


async def told(pool: SimPool, message: str, *args: Any) -> Any:
    """The value of a message. Disks take real time, so the pool's clock stands still."""
    value = dispatcher(pool).invoke(MEMBER, message, args)
    return await value if inspect.isawaitable(value) else value


async def error(pool: SimPool, message: str, *args: Any) -> list[str]:
    with pytest.raises(ApiError) as failure:
        await told(pool, message, *args)
    return failure.value.description


def folder(state: Path, pool: SimPool, host: str) -> Path:
    return state / "copies" / str(pool.store.get(host)["uuid"])


def vms_in(copy: Path) -> set[str]:
    return {vm["name_label"] for vm in decode_file(SCHEMA, copy.read_bytes()).store.all("VM").values()}


def everything_in(directory: Path) -> list[Path]:
    return sorted(directory.rglob("*"))


async def test_member_copies_the_database_when_its_copy_is_older(tmp_path: Path) -> None:
    async with keeping(tmp_path) as pool:
        second = pool.hosts[1]
        copy = folder(tmp_path, pool, second) / "pool.xencimdb"
        pool.add_vm("first")
        await told(pool, "host.request_backup", second, pool.store.revision, False)
        assert vms_in(copy) == {"first"}
        head = read_head(copy.read_bytes())
        assert head is not None
        assert head.generation == pool.store.revision
        assert [stat.S_IMODE(path.stat().st_mode) for path in (copy, copy.parent)] == [0o600, 0o700]
        pool.add_vm("second")
        await told(pool, "host.request_backup", second, head.generation, False)
        assert vms_in(copy) == {"first"}
        await told(pool, "host.request_backup", second, head.generation, True)
        assert vms_in(copy) == {"first", "second"}
        copy.write_bytes(b"what a broken disk gives")
        await told(pool, "host.request_backup", second, 1, False)
        assert vms_in(copy) == {"first", "second"}


async def test_copies_of_members_that_are_up_come_with_a_synchronised_database(tmp_path: Path) -> None:
    async with keeping(tmp_path) as pool:
        first, second = pool.hosts
        third = pool.add("host", metrics=pool.add("host_metrics", live=False))
        await told(pool, "pool.sync_database")
        there = {path.name for path in (tmp_path / "copies").iterdir()}
        assert there == {pool.store.get(second)["uuid"]}
        pool.change(pool.store.get(second)["metrics"], live=False)
        gone = folder(tmp_path, pool, second)
        await told(pool, "host.destroy", second)
        pool.change(pool.store.get(third)["metrics"], live=True)
        await told(pool, "pool.sync_database")
        assert not gone.exists()
        assert folder(tmp_path, pool, third).exists()
        await told(pool, "host.request_backup", first, 1, True)  # of the coordinator: it has the original
        assert not folder(tmp_path, pool, first).exists()


async def test_member_has_copies_of_the_blobs_there_are(tmp_path: Path) -> None:
    async with keeping(tmp_path) as pool:
        first, second = pool.hosts
        blobs = [await told(pool, "blob.create", "text/plain", False) for _ in range(2)]
        uuids = [pool.store.get(blob)["uuid"] for blob in blobs]
        for uuid in uuids:
            dispatcher(pool).services.surroundings.blobs.put(uuid, uuid.encode())  # type: ignore[union-attr]
        await told(pool, "host.sync_data", second)
        place = folder(tmp_path, pool, second) / "blobs"
        assert {path.name: path.read_text() for path in place.iterdir()} == {uuid: uuid for uuid in uuids}
        assert pool.store.get(second)["other_config"]["last_blob_sync_time"] == f"{pool.clock.now()}."
        await told(pool, "blob.destroy", blobs[0])
        await told(pool, "host.sync_data", second)
        assert [path.name for path in place.iterdir()] == [uuids[1]]
        await told(pool, "host.sync_data", first)
        assert not folder(tmp_path, pool, first).exists()


async def test_host_without_storage_of_its_own_gets_no_blobs(tmp_path: Path) -> None:
    async with keeping(tmp_path) as pool:
        second = pool.hosts[1]
        pool.change(second, other_config={"no_local_storage": "true"})
        await told(pool, "host.sync_data", second)
        assert pool.store.get(second)["other_config"] == {"no_local_storage": "true"}
        assert not (tmp_path / "copies").exists()


async def test_copies_need_a_disk_and_a_host_that_is_up(tmp_path: Path) -> None:
    async with sim_pool(hosts=2) as pool:
        second = pool.hosts[1]
        backup = ("host.request_backup", second, 1, True)
        assert await error(pool, *backup) == ["NOT_IMPLEMENTED", "host.request_backup"]
        assert await error(pool, "host.sync_data", second) == ["NOT_IMPLEMENTED", "host.sync_data"]
        await told(pool, "pool.sync_database")
        dispatcher(pool).services.surroundings.member_disks = HostFolders(tmp_path)
        pool.change(pool.store.get(second)["metrics"], live=False)
        for message in (backup, ("host.sync_data", second), ("host.request_config_file_sync", second, "")):
            assert await error(pool, *message) == ["HOST_OFFLINE", second]


async def test_users_file_is_read_again_where_it_differs_from_what_was_read(tmp_path: Path) -> None:
    users = tmp_path / "users"
    add_user(users, "root", "old word", ("pool-admin",))
    before, when = users.read_bytes(), users.stat()
    add_user(tmp_path / "other", "root", "new word", ("pool-admin",))
    after = (tmp_path / "other").read_bytes()
    digest, size = hashlib.sha256(after).hexdigest(), len(before)

    def write(content: bytes) -> None:
        """In place and with its old time, so that nobody sees a change from outside."""
        assert len(content) == size
        users.write_bytes(content)
        os.utime(users, ns=(when.st_atime_ns, when.st_mtime_ns))

    async with sim_pool() as pool:
        host = pool.hosts[0]
        authenticator = UsersFileAuthenticator(users)
        dispatcher(pool).sessions.authenticator = authenticator
        try:
            write(after)
            await told(pool, "host.request_config_file_sync", host, hashlib.sha256(before).hexdigest())
            assert await authenticator.verify("root", "new word") is None
            await told(pool, "host.request_config_file_sync", host, digest)
            assert await authenticator.verify("root", "new word") is not None
            write(b"#" * size)
            refusal = await error(pool, "host.request_config_file_sync", host, "")
            assert refusal[0] == "OPERATION_NOT_ALLOWED"
            assert await authenticator.verify("root", "new word") is not None
        finally:
            authenticator.close()


async def test_server_without_a_users_file_has_nothing_to_read_again() -> None:
    async with sim_pool() as pool:
        await told(pool, "host.request_config_file_sync", pool.hosts[0], "00")


async def test_what_is_no_uuid_names_no_folder(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    folders = HostFolders(state)
    for name in ("..", "../../elsewhere", "", "/"):
        for refused in (
            folders.put_database(name, b"secrets"),
            folders.generation(name),
            folders.put_blob(name, "x", b""),
        ):
            with pytest.raises(PermissionError):
                await refused
    assert everything_in(tmp_path) == [state]
