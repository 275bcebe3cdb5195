"""DSP1042 snapshots: creates snapshots of a machine, applies and destroys them.

Rule 1: the Full type is VM.checkpoint (disks, settings and memory), the Disk type is VM.snapshot. A checkpoint of a
        paused machine would have no memory in it, so there is no Full snapshot of one.
Rule 2: the record of a machine tells to which snapshot it was reverted last (VM.reverted_to), whoever asked for that.
        Another server that is mirrored does not tell. For its machines ApplySnapshot notes it in other_config, which a
        later revert replaces by that of its snapshot.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from cim_provider import jobs
from cim_provider.jobs import Work
from cim_provider.mapping.association import Association, Extents, Pairs, Pointing, Reversed, SameRecord, Where
from cim_provider.mapping.extent import Rendition
from cim_provider.mapping.method import Call, Result, method
from cim_provider.mapping.refusal import Kind, RefusedError, invalid
from cim_provider.mapping.rule import computed, const, field, xen_id
from cim_provider.mapping.subject import NULL_REF, Pool, Subject
from cim_provider.mapping.view import View
from cim_provider.methods.define_system import destroy_with_disks
from cim_provider.profiles.computer_system import ComputerSystem, HostComputerSystem
from cim_provider.profiles.host_service import (
    HostedService,
    HostService,
    ServiceAffectsElement,
    as_jobs,
    at_once,
    machines_of,
)
from cim_provider.profiles.job_relations import OwningJobElement, jobs_of
from cim_provider.profiles.system_virtualization import ElementCapabilities
from cim_provider.profiles.virtual_system import VirtualSystemSettingData
from cim_provider.schema.objects import Instance, Path
from cim_provider.undo_log import undoes
from xenapi_core.model.power import is_guest

if TYPE_CHECKING:
    from xenapi_core.bridge.source import Principal, Source
    from xenapi_core.store.api import Version

FULL, DISK = 2, 3
TYPES = {FULL: "checkpoint", DISK: "snapshot"}
WITH_MEMORY = ("Running", "Suspended")
REMOVE = "snapshot and its disks"
APPLIED = "cim-last-applied-snapshot"
# Properties of SnapshotSettings that say nothing about the snapshot to be taken.
_IGNORED = frozenset({"InstanceID"})


def _name_of(settings: Instance | None, vm: Subject) -> tuple[str, str]:
    """Name and description of the snapshot. RefusedError for settings that ask for more."""
    if settings is None:
        return str(vm["name_label"]), ""
    left = {key: value for key, value in settings.values.items() if value is not None and key not in _IGNORED}
    name, description = left.pop("ElementName", vm["name_label"]), left.pop("Description", "")
    if left:
        raise invalid(f"SnapshotSettings.{next(iter(left))} cannot be chosen")
    return str(name), str(description)


@jobs.answers(jobs.SYSTEMS)
async def create_snapshot(
    call: Call, affected_system: Path | None, snapshot_settings: Instance | None, snapshot_type: int | None
) -> Result:
    """CIM_VirtualSystemSnapshotService.CreateSnapshot. 6 for another SnapshotType than 2 Full and 3 Disk (the default);
    5 if the machine's state does not allow the type."""
    vm = call.target(affected_system, "AffectedSystem", ComputerSystem.cim)
    operation = TYPES.get(DISK if snapshot_type is None else snapshot_type)
    if operation is None:
        raise RefusedError(Kind.INVALID_TYPE, f"there is no SnapshotType {snapshot_type}")
    name, description = _name_of(snapshot_settings, vm)
    jobs.require(call, f"VM.{operation}")
    await call.source.call(call.principal, "VM.assert_operation_valid", vm.ref, operation)
    if operation == TYPES[FULL] and vm["power_state"] not in WITH_MEMORY:
        raise RefusedError(Kind.INVALID_STATE, f"no memory can be saved while {vm['power_state']}")

    async def body(work: Work) -> Mapping[str, Any]:
        work.expected = 2
        snapshot = await work.run(f"VM.{operation}", vm.ref, name)
        await work.undo(REMOVE, snapshot)
        await work.made(snapshot)
        if description:
            await work.call("VM.set_name_description", snapshot, description)
        return {"ResultingSnapshot": call.path_of(VirtualSystemSettingData.cim, snapshot)}

    return await call.jobs.several(call, jobs.SYSTEMS, "CIM.CreateSnapshot", body, about=vm["uuid"])


