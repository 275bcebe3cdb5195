"""Comparing the records of repositories and disks with the storage (API reference, devices).

Rule 1: a volume without a record gets one; a record without a volume is marked missing, so that what VMs refer to
        stays. A volume that an operation in progress is making is that operation's, and a disk with a claim is left
        to its operation.
Rule 2: a volume that begins like a copy of a pool's database is a disk of type "metadata".
"""

from __future__ import annotations

from collections.abc import Iterable

from xenapi_core.drivers.storage import VolumeState
from xenapi_core.engine.failures import STORAGE, About, told_as
from xenapi_core.engine.plan import Claim, Plan, Run, Step, World, plans
from xenapi_core.engine.steps.database_disk import NEEDED, database_disks
from xenapi_core.engine.steps.vdi_records import found_vdi, sizes_of
from xenapi_core.ids import NULL_REF
from xenapi_core.model.infrastructure_lifecycle import check_sr_operation
from xenapi_core.model.storage_types import features
from xenapi_core.store.api import Txn, Version


@plans("SR.scan")
def plan_scan(world: World, sr: str) -> Plan:
    """Bring the disks and the sizes of a repository up to date."""
    record = world.store.get(sr, "SR")
    check_sr_operation(world.store, record, "scan")

    async def look(run: Run) -> None:
        storage = run.open_storage(sr, record["type"], record["uuid"])
        with told_as(STORAGE, About(sr=sr, operation="scan")):
            run.results["volumes"] = volumes = await storage.volumes()
            if features(record["type"]) >= NEEDED:
                unknown = [volume for volume in volumes if world.store.by_uuid("VDI", volume.uuid) is None]
                run.results["databases"] = await database_disks(storage, unknown)
            run.results["usage"] = await storage.usage()

    def finish(run: Run, txn: Txn) -> None:
        _compare(world, run, txn, record, run.results["volumes"])
        _record_sizes(txn, sr, run.results["usage"])

    return Plan(steps=(Step("look", look),), claims=(Claim(sr, "scan"),), finish=finish)


@plans("SR.update")
def plan_update(world: World, sr: str) -> Plan:
    """Bring the sizes of a repository up to date."""
    record = world.store.get(sr, "SR")
    check_sr_operation(world.store, record, "update")

    async def look(run: Run) -> None:
        storage = run.open_storage(sr, record["type"], record["uuid"])
        with told_as(STORAGE, About(sr=sr, operation="update")):
            run.results["usage"] = await storage.usage()

    return Plan(
        steps=(Step("look", look),),
        claims=(Claim(sr, "update"),),
        finish=lambda run, txn: _record_sizes(txn, sr, run.results["usage"]),
    )


def _record_sizes(txn: Txn, sr: str, usage: tuple[int, int]) -> None:
    allocated = sum(txn.get(vdi)["virtual_size"] for vdi in txn.related(sr, "VDIs"))
    txn.update(sr, physical_size=usage[0], physical_utilisation=usage[1], virtual_allocation=allocated)


def _compare(world: World, run: Run, txn: Txn, sr: Version, volumes: Iterable[VolumeState]) -> None:
    there = {volume.uuid: volume for volume in volumes}
    for vdi in map(world.store.get, world.store.related(sr.ref, "VDIs")):
        volume = there.get(vdi["uuid"])
        if vdi["current_operations"]:
            continue
        if volume is not None:
            txn.update(vdi.ref, missing=False, **sizes_of(volume))
        elif vdi["managed"]:
            txn.update(vdi.ref, missing=True)
    new = [
        volume
        for volume in there.values()
        if world.store.by_uuid("VDI", volume.uuid) is None and not run.is_being_made(volume.uuid)
    ]
    refs = {volume.uuid: world.ids.ref() for volume in new}
    for volume in new:
        known = world.store.by_uuid("VDI", volume.snapshot_of) if volume.snapshot_of else None
        origin = known.ref if known is not None else refs.get(volume.snapshot_of, NULL_REF)
        kind = "metadata" if volume.uuid in run.results.get("databases", ()) else "user"
        txn.create("VDI", refs[volume.uuid], {**found_vdi(sr, volume, origin), "type": kind})
