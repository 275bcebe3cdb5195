"""SR: what can be done to a repository without its data: scan, forget, introduce."""

from __future__ import annotations

from typing import Any

from xenapi_core.api.registry import CallContext, handles
from xenapi_core.errors import E
from xenapi_core.model.infrastructure_lifecycle import check_sr_operation
from xenapi_core.store.api import Txn


@handles("SR.get_supported_types")
def get_supported_types(call: CallContext) -> tuple[str, ...]:
    """Types of the repositories that something serves here."""
    engine = call.services.engine
    served = engine.storages if engine is not None else {}
    return tuple(sorted({sr["type"] for ref, sr in call.store.all("SR").items() if ref in served}))


@handles("SR.scan")
async def scan(call: CallContext, ref: str) -> None:
    """Ask the storage what it holds: sizes are brought up to date, and disks it has no more are marked missing.

    SR_HAS_NO_PBDS, OTHER_OPERATION_IN_PROGRESS; SR_UNKNOWN_DRIVER where nothing serves the repository.
    """
    sr = call.get(ref, "SR")
    check_sr_operation(call.store, sr, "scan")
    engine = call.services.engine
    storage = engine.storages.get(ref) if engine is not None else None
    if storage is None:
        raise E.SR_UNKNOWN_DRIVER(sr["type"])
    volumes = {volume.uuid: volume for volume in await storage.volumes()}
    size, used = await storage.usage()
    call.get(ref, "SR")  # it may have gone meanwhile

    def write(txn: Txn) -> None:
        txn.update(ref, physical_size=size, physical_utilisation=used)
        for vdi in map(call.get, call.store.related(ref, "VDIs")):
            volume = volumes.get(vdi["uuid"])
            if volume is not None:
                txn.update(vdi.ref, missing=False, physical_utilisation=volume.physical_utilisation)
            elif vdi["managed"]:
                txn.update(vdi.ref, missing=True)

    call.commit(write)


@handles("SR.forget")
def forget(call: CallContext, ref: str) -> None:
    """Drop the records of a detached repository, its disks and connections; its data stays. SR_HAS_PBD."""
    check_sr_operation(call.store, call.get(ref, "SR"), "forget")

    def write(txn: Txn) -> None:
        for inverse in ("PBDs", "VDIs"):
            for other in call.store.related(ref, inverse):
                txn.delete(other)
        txn.delete(ref)

    call.commit(write)


@handles("SR.introduce")
def introduce(
    call: CallContext, uuid: str, name_label: str, name_description: str, type: str, content_type: str, shared: bool,
    sm_config: dict[str, str],
) -> str:  # fmt: skip
    """A record for a repository that exists already; plug a PBD to reach it. INVALID_VALUE for a uuid in use."""
    ids = call.services.ids
    if uuid and call.store.by_uuid("SR", uuid) is not None:
        raise E.INVALID_VALUE("uuid", uuid)
    values: dict[str, Any] = {
        "uuid": uuid or ids.uuid(), "name_label": name_label, "name_description": name_description, "type": type,
        "content_type": content_type, "shared": shared, "sm_config": sm_config,
    }  # fmt: skip
    ref = ids.ref()
    call.commit(lambda txn: txn.create("SR", ref, values))
    return ref