def _snapshot(call: Call, path: Path | None, name: str) -> Subject:
    """RefusedError INVALID_TYPE for settings that are no snapshot."""
    subject = call.target(path, name, VirtualSystemSettingData.cim)
    if not subject["is_a_snapshot"]:
        raise RefusedError(Kind.INVALID_TYPE, f"{name} is no snapshot")
    return subject


@jobs.answers(jobs.SYSTEMS)
async def apply_snapshot(call: Call, snapshot: Path | None) -> Result:
    """CIM_VirtualSystemSnapshotService.ApplySnapshot: the machine becomes as it was when the snapshot was taken."""
    subject = _snapshot(call, snapshot, "Snapshot")
    jobs.require(call, "VM.revert", "VM.add_to_other_config")
    await call.source.call(call.principal, "VM.assert_operation_valid", subject.ref, "revert")
    machine = subject.follow("snapshot_of")

    async def body(work: Work) -> Mapping[str, Any]:
        work.expected = 3
        await work.run("VM.revert", subject.ref)
        # The machine may have been made anew, if it was destroyed meanwhile: the snapshot knows it.
        version = work.source.find(subject.ref)
        vm = work.source.find(version.values["snapshot_of"]) if version is not None else None
        if vm is not None and vm.values["reverted_to"] != subject.ref:
            if APPLIED in vm.values["other_config"]:
                await work.call("VM.remove_from_other_config", vm.ref, APPLIED)
            await work.call("VM.add_to_other_config", vm.ref, APPLIED, subject["uuid"])
        return {}

    about = machine["uuid"] if machine is not None else ""
    return await call.jobs.several(call, jobs.SYSTEMS, "CIM.ApplySnapshot", body, about=about)


@jobs.answers(jobs.SYSTEMS)
async def destroy_snapshot(call: Call, affected_snapshot: Path | None) -> Result:
    """CIM_VirtualSystemSnapshotService.DestroySnapshot: with its disks, and its memory image if it has one."""
    subject = _snapshot(call, affected_snapshot, "AffectedSnapshot")
    jobs.require(call, "VM.destroy", "VDI.destroy")
    await call.source.call(call.principal, "VM.assert_operation_valid", subject.ref, "destroy")
    machine = subject.follow("snapshot_of")

    async def body(work: Work) -> Mapping[str, Any]:
        disks = snapshot_disks(work.source, subject.version)
        work.expected = 1 + len(disks)
        await destroy_with_disks(work, subject.ref, disks)
        return {}

    about = machine["uuid"] if machine is not None else ""
    return await call.jobs.several(call, jobs.SYSTEMS, "CIM.DestroySnapshot", body, about=about)


@undoes(REMOVE)
async def _remove(source: Source, principal: Principal, ref: str) -> None:
    """Take a snapshot back that was just made."""
    snapshot = source.find(ref)
    if snapshot is None:
        return
    disks = snapshot_disks(source, snapshot)
    await source.call(principal, "VM.destroy", ref)
    for disk in disks:
        await source.call(principal, "VDI.destroy", disk)


def snapshot_disks(source: Pool, snapshot: Version) -> list[str]:
    """The disks that are part of a snapshot: themselves snapshots, of nobody else; and its memory image."""
    found = []
    for vbd in map(source.find, source.related(snapshot.ref, "VBDs")):
        vdi = source.find(vbd.values["VDI"]) if vbd is not None else None
        if vdi is not None and vdi.values["is_a_snapshot"] and len(source.related(vdi.ref, "VBDs")) == 1:
            found.append(vdi.ref)
    image = source.find(snapshot.values["suspend_VDI"])
    return found + ([image.ref] if image is not None else [])


def snapshot_types_enabled(vm: Subject) -> tuple[int, ...]:
    """The types that could be taken now."""
    allowed, live = vm["allowed_operations"], vm["power_state"] in WITH_MEMORY
    return tuple(kind for kind, operation in TYPES.items() if operation in allowed and (live or kind != FULL))


