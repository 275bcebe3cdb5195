"""Disks that are reset at each start of their VM (API reference, VDI.on_boot).

Rule 1: what such a disk goes back to is its base: a snapshot that its storage takes before the disk is first used in
        this mode. The base is an unmanaged VDI, named in the disk's sm_config.
Rule 2: a disk goes back when its VM starts, and not when the guest reboots. That cannot be undone: what is lost would
        have been lost at any start.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from xenapi_core.drivers.api import DriverError
from xenapi_core.drivers.storage import VolumeState
from xenapi_core.engine.failures import STORAGE, About, told_as
from xenapi_core.engine.plan import Claim, Plan, Run, Step, World, plans
from xenapi_core.engine.specs import has_disk
from xenapi_core.engine.steps.vdi_records import sizes_of
from xenapi_core.engine.steps.volumes import (
    clone_step,
    count_volumes,
    destroy_step,
    forget_volume,
    in_time,
    record_volume,
    recount,
)
from xenapi_core.errors import ApiError
from xenapi_core.model.device_lifecycle import check_vdi_operation
from xenapi_core.store.api import Txn, Version

log = logging.getLogger(__name__)

BASE: Final = "reset_base"  # key of VDI.sm_config: uuid of the disk's base


@dataclass(frozen=True)
class Reset:
    """One disk that goes back, or whose base is made: a step of the VM's start, and what it changes in the records."""

    step: Step
    finish: Callable[[Run, Txn], None]


def base_of(world: World, vdi: Version) -> Version | None:
    """The base of a disk, if one was made and is there still."""
    uuid = vdi["sm_config"].get(BASE)
    return world.store.by_uuid("VDI", uuid) if uuid else None


def resets(world: World, vm: Version) -> list[Reset]:
    """The steps and record changes that reset disks of `vm` at its start."""
    vbds = filter(has_disk, map(world.store.get, world.store.related(vm.ref, "VBDs")))
    vdis = {vbd["VDI"]: world.store.get(vbd["VDI"], "VDI") for vbd in vbds if vbd["mode"] == "RW"}
    found = []
    for vdi in vdis.values():
        if vdi["on_boot"] == "reset":
            base = base_of(world, vdi)
            found.append(_make_base(world, vdi) if base is None else _go_back(vdi, base))
    return found


def _make_base(world: World, vdi: Version) -> Reset:
    ref, uuid = world.ids.ref(), world.ids.uuid()

    def finish(run: Run, txn: Txn) -> None:
        values = {"name_label": "base copy", "type": vdi["type"], "sharable": False, "read_only": True}
        record_volume(world, run, txn, ref, uuid, vdi["SR"], values)
        txn.update(ref, managed=False)
        txn.update(vdi.ref, sm_config={**vdi["sm_config"], BASE: uuid})

    return Reset(clone_step(vdi, uuid, "snapshot"), finish)


def _go_back(vdi: Version, base: Version) -> Reset:
    sr, key = vdi["SR"], ("reset", vdi.ref)

    async def revert(run: Run) -> None:
        storage = run.storage(sr)
        with told_as(STORAGE, About(sr=sr, vdi=vdi.ref, operation="revert")):
            async with in_time():
                run.results[key] = await storage.revert(vdi["uuid"], base["uuid"])
        await recount(run, sr, storage)

    def finish(run: Run, txn: Txn) -> None:
        volume: VolumeState = run.results[key]
        txn.update(vdi.ref, **sizes_of(volume))
        count_volumes(run, txn, sr, volume.virtual_size - vdi["virtual_size"])

    return Reset(Step("reset disk", revert, deadline=None), finish)


@plans("VDI.set_on_boot")
def plan_set_on_boot(world: World, ref: str, value: str) -> Plan:
    """Set whether a disk is reset at each start. VDI_IN_USE while a VM has it attached; SR_OPERATION_NOT_SUPPORTED.

    The base of a disk that is no longer reset is removed.
    """
    vdi = world.store.get(ref, "VDI")
    if vdi["on_boot"] == value:
        return Plan(steps=())
    check_vdi_operation(world.store, vdi, "set_on_boot")
    base = base_of(world, vdi)
    kept = {key: text for key, text in vdi["sm_config"].items() if key != BASE}

    def finish(run: Run, txn: Txn) -> None:
        txn.update(ref, on_boot=value, sm_config=kept)
        if base is not None:
            forget_volume(run, txn, base.ref)

    steps = () if base is None else (destroy_step(base),)
    return Plan(steps=steps, claims=(Claim(ref, "set_on_boot"),), finish=finish)


def drop_base(base: Version) -> Step:
    """Destroy the base of a disk that is destroyed already; a base that cannot be destroyed keeps its record."""

    async def do(run: Run) -> None:
        try:
            await destroy_step(base).do(run)
        except (ApiError, DriverError) as error:
            log.warning("the base of a disk could not be destroyed: %s", error)
        else:
            run.results["dropped", base.ref] = True

    return Step("destroy base", do, deadline=None)
