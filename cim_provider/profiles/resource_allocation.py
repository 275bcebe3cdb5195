"""DSP1041 Resource Allocation: the pool that a resource, or its setting data, is allocated from.

Rule 1: what a machine has now (State) comes from the host it is on; what it is defined to have comes from the host it
        prefers. Without one, both come from the primordial pool: any host may give it.
Rule 2: PoolID of setting data (profiles/configuration.py) names the same pool that ResourceAllocationFromPool does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from cim_provider.mapping.association import (
    Association,
    Extents,
    Owned,
    Owners,
    Pairs,
    Pointing,
    SameRecord,
    Where,
)
from cim_provider.mapping.extent import Rendition
from cim_provider.mapping.subject import Pool
from cim_provider.mapping.view import View
from cim_provider.profiles.computer_system import HostComputerSystem
from cim_provider.profiles.configuration import of_definition, of_state
from cim_provider.profiles.cpu import HostProcessor
from cim_provider.profiles.ethernet import NetworkPort, NetworkPortSettingData
from cim_provider.profiles.ethernet_port import HostNetworkPort
from cim_provider.profiles.host_pool import StorageVolume
from cim_provider.profiles.memory import Memory, MemorySettingData
from cim_provider.profiles.processor import Processor, ProcessorSettingData
from cim_provider.profiles.resource_pool import (
    MEMORY,
    NETWORK,
    PROCESSORS,
    STORAGE,
    MemoryPool,
    NetworkPool,
    PrimordialPool,
    ProcessorPool,
    StoragePool,
)
from cim_provider.profiles.storage import CDROMDrive, DiskSettingData, LogicalDisk
from cim_provider.profiles.system_memory import HostMemory
from cim_provider.profiles.system_virtualization import coordinator

if TYPE_CHECKING:
    from xenapi_core.store.api import Version


def always(kind: str) -> Owners:
    """All records belong to the primordial pool of a kind."""

    def owners(pool: Pool, version: Version) -> tuple[str, ...]:
        return (kind,)

    return owners


def host_by(field: str) -> Owners:
    """The host a VM's reference field names, if there is such a host."""

    def owners(pool: Pool, version: Version) -> tuple[str, ...]:
        ref = version.values[field]
        return (ref,) if pool.find(ref) is not None else ()

    return owners


def no_host_by(field: str, kind: str) -> Owners:
    """The primordial pool of a kind, if a VM's reference field names no host."""
    named = host_by(field)

    def owners(pool: Pool, version: Version) -> tuple[str, ...]:
        return () if named(pool, version) else (kind,)

    return owners


def sr_of_vbd(pool: Pool, vbd: Version) -> tuple[str, ...]:
    """The SR of the disk image behind a VBD."""
    vdi = pool.find(vbd.values["VDI"])
    return () if vdi is None else (vdi.values["SR"],)


def hosts_of_sr(pool: Pool, sr: Version) -> tuple[str, ...]:
    """The hosts it is plugged on, or the coordinator."""
    pbds = (pool.find(ref) for ref in pool.related(sr.ref, "PBDs"))
    hosts = [str(pbd.values["host"]) for pbd in pbds if pbd is not None and pbd.values["currently_attached"]]
    return tuple(dict.fromkeys(hosts)) or (coordinator(pool),)


def hosts_of_network(pool: Pool, network: Version) -> tuple[str, ...]:
    """The hosts with an interface to it, or the coordinator."""
    pifs = (pool.find(ref) for ref in pool.related(network.ref, "PIFs"))
    hosts = [str(pif.values["host"]) for pif in pifs if pif is not None]
    return tuple(dict.fromkeys(hosts)) or (coordinator(pool),)


def primordial_pools_of_host(extents: Extents, host: Rendition) -> Iterator[Rendition]:
    if host.version is not None and host.version.ref == coordinator(extents.pool):
        yield from extents.extent(PrimordialPool)


