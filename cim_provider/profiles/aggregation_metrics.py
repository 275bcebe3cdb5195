"""DSP1053 Base Metrics: average, minimum and maximum of the samples of the newest minute.

Each metric of metrics.py has three aggregations; their values are named after the data source: cpu0/average. Windows
are those of the pool's own history (bridge.source.Window), so a value stands still for a minute. While no minute is
over, values are of the first round.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from cim_provider.mapping.rule import CimDateTime, computed, const, interval, xen_id
from cim_provider.mapping.samples import Sample, SampleView
from cim_provider.mapping.subject import Subject
from cim_provider.profiles.metrics import (
    ELEMENTS,
    METRICS,
    NON_SUMMABLE,
    OWN_UUID,
    Defined,
    Meaning,
    Metric,
    MetricDefForME,
    MetricForME,
    MetricInstance,
    defined_for,
    meaning_of,
    measured_of,
    sampled_at,
    sampled_dimension,
    sampled_element,
    sampled_metric,
    sampled_part,
    sampled_title,
    sampled_value,
    source_name,
    values_of,
)
from xenapi_core.bridge.source import Summary

# Field of a Summary -> SimpleFunction.
FUNCTIONS = {"minimum": 2, "maximum": 3, "average": 4}


@dataclass(frozen=True, eq=False)
class Aggregation(Metric):
    """A function of the samples of another metric. `function`: a field of Summary."""

    function: str = ""


def _aggregation(of: Metric, function: str) -> Aggregation:
    """Averages of what can be summed up can be, too; the lowest and highest of several things are of other times."""
    return Aggregation(
        f"{of.name}{function.capitalize()}", f"{of.title}: {function} of a minute", of.sources, of.units, of.of,
        of.data_type, of.calculable if function == "average" else NON_SUMMABLE, of.scale, of.part, function,
    )  # fmt: skip


_BY_METRIC = {metric: {name: _aggregation(metric, name) for name in Summary._fields} for metric in METRICS}
AGGREGATIONS = tuple(one for each in _BY_METRIC.values() for one in each.values())


@lru_cache(4096)
def aggregation_of(source: str) -> Meaning | None:
    """What <data source>/<field of Summary> means; None if the data source is none of the METRICS."""
    name, _, function = source.rpartition("/")
    meaning = meaning_of(name)
    return None if meaning is None else Meaning(_BY_METRIC[meaning.metric][function], meaning.part)


def aggregations(subject: Subject) -> tuple[Aggregation, ...]:
    """None if nobody measures the pool for us, as long as the server runs."""
    return () if subject.pool.samples is None else AGGREGATIONS


def simple_function(subject: Subject) -> int:
    aggregation: Aggregation = subject.item
    return FUNCTIONS[aggregation.function]


def duration(subject: Subject) -> CimDateTime:
    sample: Sample = subject.item
    return interval(sample.lasts)


class AggregationMetricDefinition(Defined, cim="Xen_AggregationMetricDefinition", items=aggregations):
    """A function of a metric; the item is its row in AGGREGATIONS. 5 Simple Function of an Interval (3)."""

    ChangeType = const(5)
    SimpleFunction = computed(simple_function)
    TimeScope = const(3)


class AggregationMetricValue(SampleView, cim="Xen_AggregationMetricValue", meaning=aggregation_of, window=True):
    """An aggregation of the samples of a data source over the newest minute, which ended at its TimeStamp."""

    InstanceID = xen_id(OWN_UUID, "Metric", computed(source_name))
    ElementName = computed(sampled_title)
    MetricDefinitionId = computed(sampled_metric)
    MeasuredElementName = computed(sampled_element)
    TimeStamp = computed(sampled_at)
    Duration = computed(duration)
    AggregationTimeStamp = computed(sampled_at)
    AggregationDuration = computed(duration)
    MetricValue = computed(sampled_value)
    BreakdownDimension = computed(sampled_dimension)
    BreakdownValue = computed(sampled_part)
    Volatile = const(True)


MetricDefForME.also(*(defined_for(view, AggregationMetricDefinition) for view, _, _ in ELEMENTS))
MetricForME.also(*(measured_of(*row, AggregationMetricValue) for row in ELEMENTS))
MetricInstance.also(values_of(AggregationMetricDefinition, AggregationMetricValue))
