"""Measurements over HTTP: /rrd_updates, /vm_rrd, /host_rrd, /sr_rrd; and the task that takes the samples.

Rule 1: samples are those of the data sources (api/handlers/data_sources.py), taken every STEP seconds of the clock.
Rule 2: a request is about one host: the one whose endpoint it came to, or the coordinator. Times are UTC seconds.
Rule 3: JSON of updates has numbers, and null for what is unknown; JSON of databases has strings alone, as in xapi.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from html import escape
from typing import Any, Final, TypeVar

import orjson

from xenapi_core.api.handlers.data_sources import (
    Moved,
    Source,
    connected_hosts,
    host_choices,
    host_sources,
    moved_on,
    sr_choices,
    sr_sources,
    storage_sources,
    vm_choices,
    vm_sources,
)
from xenapi_core.bridge.source import Recorded
from xenapi_core.clock import Slices
from xenapi_core.drivers.api import DriverError
from xenapi_core.engine.engine import Engine
from xenapi_core.errors import E
from xenapi_core.server.actions.action import NO_CACHE, ActionCall, serves
from xenapi_core.server.actions.history import History
from xenapi_core.server.actions.recorder import ARCHIVES, FUNCTIONS, STEP, Recorder, Series, archive_for
from xenapi_core.server.routes import Response
from xenapi_core.store.api import Version

T = TypeVar("T")
_SLICES: Final = Slices()

ANSWER_WITHIN: Final = 4.0  # seconds of real time a host has for one sample
_XML: Final = (NO_CACHE, ("Content-Type", "text/xml"))
_JSON: Final = (NO_CACHE, ("Content-Type", "application/json"))


async def sample(recorder: Recorder, engine: Engine) -> None:
    """Take one sample of everything that answers: of what is standard, and of the choices that were made."""
    store, values = engine.world.store, dict[Series, float]()
    choices: dict[tuple[str, str], Callable[[], Iterable[Source]]] = {}

    def add(kind: str, uuid: str, sources: Iterable[Mapping[str, Any]]) -> None:
        values.update({Series(kind, uuid, one["name_label"]): float(one["value"]) for one in sources})

    moved: dict[str, list[Moved]] = {}
    for ref, hypervisor in list(engine.hypervisors.items()):
        usage = await _in_time(hypervisor.usage())
        host = store.find(ref)
        if usage is None or host is None:
            continue
        of_host = moved_on(store, usage)
        for sr_ref, disks in of_host.items():
            moved.setdefault(sr_ref, []).extend(disks)
        add("host", host["uuid"], (*host_sources(usage), *storage_sources(store, ref, of_host)))
        choices["host", host["uuid"]] = partial(host_choices, store, ref, of_host)
        for uuid, machine in usage.machines.items():
            vm = store.by_uuid("VM", uuid)
            if vm is not None:
                add("vm", uuid, vm_sources(vm, machine))
                choices["vm", uuid] = partial(vm_choices, machine)
    connected = [ref for ref in engine.storages if store.find(ref) is not None and connected_hosts(store, ref)]
    spaces = await asyncio.gather(*(_in_time(engine.storages[ref].usage()) for ref in connected))
    for ref, space in zip(connected, spaces, strict=True):
        sr = store.find(ref)
        if space is not None and sr is not None:
            add("sr", sr["uuid"], sr_sources(*space, moved.get(ref, ())))
            choices["sr", sr["uuid"]] = partial(sr_choices, moved.get(ref, ()))
    chosen: dict[tuple[str, str], set[str]] = {}
    for series in recorder.besides(values):
        chosen.setdefault((series.kind, series.uuid), set()).add(series.name)
    for owner in chosen.keys() & choices.keys():
        add(*owner, (one for one in choices[owner]() if one["name_label"] in chosen[owner]))
    recorded = _SLICES.run(recorder.recording(engine.world.clock.now(), values))
    if recorded is not None:
        await recorded


async def _in_time(answer: Awaitable[T]) -> T | None:
    """What a driver tells; None if it does not answer."""
    try:
        async with asyncio.timeout(ANSWER_WITHIN):
            return await answer
    except (DriverError, TimeoutError):
        return None


async def follow(history: History, engine: Engine) -> None:
    """Take samples, and keep them, until cancelled."""
    while True:
        await sample(history.recorder, engine)
        await history.save_when_due()
        await engine.world.clock.sleep(STEP)


def host_called(call: ActionCall) -> Version:
    """The host that a request is about (rule 2)."""
    if call.request.peer.host:
        return call.store.get(call.request.peer.host, "host")
    (pool,) = call.store.all("pool").values()
    return call.store.get(pool["master"], "host")


def _number(value: float) -> str:
    return "NaN" if math.isnan(value) else repr(value)


@serves("rrd_updates")
async def rrd_updates(call: ActionCall) -> Response:
    """Rows since `start` of the host's VMs, with host=true of the host itself, and of the SRs it is connected to.

    `vm_uuid` (or `uuid`), `sr_uuid`: "all", "none" or one of them; all VMs and no SRs if it is left out. `cf`: AVERAGE,
    MIN or MAX; all three if it is left out. `interval`: seconds a row shall stand for, at least. json=true: JSON
    instead of XML. INVALID_VALUE, UUID_INVALID.
    """
    recorder, host = call.parts.recorder, host_called(call)
    start = call.number("start", 0)
    interval = call.number("interval", STEP)
    wanted = call.query.get("cf", "").upper()
    if wanted and wanted not in FUNCTIONS:
        raise E.INVALID_VALUE("cf", wanted)
    vms = _chosen(call, "VM", call.store.related(host.ref, "resident_VMs"), "all", "vm_uuid", "uuid")
    pbds = map(call.store.get, call.store.related(host.ref, "PBDs"))
    srs = _chosen(call, "SR", [pbd["SR"] for pbd in pbds if pbd["currently_attached"]], "none", "sr_uuid")
    chosen = [one for uuid in vms for one in recorder.series("vm", uuid)]
    if call.flag("host"):
        chosen += recorder.series("host", host["uuid"])
    chosen += [one for uuid in srs for one in recorder.series("sr", uuid)]
    index = archive_for(interval, max(0, recorder.last - start) if start else 0)
    columns = [(name, one) for name in ([wanted] if wanted else FUNCTIONS) for one in chosen]
    rows = _rows(recorder, index, [wanted] if wanted else list(FUNCTIONS), chosen, start)
    legend = [f"{name}:{one.kind}:{one.uuid}:{one.name}" for name, one in columns]
    step = ARCHIVES[index][0] * STEP
    end = rows[0][0] if rows else recorder.last
    meta = {"start": start, "step": step, "end": end, "rows": len(rows), "columns": len(columns)}
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


def recorded(recorder: Recorder, cls: str, uuid: str, start: int, interval: int) -> Recorded:
    """The recorded rows of a VM or host, with all functions of all its series (Source.recorded)."""
    series = recorder.series(cls.lower(), uuid)
    index = archive_for(interval, max(0, recorder.last - start))
    legend = tuple(f"{name}:{one.kind}:{one.uuid}:{one.name}" for name in FUNCTIONS for one in series)
    rows = _rows(recorder, index, list(FUNCTIONS), series, start)
    return Recorded(ARCHIVES[index][0] * STEP, legend, tuple((at, tuple(values)) for at, values in rows))


def _chosen(call: ActionCall, cls: str, here: Iterable[str], default: str, *names: str) -> list[str]:
    """The uuids an argument asks for, of the objects of a host or of one anywhere. UUID_INVALID, HANDLE_INVALID."""
    wanted = call.text(*names) or default
    if wanted == "none":
        return []
    if wanted == "all":
        return sorted(call.store.get(ref)["uuid"] for ref in here)
    return [call.object(cls, *names)["uuid"]]


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
    return _archive(call, call.parts.recorder.series("host", host_called(call)["uuid"]))


@serves("sr_rrd")
async def sr_rrd(call: ActionCall) -> Response:
    """Everything kept of one SR (`uuid`)."""
    return _archive(call, call.parts.recorder.series("sr", call.object("SR", "uuid")["uuid"]))


def database_xml(recorder: Recorder, kind: str, uuid: str) -> bytes:
    """The round robin database of all series of a host, VM or SR (`kind` as in Series)."""
    return "".join(_written("rrd", _database(recorder, recorder.series(kind, uuid)))).encode()


def _archive(call: ActionCall, series: list[Series]) -> Response:
    """The round robin database of some series, as XML or JSON."""
    database = _database(call.parts.recorder, series)
    if call.flag("json"):
        return Response(200, _JSON, orjson.dumps(database))
    return Response(200, _XML, "".join(_written("rrd", database)).encode())


def _database(recorder: Recorder, series: list[Series]) -> dict[str, Any]:
    """The database as JSON has it (rule 3); rows come oldest first, and each has a value of every data source."""
    sources = []
    for one in series:
        value = _number(recorder.values.get(one, math.nan))
        sources.append({
            "name": one.name, "type": "GAUGE", "minimal_heartbeat": "300.0", "min": "0.0", "max": "Infinity",
            "last_ds": value, "value": value, "unknown_sec": "0",
        })  # fmt: skip
    archives = []
    for index, (samples, _) in enumerate(ARCHIVES):
        for function in FUNCTIONS[: 1 if samples == 1 else None]:
            rows = list(recorder.rows(index, series, 0, function)) if series else []
            archives.append({
                "cf": function, "pdp_per_row": str(samples), "params": {"xff": "0.5"},
                "cdp_prep": {"ds": [_unfinished(value) for value in recorder.unfinished(index, series, function)]},
                "database": [[_number(value) for value in values] for _, values in reversed(rows)],
            })  # fmt: skip
    return {"version": "0003", "step": str(STEP), "lastupdate": str(recorder.last), "ds": sources, "rra": archives}


def _unfinished(value: float) -> dict[str, str]:
    """What a row that is not complete comes to so far."""
    return {
        "primary_value": "0.0", "secondary_value": "0.0", "value": _number(value), "unknown_datapoints": "0",
    }  # fmt: skip


def _written(name: str, value: Any) -> Iterable[str]:
    """XML of what JSON has: lists are elements of the same name, and those in a database its rows."""
    if isinstance(value, str):
        return (f"<{name}>{escape(value)}</{name}>",)
    if isinstance(value, list) and name == "database":
        rows = (f"<row>{''.join(f'<v>{each}</v>' for each in row)}</row>" for row in value)
        return (f"<{name}>", *rows, f"</{name}>")
    if isinstance(value, list):
        return [piece for each in value for piece in _written(name, each)]
    return (f"<{name}>", *(piece for key, each in value.items() for piece in _written(key, each)), f"</{name}>")
