"""/connected_disk: the raw bytes of a disk, while a client of the WBEM server is connected to it.

It is no action of the API reference: it serves the addresses that ConnectToDiskImage gives out (docs/
moving-from-xs-cim.md). Who asks logs in as for /export_raw_vdi and /import_raw_vdi, which do the work.

Rule 1: whoever ends a connection ends what is read and written through it: the operation is cancelled, and its client
        is told TASK_CANCELLED. A connection whose time is over while bytes move lasts until they have, or until
        somebody else connects to the disk.
"""

from __future__ import annotations

import asyncio
from typing import Final

from xenapi_core.drivers.storage import Storage
from xenapi_core.engine.plan import Run
from xenapi_core.engine.steps.vdi_transfer import Use
from xenapi_core.errors import E
from xenapi_core.model.disk_connections import PATH, Connection, live_connections
from xenapi_core.model.http_actions import HttpAction
from xenapi_core.model.schema import VM_ADMIN
from xenapi_core.server.actions.action import ActionCall, serves
from xenapi_core.server.actions.disks import export_raw_vdi, import_raw_vdi
from xenapi_core.server.routes import Response
from xenapi_core.store.api import Version

_ARGS: Final = ("vdi:string", "connection:string")
CONNECTED_DISKS: Final = (
    HttpAction("get_connected_disk", "GET", PATH, VM_ADMIN, "Read a connected disk.", _ARGS, listed=False),
    HttpAction("put_connected_disk", "PUT", PATH, VM_ADMIN, "Write a connected disk.", _ARGS, listed=False),
)


def _request_raw_bytes(call: ActionCall, writes: bool) -> None:
    """Make the request one for the disk's raw bytes while it is connected. HANDLE_INVALID for a connection that has
    ended or never was, VDI_READONLY for writing through one to read."""
    vdi, handle = call.object("VDI", "vdi"), call.text("connection")
    live = live_connections(vdi, call.engine.world.clock.now())
    found = next((one for one in live if one.handle == handle), None)
    if found is None:
        raise E.HANDLE_INVALID("connection", handle)
    if writes and not found.writes:
        raise E.VDI_READONLY(vdi.ref)
    call.query = {"vdi": vdi["uuid"]}
    call.lend = lambda use: _while_connected(call, vdi.ref, found, use)


def _while_connected(call: ActionCall, vdi: str, connection: Connection, use: Use) -> Use:
    """The same use of the disk, cancelled when the connection ends (rule 1). HANDLE_INVALID if it ended before."""
    store = call.store

    def there() -> bool:
        disk = store.find(vdi)
        return disk is not None and connection.key in disk["other_config"]

    async def watch(run: Run) -> None:
        while there():
            await store.wait(store.revision, None)
        call.engine.cancel(run.task)

    async def connected(run: Run, storage: Storage, record: Version) -> None:
        if not there():
            raise E.HANDLE_INVALID("connection", connection.handle)
        watching = asyncio.get_running_loop().create_task(watch(run))
        try:
            await use(run, storage, record)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    return connected


@serves("get_connected_disk")
async def read_connected(call: ActionCall) -> Response:
    _request_raw_bytes(call, writes=False)
    return await export_raw_vdi(call)


@serves("put_connected_disk")
async def write_connected(call: ActionCall) -> Response:
    _request_raw_bytes(call, writes=True)
    return await import_raw_vdi(call)
