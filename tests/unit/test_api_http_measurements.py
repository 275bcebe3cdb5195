"""Measurements over HTTP: the same samples as the data sources, thinned out, as XML and as JSON."""

from __future__ import annotations

import inspect
import json
import math
import re
import xml.etree.ElementTree as ET
from typing import Any

import pytest
from action_server import Site, action_server
from sim_api import TEST_CALLER, drive

from xenapi_core.bridge.source import Summary, Window
from xenapi_core.errors import ApiError
from xenapi_core.server.actions.measurements import sample
from xenapi_core.server.actions.recorder import ARCHIVES, STEP, Recorder, Series, archive_for

CPU = Series("vm", "u", "cpu0")


def filled(seconds: int, first: int = 1_000_000) -> Recorder:
    """A recorder with a sample every 5 seconds: the number of the sample."""
    recorder = Recorder()
    for number in range(seconds // 5):
        recorder.record(first + number * 5, {CPU: float(number)})
    return recorder


def test_the_newest_samples_are_there_one_by_one() -> None:
    recorder = filled(60)
    rows = list(recorder.rows(0, [CPU], recorder.last - 15, "AVERAGE"))
    assert rows == [(recorder.last, [11.0]), (recorder.last - 5, [10.0]), (recorder.last - 10, [9.0])]


def test_coarser_rows_are_made_of_their_samples() -> None:
    recorder = filled(600, first=1_000_020 - 55)  # the first sample begins a minute
    by_function = {name: dict(recorder.rows(1, [CPU], 0, name)) for name in ("AVERAGE", "MIN", "MAX")}
    assert by_function["AVERAGE"][1_000_020] == [5.5]
    assert by_function["MIN"][1_000_020] == [0.0]
    assert by_function["MAX"][1_000_020] == [11.0]
    assert by_function["AVERAGE"][1_000_080] == [17.5]
    assert filled(30, first=1_000_020 - 55).unfinished(1, [CPU], "MAX") == [5.0]


def test_old_samples_go_and_do_not_grow() -> None:
    recorder = filled(4000)
    assert len(list(recorder.rows(0, [CPU], 0, "AVERAGE"))) == ARCHIVES[0][1]
    assert len(list(recorder.rows(1, [CPU], 0, "AVERAGE"))) > 60


def test_what_was_not_measured_is_not_a_number() -> None:
    recorder = filled(50)
    other = Series("vm", "v", "cpu0")
    recorder.record(recorder.last + 5, {other: 1.0})
    recorder.record(recorder.last + 20, {CPU: 2.0, other: 3.0})
    rows = dict(recorder.rows(0, [CPU, other], recorder.last - 30, "AVERAGE"))
    assert rows[recorder.last] == [2.0, 3.0]
    assert math.isnan(rows[recorder.last - 20][0])
    assert rows[recorder.last - 20][1] == 1.0
    assert all(map(math.isnan, rows[recorder.last - 10]))  # rows follow each other without gaps


@pytest.mark.parametrize(
    ("interval", "age", "index"), [(5, 0, 0), (5, 600, 0), (5, 601, 1), (60, 10, 1), (61, 10, 2), (5, 10**9, 3)]
)
def test_the_archive_fits_the_question(interval: int, age: int, index: int) -> None:
    assert archive_for(interval, age) == index


async def told_here(site: Site, wire_name: str, *args: Any) -> Any:
    """A message to the dispatcher that knows of the site's samples."""
    value = site.services.invoke(TEST_CALLER, wire_name, args)
    return await drive(site.pool.clock, value) if inspect.isawaitable(value) else value


async def refusal_of(site: Site, wire_name: str, *args: Any) -> list[str]:
    """The code and parameters of a message that must fail."""
    with pytest.raises(ApiError) as failure:
        await told_here(site, wire_name, *args)
    return failure.value.description


async def measured(site: Site) -> str:
    """A VM that runs, with a few samples; its reference."""
    vm = await site.pool.running()
    for _ in range(4):
        await sample(site.recorder, site.pool.engine)
        await site.pool.pass_time(5)
    return vm


async def test_updates_tell_what_the_data_sources_tell() -> None:
    async with action_server() as site:
        vm = await measured(site)
        uuid = site.pool.store.get(vm)["uuid"]
        start = site.recorder.last - 60
        reply = await site.root("GET", f"/rrd_updates?start={start}&cf=AVERAGE&host=true")
        assert reply.headers["content-type"] == "text/xml"
        tree = ET.fromstring(reply.body)
        legend = [entry.text or "" for entry in tree.iterfind("meta/legend/entry")]
        assert tree.findtext("meta/columns") == str(len(legend))
        assert tree.findtext("meta/step") == "5"
        named = {entry.split(":")[3] for entry in legend if entry.startswith(f"AVERAGE:vm:{uuid}:")}
        sources = await site.call("VM.get_data_sources", vm)
        assert named == {source["name_label"] for source in sources if source["enabled"]}
        assert any(entry.startswith("AVERAGE:host:") for entry in legend)
        times = [int(row.findtext("t") or "") for row in tree.iterfind("data/row")]
        assert times == sorted(times, reverse=True)
        assert tree.findtext("meta/rows") == str(len(times))
        assert times[0] == site.recorder.last
        newest = dict(zip(legend, [v.text for v in tree.iterfind("data/row[1]/v")], strict=True))
        memory = next(source["value"] for source in sources if source["name_label"] == "memory")
        assert float(newest[f"AVERAGE:vm:{uuid}:memory"] or "") == memory


def test_the_window_is_the_first_round_and_then_the_newest_minute_that_is_over() -> None:
    recorder, begin = Recorder(), 999_960  # a whole minute
    recorder.record(begin + 20, {CPU: 7.0})
    assert recorder.newest.window == Window(begin + 20, STEP, {"u": {"cpu0": Summary(7.0, 7.0, 7.0)}})
    for number in range(20):  # up to 125: each minute ends with a sample of its own
        recorder.record(begin + 30 + number * STEP, {CPU: float(number)})
    window = recorder.newest.window
    assert (window.at, window.lasts) == (begin + 120, 60)
    assert dict(window.values) == {"u": {"cpu0": (sum(range(7, 19)) / 12, 7.0, 18.0)}}
    recorder.forget(CPU)
    assert dict(window.values) == {"u": {}}


def test_the_window_is_of_the_series_that_were_measured_when_it_ended() -> None:
    recorder, begin, late = Recorder(), 999_960, Series("vm", "v", "cpu0")
    for number in range(1, 13):
        recorder.record(begin + number * STEP, {CPU: 1.0})
    first = recorder.newest.window
    recorder.record(begin + 13 * STEP, {CPU: 9.0, late: 9.0})
    assert recorder.newest.window is first
    assert dict(first.values) == {"u": {"cpu0": (1.0, 1.0, 1.0)}}


async def test_the_newest_samples_are_told_by_object_and_change_nothing_in_the_pool() -> None:
    async with action_server() as site:
        vm = await measured(site)
        before, revision = site.recorder.newest, site.pool.store.revision
        sources = await site.call("VM.get_data_sources", vm)
        told = before.values[site.pool.store.get(vm)["uuid"]]
        assert told == {source["name_label"]: source["value"] for source in sources if source["enabled"]}
        await sample(site.recorder, site.pool.engine)
        assert site.recorder.newest is not before
        assert site.pool.store.revision == revision


async def test_json_tells_the_same_as_xml() -> None:
    async with action_server() as site:
        vm = await measured(site)
        path = f"/rrd_updates?start={site.recorder.last - 12}&uuid={site.pool.store.get(vm)['uuid']}"
        tree = ET.fromstring((await site.root("GET", path)).body)
        told = json.loads((await site.root("GET", path + "&json=true")).body)
        assert told["meta"]["legend"] == [entry.text for entry in tree.iterfind("meta/legend/entry")]
        assert [row["t"] for row in told["data"]] == [int(t.text or "") for t in tree.iterfind("data/row/t")]
        assert told["data"][0]["values"] == [float(v.text or "") for v in tree.iterfind("data/row[1]/v")]
        assert not any(":host:" in entry for entry in told["meta"]["legend"])


async def test_databases_of_vms_hosts_and_repositories_hold_every_source() -> None:
    async with action_server() as site:
        vm = await measured(site)
        for path, names in (
            (f"/vm_rrd?uuid={site.pool.store.get(vm)['uuid']}", {"cpu0", "memory", "memory_target"}),
            ("/host_rrd", {"cpu_avg", "memory_total_kib", "memory_free_kib"}),
            (f"/sr_rrd?uuid={site.pool.store.get(site.pool.sr)['uuid']}", {"physical_size", "iops_read", "iowait"}),
        ):
            tree = ET.fromstring((await site.root("GET", path)).body)
            assert tree.findtext("step") == "5"
            assert tree.findtext("lastupdate") == str(site.recorder.last)
            assert names <= {ds.findtext("name") for ds in tree.iterfind("ds")}
            columns = len(tree.findall("ds"))
            rows = tree.findall("rra[1]/database/row")
            assert rows
            assert {len(row) for row in rows} == {columns}
            assert {len(each) for each in tree.iterfind("rra/cdp_prep")} == {columns}
            told = json.loads((await site.root("GET", f"{path}{'&' if '?' in path else '?'}json=true")).body)
            assert [ds["name"] for ds in told["ds"]] == [ds.findtext("name") for ds in tree.iterfind("ds")]
            assert (told["step"], told["lastupdate"]) == (tree.findtext("step"), tree.findtext("lastupdate"))
            for rra, element in zip(told["rra"], tree.iterfind("rra"), strict=True):
                assert (rra["cf"], rra["pdp_per_row"]) == (element.findtext("cf"), element.findtext("pdp_per_row"))
                assert rra["database"] == [[v.text for v in row] for row in element.iterfind("database/row")]


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/rrd_updates?start=x", 500, b"INVALID_VALUE"),
        ("/rrd_updates?cf=MEDIAN", 500, b"INVALID_VALUE"),
        ("/rrd_updates?uuid=nobody", 404, b"UUID_INVALID"),
        ("/vm_rrd?uuid=none", 404, b"UUID_INVALID"),
        ("/vm_rrd", 404, b"UUID_INVALID"),
        ("/rrd_updates?sr_uuid=x", 404, b"UUID_INVALID"),
        ("/sr_rrd", 404, b"UUID_INVALID"),
    ],
)
async def test_questions_that_make_no_sense_are_refused(path: str, status: int, words: bytes) -> None:
    async with action_server() as site:
        reply = await site.root("GET", path)
        assert reply.status == status
        assert words in reply.body


