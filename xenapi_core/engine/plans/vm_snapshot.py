"""Snapshots of disks, and checkpoints of disks and memory (API reference, "Clone, snapshot, template")."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from xenapi_core.drivers.api import DriverError
from xenapi_core.engine.failures import SUSPEND, About, told_as
from xenapi_core.engine.host_memory import memory_needed
from xenapi_core.engine.messages import post_vm
from xenapi_core.engine.plan import Claim, Plan, Run, Step, World, plans
from xenapi_core.engine.specs import attached_spec
from xenapi_core.engine.steps.images import image_steps, suspend_sr
from xenapi_core.engine.steps.vm_records import (
    NewDisk,
    disk_claims,
    new_disks,
    record_disks,
    record_vbds,
    record_vifs,
    record_vm,
)
from xenapi_core.engine.steps.volumes import clone_step, record_volume
from xenapi_core.engine.transition import enter_live
from xenapi_core.errors import E
from xenapi_core.ids import NULL_REF
from xenapi_core.model.lifecycle import check_vm_operation
from xenapi_core.model.power import HALTED, PAUSED, RUNNING, SUSPENDED
from xenapi_core.store.api import Txn, Version

# What a snapshot remembers of its VM, so that reverting can make the VM again after it was destroyed.
OWN_IDENTITY: Final = ("uuid", "name_label", "name_description")


@plans("VM.snapshot")
def plan_snapshot(world: World, vm: str, new_name: str, ignore_vdis: Sequence[str] = ()) -> Plan:
    """A snapshot of all disks but `ignore_vdis`, whatever the VM is doing."""
    record = world.store.get(vm, "VM")
    check_vm_operation(world.store, record, "snapshot")
    ignored = frozenset(ignore_vdis)
    disks = _disks(world, record, ignored)
    ref = world.ids.ref()

    def finish(run: Run, txn: Txn) -> None:
        copies = record_disks(world, run, txn, disks, snapshot=True)
        _record(world, txn, record, ref, new_name, copies, ignored, HALTED, NULL_REF)
        post_vm(world, txn, "VM_SNAPSHOTTED", record.values)

    return Plan(
        steps=tuple(disk.step for disk in disks),
        claims=(Claim(vm, "snapshot"), *disk_claims(disks, "snapshot")),
        result=lambda run: ref,
        finish=finish,
    )


@plans("VM.checkpoint")
def plan_checkpoint(world: World, vm: str, new_name: str) -> Plan:
    """A snapshot with memory: a running VM is suspended, its disks are snapshotted, and it goes on."""
    record = world.store.get(vm, "VM")
    check_vm_operation(world.store, record, "checkpoint")
    disks = _disks(world, record, frozenset())
    snapshots = tuple(disk.step for disk in disks)
    ref, image, image_uuid = world.ids.ref(), world.ids.ref(), world.ids.uuid()
    state = record["power_state"]
    claims = (Claim(vm, "checkpoint"), *disk_claims(disks, "snapshot"))
    if state == RUNNING:
        return _checkpoint_running(world, record, new_name, disks, claims, ref, image, image_uuid)
    saved = world.store.find(record["suspend_VDI"]) if state == SUSPENDED else None
    if saved is not None:
        snapshots = (*snapshots, clone_step(saved, image_uuid, "snapshot"))

    def finish(run: Run, txn: Txn) -> None:
        copies = record_disks(world, run, txn, disks, snapshot=True)
        suspend_vdi = NULL_REF
        if saved is not None:
            values = {"name_label": saved["name_label"], "type": "suspend", "is_a_snapshot": True}
            record_volume(world, run, txn, image, image_uuid, saved["SR"], {**values, "snapshot_of": saved.ref})
            suspend_vdi = image
        end = SUSPENDED if state == SUSPENDED else HALTED
        _record(world, txn, record, ref, new_name, copies, frozenset(), end, suspend_vdi)
        post_vm(world, txn, "VM_CHECKPOINTED", record.values)

    return Plan(steps=snapshots, claims=claims, result=lambda run: ref, finish=finish)


def _checkpoint_running(
    world: World,
    vm: Version,
    name: str,
    disks: list[NewDisk],
    claims: tuple[Claim, ...],
    ref: str,
    image: str,
    image_uuid: str,
) -> Plan:
    sr, host = suspend_sr(world, vm), vm["resident_on"]
    spec = attached_spec(world.store, vm, host)

    async def save(run: Run) -> None:
        run.results["hosts"] = (host,)
        with told_as(SUSPEND, About(vm=vm.ref, host=host, operation="checkpoint", size=memory_needed(vm))):
            try:
                await run.hypervisor(host).suspend(spec.uuid, image_uuid, run.progress)
            except DriverError as error:
                if error.kind == "failed":
                    raise E.VM_CHECKPOINT_SUSPEND_FAILED(vm.ref) from error
                raise

    async def restore(run: Run) -> None:
        run.results["domain"] = await run.hypervisor(host).resume(spec, image_uuid, False, run.progress)

    async def come_back(run: Run) -> None:
        """The last attempt: if it fails too, the memory is in the image alone."""
        try:
            await restore(run)
        except BaseException:
            run.results["kept", image] = True
            raise

    async def go_on(run: Run) -> None:
        try:
            await restore(run)
        except DriverError as error:
            raise E.VM_CHECKPOINT_RESUME_FAILED(vm.ref) from error

    def finish(run: Run, txn: Txn) -> None:
        copies = record_disks(world, run, txn, disks, snapshot=True)
        _record(world, txn, vm, ref, name, copies, frozenset(), SUSPENDED, image)
        enter_live(world, txn, vm.ref, host, run.results["domain"], booted=False)
        post_vm(world, txn, "VM_CHECKPOINTED", vm.values)

    return Plan(
        steps=(
            *image_steps(world, vm, sr, image, image_uuid),
            Step("save memory", save, come_back, weight=10),
            *(disk.step for disk in disks),
            Step("restore memory", go_on, weight=10),
        ),
        claims=claims,
        result=lambda run: ref,
        finish=finish,
    )


def _disks(world: World, vm: Version, ignored: frozenset[str]) -> list[NewDisk]:
    return new_disks(world, vm, "snapshot", lambda vdi, uuid: clone_step(vdi, uuid, "snapshot"), ignore=ignored)


def _record(
    world: World,
    txn: Txn,
    source: Version,
    ref: str,
    name: str,
    copies: dict[str, str],
    ignored: frozenset[str],
    state: str,
    suspend_vdi: str,
) -> None:
    """The snapshot's record; it becomes the newest ancestor of its source."""
    info = {"power-state-at-snapshot": source["power_state"]}
    if source["power_state"] in (RUNNING, PAUSED):
        info["disk-snapshot-type"] = "crash_consistent"
    record_vm(
        world,
        txn,
        source,
        ref,
        name_label=name,
        power_state=state,
        suspend_VDI=suspend_vdi,
        is_a_template=True,
        is_a_snapshot=True,
        snapshot_of=source.ref,
        snapshot_time=world.clock.now(),
        snapshot_info=info,
        snapshot_metadata=json.dumps({name: source[name] for name in OWN_IDENTITY}),
        parent=source["parent"],
    )
    record_vbds(world, txn, source, ref, copies, owner=False, drop=ignored)
    record_vifs(world, txn, source, ref, None)
    txn.update(source.ref, parent=ref)
