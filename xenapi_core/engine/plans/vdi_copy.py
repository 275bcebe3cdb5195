"""Copies of disk contents: in full or by difference, into new disks or existing ones; and checksums of them.

Rule 1: what is written into a disk that was there before cannot be taken back: after a failure it holds a mixture.
"""

from __future__ import annotations

import hashlib

from xenapi_core.drivers.storage import Storage
from xenapi_core.engine.failures import STORAGE, About, told_as
from xenapi_core.engine.plan import Claim, Plan, Run, Step, World, plans
from xenapi_core.engine.plans.vm_copy import check_target
from xenapi_core.engine.steps.vdi_differences import BLOCK, differing, pieces
from xenapi_core.engine.steps.vdi_transfer import Use, check_readable, plan_overwrite, plan_read
from xenapi_core.engine.steps.vm_records import copied_vdi
from xenapi_core.engine.steps.volumes import copy_step, create_step, note_usage, record_volume
from xenapi_core.errors import E
from xenapi_core.ids import NULL_REF, is_null
from xenapi_core.model.storage_types import features, offers
from xenapi_core.store.api import Version


@plans("VDI.copy")
def plan_copy(world: World, vdi: str, sr: str, base_vdi: str = NULL_REF, into_vdi: str = NULL_REF) -> Plan:
    """A copy of a disk on `sr` (null: its own), or in the disk `into_vdi`, which must be as large and not in use.

    With `base_vdi` only blocks that differ from it are written: a new disk has nothing else, an existing one keeps what
    it has. INVALID_VALUE for an `sr` that `into_vdi` is not on.
    """
    record = check_readable(world, vdi)
    base = None if is_null(base_vdi) else check_readable(world, base_vdi)
    if not is_null(into_vdi):
        return _copy_into(world, record, base, into_vdi, sr)
    target = record["SR"] if is_null(sr) else sr
    check_target(world, target)
    kind = world.store.get(target, "SR")["type"]
    if not offers(kind, "vdi_create") or (base is not None and "VDI_COPY" not in features(kind)):
        raise E.SR_OPERATION_NOT_SUPPORTED(target)
    new, uuid = world.ids.ref(), world.ids.uuid()
    if base is None:
        steps: tuple[Step, ...] = (copy_step(world, record, uuid, target),)
    else:
        steps = (create_step(world, target, uuid, record["virtual_size"], new), _fill(record, base, uuid, target))
    return Plan(
        steps=steps,
        claims=_claims(record, base),
        result=lambda run: new,
        finish=lambda run, txn: record_volume(world, run, txn, new, uuid, target, copied_vdi(record)),
    )


def _copy_into(world: World, record: Version, base: Version | None, into: str, sr: str) -> Plan:
    target = world.store.get(into, "VDI")
    if not is_null(sr) and sr != target["SR"]:
        raise E.INVALID_VALUE("sr", sr)
    if into in (record.ref, base.ref if base is not None else NULL_REF):
        raise E.INVALID_VALUE("into_vdi", into)
    if target["virtual_size"] < record["virtual_size"]:
        raise E.VDI_TOO_SMALL(into, str(record["virtual_size"]))

    async def write(run: Run, storage: Storage, into: Version) -> None:
        await _write(run, record, base, storage, into["uuid"])

    plan = plan_overwrite(world, into, write)
    return Plan(
        steps=plan.steps,
        claims=(*plan.claims, *_claims(record, base)),
        result=lambda run: into,
        finish=plan.finish,
    )


def _fill(record: Version, base: Version, uuid: str, sr: str) -> Step:
    """Write what differs into the new volume `uuid` of `sr`."""

    async def do(run: Run) -> None:
        storage = run.storage(sr)
        with told_as(STORAGE, About(sr=sr, vdi=record.ref, operation="copy")):
            await _write(run, record, base, storage, uuid)
            run.results[uuid] = await storage.volume(uuid)
            await note_usage(run, sr, storage)

    return Step("copy differences", do, weight=4)


async def _write(run: Run, record: Version, base: Version | None, storage: Storage, uuid: str) -> None:
    """Give volume `uuid` what `record` holds, or where that is not what `base` holds."""
    size = max(1, record["virtual_size"])
    if base is not None:
        async for offset, data in differing(run, record, base):
            await storage.write(uuid, offset, data)
            run.progress(min(1.0, offset / size))
        return
    await _clear(run, record, storage, uuid)
    source = run.storage(record["SR"])
    async for offset, length in pieces(run, await source.extents(record["uuid"])):
        await storage.write(uuid, offset, await source.read(record["uuid"], offset, length))
        run.progress(min(1.0, offset / size))


async def _clear(run: Run, record: Version, storage: Storage, uuid: str) -> None:
    """Zeros where the volume holds something: what is not written afterwards must not shine through."""
    async for offset, length in pieces(run, await storage.extents(uuid)):
        await storage.write(uuid, offset, bytes(length))


def _claims(record: Version, base: Version | None) -> tuple[Claim, ...]:
    refs = (record.ref,) if base is None else (record.ref, base.ref)
    return tuple(Claim(ref, "copy") for ref in dict.fromkeys(refs))


@plans("VDI.checksum")
def plan_checksum(world: World, vdi: str) -> Plan:
    """The MD5 digest of what a disk holds: of each block of 64 KiB that is not all zeros, its number (8 bytes, the
    lowest first) and its bytes. So a large disk with little in it is done soon, and a sparse copy has the same."""
    digest = hashlib.md5(usedforsecurity=False)

    async def read(run: Run, storage: Storage, record: Version) -> None:
        whole = [(at - at % BLOCK, -(-(at % BLOCK + length) // BLOCK) * BLOCK) for at, length in
                 await storage.extents(record["uuid"])]  # fmt: skip
        size = record["virtual_size"]
        async for offset, length in pieces(run, [(at, min(length, size - at)) for at, length in whole]):
            data = await storage.read(record["uuid"], offset, length)
            for at in range(0, length, BLOCK):
                block = data[at : at + BLOCK]
                if any(block):
                    digest.update(((offset + at) // BLOCK).to_bytes(8, "little") + block)
            run.progress(offset / size)

    use: Use = read
    plan = plan_read(world, vdi, use)
    return Plan(steps=plan.steps, claims=plan.claims, result=lambda run: digest.hexdigest())
