"""Reverting a VM to one of its snapshots, or creating it again from one (API reference, VM.revert)."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any, Final

from xenapi_core.drivers.api import DriverError
from xenapi_core.engine.messages import post_vm
from xenapi_core.engine.plan import Claim, Plan, Run, Step, World, plans
from xenapi_core.engine.plans.vm_snapshot import OWN_IDENTITY
from xenapi_core.engine.steps.vm_records import (
    EPOCH,
    FRESH,
    NewDisk,
    copy_guest_metrics,
    disk_claims,
    disks_to_copy,
    new_disks,
    record_disks,
    record_vbds,
    record_vifs,
    record_vm,
    without_requests,
)
from xenapi_core.engine.steps.volumes import clone_step, forget_volume, record_volume
from xenapi_core.engine.transition import attach_to_memory, enter_halted
from xenapi_core.engine.vtpm_records import copy_vtpms, delete_vtpm
from xenapi_core.errors import ApiError, E
from xenapi_core.ids import NULL_REF, is_null
from xenapi_core.model.lifecycle import OWN_REQUESTS, check_vm_operation, spelled
from xenapi_core.model.power import HALTED, SUSPENDED, other_operation
from xenapi_core.store.api import Txn, Version

log = logging.getLogger(__name__)

DESTROY_WITHIN: Final = 60.0  # seconds of real time a driver has to end a machine or to destroy a volume

# What stays the VM's own when the rest goes back to what it was at the snapshot.
_KEPT: Final = frozenset(
    {
        *FRESH, "uuid", "name_label", "name_description", "metrics", "affinity", "is_a_template", "is_a_snapshot",
        "snapshot_of", "snapshot_time", "snapshot_info", "parent", "generation_id", "tags", "is_control_domain",
    }
)  # fmt: skip


@plans("VM.revert")
def plan_revert(world: World, snapshot: str) -> Plan:
    """The VM stops, and its disks and settings become what they were when `snapshot` was taken.

    A disk of the VM that `snapshot` has none of, or that another VM uses, is left alone, and is no disk of the VM any
    more. OTHER_OPERATION_IN_PROGRESS while something is done to a disk that goes.
    """
    record = world.store.get(snapshot, "VM")
    check_vm_operation(world.store, record, "revert")
    vm = world.store.find(record["snapshot_of"])
    if vm is None:
        return _recreate(world, record)
    if vm["current_operations"]:
        raise other_operation("VM", vm.ref, {task: spelled(op) for task, op in vm["current_operations"].items()})
    disks = new_disks(world, record, "clone", lambda vdi, uuid: clone_step(vdi, uuid, "clone"))
    saved = world.store.find(record["suspend_VDI"]) if record["power_state"] == SUSPENDED else None
    image, image_uuid = world.ids.ref(), world.ids.uuid()
    old = _replaced(world, vm, disks)
    before = world.store.find(vm["suspend_VDI"]) if vm["power_state"] == SUSPENDED else None
    steps = [disk.step for disk in disks]
    if saved is not None:
        steps.append(clone_step(saved, image_uuid, "clone"))
    steps.append(Step("let go of the old state", lambda run: _let_go(run, snapshot, vm, old, before), deadline=None))

    def finish(run: Run, txn: Txn) -> None:
        enter_halted(world, txn, vm.ref)
        for device in (*txn.related(vm.ref, "VBDs"), *txn.related(vm.ref, "VIFs")):
            txn.delete(device)
        for vtpm in txn.related(vm.ref, "VTPMs"):
            delete_vtpm(txn, vtpm)
        gone = run.results["gone"]
        copies = record_disks(world, run, txn, disks, snapshot=False)
        for disk in disks:
            origin = disk.source["snapshot_of"]
            for sibling in txn.related(origin, "snapshots") if txn.find(origin) is not None else ():
                txn.update(sibling, snapshot_of=disk.ref)
        for vdi in old:
            if vdi.ref in gone:
                forget_volume(run, txn, vdi.ref)
        if before is not None and before.ref in gone:
            forget_volume(run, txn, before.ref)
        changes: dict[str, Any] = {name: value for name, value in record.values.items() if name not in _KEPT}
        if saved is not None:
            record_volume(
                world, run, txn, image, image_uuid, saved["SR"], {"name_label": "Suspend image", "type": "suspend"}
            )
            changes |= {"power_state": SUSPENDED, "suspend_VDI": image}
        now = txn.get(vm.ref, "VM")
        asked = {key: value for key, value in now["other_config"].items() if key in OWN_REQUESTS}
        changes["other_config"] = without_requests(record["other_config"]) | asked
        txn.delete(now["guest_metrics"])
        reported = copy_guest_metrics(world, txn, record)
        txn.update(vm.ref, parent=snapshot, reverted_to=snapshot, guest_metrics=reported, **changes)
        record_vbds(world, txn, record, vm.ref, copies, owner=False, drop=frozenset())
        record_vifs(world, txn, record, vm.ref, None)
        if saved is not None:
            attach_to_memory(txn, vm.ref)
        copy_vtpms(world, txn, snapshot, vm.ref)
        post_vm(world, txn, "VM_SNAPSHOT_REVERTED", vm.values)

    return Plan(
        steps=tuple(steps),
        claims=(
            Claim(snapshot, "revert"),
            Claim(vm.ref, "reverting"),
            *disk_claims(disks, "clone"),
            *(Claim(vdi.ref, "destroy") for vdi in old),
        ),
        finish=finish,
    )


def _replaced(world: World, vm: Version, disks: list[NewDisk]) -> list[Version]:
    """The disks of `vm` that give way to `disks`: those a snapshot was taken of, unless another VM uses them."""
    taken = {disk.source["snapshot_of"] for disk in disks}
    found = []
    for _, vdi in disks_to_copy(world, vm):
        vbds = map(world.store.get, world.store.related(vdi.ref, "VBDs"))
        elsewhere = any(vbd["VM"] != vm.ref and (vbd["currently_attached"] or vbd["reserved"]) for vbd in vbds)
        if vdi.ref not in taken or elsewhere:
            continue
        if vdi["current_operations"]:
            raise other_operation("VDI", vdi.ref, vdi["current_operations"])
        found.append(vdi)
    return found


def _recreate(world: World, snapshot: Version) -> Plan:
    """Make the VM again whose snapshot this is: it was destroyed. All its snapshots are those of the new one then."""
    disks = new_disks(world, snapshot, "clone", lambda vdi, uuid: clone_step(vdi, uuid, "clone"))
    saved = world.store.find(snapshot["suspend_VDI"]) if snapshot["power_state"] == SUSPENDED else None
    ref, image, image_uuid = world.ids.ref(), world.ids.ref(), world.ids.uuid()
    lost, identity = snapshot["snapshot_of"], _identity(world, snapshot)
    vms = world.store.all("VM").values()
    siblings = [snapshot.ref] if is_null(lost) else [vm.ref for vm in vms if vm["snapshot_of"] == lost]
    steps = [disk.step for disk in disks]
    if saved is not None:
        steps.append(clone_step(saved, image_uuid, "clone"))

    def finish(run: Run, txn: Txn) -> None:
        copies = record_disks(world, run, txn, disks, snapshot=False)
        state: dict[str, Any] = {}
        if saved is not None:
            values = {"name_label": "Suspend image", "type": "suspend"}
            record_volume(world, run, txn, image, image_uuid, saved["SR"], values)
            state = {"power_state": SUSPENDED, "suspend_VDI": image}
        record_vm(
            world,
            txn,
            snapshot,
            ref,
            is_a_template=False,
            is_a_snapshot=False,
            snapshot_of=NULL_REF,
            snapshot_time=EPOCH,
            snapshot_info={},
            parent=snapshot.ref,
            reverted_to=snapshot.ref,
            **identity,
            **state,
        )
        for sibling in siblings:
            txn.update(sibling, snapshot_of=ref)
        record_vbds(world, txn, snapshot, ref, copies, owner=True, drop=frozenset())
        record_vifs(world, txn, snapshot, ref, None)
        if saved is not None:
            attach_to_memory(txn, ref)
        post_vm(world, txn, "VM_SNAPSHOT_REVERTED", txn.get(ref))

    return Plan(steps=tuple(steps), claims=(Claim(snapshot.ref, "revert"), *disk_claims(disks, "clone")), finish=finish)


def _identity(world: World, snapshot: Version) -> dict[str, str]:
    """The uuid and the names of the VM that was lost, as far as the snapshot tells and nobody has taken them."""
    try:
        known = json.loads(snapshot["snapshot_metadata"] or "{}")
    except ValueError:
        return {}
    found = {name: known[name] for name in OWN_IDENTITY if isinstance(known.get(name), str)}
    if world.store.by_uuid("VM", found.get("uuid", "")) is not None:
        del found["uuid"]
    return found


async def _let_go(run: Run, snapshot: str, vm: Version, old: list[Version], image: Version | None) -> None:
    """End the machine, then destroy what it leaves; a disk that cannot be destroyed keeps its record.

    Not interruptible (no deadline of the engine's): what is destroyed cannot be brought back.
    """
    run.results["gone"] = gone = set()
    if vm["power_state"] not in (HALTED, SUSPENDED):
        try:
            async with asyncio.timeout(DESTROY_WITHIN):
                await run.hypervisor(vm["resident_on"]).destroy(vm["uuid"])
        except (DriverError, TimeoutError) as error:
            if not isinstance(error, DriverError) or error.kind != "not_found":
                raise E.VM_REVERT_FAILED(snapshot, vm.ref) from error
    for vdi in (*old, *(() if image is None else (image,))):
        try:
            async with asyncio.timeout(DESTROY_WITHIN):
                await run.storage(vdi["SR"]).destroy(vdi["uuid"])
        except (ApiError, DriverError, TimeoutError) as error:
            log.warning("disk %s could not be destroyed: %s", vdi["uuid"], error)
            continue
        gone.add(vdi.ref)
        run.results["usage", vdi["SR"]] = None
