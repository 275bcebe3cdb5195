"""DSP1045 Memory Resource Virtualization: the memory of a machine and its limits."""

from __future__ import annotations

from cim_provider.mapping.rule import computed, const, field, xen_id
from cim_provider.mapping.subject import Subject
from cim_provider.mapping.view import View
from cim_provider.profiles.configuration import (
    built_in_setting_id,
    has_configuration,
    is_active,
    is_state,
    of_built_in,
    pool_of_machine,
)
from cim_provider.profiles.device import BuiltInDevice

BLOCK_SIZE = 4096


def number_of_blocks(vm: Subject) -> int:
    return int(vm["memory_static_max"]) // BLOCK_SIZE


def consumable_blocks(vm: Subject) -> int:
    """The memory that the machine has now, in blocks; 0 while it is suspended."""
    metrics = vm.follow("metrics")
    return 0 if metrics is None else int(metrics["memory_actual"]) // BLOCK_SIZE


class Memory(BuiltInDevice, cim="Xen_Memory", of="VM", where=is_active):
    """The memory of a machine."""

    DeviceID = xen_id(field("uuid"), "memory")
    ElementName = const("Memory")
    BlockSize = const(BLOCK_SIZE)
    NumberOfBlocks = computed(number_of_blocks)
    ConsumableBlocks = computed(consumable_blocks)
    Volatile = const(True)
    Access = const(3)
    Primordial = const(False)


def virtual_quantity(vm: Subject) -> int:
    """The most the machine can see; of the State configuration what it has now, unless it is suspended."""
    now = consumable_blocks(vm) * BLOCK_SIZE if is_state(vm) else 0
    return now or int(vm["memory_static_max"])


class MemorySettingData(View, cim="Xen_MemorySettingData", of="VM", where=has_configuration, items=of_built_in):
    """The memory limits of a machine, in bytes."""

    InstanceID = built_in_setting_id("Memory")
    ElementName = const("Memory")
    ResourceType = const(4)
    AllocationUnits = const("byte")
    PoolID = computed(pool_of_machine)
    VirtualQuantity = computed(virtual_quantity)
    VirtualQuantityUnits = const("byte")
    Reservation = field("memory_dynamic_min")
    Limit = field("memory_dynamic_max")
    StaticMinimum = field("memory_static_min")
    ConsumerVisibility = const(3)
    AutomaticAllocation = const(True)
    AutomaticDeallocation = const(True)
