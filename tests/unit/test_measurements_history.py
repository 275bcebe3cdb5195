"""Measurements over a restart: what was written is there again, and what is damaged is dropped."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sim_api import TEST_CALLER, ask, dispatcher, refused

from xenapi_core.server.actions.history import EVERY, NAME, History
from xenapi_core.server.actions.measurements import sample
from xenapi_core.server.actions.recorder import ARCHIVES, FUNCTIONS, Recorder, Series
from xenapi_core.testing.pool import SimPool, sim_pool

KINDS = ("host", "vm", "sr")
Rows = dict[tuple[Series, int, str], list[tuple[int, list[float]]]]


def everything(recorder: Recorder) -> Rows:
    """Every row of every series, without NaN, which equals nothing."""
    return {
        (one, index, function): [
            (at, [-1.0 if value != value else value for value in values])
            for at, values in recorder.rows(index, [one], 0, function)
        ]
        for kind in KINDS
        for one in recorder.series(kind)
        for index in range(len(ARCHIVES))
        for function in FUNCTIONS
    }


def modes(directory: Path) -> dict[str, int]:
    """Every file there, with its permissions."""
    return {path.name: path.stat().st_mode & 0o777 for path in directory.iterdir()}


@asynccontextmanager
async def measuring(directory: Path | None) -> AsyncIterator[tuple[SimPool, History]]:
    """A pool with a machine, and ten minutes of samples."""
    async with sim_pool() as pool:
        await pool.running()
        history = History(Recorder(), pool.store, pool.clock, directory)
        dispatcher(pool).services.surroundings.history = history
        for _ in range(120):
            await sample(history.recorder, pool.engine)
            await pool.pass_time(5)
        yield pool, history


async def restored(pool: SimPool, directory: Path) -> Recorder:
    """What a server finds that begins now."""
    history = History(Recorder(), pool.store, pool.clock, directory)
    await history.restore()
    return history.recorder


async def test_every_row_is_there_after_a_restart(tmp_path: Path) -> None:
    async with measuring(tmp_path) as (pool, history):
        await history.save()
        found = await restored(pool, tmp_path)
        assert found.last == history.recorder.last
        assert everything(found) == everything(history.recorder)
        assert {one.kind for one, _, _ in everything(found)} == set(KINDS)
        assert modes(tmp_path) == {NAME: 0o600}


async def test_rows_go_on_after_a_restart_with_a_gap_between(tmp_path: Path) -> None:
    async with measuring(tmp_path) as (pool, history):
        await history.save()
        before = history.recorder.last
        await pool.pass_time(60)
        found = await restored(pool, tmp_path)
        await sample(found, pool.engine)
        (host,) = {one.uuid for one in found.series("host")}
        rows = list(found.rows(0, [Series("host", host, "memory_total_kib")], before - 10, "AVERAGE"))
        assert [at for at, _ in rows] == list(range(found.last, before - 10, -5))
        known = [at for at, (value,) in rows if value == value]
        assert known == [found.last, before, before - 5]


async def test_series_of_objects_that_are_gone_are_not_kept(tmp_path: Path) -> None:
    async with measuring(tmp_path) as (pool, history):
        gone = Series("vm", "00000000-0000-4000-8000-000000000000", "cpu0")
        history.recorder.record(pool.clock.now(), {**history.recorder.values, gone: 1.0})
        others = [one for one in history.recorder.series("vm") if one != gone]
        await history.save()
        assert history.recorder.series("vm") == others
        assert (await restored(pool, tmp_path)).series("vm") == others


@pytest.mark.parametrize("damage", ["torn", "changed", "short", "foreign", "future"])
async def test_a_file_that_cannot_be_trusted_is_dropped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    async with measuring(tmp_path) as (_, history):
        await history.save()
        path = tmp_path / NAME
        data = path.read_bytes()
        changed = {
            "torn": data[:-7],
            "changed": data[:-7] + bytes([data[-7] ^ 1]) + data[-6:],
            "short": data[:5],
            "foreign": b"SQLite format 3\0" + data[16:],
            "future": data,
        }
        path.write_bytes(changed[damage])
    async with sim_pool() as other:
        if damage != "future":  # the clock of a new pool begins where that of the first one did
            await other.pass_time(3600)
        with caplog.at_level(logging.WARNING):
            found = await restored(other, tmp_path)
        assert everything(found) == {}
        assert [NAME in record.getMessage() for record in caplog.records] == [True]
        await sample(found, other.engine)
        assert found.series("host")


async def test_history_is_written_now_and_then(tmp_path: Path) -> None:
    async with measuring(tmp_path) as (pool, history):
        await history.save_when_due()  # ten minutes have gone
        first = (tmp_path / NAME).read_bytes()
        await sample(history.recorder, pool.engine)
        await history.save_when_due()
        assert (tmp_path / NAME).read_bytes() == first
        await pool.pass_time(EVERY)
        await history.save_when_due()
        assert (tmp_path / NAME).read_bytes() != first


async def test_history_is_backed_up_at_once_or_later(tmp_path: Path) -> None:
    async with measuring(tmp_path) as (pool, history):
        await history.save()
        (tmp_path / NAME).unlink()
        await dispatcher(pool).invoke(TEST_CALLER, "host.backup_rrds", (pool.hosts[0], 0.0))  # a thread writes
        assert everything(await restored(pool, tmp_path)) == everything(history.recorder)
        (tmp_path / NAME).unlink()
        await ask(pool, "host.backup_rrds", pool.hosts[0], 60.0)
        await history.save_when_due()
        assert not (tmp_path / NAME).exists()
        await pool.pass_time(60)
        await history.save_when_due()
        assert (tmp_path / NAME).exists()
        for delay in (-1.0, 1e9, float("nan")):
            assert (await refused(pool, "host.backup_rrds", pool.hosts[0], delay))[0] == "INVALID_VALUE"


async def test_without_a_directory_nothing_is_kept_or_backed_up() -> None:
    async with measuring(None) as (pool, history):
        before = everything(history.recorder)
        await history.restore()
        await history.save()
        assert everything(history.recorder) == before
        assert await refused(pool, "host.backup_rrds", pool.hosts[0], 0.0) == ["NOT_IMPLEMENTED", "host.backup_rrds"]


async def test_a_directory_that_cannot_be_written_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with measuring(tmp_path / "missing") as (_, history):
        with caplog.at_level(logging.WARNING):
            await history.save()
        assert [NAME in record.getMessage() for record in caplog.records] == [True]
        assert history.recorder.series("host")
        assert not (tmp_path / "missing").exists()
        with pytest.raises(OSError):  # the caller of host.backup_rrds is told
            await history.back_up(0.0)


def test_a_clock_that_was_set_back_spoils_no_rows() -> None:
    recorder, one = Recorder(), Series("vm", "u", "cpu0")
    for at in (1_000_000, 1_000_005, 1_000_010):
        recorder.record(at, {one: float(at)})
    recorder.record(1_000_000, {one: 7.0})
    recorder.record(1_000_015, {one: 8.0})
    rows = dict(recorder.rows(0, [one], 999_999, "AVERAGE"))
    assert rows == {1_000_015: [8.0], 1_000_010: [1_000_010.0], 1_000_005: [1_000_005.0], 1_000_000: [1_000_000.0]}
