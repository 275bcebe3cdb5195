"""xs-cim's GetPerformanceMetricsForSystem: what was measured of machines and hosts, as its clients ask for it."""

from __future__ import annotations

import math
from typing import Any

import pytest
from cim_services import Site
from compat_pool import CIMV2, CimError, ModePool, Path, mode_site, path_of
from lxml import etree

from cim_provider.mapping.rule import timestamp
from xenapi_core.server.actions.measurements import sample
from xenapi_core.server.actions.recorder import STEP

SERVICE, METHOD = "Xen_MetricService", "GetPerformanceMetricsForSystem"


async def measured(at: Site, rounds: int) -> None:
    for _ in range(rounds):
        await sample(at.pool.recorder, at.sim.engine)
        await at.sim.pass_time(STEP)


async def asked(at: Site, **params: Any) -> etree._Element:
    value, out = await at.ask(SERVICE, METHOD, **params)
    assert value == 0
    return etree.fromstring(out["Metrics"].findtext("VALUE"))


def instants(xport: etree._Element) -> list[int]:
    return [int(one.text or "") for one in xport.iterfind("data/row/t")]


def legend(xport: etree._Element) -> list[str]:
    return [str(one.text) for one in xport.iterfind("meta/legend/entry")]


async def test_the_rows_of_a_time_are_those_that_were_recorded() -> None:
    async with mode_site("xs-cim") as at:
        vm = await at.sim.running("web")
        await measured(at, 12)
        recorder, last = at.pool.recorder, at.pool.recorder.last
        begin, end = last - 6 * STEP, last - 2 * STEP
        found = await asked(
            at, System=at.system(vm), StartTime=timestamp(begin), EndTime=timestamp(end), ResolutionInterval=5
        )
        assert instants(found) == [end, end - STEP, end - 2 * STEP, end - 3 * STEP]
        series = recorder.series("vm", at.uuid(vm))
        kinds = [f"{function}:vm:{at.uuid(vm)}:{one.name}" for function in ("AVERAGE", "MIN", "MAX") for one in series]
        assert legend(found) == kinds
        assert found.findtext("meta/columns") == str(len(kinds))
        assert found.findtext("meta/step") == str(STEP)
        told = dict(recorder.rows(0, series, begin, "AVERAGE"))
        for row in found.iterfind("data/row"):
            values = [float(v.text or "") for v in row.iterfind("v")]
            wanted = told[int(row.findtext("t") or "")]
            assert [str(v) for v in values[: len(wanted)]] == [str(v) for v in wanted]


async def test_a_duration_ends_now_and_without_a_time_the_newest_row_is_told() -> None:
    async with mode_site("xs-cim") as at:
        vm = await at.sim.running("web")
        await measured(at, 30)
        last, now = at.pool.recorder.last, at.pool.source.now()
        found = instants(await asked(at, System=at.system(vm), TimeDuration=1))
        assert (found[0], min(found) > now - 60) == (last, True)
        assert len(found) > 5
        assert instants(await asked(at, System=at.system(vm))) == [last]
        coarse = await asked(at, System=at.system(vm), TimeDuration=2, ResolutionInterval=60)
        assert coarse.findtext("meta/step") == "60"
        assert all(one % 60 == 0 for one in instants(coarse))


async def test_a_host_is_told_of_and_a_machine_that_never_ran_has_no_columns() -> None:
    async with mode_site("xs-cim") as at:
        vm, (host,) = at.sim.add_vm("web"), at.sim.hosts
        await measured(at, 3)
        found = await asked(at, System=at.host(host), TimeDuration=1)
        assert legend(found)
        assert all(one.split(":")[1:3] == ["host", at.uuid(host)] for one in legend(found))
        values = [float(one.text or "") for one in found.iterfind("data/row/v")]
        assert any(math.isfinite(one) for one in values)
        assert legend(await asked(at, System=at.system(vm), TimeDuration=1)) == []


@pytest.mark.parametrize(("minutes_recorded", "step"), [(1, 5), (30, 60), (180, 3600)])
async def test_a_time_too_long_for_the_rows_there_are_gets_the_finest_that_hold_all(
    minutes_recorded: int, step: int
) -> None:
    async with mode_site("xs-cim") as at:
        vm = await at.sim.running("web")
        await sample(at.pool.recorder, at.sim.engine)
        values, begin = dict(at.pool.recorder.values), at.pool.recorder.last
        await at.pool.clock.advance(minutes_recorded * 60)
        for instant in range(begin, at.pool.source.now(), STEP):
            at.pool.recorder.record(instant, values)
        found = await asked(at, System=at.system(vm), TimeDuration=2 * 366 * 24 * 60)
        assert found.findtext("meta/step") == str(step)
        assert begin <= min(instants(found)) <= begin + step
        day = await asked(at, System=at.system(vm), TimeDuration=2 * 366 * 24 * 60, ResolutionInterval=86400)
        assert instants(day) == []


NOW = "20260101000000.000000+000"
REFUSED: dict[str, dict[str, Any]] = {
    "an interval as a time": {"StartTime": "00000001000000.000000:000"},
    "a time that is not certain": {"StartTime": "202601010000**.******+000"},
    "no time at all": {"EndTime": "yesterday"},
    "an end before the beginning": {"StartTime": NOW, "EndTime": "20250101000000.000000+000"},
    "a duration and a beginning": {"StartTime": NOW, "TimeDuration": 5},
}


@pytest.mark.parametrize("what", REFUSED)
async def test_times_that_cannot_be_are_invalid_parameters(what: str) -> None:
    async with mode_site("xs-cim") as at:
        vm = at.sim.add_vm("web")
        assert await at.ask(SERVICE, METHOD, System=at.system(vm), **REFUSED[what]) == (4, {})


async def test_only_machines_and_hosts_are_measured_as_systems() -> None:
    async with mode_site("xs-cim") as at:
        switch = path_of(at, at.sim.network, "Xen_VirtualSwitch")
        assert (await at.ask(SERVICE, METHOD, System=switch))[0] == 4
        assert (await at.ask(SERVICE, METHOD))[0] == 4
        nobody = Path.of("Xen_ComputerSystem", {"CreationClassName": "Xen_ComputerSystem", "Name": "x"}, CIMV2)
        with pytest.raises(CimError) as caught:
            await at.ask(SERVICE, METHOD, System=nobody)
        assert caught.value.status == 6


def test_the_method_exists_in_the_mode_alone() -> None:
    assert METHOD.lower() not in ModePool("").provider.class_of(CIMV2, SERVICE).methods
    assert METHOD.lower() in ModePool("xs-cim").provider.class_of(CIMV2, SERVICE).methods
