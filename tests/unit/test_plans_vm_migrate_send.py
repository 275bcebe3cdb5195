"""VM.migrate_send inside the pool: disks, memory and NICs move together, or not at all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sim_api import ask, refused

from xenapi_core.ids import NULL_REF
from xenapi_core.testing.pool import GIB, TEST_CALLER, SimPool, sim_pool
from xenapi_core.testing.virtual_time import drive


def local_sr(pool: SimPool, host: str, name: str = "local", size: int = 100 * GIB) -> str:
    """A repository that one host alone reaches."""
    sr = pool.add_sr(name, size, type="ext", shared=False)
    for pbd in pool.store.related(sr, "PBDs"):
        if pool.store.get(pbd)["host"] != host:
            pool.change(pbd, currently_attached=False)
    return sr


def elsewhere(pool: SimPool, vm: str) -> str:
    return next(host for host in pool.hosts if host != pool.vm(vm)["resident_on"])


def disks(pool: SimPool, vm: str) -> list[str]:
    return [pool.store.get(vbd)["VDI"] for vbd in pool.store.related(vm, "VBDs")]


def to(host: str, vdi_map: Any = None, vif_map: Any = None, **options: str) -> tuple[Any, ...]:
    """Arguments of migrate_send after the VM."""
    return {"host": host}, True, vdi_map or {}, vif_map or {}, options


def place(pool: SimPool, vdi: str) -> str:
    """The repository whose driver has the volume."""
    uuid = pool.store.get(vdi)["uuid"]
    (found,) = [repository.uuid for repository in pool.sim.repositories.values() if uuid in repository.contents]
    record = pool.store.by_uuid("SR", found)
    assert record is not None
    return record.ref


async def test_a_running_vm_moves_with_its_disk_to_storage_of_the_other_host() -> None:
    async with sim_pool(hosts=2) as pool:
        vm = await pool.running()
        target, (disk,) = elsewhere(pool, vm), disks(pool, vm)
        sr, began = local_sr(pool, target), pool.store.get(pool.vm(vm)["metrics"])["start_time"]
        await pool.engine.storages[pool.sr].write(pool.store.get(disk)["uuid"], 0, b"data")
        task = pool.engine.launch("VM.migrate_send", (vm, *to(target, {disk: sr}), {}, {}), TEST_CALLER)
        await pool.pass_time(0.5)
        assert list(pool.vm(vm)["current_operations"].values()) == ["migrate_send"]
        assert list(pool.store.get(disk)["current_operations"].values()) == ["mirror"]
        progress = []
        while pool.store.get(task)["status"] == "pending":
            progress.append(pool.store.get(task)["progress"])
            await pool.pass_time(0.5)
        assert progress == sorted(progress)
        assert 0 < progress[-1] < 1
        assert pool.store.get(task)["result"] == f"<value>{vm}</value>"
        record = pool.vm(vm)
        assert (record["power_state"], record["resident_on"]) == ("Running", target)
        assert record["scheduled_to_be_resident_on"] == NULL_REF
        assert pool.store.get(record["metrics"])["start_time"] == began
        assert (pool.store.get(disk)["SR"], place(pool, disk)) == (sr, sr)
        assert await pool.engine.storages[sr].read(pool.store.get(disk)["uuid"], 0, 4) == b"data"
        assert not pool.store.get(disk)["current_operations"]
        assert pool.store.get(sr)["virtual_allocation"] == pool.store.get(disk)["virtual_size"]
        (machine,) = await pool.engine.hypervisors[target].domains()
        assert machine.uuid == record["uuid"]


async def test_disks_that_nobody_named_stay_where_the_destination_reaches_them() -> None:
    async with sim_pool(hosts=2) as pool:
        vm = await pool.running(disks=2)
        target, (first, second) = elsewhere(pool, vm), disks(pool, vm)
        sr = local_sr(pool, target)
        assert await ask(pool, "VM.migrate_send", vm, *to(target, {second: sr})) == vm
        assert [pool.store.get(vdi)["SR"] for vdi in (first, second)] == [pool.sr, sr]


async def test_disks_the_destination_does_not_reach_go_to_the_default_sr() -> None:
    async with sim_pool(hosts=2) as pool:
        vm = pool.add_vm()
        (disk,) = disks(pool, vm)
        here, there = pool.hosts
        sr = local_sr(pool, here)
        await ask(pool, "VM.migrate_send", vm, *to(here, {disk: sr}))
        assert pool.store.get(disk)["SR"] == sr
        pool.change(pool.pool, default_SR=NULL_REF)
        assert await refused(pool, "VM.migrate_send", vm, *to(there)) == ["VDI_NOT_IN_MAP", disk]
        pool.change(pool.pool, default_SR=pool.sr)
        await ask(pool, "VM.migrate_send", vm, *to(there))
        assert (pool.store.get(disk)["SR"], pool.vm(vm)["power_state"]) == (pool.sr, "Halted")


async def test_disks_move_though_the_vm_stays_on_its_host() -> None:
    async with sim_pool(hosts=2) as pool:
        vm = await pool.running()
        host, (disk,) = pool.vm(vm)["resident_on"], disks(pool, vm)
        sr = local_sr(pool, host)
        before = pool.vm(vm)["domid"]
        await ask(pool, "VM.migrate_send", vm, *to(host, {disk: sr}))
        assert (pool.vm(vm)["resident_on"], pool.vm(vm)["domid"], place(pool, disk)) == (host, before, sr)


async def test_snapshots_and_saved_memory_go_where_the_disks_go() -> None:
    async with sim_pool(hosts=2) as pool:
        vm = await pool.running()
        snapshot = await pool.call("VM.snapshot", vm, "before", frozenset())
        await pool.call("VM.suspend", vm)
        (disk,), (saved,), image = disks(pool, vm), disks(pool, snapshot), pool.vm(vm)["suspend_VDI"]
        sr = local_sr(pool, pool.hosts[1])
        await ask(pool, "VM.migrate_send", vm, *to(pool.hosts[1], {disk: sr, image: sr}))
        assert {pool.store.get(vdi)["SR"] for vdi in (disk, saved, image)} == {sr}
        await pool.call("VM.resume", vm, False, False)
        assert (pool.vm(vm)["power_state"], pool.vm(vm)["resident_on"]) == ("Running", pool.hosts[1])


async def test_nics_are_connected_to_the_networks_of_the_map() -> None:
    async with sim_pool(hosts=2) as pool:
        vm = await pool.running()
        target = elsewhere(pool, vm)
        lan = pool.add("network", name_label="other", bridge="xenbr1", MTU=1500)
        (vif,) = pool.store.related(vm, "VIFs")
        pool.add_pif(pool.vm(vm)["resident_on"], lan, "eth1")
        refusal = await refused(pool, "VM.migrate_send", vm, *to(target, None, {vif: lan}))
        assert refusal == ["VM_REQUIRES_NETWORK", vm, lan]
        pool.add_pif(target, lan, "eth1")
        await ask(pool, "VM.migrate_send", vm, *to(target, None, {vif: lan}))
        assert pool.store.get(vif)["network"] == lan
        (machine,) = await pool.engine.hypervisors[target].domains()
        assert machine.nics[0].network == pool.store.get(lan)["uuid"]


async def test_a_copy_leaves_the_vm_and_has_disks_and_macs_of_its_own() -> None:
    async with sim_pool(hosts=2) as pool:
        vm = pool.add_vm("original")
        (disk,), sr = disks(pool, vm), local_sr(pool, pool.hosts[1])
        before = pool.vm(vm).values
        made = await ask(pool, "VM.migrate_send", vm, *to(pool.hosts[1], {disk: sr}, copy="true"))
        assert made != vm
        assert pool.vm(vm).values == before
        (copied,) = disks(pool, made)
        assert (pool.store.get(copied)["SR"], pool.store.get(disk)["SR"]) == (sr, pool.sr)
        macs = {pool.store.get(pool.store.related(one, "VIFs")[0])["MAC"] for one in (vm, made)}
        assert len(macs) == 2
        running = await pool.running("runs")
        refusal = await refused(pool, "VM.migrate_send", running, *to(elsewhere(pool, running), copy="true"))
        assert refusal == ["VM_BAD_POWER_STATE", running, "halted", "running"]


async def _full(pool: SimPool, vm: str) -> tuple[Any, list[str]]:
    sr = pool.add_sr("small", GIB // 2)
    return to(elsewhere(pool, vm), dict.fromkeys(disks(pool, vm), sr)), ["SR_FULL"]


async def _no_mirror(pool: SimPool, vm: str) -> tuple[Any, list[str]]:
    sr = pool.add_sr("files", 10 * GIB, type="file")
    given = to(elsewhere(pool, vm), dict.fromkeys(disks(pool, vm), sr))
    return given, ["SR_DOES_NOT_SUPPORT_MIGRATION", sr, "VDI_MIRROR"]


async def _unreached(pool: SimPool, vm: str) -> tuple[Any, list[str]]:
    sr = local_sr(pool, pool.vm(vm)["resident_on"])
    return to(elsewhere(pool, vm), dict.fromkeys(disks(pool, vm), sr)), ["VM_REQUIRES_SR", vm, sr]


async def _disabled(pool: SimPool, vm: str) -> tuple[Any, list[str]]:
    pool.change(elsewhere(pool, vm), enabled=False)
    return to(elsewhere(pool, vm)), ["HOST_DISABLED", elsewhere(pool, vm)]


async def _elsewhere(pool: SimPool, vm: str) -> tuple[Any, list[str]]:
    return to("OpaqueRef:of another pool"), ["INVALID_VALUE", "dest", "{host}"]


async def _nowhere(pool: SimPool, vm: str) -> tuple[Any, list[str]]:
    return ({}, True, {}, {}, {}), ["INVALID_VALUE", "dest", "{}"]


async def _busy_disk(pool: SimPool, vm: str) -> tuple[Any, list[str]]:
    (disk,) = disks(pool, vm)
    pool.change(pool.pool, other_config={})
    sr = pool.add_sr("iso target", GIB, content_type="iso")
    return to(elsewhere(pool, vm), {disk: sr}), ["OPERATION_NOT_ALLOWED"]


@pytest.mark.parametrize(
    "case", [_full, _no_mirror, _unreached, _disabled, _elsewhere, _nowhere, _busy_disk], ids=lambda case: case.__name__
)
async def test_what_forbids_it_is_told_and_nothing_moves(
    case: Callable[[SimPool, str], Awaitable[tuple[Any, list[str]]]],
) -> None:
    async with sim_pool(hosts=2) as pool:
        vm = await pool.running()
        args, error = await case(pool, vm)
        before = pool.picture()
        told = await refused(pool, "VM.migrate_send", vm, *args)
        assert told[: len(error)] == error
        if case is not _full:  # the storage itself says that
            assert (await refused(pool, "VM.assert_can_migrate", vm, *args))[: len(error)] == error
        assert pool.picture() == before


async def test_asking_whether_it_would_work_moves_nothing() -> None:
    async with sim_pool(hosts=2) as pool:
        vm = await pool.running()
        sr = pool.add_sr("second", 100 * GIB)
        before = pool.picture()
        assert (
            await ask(pool, "VM.assert_can_migrate", vm, *to(elsewhere(pool, vm), dict.fromkeys(disks(pool, vm), sr)))
            is None
        )
        assert pool.picture() == before


async def test_a_cancelled_migration_brings_the_disks_back() -> None:
    async with sim_pool(hosts=2) as pool:
        vm = await pool.running(disks=2)
        sr, before = pool.add_sr("second", 100 * GIB), None
        before = pool.picture()
        args = (vm, *to(elsewhere(pool, vm), dict.fromkeys(disks(pool, vm), sr)), {}, {})
        task = pool.engine.launch("VM.migrate_send", args, TEST_CALLER)
        while pool.store.get(task)["progress"] < 0.7:
            await pool.pass_time(0.1)
        assert place(pool, disks(pool, vm)[0]) == sr
        pool.engine.cancel(task)
        await pool.pass_time(20)
        assert pool.store.get(task)["status"] == "cancelled"
        assert pool.picture() == before


async def test_a_destination_says_where_to_send() -> None:
    async with sim_pool(hosts=2) as pool:
        first, second = pool.hosts
        (pif,) = pool.store.related(second, "PIFs")
        assert await refused(pool, "host.migrate_receive", second, pool.network, {}) == ["INTERFACE_HAS_NO_IP", pif]
        pool.change(pif, IP="192.0.2.77")
        told = await ask(pool, "host.migrate_receive", second, pool.network, {})
        assert (told["host"], told["master"]) == (second, "https://192.0.2.77")
        session = pool.store.get(told["session_id"], "session")
        assert told["SM"] == f"https://192.0.2.77/services/SM?session_id={session.ref}"
        vm = await drive(pool.clock, pool.running())
        await ask(pool, "VM.migrate_send", vm, told, True, {}, {}, {})
        assert pool.vm(vm)["resident_on"] == second
        alone = pool.add("network", name_label="internal", bridge="xapi9")
        refusal = await refused(pool, "host.migrate_receive", first, alone, {})
        assert refusal == ["HOST_CANNOT_ATTACH_NETWORK", first, alone]
