"""VMSS: schedules of snapshots. engine/snapshot_schedules.py takes the snapshots when they are due.

Rule 1: a schedule always has the keys that its frequency needs; what a client leaves out or takes away is the first
        minute, hour or day.
"""

from __future__ import annotations

from typing import Any

from xenapi_core.api.registry import CallContext, handles
from xenapi_core.engine.snapshot_schedules import OPERATIONS, complete, run
from xenapi_core.errors import E
from xenapi_core.ids import is_null

RETAINED = range(1, 11)


def _check_retained(value: int) -> None:
    if value not in RETAINED:
        raise E.INVALID_VALUE("retained_snapshots", str(value))


def _check_type(call: CallContext, kind: str) -> None:
    """NOT_IMPLEMENTED for a type of snapshot that needs the guest: none here can prepare its disks."""
    if kind not in OPERATIONS:
        raise E.NOT_IMPLEMENTED(call.wire_name)


@handles("VMSS.create")
def create(call: CallContext, values: dict[str, Any]) -> str:
    """INVALID_VALUE [field or key, value]; NOT_IMPLEMENTED for type snapshot_with_quiesce."""
    _check_type(call, values["type"])
    _check_retained(values["retained_snapshots"])
    return call.create("VMSS", {**values, "schedule": complete(values["frequency"], values["schedule"])})


@handles("VMSS.destroy")
def destroy(call: CallContext, ref: str) -> None:
    """VMSS_HAS_VM while VMs have the schedule."""
    if call.store.related(ref, "VMs"):
        raise E.VMSS_HAS_VM()
    call.commit(lambda txn: txn.delete(ref))


@handles("VMSS.snapshot_now")
async def snapshot_now(call: CallContext, ref: str) -> str:
    """A line for each VM: its name, and the snapshot's uuid or why there is none. An enabled schedule or not."""
    lines = []
    for taken in await run(call.services.engine, ref, call.caller):
        made = call.store.find(taken.snapshot)
        lines.append(f"{taken.vm['name_label']}: {made['uuid'] if made is not None else taken.failure or 'removed'}")
    return "\n".join(lines)


@handles("VMSS.set_retained_snapshots")
def set_retained_snapshots(call: CallContext, ref: str, value: int) -> None:
    """INVALID_VALUE unless 1 to 10. What is too many goes when the next snapshot has been taken."""
    _check_retained(value)
    call.update(ref, retained_snapshots=value)


@handles("VMSS.set_frequency")
def set_frequency(call: CallContext, ref: str, value: str) -> None:
    call.update(ref, frequency=value, schedule=complete(value, call.get(ref, "VMSS")["schedule"]))


@handles("VMSS.set_schedule")
def set_schedule(call: CallContext, ref: str, value: dict[str, str]) -> None:
    """INVALID_VALUE [key, value]."""
    call.update(ref, schedule=complete(call.get(ref, "VMSS")["frequency"], value))


@handles("VMSS.add_to_schedule")
def add_to_schedule(call: CallContext, ref: str, key: str, value: str) -> None:
    """INVALID_VALUE [key, value]. As rule 1 fills every key in, a key that is there is replaced."""
    vmss = call.get(ref, "VMSS")
    call.update(ref, schedule=complete(vmss["frequency"], {**vmss["schedule"], key: value}))


@handles("VMSS.remove_from_schedule")
def remove_from_schedule(call: CallContext, ref: str, key: str) -> None:
    vmss = call.get(ref, "VMSS")
    kept = {name: value for name, value in vmss["schedule"].items() if name != key}
    call.update(ref, schedule=complete(vmss["frequency"], kept))


@handles("VMSS.set_last_run_time")
def set_last_run_time(call: CallContext, ref: str, value: int) -> None:
    call.update(ref, last_run_time=value)


@handles("VMSS.set_type")
def set_type(call: CallContext, ref: str, value: str) -> None:
    """NOT_IMPLEMENTED for snapshot_with_quiesce."""
    _check_type(call, value)
    call.update(ref, type=value)


@handles("VM.set_snapshot_schedule")
def set_snapshot_schedule(call: CallContext, ref: str, value: str) -> None:
    """OPERATION_NOT_ALLOWED for a control domain, VM_IS_SNAPSHOT, VM_IS_TEMPLATE; null takes any VM out."""
    vm = call.get(ref, "VM")
    if not is_null(value):
        if vm["is_control_domain"]:
            raise E.OPERATION_NOT_ALLOWED("A control domain has no snapshots")
        if vm["is_a_snapshot"]:
            raise E.VM_IS_SNAPSHOT(ref, "snapshot")
        if vm["is_a_template"]:
            raise E.VM_IS_TEMPLATE(ref, "snapshot")
    call.update(ref, snapshot_schedule=value)
