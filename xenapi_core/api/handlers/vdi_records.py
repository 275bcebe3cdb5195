"""VDI: records that members of a pool write about disks, without asking the storage. Clients use VDI.introduce."""

from __future__ import annotations

from typing import Any, Final, NoReturn

from xenapi_core.api.registry import CallContext, handles
from xenapi_core.errors import E
from xenapi_core.model.classes.vdi import VDI
from xenapi_core.model.device_lifecycle import check_vdi_operation

_INTRODUCED: Final = next(
    tuple(param.name for param in message.params) for message in VDI.messages if message.name == "db_introduce"
)


@handles("VDI.db_introduce", "VDI.pool_introduce")
def introduce(call: CallContext, *values: Any) -> str:
    """A record as given. INVALID_VALUE for a uuid in use; LOCATION_NOT_UNIQUE."""
    given = dict(zip(_INTRODUCED, values, strict=True))
    uuid, sr, location = given.pop("uuid") or call.services.ids.uuid(), given["SR"], given["location"]
    call.get(sr, "SR")
    if call.store.by_uuid("VDI", uuid) is not None:
        raise E.INVALID_VALUE("uuid", uuid)
    if location and any(call.get(vdi)["location"] == location for vdi in call.store.related(sr, "VDIs")):
        raise E.LOCATION_NOT_UNIQUE(sr, location)
    given["other_config"] = {"location": location, **given["other_config"]}
    return call.create("VDI", {"uuid": uuid, **given})


@handles("VDI.db_forget")
def db_forget(call: CallContext, ref: str) -> None:
    """Only the record goes, whatever names it."""
    call.commit(lambda txn: txn.delete(ref))


@handles("VDI.force_unlock")
def force_unlock(call: CallContext, ref: str) -> NoReturn:
    """Raises: no storage here locks disks."""
    check_vdi_operation(call.store, call.get(ref, "VDI"), "force_unlock")
    raise E.NOT_IMPLEMENTED(call.wire_name)
