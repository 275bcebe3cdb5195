"""Copying a suspended VM with its memory: VM.csvm of the first releases, VM.clone and VM.copy where the pool allows it.

Rule 1: the copy of the memory is made the new VM's before there is a record of it, so no VM ever names memory that it
        cannot go on from.
"""

from __future__ import annotations

from dataclasses import replace

from xenapi_core.engine.failures import RESUME, About, told_as
from xenapi_core.engine.placement import attached_repositories
from xenapi_core.engine.plan import Claim, Plan, Run, Step, World, plans
from xenapi_core.engine.steps.images import record_image
from xenapi_core.engine.steps.vm_records import NewDisk, copy_of, disk_claims, new_disks
from xenapi_core.engine.steps.volumes import clone_step, copy_step
from xenapi_core.engine.transition import attach_to_memory
from xenapi_core.errors import E
from xenapi_core.ids import NULL_REF
from xenapi_core.model.hosts import is_live
from xenapi_core.model.lifecycle import check_vm_operation
from xenapi_core.model.power import HALTED, SUSPENDED
from xenapi_core.store.api import Txn, Version

ALLOWED = "allow_clone_suspended_vm"  # key of pool.other_config: VM.clone and VM.copy take the memory of suspended VMs
ENDING = "-cloned-suspended"  # of the new VM's name, as in xapi


@plans("VM.csvm")
def plan_csvm(world: World, vm: str) -> Plan:
    """A new VM with copy-on-write copies of all disks and of the memory. VM_BAD_POWER_STATE; see copy_with_memory."""
    record = world.store.get(vm, "VM")
    check_vm_operation(world.store, record, "csvm")
    return copy_with_memory(world, record, record["name_label"] + ENDING, "csvm")


def is_taken_with_memory(world: World, vm: Version, operation: str) -> bool:
    """Whether "clone" or "copy" of a VM is one of its memory too: it is suspended, and the pool allows that.

    Then what else forbids the operation is raised.
    """
    if vm["power_state"] != SUSPENDED or vm["is_a_snapshot"]:
        return False
    if not any(pool["other_config"].get(ALLOWED) == "true" for pool in world.store.all("pool").values()):
        return False
    as_halted = Version(vm.cls, vm.ref, {**vm.values, "power_state": HALTED}, vm.created, vm.modified)
    check_vm_operation(world.store, as_halted, operation)
    return True


def copy_with_memory(
    world: World, vm: Version, name: str, operation: str, copies: list[NewDisk] | None = None, sr: str | None = None
) -> Plan:
    """A new VM with copies of the disks (default: copy-on-write ones) and of the memory (on `sr`, default: where it
    is), Suspended; its interfaces have MACs of their own.

    VM_HAS_NO_SUSPEND_VDI; HOST_OFFLINE if no host reaches the memory; VM_LACKS_FEATURE if the driver cannot give memory
    to another machine.
    """
    saved = world.store.find(vm["suspend_VDI"])
    if saved is None:
        raise E.VM_HAS_NO_SUSPEND_VDI(vm.ref)
    place = sr or saved["SR"]
    uuid, image, image_uuid = world.ids.uuid(), world.ids.ref(), world.ids.uuid()
    host = next((h for h in world.store.all("host") if _reaches(world, h, place)), NULL_REF)

    async def rebind(run: Run) -> None:
        with told_as(RESUME, About(vm=vm.ref, host=host, vdi=saved.ref, operation=operation)):
            await run.hypervisor(host).rebind(image_uuid, uuid)

    cloned = copies is None
    disks = new_disks(world, vm, "clone", _clone) if copies is None else copies
    plan = copy_of(world, vm, name, operation, disks, uuid=uuid, power_state=SUSPENDED, suspend_VDI=image)

    def finish(run: Run, txn: Txn) -> None:
        plan.finish(run, txn)
        record_image(world, run, txn, txn.get(plan.result(run)), place, image, image_uuid)
        attach_to_memory(txn, plan.result(run))

    memory = _clone(saved, image_uuid) if cloned else copy_step(world, saved, image_uuid, place)
    return replace(
        plan,
        steps=(*plan.steps, memory, Step("give memory", rebind)),
        claims=(Claim(vm.ref, operation), *disk_claims(disks, "clone" if cloned else "copy")),
        finish=finish,
    )


def _clone(vdi: Version, uuid: str) -> Step:
    return clone_step(vdi, uuid, "clone")


def _reaches(world: World, host: str, sr: str) -> bool:
    return is_live(world.store, world.store.get(host, "host")) and sr in attached_repositories(world, host)
