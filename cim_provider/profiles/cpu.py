"""DSP1022 CPU: the physical processors of a host."""

from __future__ import annotations

from cim_provider.mapping.association import Pointing, Reversed
from cim_provider.mapping.rule import computed, const, field, xen_id
from cim_provider.mapping.subject import Subject
from cim_provider.mapping.view import View
from cim_provider.profiles.computer_system import HostComputerSystem
from cim_provider.profiles.device import HostDevice
from cim_provider.profiles.system_virtualization import ElementCapabilities
from cim_provider.profiles.virtual_system import SystemDevice

# Flags of /proc/cpuinfo -> CIM_Processor.Characteristics.
CHARACTERISTICS = {"lm": 2, "vmx": 4, "svm": 4}


def element_name(cpu: Subject) -> str:
    return cpu["modelname"] or f"Processor {cpu['number']}"


def family_description(cpu: Subject) -> str:
    """The family as CPUID numbers it; CIM's Family is another numbering, so that one says Other."""
    return f"{cpu['vendor']} family {cpu['family']} model {cpu['model']}".strip()


def clock_speed(cpu: Subject) -> int | None:
    """In MHz; NULL if it is not known."""
    return cpu["speed"] if cpu["speed"] > 0 else None


def load_percentage(cpu: Subject) -> int:
    return min(100, max(0, round(cpu["utilisation"] * 100)))


def characteristics(cpu: Subject) -> tuple[int, ...]:
    flags = cpu["flags"].split()
    return tuple(sorted({number for flag, number in CHARACTERISTICS.items() if flag in flags}))


class HostProcessor(HostDevice, cim="Xen_HostProcessor", of="host_cpu"):
    """One physical processor, as the hypervisor counts them."""

    DeviceID = field("uuid")
    ElementName = computed(element_name)
    CPUStatus = const(1)
    Family = const(1)
    OtherFamilyDescription = computed(family_description)
    MaxClockSpeed = computed(clock_speed)
    CurrentClockSpeed = computed(clock_speed)
    Stepping = field("stepping")
    LoadPercentage = computed(load_percentage)
    NumberOfEnabledCores = const(1)
    Characteristics = computed(characteristics)
    UniqueID = field("uuid")


def has_processors(host: Subject) -> bool:
    return bool(host["host_CPUs"])


def no_states(host: Subject) -> tuple[int, ...]:
    """None: processors of a host cannot be switched."""
    return ()


class ProcessorCapabilities(View, cim="Xen_HostProcessorCapabilities", of="host", where=has_processors):
    """What each processor of a host can offer: the hypervisor counts a processor for each thread, so one of both."""

    InstanceID = xen_id(field("uuid"), "ProcessorCapabilities")
    ElementName = const("Capabilities of the processors of a host")
    NumberOfProcessorCores = const(1)
    NumberOfHardwareThreads = const(1)
    ElementNameEditSupported = const(False)
    RequestedStatesSupported = computed(no_states)


SystemDevice.also(Pointing(HostComputerSystem, HostProcessor, "host_cpu.host"))
ElementCapabilities.also(Reversed(Pointing(ProcessorCapabilities, HostProcessor, "host_cpu.host")))
