"""Repositories: made, connected, scanned, disconnected, erased and forgotten, with what they refuse."""

from __future__ import annotations

from typing import Any

import pytest
from sim_api import ask, refused

from xenapi_core.drivers.sim import SimStorage
from xenapi_core.drivers.storage import StorageBackend
from xenapi_core.ids import NULL_REF
from xenapi_core.model import storage_types
from xenapi_core.model.storage_types import StorageType, register
from xenapi_core.testing.faults import FaultRule, Faulty
from xenapi_core.testing.pool import GIB, TEST_CALLER, SimPool, sim_pool

NFS = {"server": "192.0.2.9", "serverpath": "/disks"}
DISK = {"device": "/dev/sdb"}


async def create(pool: SimPool, kind: str = "nfs", config: dict[str, str] | None = None, **changes: Any) -> str:
    given = {
        "host": pool.hosts[0], "config": config or (NFS if kind == "nfs" else DISK), "size": 0, "name": "new",
        "description": "", "kind": kind, "content": "user", "shared": kind == "nfs", "sm_config": {}, **changes,
    }  # fmt: skip
    return str(await ask(pool, "SR.create", *given.values()))


def driver(pool: SimPool, sr: str) -> SimStorage:
    storage = pool.engine.storages[sr]
    assert isinstance(storage, SimStorage)
    return storage


def pbds(pool: SimPool, sr: str) -> list[str]:
    return sorted(pool.store.related(sr, "PBDs"), key=lambda ref: pool.hosts.index(pool.store.get(ref)["host"]))


async def unplug_all(pool: SimPool, sr: str) -> None:
    for pbd in pbds(pool, sr):
        await ask(pool, "PBD.unplug", pbd)


async def test_shared_repository_is_connected_on_every_host() -> None:
    async with sim_pool(hosts=2) as pool:
        sr = await create(pool, size=10 * GIB)
        record = pool.store.get(sr)
        assert (record["type"], record["shared"], record["physical_size"]) == ("nfs", True, 10 * GIB)
        found = [pool.store.get(pbd) for pbd in pbds(pool, sr)]
        assert [(pbd["host"], pbd["currently_attached"], pbd["device_config"]) for pbd in found] == [
            (host, True, NFS) for host in pool.hosts
        ]
        assert set(driver(pool, sr).hosts) == {pool.store.get(host)["uuid"] for host in pool.hosts}


async def test_local_repository_is_connected_where_it_was_made() -> None:
    async with sim_pool(hosts=2) as pool:
        sr = await create(pool, "lvm", host=pool.hosts[1])
        (pbd,) = pbds(pool, sr)
        assert pool.store.get(pbd)["host"] == pool.hosts[1]
        assert await refused(pool, "SR.create", pool.hosts[1], DISK, 0, "", "", "ext", "", False, {}) == [
            "SR_DEVICE_IN_USE"
        ]
        assert await create(pool, "ext")  # the other host has a disk of that name, too


async def test_host_that_is_down_gets_a_connection_that_is_not_plugged() -> None:
    async with sim_pool(hosts=2) as pool:
        pool.change(pool.store.get(pool.hosts[1])["metrics"], live=False)
        sr = await create(pool)
        assert [pool.store.get(pbd)["currently_attached"] for pbd in pbds(pool, sr)] == [True, False]
        assert await refused(pool, "PBD.plug", pbds(pool, sr)[1]) == ["HOST_OFFLINE", pool.hosts[1]]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"kind": "zfs"}, ["SR_UNKNOWN_DRIVER", "zfs"]),
        ({"size": -1}, ["INVALID_VALUE", "physical_size", "-1"]),
        ({"kind": "ext", "shared": True},
         ["VALUE_NOT_SUPPORTED", "shared", "true", "Storage of type ext belongs to one host"]),
        ({"config": {"SRmaster": "true"}},
         ["VALUE_NOT_SUPPORTED", "device_config", "SRmaster", "This key is for internal use only"]),
        ({"kind": "nfs", "config": {"options": "soft"}},
         ["SR_BACKEND_FAILURE", "failed", "", "device_config lacks server"]),
        ({"host": "OpaqueRef:none"}, ["HANDLE_INVALID", "host", "OpaqueRef:none"]),
    ],
)  # fmt: skip
async def test_repository_is_not_made(changes: dict[str, Any], error: list[str]) -> None:
    async with sim_pool(hosts=2) as pool:
        before = pool.picture()
        given = {"host": pool.hosts[0], "config": DISK, "size": 0, "name": "", "text": "", "kind": "nfs", "content": "",
                 "shared": False, "sm": {}, **changes}  # fmt: skip
        assert await refused(pool, "SR.create", *given.values()) == error
        assert pool.picture() == before


