"""Properties of every virtual device (CIM_LogicalDevice), in whichever profile."""

from __future__ import annotations

from cim_provider.mapping.rule import OWN_CLASS, computed, const, field, via
from cim_provider.mapping.subject import Subject
from cim_provider.mapping.view import View
from cim_provider.profiles.computer_system import ComputerSystem, HostComputerSystem

RUNNING_STATES = ("Running", "Paused")


class VirtualDevice(View):
    """The lines shared by devices that are records of their own (VBD, VIF): enabled while they are plugged."""

    SystemCreationClassName = const(ComputerSystem.cim)
    SystemName = via("VM", field("uuid"))
    CreationClassName = OWN_CLASS
    DeviceID = field("uuid")
    RequestedState = const(12)
    HealthState = const(5)
    EnabledState = field("currently_attached").table({True: 2, False: 3})
    OperationalStatus = field("currently_attached").table({True: (2,), False: (10,)})


def enabled_with_machine(vm: Subject) -> int:
    """2 Enabled while the machine exists on a host, else 3 Disabled."""
    return 2 if vm["power_state"] in RUNNING_STATES else 3


def working_with_machine(vm: Subject) -> tuple[int, ...]:
    """OperationalStatus: 2 OK while the machine exists on a host, else 10 Stopped."""
    return (2,) if vm["power_state"] in RUNNING_STATES else (10,)


class BuiltInDevice(View):
    """The lines shared by devices that are part of the VM record itself (processors, memory)."""

    SystemCreationClassName = const(ComputerSystem.cim)
    SystemName = field("uuid")
    CreationClassName = OWN_CLASS
    RequestedState = const(12)
    HealthState = const(5)
    EnabledState = computed(enabled_with_machine)
    OperationalStatus = computed(working_with_machine)


class HostDevice(View):
    """The lines shared by devices of a host that are records of their own."""

    SystemCreationClassName = const(HostComputerSystem.cim)
    SystemName = via("host", field("uuid"))
    CreationClassName = OWN_CLASS
    RequestedState = const(12)
    HealthState = const(5)
    EnabledState = const(2)
    OperationalStatus = const((2,))
