"""RequestStateChange of what no client can switch: always 1 (Not Supported), and nothing is asked of the pool."""

from __future__ import annotations

import asyncio

import pytest
from cim_pool import SmallPool, call
from cim_services import MANAGEMENT, MIGRATION, POOLS, POWER, SNAPSHOTS

from cim_provider.mapping.view import VIEWS
from cim_provider.methods.fixed_state import UNCHANGEABLE
from cim_provider.schema.objects import CIMV2, Path


@pytest.fixture(scope="module")
def pool() -> SmallPool:
    pool = SmallPool()
    pool.vm("web", power_state="Running", resident_on=pool.refs["host-0"])
    pool.equip("web")
    for protocol in ("rfb", "vt100"):
        pool.add("console", protocol, VM=pool.refs["web"], protocol=protocol, location="https://192.0.2.1/console")
    return pool


ALWAYS_ON = (MANAGEMENT, MIGRATION, POOLS, POWER, SNAPSHOTS, "Xen_MetricService", "Xen_RedirectionService")
CONSOLES = ("Xen_KVMRedirectionSAP", "Xen_TextRedirectionSAP")


@pytest.mark.parametrize("classname", ["Xen_HostProcessor", "Xen_HostPool", *ALWAYS_ON, *CONSOLES])
@pytest.mark.parametrize("requested", [2, 3, 11, 12345, None])
def test_a_state_that_nobody_can_request_is_not_supported(
    pool: SmallPool, classname: str, requested: int | None
) -> None:
    shown = next(iter(pool.provider.extent(VIEWS[classname])))
    path = Path(shown.path.classname, shown.path.keys, CIMV2)
    before = pool.source.revision
    assert asyncio.run(call(pool.provider, path, "RequestStateChange", RequestedState=requested)) == (1, {})
    assert (shown.values["RequestedState"], pool.source.revision) == (12, before)


def test_what_refuses_every_state_says_that_none_can_be_requested() -> None:
    views = [view for view in VIEWS.values() if view.methods.get("RequestStateChange") is UNCHANGEABLE]
    assert len(views) > len(ALWAYS_ON)
    assert {view.rules["RequestedState"].source for view in views} == {"12"}


def test_capabilities_of_what_refuses_every_state_name_none(pool: SmallPool) -> None:
    for classname in ("Xen_HostProcessorCapabilities", "Xen_RedirectionServiceCapabilities"):
        for one in pool.provider.extent(VIEWS[classname]):
            assert one.values["RequestedStatesSupported"] == ()
