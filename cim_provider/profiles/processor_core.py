"""DSP1022 CPU: the cores of the physical processors of a host, and their hardware threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from cim_provider.mapping.association import Extents, Pairs
from cim_provider.mapping.extent import Rendition
from cim_provider.mapping.rule import computed, const, field, xen_id
from cim_provider.mapping.subject import Subject
from cim_provider.mapping.view import View
from cim_provider.profiles.cpu import HostProcessor, Topology, mean_load, together, topology_of
from cim_provider.profiles.resource_allocation import ConcreteComponent


def is_core(cpu: Subject) -> bool:
    """Whether a thread is the first one of its core, and so stands for it."""
    return bool(cpu["number"] % topology_of(cpu).of_core == 0)


def core_name(cpu: Subject) -> str:
    return f"Core {cpu['number'] // topology_of(cpu).of_core}"


def core_load(cpu: Subject) -> int:
    return mean_load(cpu, topology_of(cpu).of_core)


def thread_name(cpu: Subject) -> str:
    return f"Thread {cpu['number']}"


def thread_load(cpu: Subject) -> int:
    return mean_load(cpu, 1)


class Part(View):
    """The lines that cores and threads share: what Xen has found is on."""

    EnabledState = const(2)
    RequestedState = const(12)
    OperationalStatus = const((2,))
    HealthState = const(5)


class ProcessorCore(Part, cim="Xen_ProcessorCore", of="host_cpu", where=is_core):
    """One core, numbered within its host; its record is its first hardware thread."""

    InstanceID = xen_id(field("uuid"), "Core")
    ElementName = computed(core_name)
    CoreEnabledState = const(2)
    LoadPercentage = computed(core_load)


class HardwareThread(Part, cim="Xen_HardwareThread", of="host_cpu"):
    """One hardware thread: a processor, as Xen and the Xen-API count them."""

    InstanceID = xen_id(field("uuid"), "Thread")
    ElementName = computed(thread_name)
    LoadPercentage = computed(thread_load)


def consists_of(whole: type[View], part: type[View], size: Callable[[Topology], int]) -> Pairs:
    """Groups of threads, and the smaller groups that each consists of. `size`: how many threads the larger one has."""

    def walk(extents: Extents, end: Rendition, wanted: type[View]) -> Iterator[Rendition]:
        if end.version is None:
            return
        cpu = Subject(extents.pool, end.version)
        for member in together(cpu, size(topology_of(cpu))):
            yield from extents.extent(wanted).of(member.version)

    def parts(extents: Extents, end: Rendition) -> Iterator[Rendition]:
        return walk(extents, end, part)

    def wholes(extents: Extents, end: Rendition) -> Iterator[Rendition]:
        return walk(extents, end, whole)

    return Pairs(whole, part, parts, wholes, reads=("host",))


ConcreteComponent.also(
    consists_of(HostProcessor, ProcessorCore, lambda told: told.of_processor),
    consists_of(ProcessorCore, HardwareThread, lambda told: told.of_core),
)
