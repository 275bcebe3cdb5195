"""DSP1043 Allocation Capabilities: what can be requested from each pool, and the default and limits of one request.

Rule 1: every pool has capabilities, and they are defined by four settings: Default, Minimum, Maximum and Increment.
Rule 2: the defaults are what a machine gets that is defined without saying more. They can be asked for as they are:
        what needs a choice that only the client can make (NO_DEFAULT) has no Default setting.
Rule 3: limits of a primordial pool are those that hold for every host; NULL where each host or SR has its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from cim_provider.mapping.association import Association, Extents, Pairs, Relation, SameRecord, Where
from cim_provider.mapping.extent import Rendition
from cim_provider.mapping.rule import Rule, computed, const, field, item_text, xen_id
from cim_provider.mapping.subject import Subject
from cim_provider.mapping.view import View
from cim_provider.methods.define_system import LEAST_DISK, LEAST_MEMORY, NEW_DISK_SIZE, NEW_MACHINE
from cim_provider.methods.setting_terms import CD, PROCESSOR
from cim_provider.profiles.configuration import PRIMORDIAL
from cim_provider.profiles.resource_pool import (
    GPU,
    KINDS,
    MEMORY,
    NETWORK,
    PROCESSORS,
    STORAGE,
    TPM,
    USB,
    MemoryPool,
    NetworkPool,
    PrimordialPool,
    ProcessorPool,
    StoragePool,
    kind_name,
    kind_other_type,
    kind_type,
    kind_units,
    kinds,
    memory_capacity,
    memory_name,
    physical_processors,
    processor_name,
    storage_resource_type,
)
from cim_provider.profiles.system_virtualization import ElementCapabilities

DEFAULT, MINIMUM, MAXIMUM, INCREMENT = ROLES = ("Default", "Minimum", "Maximum", "Increment")

# SupportedAddStates and SupportedRemoveStates: EnabledState of machines to which AddResourceSettings adds, and from
# which RemoveResourceSettings removes. A running machine can have more processors and memory at once; none loses them.
ENABLED, DISABLED = 2, 3
ANY_STATE = (2, 3, 6, 9)


@dataclass(frozen=True)
class Limits:
    """VirtualQuantity of the four settings of a kind; None: no limit, or one that depends on the pool."""

    default: int
    minimum: int
    maximum: int | None
    increment: int

    def __getitem__(self, role: str) -> int | None:
        found: int | None = getattr(self, role.lower())
        return found


# fmt: off
ADD_STATES = {PROCESSORS: (ENABLED, DISABLED), MEMORY: (ENABLED, DISABLED), TPM: (DISABLED,), USB: (DISABLED,),
              GPU: (DISABLED,)}
REMOVE_STATES: dict[str, tuple[int, ...]] = {**ADD_STATES, PROCESSORS: (), MEMORY: ()}

LIMITS = {
    PROCESSORS: Limits(NEW_MACHINE["VCPUs_max"], 1, None, 1),
    MEMORY:     Limits(NEW_MACHINE["memory_static_max"], LEAST_MEMORY, None, 1),
    STORAGE:    Limits(NEW_DISK_SIZE, LEAST_DISK, None, 1),
    NETWORK:    Limits(1, 1, 1, 1),
}
# fmt: on
ONE = Limits(1, 1, 1, 1)  # of devices that are counted and of which a request asks for one


def roles(subject: Subject) -> Iterable[str]:
    return ROLES


def limits_id(kind: str) -> Rule:
    """InstanceID of a setting that defines the capabilities of a pool: Xen:<kind>/<uuid>/<role>."""
    return xen_id(kind, field("uuid"), item_text("{}"))


def kept(subject: Subject) -> tuple[int, ...]:
    """A machine never loses its processors and memory."""
    return ()


class Capabilities(View):
    """The lines all capabilities share. Requests are general: for an amount, not for a certain part of a pool."""

    RequestTypesSupported = const(3)
    SharingMode = const(3)
    SupportedAddStates = const(ANY_STATE)
    SupportedRemoveStates = const(ANY_STATE)


class ProcessorAllocationCapabilities(Capabilities, cim="Xen_ProcessorAllocationCapabilities", of="host"):
    """Processors of a host. A machine has one setting of them: what is added counts more, and nothing is removed."""

    InstanceID = xen_id(PROCESSORS, field("uuid"))
    ElementName = computed(processor_name)
    ResourceType = const(3)
    SupportedAddStates = const(ADD_STATES[PROCESSORS])
    SupportedRemoveStates = computed(kept)


class MemoryAllocationCapabilities(Capabilities, cim="Xen_MemoryAllocationCapabilities", of="host"):
    """Memory of a host: what one machine has no other has. As with processors, it is added and never removed."""

    InstanceID = xen_id(MEMORY, field("uuid"))
    ElementName = computed(memory_name)
    ResourceType = const(4)
    SharingMode = const(2)
    SupportedAddStates = const(ADD_STATES[MEMORY])
    SupportedRemoveStates = computed(kept)


class StorageAllocationCapabilities(Capabilities, cim="Xen_StorageAllocationCapabilities", of="SR"):
    """Disks in an SR: new ones of a size, or those that are there."""

    InstanceID = xen_id(STORAGE, field("uuid"))
    ElementName = field("name_label")
    ResourceType = computed(storage_resource_type)
    RequestTypesSupported = const(4)


class NetworkAllocationCapabilities(Capabilities, cim="Xen_NetworkAllocationCapabilities", of="network"):
    """Interfaces to a network."""

    InstanceID = xen_id(NETWORK, field("uuid"))
    ElementName = field("name_label")
    ResourceType = const(10)


def primordial_capabilities_id(subject: Subject) -> str:
    return f"Xen:{subject.item}/{PRIMORDIAL}"


def primordial_sharing(subject: Subject) -> int:
    """2 Dedicated or 3 Shared."""
    return 3 if subject.item in (PROCESSORS, STORAGE, NETWORK) else 2


def add_states(subject: Subject) -> tuple[int, ...]:
    return ADD_STATES.get(str(subject.item), ANY_STATE)


def remove_states(subject: Subject) -> tuple[int, ...]:
    return REMOVE_STATES.get(str(subject.item), ANY_STATE)


class PrimordialAllocationCapabilities(Capabilities, cim="Xen_PrimordialAllocationCapabilities", items=kinds):
    """The capabilities of a kind of resource in the pool of hosts."""

    InstanceID = computed(primordial_capabilities_id)
    ElementName = computed(kind_name)
    ResourceType = computed(kind_type)
    OtherResourceType = computed(kind_other_type)
    SharingMode = computed(primordial_sharing)
    SupportedAddStates = computed(add_states)
    SupportedRemoveStates = computed(remove_states)


class LimitSetting(View):
    """The lines shared by the settings that define capabilities; the item is the role."""

    ElementName = item_text("{}")
    PoolID = field("uuid")
    ConsumerVisibility = const(3)


def processor_quantity(host: Subject) -> int | None:
    """The most is what the host has: hosts start no machine with more."""
    return physical_processors(host) if host.item == MAXIMUM else LIMITS[PROCESSORS][host.item]


class ProcessorLimit(LimitSetting, cim="Xen_ProcessorCapabilitiesSettingData", of="host", items=roles):
    """How many processors a machine may ask for."""

    InstanceID = limits_id(PROCESSORS)
    ResourceType = const(3)
    AllocationUnits = const("percent")
    VirtualQuantity = computed(processor_quantity)
    VirtualQuantityUnits = const("count")


def memory_quantity(host: Subject) -> int | None:
    """Bytes; the most is what the host has."""
    return memory_capacity(host) if host.item == MAXIMUM else LIMITS[MEMORY][host.item]


class MemoryLimit(LimitSetting, cim="Xen_MemoryCapabilitiesSettingData", of="host", items=roles):
    """How much memory a machine may ask for."""

    InstanceID = limits_id(MEMORY)
    ResourceType = const(4)
    AllocationUnits = const("byte")
    VirtualQuantity = computed(memory_quantity)
    VirtualQuantityUnits = const("byte")


def storage_quantity(sr: Subject) -> int | None:
    """Bytes; the most is what is free. NULL if the size of the SR is not known, and for drives: a disc has its size."""
    if storage_resource_type(sr) == CD:
        return None
    if sr.item != MAXIMUM:
        return LIMITS[STORAGE][sr.item]
    return max(0, sr["physical_size"] - sr["physical_utilisation"]) if sr["physical_size"] >= 0 else None


def storage_access(sr: Subject) -> int:
    """1 Readable for discs, else 3 Read/Write."""
    return 1 if storage_resource_type(sr) == CD else 3


class StorageLimit(LimitSetting, cim="Xen_StorageCapabilitiesSettingData", of="SR", items=roles):
    """How large a new disk may be; of a library of discs, a drive."""

    InstanceID = limits_id(STORAGE)
    ResourceType = computed(storage_resource_type)
    AllocationUnits = const("byte")
    VirtualQuantity = computed(storage_quantity)
    VirtualQuantityUnits = const("byte")
    VirtualResourceBlockSize = const(1)
    Access = computed(storage_access)


class NetworkLimit(LimitSetting, cim="Xen_NetworkCapabilitiesSettingData", of="network", items=roles):
    """An interface to a network: always one."""

    InstanceID = limits_id(NETWORK)
    ResourceType = const(10)
    AllocationUnits = const("count")
    VirtualQuantity = const(1)
    VirtualQuantityUnits = const("count")


# Primordial pools of which a request must name a part: a network, a group of USB devices or of GPUs.
NO_DEFAULT = (NETWORK, USB, GPU)


def kinds_and_roles(subject: Subject) -> Iterable[str]:
    return (f"{kind}/{role}" for kind in KINDS for role in ROLES if role != DEFAULT or kind not in NO_DEFAULT)


def primordial_limit_id(subject: Subject) -> str:
    kind, _, role = str(subject.item).partition("/")
    return f"Xen:{kind}/{PRIMORDIAL}/{role}"


def role_of(subject: Subject) -> str:
    return str(subject.item).partition("/")[2]


def primordial_quantity(subject: Subject) -> int | None:
    kind, _, role = str(subject.item).partition("/")
    return LIMITS.get(kind, ONE)[role]


def primordial_quantity_units(subject: Subject) -> str:
    """Processors are counted, though a share of them is in percent."""
    return "count" if kind_type(subject) == PROCESSOR else kind_units(subject)


class PrimordialLimit(View, cim="Xen_PrimordialCapabilitiesSettingData", items=kinds_and_roles):
    """What a machine may ask for wherever it will run; the item is <kind>/<role>."""

    InstanceID = computed(primordial_limit_id)
    ElementName = computed(role_of)
    PoolID = const(PRIMORDIAL)
    ConsumerVisibility = const(3)
    ResourceType = computed(kind_type)
    OtherResourceType = computed(kind_other_type)
    AllocationUnits = computed(kind_units)
    VirtualQuantity = computed(primordial_quantity)
    VirtualQuantityUnits = computed(primordial_quantity_units)


CAPABILITIES: tuple[type[View], ...] = (
    ProcessorAllocationCapabilities,
    MemoryAllocationCapabilities,
    StorageAllocationCapabilities,
    NetworkAllocationCapabilities,
    PrimordialAllocationCapabilities,
)


def same_kind(left: type[View], right: type[View]) -> Pairs:
    """Two primordial views of one kind."""

    def kind(one: Rendition) -> str:
        return str(one.item).partition("/")[0]

    def forward(extents: Extents, one: Rendition) -> Iterator[Rendition]:
        return (other for other in extents.extent(right) if kind(other) == kind(one))

    def backward(extents: Extents, one: Rendition) -> Iterator[Rendition]:
        return (other for other in extents.extent(left) if kind(other) == kind(one))

    return Pairs(left, right, forward, backward)


DEFINED_BY: tuple[Relation, ...] = (
    SameRecord(ProcessorAllocationCapabilities, ProcessorLimit),
    SameRecord(MemoryAllocationCapabilities, MemoryLimit),
    SameRecord(StorageAllocationCapabilities, StorageLimit),
    SameRecord(NetworkAllocationCapabilities, NetworkLimit),
    same_kind(PrimordialAllocationCapabilities, PrimordialLimit),
)

# Role -> PropertyPolicy (0 Independent), ValueRole (0 Default, 3 Supported), ValueRange (0 Point, 1 Minimums,
# 2 Maximums, 3 Increments).
MEANING = {
    DEFAULT: {"PropertyPolicy": 0, "ValueRole": 0, "ValueRange": 0},
    MINIMUM: {"PropertyPolicy": 0, "ValueRole": 3, "ValueRange": 1},
    MAXIMUM: {"PropertyPolicy": 0, "ValueRole": 3, "ValueRange": 2},
    INCREMENT: {"PropertyPolicy": 0, "ValueRole": 3, "ValueRange": 3},
}


def in_role(role: str) -> Callable[[Rendition, Rendition], bool]:
    """Whether the setting at the right end has a role."""

    def holds(left: Rendition, right: Rendition) -> bool:
        return str(right.item).rpartition("/")[2] == role

    return holds


class SettingsDefineCapabilities(
    Association, cim="Xen_SettingsDefineCapabilities", left="GroupComponent", right="PartComponent"
):
    """Four settings, or three (rule 2), say what capabilities mean."""

    relations = tuple(
        Where(relation, in_role(role), properties) for relation in DEFINED_BY for role, properties in MEANING.items()
    )


ElementCapabilities.also(
    SameRecord(ProcessorPool, ProcessorAllocationCapabilities),
    SameRecord(MemoryPool, MemoryAllocationCapabilities),
    SameRecord(StoragePool, StorageAllocationCapabilities),
    SameRecord(NetworkPool, NetworkAllocationCapabilities),
    same_kind(PrimordialPool, PrimordialAllocationCapabilities),
)
