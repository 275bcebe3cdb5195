"""DSP1042 System Virtualization: the host that a machine depends on, and the capabilities of management there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from cim_provider.mapping.association import Association, Extents, Owned, Pairs, SameRecord, Where
from cim_provider.mapping.extent import Rendition
from cim_provider.mapping.rule import const, field, xen_id
from cim_provider.mapping.subject import NULL_REF, Pool
from cim_provider.mapping.view import View
from cim_provider.profiles.computer_system import (
    ComputerSystem,
    ComputerSystemCapabilities,
    HostCapabilities,
    HostComputerSystem,
)
from cim_provider.profiles.host_service import as_jobs, at_once
from cim_provider.profiles.virtual_system import SYSTEM_TYPES, ElementSettingData, VirtualSystemSettingData

if TYPE_CHECKING:
    from xenapi_core.store.api import Version

# Define- and DestroySystem, Modify-Resource- and -SystemSettings, Remove- and AddResourceSettings.
METHODS = (2, 3, 5, 6, 7, 10)

# VirtualSystemType of a switch (DSP1097), which the same service manages.
SWITCH_TYPE = "DMTF:Virtual Ethernet Switch"


class VirtualSystemManagementCapabilities(View, cim="Xen_VirtualSystemManagementCapabilities", of="host"):
    """What defining and changing machines through CIM supports on a host."""

    InstanceID = xen_id(field("uuid"), "VirtualSystemManagementCapabilities")
    ElementName = field("name_label")
    VirtualSystemTypesSupported = const((*dict.fromkeys(SYSTEM_TYPES.values()), SWITCH_TYPE))
    ElementNameEditSupported = const(False)
    SynchronousMethodsSupported = at_once(*METHODS)
    AsynchronousMethodsSupported = as_jobs(*METHODS)
    IndicationsSupported = const((2, 3, 4))


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
        SameRecord(HostComputerSystem, HostCapabilities),
        SameRecord(ComputerSystem, ComputerSystemCapabilities),
    )


def offering(pool: Pool, vm: Version) -> tuple[str, ...]:
    """The coordinator, for templates that machines are made from; none for anything else."""
    offered = vm.values["is_a_template"] and not vm.values["is_a_snapshot"] and not vm.values["is_control_domain"]
    return (coordinator(pool),) if offered else ()


def is_default_template(left: Rendition, right: Rendition) -> bool:
    return right.version is not None and bool(right.version["is_default_template"])


def is_custom_template(left: Rendition, right: Rendition) -> bool:
    return not is_default_template(left, right)


TEMPLATES = Owned(VirtualSystemManagementCapabilities, VirtualSystemSettingData, offering, reads=("pool",))

# Templates belong to what defining machines supports; those that came with the pool are the defaults.
ElementSettingData.also(
    Where(TEMPLATES, is_default_template, {"IsDefault": 1, "IsCurrent": 2, "IsNext": 2}),
    Where(TEMPLATES, is_custom_template, {"IsDefault": 2, "IsCurrent": 2, "IsNext": 2}),
)
