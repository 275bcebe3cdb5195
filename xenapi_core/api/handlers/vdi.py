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


@handles("VDI.enable_cbt")
def enable_cbt(call: CallContext, ref: str) -> None:
    """Raises: no storage tracks changed blocks."""
    _refuse(call, ref, "enable_cbt")


@handles("VDI.disable_cbt")
def disable_cbt(call: CallContext, ref: str) -> None:
    """Raises: no storage tracks changed blocks."""
    _refuse(call, ref, "disable_cbt")


@handles("VDI.data_destroy")
def data_destroy(call: CallContext, ref: str) -> None:
    """OPERATION_NOT_ALLOWED unless a snapshot; VDI_NO_CBT_METADATA, as no storage tracks changed blocks."""
    _refuse(call, ref, "data_destroy")


@handles("VDI.list_changed_blocks")
def list_changed_blocks(call: CallContext, vdi_from: str, vdi_to: str) -> str:
    """Raises: no storage tracks changed blocks."""
    _refuse(call, vdi_to, "list_changed_blocks")


@handles("VDI.generate_config")
def generate_config(call: CallContext, host: str, ref: str) -> str:
    """Raises: no storage lets a host attach a disk without this server."""
    _refuse(call, ref, "generate_config")
