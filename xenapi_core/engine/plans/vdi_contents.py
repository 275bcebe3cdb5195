"""Disks that are introduced and forgotten without touching their data, and reverting a disk to a snapshot (API
reference, devices)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from xenapi_core.drivers.storage import VolumeState
from xenapi_core.engine.failures import STORAGE, About, told_as
from xenapi_core.engine.plan import Claim, Plan, Run, Step, World, plans
from xenapi_core.engine.steps.vdi_records import found_vdi, sizes_of
from xenapi_core.engine.steps.volumes import count_volumes, forget_volume, in_time, recount
from xenapi_core.errors import E
from xenapi_core.model.device_lifecycle import check_vdi_operation
from xenapi_core.model.infrastructure_lifecycle import check_sr_operation
from xenapi_core.store.api import Txn, Version

# What an unreachable disk means, beside what STORAGE says.
PATH: Final = {**STORAGE, "offline": lambda a, e: E.VDI_NOT_AVAILABLE(a.vdi)}


@plans("VDI.introduce")
def plan_introduce(
    world: World,
    uuid: str,
    name_label: str,
    name_description: str,
    sr: str,
    type: str,
    sharable: bool,
    read_only: bool,
    other_config: Mapping[str, str],
    location: str,
    *optional: Any,
) -> Plan:
    """A record for a volume that storage has and no record names: by its uuid, or by its location.

    `optional`: xenstore_data, sm_config, managed, virtual_size, physical_utilisation, metadata_of_pool, is_a_snapshot,
    snapshot_time, snapshot_of; the sizes are the storage's. VDI_LOCATION_MISSING, LOCATION_NOT_UNIQUE, INVALID_VALUE.
    """
    names = (
        "xenstore_data", "sm_config", "managed", None, None, "metadata_of_pool", "is_a_snapshot", "snapshot_time",
        "snapshot_of",
    )  # fmt: skip
    given = {name: value for name, value in zip(names, optional, strict=True) if name is not None}
    record = world.store.get(sr, "SR")
    check_sr_operation(world.store, record, "vdi_introduce")
    if uuid and world.store.by_uuid("VDI", uuid) is not None:
        raise E.INVALID_VALUE("uuid", uuid)
    ref = world.ids.ref()

    async def find(run: Run) -> None:
        with told_as(STORAGE, About(sr=sr, operation="introduce")):
            volumes = await run.open_storage(sr, record["type"], record["uuid"]).volumes()
        volume = _choose(volumes, uuid, location)
        if volume is None:
            raise E.VDI_LOCATION_MISSING(sr, location or uuid)
        if world.store.by_uuid("VDI", volume.uuid) is not None or run.is_being_made(volume.uuid):
            raise E.LOCATION_NOT_UNIQUE(sr, volume.location)
        run.results["volume"] = volume

    def finish(run: Run, txn: Txn) -> None:
        volume: VolumeState = run.results["volume"]
        values = found_vdi(record, volume) | given
        values |= {"name_label": name_label, "name_description": name_description, "type": type}
        values |= {"sharable": sharable, "read_only": read_only}
        values["other_config"] = {"location": volume.location, **other_config}
        txn.create("VDI", ref, values)
        _add_virtual(txn, sr, volume.virtual_size)

    return Plan(
        steps=(Step("find volume", find),),
        claims=(Claim(sr, "vdi_introduce"),),
        result=lambda run: ref,
        finish=finish,
    )


def _choose(volumes: list[VolumeState], uuid: str, location: str) -> VolumeState | None:
    """The volume of that uuid; without a uuid, the one at that location."""
    if uuid:
        return next((volume for volume in volumes if volume.uuid == uuid), None)
    return next((volume for volume in volumes if location in (volume.location, volume.name, volume.uuid)), None)


def _add_virtual(txn: Txn, sr: str, grown: int) -> None:
    txn.update(sr, virtual_allocation=max(0, txn.get(sr)["virtual_allocation"] + grown))


@plans("VDI.forget")
def plan_forget(world: World, vdi: str) -> Plan:
    """Drop the record of a disk nobody uses; its data stays, and a scan finds it again."""
    _checked(world, vdi, "forget")
    return Plan(
        steps=(),
        claims=(Claim(vdi, "forget"),),
        finish=lambda run, txn: forget_volume(run, txn, vdi, destroyed=False),
    )


@plans("VDI.update")
def plan_update(world: World, vdi: str) -> Plan:
    """Read what the storage knows of a disk, having tried the path to it. VDI_MISSING, VDI_NOT_AVAILABLE."""
    record = _checked(world, vdi, "update")
    sr, uuid = record["SR"], record["uuid"]
    pbds = map(world.store.get, world.store.related(sr, "PBDs"))
    host = next(world.store.get(pbd["host"], "host") for pbd in pbds if pbd["currently_attached"])

    async def read(run: Run) -> None:
        storage = run.storage(sr)
        with told_as(PATH, About(sr=sr, vdi=vdi, host=host.ref, operation="update")):
            run.results["volume"] = await storage.volume(uuid)
            await storage.check_path(uuid, host["uuid"])
            run.results["usage", sr] = await storage.usage()

    def finish(run: Run, txn: Txn) -> None:
        volume: VolumeState = run.results["volume"]
        txn.update(vdi, missing=False, **sizes_of(volume))
        count_volumes(run, txn, sr, volume.virtual_size - record["virtual_size"])

    return Plan(steps=(Step("read volume", read),), claims=(Claim(vdi, "update"),), finish=finish)


@plans("VDI.revert")
def plan_revert(world: World, snapshot: str) -> Plan:
    """The disk a snapshot was taken of has the contents of the snapshot again; the snapshot stays."""
    saved = _checked(world, snapshot, "revert_from")
    vdi = _checked(world, saved["snapshot_of"], "revert_to")
    sr = vdi["SR"]
    if sr != saved["SR"]:
        raise E.UNIMPLEMENTED_IN_SM_BACKEND("VDI.revert")

    async def revert(run: Run) -> None:
        storage = run.storage(sr)
        with told_as(STORAGE, About(sr=sr, vdi=vdi.ref, operation="revert")):
            async with in_time():
                run.results["volume"] = await storage.revert(vdi["uuid"], saved["uuid"])
        await recount(run, sr, storage)

    def finish(run: Run, txn: Txn) -> None:
        volume: VolumeState = run.results["volume"]
        txn.update(vdi.ref, **sizes_of(volume))
        count_volumes(run, txn, sr, volume.virtual_size - vdi["virtual_size"])

    return Plan(
        # Not interruptible: what the disk held before is lost.
        steps=(Step("revert volume", revert, deadline=None),),
        claims=(Claim(snapshot, "revert_from"), Claim(vdi.ref, "revert_to")),
        finish=finish,
    )


def _checked(world: World, ref: str, operation: str) -> Version:
    vdi = world.store.get(ref, "VDI")
    check_vdi_operation(world.store, vdi, operation)
    return vdi
