"""Export and import of VMs: /export, /export_metadata, /import, /import_metadata."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, Final

from xenapi_core.api.registry import Services
from xenapi_core.drivers.storage import PIECE
from xenapi_core.engine.exported import Exported, Fill, Import
from xenapi_core.engine.plan import Run
from xenapi_core.engine.steps.vm_export import disks_of, plan_export, records_of
from xenapi_core.engine.steps.vm_import import plan_import
from xenapi_core.errors import E
from xenapi_core.model.lifecycle import check_vm_operation
from xenapi_core.model.types import format_datetime
from xenapi_core.server.actions import xva
from xenapi_core.server.actions.action import NO_CACHE, ActionCall, serves
from xenapi_core.server.actions.pipe import Pipe
from xenapi_core.server.routes import Response
from xenapi_core.server.upload import UploadBroken
from xenapi_core.store.api import Version
from xenapi_core.wire.compression import compressor

_TYPE: Final = ("Content-Type", "application/octet-stream")


def about(services: Services) -> dict[str, str]:
    """The description of this server in the head of an export."""
    (pool,) = services.store.all("pool").values()
    host = services.store.find(pool["master"])
    return {
        "hostname": host["hostname"] if host is not None else "",
        "date": format_datetime(services.clock.now()),
        "product_brand": "xencim",
        "xapi_major": "1",
        "xapi_minor": "20",
    }


def _squeeze(call: ActionCall) -> Callable[[bytes | None], bytes]:
    """A function that compresses as `use_compression` asks; None ends the stream. INVALID_VALUE."""
    wanted = call.text("use_compression").lower()
    if wanted in ("", "false"):
        return lambda data: data or b""
    try:
        squeezer = compressor("gzip" if wanted == "true" else wanted)
    except KeyError:
        raise E.INVALID_VALUE("use_compression", wanted) from None
    return lambda data: squeezer.flush() if data is None else squeezer.compress(data)


@serves("get_export")
async def export(call: ActionCall) -> Response:
    """A VM (`uuid` or `ref`) that is not running, with its disks, compressed by `use_compression`: true or gzip, zstd.

    Saved memory goes along only with preserve_power_state=true; otherwise the VM arrives halted. Snapshots go along,
    with their disks and saved memory, with include_snapshots=true.
    """
    vm, pipe, squeeze = call.object("VM", "uuid", "ref"), Pipe(), _squeeze(call)
    keep, all_of_it = call.flag("preserve_power_state"), call.flag("include_snapshots")

    async def use(run: Run, record: Version) -> None:
        store = run.world.store
        image = record["suspend_VDI"]
        records = [one for one in records_of(store, record.ref, all_of_it) if keep or one.ref != image]
        owners = [one for one in records if one.cls == "VM"]
        disks = {disk.ref: disk for owner in owners for disk in disks_of(store, owner) if keep or disk.ref != image}
        names = xva.names_of(records)
        pipe.open(None)
        await pipe.put(squeeze(xva.member(xva.OVA, await xva.describe(call.services, records, about(call.services)))))
        total, done = sum(disk["virtual_size"] for disk in disks.values()), 0
        for disk in disks.values():
            async for number, data in chunks(run, disk):
                await pipe.put(squeeze(xva.chunk(f"{names[disk.ref]}/{number:08d}", data)))
                run.progress((done + number * xva.CHUNK) / total)
            done += disk["virtual_size"]
        await pipe.put(squeeze(xva.END))
        await pipe.put(squeeze(None))

    task = call.engine.start(call.work("Export of VM"), lambda world: plan_export(world, vm.ref, use, all_of_it))
    await pipe.follow(task)
    name = ("Content-Disposition", f'attachment; filename="{vm["uuid"]}.xva"')
    return Response(200, (NO_CACHE, _TYPE, name), stream=pipe)


async def chunks(run: Run, disk: Version) -> AsyncIterator[tuple[int, bytes]]:
    """(number, bytes) of the chunks that may hold data, the first and the last one."""
    storage, size = run.storage(disk["SR"]), disk["virtual_size"]
    last = (size - 1) // xva.CHUNK
    wanted = {0, last}
    for offset, length in await storage.extents(disk["uuid"]):
        wanted.update(range(offset // xva.CHUNK, (offset + length - 1) // xva.CHUNK + 1))
    for number in sorted(wanted):
        start = number * xva.CHUNK
        data = await storage.read(disk["uuid"], start, min(xva.CHUNK, size - start))
        if any(data) or number in (0, last):
            yield number, data


@serves("get_export_metadata")
async def export_metadata(call: ActionCall) -> Response:
    """The records of a VM (`uuid` or `ref`), or of every VM with all=true; snapshots too with export_snapshots=true.

    Templates that came with the server are left out of all, and so are control domains without include_dom0=true.
    """
    if call.flag("all"):
        vms = [
            vm
            for vm in call.store.all("VM").values()
            if not (vm["is_a_snapshot"] or vm["is_default_template"])
            and (call.flag("include_dom0") or not vm["is_control_domain"])
        ]
    else:
        vms = [call.object("VM", "uuid", "ref")]
    records: dict[str, Version] = {}
    for vm in vms:
        check_vm_operation(call.store, vm, "metadata_export")
        for record in records_of(call.store, vm.ref, call.flag("export_snapshots")):
            records.setdefault(record.ref, record)
    ova = await xva.describe(call.services, list(records.values()), about(call.services))
    return Response(200, (NO_CACHE, _TYPE), xva.member(xva.OVA, ova) + xva.END)


async def objects_of(archive: xva.TarStream) -> dict[str, Exported]:
    """The objects at the beginning of the archive. IMPORT_ERROR_UNEXPECTED_FILE."""
    found = await archive.next()
    if found is None or found[0] != xva.OVA:
        raise E.IMPORT_ERROR_UNEXPECTED_FILE(xva.OVA, found[0] if found else "")
    return xva.read_ova(await archive.body(found[1], xva.LARGEST_OVA))


@serves("put_import")
async def import_(call: ActionCall) -> Response:
    """A VM with its disks, onto `sr_id` or the pool's default SR; restore=true keeps uuid and MACs.

    The result of the task is the references of the VMs. What is broken, damaged or refused leaves nothing behind.
    """
    sr = call.object("SR", "sr_id").ref if call.text("sr_id") else None
    if call.probing:
        return Response(200, (NO_CACHE,))
    archive = xva.TarStream(xva.unzipped(call.upload()))
    objects = await objects_of(archive)
    restore, force, fill = call.flag("restore"), call.flag("force"), filler(archive)
    return await _arrive(call, "VM import", lambda world: plan_import(world, objects, sr, restore, force, fill))


def filler(archive: xva.TarStream) -> Fill:
    """A function that writes the disks of an archive whose records have been read."""

    async def fill(run: Run, work: Import) -> None:
        sizes = {name: size for name, (_, _, size) in work.disks.items()}
        total, done = max(1, sum(sizes.values())), 0
        if not sizes:
            return
        try:
            async for name, offset, data in archive.chunks(sizes):
                uuid, target, _ = work.disks[name]
                for start in range(0, len(data), PIECE):
                    await run.storage(target).write(uuid, offset + start, data[start : start + PIECE])
                done += len(data)
                run.progress(done / total)
        except UploadBroken as error:
            raise E.IMPORT_ERROR_PREMATURE_EOF() from error

    return fill


@serves("put_import_metadata")
async def import_metadata(call: ActionCall) -> Response:
    """The records of VMs whose disks are in this pool already; with force=true the missing ones are left out.

    restore=true keeps uuids and MACs. dry_run=true only tells what would forbid it.
    """
    if call.probing:
        return Response(200, (NO_CACHE,))
    objects = await objects_of(xva.TarStream(xva.unzipped(call.upload())))
    restore, force = call.flag("restore"), call.flag("force")
    if call.flag("dry_run"):
        plan_import(call.engine.world, objects, None, restore, force, None)
        return Response(200, (NO_CACHE,))
    return await _arrive(
        call, "VM metadata import", lambda world: plan_import(world, objects, None, restore, force, None)
    )


async def _arrive(call: ActionCall, label: str, decide: Callable[[Any], Any]) -> Response:
    """Run an import; its value is that of VM.import, a set of VMs."""
    vms = await call.wait(call.work(label), decide, "VM.import")
    return Response(200, (NO_CACHE, ("Content-Type", "text/plain")), " ".join(vms).encode())