async def test_device_that_holds_a_repository_is_left_alone() -> None:
    async with sim_pool(hosts=2) as pool:
        await create(pool, "lvm")
        assert await refused(pool, "SR.create", pool.hosts[0], DISK, 0, "", "", "lvm", "", False, {}) == [
            "SR_DEVICE_IN_USE"
        ]


async def test_repository_is_destroyed_only_disconnected_and_empty() -> None:
    async with sim_pool(hosts=2) as pool:
        sr = await create(pool)
        assert await refused(pool, "SR.destroy", sr) == ["SR_HAS_PBD", sr]
        vdi = await pool.call("VDI.create", {"SR": sr, "virtual_size": GIB, "type": "user"})
        await unplug_all(pool, sr)
        assert await refused(pool, "SR.destroy", sr) == ["SR_NOT_EMPTY"]
        assert await refused(pool, "VDI.destroy", vdi) == ["SR_HAS_NO_PBDS", sr]
        await ask(pool, "PBD.plug", pbds(pool, sr)[0])
        await ask(pool, "VDI.destroy", vdi)
        await unplug_all(pool, sr)
        uuid, connections = pool.store.get(sr)["uuid"], pbds(pool, sr)
        pool.change(pool.pool, default_SR=sr)
        await ask(pool, "SR.destroy", sr)
        assert [pool.store.find(ref) for ref in (sr, *connections)] == [None, None, None]
        assert uuid not in pool.sim.repositories
        assert sr not in pool.engine.storages
        assert pool.store.get(pool.pool)["default_SR"] == NULL_REF


async def test_library_is_never_erased() -> None:
    async with sim_pool(hosts=2) as pool:
        sr = await create(pool, "iso", {"location": "192.0.2.9:/iso"}, shared=True, content="iso")
        await unplug_all(pool, sr)
        assert await refused(pool, "SR.destroy", sr) == ["SR_OPERATION_NOT_SUPPORTED", sr]
        await ask(pool, "SR.forget", sr)
        assert pool.store.find(sr) is None


async def test_forgotten_repository_is_found_introduced_and_scanned_with_its_disks() -> None:
    async with sim_pool(hosts=2) as pool:
        sr = await create(pool)
        uuid = pool.store.get(sr)["uuid"]
        vdi = await pool.call("VDI.create", {"SR": sr, "virtual_size": GIB, "type": "user"})
        disk = pool.store.get(vdi)["uuid"]
        snapshot = pool.store.get(await pool.call("VDI.snapshot", vdi))["uuid"]
        await unplug_all(pool, sr)
        await ask(pool, "SR.forget", sr)
        assert pool.store.find(vdi) is None
        (found,) = await ask(pool, "SR.probe_ext", pool.hosts[0], {"server": NFS["server"]}, "nfs", {})
        assert (found["sr"]["uuid"], found["complete"], found["configuration"]) == (uuid, True, NFS)
        xml = await ask(pool, "SR.probe", pool.hosts[0], NFS, "nfs", {})
        assert f"<UUID>{uuid}</UUID>" in xml

        back = await ask(pool, "SR.introduce", uuid, "back", "", "nfs", "user", True, {})
        assert await refused(pool, "SR.introduce", uuid, "", "", "nfs", "user", True, {}) == ["SR_UUID_EXISTS", uuid]
        assert await refused(pool, "SR.scan", back) == ["SR_HAS_NO_PBDS", back]
        values = {"host": pool.hosts[0], "SR": back, "device_config": found["configuration"]}
        await ask(pool, "PBD.plug", await ask(pool, "PBD.create", values))
        await ask(pool, "SR.scan", back)
        disks = {pool.store.get(ref)["uuid"]: pool.store.get(ref) for ref in pool.store.related(back, "VDIs")}
        assert set(disks) == {disk, snapshot}
        assert disks[snapshot]["snapshot_of"] == disks[disk].ref
        assert (disks[snapshot]["is_a_snapshot"], disks[disk]["is_a_snapshot"]) == (True, False)
        assert pool.store.get(back)["virtual_allocation"] == 2 * GIB


