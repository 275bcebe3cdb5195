"""DSP1044 Processor Resource Virtualization: the virtual processors of a machine, and their number."""

from __future__ import annotations

from cim_provider.mapping.rule import computed, const, field, item_text, xen_id
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
from cim_provider.profiles.device import BuiltInDevice, enabled_with_machine


def processors(vm: Subject) -> range:
    """Numbers of the virtual processors: those in use while the machine runs, else those it will be resumed with."""
    metrics = vm.follow("metrics")
    running = metrics["VCPUs_number"] if metrics is not None and enabled_with_machine(vm) == 2 else 0
    return range(running or vm["VCPUs_at_startup"])


def load_percentage(vm: Subject) -> int | None:
    metrics = vm.follow("metrics")
    share = metrics["VCPUs_utilisation"].get(vm.item) if metrics is not None else None
    return None if share is None else min(100, max(0, round(share * 100)))


def device_name(vm: Subject) -> str:
    return f"Virtual processor {vm.item}"


def cpu_status(vm: Subject) -> int:
    """1 CPU Enabled, or 4 CPU Is Idle while the machine is suspended."""
    return 1 if enabled_with_machine(vm) == 2 else 4


class Processor(BuiltInDevice, cim="Xen_Processor", of="VM", where=is_active, items=processors):
    """One virtual processor; the item is its number."""

    DeviceID = xen_id(field("uuid"), "vcpu", item_text("{}"))
    ElementName = computed(device_name)
    CPUStatus = computed(cpu_status)
    Family = const(2)
    NumberOfEnabledCores = const(1)
    LoadPercentage = computed(load_percentage)


def _number(vm: Subject, key: str, least: int, most: int) -> int | None:
    """A scheduler parameter, kept as text by the Xen-API; None if it is not set or no number in its range."""
    text = vm["VCPUs_params"].get(key, "")
    return int(text) if text.isdecimal() and len(text) < 10 and least <= int(text) <= most else None


def weight(vm: Subject) -> int | None:
    return _number(vm, "weight", 1, 65535)


def limit(vm: Subject) -> int | None:
    """The cap of the credit scheduler in percent of one processor; 0 there means none, which is NULL here."""
    return _number(vm, "cap", 1, 1_000_000)


def virtual_quantity(vm: Subject) -> int:
    """The most processors there can be; of the State configuration those in use."""
    return len(processors(vm)) if is_state(vm) else int(vm["VCPUs_max"])


class ProcessorSettingData(View, cim="Xen_ProcessorSettingData", of="VM", where=has_configuration, items=of_built_in):
    """How many processors a machine can have, and their share."""

    InstanceID = built_in_setting_id("Processor")
    ElementName = const("Virtual processors")
    ResourceType = const(3)
    AllocationUnits = const("percent")
    PoolID = computed(pool_of_machine)
    VirtualQuantity = computed(virtual_quantity)
    VirtualQuantityUnits = const("count")
    VCPUsAtStartup = field("VCPUs_at_startup")
    Limit = computed(limit)
    Weight = computed(weight)
    ConsumerVisibility = const(3)
    AutomaticAllocation = const(True)
    AutomaticDeallocation = const(True)
