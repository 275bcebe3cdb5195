"""Operations on appliances, VMs that start and stop together: which are allowed when, and the errors otherwise.

Rule 1: `refuse_appliance_operation` knows every reason against an operation; `allowed_appliance_operations` lists the
        operations without one, so a client is never offered what would be refused.
Rule 2: this module reads records and returns values. It never awaits, so it can be called at render time.
"""

from __future__ import annotations

from xenapi_core.errors import ApiError, E
from xenapi_core.model.enums import VM_APPLIANCE_OPERATION
from xenapi_core.model.power import HALTED, RUNNING, Record, other_operation
from xenapi_core.model.schema import Reader


def refuse_appliance_operation(reader: Reader, appliance: Record, operation: str) -> ApiError | None:
    """Why `operation` cannot be requested of `appliance` now, or None.

    OPERATION_NOT_ALLOWED when it has no VMs, or they are all where the operation would take them;
    OTHER_OPERATION_IN_PROGRESS.
    """
    states = {vm["power_state"] for vm in map(reader.find, reader.related(appliance.ref, "VMs")) if vm is not None}
    if not states:
        return E.OPERATION_NOT_ALLOWED("Appliance has no VMs.")
    if appliance["current_operations"]:
        return other_operation("VM_appliance", appliance.ref, appliance["current_operations"])
    if operation == "start" and states == {RUNNING}:
        return E.OPERATION_NOT_ALLOWED("All VMs in this appliance are already running.")
    if operation != "start" and states == {HALTED}:
        return E.OPERATION_NOT_ALLOWED("All VMs in this appliance are already halted.")
    return None


def allowed_appliance_operations(reader: Reader, appliance: Record) -> tuple[str, ...]:
    """Operations a client may request on `appliance` now, in schema order."""
    names = VM_APPLIANCE_OPERATION.values
    return tuple(name for name in names if refuse_appliance_operation(reader, appliance, name) is None)