async def test_a_host_that_does_not_answer_is_left_out() -> None:
    async with action_server() as site:
        await measured(site)
        before = site.recorder.last
        site.pool.sim.hosts[site.pool.store.get(site.pool.hosts[0])["uuid"]].fail()
        await site.pool.pass_time(5)
        await sample(site.recorder, site.pool.engine)
        assert site.recorder.last > before
        assert {series.kind for series in site.recorder.values} == {"sr"}


async def test_updates_are_of_the_objects_that_were_asked_for() -> None:
    async with action_server() as site:
        vm, store = await measured(site), site.pool.store
        vm_uuid, sr_uuid = store.get(vm)["uuid"], store.get(site.pool.sr)["uuid"]

        async def kinds(query: str) -> set[str]:
            told = json.loads((await site.root("GET", f"/rrd_updates?json=true&start=1&{query}")).body)
            return {entry.rpartition(":")[0] for entry in told["meta"]["legend"]}

        assert await kinds("cf=MIN") == {f"MIN:vm:{vm_uuid}"}
        assert await kinds("") == {f"{function}:vm:{vm_uuid}" for function in ("AVERAGE", "MIN", "MAX")}
        here = [store.get(pbd)["SR"] for pbd in store.related(site.pool.hosts[0], "PBDs")]
        connected = {f"MAX:sr:{store.get(sr)['uuid']}" for sr in here}
        assert await kinds("cf=MAX&vm_uuid=none&sr_uuid=all") == connected
        assert await kinds(f"cf=MAX&vm_uuid={vm_uuid}&sr_uuid={sr_uuid}") == {f"MAX:vm:{vm_uuid}", f"MAX:sr:{sr_uuid}"}


