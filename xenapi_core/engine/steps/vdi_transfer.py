"""Gives a reader or writer access to all bytes of a disk, for export and import of disks.

Rule 1: the disk is claimed meanwhile: reading counts as a copy, and while it is written nothing else may be done.
Rule 2: what was written before a failure stays: the disk was there before, and its old contents are gone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from xenapi_core.drivers.storage import Storage, VolumeState
from xenapi_core.engine.failures import STORAGE, About, told_as
from xenapi_core.engine.plan import Claim, Plan, Run, Step, World
from xenapi_core.engine.steps.vdi_records import sizes_of
from xenapi_core.engine.steps.volumes import count_volumes
from xenapi_core.errors import E
from xenapi_core.model.device_lifecycle import check_vdi_operation, is_of_ha, sr_attached
from xenapi_core.model.storage_types import features
from xenapi_core.store.api import Txn, Version

WITHIN: Final = 24 * 3600.0  # seconds that a transfer may take

Use = Callable[[Run, Storage, Version], Awaitable[None]]


def plan_read(world: World, vdi: str, use: Use, base: str | None = None) -> Plan:
    """Let `use` read the disk, and `base` too if there is one.

    VDI_IN_USE while a VM may write to it; what else forbids a copy.
    """
    refs = dict.fromkeys((vdi,) if base is None else (vdi, base))
    for ref in refs:
        check_readable(world, ref)
    record = world.store.get(vdi, "VDI")
    return Plan(steps=(_lend(record, "copy", use),), claims=tuple(Claim(ref, "copy") for ref in refs))


def check_readable(world: World, vdi: str) -> Version:
    """The record of a disk whose contents can be read now. What forbids a copy, SR_HAS_NO_PBDS."""
    record = world.store.get(vdi, "VDI")
    check_vdi_operation(world.store, record, "copy")
    if not sr_attached(world.store, record["SR"]):
        raise E.SR_HAS_NO_PBDS(record["SR"])
    return record


def plan_overwrite(world: World, vdi: str, use: Use) -> Plan:
    """Let `use` write what a client sends. VDI_IN_USE for a disk that a host or high availability relies on; otherwise
    as plan_write."""
    record = world.store.get(vdi, "VDI")
    if record["static_on"] or is_of_ha(record) or world.store.related(vdi, "redo_log_pools"):
        raise E.VDI_IN_USE(vdi, "import")
    return plan_write(world, vdi, use)


def plan_write(world: World, vdi: str, use: Use) -> Plan:
    """Let `use` write to the disk. VDI_READONLY, VDI_IN_USE, VDI_MISSING, SR_OPERATION_NOT_SUPPORTED."""
    record = world.store.get(vdi, "VDI")
    for task, operation in record["current_operations"].items():
        raise E.OTHER_OPERATION_IN_PROGRESS("VDI", vdi, operation, task)
    vbds = map(world.store.get, world.store.related(vdi, "VBDs"))
    if any(vbd["currently_attached"] or vbd["reserved"] for vbd in vbds):
        raise E.VDI_IN_USE(vdi, "import")
    if record["read_only"]:
        raise E.VDI_READONLY(vdi)
    if record["missing"]:
        raise E.VDI_MISSING(record["SR"], vdi)
    if not {"VDI_CREATE", "VDI_COPY"} <= features(world.store.get(record["SR"], "SR")["type"]):
        raise E.SR_OPERATION_NOT_SUPPORTED(record["SR"])
    if not sr_attached(world.store, record["SR"]):
        raise E.SR_HAS_NO_PBDS(record["SR"])

    async def read_sizes(run: Run) -> None:
        storage = run.storage(record["SR"])
        with told_as(STORAGE, About(sr=record["SR"], vdi=vdi, operation="import")):
            run.results["volume"] = await storage.volume(record["uuid"])
            run.results["usage", record["SR"]] = await storage.usage()

    def finish(run: Run, txn: Txn) -> None:
        volume: VolumeState = run.results["volume"]
        txn.update(vdi, **sizes_of(volume))
        count_volumes(run, txn, record["SR"], 0)

    return Plan(
        steps=(_lend(record, "import", use), Step("read sizes", read_sizes)),
        claims=(Claim(vdi, "blocked"),),
        finish=finish,
    )


def _lend(record: Version, operation: str, use: Use) -> Step:
    sr = record["SR"]

    async def do(run: Run) -> None:
        with told_as(STORAGE, About(sr=sr, vdi=record.ref, operation=operation)):
            await use(run, run.storage(sr), record)

    return Step(operation, do, weight=20, deadline=WITHIN)
