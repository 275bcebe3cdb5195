"""VDI: settings with rules. What touches the storage is a plan of the engine."""

from __future__ import annotations

from xenapi_core.api.registry import CallContext, handles
from xenapi_core.model.lifecycle import check_vdi_operation


@handles("VDI.set_on_boot")
def set_on_boot(call: CallContext, ref: str, value: str) -> None:
    """VDI_IN_USE while a VM has it attached; SR_OPERATION_NOT_SUPPORTED where the storage has no such thing."""
    vdi = call.get(ref, "VDI")
    if vdi["on_boot"] != value:
        check_vdi_operation(call.store, vdi, "set_on_boot")
        call.update(ref, on_boot=value)