async def test_repository_that_is_not_there_cannot_be_plugged() -> None:
    async with sim_pool(hosts=2) as pool:
        sr = await ask(pool, "SR.introduce", "", "lost", "", "nfs", "user", True, {})
        pbd = await ask(pool, "PBD.create", {"host": pool.hosts[0], "SR": sr, "device_config": NFS})
        assert await refused(pool, "PBD.plug", pbd) == ["SR_ATTACH_FAILED", sr]
        assert pool.store.get(pbd)["currently_attached"] is False


async def test_made_repository_waits_to_be_introduced() -> None:
    async with sim_pool(hosts=2) as pool:
        uuid = await ask(pool, "SR.make", pool.hosts[0], NFS, 0, "made", "", "nfs", "user", {})
        assert pool.sim.repositories[uuid].exists
        assert pool.store.by_uuid("SR", uuid) is None


async def test_local_repository_is_plugged_on_one_host_at_a_time() -> None:
    async with sim_pool(hosts=2) as pool:
        sr = await create(pool, "lvm")
        values = {"host": pool.hosts[1], "SR": sr, "device_config": DISK}
        other = await ask(pool, "PBD.create", values)
        assert await refused(pool, "PBD.create", values) == ["PBD_EXISTS", sr, pool.hosts[1], other]
        assert await refused(pool, "PBD.plug", other) == ["SR_NOT_SHARABLE", sr, pool.hosts[0]]
        (own, _) = pbds(pool, sr)
        assert await refused(pool, "PBD.destroy", own) == ["OPERATION_NOT_ALLOWED", "PBD is currently attached"]
        await ask(pool, "PBD.plug", own)  # plugged already: nothing happens
        await ask(pool, "PBD.unplug", own)
        await ask(pool, "PBD.destroy", own)
        assert pbds(pool, sr) == [other]


async def test_connection_stays_while_a_vm_of_its_host_uses_a_disk() -> None:
    async with sim_pool(hosts=2) as pool:
        vm = await pool.running()
        (vbd,) = pool.store.related(vm, "VBDs")
        vdi, host = pool.store.get(vbd)["VDI"], pool.vm(vm)["resident_on"]
        mine, other = sorted(pbds(pool, pool.sr), key=lambda pbd: pool.store.get(pbd)["host"] != host)
        assert await refused(pool, "PBD.unplug", mine) == ["VDI_IN_USE", vdi]
        await ask(pool, "PBD.unplug", other)
        assert set(driver(pool, pool.sr).hosts) == {pool.store.get(host)["uuid"]}


@pytest.mark.parametrize("message", ["VDI.copy", "VM.copy"])
async def test_last_connection_waits_for_disks_that_are_being_made(message: str) -> None:
    async with sim_pool() as pool:
        vm = pool.add_vm()
        vdi = pool.store.get(pool.store.related(vm, "VBDs")[0])["VDI"]
        pool.sim.storage(pool.store.get(pool.sr)["uuid"]).contents[pool.store.get(vdi)["uuid"]].used = GIB
        target = pool.add_sr("target", 8 * GIB)
        args = (vdi, target) if message == "VDI.copy" else (vm, "copy", target)
        task = pool.engine.launch(message, args, TEST_CALLER)
        await pool.pass_time(0.5)
        assert pool.store.get(task)["status"] == "pending"
        (pbd,) = pbds(pool, target)
        await ask(pool, "PBD.unplug", pbd)
        assert pool.store.get(task)["status"] == "success"
        await ask(pool, "SR.forget", target)
        assert all(vdi["SR"] == pool.sr for vdi in pool.store.all("VDI").values())


async def test_host_is_not_ejected_while_a_disk_is_made_on_its_own_storage() -> None:
    async with sim_pool(hosts=2) as pool:
        (own,) = pool.store.all("pool")
        pool.change(own, master=pool.hosts[0])
        vdi, target = pool.add_vdi(), pool.add_sr("target", 8 * GIB, shared=False)
        pool.sim.storage(pool.store.get(pool.sr)["uuid"]).contents[pool.store.get(vdi)["uuid"]].used = GIB
        mine, other = pbds(pool, target)
        await ask(pool, "PBD.unplug", mine)
        await ask(pool, "PBD.destroy", mine)
        task = pool.engine.launch("VDI.copy", (vdi, target), TEST_CALLER)
        await pool.pass_time(0.5)
        refusal = await refused(pool, "pool.eject", pool.hosts[1])
        assert refusal == ["OTHER_OPERATION_IN_PROGRESS", "SR", target, "vdi_create", task]
        await pool.pass_time(60)
        await ask(pool, "pool.eject", pool.hosts[1])
        assert pool.store.find(target) is pool.store.find(other) is None
        assert all(vdi["SR"] == pool.sr for vdi in pool.store.all("VDI").values())


