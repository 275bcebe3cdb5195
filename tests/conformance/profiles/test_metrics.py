"""DSP1053 Base Metrics: the newest samples of data sources as metric values, with their definitions and elements."""

from __future__ import annotations

from typing import Any

import pytest
from cim_pool import SmallPool, elements, graph, instance_values, key_values, path_in

from cim_provider.profiles.aggregation_metrics import AGGREGATIONS
from cim_provider.profiles.metrics import METRICS, meaning_of
from cim_provider.schema.objects import CIMV2, NOT_FOUND, CimError, Path
from xenapi_core.api.handlers.data_sources import host_sources, storage_sources, vm_sources
from xenapi_core.bridge.source import Samples, Summary, Window
from xenapi_core.drivers.api import HostUsage, MachineUsage, Requests, Traffic

SUMS = "Xen_AggregationMetricValue"
AT = 1_800_000_000
MIB = 1 << 20
MACHINE = MachineUsage(
    (0.25, 0.5), 1 << 30, {"0": Traffic(1000.0, 20.4), "3": Traffic(7.0, 0.0)}, {"0": Traffic(5, 6)},
    {"0": Requests(4.5, 2.0, 0.00025, 0.001, 1.25)},
)  # fmt: skip
DISK_SOURCES = {"read", "write", "iops_read", "iops_write", "read_latency", "write_latency", "inflight"}


def measure(pool: SmallPool, machine: MachineUsage = MACHINE, at: int = AT) -> None:
    """A round of samples of the data sources of "web" and "host-0"."""
    usage = HostUsage((0.5,), 64 << 30, 60 << 30, {}, {"eth0": Traffic(11, 12)})
    sources = {
        pool.uuid("web"): vm_sources(pool.version("web"), machine),
        pool.uuid("host-0"): host_sources(usage),
    }
    pool.source.round = Samples(
        at, {uuid: {one["name_label"]: one["value"] for one in found} for uuid, found in sources.items()}
    )


@pytest.fixture
def pool() -> SmallPool:
    pool = SmallPool()
    pool.vm(
        "web", power_state="Running", resident_on=pool.refs["host-0"],
        metrics={"VCPUs_number": 2, "memory_actual": 1 << 30},
    )  # fmt: skip
    pool.vm("db")
    pool.disk("disk", "web", device="xvda")
    pool.disk("cd", "web", type="CD", mode="RO", userdevice="3", device="xvdd")
    pool.nic("nic", "web")
    pool.equip("web")
    pool.add(
        "PIF",
        "vlan",
        host=pool.refs["host-0"],
        network=pool.refs["lan"],
        device="eth0",
        VLAN=7,
        MAC="52:54:00:00:00:01",
    )
    measure(pool)
    return pool


def listed(pool: SmallPool, classname: str) -> list[dict[str, Any]]:
    return [instance_values(one) for one in elements(pool.run("EnumerateInstances", ClassName=classname).values)]


def summarize(pool: SmallPool, minute: dict[str, dict[str, Summary]]) -> None:
    """A round whose window has these summaries."""
    assert pool.source.round is not None
    values = {pool.uuid(name): found for name, found in minute.items()}
    pool.source.round = Samples(AT + 3, pool.source.round.values, Window(AT, 60, values))


def value_of(pool: SmallPool, owner: str, source: str) -> Path:
    return Path.of("Xen_MetricValue", {"InstanceID": f"Xen:{pool.uuid(owner)}/Metric/{source}"}, CIMV2)


def sources_of(pool: SmallPool, path: Path) -> set[str]:
    """Names of the data sources whose values are associated with an element; each leads back to it."""
    reply = pool.run("AssociatorNames", ObjectName=path, AssocClass="CIM_MetricForME", Role="Antecedent")
    found = set()
    for one in elements(reply.values):
        back = pool.run("AssociatorNames", ObjectName=path_in(one), AssocClass="CIM_MetricForME", Role="Dependent")
        assert path in [path_in(other) for other in elements(back.values)]
        found.add(key_values(one)["InstanceID"].rpartition("/")[2])
    return found


