"""DSP1053 Base Metrics: metrics of machines, hosts and their devices, with the newest samples.

A data source of the Xen-API (api/handlers/data_sources.py) is a metric value here; its name tells the metric and the
part of the machine or host (`cpu1`: processor utilization of processor 1). A value about a part is associated with the
device and with the machine or host. What the samples of a minute come to is in aggregation_metrics.py, the service
that tells of metrics in metric_service.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from cim_provider.mapping.association import Association, Extents, Pairs
from cim_provider.mapping.extent import Rendition
from cim_provider.mapping.rule import CimDateTime, Rule, computed, const, timestamp, xen_id
from cim_provider.mapping.samples import Measured, Sample, SampleView
from cim_provider.mapping.subject import Subject
from cim_provider.mapping.view import View
from cim_provider.profiles.computer_system import ComputerSystem, HostComputerSystem
from cim_provider.profiles.ethernet import NetworkPort
from cim_provider.profiles.ethernet_port import HostNetworkPort
from cim_provider.profiles.memory import Memory
from cim_provider.profiles.processor import Processor
from cim_provider.profiles.processor_core import HardwareThread
from cim_provider.profiles.storage import CDROMDrive, LogicalDisk
from cim_provider.profiles.system_memory import HostMemory

if TYPE_CHECKING:
    from xenapi_core.store.api import Version

# CIM_BaseMetricDefinition: DataType, Calculable.
REAL64, UINT64 = 5, 13
SUMMABLE, NON_SUMMABLE = 2, 3

PROCESSOR, DISK, STORAGE, PORT = "Processor", "Disk", "Storage", "Network port"
MIB = 1 << 20
SYSTEMS = (ComputerSystem, HostComputerSystem)


@dataclass(frozen=True, eq=False)
class Metric:
    """One metric. `sources`: the names of its data sources, whose first group is the part that is measured; `scale`:
    from their units to `units` (PUnit, DSP0004 Annex C); `part`: the breakdown dimension; `of`: the views of what has
    it."""

    name: str
    title: str
    sources: str
    units: str
    of: tuple[type[View], ...]
    data_type: int = UINT64
    calculable: int = SUMMABLE
    scale: int = 1
    part: str | None = None

    @property
    def id(self) -> str:
        return f"Xen:Metric/{self.name}"


# fmt: off
METRICS = (
    Metric("ProcessorUtilization", "Processor utilization", r"cpu(\d+)", "percent",
           (*SYSTEMS, Processor, HardwareThread), REAL64, NON_SUMMABLE, 100, PROCESSOR),
    Metric("AverageProcessorUtilization", "Utilization of all processors", r"cpu_avg", "percent",
           (HostComputerSystem,), REAL64, NON_SUMMABLE, 100),
    Metric("Memory", "Memory the machine has", r"memory", "byte", (ComputerSystem, Memory)),
    Metric("MemoryTarget", "Memory the balloon shall reach", r"memory_target", "byte", (ComputerSystem, Memory)),
    Metric("TotalMemory", "Memory of the host", r"memory_total_kib", "byte", (HostComputerSystem, HostMemory),
           scale=1024),
    Metric("FreeMemory", "Memory of the host that no machine has", r"memory_free_kib", "byte",
           (HostComputerSystem, HostMemory), scale=1024),
    Metric("DiskReadRate", "Read from disks", r"vbd_([^_]+)_read", "byte/second",
           (ComputerSystem, LogicalDisk, CDROMDrive), part=DISK),
    Metric("DiskWriteRate", "Written to disks", r"vbd_([^_]+)_write", "byte/second",
           (ComputerSystem, LogicalDisk, CDROMDrive), part=DISK),
    Metric("DiskReadRequests", "Requests to read from disks", r"vbd_([^_]+)_iops_read", "count/second",
           (ComputerSystem, LogicalDisk, CDROMDrive), REAL64, part=DISK),
    Metric("DiskWriteRequests", "Requests to write to disks", r"vbd_([^_]+)_iops_write", "count/second",
           (ComputerSystem, LogicalDisk, CDROMDrive), REAL64, part=DISK),
    Metric("DiskReadLatency", "Time of a request to read", r"vbd_([^_]+)_read_latency", "second*10^-6",
           (ComputerSystem, LogicalDisk, CDROMDrive), REAL64, NON_SUMMABLE, part=DISK),
    Metric("DiskWriteLatency", "Time of a request to write", r"vbd_([^_]+)_write_latency", "second*10^-6",
           (ComputerSystem, LogicalDisk, CDROMDrive), REAL64, NON_SUMMABLE, part=DISK),
    Metric("DiskRequestsInFlight", "Requests to disks without an answer yet", r"vbd_([^_]+)_inflight", "count",
           (ComputerSystem, LogicalDisk, CDROMDrive), REAL64, part=DISK),
    Metric("StorageReadRate", "Read by machines of the host from an SR", r"io_throughput_read_([0-9a-f]{8})",
           "byte/second", (HostComputerSystem,), scale=MIB, part=STORAGE),
    Metric("StorageWriteRate", "Written by machines of the host to an SR", r"io_throughput_write_([0-9a-f]{8})",
           "byte/second", (HostComputerSystem,), scale=MIB, part=STORAGE),
    Metric("ReceiveRate", "Received over the network", r"[vp]if_(.+)_rx", "byte/second",
           (*SYSTEMS, NetworkPort, HostNetworkPort), part=PORT),
    Metric("SendRate", "Sent over the network", r"[vp]if_(.+)_tx", "byte/second",
           (*SYSTEMS, NetworkPort, HostNetworkPort), part=PORT),
)
# fmt: on


@dataclass(frozen=True)
class Meaning:
    """The metric of a data source, and which part of the machine or host it is about."""

    metric: Metric
    part: str | None


@lru_cache(4096)
def meaning_of(source: str) -> Meaning | None:
    """What a data source of that name measures; None if it is none of the METRICS."""
    for metric in METRICS:
        match = re.fullmatch(metric.sources, source)
        if match is not None:
            return Meaning(metric, match[1] if metric.part is not None else None)
    return None


def metrics(subject: Subject) -> Iterable[Metric]:
    """None if nobody measures the pool for us, as long as the server runs."""
    return () if subject.pool.samples is None else METRICS


def _metric(subject: Subject) -> Metric:
    metric: Metric = subject.item
    return metric


def metric_id(subject: Subject) -> str:
    return _metric(subject).id


def metric_name(subject: Subject) -> str:
    return _metric(subject).name


def metric_title(subject: Subject) -> str:
    return _metric(subject).title


def metric_units(subject: Subject) -> str:
    return _metric(subject).units


def metric_data_type(subject: Subject) -> int:
    return _metric(subject).data_type


def metric_calculable(subject: Subject) -> int:
    return _metric(subject).calculable


def metric_dimensions(subject: Subject) -> tuple[str, ...]:
    part = _metric(subject).part
    return () if part is None else (part,)


class Defined(View):
    """The lines that metrics and their aggregations share; the item is the Metric. Periodic (3)."""

    InstanceID = computed(metric_id)
    Id = computed(metric_id)
    Name = computed(metric_name)
    ElementName = computed(metric_title)
    DataType = computed(metric_data_type)
    Calculable = computed(metric_calculable)
    ProgrammaticUnits = computed(metric_units)
    BreakdownDimensions = computed(metric_dimensions)
    IsContinuous = const(True)
    GatheringType = const(3)


class MetricDefinition(Defined, cim="Xen_MetricDefinition", items=metrics):
    """A metric; the item is its row in METRICS. 4 Gauge, taken at one Point (2)."""

    ChangeType = const(4)
    TimeScope = const(2)


def _sample(subject: Subject) -> Sample:
    sample: Sample = subject.item
    return sample


def sampled_metric(subject: Subject) -> str:
    meaning: Meaning = _sample(subject).meaning
    return meaning.metric.id


def sampled_title(subject: Subject) -> str:
    meaning: Meaning = _sample(subject).meaning
    return meaning.metric.title if meaning.part is None else f"{meaning.metric.title} ({meaning.part})"


def sampled_element(subject: Subject) -> str:
    return str(_sample(subject).record.values["name_label"])


def sampled_value(subject: Subject) -> str:
    """In the metric's units, as text of its data type; reals with six decimals at most."""
    sample = _sample(subject)
    value = sample.value * sample.meaning.metric.scale
    return repr(round(value, 6)) if sample.meaning.metric.data_type == REAL64 else str(round(value))


