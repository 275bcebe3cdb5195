"""Disks beyond making and copying: introduced, forgotten, updated, reverted, moved, and what no storage offers."""

from __future__ import annotations

from typing import Any

import pytest
from sim_api import ask, refused

from xenapi_core.drivers.sim import SimStorage
from xenapi_core.ids import NULL_REF
from xenapi_core.testing.pool import GIB, TEST_CALLER, SimPool, sim_pool


def driver(pool: SimPool, sr: str) -> SimStorage:
    storage = pool.engine.storages[sr]
    assert isinstance(storage, SimStorage)
    return storage


def introduction(pool: SimPool, uuid: str = "", location: str = "", sr: str | None = None) -> tuple[Any, ...]:
    return (uuid, "back", "again", sr or pool.sr, "user", False, True, {"key": "value"}, location)


async def test_forgotten_disk_is_introduced_by_uuid_or_by_location() -> None:
    async with sim_pool() as pool:
        vdi = pool.add_vdi(2 * GIB)
        uuid = pool.store.get(vdi)["uuid"]
        location = driver(pool, pool.sr).contents[uuid].state(driver(pool, pool.sr).uuid).location
        for way in ({"uuid": uuid}, {"location": location}):
            await ask(pool, "VDI.forget", vdi)
            assert pool.store.find(vdi) is None
            assert uuid in driver(pool, pool.sr).contents
            vdi = await ask(pool, "VDI.introduce", *introduction(pool, **way))
            record = pool.store.get(vdi)
            assert (record["uuid"], record["virtual_size"], record["location"]) == (uuid, 2 * GIB, location)
            assert (record["name_label"], record["read_only"], record["managed"]) == ("back", True, True)
            assert record["other_config"] == {"key": "value", "location": location}
        assert await refused(pool, "VDI.introduce", *introduction(pool, uuid=uuid)) == ["INVALID_VALUE", "uuid", uuid]
        taken = await refused(pool, "VDI.introduce", *introduction(pool, location=location))
        assert taken == ["LOCATION_NOT_UNIQUE", pool.sr, location]
        missing = await refused(pool, "VDI.introduce", *introduction(pool, location="nowhere"))
        assert missing == ["VDI_LOCATION_MISSING", pool.sr, "nowhere"]


async def test_forgotten_disk_leaves_its_drives_empty() -> None:
    async with sim_pool() as pool:
        iso = pool.add_vdi(sr=pool.iso, read_only=True, sharable=True)
        vm = pool.add_vm(disks=0)
        drive = await ask(pool, "VBD.create", pool.vbd_values(vm, iso, "3", type="CD", mode="RO"))
        await ask(pool, "VDI.forget", iso)
        assert (pool.store.get(drive)["VDI"], pool.store.get(drive)["empty"]) == (NULL_REF, True)


