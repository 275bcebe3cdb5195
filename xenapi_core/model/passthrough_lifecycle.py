"""Operations on a VM's USB devices and trusted platform modules: which are allowed when, and the errors otherwise.

Rule 1: a function `refuse_X_operation` knows every reason against an operation; `allowed_X_operations` lists the
        operations without one, so a client is never offered what would be refused.
Rule 2: this module reads records and returns values. It never awaits, so it can be called at render time.
"""

from __future__ import annotations

from xenapi_core.errors import ApiError, E
from xenapi_core.model.enums import VTPM_OPERATIONS, VUSB_OPERATIONS
from xenapi_core.model.power import HALTED, RUNNING, Record, bad_power_state, other_operation
from xenapi_core.model.schema import Reader


def refuse_vusb_operation(reader: Reader, vusb: Record, operation: str) -> ApiError | None:
    """Why `operation` ("attach", "plug", "unplug") cannot be requested of `vusb` now, or None.

    HANDLE_INVALID for a device without a VM, OTHER_OPERATION_IN_PROGRESS, VM_BAD_POWER_STATE,
    DEVICE_ALREADY_ATTACHED, DEVICE_ALREADY_DETACHED.
    """
    vm = reader.find(vusb["VM"])
    if vm is None:
        return E.HANDLE_INVALID("VM", vusb["VM"])
    if vusb["current_operations"]:
        return other_operation("VUSB", vusb.ref, vusb["current_operations"])
    if operation == "attach":
        return None
    if vm["power_state"] != RUNNING:
        return bad_power_state(vm, (RUNNING,))
    if operation == "plug" and vusb["currently_attached"]:
        return E.DEVICE_ALREADY_ATTACHED(vusb.ref)
    if operation == "unplug" and not vusb["currently_attached"]:
        return E.DEVICE_ALREADY_DETACHED(vusb.ref)
    return None


def allowed_vusb_operations(reader: Reader, vusb: Record) -> tuple[str, ...]:
    """Operations a client may request on `vusb` now, in schema order."""
    return tuple(name for name in VUSB_OPERATIONS.values if refuse_vusb_operation(reader, vusb, name) is None)


def refuse_vtpm_operation(reader: Reader, vtpm: Record, operation: str) -> ApiError | None:
    """Why `operation` (there is "destroy" only) cannot be requested of `vtpm` now, or None.

    HANDLE_INVALID for a module without a VM, OTHER_OPERATION_IN_PROGRESS, VM_BAD_POWER_STATE.
    """
    vm = reader.find(vtpm["VM"])
    if vm is None:
        return E.HANDLE_INVALID("VM", vtpm["VM"])
    if vtpm["current_operations"]:
        return other_operation("VTPM", vtpm.ref, vtpm["current_operations"])
    return None if vm["power_state"] == HALTED else bad_power_state(vm, (HALTED,))


def allowed_vtpm_operations(reader: Reader, vtpm: Record) -> tuple[str, ...]:
    """Operations a client may request on `vtpm` now, in schema order."""
    return tuple(name for name in VTPM_OPERATIONS.values if refuse_vtpm_operation(reader, vtpm, name) is None)
