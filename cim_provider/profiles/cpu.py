"""DSP1022 CPU: the physical processors of a host.

The Xen-API has a host_cpu for each hardware thread. Which of them share a core and a processor follows from their
numbers and from host.cpu_info: Xen counts the threads of a core side by side, and so the cores of a processor.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from cim_provider.mapping.association import Pointing, Reversed
from cim_provider.mapping.rule import computed, const, field, xen_id
from cim_provider.mapping.subject import Subject
from cim_provider.mapping.view import View
from cim_provider.methods.fixed_state import UNCHANGEABLE
from cim_provider.profiles.computer_system import HostComputerSystem
from cim_provider.profiles.device import HostDevice
from cim_provider.profiles.system_virtualization import ElementCapabilities
from cim_provider.profiles.virtual_system import SystemDevice

# Flags of /proc/cpuinfo -> CIM_Processor.Characteristics.
CHARACTERISTICS = {"lm": 2, "vmx": 4, "svm": 4}


class Topology(NamedTuple):
    """How many hardware threads a processor and a core of a host have."""

    of_processor: int
    of_core: int


ALONE = Topology(1, 1)


def _positive_number(host: Subject, key: str) -> int | None:
    text = host["cpu_info"].get(key, "")
    return int(text) if text.isdecimal() and 0 < len(text) < 6 and int(text) > 0 else None


def topology(host: Subject) -> Topology:
    """As host.cpu_info tells it; every thread is a core and a processor of its own if that does not fit the threads
    there are. A host that tells no threads of a core has one in each; one that tells no sockets, one for each core."""
    count, of_core = _positive_number(host, "cpu_count"), _positive_number(host, "threads_per_core") or 1
    if count is None or count != len(host["host_CPUs"]) or count % of_core:
        return ALONE
    of_processor, rest = divmod(count, _positive_number(host, "socket_count") or count // of_core)
    return ALONE if rest or of_processor == 0 or of_processor % of_core else Topology(of_processor, of_core)


def topology_of(cpu: Subject) -> Topology:
    host = cpu.follow("host")
    return ALONE if host is None else topology(host)


def together(cpu: Subject, size: int) -> Iterator[Subject]:
    """The threads of the host that are in one group of `size` with this one: a core, or a processor."""
    host = cpu.follow("host")
    if size == 1 or host is None:
        yield cpu
        return
    for ref in host["host_CPUs"]:
        found = cpu.pool.find(ref)
        # A number never changes, so looking at those of other groups needs no note (subject.py, rule 1).
        if found is not None and found.values["number"] // size == cpu["number"] // size:
            member = cpu.record(ref)
            if member is not None:
                yield member


def mean_load(cpu: Subject, size: int) -> int:
    """In percent, of the group of `size` threads that this one is in."""
    shares = [member["utilisation"] for member in together(cpu, size)]
    return min(100, max(0, round(sum(shares) / len(shares) * 100))) if shares else 0


def is_processor(cpu: Subject) -> bool:
    """Whether a thread is the first one of its processor, and so stands for it."""
    return bool(cpu["number"] % topology_of(cpu).of_processor == 0)


def element_name(cpu: Subject) -> str:
    return cpu["modelname"] or f"Processor {cpu['number'] // topology_of(cpu).of_processor}"


def family_description(cpu: Subject) -> str:
    """The family as CPUID numbers it; CIM's Family is another numbering, so that one says Other."""
    return f"{cpu['vendor']} family {cpu['family']} model {cpu['model']}".strip()


def clock_speed(cpu: Subject) -> int | None:
    """In MHz; NULL if it is not known."""
    return cpu["speed"] if cpu["speed"] > 0 else None


def load_percentage(cpu: Subject) -> int:
    return mean_load(cpu, topology_of(cpu).of_processor)


def number_of_cores(cpu: Subject) -> int:
    found = topology_of(cpu)
    return found.of_processor // found.of_core


def characteristics(cpu: Subject) -> tuple[int, ...]:
    flags = cpu["flags"].split()
    return tuple(sorted({number for flag, number in CHARACTERISTICS.items() if flag in flags}))


class HostProcessor(HostDevice, cim="Xen_HostProcessor", of="host_cpu", where=is_processor):
    """One physical processor; its record is its first hardware thread."""

    DeviceID = field("uuid")
    ElementName = computed(element_name)
    CPUStatus = const(1)
    Family = const(1)
    OtherFamilyDescription = computed(family_description)
    MaxClockSpeed = computed(clock_speed)
    CurrentClockSpeed = computed(clock_speed)
    Stepping = field("stepping")
    LoadPercentage = computed(load_percentage)
    NumberOfEnabledCores = computed(number_of_cores)
    Characteristics = computed(characteristics)
    UniqueID = field("uuid")

    RequestStateChange = UNCHANGEABLE


def has_processors(host: Subject) -> bool:
    return bool(host["host_CPUs"])


def cores_of_each(host: Subject) -> int:
    found = topology(host)
    return found.of_processor // found.of_core


def threads_of_each(host: Subject) -> int:
    return topology(host).of_processor


def no_states(host: Subject) -> tuple[int, ...]:
    """None: processors of a host cannot be switched."""
    return ()


class ProcessorCapabilities(View, cim="Xen_HostProcessorCapabilities", of="host", where=has_processors):
    """What each processor of a host has to offer: all of them are alike."""

    InstanceID = xen_id(field("uuid"), "ProcessorCapabilities")
    ElementName = const("Capabilities of the processors of a host")
    NumberOfProcessorCores = computed(cores_of_each)
    NumberOfHardwareThreads = computed(threads_of_each)
    ElementNameEditSupported = const(False)
    RequestedStatesSupported = computed(no_states)


SystemDevice.also(Pointing(HostComputerSystem, HostProcessor, "host_cpu.host"))
ElementCapabilities.also(Reversed(Pointing(ProcessorCapabilities, HostProcessor, "host_cpu.host")))