def sampled_at(subject: Subject) -> CimDateTime | None:
    return timestamp(_sample(subject).at)


def sampled_dimension(subject: Subject) -> str | None:
    meaning: Meaning = _sample(subject).meaning
    return meaning.metric.part


def sampled_part(subject: Subject) -> str | None:
    meaning: Meaning = _sample(subject).meaning
    return meaning.part


def measured_uuid(subject: Subject) -> str:
    return str(_sample(subject).record.values["uuid"])


def source_name(subject: Subject) -> str:
    return _sample(subject).source


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) else None


OWN_UUID = Rule(measured_uuid, computed(measured_uuid).kind_of, _text_or_none, source="`uuid`")


class MetricValue(SampleView, cim="Xen_MetricValue", meaning=meaning_of):
    """The newest sample of a data source."""

    InstanceID = xen_id(OWN_UUID, "Metric", computed(source_name))
    ElementName = computed(sampled_title)
    MetricDefinitionId = computed(sampled_metric)
    MeasuredElementName = computed(sampled_element)
    TimeStamp = computed(sampled_at)
    MetricValue = computed(sampled_value)
    BreakdownDimension = computed(sampled_dimension)
    BreakdownValue = computed(sampled_part)
    Volatile = const(True)


def by_number(record: Version | None, item: Any) -> str:
    return str(item if record is None or record.cls == "VM" else record.values["number"])


