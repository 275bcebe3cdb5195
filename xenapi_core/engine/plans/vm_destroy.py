"""Removing VMs, snapshots and templates (API reference, VM.destroy)."""

from __future__ import annotations

from xenapi_core.engine.plan import Claim, Plan, Run, World, plans
from xenapi_core.engine.vtpm_records import delete_vtpm
from xenapi_core.errors import E
from xenapi_core.model.lifecycle import check_vm_operation
from xenapi_core.store.api import Txn

_DEVICES = ("VBDs", "VIFs", "VGPUs", "VUSBs", "consoles", "crash_dumps")


@plans("VM.destroy")
def plan_destroy(world: World, vm: str) -> Plan:
    """Remove a VM with its devices' and metrics' records; its disks stay."""
    record = world.store.get(vm, "VM")
    if record["is_control_domain"]:
        raise E.OPERATION_NOT_ALLOWED("You cannot destroy a control domain")
    if record["is_default_template"] or record["other_config"].get("default_template") == "true":
        raise E.VM_CANNOT_DELETE_DEFAULT_TEMPLATE(vm)
    check_vm_operation(world.store, record, "destroy")

    def finish(run: Run, txn: Txn) -> None:
        for child in txn.related(vm, "children"):
            txn.update(child, parent=record["parent"])
        for field in _DEVICES:
            for device in txn.related(vm, field):
                txn.delete(device)
        for vtpm in txn.related(vm, "VTPMs"):
            delete_vtpm(txn, vtpm)
        for owned in (record["metrics"], record["guest_metrics"], *record["blobs"].values()):
            txn.delete(owned)
        txn.delete(vm)

    return Plan(steps=(), claims=(Claim(vm, "destroy"),), finish=finish)
