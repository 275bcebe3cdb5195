"""Steps and record changes shared by plans on disks: creating, copying and destroying volumes and their VDIs.

Rule 1: a step touches the storage driver only; VDI and SR records change in the plan's finish, through `record_volume`
        and `forget_volume`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from xenapi_core.drivers.api import DriverError
from xenapi_core.drivers.storage import Storage, VolumeState
from xenapi_core.engine.failures import STORAGE, About, told_as
from xenapi_core.engine.plan import Run, Step, World
from xenapi_core.errors import E
from xenapi_core.ids import NULL_REF
from xenapi_core.model.device_lifecycle import sr_attached
from xenapi_core.store.api import Txn, Version

log = logging.getLogger(__name__)

Make = Callable[[Run, Storage], Awaitable[VolumeState]]

MAKING: Final = "making"  # Run.results[MAKING, uuid]: the SR of a volume that has no record yet
FINISH_WITHIN: Final = 3600.0  # seconds of real time a driver has for what is not interrupted
COUNT_WITHIN: Final = 60.0  # and to tell its sizes


def check_sr(world: World, sr: str) -> Version:
    """The SR record, if disks can be made on it: attached somewhere, and not about to go away."""
    record = world.store.get(sr, "SR")
    for task, operation in record["current_operations"].items():
        if operation in ("destroy", "forget", "unplug"):
            raise E.OTHER_OPERATION_IN_PROGRESS("SR", sr, operation, task)
    if not sr_attached(world.store, sr):
        raise E.SR_HAS_NO_PBDS(sr)
    return record


def volume_step(name: str, sr: str, uuid: str, about: About, make: Make, weight: float = 1.0) -> Step:
    """Make volume `uuid` on `sr` with `make`; undone by destroying it. Leaves a VolumeState in results[uuid]."""

    async def do(run: Run) -> None:
        storage = run.storage(sr)
        run.results[MAKING, uuid] = sr
        with told_as(STORAGE, about):
            run.results[uuid] = await make(run, storage)
            await note_usage(run, sr, storage, uuid)

    async def undo(run: Run) -> None:
        await run.storage(sr).destroy(uuid)

    return Step(name, do, undo, weight)


async def note_usage(run: Run, sr: str, storage: Storage, made: str | None = None) -> None:
    """Leave the repository's sizes for the finish. A volume just made does not stay behind if that fails."""
    try:
        run.results["usage", sr] = await storage.usage()
    except BaseException:
        if made is not None:
            await storage.destroy(made)
        raise


def create_step(world: World, sr: str, uuid: str, size: int, vdi: str = NULL_REF) -> Step:
    """A new empty volume of `size` bytes."""
    record = world.store.get(sr, "SR")
    free = max(0, record["physical_size"] - record["physical_utilisation"])
    about = About(sr=sr, vdi=vdi, operation="vdi_create", size=size, available=free)
    return volume_step("make volume", sr, uuid, about, lambda run, storage: storage.create(uuid, size))


def clone_step(source: Version, uuid: str, operation: str) -> Step:
    """A copy-on-write copy of VDI `source` on its own SR; `operation`: "clone" or "snapshot"."""
    origin = source["uuid"]

    async def make(run: Run, storage: Storage) -> VolumeState:
        return await (storage.snapshot if operation == "snapshot" else storage.clone)(uuid, origin)

    about = About(sr=source["SR"], vdi=source.ref, operation=operation, size=source["virtual_size"])
    return volume_step(f"{operation} volume", source["SR"], uuid, about, make)


def copy_step(world: World, source: Version, uuid: str, sr: str) -> Step:
    """A full copy of VDI `source` on any SR."""
    origin, repository = source["uuid"], world.store.get(source["SR"], "SR")["uuid"]
    about = About(sr=sr, vdi=source.ref, operation="copy", size=source["virtual_size"])

    async def make(run: Run, storage: Storage) -> VolumeState:
        return await storage.copy(uuid, origin, repository, run.progress)

    return volume_step("copy volume", sr, uuid, about, make, weight=4)