class VirtualSystemSnapshotService(HostService, cim="Xen_VirtualSystemSnapshotService", of="host"):
    """What takes snapshots of machines."""

    ElementName = const("Virtual system snapshots")

    CreateSnapshot = method(create_snapshot, out=("ResultingSnapshot", "Job"))
    ApplySnapshot = method(apply_snapshot, out=("Job",))
    DestroySnapshot = method(destroy_snapshot, out=("Job",))


class VirtualSystemSnapshotServiceCapabilities(View, cim="Xen_VirtualSystemSnapshotServiceCapabilities", of="host"):
    """The capabilities of the snapshot service of a host."""

    InstanceID = xen_id(field("uuid"), "VirtualSystemSnapshotServiceCapabilities")
    ElementName = const("Virtual system snapshots")
    SynchronousMethodsSupported = at_once(2, 3, 4)
    AynchronousMethodsSupported = as_jobs(2, 3, 4)
    SnapshotTypesSupported = const(tuple(TYPES))


class VirtualSystemSnapshotCapabilities(View, cim="Xen_VirtualSystemSnapshotCapabilities", of="VM", where=is_guest):
    """Which snapshots can be taken of a machine now."""

    InstanceID = xen_id(field("uuid"), "SnapshotCapabilities")
    ElementName = field("name_label")
    SnapshotTypesEnabled = computed(snapshot_types_enabled)
    GuestOSNotificationEnabled = const(False)


class SnapshotOfVirtualSystem(Association, cim="Xen_SnapshotOfVirtualSystem", left="Antecedent", right="Dependent"):
    """A snapshot was taken of a machine."""

    relations = (Pointing(ComputerSystem, VirtualSystemSettingData, "VM.snapshot_of"),)


def _last_applied(pool: Pool, machine: Version) -> Version | None:
    """The snapshot a machine was last reverted to (rule 2), while there is one."""
    told, noted = machine.values["reverted_to"], machine.values["other_config"].get(APPLIED, "")
    snapshot = pool.find(told) if told != NULL_REF else pool.by_uuid("VM", noted) if noted else None
    return snapshot if snapshot is not None and snapshot.values["snapshot_of"] == machine.ref else None


def applied_snapshot(extents: Extents, machine: Rendition) -> Iterator[Rendition]:
    snapshot = _last_applied(extents.pool, machine.version) if machine.version is not None else None
    if snapshot is not None:
        yield from extents.extent(VirtualSystemSettingData).of(snapshot)


def machine_applied_to(extents: Extents, settings: Rendition) -> Iterator[Rendition]:
    """The machine that was last reverted to a snapshot."""
    snapshot = settings.version
    if snapshot is None or snapshot.values["snapshot_of"] == NULL_REF:
        return
    machine = extents.pool.find(snapshot.values["snapshot_of"])
    applied = _last_applied(extents.pool, machine) if machine is not None else None
    if machine is not None and applied is not None and applied.ref == snapshot.ref:
        yield from extents.extent(ComputerSystem).of(machine)


class LastAppliedSnapshot(Association, cim="Xen_LastAppliedSnapshot", left="Antecedent", right="Dependent"):
    """The snapshot a machine was last reverted to."""

    relations = (Pairs(VirtualSystemSettingData, ComputerSystem, machine_applied_to, applied_snapshot),)


def is_snapshot(machine: Rendition, settings: Rendition) -> bool:
    """A machine may have grown from what is no snapshot."""
    return settings.version is not None and bool(settings.version.values["is_a_snapshot"])


class MostCurrentSnapshotInBranch(
    Association, cim="Xen_MostCurrentSnapshotInBranch", left="Antecedent", right="Dependent"
):
    """The snapshot taken of a machine, or that it was reverted to, last: by whichever face of the pool."""

    relations = (Where(Reversed(Pointing(VirtualSystemSettingData, ComputerSystem, "VM.parent")), is_snapshot),)


HostedService.also(SameRecord(HostComputerSystem, VirtualSystemSnapshotService))
ElementCapabilities.also(
    SameRecord(VirtualSystemSnapshotService, VirtualSystemSnapshotServiceCapabilities),
    SameRecord(ComputerSystem, VirtualSystemSnapshotCapabilities),
)
ServiceAffectsElement.also(machines_of(VirtualSystemSnapshotService))
OwningJobElement.also(jobs_of(VirtualSystemSnapshotService))
