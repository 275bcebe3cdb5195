"""DSP1041 Resource Allocation: the resource pools of machines.

Rule 1: a pool of processors or memory is what one host has; a pool of storage is an SR; a pool of interfaces is a
        network. Each is a child of the primordial pool of its kind, which belongs to the coordinator.
Rule 2: devices that no pool limits (screens, TPMs, USB devices, virtual GPUs) come from the primordial pool of their
        kind.
Rule 3: PoolID is the uuid of the host, SR or network, or PRIMORDIAL; ResourceType tells pools of one host apart.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cim_provider.mapping.rule import Rule, computed, const, field, xen_id
from cim_provider.mapping.subject import Subject
from cim_provider.mapping.view import View
from cim_provider.profiles.configuration import PRIMORDIAL

PROCESSORS, MEMORY, STORAGE, NETWORK = "ProcessorPool", "MemoryPool", "StoragePool", "NetworkPool"
DISPLAY, TPM, USB, GPU = "DisplayPool", "TPMPool", "USBPool", "GPUPool"


@dataclass(frozen=True)
class Kind:
    """A kind of resource: its ResourceType, the words for type 1 (Other), and the unit it is allocated in."""

    name: str
    resource_type: int
    units: str = "count"
    other: str | None = None


KINDS = {
    PROCESSORS: Kind("Processors", 3, "percent"),
    MEMORY: Kind("Memory", 4, "byte"),
    STORAGE: Kind("Storage", 17, "byte"),
    NETWORK: Kind("Network interfaces", 10),
    DISPLAY: Kind("Screens", 24),
    TPM: Kind("Trusted platform modules", 1, other="TPM"),
    USB: Kind("USB devices", 23),
    GPU: Kind("Virtual graphics processors", 24),
}


def pool_id(kind: str) -> Rule:
    """InstanceID of the pool a record is: Xen:<kind>/<uuid>."""
    return xen_id(kind, field("uuid"))


class Pool(View):
    """The lines all pools share."""

    PoolID = field("uuid")
    Primordial = const(False)
    HealthState = const(5)
    OperationalStatus = const((2,))


def positive(number: int) -> int | None:
    """A size, where the Xen-API has -1 for "not known"."""
    return number if number >= 0 else None


def processor_name(host: Subject) -> str:
    return f"Processors of {host['name_label']}"


def physical_processors(host: Subject) -> int | None:
    """How many hardware threads the host has; NULL while it is not known."""
    count = host["cpu_info"].get("cpu_count", "")
    return int(count) if count.isdecimal() and len(count) < 6 else None


def processor_capacity(host: Subject) -> int | None:
    """In percent of one hardware thread, like the limits of processor settings; NULL while it is not known."""
    count = physical_processors(host)
    return None if count is None else count * 100


class ProcessorPool(Pool, cim="Xen_ProcessorPool", of="host"):
    """The processors of one host. Nothing is reserved: machines have a share and a limit only."""

    InstanceID = pool_id(PROCESSORS)
    ElementName = computed(processor_name)
    ResourceType = const(3)
    AllocationUnits = const("percent")
    Capacity = computed(processor_capacity)
    Reserved = const(0)


def memory_name(host: Subject) -> str:
    return f"Memory of {host['name_label']}"


def memory_capacity(host: Subject) -> int | None:
    metrics = host.follow("metrics")
    return None if metrics is None else positive(metrics["memory_total"])


def memory_reserved(host: Subject) -> int | None:
    """The allocated memory: all that is not free."""
    metrics = host.follow("metrics")
    return None if metrics is None else max(0, metrics["memory_total"] - metrics["memory_free"])


class MemoryPool(Pool, cim="Xen_MemoryPool", of="host"):
    """The memory of one host, in bytes."""

    InstanceID = pool_id(MEMORY)
    ElementName = computed(memory_name)
    ResourceType = const(4)
    AllocationUnits = const("byte")
    Capacity = computed(memory_capacity)
    Reserved = computed(memory_reserved)


def storage_resource_type(sr: Subject) -> int:
    """15 CD Drive for libraries of discs, else 17 Disk Drive."""
    return 15 if sr["content_type"] == "iso" else 17


def storage_capacity(sr: Subject) -> int | None:
    return positive(sr["physical_size"])


def storage_reserved(sr: Subject) -> int | None:
    return positive(sr["physical_utilisation"])


def storage_consumed(sr: Subject) -> int | None:
    return positive(sr["virtual_allocation"])


def storage_status(sr: Subject) -> tuple[int, ...]:
    """2 OK while it is plugged on some host, else 10 Stopped."""
    return (2,) if any(pbd["currently_attached"] for pbd in sr.each("PBDs")) else (10,)


class StoragePool(Pool, cim="Xen_StoragePool", of="SR"):
    """A storage repository, in bytes: Reserved is what its disks take, CurrentlyConsumedResource what they promise."""

    InstanceID = pool_id(STORAGE)
    ElementName = field("name_label")
    Description = field("name_description")
    OperationalStatus = computed(storage_status)
    ResourceType = computed(storage_resource_type)
    ResourceSubType = field("type")
    AllocationUnits = const("byte")
    Capacity = computed(storage_capacity)
    Reserved = computed(storage_reserved)
    ConsumedResourceUnits = const("byte")
    CurrentlyConsumedResource = computed(storage_consumed)
    Shared = field("shared")


def network_reserved(network: Subject) -> int:
    """The interfaces of machines that are plugged into it."""
    return sum(bool(vif["currently_attached"]) for vif in network.each("VIFs"))


class NetworkPool(Pool, cim="Xen_NetworkPool", of="network"):
    """A network as a source of interfaces. There can be any number of them, so there is no Capacity."""

    InstanceID = pool_id(NETWORK)
    ElementName = field("name_label")
    Description = field("name_description")
    ResourceType = const(10)
    AllocationUnits = const("count")
    Reserved = computed(network_reserved)
    Bridge = field("bridge")


def kinds(subject: Subject) -> Iterable[str]:
    return KINDS


def kind_of(subject: Subject) -> Kind:
    """The kind of resource an item of a primordial view is about."""
    return KINDS[str(subject.item).partition("/")[0]]


def primordial_id(subject: Subject) -> str:
    return f"Xen:{subject.item}/{PRIMORDIAL}"


def kind_name(subject: Subject) -> str:
    return kind_of(subject).name


def kind_type(subject: Subject) -> int:
    return kind_of(subject).resource_type


def kind_other_type(subject: Subject) -> str | None:
    return kind_of(subject).other


def kind_units(subject: Subject) -> str:
    return kind_of(subject).units


class PrimordialPool(View, cim="Xen_PrimordialPool", items=kinds):
    """All there is of one kind in the pool of hosts; the item is its key in KINDS."""

    InstanceID = computed(primordial_id)
    ElementName = computed(kind_name)
    PoolID = const(PRIMORDIAL)
    Primordial = const(True)
    HealthState = const(5)
    OperationalStatus = const((2,))
    ResourceType = computed(kind_type)
    OtherResourceType = computed(kind_other_type)
    AllocationUnits = computed(kind_units)


POOLS: tuple[type[View], ...] = (ProcessorPool, MemoryPool, StoragePool, NetworkPool, PrimordialPool)
