"""Creating, copying, resizing and destroying disks (API reference, devices)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xenapi_core.engine.failures import STORAGE, About, told_as
from xenapi_core.engine.plan import Claim, Plan, Run, Step, World, plans
from xenapi_core.engine.plans.reset_disks import base_of, drop_base
from xenapi_core.engine.steps.vm_records import copied_vdi, snapshot_of
from xenapi_core.engine.steps.volumes import (
    check_sr,
    clone_step,
    count_volumes,
    create_step,
    destroy_step,
    forget_volume,
    in_time,
    record_volume,
    recount,
)
from xenapi_core.errors import E
from xenapi_core.model.device_lifecycle import check_vdi_operation
from xenapi_core.model.storage_types import offers
from xenapi_core.store.api import Txn, Version

# Constructor fields a client chooses; the rest describes the volume that was made.
_CHOSEN = (
    "name_label", "name_description", "type", "sharable", "read_only", "other_config", "xenstore_data", "sm_config",
    "tags",
)  # fmt: skip


@plans("VDI.create")
def plan_create(world: World, args: Mapping[str, Any]) -> Plan:
    """A new empty disk of virtual_size bytes."""
    sr = check_sr(world, args["SR"])
    if not offers(sr["type"], "vdi_create"):
        raise E.SR_OPERATION_NOT_SUPPORTED(sr.ref)
    size = args["virtual_size"]
    if size <= 0:
        raise E.INVALID_VALUE("virtual_size", str(size))
    ref, uuid = world.ids.ref(), world.ids.uuid()

    def finish(run: Run, txn: Txn) -> None:
        record_volume(world, run, txn, ref, uuid, sr.ref, {name: args[name] for name in _CHOSEN if name in args})

    return Plan(steps=(create_step(world, sr.ref, uuid, size, ref),), result=lambda run: ref, finish=finish)


@plans("VDI.destroy")
def plan_destroy(world: World, vdi: str) -> Plan:
    """Destroy a disk and its contents; unattached VBDs go with it."""
    record = _checked(world, vdi, "destroy")
    base = base_of(world, record)

    def finish(run: Run, txn: Txn) -> None:
        forget_volume(run, txn, vdi)
        if base is not None and ("dropped", base.ref) in run.results:
            forget_volume(run, txn, base.ref)

    steps = (destroy_step(record), *(() if base is None else (drop_base(base),)))
    return Plan(steps=steps, claims=(Claim(vdi, "destroy"),), finish=finish)


@plans("VDI.clone")
def plan_clone(world: World, vdi: str, driver_params: Mapping[str, str] | None = None) -> Plan:
    """A copy-on-write copy of a disk."""
    return _derived(world, vdi, "clone")


@plans("VDI.snapshot")
def plan_snapshot(world: World, vdi: str, driver_params: Mapping[str, str] | None = None) -> Plan:
    """A disk as it is now, for later."""
    return _derived(world, vdi, "snapshot")


def _derived(world: World, ref: str, operation: str) -> Plan:
    vdi = _checked(world, ref, operation)
    check_sr(world, vdi["SR"])
    new, uuid = world.ids.ref(), world.ids.uuid()

    def finish(run: Run, txn: Txn) -> None:
        values = copied_vdi(vdi)
        if operation == "snapshot":
            values |= snapshot_of(world, vdi)
        record_volume(world, run, txn, new, uuid, vdi["SR"], values)

    return Plan(
        steps=(clone_step(vdi, uuid, operation),),
        claims=(Claim(ref, operation),),
        result=lambda run: new,
        finish=finish,
    )


@plans("VDI.resize")
def plan_resize(world: World, vdi: str, size: int) -> Plan:
    """Make a disk larger while nothing uses it."""
    return _resize(world, vdi, size, "resize")


@plans("VDI.resize_online")
def plan_resize_online(world: World, vdi: str, size: int) -> Plan:
    """Make a disk larger, also while a VM uses it."""
    return _resize(world, vdi, size, "resize_online")


def _resize(world: World, ref: str, size: int, operation: str) -> Plan:
    vdi = _checked(world, ref, operation)
    if size < vdi["virtual_size"]:
        raise E.VDI_TOO_SMALL(ref, str(vdi["virtual_size"]))
    sr, uuid = vdi["SR"], vdi["uuid"]

    async def grow(run: Run) -> None:
        with told_as(STORAGE, About(sr=sr, vdi=ref, operation=operation, size=size)):
            storage = run.storage(sr)
            async with in_time():
                run.results["volume"] = await storage.resize(uuid, size)
        await recount(run, sr, storage)

    def finish(run: Run, txn: Txn) -> None:
        volume = run.results["volume"]
        txn.update(ref, virtual_size=volume.virtual_size, physical_utilisation=volume.physical_utilisation)
        count_volumes(run, txn, sr, volume.virtual_size - vdi["virtual_size"])

    # Not interruptible: storage cannot shrink a disk back.
    return Plan(steps=(Step(operation, grow, deadline=None),), claims=(Claim(ref, operation),), finish=finish)


def _checked(world: World, ref: str, operation: str) -> Version:
    vdi = world.store.get(ref, "VDI")
    check_vdi_operation(world.store, vdi, operation)
    return vdi
