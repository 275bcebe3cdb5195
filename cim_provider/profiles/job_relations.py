"""DSP1103 Job Control: the elements that a job affects, and the service that owns it, whoever started it.

Rule 1: what a task is about is said by current_operations of a machine, by applies_to in the task's other_config, and
        by its result, if that names what it has made: a machine, a snapshot, resources of a machine, pools, volumes. So
        a client that got a job finds by it what the method would have answered otherwise.
Rule 2: a task belongs to the service that offers what it does, by its name: also a task that a Xen-API client started.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from cim_provider.jobs import AFFECTED, results_of
from cim_provider.mapping.association import Association, Extents, Owned, Pairs, Relation
from cim_provider.mapping.extent import Rendition
from cim_provider.mapping.subject import Pool
from cim_provider.mapping.view import View
from cim_provider.profiles.computer_system import ComputerSystem
from cim_provider.profiles.ethernet import NetworkPortSettingData
from cim_provider.profiles.generic_device import (
    DisplaySettingData,
    TPMSettingData,
    USBSettingData,
    VirtualGPUSettingData,
)
from cim_provider.profiles.host_pool import StorageVolume
from cim_provider.profiles.job_control import ConcreteJob
from cim_provider.profiles.resource_pool import NetworkPool, StoragePool
from cim_provider.profiles.storage import DiskSettingData
from cim_provider.profiles.virtual_system import VirtualSystemSettingData
from xenapi_core.model.lifecycle import REQUESTED_STATE

if TYPE_CHECKING:
    from xenapi_core.store.api import Version

# ElementEffects: 2 Exclusive Use while the job runs, 5 Create.
EXCLUSIVE, CREATE = (2,), (5,)


def _by_key(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for key, ref in pairs:
        found.setdefault(key, []).append(ref)
    return found


def tasks_about(pool: Pool) -> dict[str, list[str]]:
    """The uuid a task says it is about -> references of such tasks."""
    tasks = pool.all("task").items()
    return _by_key((task.values["other_config"].get(AFFECTED, ""), ref) for ref, task in tasks)


def tasks_that_made(pool: Pool) -> dict[str, list[str]]:
    """A reference in the result of a task -> references of such tasks."""
    return _by_key((made, ref) for ref, task in pool.all("task").items() for made in results_of(task))


def machines_busy_with(pool: Pool) -> dict[str, list[str]]:
    """The reference of a task -> references of the VMs that have it among their operations in progress."""
    return _by_key((task, ref) for ref, vm in pool.all("VM").items() for task in vm.values["current_operations"])


def _renditions(extents: Extents, view: type[View], refs: Iterable[str]) -> Iterator[Rendition]:
    for ref in dict.fromkeys(refs):
        version = extents.pool.find(ref)
        if version is not None and version.cls == view.of:
            yield from extents.extent(view).of(version)


def jobs_of_machine(extents: Extents, machine: Rendition) -> Iterator[Rendition]:
    """Jobs of the operations in progress, of tasks that say they are about the machine, and of the one that made it."""
    if machine.version is None:
        return iter(())
    told = extents.index(tasks_about, ("task",)).get(machine.version.values["uuid"], ())
    made = extents.index(tasks_that_made, ("task",)).get(machine.version.ref, ())
    return _renditions(extents, ConcreteJob, (*machine.version.values["current_operations"], *told, *made))


def machines_of_job(extents: Extents, job: Rendition) -> Iterator[Rendition]:
    """The machine the task says it is about, those that have it among their operations, and the one it made."""
    if job.version is None:
        return iter(())
    told = extents.pool.by_uuid("VM", job.version.values["other_config"].get(AFFECTED, ""))
    busy = extents.index(machines_busy_with, ("VM",)).get(job.version.ref, ())
    return _renditions(extents, ComputerSystem, (told.ref if told is not None else "", *busy, *results_of(job.version)))


def jobs_that_made(extents: Extents, made: Rendition) -> Iterator[Rendition]:
    """The jobs that made what a record shows."""
    if made.version is None:
        return iter(())
    return _renditions(extents, ConcreteJob, extents.index(tasks_that_made, ("task",)).get(made.version.ref, ()))


def jobs_of_settings(extents: Extents, settings: Rendition) -> Iterator[Rendition]:
    """The job that made a snapshot."""
    if settings.version is None or not settings.version.values["is_a_snapshot"]:
        return iter(())
    return jobs_that_made(extents, settings)


def settings_of_job(extents: Extents, job: Rendition) -> Iterator[Rendition]:
    """The snapshot that a job made."""
    made = map(extents.pool.find, results_of(job.version)) if job.version is not None else ()
    snapshots = [
        version.ref
        for version in made
        if version is not None and version.cls == "VM" and version.values["is_a_snapshot"]
    ]
    return _renditions(extents, VirtualSystemSettingData, snapshots)


def made_by_jobs(view: type[View]) -> Pairs:
    """What a view shows of the records that jobs made or say they are about (left), and these jobs (right)."""

    def jobs_about(extents: Extents, shown: Rendition) -> Iterator[Rendition]:
        yield from jobs_that_made(extents, shown)
        if shown.version is not None:
            told = extents.index(tasks_about, ("task",)).get(shown.version.values["uuid"], ())
            yield from _renditions(extents, ConcreteJob, told)

    def made_by(extents: Extents, job: Rendition) -> Iterator[Rendition]:
        if job.version is None:
            return iter(())
        told = extents.pool.by_uuid(view.of or "", job.version.values["other_config"].get(AFFECTED, ""))
        return _renditions(extents, view, (*results_of(job.version), told.ref if told is not None else ""))

    return Pairs(view, ConcreteJob, jobs_about, made_by)


# Resources of machines, in the configurations that have them; pools, and volumes in them.
MADE = (
    DiskSettingData, NetworkPortSettingData, DisplaySettingData, TPMSettingData, USBSettingData, VirtualGPUSettingData,
    StoragePool, NetworkPool, StorageVolume,
)  # fmt: skip


class AffectedJobElement(Association, cim="Xen_AffectedJobElement", left="AffectedElement", right="AffectingElement"):
    """A job works on a machine, a pool or a volume, or made one, or a snapshot or resource of a machine."""

    relations = (
        Pairs(ComputerSystem, ConcreteJob, jobs_of_machine, machines_of_job),
        Pairs(VirtualSystemSettingData, ConcreteJob, jobs_of_settings, settings_of_job),
        *map(made_by_jobs, MADE),
    )
    properties = {"ElementEffects": EXCLUSIVE}

    @classmethod
    def described(cls, relation: Relation, left: Rendition, right: Rendition) -> Mapping[str, Any]:
        made = left.version is not None and right.version is not None and left.version.ref in results_of(right.version)
        return {"ElementEffects": CREATE if made else EXCLUSIVE}


MANAGEMENT, SNAPSHOTS = "Xen_VirtualSystemManagementService", "Xen_VirtualSystemSnapshotService"
MIGRATION, POWER = "Xen_VirtualSystemMigrationService", "Xen_PowerManagementService"
POOLS = "Xen_ResourcePoolConfigurationService"

# Which service offers what a task does: the message it is named after, or the CIM method.
# fmt: off
OFFERED: Mapping[str, frozenset[str]] = {
    SNAPSHOTS: frozenset({
        "VM.snapshot", "VM.checkpoint", "VM.revert", "CIM.CreateSnapshot", "CIM.ApplySnapshot", "CIM.DestroySnapshot",
    }),
    MIGRATION: frozenset({
        "VM.pool_migrate", "VM.migrate_send", "CIM.MigrateVirtualSystemToHost", "CIM.MigrateVirtualSystemToSystem",
    }),
    POWER: frozenset({
        *(f"VM.{name}" for by_state in REQUESTED_STATE.values() for name in by_state.values()),
        "VM.start_on", "VM.resume_on", "VM.shutdown", "VM.send_trigger", "host.enable", "host.disable", "host.evacuate",
        "host.shutdown", "host.reboot", "host.power_on", "CIM.RequestStateChange",
        "CIM.RequestPowerStateChange",
    }),
}
# fmt: on
POOL_CLASSES = ("SR", "VDI", "PBD", "network", "VLAN", "Bond", "tunnel")
_BY_NAME = {name: service for service, names in OFFERED.items() for name in names}


def service_of(task: Version) -> str:
    """The class of the service a task belongs to; the management of machines has what no other has."""
    name = str(task.values["name_label"]).removeprefix("Async.")
    found = _BY_NAME.get(name)
    if found is not None:
        return found
    pools = name.partition(".")[0] in POOL_CLASSES or name.startswith("CIM.ResourcePool")
    return POOLS if pools else MANAGEMENT


class OwningJobElement(Association, cim="Xen_OwningJobElement", left="OwningElement", right="OwnedElement"):
    """A job belongs to the service of the host that does the work."""


def jobs_of(service: type[View]) -> Owned:
    """A service (left) and the jobs that belong to it (right)."""

    def owners(pool: Pool, task: Version) -> tuple[str, ...]:
        return (str(task.values["resident_on"]),) if service_of(task) == service.cim else ()

    return Owned(service, ConcreteJob, owners)
