"""Cloning and copying VMs and templates (API reference, "Clone, snapshot, template")."""

from __future__ import annotations

from typing import Any

from xenapi_core.engine.messages import post_vm
from xenapi_core.engine.plan import Claim, Plan, Run, World, plans
from xenapi_core.engine.plans.vm_records import (
    EPOCH,
    NewDisk,
    disk_claims,
    new_disks,
    record_disks,
    record_vbds,
    record_vifs,
    record_vm,
)
from xenapi_core.engine.plans.volumes import check_sr, clone_step, copy_step
from xenapi_core.errors import E
from xenapi_core.ids import NULL_REF, is_null
from xenapi_core.model.lifecycle import check_vm_operation
from xenapi_core.store.api import Txn, Version

_SOURCES_OWN = ("default_template", "xensource_internal", "mac_seed")  # keys of other_config that a copy does not take


@plans("VM.clone")
def plan_clone(world: World, vm: str, new_name: str) -> Plan:
    """A new VM with copy-on-write copies of all disks."""
    record = world.store.get(vm, "VM")
    check_vm_operation(world.store, record, "clone")
    disks = new_disks(world, record, "clone", lambda vdi, uuid: clone_step(vdi, uuid, "clone"))
    return copy_of(world, record, new_name, "clone", disks)


@plans("VM.copy")
def plan_copy(world: World, vm: str, new_name: str, sr: str) -> Plan:
    """A new VM with full copies of all disks, on `sr` or, if that is null, each on the SR of its source."""
    record = world.store.get(vm, "VM")
    check_vm_operation(world.store, record, "copy")
    if not is_null(sr):
        check_target(world, sr)
    target = None if is_null(sr) else sr
    disks = new_disks(
        world, record, "copy", lambda vdi, uuid: copy_step(world, vdi, uuid, target or vdi["SR"]), sr=target
    )
    return copy_of(world, record, new_name, "copy", disks)


def check_target(world: World, sr: str) -> None:
    """Whether disks can be copied to `sr`."""
    if check_sr(world, sr)["content_type"] == "iso":
        raise E.OPERATION_NOT_ALLOWED("Cannot copy a disk to an ISO library")


def copy_of(world: World, source: Version, name: str, operation: str, disks: list[NewDisk], **values: Any) -> Plan:
    """The plan of a new VM like `source`, with these disks, and with `values` of its own."""
    ref, mac_seed = world.ids.ref(), world.ids.uuid()

    def finish(run: Run, txn: Txn) -> None:
        copies = record_disks(world, run, txn, disks, snapshot=False)
        record_vm(
            world,
            txn,
            source,
            ref,
            name_label=name or source["name_label"],
            other_config=_other_config(source, mac_seed),
            is_a_snapshot=False,
            snapshot_of=NULL_REF,
            snapshot_time=EPOCH,
            snapshot_info={"power-state-at-snapshot": source["power_state"]},
            parent=NULL_REF,
            **values,
        )
        record_vbds(world, txn, source, ref, copies, owner=True, drop=frozenset())
        record_vifs(world, txn, source, ref, mac_seed)
        post_vm(world, txn, "VM_CLONED", txn.get(ref), f"VM '{source['name_label']}' was cloned to '{name}'")

    return Plan(
        steps=tuple(disk.step for disk in disks),
        claims=(Claim(source.ref, operation), *disk_claims(disks, operation)),
        result=lambda run: ref,
        finish=finish,
    )


def _other_config(source: Version, mac_seed: str) -> dict[str, Any]:
    kept = {key: value for key, value in source["other_config"].items() if key not in _SOURCES_OWN}
    kept["mac_seed"] = mac_seed
    if source["is_a_template"] and not source["is_a_snapshot"]:
        kept["base_template_name"] = source["name_label"]
    return kept