async def test_update_reads_sizes_and_tries_the_path() -> None:
    async with sim_pool() as pool:
        vdi = pool.add_vdi()
        storage, uuid = driver(pool, pool.sr), pool.store.get(vdi)["uuid"]
        storage.fill(storage.contents[uuid], GIB // 2)
        await ask(pool, "VDI.update", vdi)
        assert pool.store.get(vdi)["physical_utilisation"] == GIB // 2
        storage.cut_off.add(pool.store.get(pool.hosts[0])["uuid"])
        assert await refused(pool, "VDI.update", vdi) == ["VDI_NOT_AVAILABLE", vdi]
        del storage.contents[uuid]
        assert await refused(pool, "VDI.update", vdi) == ["VDI_MISSING", pool.sr, vdi]


async def test_disk_goes_back_to_its_snapshot() -> None:
    async with sim_pool() as pool:
        vdi = pool.add_vdi()
        volume = driver(pool, pool.sr).contents[pool.store.get(vdi)["uuid"]]
        driver(pool, pool.sr).fill(volume, GIB // 4)
        then = volume.contents
        snapshot = await ask(pool, "VDI.snapshot", vdi)
        assert pool.store.get(snapshot)["snapshot_of"] == vdi
        assert pool.store.get(snapshot)["snapshot_time"] == pool.clock.now()
        driver(pool, pool.sr).fill(volume, GIB // 4)
        await ask(pool, "VDI.resize", vdi, 3 * GIB)
        assert volume.contents != then
        await ask(pool, "VDI.revert", snapshot)
        assert (volume.contents, pool.store.get(vdi)["virtual_size"]) == (then, GIB)
        assert (
            pool.store.get(pool.sr)["virtual_allocation"] == GIB
        )  # the snapshot's, as the first disk was not made here
        assert await refused(pool, "VDI.revert", vdi) == ["REVERT_ONLY_ALLOWED_ON_SNAPSHOT"]
        await ask(pool, "VDI.destroy", vdi)
        assert pool.store.get(snapshot)["snapshot_of"] == NULL_REF


async def test_disk_in_use_is_not_reverted() -> None:
    async with sim_pool() as pool:
        vm = await pool.running()
        vdi = pool.store.get(pool.store.related(vm, "VBDs")[0])["VDI"]
        snapshot = await ask(pool, "VDI.snapshot", vdi)
        assert await refused(pool, "VDI.revert", snapshot) == ["VDI_IN_USE", vdi, "revert_to"]


async def test_disk_of_a_running_vm_moves_and_the_vm_runs_on() -> None:
    async with sim_pool() as pool:
        vm = await pool.running()
        vdi = pool.store.get(pool.store.related(vm, "VBDs")[0])["VDI"]
        uuid, domid = pool.store.get(vdi)["uuid"], pool.vm(vm)["domid"]
        target = pool.add_sr("second", 100 * GIB)
        pool.change(pool.sr, virtual_allocation=GIB)
        used = driver(pool, pool.sr).used
        assert used > 0
        assert await ask(pool, "VDI.pool_migrate", vdi, target, {}) == vdi
        record = pool.store.get(vdi)
        assert (record["SR"], record["uuid"]) == (target, uuid)
        assert (uuid in driver(pool, pool.sr).contents, uuid in driver(pool, target).contents) == (False, True)
        assert (pool.vm(vm)["power_state"], pool.vm(vm)["domid"]) == ("Running", domid)
        sizes = [
            (pool.store.get(sr)["virtual_allocation"], pool.store.get(sr)["physical_utilisation"])
            for sr in (pool.sr, target)
        ]
        assert sizes == [(0, 0), (GIB, used)]
        assert await ask(pool, "VDI.pool_migrate", vdi, target, {}) == vdi  # it is there already


async def test_move_is_refused_where_it_cannot_be() -> None:
    async with sim_pool() as pool:
        free, target = pool.add_vdi(), pool.add_sr("second", 100 * GIB)
        assert await refused(pool, "VDI.pool_migrate", free, target, {}) == ["VDI_NEEDS_VM_FOR_MIGRATE", free]
        vm = await pool.running()
        vdi = pool.store.get(pool.store.related(vm, "VBDs")[0])["VDI"]
        plain = pool.add_sr("plain", 100 * GIB, type="file")
        error = await refused(pool, "VDI.pool_migrate", vdi, plain, {})
        assert error == ["SR_DOES_NOT_SUPPORT_MIGRATION", plain, "VDI_MIRROR"]
        small = pool.add_sr("small", GIB // 2)
        assert (await refused(pool, "VDI.pool_migrate", vdi, small, {}))[0] == "SR_FULL"
        (pbd,) = (pbd for pbd in pool.store.related(target, "PBDs"))
        pool.change(pbd, currently_attached=False)
        assert await refused(pool, "VDI.pool_migrate", vdi, target, {}) == ["SR_HAS_NO_PBDS", target]


async def test_copy_shows_its_progress() -> None:
    async with sim_pool() as pool:
        vdi = pool.add_vdi(16 * GIB)
        volume = driver(pool, pool.sr).contents[pool.store.get(vdi)["uuid"]]
        driver(pool, pool.sr).fill(volume, 8 * GIB)
        task = pool.engine.launch("VDI.copy", (vdi, NULL_REF, NULL_REF, NULL_REF), TEST_CALLER)
        await pool.pass_time(4)
        assert 0.0 < pool.store.get(task)["progress"] < 1.0
        await pool.pass_time(10)
        assert (pool.store.get(task)["status"], pool.store.get(task)["progress"]) == ("success", 1.0)


@pytest.mark.parametrize(
    ("kind", "operation", "args", "error"),
    [
        ("iso", "VDI.clone", (), "SR_OPERATION_NOT_SUPPORTED"),
        ("iso", "VDI.resize", (2 * GIB,), "SR_OPERATION_NOT_SUPPORTED"),
        ("dummy", "VDI.snapshot", (), "SR_OPERATION_NOT_SUPPORTED"),
        ("dummy", "VDI.copy", (NULL_REF,), "SR_OPERATION_NOT_SUPPORTED"),
        ("udev", "VDI.destroy", (), "VDI_IS_A_PHYSICAL_DEVICE"),
        ("iso", "VDI.enable_cbt", (), "SR_OPERATION_NOT_SUPPORTED"),
        ("dummy", "VDI.disable_cbt", (), "SR_OPERATION_NOT_SUPPORTED"),
        ("nfs", "VDI.data_destroy", (), "OPERATION_NOT_ALLOWED"),
        ("nfs", "VDI.open_database", (), "VDI_INCOMPATIBLE_TYPE"),
    ],
)
async def test_what_a_type_lacks_is_refused(kind: str, operation: str, args: tuple[Any, ...], error: str) -> None:
    async with sim_pool() as pool:
        sr = pool.add_sr("other", 10 * GIB, type=kind)
        vdi = pool.add_vdi(sr=sr)
        before = pool.picture()
        assert (await refused(pool, operation, vdi, *args))[0] == error
        assert pool.picture() == before


async def test_changed_blocks_of_a_snapshot_were_not_tracked() -> None:
    async with sim_pool() as pool:
        vdi = pool.add_vdi()
        snapshot = await ask(pool, "VDI.snapshot", vdi)
        assert await refused(pool, "VDI.data_destroy", snapshot) == ["VDI_NO_CBT_METADATA", snapshot]
        assert await refused(pool, "VDI.list_changed_blocks", snapshot, vdi) == ["VDI_NO_CBT_METADATA", snapshot]
        error = await refused(pool, "VDI.generate_config", pool.hosts[0], vdi)
        assert error == ["SR_OPERATION_NOT_SUPPORTED", pool.sr]


async def test_no_host_serves_nbd() -> None:
    async with sim_pool() as pool:
        assert await ask(pool, "VDI.get_nbd_info", pool.add_vdi()) == ()
        metadata = pool.add_vdi(type="cbt_metadata")
        assert await refused(pool, "VDI.get_nbd_info", metadata) == ["VDI_INCOMPATIBLE_TYPE", metadata, "cbt_metadata"]
