"""DSP1053 Base Metrics: the metric service, which lists the metrics of an element and finds the highest values.

Rule 1: samples are taken of everything, always, and no message of the Xen-API stops that: record_data_source only
        checks a name. So all metrics are enabled, and what would change that is Not Supported.
Rule 2: what the service refuses otherwise is Failed, as the class says: an element or a definition that is not there,
        or has nothing to do with the other.
"""

from __future__ import annotations

from collections.abc import Iterator

from cim_provider import jobs
from cim_provider.mapping.association import Extents, Pairs, SameRecord
from cim_provider.mapping.extent import Rendition
from cim_provider.mapping.method import Call, Result, method
from cim_provider.mapping.refusal import Kind, RefusedError
from cim_provider.mapping.rule import computed, const, field, xen_id
from cim_provider.mapping.samples import SampleView
from cim_provider.mapping.subject import Subject
from cim_provider.mapping.view import View
from cim_provider.profiles.aggregation_metrics import AggregationMetricDefinition, AggregationMetricValue
from cim_provider.profiles.computer_system import HostComputerSystem
from cim_provider.profiles.host_service import HostedService, HostService, ServiceAffectsElement
from cim_provider.profiles.metrics import Metric, MetricDefinition, MetricValue
from cim_provider.profiles.system_virtualization import ElementCapabilities
from cim_provider.schema.objects import Path

# Which values are of which definitions.
VALUES: dict[type[View], type[SampleView]] = {
    MetricDefinition: MetricValue,
    AggregationMetricDefinition: AggregationMetricValue,
}
# Rule 2.
CODES: jobs.Codes = {**dict.fromkeys(Kind, 2), Kind.NOT_SUPPORTED: 1}

ENABLED = 2  # MetricCollectionEnabled
MINIMUM, MAXIMUM = 2, 3  # Range of GetMetricValues
SHOW_METRICS, SHOW_METRICS_BY_CLASS, GET_METRIC_VALUES = 4, 5, 6  # SupportedMethods


def _failed(why: str) -> RefusedError:
    return RefusedError(Kind.FAILED, why)


def _definition(call: Call, path: Path) -> tuple[type[SampleView], Metric]:
    """The metric that a path names, and the view of its values. RefusedError FAILED."""
    found = call.find(path)
    values = VALUES.get(found.view) if found is not None else None
    if found is None or values is None:
        raise _failed(f"Definition: there is no such metric in {path.classname}")
    return values, found.item


async def _defined(call: Call, views: tuple[type[View], ...], metric: Metric | None) -> Result:
    """Whether all instances of some views have a metric, or which metrics they have. RefusedError FAILED."""
    if metric is not None:
        if not views or any(view not in metric.of for view in views):
            raise _failed(f"{metric.name} is no metric of the Subject")
        return Result(jobs.DONE, {"MetricCollectionEnabled": (ENABLED,)})
    found = [
        one
        for definitions in VALUES
        for one in await call.shown(definitions)
        if views and all(view in one.item.of for view in views)
    ]
    return Result(
        jobs.DONE,
        {
            "DefinitionList": tuple(one.path for one in found),
            "MetricNames": tuple(one.item.name for one in found),
            "MetricCollectionEnabled": (ENABLED,) * len(found),
        },
    )


@jobs.answers(CODES)
async def show_metrics(call: Call, subject: Path | None, definition: Path | None) -> Result:
    """CIM_MetricService.ShowMetrics: the metrics of Subject, what has the metric Definition, or whether Subject has it.

    2 if both are NULL, if either is not there, or if Subject does not have the metric.
    """
    metric = None if definition is None else _definition(call, definition)[1]
    if subject is not None:
        element = call.find(subject)
        if element is None:
            raise _failed(f"Subject: there is no such {subject.classname}")
        return await _defined(call, (element.view,), metric)
    if metric is None:
        raise _failed("neither Subject nor Definition is given")
    having = [one.path for view in metric.of for one in await call.shown(view)]
    return Result(jobs.DONE, {"ManagedElements": tuple(having), "MetricCollectionEnabled": (ENABLED,) * len(having)})


