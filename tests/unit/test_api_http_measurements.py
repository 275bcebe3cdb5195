"""Measurements over HTTP: the same samples as the data sources, thinned out, as XML and as JSON."""

from __future__ import annotations

import json
import math
import xml.etree.ElementTree as ET

import pytest
from action_server import Site, on_site

from xenapi_core.server.actions.measurements import sample
from xenapi_core.server.actions.recorder import ARCHIVES, Recorder, Series, archive_for

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
    assert recorder.last - 10 not in rows


@pytest.mark.parametrize(
    ("interval", "age", "index"), [(5, 0, 0), (5, 600, 0), (5, 601, 1), (60, 10, 1), (61, 10, 2), (5, 10**9, 3)]
)
def test_the_archive_fits_the_question(interval: int, age: int, index: int) -> None:
    assert archive_for(interval, age) == index


async def measured(site: Site) -> str:
    """A VM that runs, with a few samples; its reference."""
    vm = await site.pool.running()
    for _ in range(4):
        await sample(site.recorder, site.pool.engine)
        await site.pool.pass_time(5)
    return vm


def test_updates_tell_what_the_data_sources_tell() -> None:
    async def scene(site: Site) -> None:
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
        assert named == {source["name_label"] for source in sources}
        assert any(entry.startswith("AVERAGE:host:") for entry in legend)
        times = [int(row.findtext("t") or "") for row in tree.iterfind("data/row")]
        assert times == sorted(times, reverse=True)
        assert tree.findtext("meta/rows") == str(len(times))
        assert times[0] == site.recorder.last
        newest = dict(zip(legend, [v.text for v in tree.iterfind("data/row[1]/v")], strict=True))
        memory = next(source["value"] for source in sources if source["name_label"] == "memory")
        assert float(newest[f"AVERAGE:vm:{uuid}:memory"] or "") == memory

    on_site(scene)


def test_the_newest_samples_are_told_by_object_and_change_nothing_in_the_pool() -> None:
    async def scene(site: Site) -> None:
        vm = await measured(site)
        before, revision = site.recorder.newest, site.pool.store.revision
        sources = await site.call("VM.get_data_sources", vm)
        told = before.values[site.pool.store.get(vm)["uuid"]]
        assert told == {source["name_label"]: source["value"] for source in sources}
        await sample(site.recorder, site.pool.engine)
        assert site.recorder.newest is not before
        assert site.pool.store.revision == revision

    on_site(scene)


def test_json_tells_the_same_as_xml() -> None:
    async def scene(site: Site) -> None:
        vm = await measured(site)
        path = f"/rrd_updates?start={site.recorder.last - 12}&uuid={site.pool.store.get(vm)['uuid']}"
        tree = ET.fromstring((await site.root("GET", path)).body)
        told = json.loads((await site.root("GET", path + "&json=true")).body)
        assert told["meta"]["legend"] == [entry.text for entry in tree.iterfind("meta/legend/entry")]
        assert [row["t"] for row in told["data"]] == [int(t.text or "") for t in tree.iterfind("data/row/t")]
        assert told["data"][0]["values"] == [float(v.text or "") for v in tree.iterfind("data/row[1]/v")]
        assert not any(":host:" in entry for entry in told["meta"]["legend"])

    on_site(scene)


def test_databases_of_vms_and_hosts_hold_every_source() -> None:
    async def scene(site: Site) -> None:
        vm = await measured(site)
        for path, names in (
            (f"/vm_rrd?uuid={site.pool.store.get(vm)['uuid']}", {"cpu0", "memory", "memory_target"}),
            ("/host_rrd", {"cpu_avg", "memory_total_kib", "memory_free_kib"}),
        ):
            tree = ET.fromstring((await site.root("GET", path)).body)
            assert tree.findtext("step") == "5"
            assert tree.findtext("lastupdate") == str(site.recorder.last)
            assert names <= {ds.findtext("name") for ds in tree.iterfind("ds")}
            columns = len(tree.findall("ds"))
            rows = tree.findall("rra[1]/database/row")
            assert rows
            assert {len(row) for row in rows} == {columns}

    on_site(scene)


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/rrd_updates?start=x", 500, b"INVALID_VALUE"),
        ("/rrd_updates?cf=MEDIAN", 500, b"INVALID_VALUE"),
        ("/rrd_updates?uuid=none", 404, b"UUID_INVALID"),
        ("/vm_rrd?uuid=none", 404, b"UUID_INVALID"),
        ("/vm_rrd", 404, b"UUID_INVALID"),
        ("/host_rrd?json=true", 501, b"NOT_IMPLEMENTED"),
        ("/sr_rrd", 501, b"NOT_IMPLEMENTED"),
    ],
)
def test_questions_that_make_no_sense_are_refused(path: str, status: int, words: bytes) -> None:
    async def scene(site: Site) -> None:
        reply = await site.root("GET", path)
        assert reply.status == status
        assert words in reply.body

    on_site(scene)


def test_a_host_that_does_not_answer_is_left_out() -> None:
    async def scene(site: Site) -> None:
        await measured(site)
        before = site.recorder.last
        site.pool.sim.hosts[site.pool.store.get(site.pool.hosts[0])["uuid"]].fail()
        await site.pool.pass_time(5)
        await sample(site.recorder, site.pool.engine)
        assert site.recorder.last > before
        assert site.recorder.values == {}

    on_site(scene)
