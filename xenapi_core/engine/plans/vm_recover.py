"""Creating VMs from a copy of a lost pool's database, with the disks that this pool has now.

Theory of operation
1. `source` is the store of the copy. Its references mean nothing here, even where they are equal to ours: what both
   know is found by uuid. The rest is an import of records (vm_import.py) that keeps uuids and MACs.
2. A VM that is still here is replaced if the copy's has been recovered more often, or by force; it must be halted then.
   Snapshots that are still here stay, and are its snapshots again.
3. A recovered VM counts how often that happened (version). The SRs it needs belong to no recovery task any more.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from xenapi_core.engine.exported import Exported
from xenapi_core.engine.plan import Plan, Run, World
from xenapi_core.engine.plans.vm_destroy import plan_destroy
from xenapi_core.engine.steps.vm_export import disks_of, records_of
from xenapi_core.engine.steps.vm_import import plan_import
from xenapi_core.errors import E
from xenapi_core.ids import NULL_REF
from xenapi_core.model.device_lifecycle import sr_attached
from xenapi_core.store.api import Store, Txn, Version


def required_repositories(store: Store, vm: str) -> tuple[str, ...]:
    """The SRs of a VM's disks and of its saved memory, each once."""
    present = [disk["SR"] for disk in disks_of(store, store.get(vm, "VM"))]
    return tuple(dict.fromkeys(present))


def check_repositories(world: World, source: Store, vm: str) -> None:
    """VM_REQUIRES_SR [vm, sr], both by the copy's references, for storage that is not connected to this pool."""
    for sr in required_repositories(source, vm):
        known = source.find(sr)
        here = world.store.by_uuid("SR", known["uuid"]) if known is not None else None
        if here is None or not sr_attached(world.store, here.ref):
            raise E.VM_REQUIRES_SR(vm, sr)


def check_alone(source: Store, vm: str) -> None:
    """VM_IS_PART_OF_AN_APPLIANCE [vm, appliance]: it is recovered with the appliance."""
    appliance = source.get(vm, "VM")["appliance"]
    if source.find(appliance) is not None:
        raise E.VM_IS_PART_OF_AN_APPLIANCE(vm, appliance)


@dataclass
class _Recovery:
    """The objects to create, and those that are here already."""

    objects: dict[str, Exported] = field(default_factory=dict)
    known: dict[str, str] = field(default_factory=dict)  # the copy's reference -> ours
    replaced: dict[str, Plan] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)  # snapshot that stays -> the copy's VM it is of


def plan_recover(world: World, source: Store, vms: tuple[str, ...], force: bool, appliance: str = "") -> Plan:
    """The VMs of `source`, and the appliance they are in if it is named; the result is the new references.

    VM_REQUIRES_SR; VM_TO_IMPORT_IS_NOT_NEWER_VERSION for a VM that is still here unless `force`, then what forbids its
    destruction; IMPORT_ERROR_ATTACHED_DISKS_NOT_FOUND unless `force`, which leaves missing disks out;
    OPERATION_NOT_ALLOWED for a control domain.
    """
    found = _Recovery()
    for vm in vms:
        check_repositories(world, source, vm)
        _gather(world, source, vm, force, found)
    whole = plan_import(world, found.objects, None, True, force, None, known=found.known, replaced=found.replaced)
    repositories = {sr for vm in vms for sr in required_repositories(source, vm)}

    def finish(run: Run, txn: Txn) -> None:
        for gone in found.replaced.values():
            gone.finish(run, txn)
        whole.finish(run, txn)
        made = dict(zip(vms, _recovered_vms(vms, found, whole.result(run)), strict=True))
        for snapshot, of in found.kept.items():
            txn.update(snapshot, snapshot_of=made[of])
        for sr in repositories & found.known.keys():
            txn.update(found.known[sr], introduced_by=NULL_REF)
        if appliance:
            group = _appliance(world, txn, source.get(appliance, "VM_appliance"))
            for vm in made.values():
                txn.update(vm, appliance=group)

    return Plan(
        steps=whole.steps,
        claims=tuple(claim for gone in found.replaced.values() for claim in gone.claims),
        result=lambda run: _recovered_vms(vms, found, whole.result(run)),
        finish=finish,
    )


def _recovered_vms(vms: tuple[str, ...], found: _Recovery, refs: tuple[str, ...]) -> tuple[str, ...]:
    """Of all that the import made, snapshots included, what `vms` became."""
    names = [one.name for one in found.objects.values() if one.cls == "VM"]
    by_name = dict(zip(names, refs, strict=True))
    return tuple(by_name[vm] for vm in vms)


def _gather(world: World, source: Store, vm: str, force: bool, found: _Recovery) -> None:
    """Add a VM, its snapshots and all that belongs to them (rule 2)."""
    for each in (vm, *source.related(vm, "snapshots")):
        machine = source.get(each, "VM")
        if machine["is_control_domain"]:
            raise E.OPERATION_NOT_ALLOWED("A control domain belongs to its host and cannot be recovered.")
        existing = world.store.by_uuid("VM", machine["uuid"])
        if existing is not None and each != vm:
            found.kept[existing.ref] = vm
            continue
        if existing is not None:
            _replace(world, existing, machine, force, found)
        for record in records_of(source, each):
            values: dict[str, Any] = {**record.values}
            if record.cls == "SR":
                here = world.store.by_uuid("SR", record["uuid"])
                found.known |= {} if here is None else {record.ref: here.ref}
                continue
            if record.ref == each:
                values["version"] = record["version"] + 1
            found.objects[record.ref] = Exported(record.cls, record.ref, values, internal=True)


def _replace(world: World, existing: Version, record: Version, force: bool, found: _Recovery) -> None:
    if record["version"] <= existing["version"] and not force:
        versions = str(existing["version"]), str(record["version"])
        raise E.VM_TO_IMPORT_IS_NOT_NEWER_VERSION(existing.ref, *versions)
    found.replaced[existing.ref] = plan_destroy(world, existing.ref)


def _appliance(world: World, txn: Txn, record: Version) -> str:
    """The appliance of the same uuid, made if it is not here."""
    here = world.store.by_uuid("VM_appliance", record["uuid"])
    if here is not None:
        return here.ref
    names = {name: record[name] for name in ("uuid", "name_label", "name_description")}
    return txn.create("VM_appliance", world.ids.ref(), names)
