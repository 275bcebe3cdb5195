"""VM_appliance: messages that are not power operations."""

from __future__ import annotations

from typing import Any

from xenapi_core.api.registry import CallContext, handles
from xenapi_core.ids import NULL_REF
from xenapi_core.model.power import other_operation
from xenapi_core.store.api import Txn


@handles("VM_appliance.create")
def create(call: CallContext, values: dict[str, Any]) -> str:
    return call.create("VM_appliance", values)


@handles("VM_appliance.destroy")
def destroy(call: CallContext, ref: str) -> None:
    """Its VMs stay, and belong to none. OTHER_OPERATION_IN_PROGRESS."""
    if current := call.get(ref, "VM_appliance")["current_operations"]:
        raise other_operation("VM_appliance", ref, current)

    def write(txn: Txn) -> None:
        for vm in txn.related(ref, "VMs"):
            txn.update(vm, appliance=NULL_REF)
        txn.delete(ref)

    call.commit(write)
