"""The metric service in each mode: its answers name elements as the mode shows them, and it takes these names back."""

from __future__ import annotations

import asyncio

import pytest
from cim_pool import call, path_in
from compat_pool import ModePool

from cim_provider.compat.modes import MODES
from cim_provider.schema.objects import CIMV2, Path


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


@pytest.mark.parametrize("mode", MODES)
def test_a_class_is_a_subject_in_every_mode(mode: str) -> None:
    pool = ModePool(mode)
    service = pool.one("Xen_MetricService", "host-0")
    subject = Path(pool.one("Xen_Memory", "web").path.classname, None, CIMV2)
    value, out = asyncio.run(call(pool.provider, service.path, "ShowMetricsByClass", Subject=subject))
    assert (value, next(name.text for name in out["MetricNames"].iter("VALUE"))) == (0, "Memory")
