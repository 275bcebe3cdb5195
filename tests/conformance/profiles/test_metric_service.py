"""CIM_MetricService (DSP1053): which metrics there are of what, the highest values, and nothing that controls them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from cim_pool import SmallPool, call, elements, instance_values, key_values, path_in

from cim_provider.profiles.aggregation_metrics import AGGREGATIONS
from cim_provider.profiles.computer_system import ComputerSystem
from cim_provider.profiles.metrics import METRICS
from cim_provider.profiles.processor import Processor
from cim_provider.schema.objects import CIMV2, Path
from xenapi_core.bridge.source import Samples, Summary, Window

AT = 1_800_000_000
ALL = (*METRICS, *AGGREGATIONS)


@pytest.fixture
def pool() -> SmallPool:
    pool = SmallPool()
    running = {"power_state": "Running", "resident_on": pool.refs["host-0"]}
    for name in ("web", "db", "mail"):
        pool.vm(name, **running, metrics={"VCPUs_number": 1})
    loads = {"web": 0.5, "db": 0.75, "mail": 0.25}
    minute = {pool.uuid(name): {"cpu0": Summary(1 - load, 0.0, 1.0)} for name, load in loads.items()}
    pool.source.round = Samples(
        AT, {pool.uuid(name): {"cpu0": load} for name, load in loads.items()}, Window(AT, 60, minute)
    )
    return pool


def metric(name: str, classname: str = "Xen_MetricDefinition") -> Path:
    return Path.of(classname, {"Id": f"Xen:Metric/{name}"}, CIMV2)


def ask(pool: SmallPool, method: str, **params: Any) -> tuple[int, dict[str, Any]]:
    """What the service of host-0 answers: the return value, and paths or texts by the names of output parameters."""
    (service,) = pool.renditions("Xen_MetricService", "host-0")
    value, out = asyncio.run(call(pool.provider, service.path, method, **params))
    found: dict[str, Any] = {}
    for name, element in out.items():
        references = element.find("VALUE.REFARRAY")
        found[name] = (
            [path_in(one) for one in references]
            if references is not None
            else [one.text for one in element.iter("VALUE")]
        )
    return value, found


def test_the_metrics_of_an_element_are_those_that_are_defined_for_it(pool: SmallPool) -> None:
    value, out = ask(pool, "ShowMetrics", Subject=pool.path("web"))
    wanted = [one.name for one in ALL if ComputerSystem in one.of]
    assert (value, out["MetricNames"]) == (0, wanted)
    assert out["MetricCollectionEnabled"] == ["2"] * len(wanted)
    reply = pool.run("AssociatorNames", ObjectName=pool.path("web"), AssocClass="CIM_MetricDefForME")
    assert {one.key("Id") for one in out["DefinitionList"]} == {key_values(one)["Id"] for one in elements(reply.values)}


def test_the_elements_of_a_metric_are_those_it_is_defined_for(pool: SmallPool) -> None:
    for name in (metric("Memory"), metric("MemoryAverage", "Xen_AggregationMetricDefinition")):
        value, out = ask(pool, "ShowMetrics", Definition=name)
        assert value == 0
        reply = pool.run("AssociatorNames", ObjectName=name, AssocClass="CIM_MetricDefForME")
        wanted = {(path_in(one).classname, path_in(one).keys) for one in elements(reply.values)}
        assert {(one.classname, one.keys) for one in out["ManagedElements"]} == wanted
        assert out["MetricCollectionEnabled"] == ["2"] * len(wanted)
        assert {classname for classname, _ in wanted} == {"Xen_ComputerSystem", "Xen_Memory"}


def test_whether_an_element_has_a_metric_is_told_or_refused(pool: SmallPool) -> None:
    asked = {"Subject": pool.path("web"), "Definition": metric("Memory")}
    assert ask(pool, "ShowMetrics", **asked) == (0, {"MetricCollectionEnabled": ["2"]})
    asked["Definition"] = metric("TotalMemory")
    assert ask(pool, "ShowMetrics", **asked) == (2, {})


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"Subject": Path.of("Xen_ComputerSystem", {"CreationClassName": "Xen_ComputerSystem", "Name": "x"}, CIMV2)},
        {"Subject": Path("Xen_ComputerSystem", None, CIMV2)},
        {"Definition": metric("Colour")},
        {"Definition": Path.of("Xen_MetricValue", {"InstanceID": "Xen:x/Metric/cpu0"}, CIMV2)},
    ],
)
def test_nothing_is_shown_of_what_is_not_there(pool: SmallPool, params: dict[str, Any]) -> None:
    assert ask(pool, "ShowMetrics", **params) == (2, {})


def test_the_metrics_of_a_class_are_those_that_all_its_instances_have(pool: SmallPool) -> None:
    value, out = ask(pool, "ShowMetricsByClass", Subject=Path("Xen_Processor", None, CIMV2))
    assert (value, out["MetricNames"]) == (0, [one.name for one in ALL if Processor in one.of])
    value, out = ask(pool, "ShowMetricsByClass", Subject=Path("CIM_ManagedElement", None, CIMV2))
    assert (value, out["MetricNames"]) == (0, [])
    asked = {"Subject": Path("Xen_Memory", None, CIMV2), "Definition": metric("Memory")}
    assert ask(pool, "ShowMetricsByClass", **asked) == (0, {"MetricCollectionEnabled": ["2"]})
    asked["Definition"] = metric("SendRate")
    assert ask(pool, "ShowMetricsByClass", **asked) == (2, {})


def test_a_class_that_is_none_has_no_metrics(pool: SmallPool) -> None:
    for subject in (Path("Xen_Colour", None, CIMV2), pool.path("web"), None):
        assert ask(pool, "ShowMetricsByClass", Subject=subject) == (2, {})
    assert ask(pool, "ShowMetricsByClass") == (2, {})


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ({}, {"web", "db", "mail"}),
        ({"Range": 2}, ["mail", "web", "db"]),
        ({"Range": 2, "Count": 2}, ["mail", "web"]),
        ({"Range": 3, "Count": 1}, ["db"]),
        ({"Range": 3, "Count": 0}, []),
        ({"Count": 9}, {"web", "db", "mail"}),
    ],
)
def test_the_lowest_and_the_highest_values_of_a_metric_come_in_their_order(
    pool: SmallPool, asked: dict[str, Any], names: Any
) -> None:
    value, out = ask(pool, "GetMetricValues", Definition=metric("ProcessorUtilization"), **asked)
    owners = {f"Xen:{pool.uuid(name)}/Metric/cpu0": name for name in ("web", "db", "mail")}
    found = [owners[one.key("InstanceID")] for one in out["Values"]]
    assert (value, set(found) if isinstance(names, set) else found) == (0, names)


def test_values_of_an_aggregation_are_chosen_by_what_they_come_to(pool: SmallPool) -> None:
    definition = metric("ProcessorUtilizationAverage", "Xen_AggregationMetricDefinition")
    _, out = ask(pool, "GetMetricValues", Definition=definition, Range=3, Count=1)
    assert [one.key("InstanceID") for one in out["Values"]] == [f"Xen:{pool.uuid('mail')}/Metric/cpu0/average"]


@pytest.mark.parametrize("params", [{}, {"Definition": metric("Colour")}, {"Definition": metric("Memory"), "Range": 4}])
def test_values_of_no_metric_or_of_another_range_are_refused(pool: SmallPool, params: dict[str, Any]) -> None:
    assert ask(pool, "GetMetricValues", **params) == (2, {})


def test_what_would_change_how_samples_are_taken_is_not_supported_and_the_capabilities_say_so(pool: SmallPool) -> None:
    switch = {"Subject": pool.path("web"), "MetricCollectionEnabled": 3}
    assert ask(pool, "ControlMetrics", **switch) == (1, {})
    by_class = {"Subject": Path("Xen_Processor", None, CIMV2), "MetricCollectionEnabled": 2}
    assert ask(pool, "ControlMetricsByClass", **by_class) == (1, {})
    times = {"StartSampleTime": "99990101000000.000000+000", "PreferredSampleInterval": "00000000000010.000000:000"}
    assert ask(pool, "ControlSampleTimes", **times, RestartGathering=True) == (1, {})
    (service,) = pool.renditions("Xen_MetricService", "host-0")
    reply = pool.run("Associators", ObjectName=service.path, AssocClass="CIM_ElementCapabilities")
    (capabilities,) = elements(reply.values)
    told = instance_values(capabilities)
    assert (told["SupportedMethods"], told["ControllableMetrics"]) == (["4", "5", "6"], [])


def test_the_service_of_each_host_manages_all_metrics(pool: SmallPool) -> None:
    (service,) = pool.renditions("Xen_MetricService", "host-0")
    reply = pool.run("References", ObjectName=service.path, ResultClass="CIM_ServiceAffectsElement")
    links = [instance_values(one) for one in elements(reply.values)]
    assert {path_in(one["AffectedElement"]).key("Id") for one in links} == {one.id for one in ALL}
    assert all(one["ElementEffects"] == ["5"] for one in links)
