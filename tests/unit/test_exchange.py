"""VM.migrate_send to another pool: a VM arrives whole and leaves whole, or stays as it was."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from action_server import Site, action_server
from sim_api import ask, refused

from xenapi_core.testing.faults import FaultRule, Faulty
from xenapi_core.testing.pool import TEST_CALLER

MIB = 1 << 20
DATA = random.Random(5).randbytes(2 * MIB + 77)


@asynccontextmanager
async def two_sites() -> AsyncIterator[tuple[Site, Site]]:
    """Servers of two pools; the second has a management interface."""
    async with action_server() as here, action_server(seed="another pool") as there:
        (pif,) = there.pool.store.related(there.pool.hosts[0], "PIFs")
        there.pool.change(pif, management=True)
        yield here, there


async def machine(site: Site, running: bool = True) -> str:
    """A VM with a disk that has something on it."""
    pool = site.pool
    vm = pool.add_vm("traveller", memory=64 * MIB, disks=0, other_config={"mac_seed": "m"})
    disk = pool.add_vdi(8 * MIB, name_label="data")
    pool.add("VBD", **pool.vbd_values(vm, disk, "0"))
    assert (await site.root("PUT", f"/import_raw_vdi?vdi={disk}", DATA)).status == 200
    if running:
        await site.call("VM.start", vm, False, False)
    return vm


def disks(site: Site, vm: str) -> list[str]:
    store = site.pool.store
    return [store.get(vbd)["VDI"] for vbd in store.related(vm, "VBDs") if store.get(vbd)["type"] == "Disk"]


async def arguments(here: Site, there: Site, vm: str, **options: str) -> tuple[Any, ...]:
    """What migrate_send gets: everything goes to the first SR and network of the other pool."""
    dest = await there.call("host.migrate_receive", there.pool.hosts[0], there.pool.network, {})
    session = await there.login("vm-power-admin")
    dest = {name: text.replace(dest["session_id"], session) for name, text in dest.items()}
    vifs = here.pool.store.related(vm, "VIFs")
    vdi_map = dict.fromkeys(disks(here, vm), there.pool.sr)
    return vm, dest, True, vdi_map, dict.fromkeys(vifs, there.pool.network), options


def picture(site: Site) -> Any:
    return site.pool.picture(without=frozenset({"task", "message", "session"}))


def volumes(site: Site) -> set[str]:
    return {uuid for repository in site.pool.sim.repositories.values() for uuid in repository.contents}


@pytest.mark.parametrize("state", ["Running", "Suspended", "Halted"])
async def test_a_vm_moves_with_identity_disks_snapshots_and_memory(state: str) -> None:
    async with two_sites() as (here, there):
        vm = await machine(here, running=state != "Halted")
        await here.call("VM.snapshot", vm, "before")
        if state == "Suspended":
            await here.call("VM.suspend", vm)
        was, left = here.pool.vm(vm), set(here.pool.store.all("VDI"))
        (vif,) = (here.pool.store.get(ref) for ref in here.pool.store.related(vm, "VIFs"))
        while state == "Running" and here.pool.sim.machines[was["uuid"]].guest is None:
            await here.pool.clock.sleep(1)
        guest = here.pool.sim.machines[was["uuid"]].guest if state == "Running" else None
        args = await arguments(here, there, vm)
        await here.call("VM.assert_can_migrate", *args)
        moved = await here.call("VM.migrate_send", *args)
        now = there.pool.vm(moved)
        assert (now["uuid"], now["power_state"], now["name_label"]) == (was["uuid"], state, "traveller")
        (nic,) = (there.pool.store.get(ref) for ref in there.pool.store.related(moved, "VIFs"))
        assert (nic["MAC"], nic["network"]) == (vif["MAC"], there.pool.network)
        (disk,) = disks(there, moved)
        assert there.pool.store.get(disk)["SR"] == there.pool.sr
        assert (
            await there.pool.engine.storages[there.pool.sr].read(there.pool.store.get(disk)["uuid"], 0, len(DATA))
            == DATA
        )
        (snapshot,) = there.pool.store.related(moved, "snapshots")
        assert there.pool.vm(snapshot)["name_label"] == "before"
        (saved,) = disks(there, snapshot)
        assert there.pool.store.get(saved)["snapshot_of"] == disk
        if state == "Running":
            machine_there = there.pool.sim.machines[was["uuid"]]
            assert (now["resident_on"], machine_there.guest) == (there.pool.hosts[0], guest)
        if state == "Suspended":
            await there.call("VM.resume", moved, False, False)
            assert there.pool.vm(moved)["power_state"] == "Running"
        assert here.pool.store.find(vm) is None
        assert was["uuid"] not in here.pool.sim.machines
        assert here.pool.store.by_name("VM", "before") == ()
        assert volumes(here) == {record["uuid"] for record in here.pool.store.all("VDI").values()}
        assert len(left) > len(here.pool.store.all("VDI"))


async def test_a_copy_leaves_the_vm_where_it_is_and_has_an_identity_of_its_own() -> None:
    async with two_sites() as (here, there):
        vm = await machine(here, running=False)
        before = picture(here)
        moved = await here.call("VM.migrate_send", *await arguments(here, there, vm, copy="true"))
        assert picture(here) == before
        assert there.pool.vm(moved)["uuid"] != here.pool.vm(vm)["uuid"]
        await there.call("VM.start", moved, False, False)
        await here.call("VM.start", vm, False, False)
        args = await arguments(here, there, vm, copy="true")
        assert await refused(here.pool, "VM.migrate_send", *args) == ["VM_BAD_POWER_STATE", vm, "halted", "running"]


@pytest.mark.parametrize("what", ["there: create", "there: write", "there: resume", "here: suspend", "here: read"])
async def test_whatever_fails_leaves_the_vm_running_and_nothing_there(what: str) -> None:
    async with two_sites() as (here, there):
        vm = await machine(here)
        site, method = (there if what.startswith("there") else here), what.partition(": ")[2]
        engine = site.pool.engine
        rule = FaultRule(method)
        host = site.pool.hosts[0]
        if method in ("resume", "suspend"):
            engine.hypervisors[host] = Faulty(engine.hypervisors[host], [rule], site.pool.clock)
        else:
            engine.storages[site.pool.sr] = Faulty(engine.storages[site.pool.sr], [rule], site.pool.clock)
        args = await arguments(here, there, vm)
        before, started = (picture(here), picture(there)), there.pool.sim.machines.copy()
        kept = volumes(here), volumes(there)
        assert (await refused(here.pool, "VM.migrate_send", *args))[0] != "INTERNAL_ERROR"
        assert picture(there) == before[1]
        assert (volumes(here), volumes(there), there.pool.sim.machines) == (*kept, started)
        record = here.pool.vm(vm)
        assert (record["power_state"], record["current_operations"]) == ("Running", {})
        assert record["uuid"] in here.pool.sim.machines


async def test_a_migration_that_is_cancelled_while_it_sends_goes_on_here() -> None:
    async with two_sites() as (here, there):
        vm = await machine(here)
        args, pool = await arguments(here, there, vm), here.pool
        task = pool.engine.launch("VM.migrate_send", (*args, {}, {}), TEST_CALLER)
        while not there.pool.store.all("task"):
            await pool.clock.sleep(1)
        pool.engine.cancel(task)
        while pool.store.get(task)["status"] == "pending":
            await pool.clock.sleep(1)
        assert pool.store.get(task)["status"] == "cancelled"
        assert pool.vm(vm)["power_state"] == "Running"
        assert not [one for one in there.pool.store.all("VM").values() if one["name_label"] == "traveller"]


async def test_what_is_not_there_is_told_before_anything_moves() -> None:
    async with two_sites() as (here, there):
        vm = await machine(here)
        vm, dest, live, vdi_map, vif_map, options = await arguments(here, there, vm)
        (vdi,), (vif,) = vdi_map, vif_map
        check, half = "VM.assert_can_migrate", "VM.assert_can_migrate_sender"
        unreachable = dest | {"master": "http://127.0.0.1:1"}
        assert await ask(here.pool, half, vm, unreachable, live, vdi_map, vif_map, {}, options) is None
        assert await refused(here.pool, half, vm, dest, live, {}, vif_map, {}, options) == ["VDI_NOT_IN_MAP", vdi]
        for name in (check, "VM.migrate_send"):
            assert await refused(here.pool, name, vm, dest, live, {}, vif_map, options) == ["VDI_NOT_IN_MAP", vdi]
            assert await refused(here.pool, name, vm, dest, live, vdi_map, {}, options) == ["VIF_NOT_IN_MAP", vif]
            lost = dest | {"session_id": "OpaqueRef:none"}
            assert (await refused(here.pool, name, vm, lost, live, vdi_map, vif_map, options))[0] == "SESSION_INVALID"
            nobody = dest | {"master": "http://127.0.0.1:1"}
            refusal = await refused(here.pool, name, vm, nobody, live, vdi_map, vif_map, options)
            assert refusal == ["CANNOT_CONTACT_HOST", "127.0.0.1"]
            for key, url, host in (("master", "http://[", ""), ("xenops", "http://[", ""), ("xenops", "ftp://a/", "a")):
                refusal = await refused(here.pool, name, vm, dest | {key: url}, live, vdi_map, vif_map, options)
                assert refusal == ["CANNOT_CONTACT_HOST", host]
            assert (await refused(here.pool, name, vm, {"host": "x"}, live, {}, {}, {}))[0] == "INVALID_VALUE"
        wrong = {vdi: "OpaqueRef:none"}
        assert await refused(here.pool, check, vm, dest, live, wrong, vif_map, options) == [
            "HANDLE_INVALID", "SR", "OpaqueRef:none",
        ]  # fmt: skip
        assert (await refused(here.pool, "VM.migrate_send", vm, dest, live, wrong, vif_map, options))[
            0
        ] == "HANDLE_INVALID"
        assert here.pool.vm(vm)["power_state"] == "Running"


@pytest.mark.parametrize("body", [b"", b"x" * 2000, bytes(1024)])
async def test_what_is_no_vm_is_refused_at_the_door(body: bytes) -> None:
    async with two_sites() as (_here, there):
        before = picture(there)
        assert (await there.root("PUT", "/services/xenops", body)).status == 500
        assert picture(there) == before
        session = await there.login("vm-admin")
        assert (await there.ask("PUT", f"/services/xenops?session_id={session}", body)).status == 403
