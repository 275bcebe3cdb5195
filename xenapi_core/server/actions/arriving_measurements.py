"""Imports measurements of a VM or host that were taken elsewhere: PUT /rrd."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from xenapi_core.errors import E
from xenapi_core.server.actions.action import NO_CACHE, ActionCall, serves
from xenapi_core.server.actions.recorder import ARCHIVES, FUNCTIONS, STEP, Rows, Series
from xenapi_core.server.actions.xva import unzipped
from xenapi_core.server.routes import Response
from xenapi_core.wire import rrd


@serves("rrd")
async def put_rrd(call: ActionCall) -> Response:
    """Take over the measurements of the VM `uuid` (`is_host`: of that host), plain or compressed, in place of those
    that have the same names. UUID_INVALID; IMPORT_ERROR for what is no such database, has another step, or is of the
    future."""
    kind, cls = ("host", "host") if call.flag("is_host") else ("vm", "VM")
    uuid = call.object(cls, "uuid")["uuid"]
    try:
        found = await asyncio.to_thread(rrd.decode, await _received(call))
    except rrd.RrdError as error:
        raise E.IMPORT_ERROR(f"The measurements cannot be read: {error}.") from error
    if found.step != STEP:
        raise E.IMPORT_ERROR(f"The measurements are {found.step} seconds apart; here it is {STEP}.")
    if found.last > call.services.clock.now():
        raise E.IMPORT_ERROR("The measurements are of the future.")
    columns = range(len(found.names))
    series = {Series(kind, uuid, found.names[column]): _series(found, column) for column in columns}
    call.parts.recorder.adopt(found.last, series)
    return Response(200, (NO_CACHE,))


async def _received(call: ActionCall) -> bytes:
    parts, size = [], 0
    async with aclosing(unzipped(aiter(call.upload()))) as pieces:  # type: ignore[type-var]
        async for data in pieces:
            parts.append(data)
            size += len(data)
            if size > rrd.LARGEST:
                raise E.IMPORT_ERROR(f"Measurements have at most {rrd.LARGEST} bytes.")
    return b"".join(parts)


def _series(found: rrd.RoundRobin, column: int) -> Rows:
    """The rows of one data source that fit our archives, by archive; a single sample is its own least and most."""
    made = {}
    for index, (samples, _) in enumerate(ARCHIVES):
        rows = {name: found.rows.get((samples, name if samples > 1 else FUNCTIONS[0]), []) for name in FUNCTIONS}
        if len({len(each) for each in rows.values()}) != 1:
            raise E.IMPORT_ERROR("The measurements cannot be read: archives of one resolution differ in length.")
        made[index] = {name: [row[column] for row in each] for name, each in rows.items()}
    return made