async def test_graphs_of_clients_find_hosts_machines_and_repositories() -> None:
    """What Xen Orchestra looks for in the answer: the legend's form, the names, and rows one step apart."""
    async with action_server() as site:
        vm, store = await measured(site), site.pool.store
        site.pool.sim.guest(store.get(vm)["uuid"]).work(0.5)
        await sample(site.recorder, site.pool.engine)
        start = site.recorder.last - 5 * 119
        reply = await site.root("GET", f"/rrd_updates?cf=AVERAGE&host=true&interval=5&json=true&start={start}")
        told = json.loads(reply.body)
        assert told["meta"]["step"] == 5
        times = [row["t"] for row in told["data"]]
        assert times == list(range(told["meta"]["end"], told["meta"]["end"] - 5 * len(times), -5))
        assert {len(row["values"]) for row in told["data"]} == {told["meta"]["columns"]}
        found: dict[str, set[str]] = {"host": set(), "vm": set()}
        for column, entry in enumerate(told["meta"]["legend"]):
            match = re.fullmatch(r"AVERAGE:([^:]+):(.+):(.+)", entry)
            assert match is not None
            if (told["data"][0]["values"][column] or 0) > 0:
                found[match[1]].add(match[3])
        repository = store.get(site.pool.sr)["uuid"][:8]
        words = ("io_throughput_read", "io_throughput_write", "iops_read", "iops_write", "read_latency", "iowait")
        assert {f"{word}_{repository}" for word in words} <= found["host"]
        assert {"memory_total_kib", "memory_free_kib", "cpu0"} <= found["host"]
        disks = {"vbd_xvda_read", "vbd_xvda_write", "vbd_xvda_iops_read", "vbd_xvda_iops_write"}
        assert {"memory", "cpu0", *disks} <= found["vm"]


