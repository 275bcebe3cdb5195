"""With a journal, a write is acknowledged when it would survive a crash; reads never wait."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import sqlite3

import pytest
from api_pool import Refused, api_pool, value_of

from xenapi_core.model.catalog import SCHEMA
from xenapi_core.store.database import FILE_NAME
from xenapi_core.store.failure import ReadOnlyError
from xenapi_core.store.journal import open_store


def held_disk(store):
    """From now on nothing is durable until the event that this returns is set."""
    disk, on_disk = asyncio.Event(), store.durable

    async def slow(revision):
        await disk.wait()
        await on_disk(revision)

    store.durable = slow
    return disk


async def end_of(store, task):
    """The status of a task when it is over."""
    while store.get(task)["status"] == "pending":
        assert await store.wait(store.revision, 5.0)
    return store.get(task)["status"]


async def test_write_waits_for_the_journal_and_a_read_does_not(tmp_path):
    store = await open_store(tmp_path / "state", SCHEMA)
    async with api_pool(store) as pool:
        session, vm = await pool.login(), pool.add_vm()
        assert isinstance(pool.send("VM.get_record", session, vm), bytes)
        assert isinstance(pool.send("VM.get_all_records", session), bytes)
        reply = pool.send("VM.set_name_label", session, vm, "kept")
        assert inspect.isawaitable(reply)
        assert value_of(await reply) == ""
    await store.close()
    again = await open_store(tmp_path / "state", SCHEMA)
    try:
        assert again.get(vm)["name_label"] == "kept"
        assert not again.all("session")
    finally:
        await again.close()


async def test_a_task_whose_work_is_written_can_no_longer_be_cancelled(tmp_path):
    store = await open_store(tmp_path / "state", SCHEMA)
    async with api_pool(store) as pool:
        session, vm = await pool.login(), pool.add_vm()
        task = await pool.call("Async.VM.set_order", session, vm, "7")
        disk = held_disk(store)
        await pool.clock.settle()
        pool.engine.cancel(task)
        await pool.clock.settle()
        assert store.get(vm)["order"] == 7
        disk.set()
        assert await end_of(store, task) == "success"
    await store.close()


async def test_async_task_succeeds_only_when_its_work_is_durable(tmp_path):
    store = await open_store(tmp_path / "state", SCHEMA)
    async with api_pool(store) as pool:
        session, vm = await pool.login(), pool.add_vm()
        task = pool.dispatcher.invoke(pool.sessions.check(session), "Async.VM.set_memory", (vm, 1 << 31))
        disk = held_disk(store)
        await pool.clock.settle()
        assert store.get(vm)["memory_static_max"] == 1 << 31
        assert store.get(task)["status"] == "pending"
        disk.set()
        assert await end_of(store, task) == "success"
    await store.close()
    again = await open_store(tmp_path / "state", SCHEMA)
    try:
        assert again.get(vm)["memory_static_max"] == 1 << 31
    finally:
        await again.close()


async def test_after_the_journal_failed_one_can_still_log_in_and_read(tmp_path):
    store = await open_store(tmp_path / "state", SCHEMA)
    async with api_pool(store) as pool:
        session, vm = await pool.login(), pool.add_vm()
        await store.durable(store.revision)
        with contextlib.closing(sqlite3.connect(tmp_path / "state" / FILE_NAME)) as other:
            other.execute("DROP TABLE object")
        with pytest.raises(Refused, match="ReadOnlyError"):
            await pool.call("VM.set_name_label", session, vm, "lost")
        session = await pool.login()
        assert await pool.call("VM.get_uuid", session, vm) == store.get(vm)["uuid"]
        assert await pool.call("host.ha_xapi_healthcheck", session) is False
        with pytest.raises(Refused, match="ReadOnlyError"):
            await pool.call("VM.set_name_label", session, vm, "refused")
        assert store.get(vm)["name_label"] != "refused"
        await pool.call("session.logout", session)
    with pytest.raises(ReadOnlyError):
        await store.close()