async def test_last_connection_waits_for_operations_on_disks() -> None:
    async with sim_pool() as pool:
        vdi = pool.add_vdi(4 * GIB)
        task = pool.engine.launch("VDI.copy", (vdi, NULL_REF, NULL_REF, NULL_REF), TEST_CALLER)
        await pool.pass_time(0)
        assert pool.store.get(vdi)["current_operations"] == {task: "copy"}
        (pbd,) = pbds(pool, pool.sr)
        await ask(pool, "PBD.unplug", pbd)
        assert pool.store.get(task)["status"] == "success"


async def test_scan_finds_what_appeared_and_marks_what_is_gone() -> None:
    async with sim_pool(hosts=2) as pool:
        gone, kept = pool.add_vdi(), pool.add_vdi()
        storage = driver(pool, pool.sr)
        del storage.contents[pool.store.get(gone)["uuid"]]
        storage.preload("11111111-1111-1111-1111-111111111111", 2 * GIB, used=GIB, name="tools.iso", read_only=True)
        await ask(pool, "SR.scan", pool.sr)
        new = pool.store.by_uuid("VDI", "11111111-1111-1111-1111-111111111111")
        assert new is not None
        assert (new["name_label"], new["read_only"], new["virtual_size"], new["managed"]) == (
            "tools.iso",
            True,
            2 * GIB,
            True,
        )
        assert (pool.store.get(gone)["missing"], pool.store.get(kept)["missing"]) == (True, False)
        record = pool.store.get(pool.sr)
        assert (record["physical_utilisation"], record["virtual_allocation"]) == (GIB, 4 * GIB)


async def test_scan_leaves_volumes_in_the_making_to_their_makers() -> None:
    async with sim_pool(hosts=2) as pool:
        storage = pool.engine.storages[pool.sr]
        slow = FaultRule("usage", kind="", delay=5.0)  # the volume is there, its record is not
        pool.engine.storages[pool.sr] = Faulty(storage, [slow], pool.clock)
        values = {"SR": pool.sr, "virtual_size": GIB, "type": "user", "name_label": "mine"}
        task = pool.engine.launch("VDI.create", (values,), TEST_CALLER)
        await pool.pass_time(1)
        await ask(pool, "SR.scan", pool.sr)
        assert pool.store.related(pool.sr, "VDIs") == ()
        await pool.pass_time(10)
        assert pool.store.get(task)["status"] == "success"
        (vdi,) = pool.store.related(pool.sr, "VDIs")
        assert pool.store.get(vdi)["name_label"] == "mine"


