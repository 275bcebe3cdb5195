"""PUT /rrd: measurements that were taken elsewhere are told here as if they had been taken here."""

from __future__ import annotations

import gzip
import json
import math
from typing import Any

import pytest
from action_server import action_server

from xenapi_core.server.actions.measurements import database_xml
from xenapi_core.server.actions.recorder import ARCHIVES, STEP, Recorder, Series
from xenapi_core.wire.rrd import RrdError, decode

ELSEWHERE = "a machine of another server"
MEMORY, CPU = Series("vm", ELSEWHERE, "memory"), Series("vm", ELSEWHERE, "cpu0")


def recorded(until: int, count: int = 2000) -> Recorder:
    """Two series of another server: the number of the sample, and its double."""
    recorder = Recorder()
    for number in range(count):
        at = until - (count - 1 - number) * STEP
        recorder.record(at, {CPU: float(number), MEMORY: float(2 * number)})
    return recorder


def document(until: int) -> bytes:
    return database_xml(recorded(until), "vm", ELSEWHERE)


def rows(recorder: Recorder, series: list[Series], index: int, function: str) -> list[Any]:
    return [
        (at, values) for at, values in recorder.rows(index, series, 0, function) if not any(map(math.isnan, values))
    ]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", ["vm", "host"])
async def test_measurements_of_elsewhere_are_told_here(kind: str, packed: bool) -> None:
    async with action_server() as site:
        cls, ref = ("VM", site.pool.add_vm()) if kind == "vm" else ("host", site.pool.hosts[0])
        uuid, now = site.pool.store.get(ref)["uuid"], site.services.clock.now()
        there = recorded(now - 60)
        body = database_xml(there, "vm", ELSEWHERE)
        path = f"/rrd?uuid={uuid}&is_host={'true' if cls == 'host' else 'false'}"
        assert (await site.root("PUT", path, gzip.compress(body) if packed else body)).status == 200
        here = [Series(kind, uuid, one.name) for one in (CPU, MEMORY)]
        for index in range(len(ARCHIVES)):
            for function in ("AVERAGE", "MIN", "MAX"):
                assert rows(site.recorder, here, index, function) == rows(there, [CPU, MEMORY], index, function)


def test_what_is_measured_next_follows_what_came() -> None:
    recorder, last = Recorder(), 1_000_020
    found = decode(document(last))
    assert (found.step, found.last, found.names) == (STEP, last, ("cpu0", "memory"))
    here = Series("vm", "here", "cpu0")
    recorder.adopt(last, {here: {
        index: {name: [1.0, 2.0] for name in ("AVERAGE", "MIN", "MAX")} for index in range(len(ARCHIVES))
    }})  # fmt: skip
    recorder.record(last + 10, {here: 3.0})
    told = dict(recorder.rows(0, [here], last - 15, "AVERAGE"))
    assert (told[last - 5], told[last], told[last + 10]) == ([1.0], [2.0], [3.0])
    assert math.isnan(told[last + 5][0])
    for _ in recorder.packed():
        pass  # it can be written to disk


async def test_updates_have_what_came() -> None:
    async with action_server() as site:
        vm = await site.pool.running()
        uuid = site.pool.store.get(vm)["uuid"]
        last = site.services.clock.now() - STEP
        last -= last % STEP
        assert (await site.root("PUT", f"/rrd?uuid={uuid}", document(last))).status == 200
        reply = await site.root("GET", f"/rrd_updates?start={last - 10}&cf=AVERAGE&json=true&uuid={uuid}")
        told = json.loads(reply.body)
        assert told["meta"]["legend"] == [f"AVERAGE:vm:{uuid}:{name}" for name in ("cpu0", "memory")]
        assert {"t": last, "values": [1999.0, 3998.0]} in told["data"]


WRONG: list[Any] = [
    (b"", "IMPORT_ERROR_PREMATURE_EOF"),
    (b"no XML", "IMPORT_ERROR"),
    (b"<!DOCTYPE rrd><rrd/>", "IMPORT_ERROR"),
    (b"<other/>", "IMPORT_ERROR"),
    (b"<rrd/>", "IMPORT_ERROR"),
    (b"<rrd><step>5</step><lastupdate>-1</lastupdate></rrd>", "IMPORT_ERROR"),
    (b"<rrd><step>300</step><lastupdate>0</lastupdate></rrd>", "IMPORT_ERROR"),
    (b"<rrd><step>5</step><lastupdate>1e300</lastupdate></rrd>", "IMPORT_ERROR"),
    (b"<rrd><step>5</step><lastupdate>inf</lastupdate></rrd>", "IMPORT_ERROR"),
    (b"<rrd><step>5</step><lastupdate>99999999999</lastupdate></rrd>", "IMPORT_ERROR"),
    (b"<rrd><step>5</step><lastupdate>0</lastupdate><ds/></rrd>", "IMPORT_ERROR"),
    (b"<rrd><step>5</step><lastupdate>0</lastupdate><ds><name>" + b"a" * 300 + b"</name></ds></rrd>", "IMPORT_ERROR"),
    (
        b"<rrd><step>5</step><lastupdate>0</lastupdate><ds><name>a</name></ds><rra><cf>MAX</cf>"
        b"<pdp_per_row>12</pdp_per_row><database><row><v>1</v></row></database></rra></rrd>",
        "IMPORT_ERROR",
    ),
    (b"\x1f\x8bdamaged", "IMPORT_ERROR"),
]


@pytest.mark.parametrize(("body", "code"), WRONG)
async def test_what_are_no_measurements_changes_nothing(body: bytes, code: str) -> None:
    async with action_server() as site:
        uuid, task = site.pool.store.get(site.pool.add_vm())["uuid"], site.task()
        assert (await site.root("PUT", f"/rrd?uuid={uuid}&task_id={task}", body)).status == 500
        assert site.told(task)[1][0] == code
        assert site.recorder.series("vm") == []
        assert (await site.root("PUT", "/rrd?uuid=nobody", document(0))).status == 404


def test_a_row_has_a_value_of_each_data_source() -> None:
    body = document(1_000_000).replace(b"<row><v>", b"<row><v>1.0</v><v>", 1)
    with pytest.raises(RrdError, match="another number of values"):
        decode(body)
