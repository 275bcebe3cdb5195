"""Reading and writing whole disks: /export_raw_vdi and /import_raw_vdi."""

from __future__ import annotations

from contextlib import aclosing
from typing import Final

from xenapi_core.drivers.storage import Storage
from xenapi_core.engine.plan import Run
from xenapi_core.engine.steps.vdi_transfer import plan_overwrite, plan_read
from xenapi_core.errors import E
from xenapi_core.server.actions import disk_bytes
from xenapi_core.server.actions.action import NO_CACHE, ActionCall, serves
from xenapi_core.server.actions.pipe import Pipe
from xenapi_core.server.routes import Response
from xenapi_core.server.upload import UploadBroken
from xenapi_core.store.api import Version

_TYPES: Final = {"raw": "application/octet-stream", "vhd": "application/vhd"}


def _format(call: ActionCall) -> str:
    """INVALID_VALUE for a format we do not write or read."""
    name = call.text("format") or "raw"
    if name not in _TYPES:
        raise E.INVALID_VALUE("format", name)
    return name


@serves("get_export_raw_vdi")
async def export_raw_vdi(call: ActionCall) -> Response:
    """The bytes of a disk (`vdi`), as `format` raw (default) or vhd.

    With the disk `base` (vhd only) what differs from it: a differencing VHD whose parent it is.
    """
    vdi, form, pipe = call.object("VDI", "vdi"), _format(call), Pipe()
    base = call.object("VDI", "base") if call.text("base") else None
    if base is not None and form != "vhd":
        raise E.INVALID_VALUE("format", form)

    async def send(run: Run, storage: Storage, record: Version) -> None:
        if form == "vhd":
            await disk_bytes.send_vhd(pipe, run, storage, record, base)
        else:
            await disk_bytes.send_raw(pipe, run, storage, record)

    other, use = base.ref if base is not None else None, call.lend(send)
    task = call.engine.start(call.work("Export of raw VDI"), lambda world: plan_read(world, vdi.ref, use, other))
    await pipe.follow(task)
    name = ("Content-Disposition", f'attachment; filename="{vdi["uuid"]}.{form}"')
    return Response(200, (NO_CACHE, ("Content-Type", _TYPES[form]), name), stream=pipe, length=pipe.length)


@serves("put_import_raw_vdi")
async def import_raw_vdi(call: ActionCall) -> Response:
    """Write a disk (`vdi`) from its beginning on; `format` raw (default) or vhd, or raw in `chunked` form."""
    vdi, form = call.object("VDI", "vdi"), _format(call)
    if call.probing:
        return Response(200, (NO_CACHE,))
    upload = call.upload()
    decode = disk_bytes.raw if form == "raw" else disk_bytes.from_vhd
    if call.flag("chunked") and form == "raw":
        decode = disk_bytes.chunked

    async def use(run: Run, storage: Storage, record: Version) -> None:
        total = min(upload.size or record["virtual_size"], record["virtual_size"])
        try:
            async with aclosing(decode(upload, record)) as pieces:  # type: ignore[type-var]
                async for offset, data in pieces:
                    await storage.write(record["uuid"], offset, data)
                    run.progress(upload.received / total)
        except UploadBroken as error:
            if upload.endless:
                raise E.VDI_IO_ERROR("The client left, as it does at the end of what it has.") from error
            raise E.IMPORT_ERROR_PREMATURE_EOF() from error

    await call.wait(call.work("Import of raw VDI"), lambda world: plan_overwrite(world, vdi.ref, call.lend(use)))
    return Response(200, (NO_CACHE,))