def by_device(record: Version | None, item: Any) -> str | None:
    """The device's name; None while it has none, and for what shares its name with an interface it is made on."""
    if record is None or record.values.get("VLAN", -1) >= 0:
        return None
    return record.values["device"] or None


# What is measured: the view, the field of its records that points at the machine or host ("": it is one), and how the
# part is found that its samples are about.
ELEMENTS: tuple[tuple[type[View], str, Callable[[Version | None, Any], str | None] | None], ...] = (
    (ComputerSystem, "", None),
    (HostComputerSystem, "", None),
    (Processor, "", by_number),
    (HardwareThread, "host", by_number),
    (Memory, "", None),
    (HostMemory, "", None),
    (LogicalDisk, "VM", by_device),
    (CDROMDrive, "VM", by_device),
    (NetworkPort, "VM", by_device),
    (HostNetworkPort, "host", by_device),
)


def defined_for(view: type[View], definition_view: type[View]) -> Pairs:
    """Metrics, and the instances of `view` that have them."""

    def definitions(extents: Extents, element: Rendition) -> Iterator[Rendition]:
        return (one for one in extents.extent(definition_view) if view in one.item.of)

    def elements(extents: Extents, definition: Rendition) -> Iterator[Rendition]:
        return iter(extents.extent(view) if view in definition.item.of else ())

    return Pairs(definition_view, view, elements, definitions)


def part_of(meaning: Meaning) -> str:
    return meaning.part or ""


def measured_of(
    view: type[View], owner: str, part: Callable[[Version | None, Any], str | None] | None, values: type[SampleView]
) -> Measured:
    """Instances of `view` and the samples about them."""

    def about(meaning: Meaning) -> bool:
        return view in meaning.metric.of

    return Measured(view, values, owner, about, part, part_of)


class MetricDefForME(Association, cim="Xen_MetricDefForME", left="Dependent", right="Antecedent"):
    """The metrics of a machine, a host or a device. 2: the samples are taken. Definitions stay for ever, so the other
    ends keep what is made of the links."""

    relations = tuple(defined_for(view, MetricDefinition) for view, _, _ in ELEMENTS)
    properties = {"MetricCollectionEnabled": 2}


class MetricForME(Association, cim="Xen_MetricForME", left="Antecedent", right="Dependent"):
    """The samples of a machine, a host or a device."""

    relations = tuple(measured_of(*row, MetricValue) for row in ELEMENTS)


def values_of(definition_view: type[View], value_view: type[SampleView]) -> Pairs:
    """A metric, and its values."""

    def samples(extents: Extents, definition: Rendition) -> Iterator[Rendition]:
        return (one for one in extents.extent(value_view) if one.item.meaning.metric is definition.item)

    def definitions(extents: Extents, value: Rendition) -> Iterator[Rendition]:
        return (one for one in extents.extent(definition_view) if one.item is value.item.meaning.metric)

    return Pairs(definition_view, value_view, samples, definitions)


class MetricInstance(Association, cim="Xen_MetricInstance", left="Antecedent", right="Dependent"):
    """The samples of a metric."""

    relations = (values_of(MetricDefinition, MetricValue),)
