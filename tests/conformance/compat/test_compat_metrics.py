"""The metric service in each mode: its answers name elements as the mode shows them, and it takes these names back."""

from __future__ import annotations

import asyncio

import pytest
from cim_pool import call, path_in
from compat_pool import ModePool

from cim_provider.compat.modes import MODES
from cim_provider.schema.objects import CIMV2, Path
from xenapi_core.bridge.source import Samples


@pytest.mark.parametrize("mode", MODES)
def test_elements_of_a_metric_are_named_and_understood_in_the_words_of_the_mode(mode: str) -> None:
    pool = ModePool(mode)
    service, shown = pool.one("Xen_MetricService", "host-0"), pool.one("Xen_ComputerSystem", "web")
    definition = Path.of("Xen_MetricDefinition", {"Id": "Xen:Metric/Memory"}, CIMV2)
    _, out = asyncio.run(call(pool.provider, service.path, "ShowMetrics", Definition=definition))
    named = [path_in(one) for one in out["ManagedElements"].find("VALUE.REFARRAY")]
    for subject in (shown.path, pool.one("Xen_Memory", "web").path):
        assert (subject.classname, subject.keys) in [(one.classname, one.keys) for one in named]
        value, told = asyncio.run(call(pool.provider, service.path, "ShowMetrics", Subject=subject))
        assert value == 0
        assert "Memory" in [name.text for name in told["MetricNames"].iter("VALUE")]


def test_values_are_of_the_classes_that_xs_cim_had() -> None:
    pool = ModePool("xs-cim")
    sources = {
        "web": ("cpu0", "memory", "vbd_xvda_read", "vbd_xvda_write_latency", "vif_0_tx"),
        "host-0": ("cpu0", "cpu_avg", "pif_eth0_rx"),
    }
    values = {pool.uuid(record): dict.fromkeys(names, 0.5) for record, names in sources.items()}
    for at in (100, 105):  # the second round takes paths over from the first
        pool.source.round = Samples(at, values)
        found = {one.item.source: one for one in pool.shown("Xen_MetricValue") if one.item.record.cls == "VM"}
        assert {name: one.path.classname for name, one in found.items()} == {
            "cpu0": "Xen_ProcessorUtilization",
            "memory": "Xen_MetricValue",
            "vbd_xvda_read": "Xen_DiskReadThroughput",
            "vbd_xvda_write_latency": "Xen_DiskWriteLatency",
            "vif_0_tx": "Xen_NetworkPortTransmitThroughput",
        }
        assert [one.item.source for one in pool.shown_in("Xen_HostProcessorUtilization")] == ["cpu0"]
        assert [one.item.source for one in pool.shown_in("Xen_HostNetworkPortReceiveThroughput")] == ["pif_eth0_rx"]
        path = found["cpu0"].path
        assert pool.provider.find(path, CIMV2) is found["cpu0"]
        assert pool.provider.find(Path("Xen_MetricValue", path.keys, CIMV2), CIMV2) is None


@pytest.mark.parametrize("mode", MODES)
def test_a_class_is_a_subject_in_every_mode(mode: str) -> None:
    pool = ModePool(mode)
    service = pool.one("Xen_MetricService", "host-0")
    subject = Path(pool.one("Xen_Memory", "web").path.classname, None, CIMV2)
    value, out = asyncio.run(call(pool.provider, service.path, "ShowMetricsByClass", Subject=subject))
    assert (value, next(name.text for name in out["MetricNames"].iter("VALUE"))) == (0, "Memory")
