"""Snapshot schedules: their rules, and what they do when their time comes."""

from __future__ import annotations

import asyncio
import calendar
import contextlib
import inspect
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sim_api import ask, dispatcher, refused

from xenapi_core.api.auth import Identity
from xenapi_core.engine.snapshot_schedules import QUARTER, complete, due, follow
from xenapi_core.errors import ApiError
from xenapi_core.ids import NULL_REF
from xenapi_core.server.routes import Peer
from xenapi_core.store.api import Version
from xenapi_core.testing.pool import SimPool, sim_pool
from xenapi_core.wire.api import Call
from xenapi_core.wire.xmlrpc import XmlRpc

NEW_YEAR = calendar.timegm((2026, 1, 1, 0, 0, 0))  # a Thursday, and the time at which a virtual clock begins
HOUR, DAY = 3600, 86_400


def record(**values: Any) -> dict[str, Any]:
    """A schedule as a client gives it to VMSS.create."""
    return {"name_label": "nightly", "type": "snapshot", "frequency": "hourly", **values}


@contextlib.asynccontextmanager
async def scheduled_pool() -> AsyncIterator[SimPool]:
    """A pool whose schedules are followed."""
    async with sim_pool() as pool:
        following = asyncio.ensure_future(follow(pool.engine))
        yield pool
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following


def snapshots(pool: SimPool, vm: str) -> list[Version]:
    return [pool.store.get(ref) for ref in pool.store.related(vm, "snapshots")]


def due_instants(frequency: str, within: int, **schedule: str) -> list[int]:
    """Seconds after the new year at which a schedule is due, in `within` days."""
    values = {"frequency": frequency, "schedule": complete(frequency, schedule)}
    version = Version("VMSS", "OpaqueRef:x", values, 1, 1)
    return [n for n in range(0, within * DAY, QUARTER) if due(version, NEW_YEAR + n)]


def test_each_frequency_is_due_at_its_times() -> None:
    assert due_instants("hourly", 1, min="15")[:3] == [QUARTER, HOUR + QUARTER, 2 * HOUR + QUARTER]
    assert due_instants("daily", 2, hour="3", min="30") == [3 * HOUR + 1800, DAY + 3 * HOUR + 1800]
    assert due_instants("weekly", 8, days="Thursday, friday", hour="1") == [HOUR, DAY + HOUR, 7 * DAY + HOUR]
    assert due_instants("daily", 1) == [0]


@pytest.mark.parametrize(
    ("key", "value"),
    [("min", "20"), ("hour", "24"), ("hour", "-1"), ("days", "monday,noday"), ("days", ""), ("second", "1")],
)
def test_a_time_that_is_none_is_refused(key: str, value: str) -> None:
    with pytest.raises(ApiError) as failure:
        complete("weekly", {key: value})
    assert failure.value.description == ["INVALID_VALUE", key, value]


async def test_snapshots_are_taken_when_due_and_the_oldest_go_with_their_disks() -> None:
    async with scheduled_pool() as pool:
        vm, other = await pool.running(), pool.add_vm("other")
        by_hand = await pool.call("VM.snapshot", vm, "by hand", ())
        ref = await ask(pool, "VMSS.create", record(retained_snapshots="2", schedule={"min": "30"}))
        await ask(pool, "VM.set_snapshot_schedule", vm, ref)
        volumes = len(pool.picture()["volumes"])
        await pool.pass_time(1800)
        (first,) = [s for s in snapshots(pool, vm) if s.ref != by_hand]
        assert first["is_vmss_snapshot"]
        assert first["name_label"] == "vm nightly 2026-01-01 00:30"
        assert pool.store.get(ref)["last_run_time"] - NEW_YEAR in range(1800, 1800 + QUARTER)
        await pool.pass_time(HOUR)
        assert len(snapshots(pool, vm)) == 3
        await pool.pass_time(HOUR)
        kept = [s.ref for s in snapshots(pool, vm)]
        assert len(kept) == 3
        assert by_hand in kept
        assert first.ref not in kept
        assert snapshots(pool, other) == []
        assert len(pool.picture()["volumes"]) == volumes + 2
        await ask(pool, "VMSS.set_enabled", ref, False)
        await pool.pass_time(DAY)
        assert [s.ref for s in snapshots(pool, vm)] == kept


async def test_a_schedule_run_by_a_client_that_leaves_goes_on_to_the_last_vm() -> None:
    async with sim_pool() as pool:
        vms = [await pool.running(f"vm-{number}") for number in range(3)]
        ref = await ask(pool, "VMSS.create", record(type="checkpoint"))
        for vm in vms:
            await ask(pool, "VM.set_snapshot_schedule", vm, ref)
        server = dispatcher(pool)
        session = server.sessions.open(Identity("root", frozenset({"pool-admin"})))
        reply = server.handle(Call("VMSS.snapshot_now", [session, ref]), XmlRpc(), Peer("tcp", "192.0.2.1"))
        assert inspect.isawaitable(reply)
        connection = asyncio.ensure_future(reply)
        await pool.pass_time(0.5)
        connection.cancel()
        await pool.pass_time(120)
        assert [len(snapshots(pool, vm)) for vm in vms] == [1, 1, 1]


