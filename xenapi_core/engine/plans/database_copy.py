"""Copies of the pool's database on its storage: created, written and removed (database replication).

Theory of operation
1. Replication to an SR is enabled while the SR has a disk of type "metadata" with this pool as metadata_of_pool.
   Forgetting the SR or destroying the disk ends it; a copy that a scan finds later belongs to nobody, and is not
   written to. The redo log, and the metadata disk of high availability (type "redo_log"), are copies too;
   plans/ha_redo_log.py and ha_switch.py enable and disable those.
2. A write that breaks leaves the dump before it on the disk (database_disk.py).
3. Secrets are left out: whoever may read disks may read a copy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

from xenapi_core.drivers.storage import Storage
from xenapi_core.engine.failures import STORAGE, About, told_as
from xenapi_core.engine.plan import Claim, Plan, Run, Step, World, plans
from xenapi_core.engine.steps.database_disk import NEEDED, write_copy
from xenapi_core.engine.steps.vdi_transfer import plan_write
from xenapi_core.engine.steps.volumes import create_step, destroy_step, forget_volume, record_volume
from xenapi_core.errors import E
from xenapi_core.model.device_lifecycle import check_vdi_operation
from xenapi_core.model.schema import Schema
from xenapi_core.model.storage_types import features
from xenapi_core.store.api import Store, Txn, Version
from xenapi_core.store.dump import Content, encode, kept_records

METADATA: Final = "metadata"
REDO_LOG: Final = "redo_log"
SIZE: Final = 256 << 20  # bytes of a copy's disk
LEFT_OUT: Final = frozenset({"secret"})
MANY: Final = 1000  # records that are encoded in a thread of their own


def this_pool(store: Store) -> Version:
    (pool,) = store.all("pool").values()
    return pool


def copies(store: Store, sr: str | None = None, types: tuple[str, ...] = (METADATA,)) -> list[Version]:
    """The disks of these types that hold this pool's database, of one SR or of all (rule 1)."""
    vdis = map(store.get, store.related(this_pool(store).ref, "metadata_VDIs"))
    return [vdi for vdi in vdis if vdi["type"] in types and sr in (None, vdi["SR"])]


def check_replication(store: Store, sr: str) -> None:
    """SR_HAS_NO_PBDS unless every host is connected; SR_OPERATION_NOT_SUPPORTED where no bytes can be written."""
    record = store.get(sr, "SR")
    connected = {pbd["host"] for pbd in map(store.get, store.related(sr, "PBDs")) if pbd["currently_attached"]}
    if not connected.issuperset(store.all("host")):
        raise E.SR_HAS_NO_PBDS(sr)
    if not features(record["type"]) >= NEEDED:
        raise E.SR_OPERATION_NOT_SUPPORTED(sr)


async def content_of(schema: Schema, store: Store, without: frozenset[str] = LEFT_OUT) -> Content:
    """The database as it is now."""
    pool, versions = this_pool(store)["uuid"], kept_records(schema, store, without)
    if len(versions) > MANY:
        return await asyncio.to_thread(encode, schema, pool, versions)
    return encode(schema, pool, versions)


@plans("SR.enable_database_replication")
def plan_enable(world: World, sr: str) -> Plan:
    """A new disk with the database; nothing happens if there is one. What check_replication says; SR_FULL."""
    check_replication(world.store, sr)
    for task, operation in world.store.get(sr)["current_operations"].items():
        raise E.OTHER_OPERATION_IN_PROGRESS("SR", sr, operation, task)
    if copies(world.store, sr):
        return Plan(steps=())
    _, steps, record = new_copy(world, sr, METADATA, "Database of the pool", "For recovery after a disaster")
    return Plan(steps=steps, claims=(Claim(sr, "vdi_create"),), finish=record)


def new_copy(
    world: World, sr: str, kind: str, name: str, description: str
) -> tuple[str, tuple[Step, ...], Callable[[Run, Txn], None]]:
    """A new disk of type `kind` with the database: its reference, the steps, and what records it in the finish."""
    ref, uuid, pool = world.ids.ref(), world.ids.uuid(), this_pool(world.store)

    async def write(run: Run) -> None:
        storage = run.storage(sr)
        with told_as(STORAGE, About(sr=sr, vdi=ref, operation="write")):
            await write_copy(storage, uuid, SIZE, await content_of(world.schema, world.store), world.clock.now())
            run.results[uuid] = await storage.volume(uuid)
            run.results["usage", sr] = await storage.usage()

    def record(run: Run, txn: Txn) -> None:
        values: Mapping[str, Any] = {
            "name_label": name, "name_description": description, "type": kind, "sharable": False, "read_only": False,
        }  # fmt: skip
        record_volume(world, run, txn, ref, uuid, sr, values)
        txn.update(ref, metadata_of_pool=pool.ref, metadata_latest=True)

    return ref, (create_step(world, sr, uuid, SIZE, ref), Step("write database", write)), record


@plans("SR.disable_database_replication")
def plan_disable(world: World, sr: str) -> Plan:
    """The copy goes, and nothing is written to the SR any more; nothing happens if there is none."""
    world.store.get(sr, "SR")
    gone = copies(world.store, sr)
    for vdi in gone:
        check_vdi_operation(world.store, vdi, "destroy")

    def finish(run: Run, txn: Txn) -> None:
        for vdi in gone:
            forget_volume(run, txn, vdi.ref)

    return Plan(
        steps=tuple(destroy_step(vdi) for vdi in gone),
        claims=tuple(Claim(vdi.ref, "destroy") for vdi in gone),
        finish=finish,
    )


def plan_renew(world: World, vdi: str, content: Content) -> Plan:
    """Write `content` to a copy's disk. What vdi_transfer.plan_write says."""

    async def use(run: Run, storage: Storage, record: Version) -> None:
        await write_copy(storage, record["uuid"], record["virtual_size"], content, world.clock.now())

    return plan_write(world, vdi, use)
