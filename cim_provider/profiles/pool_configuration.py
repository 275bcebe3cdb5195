"""DSP1041 resource pool configuration: creates and deletes SRs and networks as pools, and volumes in SRs.

Rule 1: pools of processors and memory are what hosts have: what would change that is not supported (1). Storage and
        networks take hosts and cards (pool_resources.py).
Rule 2: settings of a new SR say its type in ResourceSubType, its device_config in HostResource (key=value each), and
        its size in VirtualQuantity; those of a new network say its VLAN in DefaultPortVID, and the ParentPool is the
        network whose cards carry it.
Rule 3: an SR is forgotten, not erased: its disks can be found again (SR.introduce).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cim_provider import jobs
from cim_provider.jobs import Work
from cim_provider.mapping.association import Extents, Owned, Pairs, SameRecord
from cim_provider.mapping.extent import Rendition
from cim_provider.mapping.method import Call, Result, method
from cim_provider.mapping.refusal import Kind, RefusedError, invalid
from cim_provider.mapping.rule import const, field, xen_id
from cim_provider.mapping.subject import Subject
from cim_provider.mapping.view import View
from cim_provider.methods import pool_resources
from cim_provider.methods.define_system import LEAST_DISK
from cim_provider.methods.disk_input import Disk
from cim_provider.methods.resource_input import read_resource
from cim_provider.methods.setting_terms import DISKS, NICS
from cim_provider.methods.units import bytes_of, pairs_of
from cim_provider.profiles.computer_system import HostComputerSystem
from cim_provider.profiles.host_pool import StorageVolume
from cim_provider.profiles.host_service import HostedService, HostService, ServiceAffectsElement, as_jobs, at_once
from cim_provider.profiles.job_relations import OwningJobElement, jobs_of
from cim_provider.profiles.resource_allocation import hosts_of_network, hosts_of_sr, primordial_pools_of_host
from cim_provider.profiles.resource_pool import (
    NETWORK,
    STORAGE,
    MemoryPool,
    NetworkPool,
    PrimordialPool,
    ProcessorPool,
    StoragePool,
)
from cim_provider.profiles.system_virtualization import ElementCapabilities, coordinator
from cim_provider.schema.objects import NOT_FOUND, CimError, Instance, Path
from xenapi_core.model.storage_types import TYPES

POOLS = (StoragePool.cim, NetworkPool.cim, ProcessorPool.cim, MemoryPool.cim, PrimordialPool.cim)
_NO_TAG = (None, 0)

# CreateResourcePool, CreateChildResourcePool, DeleteResourcePool, AddResources..., RemoveResources...
METHODS = (2, 3, 4, 5, 6)


def _unsupported(why: str) -> RefusedError:
    return RefusedError(Kind.NOT_SUPPORTED, why)


async def _job(call: Call, body: jobs.Body, label: str, about: Subject | None = None) -> Result:
    """`about`: the pool or volume that is there already."""
    uuid = "" if about is None else about["uuid"]
    return await call.jobs.several(call, jobs.POOLS, f"CIM.ResourcePool.{label}", body, about=uuid)


@jobs.answers(jobs.POOLS)
async def create_resource_pool(
    call: Call, element_name: str | None, host_resources: tuple[Path, ...] | None, resource_type: str | None
) -> Result:
    """CIM_ResourcePoolConfigurationService.CreateResourcePool: a network of its own. 1 for other types, and for a
    network of cards (CreateChildResourcePool makes VLANs)."""
    if resource_type is None or not resource_type.isdecimal():
        raise invalid("ResourceType is missing")
    if int(resource_type) not in NICS or host_resources:
        raise _unsupported("only networks without cards are made without settings")
    jobs.require(call, "network.create")
    return await _create_network(call, element_name or "New network", None, 0)


@jobs.answers(jobs.POOLS)
async def create_child_resource_pool(
    call: Call, element_name: str | None, settings: tuple[Instance, ...] | None, parent_pool: tuple[Path, ...] | None
) -> Result:
    """CIM_ResourcePoolConfigurationService.CreateChildResourcePool: an SR or a network, as rule 2 says."""
    if not settings or len(settings) != 1:
        raise invalid("Settings must be the settings of one pool")
    if parent_pool is not None and len(parent_pool) > 1:
        raise invalid("a pool has one ParentPool")
    parent = _pool_of(call, parent_pool[0]) if parent_pool else None
    given = {name: value for name, value in settings[0].values.items() if value is not None}
    kind = given.pop("ResourceType", None)
    name = element_name or given.pop("ElementName", None)
    given = {key: value for key, value in given.items() if key not in ("InstanceID", "ElementName", "PoolID")}
    if kind in DISKS:
        _check_parent(parent, "17")
        return await _create_storage(call, name or "New storage", given)
    if kind in NICS:
        jobs.require(call, "network.create", "pool.create_VLAN_from_PIF")
        tag = given.pop("DefaultPortVID", None)
        if given:
            raise invalid(f"{next(iter(given))} cannot be chosen")
        if tag in _NO_TAG:
            _check_parent(parent, "10")
            parent = None
        elif parent is None or parent.version.cls != "network":
            raise invalid("a VLAN needs the network that carries it as ParentPool")
        return await _create_network(call, name or "New network", parent, tag or 0)
    raise _unsupported(f"no pool of ResourceType {kind} can be made")


def _pool_of(call: Call, path: Path) -> Subject:
    """The record of a pool, or a subject without one for a primordial pool. CimError NOT_FOUND."""
    found = call.find(path)
    if found is None:
        raise CimError(NOT_FOUND, f"there is no pool {path.key('InstanceID')}")
    if found.view.cim not in POOLS:
        raise invalid(f"a {path.classname} is no pool")
    return Subject(call.source, found.version, found.values["ResourceType"])


def _check_parent(parent: Subject | None, kind: str) -> None:
    """RefusedError unless the parent, if one is given, is the primordial pool of that ResourceType."""
    if parent is not None and str(parent.item) != kind:
        raise RefusedError(Kind.INVALID_TYPE, "the ParentPool is of another ResourceType")


async def _create_storage(call: Call, name: str, given: dict[str, Any]) -> Result:
    jobs.require(call, "SR.create", "SR.forget", "PBD.unplug")
    kind = given.pop("ResourceSubType", None)
    config = pairs_of(given.pop("HostResource", ()), "HostResource")
    unit = bytes_of(given.pop("VirtualQuantityUnits", None) or given.pop("AllocationUnits", None) or "byte")
    size = given.pop("VirtualQuantity", 0)
    given.pop("AllocationUnits", None)
    description = str(given.pop("Description", ""))
    if not kind or unit is None or given:
        raise invalid("ResourceSubType is missing" if not kind else "settings of storage cannot say that")
    shared = kind in TYPES and TYPES[kind].shared
    host = call.subject.ref

    async def body(work: Work) -> Mapping[str, Any]:
        sr = await work.run("SR.create", host, config, size * unit, name, description, kind, "", shared, {})
        await work.made(sr)
        return {"Pool": call.path_of(StoragePool.cim, sr)}

    return await _job(call, body, "Create")


async def _create_network(call: Call, name: str, parent: Subject | None, tag: int) -> Result:
    carrier = next((pif.ref for pif in parent.each("PIFs")), None) if parent is not None else None
    if parent is not None and carrier is None:
        raise invalid("the network has no card that could carry a VLAN")

    async def body(work: Work) -> Mapping[str, Any]:
        work.expected = 2
        record = {"name_label": name, "name_description": "", "MTU": 0, "other_config": {}, "bridge": ""}
        network = await work.call("network.create", record)
        await work.undo("network.destroy", network)
        await work.made(network)
        if carrier is not None:
            await work.run("pool.create_VLAN_from_PIF", carrier, network, tag)
        return {"Pool": call.path_of(NetworkPool.cim, network)}

    return await _job(call, body, "Create")


@jobs.answers(jobs.POOLS)
async def delete_resource_pool(call: Call, pool: Path | None) -> Result:
    """CIM_ResourcePoolConfigurationService.DeleteResourcePool: 6 while a machine uses it, 1 for pools of hosts."""
    subject = _changeable(call, pool)
    body = _forget_storage(call, subject) if subject.version.cls == "SR" else destroy_network(call, subject)
    return await _job(call, body, "Delete", subject)


def _forget_storage(call: Call, sr: Subject) -> jobs.Body:
    jobs.require(call, "SR.forget", "PBD.unplug")
    if any(tuple(vdi.each("VBDs")) for vdi in sr.each("VDIs")):
        raise RefusedError(Kind.IN_USE, "machines have disks there")
    pbds = [pbd.ref for pbd in sr.each("PBDs") if pbd["currently_attached"]]

    async def body(work: Work) -> Mapping[str, Any]:
        work.expected = len(pbds) + 1
        for pbd in pbds:
            await work.run("PBD.unplug", pbd)
            await work.undo("PBD.plug", pbd)
        await work.run("SR.forget", sr.ref)
        return {}

    return body


def destroy_network(call: Call, network: Subject) -> jobs.Body:
    """RefusedError IN_USE while machines are connected to it."""
    jobs.require(call, "network.destroy", "VLAN.destroy")
    if network["VIFs"]:
        raise RefusedError(Kind.IN_USE, "machines are connected to it")
    vlans = [str(pif["VLAN_master_of"]) for pif in network.each("PIFs") if pif["VLAN"] >= 0]

    async def body(work: Work) -> Mapping[str, Any]:
        work.expected = len(vlans) + 1
        for vlan in vlans:
            await work.run("VLAN.destroy", vlan)
        await work.call("network.destroy", network.ref)
        return {}

    return body


def _changeable(call: Call, pool: Path | None) -> Subject:
    """The SR or network that is a pool. RefusedError, CimError NOT_FOUND."""
    if pool is None:
        raise invalid("Pool is missing")
    subject = _pool_of(call, pool)
    if pool.classname.lower() not in (StoragePool.cim.lower(), NetworkPool.cim.lower()):
        raise _unsupported("that pool is what its hosts have")
    return subject


@jobs.answers(jobs.POOLS)
async def add_resources(call: Call, host_resources: tuple[Path, ...] | None, pool: Path | None) -> Result:
    """CIM_ResourcePoolConfigurationService.AddResourcesToResourcePool: connect hosts to an SR, or cards to a network
    (pool_resources.py); 1 for pools of processors and memory."""
    subject = _changeable(call, pool)
    add = pool_resources.connect_hosts if subject.version.cls == "SR" else pool_resources.connect_ports
    return await _job(call, add(call, subject, host_resources), "AddResources", subject)


@jobs.answers(jobs.POOLS)
async def remove_resources(call: Call, host_resources: tuple[Path, ...] | None, pool: Path | None) -> Result:
    """CIM_ResourcePoolConfigurationService.RemoveResourcesFromResourcePool: the reverse."""
    subject = _changeable(call, pool)
    remove = pool_resources.disconnect_hosts if subject.version.cls == "SR" else pool_resources.disconnect_ports
    return await _job(call, remove(call, subject, host_resources), "RemoveResources", subject)


@jobs.answers(jobs.POOLS)
async def change_parent(
    call: Call, child_pool: Path | None, parent_pool: tuple[Path, ...] | None, settings: tuple[Instance, ...] | None
) -> Result:
    """CIM_ResourcePoolConfigurationService.ChangeParentResourcePool: 1, as no pool has another parent to go to."""
    raise _unsupported("no pool has another parent to go to")


@jobs.answers(jobs.POOLS)
async def create_in_pool(call: Call, settings: Instance | None, pool: Path | None) -> Result:
    """Xen_ResourcePoolConfigurationService.CreateResourceInPool: a volume in an SR, without a machine."""
    sr = call.target(pool, "Pool", StoragePool.cim)
    if settings is None:
        raise invalid("Settings is missing")
    asked = read_resource(settings, {}, call.source, new=True)
    if not isinstance(asked, Disk) or asked.kind != "Disk" or asked.image or not asked.size:
        raise invalid("Settings must say how large a disk")
    if asked.size < LEAST_DISK:
        raise invalid(f"a disk of {asked.size} bytes")
    if asked.sr not in (None, sr.ref):
        raise invalid("PoolID names another pool")
    jobs.require(call, "VDI.create")
    size, name = asked.size, asked.name or "Disk"

    async def body(work: Work) -> Mapping[str, Any]:
        record = {
            "name_label": name, "name_description": "", "SR": sr.ref, "virtual_size": size, "type": "user",
            "sharable": False, "read_only": False, "other_config": {}, "xenstore_data": {}, "sm_config": {},
        }  # fmt: skip
        vdi = await work.run("VDI.create", record)
        await work.made(vdi)
        return {"Resource": call.path_of(StorageVolume.cim, vdi)}

    return await _job(call, body, "CreateResource")


@jobs.answers(jobs.POOLS)
async def delete_in_pool(call: Call, resource: Path | None, pool: Path | None) -> Result:
    """Xen_ResourcePoolConfigurationService.DeleteResourceInPool: destroy a volume. 6 while a machine has it."""
    vdi = call.target(resource, "Resource", StorageVolume.cim)
    sr = call.target(pool, "Pool", StoragePool.cim)
    if vdi["SR"] != sr.ref:
        raise invalid("the Resource is in another Pool")
    if vdi["VBDs"]:
        raise RefusedError(Kind.IN_USE, "a machine has that disk")
    jobs.require(call, "VDI.destroy")

    async def body(work: Work) -> Mapping[str, Any]:
        await work.run("VDI.destroy", vdi.ref)
        return {}

    return await _job(call, body, "DeleteResource", vdi)


class ResourcePoolConfigurationService(HostService, cim="Xen_ResourcePoolConfigurationService", of="host"):
    """What makes and removes SRs and networks."""

    ElementName = const("Resource pool configuration")

    CreateResourcePool = method(create_resource_pool, out=("Pool", "Job"))
    CreateChildResourcePool = method(create_child_resource_pool, out=("Pool", "Job"))
    DeleteResourcePool = method(delete_resource_pool, out=("Job",))
    AddResourcesToResourcePool = method(add_resources, out=("Job",))
    RemoveResourcesFromResourcePool = method(remove_resources, out=("Job",))
    ChangeParentResourcePool = method(change_parent, out=("Job",))
    CreateResourceInPool = method(create_in_pool, out=("Resource", "Job"))
    DeleteResourceInPool = method(delete_in_pool, out=("Job",))


class ResourcePoolConfigurationCapabilities(View, cim="Xen_ResourcePoolConfigurationCapabilities", of="host"):
    """The capabilities of the resource pool configuration service of a host."""

    InstanceID = xen_id(field("uuid"), "ResourcePoolConfigurationCapabilities")
    ElementName = const("Resource pool configuration")
    SynchronousMethodsSupported = at_once(*METHODS)
    AsynchronousMethodsSupported = as_jobs(*METHODS)


HostedService.also(SameRecord(HostComputerSystem, ResourcePoolConfigurationService))
ElementCapabilities.also(SameRecord(ResourcePoolConfigurationService, ResourcePoolConfigurationCapabilities))
OwningJobElement.also(jobs_of(ResourcePoolConfigurationService))


# Kinds of pools that are made and removed, as children of the primordial pool of the kind.
CHANGEABLE = (STORAGE, NETWORK)


def parents_at(extents: Extents, service: Rendition) -> Iterator[Rendition]:
    return (pool for pool in primordial_pools_of_host(extents, service) if pool.item in CHANGEABLE)


def services_of_parent(extents: Extents, pool: Rendition) -> Iterator[Rendition]:
    host = extents.pool.find(coordinator(extents.pool))
    if host is not None and pool.item in CHANGEABLE:
        yield from extents.extent(ResourcePoolConfigurationService).of(host)


# The pools at the service's host, as HostedResourcePool has them.
ServiceAffectsElement.also(
    Owned(ResourcePoolConfigurationService, StoragePool, hosts_of_sr, reads=("PBD", "pool")),
    Owned(ResourcePoolConfigurationService, NetworkPool, hosts_of_network, reads=("PIF", "pool")),
    Pairs(ResourcePoolConfigurationService, PrimordialPool, parents_at, services_of_parent, reads=("pool",)),
)
