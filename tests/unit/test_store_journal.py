"""The journal and its directory: what is refused, what waits for the disk, what a restart finds."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from xenapi_core.ids import NULL_REF
from xenapi_core.model.schema import RO, RW, Class, Field, Schema
from xenapi_core.model.types import INT, STRING, Ref, Set
from xenapi_core.store import journal as journal_module
from xenapi_core.store.database import FILE_NAME
from xenapi_core.store.failure import ReadOnlyError, StoreError
from xenapi_core.store.journal import open_store
from xenapi_core.store.memory import MemoryStore

UUID = Field("uuid", STRING, RO, "", default="")
SCHEMA = Schema(
    Class("VM", "", (
        UUID, Field("n", INT, RW, "", default=0), Field("live", INT, RW, "", default=0, persist=False),
        Field("VBDs", Set(Ref("VBD")), RO, "", inverse="VBD.VM"),
    )),
    Class("VBD", "", (UUID, Field("VM", Ref("VM"), RO, "", default=NULL_REF))),
    Class("task", "", (UUID,), persist=False),
)  # fmt: skip

Scenario = Callable[[Path], Awaitable[None]]


def run(scenario: Scenario, directory: Path) -> None:
    asyncio.run(asyncio.wait_for(scenario(directory), 20))


def make(store: MemoryStore, cls: str, ref: str, **values: object) -> int:
    txn = store.begin()
    txn.create(cls, ref, {"uuid": f"uuid of {ref}", **values})
    return store.commit(txn)


def change(store: MemoryStore, ref: str, **values: object) -> int:
    txn = store.begin()
    txn.update(ref, **values)
    return store.commit(txn)


def modes(path: Path) -> set[int]:
    """The access rights of a file, or of a directory and all that is in it."""
    return {stat.S_IMODE(each.stat().st_mode) for each in (path, *path.glob("*"))}


def refusal(store: MemoryStore, **values: object) -> str:
    """Why a change is not accepted; empty if it is."""
    try:
        change(store, "v", **values)
    except StoreError as error:
        return str(error)
    return ""


class BlockedDisk:
    """Another program that holds the write lock of the file: nothing reaches the disk inside the block."""

    def __init__(self, directory: Path) -> None:
        self.connection = sqlite3.connect(directory / FILE_NAME, isolation_level=None)

    def __enter__(self) -> None:
        self.connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, *_: object) -> None:
        self.connection.execute("ROLLBACK")
        self.connection.close()


def spoil(directory: Path, *statements: str) -> None:
    connection = sqlite3.connect(directory / FILE_NAME, isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()


async def fill(directory: Path) -> int:
    """A closed state directory with one VM; returns the last revision."""
    store = await open_store(directory, SCHEMA)
    revision = make(store, "VM", "v", n=5)
    await store.close()
    return revision


def test_only_the_owner_may_look_into_the_state_directory(tmp_path: Path) -> None:
    async def scenario(directory: Path) -> None:
        store = await open_store(directory, SCHEMA)
        make(store, "VM", "v")
        await store.durable(store.revision)
        assert modes(directory) == {0o700, 0o600}
        assert modes(directory / FILE_NAME) == {0o600}
        await store.close()

    previous = os.umask(0o000)
    try:
        run(scenario, tmp_path / "deep" / "state")
    finally:
        os.umask(previous)


async def test_two_servers_never_share_a_state_directory(tmp_path: Path) -> None:
    store = await open_store(tmp_path, SCHEMA)
    for _ in range(2):
        with pytest.raises(StoreError, match="is in use by another server"):
            await open_store(tmp_path, SCHEMA)
    await store.close()
    await (await open_store(tmp_path, SCHEMA)).close()


SPOILERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "garbage": (lambda d: (d / FILE_NAME).write_bytes(b"not a database" * 999), "is damaged, or is not a state file"),
    "cut off": (lambda d: os.truncate(d / FILE_NAME, 5000), "is damaged"),
    "newer format": (lambda d: spoil(d, "PRAGMA user_version=2"), "has format 2, made by a newer xencim"),
    "another program's": (lambda d: spoil(d, "PRAGMA application_id=1"), "is not a state file of xencim"),
    "no record": (lambda d: spoil(d, "UPDATE object SET record = '['"), "is damaged"),
    "no revision": (lambda d: spoil(d, "DELETE FROM meta"), "it has objects, but no revision"),
    "wrong revision": (lambda d: spoil(d, "UPDATE meta SET value = '\"x\"'"), "it has objects, but no revision"),
    "wrong meta": (lambda d: spoil(d, "UPDATE meta SET value = '{'"), "is damaged"),
    "no table": (lambda d: spoil(d, "DROP TABLE meta"), "is damaged"),
    "a directory": (lambda d: ((d / FILE_NAME).unlink(), (d / FILE_NAME).mkdir()), "cannot be opened"),
}


@pytest.mark.parametrize("name", SPOILERS)
async def test_a_directory_that_cannot_be_used_is_refused_with_one_sentence(tmp_path: Path, name: str) -> None:
    await fill(tmp_path)
    spoiler, sentence = SPOILERS[name]
    spoiler(tmp_path)
    for _ in range(2):  # the second time too: the first left neither a lock nor a change behind
        with pytest.raises(StoreError, match=sentence) as refusal:
            await open_store(tmp_path, SCHEMA)
        assert "\n" not in str(refusal.value)


def test_a_file_in_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(StoreError, match="cannot be used"):
        run(fill, tmp_path / "state")  # type: ignore[arg-type]


async def test_revisions_go_on_where_an_orderly_end_left_them(tmp_path: Path) -> None:
    revision = await fill(tmp_path)
    store = await open_store(tmp_path, SCHEMA)
    assert store.revision == revision + 1
    assert store.class_revision("task") == store.revision
    assert store.get("v").modified == revision
    await store.close()


async def test_a_change_is_acknowledged_only_when_the_disk_has_it(tmp_path: Path) -> None:
    store = await open_store(tmp_path, SCHEMA)
    with BlockedDisk(tmp_path):
        revisions = [make(store, "VM", f"v{n}") for n in range(50)]
        waiting = [asyncio.ensure_future(store.durable(revision)) for revision in revisions]
        for _ in range(100):
            await asyncio.sleep(0)
        assert not any(task.done() for task in waiting)
        waiting[7].cancel()
    await asyncio.gather(*waiting[:7], *waiting[8:])
    assert store.journal is not None
    assert not store.journal._waiters
    found = sqlite3.connect(tmp_path / FILE_NAME)
    assert found.execute("SELECT count(*) FROM object").fetchone() == (50,)
    found.close()
    await store.close()


async def test_what_is_not_journalled_never_waits_for_the_disk(tmp_path: Path) -> None:
    store = await open_store(tmp_path, SCHEMA)
    make(store, "VM", "v")
    await store.durable(store.revision)
    with BlockedDisk(tmp_path):
        await store.durable(make(store, "task", "t"))
        await store.durable(change(store, "v", live=3))
        txn = store.begin()
        txn.touch("v")
        await store.durable(store.commit(txn))
    await store.close()


async def test_a_disk_far_behind_refuses_changes_until_it_catches_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "BLOCK", 10)
    store = await open_store(tmp_path, SCHEMA)
    assert store.journal is not None
    make(store, "VM", "v")
    await store.durable(store.revision)
    with BlockedDisk(tmp_path):
        answers = [refusal(store, live=n) for n in range(1, 40)]
        accepted = answers.count("")
        assert answers == [""] * accepted + ["The journal is too far behind to accept more changes."] * (39 - accepted)
        assert 0 < accepted <= 20
        assert store.get("v")["live"] == accepted
    await store.journal.flush()
    change(store, "v", live=99)
    await store.close()


async def test_a_revision_seen_before_a_crash_never_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "BLOCK", 10)
    store = await open_store(tmp_path / "first", SCHEMA)
    assert store.journal is not None
    make(store, "VM", "v")
    for n in range(1, 60):  # nothing here is journalled but the bound of the revisions
        change(store, "v", live=n)
        await store.journal.flush()
        crashed = tmp_path / f"crash {n}"
        shutil.copytree(tmp_path / "first", crashed)
        found = await open_store(crashed, SCHEMA)
        assert found.revision > store.revision
        assert found.get("v")["live"] == 0
        await found.close()
    await store.close()


async def test_a_closed_store_can_be_read_but_not_written(tmp_path: Path) -> None:
    store = await open_store(tmp_path, SCHEMA)
    make(store, "VM", "v")
    await store.close()
    await store.close()
    with pytest.raises(ReadOnlyError, match="closed"):
        change(store, "v", n=1)
    assert (store.get("v")["n"], store.revision) == (0, 1)
    assert change(store, "v", n=0) == 1
    await store.durable(1)


async def test_a_failed_journal_ends_writing_and_nothing_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = await open_store(tmp_path, SCHEMA)
    safe = make(store, "VM", "v")
    await store.durable(safe)
    spoil(tmp_path, "DROP TABLE object")
    with pytest.raises(ReadOnlyError, match="journal failed"):
        await store.durable(change(store, "v", n=1))
    assert "read-only" in caplog.text
    with pytest.raises(ReadOnlyError, match="journal failed"):
        change(store, "v", n=2)
    make(store, "task", "t")  # of a class that is never written
    with pytest.raises(ReadOnlyError, match="journal failed"):
        await store.durable(store.revision)
    await store.durable(safe)
    assert store.get("v")["n"] == 1
    with pytest.raises(ReadOnlyError, match="journal failed"):
        await store.close()


async def test_a_value_that_cannot_be_written_stops_its_commit_and_not_the_journal(tmp_path: Path) -> None:
    store = await open_store(tmp_path, SCHEMA)
    make(store, "VM", "v")
    with pytest.raises(AssertionError, match="internal form"):
        change(store, "v", n={1, 2})
    with pytest.raises(AssertionError, match="internal form"):
        make(store, "VM", "w", n=b"x")
    assert (store.get("v")["n"], store.find("w"), store.revision) == (0, None, 1)
    change(store, "v", live={1, 2})  # never written, so it may be anything
    await store.durable(change(store, "v", n=1))
    await store.close()


async def test_rows_of_an_unknown_class_stay_for_the_program_that_knows_them(tmp_path: Path) -> None:
    await fill(tmp_path)
    other = await open_store(tmp_path, Schema(Class("VDI", "", (UUID,))))
    assert other.counts() == {"VDI": 0}
    await other.close()
    store = await open_store(tmp_path, SCHEMA)
    assert store.get("v")["n"] == 5
    await store.close()