def host_of_primordial_pool(extents: Extents, pool: Rendition) -> Iterator[Rendition]:
    host = extents.pool.find(coordinator(extents.pool))
    if host is not None:
        yield from extents.extent(HostComputerSystem).of(host)


class HostedResourcePool(Association, cim="Xen_HostedResourcePool", left="GroupComponent", right="PartComponent"):
    """A host has pools; primordial ones, and those no host is connected to, are the coordinator's."""

    relations = (
        SameRecord(HostComputerSystem, ProcessorPool),
        SameRecord(HostComputerSystem, MemoryPool),
        Owned(HostComputerSystem, StoragePool, hosts_of_sr, reads=("PBD", "pool")),
        Owned(HostComputerSystem, NetworkPool, hosts_of_network, reads=("PIF", "pool")),
        Pairs(HostComputerSystem, PrimordialPool, primordial_pools_of_host, host_of_primordial_pool, reads=("pool",)),
    )


def from_host_pool(pool: type[View], kind: str, right: type[View], field: str) -> tuple[Owned, Owned]:
    """A pool of processors or memory, or else the primordial one, for what a VM has or asks for."""
    return (
        Owned(pool, right, host_by(field), reads=("host",)),
        Owned(PrimordialPool, right, no_host_by(field, kind), reads=("host",)),
    )


class ElementAllocatedFromPool(Association, cim="Xen_ElementAllocatedFromPool", left="Antecedent", right="Dependent"):
    """Devices, volumes and pools are taken from a pool."""

    relations = (
        Owned(PrimordialPool, ProcessorPool, always(PROCESSORS)),
        Owned(PrimordialPool, MemoryPool, always(MEMORY)),
        Owned(PrimordialPool, StoragePool, always(STORAGE)),
        Owned(PrimordialPool, NetworkPool, always(NETWORK)),
        *from_host_pool(ProcessorPool, PROCESSORS, Processor, "resident_on"),
        *from_host_pool(MemoryPool, MEMORY, Memory, "resident_on"),
        Owned(StoragePool, LogicalDisk, sr_of_vbd, reads=("VDI",)),
        Owned(StoragePool, CDROMDrive, sr_of_vbd, reads=("VDI",)),
        Pointing(StoragePool, StorageVolume, "VDI.SR"),
        Pointing(NetworkPool, NetworkPort, "VIF.network"),
    )


def by_configuration(pool: type[View], kind: str, right: type[View]) -> Iterator[Where]:
    """Relations to the pool of the host a machine runs on (State) or prefers (Defined) (rule 1)."""
    configurations: tuple[tuple[str, Callable[[Rendition, Rendition], bool]], ...] = (
        ("resident_on", of_state),
        ("affinity", of_definition),
    )
    for field, configuration in configurations:
        for relation in from_host_pool(pool, kind, right, field):
            yield Where(relation, configuration)


class ResourceAllocationFromPool(
    Association, cim="Xen_ResourceAllocationFromPool", left="Antecedent", right="Dependent"
):
    """Setting data asks for something from a pool."""

    relations = (
        *by_configuration(ProcessorPool, PROCESSORS, ProcessorSettingData),
        *by_configuration(MemoryPool, MEMORY, MemorySettingData),
        Owned(StoragePool, DiskSettingData, sr_of_vbd, reads=("VDI",)),
        Pointing(NetworkPool, NetworkPortSettingData, "VIF.network"),
    )


class ConcreteComponent(Association, cim="Xen_ConcreteComponent", left="GroupComponent", right="PartComponent"):
    """The devices of hosts that a pool is made of, and the parts of processors (processor_core.py)."""

    relations = (
        Pointing(ProcessorPool, HostProcessor, "host_cpu.host"),
        SameRecord(MemoryPool, HostMemory),
        Pointing(NetworkPool, HostNetworkPort, "PIF.network"),
        Owned(PrimordialPool, HostProcessor, always(PROCESSORS)),
        Owned(PrimordialPool, HostMemory, always(MEMORY)),
        Owned(PrimordialPool, HostNetworkPort, always(NETWORK)),
    )
