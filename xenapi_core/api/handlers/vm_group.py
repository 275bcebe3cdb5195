"""VM_group: groups of VMs with a placement policy.

Rule 1: placement does not keep VMs apart yet, so a group that asks for it is refused rather than made.
"""

from __future__ import annotations

from typing import Any

from xenapi_core.api.registry import CallContext, handles
from xenapi_core.errors import E
from xenapi_core.store.api import Txn


@handles("VM_group.create")
def create(call: CallContext, values: dict[str, Any]) -> str:
    """NOT_IMPLEMENTED for any placement but "normal" (rule 1)."""
    if values["placement"] != "normal":
        raise E.NOT_IMPLEMENTED(call.wire_name)
    return call.create("VM_group", values)


@handles("VM_group.destroy")
def destroy(call: CallContext, ref: str) -> None:
    """Its VMs stay, and belong to it no more."""

    def write(txn: Txn) -> None:
        for vm in txn.related(ref, "VMs"):
            txn.update(vm, groups=tuple(group for group in txn.get(vm)["groups"] if group != ref))
        txn.delete(ref)

    call.commit(write)


@handles("VM.set_groups")
def set_groups(call: CallContext, ref: str, groups: tuple[str, ...]) -> None:
    """OPERATION_NOT_ALLOWED for more than one group, HANDLE_INVALID for one that is none."""
    chosen = tuple(dict.fromkeys(call.get(group, "VM_group").ref for group in groups))
    if len(chosen) > 1:
        raise E.OPERATION_NOT_ALLOWED("A VM belongs to at most one group")
    call.update(ref, groups=chosen)