def device(pool: SmallPool, classname: str, name: str, item: Any = None) -> Path:
    """The path of the one instance a view makes of a record, with string keys."""
    (one,) = (one for one in pool.renditions(classname, name) if item is None or one.item == item)
    return Path(one.path.classname, one.path.keys, CIMV2)


def test_every_data_source_of_machines_and_hosts_is_a_metric_value(pool: SmallPool) -> None:
    assert pool.source.round is not None
    names = [name for found in pool.source.round.values.values() for name in found]
    assert len(names) == 22
    assert [name for name in names if meaning_of(name) is None] == ["vbd_xvda_iowait"]  # what requests and latency say
    assert len(listed(pool, "CIM_BaseMetricValue")) == len(names) - 1


def test_what_no_metric_describes_is_no_value(pool: SmallPool) -> None:
    pool.source.round = Samples(AT, {pool.uuid("web"): {"cpu0": 0.5, "colour": 1.0}, "nobody": {"cpu0": 1.0}})
    assert [one["BreakdownValue"] for one in listed(pool, "Xen_MetricValue")] == ["0"]


@pytest.mark.parametrize(
    ("owner", "source", "metric", "value", "part"),
    [
        ("web", "cpu1", "ProcessorUtilization", "50.0", "1"),
        ("web", "memory", "Memory", str(1 << 30), None),
        ("web", "vbd_xvda_write", "DiskWriteRate", "20", "xvda"),
        ("web", "vbd_xvda_iops_read", "DiskReadRequests", "4.5", "xvda"),
        ("web", "vbd_xvda_read_latency", "DiskReadLatency", "250.0", "xvda"),
        ("web", "vbd_xvda_write_latency", "DiskWriteLatency", "1000.0", "xvda"),
        ("web", "vbd_xvda_inflight", "DiskRequestsInFlight", "1.25", "xvda"),
        ("web", "vif_0_rx", "ReceiveRate", "5", "0"),
        ("host-0", "cpu_avg", "AverageProcessorUtilization", "50.0", None),
        ("host-0", "memory_free_kib", "FreeMemory", str(60 << 30), None),
        ("host-0", "pif_eth0_tx", "SendRate", "12", "eth0"),
    ],
)
def test_a_value_is_in_the_units_of_its_metric(
    pool: SmallPool, owner: str, source: str, metric: str, value: str, part: str | None
) -> None:
    reply = pool.run("GetInstance", InstanceName=value_of(pool, owner, source))
    shown = instance_values(elements(reply.values)[0])
    assert (shown["MetricValue"], shown["BreakdownValue"]) == (value, part)
    assert shown["MetricDefinitionId"] == f"Xen:Metric/{metric}"
    assert shown["MeasuredElementName"] == owner
    assert shown["TimeStamp"] == "20270115080000.000000+000"


