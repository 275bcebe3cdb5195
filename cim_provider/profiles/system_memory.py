"""DSP1026 System Memory: the memory of a host, and its modules, which the Xen-API knows as a whole only."""

from __future__ import annotations

from cim_provider.mapping.association import Association, SameRecord
from cim_provider.mapping.rule import OWN_CLASS, computed, const, field, xen_id
from cim_provider.mapping.subject import Subject
from cim_provider.mapping.view import View
from cim_provider.profiles.computer_system import HostComputerSystem
from cim_provider.profiles.memory import BLOCK_SIZE
from cim_provider.profiles.virtual_system import SystemDevice


def capacity(host: Subject) -> int:
    """Bytes; 0 while nothing is known of the host."""
    metrics = host.follow("metrics")
    return 0 if metrics is None else max(0, int(metrics["memory_total"]))


def number_of_blocks(host: Subject) -> int:
    return capacity(host) // BLOCK_SIZE


def consumable_blocks(host: Subject) -> int:
    """The memory that is free for machines, in blocks."""
    metrics = host.follow("metrics")
    return 0 if metrics is None else max(0, metrics["memory_free"]) // BLOCK_SIZE


class HostMemory(View, cim="Xen_HostMemory", of="host"):
    """All memory of a host."""

    SystemCreationClassName = const(HostComputerSystem.cim)
    SystemName = field("uuid")
    CreationClassName = OWN_CLASS
    DeviceID = xen_id(field("uuid"), "memory")
    ElementName = const("System memory")
    EnabledState = const(2)
    RequestedState = const(12)
    OperationalStatus = const((2,))
    HealthState = const(5)
    Volatile = const(True)
    Access = const(3)
    BlockSize = const(BLOCK_SIZE)
    NumberOfBlocks = computed(number_of_blocks)
    ConsumableBlocks = computed(consumable_blocks)
    Primordial = const(True)


class PhysicalMemory(View, cim="Xen_PhysicalMemory", of="host"):
    """The hardware of that memory. Its form and type are Unknown (0)."""

    Tag = xen_id(field("uuid"), "physicalMemory")
    CreationClassName = OWN_CLASS
    ElementName = const("System memory")
    FormFactor = const(0)
    MemoryType = const(0)
    Capacity = computed(capacity)


class Realizes(Association, cim="Xen_Realizes", left="Antecedent", right="Dependent"):
    """The hardware is what a host's memory is made of."""

    relations = (SameRecord(PhysicalMemory, HostMemory),)


SystemDevice.also(SameRecord(HostComputerSystem, HostMemory))
