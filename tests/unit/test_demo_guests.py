"""The demo's guests that run from the beginning say of themselves what guests say that are started here."""

from __future__ import annotations

from typing import Any

from xenapi_core.clock import VirtualClock
from xenapi_core.config import Inventory
from xenapi_core.drivers.sim.world import SimWorld
from xenapi_core.engine.engine import Engine
from xenapi_core.ids import NULL_REF, Ids
from xenapi_core.model.catalog import SCHEMA
from xenapi_core.server.adopt import adopt_pool
from xenapi_core.server.demo import populate
from xenapi_core.store.memory import MemoryStore
from xenapi_core.testing.pool import TEST_CALLER, render_plain
from xenapi_core.testing.virtual_time import drive


def named(store: Any, name: str) -> Any:
    (vm,) = (vm for vm in store.all("VM").values() if vm["name_label"] == name)
    return vm


def reported(store: Any, name: str) -> dict[str, Any]:
    """What the tools of a guest have reported, but for when."""
    report = store.get(named(store, name)["guest_metrics"]).values
    return {key: value for key, value in report.items() if key not in ("uuid", "last_updated")}


def demo(clock: Any, **inventory: Any) -> tuple[Any, Any, Any]:
    """Store, engine and simulator of a small demo pool."""
    store, ids = MemoryStore(SCHEMA), Ids("demo guests")
    populate(store, Inventory(**inventory), ids, clock)
    engine, world = Engine(store, SCHEMA, clock, ids, render_plain), SimWorld(clock, seed=1)
    adopt_pool(store, engine, world)
    return store, engine, world


async def test_a_demo_guest_reports_the_same_before_and_after_it_was_halted():
    clock = VirtualClock()
    store, engine, world = demo(clock, hosts=1, vms=2)
    vm = named(store, "web-0").ref
    before = reported(store, "web-0")
    assert before["networks"].keys() == {"0/ip", "0/ipv4/0"}
    assert before["other"]["feature-static-ip-setting"] == "1"

    await drive(clock, engine.perform("VM.hard_shutdown", (vm,), TEST_CALLER))
    txn = store.begin()
    txn.update(vm, guest_metrics=NULL_REF)
    store.commit(txn)
    await drive(clock, engine.perform("VM.start", (vm, False, False), TEST_CALLER))
    await clock.advance(20)
    assert reported(store, "web-0") == before
    await drive(clock, engine.close())
    await world.close()


async def test_a_demo_guest_without_a_nic_reports_no_address():
    store, engine, world = demo(VirtualClock(), hosts=1, vms=2, networks=0)
    assert not reported(store, "web-0")["networks"]
    await engine.close()
    await world.close()