async def test_what_goes_to_a_repository_is_what_its_disks_do() -> None:
    async with action_server() as site:
        vm, store = await site.pool.running(), site.pool.store
        site.pool.sim.guest(store.get(vm)["uuid"]).work(0.5)
        machine = {one["name_label"]: one["value"] for one in await site.call("VM.get_data_sources", vm)}
        told = {one["name_label"]: one for one in await site.call("SR.get_data_sources", site.pool.sr)}
        assert told["io_throughput_read"]["value"] == pytest.approx(machine["vbd_xvda_read"] / (1 << 20))
        assert told["io_throughput_write"]["value"] == pytest.approx(machine["vbd_xvda_write"] / (1 << 20))
        assert told["iops_write"]["value"] == pytest.approx(machine["vbd_xvda_iops_write"])
        assert told["read_latency"]["value"] == pytest.approx(machine["vbd_xvda_read_latency"])
        requests = told["iops_read"]["value"] * told["read_latency"]["value"]
        requests += told["iops_write"]["value"] * told["write_latency"]["value"]
        assert told["iowait"]["value"] == pytest.approx(requests / 1e6)
        assert told["physical_size"]["value"] > told["physical_utilisation"]["value"] > 0
        assert await site.call("SR.query_data_source", site.pool.sr, "iops_read") == told["iops_read"]["value"]
        await site.call("SR.record_data_source", site.pool.sr, "iops_read")
        for message in ("query_data_source", "record_data_source", "forget_data_source_archives"):
            assert await refusal_of(site, f"SR.{message}", site.pool.sr, "x") == ["INVALID_VALUE", "data_source", "x"]


async def test_a_history_that_is_given_up_begins_anew() -> None:
    async with action_server() as site:
        vm, store = await measured(site), site.pool.store
        for cls, kind, ref, name in (
            ("VM", "vm", vm, "memory"),
            ("host", "host", site.pool.hosts[0], "cpu_avg"),
            ("SR", "sr", site.pool.sr, "iowait"),
        ):
            series = Series(kind, store.get(ref)["uuid"], name)
            others = [one for one in site.recorder.series(kind, series.uuid) if one != series]
            assert len(list(site.recorder.rows(0, [series], 0, "AVERAGE"))) > 1
            await told_here(site, f"{cls}.forget_data_source_archives", ref, name)
            assert site.recorder.series(kind, series.uuid) == others
            refusal = await refusal_of(site, f"{cls}.forget_data_source_archives", ref, name)
            assert refusal == ["INVALID_VALUE", "data_source", name]
            await site.pool.pass_time(5)
            await sample(site.recorder, site.pool.engine)
            assert len(list(site.recorder.rows(0, [series], 0, "AVERAGE"))) == 1
