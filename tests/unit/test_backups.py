"""Backups of a server: fetched, judged, and taken over by the next start."""

from __future__ import annotations

import asyncio
import io
import tarfile
from pathlib import Path
from typing import Any

import pytest
from action_server import action_server

from xenapi_core.model.catalog import SCHEMA
from xenapi_core.server.restoring import WAITING, Backup, BackupError, decode, leave, take_over
from xenapi_core.store.dump import Content, encode, kept_records
from xenapi_core.store.failure import StoreError
from xenapi_core.store.journal import open_store
from xenapi_core.testing.pool import SimPool, sim_pool

BACKUP, RESTORE, DATABASE = "/host_backup", "/host_restore", "/pool/xmldbdump"


def dumped(pool: SimPool) -> bytes:
    content = encode(SCHEMA, pool.store.get(pool.pool)["uuid"], kept_records(SCHEMA, pool.store))
    return whole(content)


def whole(content: Content) -> bytes:
    return content.head(1, 0).encode() + content.data


def there(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


async def names(directory: Path) -> set[str]:
    """The VMs of the database in a directory."""
    store = await open_store(directory, SCHEMA)
    try:
        return {vm["name_label"] for vm in store.all("VM").values()}
    finally:
        await store.close()


async def test_a_backup_is_taken_over_by_the_next_start(tmp_path: Path) -> None:
    async with action_server(tmp_path / "from") as first, action_server(tmp_path / "to", seed="other") as second:
        first.pool.add_vm("shop")
        blob = await first.call("blob.create", "", False)
        await first.root("PUT", f"/blob?ref={blob}", b"data")
        (tmp_path / "to").mkdir()
        backup = await first.root("GET", BACKUP)
        assert (backup.status, backup.headers["content-type"]) == (200, "application/x-tar")
        apart = frozenset({"message", "session", "task"})
        before = second.pool.picture(apart)
        reply = await second.root("PUT", RESTORE, backup.body)
        assert (reply.status, b"starts next" in reply.body) == (200, True)
        assert second.pool.picture(apart) == before
        assert (tmp_path / "to" / WAITING).stat().st_mode & 0o777 == 0o600
        uuid = first.pool.store.get(blob)["uuid"]
    assert await take_over(tmp_path / "to", SCHEMA)
    assert await names(tmp_path / "to") == {"shop"}
    assert (tmp_path / "to" / "blobs" / uuid).read_bytes() == b"data"
    assert not await take_over(tmp_path / "to", SCHEMA)
    assert await names(tmp_path / "to") == {"shop"}


async def test_what_was_there_before_is_gone_and_revisions_go_on(tmp_path: Path) -> None:
    store = await open_store(tmp_path, SCHEMA)
    async with sim_pool() as pool:
        vm = pool.add_vm("kept")
        txn = store.begin()
        txn.create("VM", vm, {**pool.store.get(vm).values, "name_label": "renamed"})
        store.commit(txn)
        txn = store.begin()
        txn.create("VM", "OpaqueRef:gone", {**pool.store.get(vm).values, "uuid": "u", "name_label": "gone"})
        store.commit(txn)
        revision = store.revision
        await store.durable(revision)
        await store.close()
        leave(tmp_path, Backup(b"replaced by the next one"))
        leave(tmp_path, Backup(dumped(pool)))
    assert await take_over(tmp_path, SCHEMA)
    store = await open_store(tmp_path, SCHEMA)
    assert {version.ref for version in store.all("VM").values()} == {vm}
    assert store.get(vm)["name_label"] == "kept"
    assert store.revision > revision
    await store.close()


async def test_a_database_alone_is_judged_and_kept(tmp_path: Path) -> None:
    async with action_server(state=tmp_path) as site:
        site.pool.add_vm("shop")
        dump = (await site.root("GET", DATABASE)).body
        reply = await site.root("PUT", f"{DATABASE}?dry_run=true", dump)
        assert (reply.status, there(tmp_path)) == (200, [])
        task = site.task()
        assert (await site.root("PUT", f"{DATABASE}?task_id={task}", dump)).status == 200
        assert site.told(task)[0] == "success"
        assert decode((tmp_path / WAITING).read_bytes()) == Backup(dump)


def future(dump: bytes) -> bytes:
    """The same in a format that nobody knows yet."""
    return dump[:8] + (99).to_bytes(4) + dump[12:]


def tar(**files: bytes) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return made.getvalue()


WRONG: list[Any] = [
    (DATABASE, lambda dump: b"<database/>", "COULD_NOT_IMPORT_DATABASE"),
    (DATABASE, lambda dump: dump[:-1], "COULD_NOT_IMPORT_DATABASE"),
    (DATABASE, lambda dump: whole(encode(SCHEMA, "u", ())), "COULD_NOT_IMPORT_DATABASE"),
    (DATABASE, future, "RESTORE_INCOMPATIBLE_VERSION"),
    (DATABASE, lambda dump: b"", "IMPORT_ERROR_PREMATURE_EOF"),
    (RESTORE, lambda dump: dump, "IMPORT_ERROR"),
    (RESTORE, lambda dump: tar(other=dump), "IMPORT_ERROR"),
    (RESTORE, lambda dump: tar(**{"../pool.xencimdb": dump}), "IMPORT_ERROR"),
    (RESTORE, lambda dump: tar(**{"pool.xencimdb": dump, "blobs/../x": b""}), "IMPORT_ERROR"),
    (RESTORE, lambda dump: tar(**{"pool.xencimdb": b"x"}), "COULD_NOT_IMPORT_DATABASE"),
    (RESTORE, lambda dump: Backup(dump).encode()[:1000], "IMPORT_ERROR"),
]


@pytest.mark.parametrize(("path", "change", "code"), WRONG)
async def test_what_cannot_be_restored_is_refused(path: str, change: Any, code: str, tmp_path: Path) -> None:
    async with action_server(state=tmp_path) as site:
        task, dump = site.task(), dumped(site.pool)
        assert (await site.root("PUT", f"{path}?task_id={task}", change(dump))).status == 500
        assert site.told(task)[1][0] == code
        assert there(tmp_path) == []


async def test_a_backup_is_for_hosts_with_the_same_management_interface(tmp_path: Path) -> None:
    async with action_server(state=tmp_path) as site:
        (pif,) = site.pool.store.related(site.pool.hosts[0], "PIFs")
        dump, task = dumped(site.pool), site.task()
        site.pool.change(pif, management=True)
        assert (await site.root("PUT", f"{DATABASE}?dry_run=true", dump)).status == 200
        site.pool.change(pif, device="eth7")
        assert (await site.root("PUT", f"{DATABASE}?dry_run=true&task_id={task}", dump)).status == 500
        assert site.told(task)[1] == ("RESTORE_TARGET_MGMT_IF_NOT_IN_BACKUP",)


@pytest.mark.parametrize("path", [DATABASE, RESTORE])
async def test_a_server_without_durable_state_restores_nothing(path: str) -> None:
    async with action_server() as site:
        dump, task = dumped(site.pool), site.task()
        body = dump if path == DATABASE else Backup(dump).encode()
        assert (await site.root("PUT", f"{path}?dry_run=true", body)).status == 200
        assert (await site.root("PUT", f"{path}?task_id={task}", body)).status == 500
        assert site.told(task)[1][0] == "OPERATION_NOT_ALLOWED"


async def test_a_server_that_joined_a_pool_restores_nothing(tmp_path: Path) -> None:
    async with action_server(state=tmp_path) as site:
        task, dump = site.task(), dumped(site.pool)
        site.sessions.membership.follow("https://192.0.2.1")
        assert (await site.root("PUT", f"{DATABASE}?task_id={task}", dump)).status == 500
        assert site.told(task)[1] == ("HOST_IS_SLAVE", "192.0.2.1")
        assert there(tmp_path) == []


@pytest.mark.parametrize(("method", "path"), [("GET", BACKUP), ("PUT", RESTORE), ("PUT", DATABASE)])
async def test_backups_are_for_administrators_of_the_pool(method: str, path: str) -> None:
    async with action_server() as site:
        session = await site.login("pool-operator")
        assert (await site.ask(method, path, b"", Cookie=f"session_id={session}")).status == 403


@pytest.mark.parametrize("content", [b"no tar", Backup(b"no database").encode()])
def test_a_backup_that_is_damaged_keeps_the_server_from_starting(content: bytes, tmp_path: Path) -> None:
    (tmp_path / WAITING).write_bytes(content)
    with pytest.raises(StoreError, match="remove it to start without"):
        asyncio.run(take_over(tmp_path, SCHEMA))
    assert (tmp_path / WAITING).read_bytes() == content


def test_only_files_with_known_names_are_in_a_backup() -> None:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        link = tarfile.TarInfo("pool.xencimdb")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    with pytest.raises(BackupError):
        decode(made.getvalue())
