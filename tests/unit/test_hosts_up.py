"""Whether a host is up means the same to everybody, also of one that has no metrics."""

from __future__ import annotations

from typing import Any

import pytest
from sim_api import ask, refused

from xenapi_core.errors import ApiError
from xenapi_core.ids import NULL_REF
from xenapi_core.model import hosts
from xenapi_core.testing.pool import SimPool, sim_pool
from xenapi_core.testing.records import Records


@pytest.mark.parametrize(("metrics", "up"), [({"live": True}, True), ({"live": False}, False), (None, False)])
def test_host_is_up_while_its_metrics_say_so(metrics: dict[str, Any] | None, up: bool) -> None:
    records = Records("hosts")
    host = records.add("host", metrics=NULL_REF if metrics is None else records.add("host_metrics", **metrics))
    assert hosts.is_live(records.store, records.store.get(host)) is up
    if up:
        assert hosts.check_live(records.store, host).ref == host
    else:
        with pytest.raises(ApiError) as failure:
            hosts.check_live(records.store, host)
        assert failure.value.description == ["HOST_OFFLINE", host]


def test_reference_of_no_host_is_an_invalid_handle() -> None:
    records = Records("hosts")
    with pytest.raises(ApiError) as failure:
        hosts.check_live(records.store, vm := records.add("VM"))
    assert failure.value.description == ["HANDLE_INVALID", "host", vm]


async def test_host_without_metrics_is_down_to_rules_plans_and_messages_alike() -> None:
    async with sim_pool(hosts=2) as pool:
        host = pool.hosts[1]
        vm, pif = pool.add_vm(), pool.store.related(host, "PIFs")[0]
        pool.change(host, metrics=NULL_REF)
        assert "evacuate" not in allowed(pool, host)
        offline = ["HOST_OFFLINE", host]
        assert await refused(pool, "host.enable", host) == offline
        assert await refused(pool, "host.disable", host, True) == offline
        assert await refused(pool, "host.restart_agent", host) == offline
        assert await refused(pool, "pool.designate_new_master", host) == offline
        assert await refused(pool, "PIF.scan", host) == offline
        assert await refused(pool, "PIF.unplug", pif) == offline
        assert await refused(pool, "VM.start_on", vm, host, False, False) == ["HOST_NOT_LIVE"]
        await ask(pool, "host.declare_dead", host)
        await ask(pool, "host.destroy", host)


def allowed(pool: SimPool, host: str) -> tuple[str, ...]:
    record = pool.store.get(host)
    found: tuple[str, ...] = pool.store.schema["host"]["allowed_operations"].computed(pool.store, record)  # type: ignore[misc]
    return found