def destroy_step(vdi: Version) -> Step:
    """Destroy a VDI's volume; there is no way back, so it is a plan's last step that touches anything.

    Not interruptible (no deadline of the engine's): the record must go when the volume has gone.
    """
    sr, uuid = vdi["SR"], vdi["uuid"]

    async def do(run: Run) -> None:
        storage = run.storage(sr)
        with told_as(STORAGE, About(sr=sr, vdi=vdi.ref, operation="destroy")):
            async with in_time():
                await storage.destroy(uuid)
        await recount(run, sr, storage)

    return Step("destroy volume", do, deadline=None)


@asynccontextmanager
async def in_time() -> AsyncIterator[None]:
    """A deadline for driver calls of a step that the engine must not interrupt. DriverError timeout."""
    try:
        async with asyncio.timeout(FINISH_WITHIN):
            yield
    except TimeoutError as error:
        raise DriverError("timeout", f"the storage has not answered within {FINISH_WITHIN:.0f} s") from error


async def recount(run: Run, sr: str, storage: Storage) -> None:
    """Leave the repository's sizes for the finish, if it tells them: what was done cannot fail any more."""
    run.results["usage", sr] = None
    try:
        async with asyncio.timeout(COUNT_WITHIN):
            run.results["usage", sr] = await storage.usage()
    except (DriverError, TimeoutError) as error:
        log.warning("the sizes of a repository could not be read: %s", error)


def record_volume(world: World, run: Run, txn: Txn, ref: str, uuid: str, sr: str, values: Mapping[str, Any]) -> None:
    """The VDI record of a volume that a step made, and its SR's new sizes."""
    volume: VolumeState = run.results[uuid]
    txn.create(
        "VDI",
        ref,
        {
            **values,
            "uuid": uuid,
            "SR": sr,
            "virtual_size": volume.virtual_size,
            "physical_utilisation": volume.physical_utilisation,
            "location": volume.location,
            "managed": True,
            "missing": False,
            "storage_lock": False,
            "current_operations": {},
            "other_config": {"location": volume.location, **without_location(values.get("other_config", {}))},
        },
    )
    count_volumes(run, txn, sr, volume.virtual_size)


def without_location(other_config: Mapping[str, str]) -> dict[str, str]:
    """`location` names the volume of one VDI; a copy gets its own (API 1.0 clients read it)."""
    return {key: value for key, value in other_config.items() if key != "location"}


def forget_volume(run: Run, txn: Txn, vdi: str, destroyed: bool = True) -> None:
    """The records of a VDI whose volume is `destroyed` or left alone: its VBDs become empty or go with it."""
    values = txn.find(vdi)
    if values is None:
        return
    for vbd in txn.related(vdi, "VBDs"):
        if txn.get(vbd)["type"] == "CD":
            txn.update(vbd, VDI=NULL_REF, empty=True)
        else:
            txn.delete(vbd)
    for dump in txn.related(vdi, "crash_dumps"):
        txn.delete(dump)
    for snapshot in txn.related(vdi, "snapshots"):
        txn.update(snapshot, snapshot_of=NULL_REF)
    txn.delete(vdi)
    freed = values["physical_utilisation"] if destroyed else 0
    count_volumes(run, txn, values["SR"], -values["virtual_size"], freed)


def count_volumes(run: Run, txn: Txn, sr: str, grown: int, freed: int = 0) -> None:
    """The SR's sizes after its volumes grew by `grown` bytes, as the driver told or, when it did not, by arithmetic."""
    values = txn.find(sr)
    if values is None:
        return
    usage = run.results.get(("usage", sr))
    if usage is None:
        usage = values["physical_size"], max(0, values["physical_utilisation"] - freed)
    txn.update(
        sr,
        physical_size=usage[0],
        physical_utilisation=usage[1],
        virtual_allocation=max(0, values["virtual_allocation"] + grown),
    )
