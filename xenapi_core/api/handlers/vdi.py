"""VDI: settings with rules, and what no storage here offers. What touches the storage is a plan of the engine."""

from __future__ import annotations

from typing import Any, NoReturn

from xenapi_core.api.registry import CallContext, handles
from xenapi_core.errors import E
from xenapi_core.model.lifecycle import check_vdi_operation


@handles("VDI.get_nbd_info")
def get_nbd_info(call: CallContext, ref: str) -> tuple[dict[str, Any], ...]:
    """Nothing: no host serves NBD. VDI_INCOMPATIBLE_TYPE for a disk that holds no data of its own."""
    vdi = call.get(ref, "VDI")
    if vdi["type"] == "cbt_metadata":
        raise E.VDI_INCOMPATIBLE_TYPE(ref, vdi["type"])
    return ()


def _refuse(call: CallContext, ref: str, operation: str) -> NoReturn:
    """Raise what forbids it. NOT_IMPLEMENTED should the storage claim it: its driver has no call for that."""
    check_vdi_operation(call.store, call.get(ref, "VDI"), operation)
    raise E.NOT_IMPLEMENTED(call.wire_name)


@handles("VDI.generate_config")
def generate_config(call: CallContext, host: str, ref: str) -> str:
    """Raises: no storage lets a host attach a disk without this server."""
    _refuse(call, ref, "generate_config")