async def test_a_checkpoint_schedule_keeps_the_memory_and_lets_it_go_again() -> None:
    async with sim_pool() as pool:
        vm = await pool.running()
        ref = await ask(pool, "VMSS.create", record(type="checkpoint", retained_snapshots="1"))
        await ask(pool, "VM.set_snapshot_schedule", vm, ref)
        await ask(pool, "VMSS.snapshot_now", ref)
        (first,) = snapshots(pool, vm)
        assert pool.store.find(first["suspend_VDI"]) is not None
        volumes = len(pool.picture()["volumes"])
        assert pool.vm(vm)["power_state"] == "Running"
        await ask(pool, "VMSS.snapshot_now", ref)
        (second,) = snapshots(pool, vm)
        assert second.ref != first.ref
        assert pool.store.find(first["suspend_VDI"]) is None
        assert len(pool.picture()["volumes"]) == volumes


async def test_a_vm_that_fails_does_not_keep_the_others_from_their_snapshot() -> None:
    async with sim_pool() as pool:
        blocked = pool.add_vm("blocked", blocked_operations={"snapshot": "no"})
        good = pool.add_vm("good")
        ref = await ask(pool, "VMSS.create", record())
        for vm in (blocked, good):
            await ask(pool, "VM.set_snapshot_schedule", vm, ref)
        report = await ask(pool, "VMSS.snapshot_now", ref)
        (taken,) = snapshots(pool, good)
        assert report.splitlines() == [
            f"blocked: OPERATION_BLOCKED {blocked} no",
            f"good: {taken['uuid']}",
        ]
        (message,) = [m for m in pool.store.all("message").values() if m["cls"] == "VMSS"]
        assert message["name"] == "VMSS_SNAPSHOT_FAILED"
        assert message["obj_uuid"] == pool.store.get(ref)["uuid"]
        assert "blocked" in message["body"]


async def test_a_schedule_is_changed_and_removed_by_its_rules() -> None:
    async with sim_pool() as pool:
        vm = pool.add_vm()
        ref = await ask(pool, "VMSS.create", record())
        assert pool.store.get(ref)["schedule"] == {"min": "0"}
        await ask(pool, "VMSS.set_frequency", ref, "weekly")
        await ask(pool, "VMSS.add_to_schedule", ref, "hour", "23")
        assert pool.store.get(ref)["schedule"] == {"days": "monday", "hour": "23", "min": "0"}
        await ask(pool, "VMSS.remove_from_schedule", ref, "hour")
        assert pool.store.get(ref)["schedule"]["hour"] == "0"
        await ask(pool, "VMSS.set_schedule", ref, {"days": "sunday"})
        assert pool.store.get(ref)["schedule"] == {"days": "sunday", "hour": "0", "min": "0"}
        assert await refused(pool, "VMSS.set_schedule", ref, {"min": "5"}) == ["INVALID_VALUE", "min", "5"]
        for number in ("0", "11"):
            wanted = ["INVALID_VALUE", "retained_snapshots", number]
            assert await refused(pool, "VMSS.set_retained_snapshots", ref, number) == wanted
            assert await refused(pool, "VMSS.create", record(retained_snapshots=number)) == wanted
        quiesced = "snapshot_with_quiesce"
        assert await refused(pool, "VMSS.create", record(type=quiesced)) == ["NOT_IMPLEMENTED", "VMSS.create"]
        assert await refused(pool, "VMSS.set_type", ref, quiesced) == ["NOT_IMPLEMENTED", "VMSS.set_type"]
        await ask(pool, "VMSS.set_type", ref, "checkpoint")
        await ask(pool, "VM.set_snapshot_schedule", vm, ref)
        assert await refused(pool, "VMSS.destroy", ref) == ["VMSS_HAS_VM"]
        assert await refused(pool, "VM.set_is_a_template", vm, True) == [
            "VM_ASSIGNED_TO_SNAPSHOT_SCHEDULE", vm, ref,
        ]  # fmt: skip
        await ask(pool, "VM.set_snapshot_schedule", vm, NULL_REF)
        await ask(pool, "VMSS.destroy", ref)
        assert pool.store.find(ref) is None


async def test_only_guests_are_given_a_schedule() -> None:
    async with sim_pool() as pool:
        ref = await ask(pool, "VMSS.create", record())
        for code, values in (
            ("OPERATION_NOT_ALLOWED", {"is_control_domain": True}),
            ("VM_IS_SNAPSHOT", {"is_a_snapshot": True, "is_a_template": True}),
            ("VM_IS_TEMPLATE", {"is_a_template": True}),
        ):
            vm = pool.add_vm(**values)
            assert (await refused(pool, "VM.set_snapshot_schedule", vm, ref))[0] == code
            assert pool.vm(vm)["snapshot_schedule"] == NULL_REF
