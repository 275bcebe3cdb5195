"""Moving a disk to another repository of the pool while a VM uses it (API reference, VDI.pool_migrate).

Rule 1: the disk keeps its record and its uuid: the machine names it by that, so it notices nothing. The driver sees to
        it that the volume is in exactly one repository at every moment.
"""

from __future__ import annotations

from collections.abc import Mapping

from xenapi_core.drivers.storage import VolumeState
from xenapi_core.engine.failures import STORAGE, About, told_as
from xenapi_core.engine.plan import Claim, Plan, Run, Step, World, plans
from xenapi_core.engine.plans.vm_copy import check_target
from xenapi_core.engine.steps.volumes import MAKING, count_volumes, without_location
from xenapi_core.errors import E
from xenapi_core.model.device_lifecycle import check_vdi_operation
from xenapi_core.model.power import RUNNING
from xenapi_core.model.storage_types import offers
from xenapi_core.store.api import Txn, Version


@plans("VDI.pool_migrate")
def plan_pool_migrate(world: World, vdi: str, sr: str, options: Mapping[str, str]) -> Plan:
    """Move the disk of a running VM to `sr`. The result is the disk, which stays the same object."""
    record = world.store.get(vdi, "VDI")
    check_vdi_operation(world.store, record, "mirror")
    vm = _user(world, record)
    check_target(world, sr)
    source, target = world.store.get(record["SR"], "SR"), world.store.get(sr, "SR")
    if sr == source.ref:
        return Plan(steps=(), result=lambda run: vdi)
    if not offers(target["type"], "vdi_mirror"):
        raise E.SR_DOES_NOT_SUPPORT_MIGRATION(sr, "VDI_MIRROR")
    pbds = map(world.store.get, world.store.related(sr, "PBDs"))
    if not any(pbd["host"] == vm["resident_on"] and pbd["currently_attached"] for pbd in pbds):
        raise E.VM_REQUIRES_SR(vm.ref, sr)
    return Plan(
        steps=(move_step(world, record, sr), count_step(record, (source.ref, sr))),
        claims=(Claim(vdi, "mirror"),),
        result=lambda run: vdi,
        finish=lambda run, txn: record_move(run, txn, record, sr),
    )


def check_mirror(world: World, record: Version, sr: str) -> None:
    """Raise what keeps a disk from moving to `sr`: the SRs, their types, and what is done with the disk now."""
    check_vdi_operation(world.store, record, "mirror")
    check_target(world, sr)
    if not offers(world.store.get(sr, "SR")["type"], "vdi_mirror"):
        raise E.SR_DOES_NOT_SUPPORT_MIGRATION(sr, "VDI_MIRROR")


def move_step(world: World, record: Version, sr: str) -> Step:
    """Take the disk's volume over into `sr`, and back."""
    uuid = record["uuid"]
    source, target = world.store.get(record["SR"], "SR"), world.store.get(sr, "SR")
    about = About(
        sr=sr, vdi=record.ref, operation="mirror", size=record["virtual_size"], available=target["physical_size"]
    )

    async def move(run: Run) -> None:
        storage = run.storage(sr)
        run.results[MAKING, uuid] = sr
        with told_as(STORAGE, about):
            run.results["moved", uuid] = await storage.move(uuid, source["uuid"], run.progress)

    async def move_back(run: Run) -> None:
        await run.storage(source.ref).move(uuid, target["uuid"], lambda fraction: None)

    return Step("move volume", move, move_back, weight=10)


def count_step(record: Version, srs: tuple[str, ...]) -> Step:
    """Leave the sizes of repositories for the finish."""

    async def count(run: Run) -> None:
        for repository in srs:
            with told_as(STORAGE, About(sr=repository, vdi=record.ref, operation="mirror")):
                run.results["usage", repository] = await run.storage(repository).usage()

    return Step("read sizes", count)


def record_move(run: Run, txn: Txn, record: Version, sr: str) -> None:
    """The disk's record after move_step, and its SRs' sizes."""
    volume: VolumeState = run.results["moved", record["uuid"]]
    location = {"location": volume.location, **without_location(txn.get(record.ref)["other_config"])}
    txn.update(
        record.ref,
        SR=sr,
        location=volume.location,
        physical_utilisation=volume.physical_utilisation,
        virtual_size=volume.virtual_size,
        other_config=location,
    )
    count_volumes(run, txn, record["SR"], -record["virtual_size"])
    count_volumes(run, txn, sr, volume.virtual_size)


def _user(world: World, vdi: Version) -> Version:
    """The running VM that has the disk attached. VDI_NEEDS_VM_FOR_MIGRATE."""
    for vbd in map(world.store.get, world.store.related(vdi.ref, "VBDs")):
        vm = world.store.find(vbd["VM"])
        if vbd["currently_attached"] and vm is not None and vm["power_state"] == RUNNING:
            return vm
    raise E.VDI_NEEDS_VM_FOR_MIGRATE(vdi.ref)
