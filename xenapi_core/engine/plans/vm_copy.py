"""Cloning and copying VMs and templates (API reference, "Clone, snapshot, template")."""

from __future__ import annotations

from xenapi_core.engine.plan import Plan, World, plans
from xenapi_core.engine.plans.vm_clone_suspended import copy_with_memory, is_taken_with_memory
from xenapi_core.engine.steps.vm_export import check_disk
from xenapi_core.engine.steps.vm_records import copy_of, new_disks
from xenapi_core.engine.steps.volumes import check_sr, clone_step, copy_step
from xenapi_core.errors import E
from xenapi_core.ids import is_null
from xenapi_core.model.lifecycle import check_vm_operation


@plans("VM.clone")
def plan_clone(world: World, vm: str, new_name: str) -> Plan:
    """A new VM with copy-on-write copies of all disks; of the memory too, if the pool lets suspended VMs be cloned."""
    record = world.store.get(vm, "VM")
    if is_taken_with_memory(world, record, "clone"):
        return copy_with_memory(world, record, new_name, "clone")
    check_vm_operation(world.store, record, "clone")
    disks = new_disks(world, record, "clone", lambda vdi, uuid: clone_step(vdi, uuid, "clone"))
    return copy_of(world, record, new_name, "clone", disks)


@plans("VM.copy")
def plan_copy(world: World, vm: str, new_name: str, sr: str) -> Plan:
    """A new VM with full copies of all disks, on `sr` or, if that is null, each on the SR of its source; of the memory
    too, if the pool lets suspended VMs be cloned."""
    record = world.store.get(vm, "VM")
    asleep = is_taken_with_memory(world, record, "copy")
    if not asleep:
        check_vm_operation(world.store, record, "copy")
    if not is_null(sr):
        check_target(world, sr)
    target = None if is_null(sr) else sr
    disks = new_disks(
        world,
        record,
        "copy",
        lambda vdi, uuid: copy_step(world, vdi, uuid, target or vdi["SR"]),
        sr=target,
        check=(lambda vdi: check_disk(world.store, record, vdi)) if asleep else None,
    )
    if asleep:
        return copy_with_memory(world, record, new_name, "copy", disks, target)
    return copy_of(world, record, new_name, "copy", disks)


def check_target(world: World, sr: str) -> None:
    """Whether disks can be copied to `sr`."""
    if check_sr(world, sr)["content_type"] == "iso":
        raise E.OPERATION_NOT_ALLOWED("Cannot copy a disk to an ISO library")
