"""Data sources that follow from others: told always, recorded when somebody asks for it, until they are forgotten."""

from __future__ import annotations

import inspect
from math import isnan
from pathlib import Path
from typing import Any

import pytest
from action_server import Site, action_server
from sim_api import TEST_CALLER, drive

from xenapi_core.errors import ApiError
from xenapi_core.server.actions.history import History
from xenapi_core.server.actions.measurements import sample
from xenapi_core.server.actions.recorder import Recorder, Series
from xenapi_core.testing.pool import sim_pool


async def told(site: Site, wire_name: str, *args: Any) -> Any:
    """A message to the dispatcher that knows of the site's samples."""
    value = site.services.invoke(TEST_CALLER, wire_name, args)
    return await drive(site.pool.clock, value) if inspect.isawaitable(value) else value


async def sources_of(site: Site, cls: str, ref: str) -> dict[str, dict[str, Any]]:
    return {one["name_label"]: one for one in await told(site, f"{cls}.get_data_sources", ref)}


async def rounds(site: Site, count: int) -> None:
    for _ in range(count):
        await site.pool.pass_time(5)
        await sample(site.recorder, site.pool.engine)


async def test_sums_and_means_follow_from_the_other_data_sources_of_a_disk() -> None:
    async with action_server() as site:
        vm = await site.pool.running()
        site.pool.sim.guest(site.pool.store.get(vm)["uuid"]).work(0.5)
        sources = await sources_of(site, "VM", vm)
        value = {name.removeprefix("vbd_xvda_"): one["value"] for name, one in sources.items()}
        assert value["io_throughput_read"] == pytest.approx(value["read"] / (1 << 20))
        assert value["io_throughput_total"] == pytest.approx((value["read"] + value["write"]) / (1 << 20))
        assert value["iops_total"] == pytest.approx(value["iops_read"] + value["iops_write"])
        assert value["latency"] == pytest.approx(value["iowait"] / value["iops_total"] * 1e6)
        assert value["avgqu_sz"] == value["iowait"] > 0
        for cls, ref, suffix in (
            ("SR", site.pool.sr, ""),
            ("host", site.pool.hosts[0], f"_{site.pool.store.get(site.pool.sr)['uuid'][:8]}"),
        ):
            whole = await sources_of(site, cls, ref)
            for word in ("io_throughput_total", "iops_total", "latency", "avgqu_sz"):
                assert whole[word + suffix]["value"] == pytest.approx(value[word]), (cls, word)
                assert (whole[word + suffix]["enabled"], whole[word + suffix]["standard"]) == (False, False)


async def test_an_idle_repository_has_no_latency() -> None:
    async with action_server() as site:
        sources = await sources_of(site, "SR", site.pool.sr)
        words = ("io_throughput_total", "iops_total", "latency", "avgqu_sz")
        assert [sources[word]["value"] for word in words] == [0.0] * 4


async def test_a_choice_is_recorded_from_when_somebody_asks_for_it_until_it_is_forgotten() -> None:
    async with action_server() as site:
        vm, store = await site.pool.running(), site.pool.store
        host, sr = site.pool.hosts[0], site.pool.sr
        for cls, kind, ref, name in (
            ("VM", "vm", vm, "vbd_xvda_iops_total"),
            ("SR", "sr", sr, "latency"),
            ("host", "host", host, f"iops_total_{store.get(sr)['uuid'][:8]}"),
        ):
            series = Series(kind, store.get(ref)["uuid"], name)
            await rounds(site, 1)
            assert not site.recorder.knows(series)
            await told(site, f"{cls}.record_data_source", ref, name)
            await told(site, f"{cls}.record_data_source", ref, name)  # it is recorded already
            assert (await sources_of(site, cls, ref))[name]["enabled"] is True
            await rounds(site, 2)
            rows = [values[0] for _, values in site.recorder.rows(0, [series], 0, "AVERAGE")]
            rows = [value for value in rows if not isnan(value)]  # the clock runs on between two rounds
            assert rows == [(await sources_of(site, cls, ref))[name]["value"]] * 2
            others = [one for one in site.recorder.series(kind, series.uuid) if one != series]
            await told(site, f"{cls}.forget_data_source_archives", ref, name)
            await rounds(site, 1)
            assert site.recorder.series(kind, series.uuid) == others
            assert (await sources_of(site, cls, ref))[name]["enabled"] is False


async def test_a_choice_goes_on_after_a_restart_and_after_the_machine_was_off(tmp_path: Path) -> None:
    async with sim_pool() as pool:
        vm = await pool.running()
        series = Series("vm", pool.vm(vm)["uuid"], "vbd_xvda_avgqu_sz")
        before = History(Recorder(), pool.store, pool.clock, tmp_path)
        await before.begin(series.kind, series.uuid, series.name)
        after = History(Recorder(), pool.store, pool.clock, tmp_path)
        await after.restore()
        assert after.records(series.kind, series.uuid, series.name)
        await pool.call("VM.hard_shutdown", vm)
        await sample(after.recorder, pool.engine)
        assert series not in after.recorder.values
        await pool.call("VM.start", vm, False, False)
        await sample(after.recorder, pool.engine)
        assert after.recorder.values[series] > 0


async def test_totals_of_a_repository_cannot_be_recorded() -> None:
    async with action_server() as site:
        with pytest.raises(ApiError) as refused:
            await told(site, "SR.record_data_source", site.pool.sr, "io_bytes_read")
        assert refused.value.code == "OPERATION_NOT_ALLOWED"
        with pytest.raises(ApiError) as unheard:
            await site.call("SR.record_data_source", site.pool.sr, "latency")  # a dispatcher without samples
        assert unheard.value.code == "NOT_IMPLEMENTED"
