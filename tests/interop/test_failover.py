"""High availability as the PyPI XenAPI client drives it: on, a host dies, the VM runs elsewhere, off."""

from __future__ import annotations

import time
from typing import Any

import pytest
import XenAPI
from clients import vm_named, wait_until

PATIENCE = 60.0  # seconds of real time; the server's run twenty times as fast


@pytest.fixture
def pool(serve, login) -> Any:
    return login(serve("--speed", "20"))


def events_until(xenapi: Any, vm: str, token: str, wanted: dict[str, str]) -> list[dict[str, Any]]:
    """Records of the VM as event.from tells them, until one shows `wanted`."""
    seen: list[dict[str, Any]] = []
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        batch = xenapi.event_from([f"VM/{vm}"], token, 10.0)
        token = batch["token"]
        seen += [event["snapshot"] for event in batch["events"] if "snapshot" in event]
        if seen and all(seen[-1][field] == value for field, value in wanted.items()):
            return seen
    raise AssertionError(f"not within {PATIENCE} s: {[(r['power_state'], r['resident_on']) for r in seen]}")


def test_vm_of_a_host_that_dies_is_started_elsewhere_and_the_client_is_told(pool):
    (ref,) = pool.pool.get_all()
    shared = [sr for sr, record in pool.SR.get_all_records().items() if record["shared"] and record["type"] == "nfs"]
    vm = vm_named(pool, "web-0")
    for other in pool.VM.get_all():
        assert pool.VM.get_ha_restart_priority(other) == ""
    pool.pool.enable_ha(shared[:1], {"timeout": "20"})
    pool.VM.set_ha_restart_priority(vm, "restart")
    pool.pool.set_ha_host_failures_to_tolerate(ref, "1")
    assert pool.pool.get_ha_plan_exists_for(ref) == "1"
    (statefile,) = pool.pool.get_ha_statefiles(ref)
    assert (pool.VDI.get_type(statefile), pool.VDI.get_SR(statefile)) == ("ha_statefile", shared[0])

    host, master = pool.VM.get_resident_on(vm), pool.pool.get_master(ref)
    others = [each for each in pool.host.get_all() if each != host]
    plan = pool.pool.ha_compute_vm_failover_plan([host], [vm])
    assert plan[vm]["host"] in others
    token = pool.event_from([f"VM/{vm}"], "", 5.0)["token"]
    pool.host.send_debug_keys(host, "C")
    seen = events_until(pool, vm, token, {"power_state": "Running", "resident_on": plan[vm]["host"]})
    assert seen[-1]["ha_always_run"]
    names = [message["name"] for message in pool.message.get_all_records().values()]
    assert "HA_HOST_FAILED" in names
    assert (pool.pool.get_master(ref) == master) == (host != master)

    metrics = pool.host.get_metrics(host)
    wait_until(lambda: pool.host_metrics.get_live(metrics), PATIENCE)
    pool.pool.disable_ha()
    assert not pool.pool.get_ha_enabled(ref)
    assert pool.pool.get_ha_statefiles(ref) == []
    with pytest.raises(XenAPI.Failure) as failure:
        pool.pool.disable_ha()
    assert failure.value.details == ["HA_NOT_ENABLED"]