def test_what_machines_of_a_host_read_and_write_is_told_for_each_sr(pool: SmallPool) -> None:
    host, sr = pool.refs["host-0"], pool.refs["sr"]
    pool.add("PBD", "pbd", host=host, SR=sr, currently_attached=True)
    moved = {sr: [(Traffic(3 * MIB, MIB / 2), Requests()), (Traffic(MIB, 0.0), Requests())]}
    sources = storage_sources(pool.store, host, moved)
    pool.source.round = Samples(AT, {pool.uuid("host-0"): {one["name_label"]: one["value"] for one in sources}})
    found = {(one["MetricDefinitionId"], one["BreakdownValue"]): one for one in listed(pool, "Xen_MetricValue")}
    word = pool.uuid("sr")[:8]
    assert {key: one["MetricValue"] for key, one in found.items()} == {
        ("Xen:Metric/StorageReadRate", word): str(4 * MIB),
        ("Xen:Metric/StorageWriteRate", word): str(MIB // 2),
    }
    assert {one["BreakdownDimension"] for one in found.values()} == {"Storage"}
    assert sources_of(pool, pool.path("host-0", "Xen_HostComputerSystem")) == {
        f"io_throughput_read_{word}", f"io_throughput_write_{word}"
    }  # fmt: skip


def test_definitions_use_programmatic_units_and_say_how_values_break_down(pool: SmallPool) -> None:
    found = {one["Name"]: one for one in listed(pool, "Xen_MetricDefinition")}
    assert set(found) == {metric.name for metric in METRICS}
    units = {"percent", "byte", "byte/second", "count", "count/second", "second*10^-6"}
    assert {one["ProgrammaticUnits"] for one in found.values()} == units
    assert found["ProcessorUtilization"]["BreakdownDimensions"] == ["Processor"]
    declared = graph().classes["xen_metricdefinition"].properties
    for name in ("DataType", "Calculable", "ChangeType", "TimeScope", "GatheringType"):
        allowed = declared[name.lower()].qualifiers["valuemap"].value
        assert all(one[name] in allowed for one in found.values())


def test_a_machine_and_a_host_have_all_their_values(pool: SmallPool) -> None:
    assert pool.source.round is not None
    values = pool.source.round.values
    assert sources_of(pool, pool.path("web")) == set(values[pool.uuid("web")]) - {"vbd_xvda_iowait"}
    assert sources_of(pool, pool.path("host-0", "Xen_HostComputerSystem")) == set(values[pool.uuid("host-0")])
    assert sources_of(pool, pool.path("db")) == set()


@pytest.mark.parametrize(
    ("classname", "name", "item", "sources"),
    [
        ("Xen_Processor", "web", 1, {"cpu1"}),
        ("Xen_HardwareThread", "cpu", None, {"cpu0"}),
        ("Xen_Memory", "web", None, {"memory", "memory_target"}),
        ("Xen_HostMemory", "host-0", None, {"memory_total_kib", "memory_free_kib"}),
        ("Xen_LogicalDisk", "disk", None, {f"vbd_xvda_{name}" for name in DISK_SOURCES}),
        ("Xen_CDROMDrive", "cd", None, {"vbd_xvdd_read", "vbd_xvdd_write"}),
        ("Xen_NetworkPort", "nic", None, {"vif_0_rx", "vif_0_tx"}),
        ("Xen_HostNetworkPort", "pif", None, {"pif_eth0_rx", "pif_eth0_tx"}),
    ],
)
def test_a_device_has_the_values_about_itself(
    pool: SmallPool, classname: str, name: str, item: Any, sources: set[str]
) -> None:
    assert sources_of(pool, device(pool, classname, name, item)) == sources


def test_a_vlan_does_not_count_the_traffic_of_the_interface_below_it(pool: SmallPool) -> None:
    shown = pool.renditions("Xen_HostNetworkPort", "vlan")
    assert all(sources_of(pool, Path(one.path.classname, one.path.keys, CIMV2)) == set() for one in shown)
    reply = pool.run("AssociatorNames", ObjectName=value_of(pool, "host-0", "pif_eth0_rx"), Role="Dependent")
    ports = [one for one in elements(reply.values) if path_in(one).classname == "Xen_HostNetworkPort"]
    assert [key_values(one)["DeviceID"] for one in ports] == [pool.uuid("pif")]


def test_a_value_leads_to_its_definition_and_back(pool: SmallPool) -> None:
    path = value_of(pool, "web", "cpu0")
    reply = pool.run("AssociatorNames", ObjectName=path, AssocClass="CIM_MetricInstance")
    (definition,) = elements(reply.values)
    assert key_values(definition)["Id"] == "Xen:Metric/ProcessorUtilization"
    back = pool.run("AssociatorNames", ObjectName=path_in(definition), AssocClass="CIM_MetricInstance")
    assert path in [path_in(one) for one in elements(back.values)]


def test_what_is_defined_for_an_element_is_what_it_can_have(pool: SmallPool) -> None:
    for path in (pool.path("db"), device(pool, "Xen_LogicalDisk", "disk")):
        reply = pool.run("Associators", ObjectName=path, AssocClass="CIM_MetricDefForME", Role="Antecedent")
        names = {instance_values(one)["Name"] for one in elements(reply.values)}
        wanted = {
            metric.name for metric in (*METRICS, *AGGREGATIONS) if path.classname in {view.cim for view in metric.of}
        }
        assert names == wanted
        links = elements(pool.run("References", ObjectName=path, ResultClass="CIM_MetricDefForME").values)
        assert {instance_values(one)["MetricCollectionEnabled"] for one in links} == {"2"}


def test_a_new_round_shows_without_a_change_of_the_pool(pool: SmallPool) -> None:
    before = pool.source.revision
    links = pool.run("EnumerateInstances", ClassName="CIM_MetricForME").values
    measure(pool, MachineUsage((0.75, 0.5), 1 << 30), AT + 5)
    shown = {one["InstanceID"]: one for one in listed(pool, "Xen_MetricValue")}
    assert shown[f"Xen:{pool.uuid('web')}/Metric/cpu0"]["MetricValue"] == "75.0"
    assert {one["TimeStamp"] for one in shown.values()} == {"20270115080005.000000+000"}
    assert f"Xen:{pool.uuid('web')}/Metric/vbd_xvda_read" not in shown
    assert len(elements(pool.run("EnumerateInstances", ClassName="CIM_MetricForME").values)) < len(elements(links))
    assert pool.source.revision == before


def test_one_instance_costs_the_samples_of_one_object_and_a_round_is_made_once(pool: SmallPool) -> None:
    tally = pool.provider.tally
    before = tally.made
    pool.run("GetInstance", InstanceName=value_of(pool, "web", "cpu0"))
    assert tally.made == before + 1
    listed(pool, "Xen_MetricValue")
    before = tally.made
    listed(pool, "Xen_MetricValue")
    assert tally.made == before


def test_links_are_made_once_for_all_rounds(pool: SmallPool) -> None:
    first = pool.run("EnumerateInstances", ClassName="CIM_MetricForME").values
    measure(pool, at=AT + 5)
    listed(pool, "Xen_MetricValue")
    before = pool.provider.tally.made
    assert b"".join(pool.run("EnumerateInstances", ClassName="CIM_MetricForME").values or ()) == b"".join(first or ())
    assert pool.provider.tally.made == before


def test_a_value_of_what_is_gone_is_not_found(pool: SmallPool) -> None:
    gone = value_of(pool, "web", "cpu0")
    pool.delete("web")
    measured = pool.source.round
    assert measured is not None
    pool.source.round = Samples(measured.at + 5, measured.values)
    for path in (gone, value_of(pool, "host-0", "cpu7")):
        with pytest.raises(CimError) as refused:
            pool.run("GetInstance", InstanceName=path)
        assert refused.value.status == NOT_FOUND


def test_the_samples_of_a_minute_are_summed_up_and_stand_for_its_time(pool: SmallPool) -> None:
    summarize(pool, {"web": {"cpu1": Summary(0.5, 0.25, 0.75), "vbd_xvda_read": Summary(1.4, 0.0, 9.6)}})
    shown = {one["InstanceID"].removeprefix(f"Xen:{pool.uuid('web')}/Metric/"): one for one in listed(pool, SUMS)}
    values = {
        name: (one["MetricValue"], one["MetricDefinitionId"], one["BreakdownValue"]) for name, one in shown.items()
    }
    assert values == {
        "cpu1/average": ("50.0", "Xen:Metric/ProcessorUtilizationAverage", "1"),
        "cpu1/minimum": ("25.0", "Xen:Metric/ProcessorUtilizationMinimum", "1"),
        "cpu1/maximum": ("75.0", "Xen:Metric/ProcessorUtilizationMaximum", "1"),
        "vbd_xvda_read/average": ("1", "Xen:Metric/DiskReadRateAverage", "xvda"),
        "vbd_xvda_read/minimum": ("0", "Xen:Metric/DiskReadRateMinimum", "xvda"),
        "vbd_xvda_read/maximum": ("10", "Xen:Metric/DiskReadRateMaximum", "xvda"),
    }
    for one in shown.values():
        assert one["TimeStamp"] == one["AggregationTimeStamp"] == "20270115080000.000000+000"
        assert one["Duration"] == one["AggregationDuration"] == "00000000000100.000000:000"


def test_definitions_of_aggregations_say_which_function_and_that_it_is_of_an_interval(pool: SmallPool) -> None:
    found = {one["Name"]: one for one in listed(pool, "CIM_AggregationMetricDefinition")}
    assert len(found) == 3 * len(METRICS)
    assert {(one["ChangeType"], one["TimeScope"], one["GatheringType"]) for one in found.values()} == {("5", "3", "3")}
    functions = {name: found[f"Memory{name}"]["SimpleFunction"] for name in ("Minimum", "Maximum", "Average")}
    assert functions == {"Minimum": "2", "Maximum": "3", "Average": "4"}
    assert [found[name]["Calculable"] for name in ("MemoryAverage", "MemoryMaximum")] == ["2", "3"]


def test_an_aggregation_leads_to_its_definition_and_to_what_was_measured(pool: SmallPool) -> None:
    summarize(pool, {"web": {"cpu1": Summary(0.5, 0.25, 0.75)}, "host-0": {"pif_eth0_rx": Summary(1.0, 0.0, 2.0)}})
    for owner, source, metric, classes in (
        ("web", "cpu1/maximum", "ProcessorUtilizationMaximum", {"Xen_ComputerSystem", "Xen_Processor"}),
        ("host-0", "pif_eth0_rx/average", "ReceiveRateAverage", {"Xen_HostComputerSystem", "Xen_HostNetworkPort"}),
    ):
        path = Path.of("Xen_AggregationMetricValue", {"InstanceID": f"Xen:{pool.uuid(owner)}/Metric/{source}"}, CIMV2)
        reply = pool.run("AssociatorNames", ObjectName=path, AssocClass="CIM_MetricInstance")
        assert [key_values(one)["Id"] for one in elements(reply.values)] == [f"Xen:Metric/{metric}"]
        measured = elements(pool.run("AssociatorNames", ObjectName=path, AssocClass="CIM_MetricForME").values)
        assert {path_in(one).classname for one in measured} == classes
        back = pool.run("AssociatorNames", ObjectName=path_in(measured[0]), AssocClass="CIM_MetricForME")
        assert path in [path_in(one) for one in elements(back.values)]


def test_aggregations_are_made_once_a_minute_however_many_rounds_there_are(pool: SmallPool) -> None:
    summarize(pool, {"web": {"cpu1": Summary(0.5, 0.25, 0.75)}})
    assert len(listed(pool, SUMS)) == 3
    before, kept = pool.provider.tally.made, pool.source.round
    assert kept is not None
    pool.source.round = Samples(AT + 5, kept.values, kept.window)
    assert len(listed(pool, SUMS)) == 3
    assert pool.provider.tally.made == before
    summarize(pool, {"web": {}})
    assert listed(pool, SUMS) == []


def test_a_pool_nobody_measures_has_no_metrics() -> None:
    pool = SmallPool()
    pool.source.round = None
    for classname in ("CIM_BaseMetricDefinition", "CIM_BaseMetricValue", "CIM_MetricDefForME", "CIM_MetricForME"):
        assert listed(pool, classname) == []
