"""Changed blocks of disks, for incremental backup (API reference, VDI: changed block tracking)."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Final

from xenapi_core.engine.failures import STORAGE, About, told_as
from xenapi_core.engine.plan import Claim, Plan, Run, Step, World, plans
from xenapi_core.engine.steps.vdi_records import sizes_of
from xenapi_core.engine.steps.volumes import count_volumes, in_time, recount
from xenapi_core.errors import E
from xenapi_core.model.device_lifecycle import check_vdi_operation
from xenapi_core.store.api import Txn, Version

BLOCK: Final = 64 << 10  # bytes that one bit of the bitmap stands for


@plans("VDI.enable_cbt")
def plan_enable_cbt(world: World, ref: str) -> Plan:
    """Track what is written to a disk from now on, also while a VM uses it; nothing to do for one that is tracked."""
    vdi = _checked(world, ref, "enable_cbt")
    if vdi["cbt_enabled"]:
        return Plan(steps=())

    async def begin(run: Run) -> None:
        with told_as(STORAGE, _about(vdi, "enable_cbt")):
            await run.storage(vdi["SR"]).track_changes(vdi["uuid"], True)

    async def undo(run: Run) -> None:
        await run.storage(vdi["SR"]).track_changes(vdi["uuid"], False)

    return Plan(
        steps=(Step("track changes", begin, undo),),
        claims=(Claim(ref, "enable_cbt"),),
        finish=lambda run, txn: txn.update(ref, cbt_enabled=True),
    )


@plans("VDI.disable_cbt")
def plan_disable_cbt(world: World, ref: str) -> Plan:
    """Cease to track; what its snapshots know of each other stays."""
    vdi = _checked(world, ref, "disable_cbt")
    if not vdi["cbt_enabled"]:
        return Plan(steps=())

    async def end(run: Run) -> None:
        with told_as(STORAGE, _about(vdi, "disable_cbt")):
            async with in_time():
                await run.storage(vdi["SR"]).track_changes(vdi["uuid"], False)

    return Plan(
        steps=(Step("cease to track", end, deadline=None),),  # not interruptible: what was noted is gone
        claims=(Claim(ref, "disable_cbt"),),
        finish=lambda run, txn: txn.update(ref, cbt_enabled=False),
    )


@plans("VDI.data_destroy")
def plan_data_destroy(world: World, ref: str) -> Plan:
    """Free what a snapshot holds; it is of type cbt_metadata then. Again does nothing.

    VDI_IN_USE while a VM or a snapshot of one has the disk, attached or not: it could never be used again.
    """
    vdi = _checked(world, ref, "data_destroy")
    if vdi["type"] == "cbt_metadata":
        return Plan(steps=())
    if world.store.related(ref, "VBDs"):
        raise E.VDI_IN_USE(ref, "data_destroy")
    sr = vdi["SR"]

    async def free(run: Run) -> None:
        storage = run.storage(sr)
        with told_as(STORAGE, _about(vdi, "data_destroy")):
            async with in_time():
                run.results["volume"] = await storage.drop_data(vdi["uuid"])
        await recount(run, sr, storage)

    def finish(run: Run, txn: Txn) -> None:
        volume = run.results["volume"]
        txn.update(ref, type="cbt_metadata", **sizes_of(volume))
        count_volumes(run, txn, sr, volume.virtual_size - vdi["virtual_size"], vdi["physical_utilisation"])

    return Plan(
        steps=(Step("free data", free, deadline=None),),  # not interruptible: the data is gone
        claims=(Claim(ref, "data_destroy"),),
        finish=finish,
    )


@plans("VDI.list_changed_blocks")
def plan_list_changed_blocks(world: World, vdi_from: str, vdi_to: str) -> Plan:
    """The bitmap of the blocks in which `vdi_to` differs from the older `vdi_from`, in base64.

    One bit for each 64 KiB of `vdi_to`, the first one in the highest bit of the first byte; bits beyond the end are 0.
    VDI_NO_CBT_METADATA for a disk that is not tracked; SR_BACKEND_FAILURE if the one did not come from the other.
    """
    older, newer = (_checked(world, ref, "list_changed_blocks") for ref in (vdi_from, vdi_to))
    if older["SR"] != newer["SR"]:
        raise E.SR_BACKEND_FAILURE("unrelated", "", "the disks are not on the same storage repository")
    blocks = -(-newer["virtual_size"] // BLOCK)

    async def compare(run: Run) -> None:
        with told_as(STORAGE, _about(newer, "list_changed_blocks")):
            stretches = await run.storage(newer["SR"]).changed(older["uuid"], newer["uuid"])
        run.results["bitmap"] = base64.b64encode(bitmap(stretches, blocks)).decode()

    return Plan(
        steps=(Step("compare", compare),),
        claims=tuple(Claim(ref, "list_changed_blocks") for ref in dict.fromkeys((vdi_from, vdi_to))),
        result=lambda run: run.results["bitmap"],
    )


def bitmap(stretches: Iterable[tuple[int, int]], blocks: int) -> bytes:
    """Bits of the blocks that (offset, size) touch, the first block in the highest bit of the first byte."""
    size = -(-blocks // 8)
    bits = 0
    for offset, length in stretches:
        first, end = offset // BLOCK, min(-(-(offset + length) // BLOCK), blocks)
        if first < end:
            bits |= ((1 << (end - first)) - 1) << (size * 8 - end)
    return bits.to_bytes(size, "big")


def _about(vdi: Version, operation: str) -> About:
    return About(sr=vdi["SR"], vdi=vdi.ref, operation=operation)


def _checked(world: World, ref: str, operation: str) -> Version:
    vdi = world.store.get(ref, "VDI")
    check_vdi_operation(world.store, vdi, operation)
    return vdi
