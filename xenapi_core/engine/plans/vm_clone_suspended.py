"""Cloning a suspended VM with its memory (VM.csvm, of the first releases).

Rule 1: the copy of the memory is made the new VM's before there is a record of it, so no VM ever names memory that it
        cannot go on from.
"""

from __future__ import annotations

from dataclasses import replace

from xenapi_core.engine.failures import MACHINE, About, told_as
from xenapi_core.engine.placement import attached_repositories
from xenapi_core.engine.plan import Claim, Plan, Run, Step, World, plans
from xenapi_core.engine.plans.images import record_image
from xenapi_core.engine.plans.vm_copy import copy_of
from xenapi_core.engine.plans.vm_records import disk_claims, new_disks
from xenapi_core.engine.plans.vm_suspend import is_live
from xenapi_core.engine.plans.volumes import clone_step
from xenapi_core.errors import E
from xenapi_core.ids import NULL_REF
from xenapi_core.model.lifecycle import check_vm_operation
from xenapi_core.model.power import SUSPENDED
from xenapi_core.store.api import Txn

ENDING = "-cloned-suspended"  # of the new VM's name, as in xapi


@plans("VM.csvm")
def plan_csvm(world: World, vm: str) -> Plan:
    """A new VM with copy-on-write copies of all disks and of the memory, Suspended; its interfaces have MACs of their
    own.

    VM_BAD_POWER_STATE; VM_HAS_NO_SUSPEND_VDI; HOST_OFFLINE if no host reaches the memory; VM_LACKS_FEATURE if the
    driver cannot give memory to another machine.
    """
    record = world.store.get(vm, "VM")
    check_vm_operation(world.store, record, "csvm")
    saved = world.store.find(record["suspend_VDI"])
    if saved is None:
        raise E.VM_HAS_NO_SUSPEND_VDI(vm)
    uuid, image, image_uuid = world.ids.uuid(), world.ids.ref(), world.ids.uuid()
    host = next((h for h in world.store.all("host") if _reaches(world, h, saved["SR"])), NULL_REF)

    async def rebind(run: Run) -> None:
        with told_as(MACHINE, About(vm=vm, host=host, operation="csvm")):
            await run.hypervisor(host).rebind(image_uuid, uuid)

    disks = new_disks(world, record, "clone", lambda vdi, new: clone_step(vdi, new, "clone"))
    name = record["name_label"] + ENDING
    plan = copy_of(world, record, name, "csvm", disks, uuid=uuid, power_state=SUSPENDED, suspend_VDI=image)

    def finish(run: Run, txn: Txn) -> None:
        plan.finish(run, txn)
        record_image(world, run, txn, txn.get(plan.result(run)), saved["SR"], image, image_uuid)

    return replace(
        plan,
        steps=(*plan.steps, clone_step(saved, image_uuid, "clone"), Step("give memory", rebind)),
        claims=(Claim(vm, "csvm"), *disk_claims(disks, "clone")),
        finish=finish,
    )


def _reaches(world: World, host: str, sr: str) -> bool:
    return is_live(world, host) and sr in attached_repositories(world, host)
