"""DSP1042 System Virtualization: which host a machine depends on, what managing machines there supports, its jobs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cim_provider.jobs import AFFECTED
from cim_provider.mapping.association import Association, Extents, Pairs, SameRecord
from cim_provider.mapping.extent import Rendition
from cim_provider.mapping.rule import const, field, xen_id
from cim_provider.mapping.subject import NULL_REF, Pool
from cim_provider.mapping.view import View
from cim_provider.profiles.computer_system import ComputerSystem, ComputerSystemCapabilities, HostComputerSystem
from cim_provider.profiles.job_control import ConcreteJob
from cim_provider.profiles.virtual_system import SYSTEM_TYPES


class VirtualSystemManagementCapabilities(View, cim="Xen_VirtualSystemManagementCapabilities", of="host"):
    """What defining and changing machines through CIM supports on a host: nothing yet, so the lists are empty."""

    InstanceID = xen_id(field("uuid"), "VirtualSystemManagementCapabilities")
    ElementName = field("name_label")
    VirtualSystemTypesSupported = const(tuple(dict.fromkeys(SYSTEM_TYPES.values())))
    ElementNameEditSupported = const(False)


def coordinator(pool: Pool) -> str:
    """The reference of the pool's coordinator (master); NULL while there is no pool record."""
    return next((str(version.values["master"]) for version in pool.all("pool").values()), NULL_REF)


def unplaced_machines(pool: Pool) -> tuple[str, ...]:
    """References of the VMs that run on no host there is."""
    return tuple(ref for ref, vm in pool.all("VM").items() if pool.find(vm.values["resident_on"]) is None)


def machines_of_host(extents: Extents, host: Rendition) -> Iterator[Rendition]:
    """The machines that run on the host; for the coordinator also those that run nowhere."""
    pool, machines = extents.pool, extents.extent(ComputerSystem)
    if host.version is None:
        return
    refs = pool.related(host.version.ref, "resident_VMs")
    if host.version.ref == coordinator(pool):
        refs += extents.index(unplaced_machines, ("VM", "host"))
    for ref in refs:
        version = pool.find(ref)
        if version is not None:
            yield from machines.of(version)


def host_of_machine(extents: Extents, machine: Rendition) -> Iterator[Rendition]:
    pool = extents.pool
    if machine.version is None:
        return
    host = pool.find(machine.version.values["resident_on"]) or pool.find(coordinator(pool))
    if host is not None:
        yield from extents.extent(HostComputerSystem).of(host)


class HostedDependency(Association, cim="Xen_HostedDependency", left="Antecedent", right="Dependent"):
    """A machine depends on the host it runs on, or on the coordinator."""

    relations = (Pairs(HostComputerSystem, ComputerSystem, machines_of_host, host_of_machine, reads=("pool",)),)


class ElementCapabilities(Association, cim="Xen_ElementCapabilities", left="ManagedElement", right="Capabilities"):
    """Hosts and machines have capabilities."""

    relations = (
        SameRecord(HostComputerSystem, VirtualSystemManagementCapabilities),
        SameRecord(ComputerSystem, ComputerSystemCapabilities),
    )


def _by_key(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for key, ref in pairs:
        found.setdefault(key, []).append(ref)
    return found


def tasks_about(pool: Pool) -> dict[str, list[str]]:
    """The uuid a task says it is about -> references of such tasks."""
    tasks = pool.all("task").items()
    return _by_key((task.values["other_config"].get(AFFECTED, ""), ref) for ref, task in tasks)


def machines_busy_with(pool: Pool) -> dict[str, list[str]]:
    """The reference of a task -> references of the VMs that have it among their operations in progress."""
    return _by_key((task, ref) for ref, vm in pool.all("VM").items() for task in vm.values["current_operations"])


def jobs_of_machine(extents: Extents, machine: Rendition) -> Iterator[Rendition]:
    """Jobs of the operations in progress, and of tasks that say they are about the machine."""
    if machine.version is None:
        return
    pool, jobs = extents.pool, extents.extent(ConcreteJob)
    uuid, current = machine.version.values["uuid"], machine.version.values["current_operations"]
    for ref in current:
        version = pool.find(ref)
        if version is not None and version.cls == "task":
            yield from jobs.of(version)
    for ref in extents.index(tasks_about, ("task",)).get(uuid, ()):
        version = pool.find(ref) if ref not in current else None
        if version is not None:
            yield from jobs.of(version)


def machines_of_job(extents: Extents, job: Rendition) -> Iterator[Rendition]:
    """The machine the task says it is about, and those that have it among their operations in progress."""
    if job.version is None:
        return
    pool, machines = extents.pool, extents.extent(ComputerSystem)
    told = pool.by_uuid("VM", job.version.values["other_config"].get(AFFECTED, ""))
    if told is not None:
        yield from machines.of(told)
    for ref in extents.index(machines_busy_with, ("VM",)).get(job.version.ref, ()):
        version = pool.find(ref)
        if version is not None and version is not told:
            yield from machines.of(version)


class AffectedJobElement(Association, cim="Xen_AffectedJobElement", left="AffectedElement", right="AffectingElement"):
    """A job works on a machine (5: it manages it and may have effects on it, CIM_AffectedJobElement)."""

    relations = (Pairs(ComputerSystem, ConcreteJob, jobs_of_machine, machines_of_job),)
    properties = {"ElementEffects": (2,)}
