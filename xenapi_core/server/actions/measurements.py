"""Measurements over HTTP: /rrd_updates, /vm_rrd, /host_rrd; and the task that takes the samples.

Rule 1: samples are those of the data sources (api/handlers/data_sources.py), taken every STEP seconds of the clock.
Rule 2: a request is about one host: the one whose endpoint it came to, or the coordinator. Times are UTC seconds.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Iterator
from html import escape
from typing import Any, Final

import orjson

from xenapi_core.api.handlers.data_sources import host_sources, vm_sources
from xenapi_core.drivers.api import DriverError
from xenapi_core.engine.engine import Engine
from xenapi_core.errors import E
from xenapi_core.server.actions.action import NO_CACHE, ActionCall, serves
from xenapi_core.server.actions.recorder import ARCHIVES, FUNCTIONS, STEP, Recorder, Series, archive_for
from xenapi_core.server.routes import Response
from xenapi_core.store.api import Version

ANSWER_WITHIN: Final = 4.0  # seconds of real time a host has for one sample
_XML: Final = (NO_CACHE, ("Content-Type", "text/xml"))
_JSON: Final = (NO_CACHE, ("Content-Type", "application/json"))


async def sample(recorder: Recorder, engine: Engine) -> None:
    """Take one sample of everything that answers."""
    store, values = engine.world.store, {}
    for ref, hypervisor in list(engine.hypervisors.items()):
        host = store.find(ref)
        try:
            async with asyncio.timeout(ANSWER_WITHIN):
                usage = await hypervisor.usage()
        except (DriverError, TimeoutError):
            continue
        if host is None:
            continue
        for source in host_sources(usage):
            values[Series("host", host["uuid"], source["name_label"])] = float(source["value"])
        for uuid, machine in usage.machines.items():
            vm = store.by_uuid("VM", uuid)
            if vm is not None:
                for source in vm_sources(vm, machine):
                    values[Series("vm", uuid, source["name_label"])] = float(source["value"])
    recorder.record(engine.world.clock.now(), values)


async def follow(recorder: Recorder, engine: Engine) -> None:
    """Take samples until cancelled."""
    while True:
        await sample(recorder, engine)
        await engine.world.clock.sleep(STEP)


def _host(call: ActionCall) -> Version:
    """Rule 2."""
    if call.request.peer.host:
        return call.store.get(call.request.peer.host, "host")
    (pool,) = call.store.all("pool").values()
    return call.store.get(pool["master"], "host")


def _number(value: float) -> str:
    return "NaN" if math.isnan(value) else repr(value)


@serves("rrd_updates")
async def rrd_updates(call: ActionCall) -> Response:
    """Rows since `start` of the host's VMs (or of the one `uuid`), and with host=true of the host itself.

    `cf`: AVERAGE (default), MIN, MAX, or all three if it is empty; `interval`: seconds a row shall stand for, at least;
    json=true: JSON instead of XML. INVALID_VALUE.
    """
    recorder, host = call.parts.recorder, _host(call)
    start = call.number("start", 0)
    interval = call.number("interval", STEP)
    wanted = call.query.get("cf", "AVERAGE").upper()
    if wanted and wanted not in FUNCTIONS:
        raise E.INVALID_VALUE("cf", wanted)
    uuid = call.text("uuid", "vm_uuid")
    if uuid:
        uuids = [call.object("VM", "uuid", "vm_uuid")["uuid"]]
    else:
        vms = map(call.store.get, call.store.related(host.ref, "resident_VMs"))
        uuids = sorted(vm["uuid"] for vm in vms)
    chosen = [one for each in uuids for one in recorder.series("vm", each)]
    if call.flag("host"):
        chosen += recorder.series("host", host["uuid"])
    index = archive_for(interval, max(0, recorder.last - start) if start else 0)
    columns = [(name, one) for name in ([wanted] if wanted else FUNCTIONS) for one in chosen]
    rows = _rows(recorder, index, [wanted] if wanted else list(FUNCTIONS), chosen, start)
    legend = [f"{name}:{one.kind}:{one.uuid}:{one.name}" for name, one in columns]
    step = ARCHIVES[index][0] * STEP
    meta = {"start": start, "step": step, "end": recorder.last, "rows": len(rows), "columns": len(columns)}
    if call.flag("json"):
        data = [{"t": at, "values": [None if math.isnan(v) else v for v in values]} for at, values in rows]
        return Response(200, _JSON, orjson.dumps({"meta": {**meta, "legend": legend}, "data": data}))
    told = "".join(f"<{name}>{value}</{name}>" for name, value in meta.items())
    entries = "".join(f"<entry>{escape(entry)}</entry>" for entry in legend)
    body = "".join(
        f"<row><t>{at}</t>{''.join(f'<v>{_number(value)}</v>' for value in values)}</row>" for at, values in rows
    )
    text = f"<xport><meta>{told}<legend>{entries}</legend></meta><data>{body}</data></xport>"
    return Response(200, _XML, text.encode())


def _rows(
    recorder: Recorder, index: int, functions: list[str], series: list[Series], start: int
) -> list[tuple[int, list[float]]]:
    """Rows with the columns of all functions, the newest first."""
    if not series:
        return []
    parts = [list(recorder.rows(index, series, start, name)) for name in functions]
    return [(row[0][0], [value for _, values in row for value in values]) for row in zip(*parts, strict=True)]


@serves("vm_rrd", "get_vm_rrds")
async def vm_rrd(call: ActionCall) -> Response:
    """Everything kept of one VM (`uuid`)."""
    return _archive(call, call.parts.recorder.series("vm", call.object("VM", "uuid")["uuid"]))


@serves("host_rrd", "get_host_rrds")
async def host_rrd(call: ActionCall) -> Response:
    """Everything kept of the host."""
    return _archive(call, call.parts.recorder.series("host", _host(call)["uuid"]))


def _archive(call: ActionCall, series: list[Series]) -> Response:
    """The round robin database of some series, as XML. NOT_IMPLEMENTED as JSON."""
    if call.flag("json"):
        raise E.NOT_IMPLEMENTED(f"{call.action.name} as JSON")
    return Response(200, _XML, "".join(_database(call.parts.recorder, series)).encode())


def _database(recorder: Recorder, series: list[Series]) -> Iterator[str]:
    yield f"<rrd><version>0003</version><step>{STEP}</step><lastupdate>{recorder.last}</lastupdate>"
    for one in series:
        value = recorder.values.get(one, math.nan)
        yield from _elements(
            "ds", name=escape(one.name), type="GAUGE", minimal_heartbeat=300, min=0, max="Infinity",
            last_ds=_number(value), value=_number(value), unknown_sec=0,
        )  # fmt: skip
    for index, (samples, _) in enumerate(ARCHIVES):
        for function in FUNCTIONS[: 1 if samples == 1 else None]:
            yield f"<rra><cf>{function}</cf><pdp_per_row>{samples}</pdp_per_row>"
            yield "<params><xff>0.5</xff></params><database>"
            for _, values in reversed(list(recorder.rows(index, series, 0, function)) if series else []):
                yield from ("<row>", *(f"<v>{_number(value)}</v>" for value in values), "</row>")
            yield "</database></rra>"
    yield "</rrd>"


def _elements(outer: str, **inner: Any) -> Iterable[str]:
    return (f"<{outer}>", *(f"<{name}>{value}</{name}>" for name, value in inner.items()), f"</{outer}>")