async def test_sizes_follow_the_driver_after_each_change() -> None:
    async with sim_pool(hosts=2) as pool:

        def sizes() -> tuple[int, int]:
            record = pool.store.get(pool.sr)
            return record["virtual_allocation"], record["physical_utilisation"]

        vdi = await pool.call("VDI.create", {"SR": pool.sr, "virtual_size": GIB, "type": "user"})
        assert sizes() == (GIB, 0)
        storage = driver(pool, pool.sr)
        storage.fill(storage.contents[pool.store.get(vdi)["uuid"]], GIB // 2)
        await ask(pool, "SR.update", pool.sr)
        assert sizes() == (GIB, GIB // 2)
        await ask(pool, "VDI.copy", vdi, NULL_REF)
        assert sizes() == (2 * GIB, GIB)
        await ask(pool, "VDI.resize", vdi, 2 * GIB)
        assert sizes() == (3 * GIB, GIB)
        await ask(pool, "VDI.destroy", vdi)
        assert sizes() == (GIB, GIB // 2)


async def test_back_ends_are_listed_as_sm_records() -> None:
    async with sim_pool(hosts=2) as pool:
        types = await ask(pool, "SR.get_supported_types")
        assert {"nfs", "ext", "lvm", "iso", "udev", "file", "dummy"} <= set(types)
        records = {sm["type"]: sm for sm in pool.store.all("SM").values()}
        assert set(records) == set(types)
        assert "VDI_SNAPSHOT" in records["nfs"]["features"]
        assert "VDI_CREATE" not in records["iso"]["features"]


async def test_type_of_a_users_driver_is_served_within_its_features(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_types, "TYPES", dict(storage_types.TYPES))  # what is registered stays otherwise
    kind = StorageType("tape", "Tape", "Slow disks", frozenset({"SR_FORMAT", "VDI_CREATE", "VDI_DELETE"}))
    async with sim_pool(hosts=2) as pool:

        class Tape:
            def __init__(self) -> None:
                self.kind = kind

            def __getattr__(self, name: str) -> Any:
                return getattr(pool.engine.backends["dummy"], name)

        backend: StorageBackend = Tape()
        pool.engine.add_backend(backend)
        sr = await create(pool, "tape", {"drive": "1"})
        vdi = await pool.call("VDI.create", {"SR": sr, "virtual_size": GIB, "type": "user"})
        assert await refused(pool, "VDI.clone", vdi) == ["SR_OPERATION_NOT_SUPPORTED", sr]
        assert await refused(pool, "VDI.resize", vdi, 2 * GIB) == ["SR_OPERATION_NOT_SUPPORTED", sr]
        with pytest.raises(ValueError, match="back end already"):
            pool.engine.add_backend(backend)
    with pytest.raises(ValueError, match="other features"):
        register(StorageType("tape", "Tape", "Faster", frozenset({"VDI_CREATE"})))
    with pytest.raises(ValueError, match="unknown features"):
        StorageType("wish", "", "", frozenset({"VDI_TIME_TRAVEL"}))


async def test_settings_of_a_repository() -> None:
    async with sim_pool(hosts=2) as pool:
        sr = await create(pool)
        await ask(pool, "SR.set_name_label", sr, "renamed")
        await ask(pool, "SR.set_physical_size", sr, 7)
        assert (pool.store.get(sr)["name_label"], pool.store.get(sr)["physical_size"]) == ("renamed", 7)
        assert (await refused(pool, "SR.set_shared", sr, False))[0] == "SR_HAS_MULTIPLE_PBDS"
        assert await ask(pool, "SR.get_live_hosts", sr) == tuple(
            pool.store.get(pbd)["host"] for pbd in pool.store.related(sr, "PBDs")
        )
        await ask(pool, "SR.assert_can_host_ha_statefile", sr)
        no_disks = ["SR_OPERATION_NOT_SUPPORTED", pool.iso]
        assert await refused(pool, "SR.assert_can_host_ha_statefile", pool.iso) == no_disks
        pool.change(sr, shared=False)
        local = ["HA_CONSTRAINT_VIOLATION_SR_NOT_SHARED", sr]
        assert await refused(pool, "SR.assert_can_host_ha_statefile", sr) == local
        pool.change(sr, shared=True)
        await ask(pool, "PBD.unplug", pbds(pool, sr)[1])
        assert await refused(pool, "SR.assert_can_host_ha_statefile", sr) == ["SR_HAS_NO_PBDS", sr]


async def test_traffic_of_a_repository_is_a_data_source() -> None:
    async with sim_pool(hosts=2) as pool:
        vdi = pool.add_vdi()
        storage = driver(pool, pool.sr)
        storage.fill(storage.contents[pool.store.get(vdi)["uuid"]], GIB // 4)
        sources = {one["name_label"]: one["value"] for one in await ask(pool, "SR.get_data_sources", pool.sr)}
        assert sources["io_bytes_written"] == GIB // 4
        assert await ask(pool, "SR.query_data_source", pool.sr, "io_bytes_read") == 0.0
        await ask(pool, "VDI.copy", vdi, NULL_REF)
        assert await ask(pool, "SR.query_data_source", pool.sr, "io_bytes_read") == GIB // 4
        assert (await refused(pool, "SR.record_data_source", pool.sr, "io_bytes_read"))[0] == "OPERATION_NOT_ALLOWED"
        assert await refused(pool, "SR.query_data_source", pool.sr, "io_smell") == [
            "INVALID_VALUE",
            "data_source",
            "io_smell",
        ]