@jobs.answers(CODES)
async def show_metrics_by_class(call: Call, subject: Path | None, definition: Path | None) -> Result:
    """CIM_MetricService.ShowMetricsByClass: the metrics that all instances of the class Subject have.

    2 if Subject is no class, if Definition is not there, or if not all instances have it.
    """
    metric = None if definition is None else _definition(call, definition)[1]
    views = call.views(subject.classname) if subject is not None and subject.keys is None else None
    if views is None:
        raise _failed("Subject names no class")
    return await _defined(call, views, metric)


@jobs.answers(CODES)
async def get_metric_values(
    call: Call,
    definition: Path | None,
    range: int | None,
    count: int | None,
) -> Result:
    """CIM_MetricService.GetMetricValues: the Count lowest (Range 2) or highest (3) values of a metric, in this order.

    Without Range the order of the instances, without Count all. 2 for a Range of another kind, and as `_definition`.
    """
    if definition is None:
        raise _failed("Definition is missing")
    if range not in (None, MINIMUM, MAXIMUM):
        raise _failed(f"Range cannot be {range}")
    values, metric = _definition(call, definition)
    found = [one for one in await call.shown(values) if one.item.meaning.metric is metric]
    if range is not None:
        found.sort(key=lambda one: one.item.value, reverse=range == MAXIMUM)
    return Result(jobs.DONE, {"Values": tuple(one.path for one in found[:count])})


@jobs.answers(CODES)
async def control_metrics(
    call: Call, subject: Path | None, definition: Path | None, metric_collection_enabled: int | None
) -> Result:
    """CIM_MetricService.ControlMetrics and ControlMetricsByClass: 1 (rule 1)."""
    raise RefusedError(Kind.NOT_SUPPORTED, "all metrics are collected, always")


@jobs.answers(CODES)
async def control_sample_times(
    call: Call,
    start_sample_time: str | None,
    preferred_sample_interval: str | None,
    restart_gathering: bool | None,
) -> Result:
    """CIM_MetricService.ControlSampleTimes: 1 (rule 1)."""
    raise RefusedError(Kind.NOT_SUPPORTED, "when samples are taken cannot be changed")


class MetricService(HostService, cim="Xen_MetricService", of="host"):
    """The metric service of the pool, at each host."""

    ElementName = const("Metrics")

    ShowMetrics = method(
        show_metrics, out=("ManagedElements", "DefinitionList", "MetricNames", "MetricCollectionEnabled")
    )
    ShowMetricsByClass = method(show_metrics_by_class, out=("DefinitionList", "MetricNames", "MetricCollectionEnabled"))
    GetMetricValues = method(get_metric_values, out=("Values",))
    ControlMetrics = method(control_metrics)
    ControlMetricsByClass = method(control_metrics)
    ControlSampleTimes = method(control_sample_times)


def nothing(host: Subject) -> tuple[str, ...]:
    return ()


def no_numbers(host: Subject) -> tuple[int, ...]:
    return ()


class MetricServiceCapabilities(View, cim="Xen_MetricServiceCapabilities", of="host"):
    """The capabilities of the metric service: it can show metrics, and change nothing (rule 1)."""

    InstanceID = xen_id(field("uuid"), "MetricServiceCapabilities")
    ElementName = const("Metrics")
    ElementNameEditSupported = const(False)
    RequestedStatesSupported = computed(no_numbers)
    ControllableMetrics = computed(nothing)
    MetricsControlTypes = computed(no_numbers)
    ControllableManagedElements = computed(nothing)
    ManagedElementControlTypes = computed(no_numbers)
    SupportedMethods = const((SHOW_METRICS, SHOW_METRICS_BY_CLASS, GET_METRIC_VALUES))


def _manages(definitions: type[View]) -> Pairs:
    """Each service (left) manages all metrics (right)."""

    def told(extents: Extents, service: Rendition) -> Iterator[Rendition]:
        return iter(extents.extent(definitions))

    def services(extents: Extents, definition: Rendition) -> Iterator[Rendition]:
        return iter(extents.extent(MetricService))

    return Pairs(MetricService, definitions, told, services)


HostedService.also(SameRecord(HostComputerSystem, MetricService))
ElementCapabilities.also(SameRecord(MetricService, MetricServiceCapabilities))
ServiceAffectsElement.also(*map(_manages, VALUES))
