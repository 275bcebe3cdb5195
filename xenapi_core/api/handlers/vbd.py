"""VBD: settings with rules. Making, plugging and destroying VBDs are plans of the engine."""

from __future__ import annotations

from xenapi_core.api.registry import CallContext, handles
from xenapi_core.errors import E
from xenapi_core.model.device_lifecycle import check_vbd_operation
from xenapi_core.model.power import other_operation
from xenapi_core.store.api import Version


def _of_halted_vm(call: CallContext, ref: str) -> Version:
    """VM_BAD_POWER_STATE unless the VM is Halted; OTHER_OPERATION_IN_PROGRESS while it starts."""
    vbd = call.get(ref, "VBD")
    vm = call.store.find(vbd["VM"])
    if vm is not None and vm["power_state"] != "Halted":
        raise E.VM_BAD_POWER_STATE(vm.ref, "halted", vm["power_state"].lower())
    if vm is not None and vbd["reserved"]:
        raise other_operation("VM", vm.ref, vm["current_operations"])
    return vbd


@handles("VBD.set_mode")
def set_mode(call: CallContext, ref: str, mode: str) -> None:
    """VM_BAD_POWER_STATE, VBD_CDS_MUST_BE_READONLY, VDI_READONLY (API reference, devices)."""
    vbd = _of_halted_vm(call, ref)
    if mode == "RW":
        _check_writable(call, vbd["type"], vbd["VDI"])
    call.update(ref, mode=mode)


def _check_writable(call: CallContext, kind: str, disk: str) -> None:
    if kind == "CD":
        raise E.VBD_CDS_MUST_BE_READONLY()
    vdi = call.store.find(disk)
    if vdi is not None and vdi["read_only"]:
        raise E.VDI_READONLY(disk)


@handles("VBD.set_type")
def set_type(call: CallContext, ref: str, kind: str) -> None:
    """VBD_CDS_MUST_BE_READONLY for a CD that could be written; VBD_NOT_REMOVABLE_MEDIA for an empty disk."""
    vbd = _of_halted_vm(call, ref)
    if kind == "CD" and vbd["mode"] == "RW":
        raise E.VBD_CDS_MUST_BE_READONLY()
    if kind != "CD" and vbd["empty"]:
        raise E.VBD_NOT_REMOVABLE_MEDIA(ref)
    call.update(ref, type=kind)


@handles("VBD.assert_attachable")
def assert_attachable(call: CallContext, ref: str) -> None:
    """Raises what would forbid plugging it now."""
    check_vbd_operation(call.store, call.get(ref, "VBD"), "attach")
