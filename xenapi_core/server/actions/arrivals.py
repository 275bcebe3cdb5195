"""Receives a VM from another pool: PUT /services/xenops (server/exchange.py is the sender)."""

from __future__ import annotations

import orjson

from xenapi_core.engine.steps.vm_arrive import Journey, plan_arrive
from xenapi_core.errors import E
from xenapi_core.server.actions import xva
from xenapi_core.server.actions.action import NO_CACHE, ActionCall, serves
from xenapi_core.server.actions.machines import filler, objects_of
from xenapi_core.server.routes import Response

_NAME = "journey.json"
_LARGEST = 4 << 20


@serves("put_services_xenops")
async def receive(call: ActionCall) -> Response:
    """The result of the task is the VM. What is broken, damaged or refused leaves nothing behind.

    IMPORT_ERROR.., HANDLE_INVALID for places that are not here, and what forbids the host to take a VM.
    """
    archive = xva.TarStream(xva.unzipped(call.upload()))
    found = await archive.next()
    if found is None or found[0] != _NAME:
        raise E.IMPORT_ERROR_UNEXPECTED_FILE(_NAME, found[0] if found else "")
    journey = _journey(await archive.body(found[1], _LARGEST))
    objects = await objects_of(archive)
    fill = filler(archive)
    work = call.work("Arrival of a VM")
    vm = await call.wait(work, lambda world: plan_arrive(world, objects, journey, fill), "VM.migrate_send")
    return Response(200, (NO_CACHE, ("Content-Type", "text/plain")), vm.encode())


def _journey(data: bytes) -> Journey:
    """IMPORT_ERROR."""
    try:
        told = orjson.loads(data)
        maps = [{str(name): str(ref) for name, ref in told[key].items()} for key in ("disks", "networks")]
        return Journey(str(told["vm"]), str(told["host"]), bool(told["running"]), bool(told["copied"]), *maps)
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise E.IMPORT_ERROR(f"{_NAME} makes no sense: {error}") from error
