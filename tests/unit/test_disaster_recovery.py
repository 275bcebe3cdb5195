"""Disaster recovery: the database on an SR, opened after the pool has lost its VMs, and the VMs made of it again."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from sim_api import ask, dispatcher, refused
from wire_calls import Refused, called, login

from xenapi_core.clock import RealClock
from xenapi_core.engine.database_copies import follow, renew
from xenapi_core.engine.plans.database_copy import MANY, SIZE, copies
from xenapi_core.engine.steps.database_disk import LONG, heads, read_copy
from xenapi_core.ids import NULL_REF
from xenapi_core.model.catalog import SCHEMA
from xenapi_core.store.api import Version
from xenapi_core.store.dump import HEAD
from xenapi_core.testing.faults import FaultRule, Faulty
from xenapi_core.testing.pool import GIB, SimPool, sim_pool


def copy_of(pool: SimPool) -> Version:
    (vdi,) = copies(pool.store)
    return vdi


async def lose_storage(pool: SimPool, sr: str) -> dict[str, Any]:
    """Forget the SR, as a pool that is about to be lost cannot do; returns what leads to it."""
    values = {name: pool.store.get(sr)[name] for name in ("uuid", "name_label", "type", "shared")}
    for pbd in pool.store.related(sr, "PBDs"):
        await pool.call("PBD.unplug", pbd)
    await pool.call("SR.forget", sr)
    return values


async def bring_storage(pool: SimPool, values: dict[str, Any]) -> str:
    """Introduce the SR, connect it to all hosts and scan it."""
    names = values["uuid"], values["name_label"], "", values["type"], "user", values["shared"], {}
    sr = await ask(pool, "SR.introduce", *names)
    for host in pool.hosts:
        pbd = {"host": host, "SR": sr, "device_config": {}, "other_config": {}}
        await ask(pool, "PBD.plug", await ask(pool, "PBD.create", pbd))
    await pool.call("SR.scan", sr)
    return str(sr)


async def after_the_disaster(pool: SimPool, *vms: str) -> tuple[str, str]:
    """The SR was replicated to, its VMs are gone, and it was introduced anew; returns the SR and the copy's disk."""
    await pool.call("SR.enable_database_replication", pool.sr)
    values = await lose_storage(pool, pool.sr)
    for vm in vms:
        await pool.call("VM.destroy", vm)
    sr = await bring_storage(pool, values)
    (disk,) = [vdi for vdi in pool.store.related(sr, "VDIs") if pool.store.get(vdi)["type"] == "metadata"]
    return sr, disk


async def test_replication_makes_one_disk_that_says_whose_it_is() -> None:
    async with sim_pool(hosts=2) as pool:
        await ask(pool, "SR.assert_supports_database_replication", pool.sr)
        await pool.call("SR.enable_database_replication", pool.sr)
        await pool.call("SR.enable_database_replication", pool.sr)
        vdi = copy_of(pool)
        assert (vdi["SR"], vdi["type"], vdi["metadata_of_pool"]) == (pool.sr, "metadata", pool.pool)
        assert vdi["metadata_latest"]
        pool_uuid = pool.store.get(pool.pool)["uuid"]
        assert await ask(pool, "VDI.read_database_pool_uuid", vdi.ref) == pool_uuid
        error = await refused(pool, "VDI.open_database", vdi.ref)
        assert error == ["VDI_CONTAINS_METADATA_OF_THIS_POOL", vdi.ref, pool.pool]
        await pool.call("SR.disable_database_replication", pool.sr)
        assert copies(pool.store) == []
        assert pool.store.find(vdi.ref) is None


async def test_replication_needs_all_hosts_and_a_type_that_holds_bytes() -> None:
    async with sim_pool(hosts=2) as pool:
        both = ("SR.assert_supports_database_replication", "SR.enable_database_replication")
        for message in both:
            assert await refused(pool, message, pool.iso) == ["SR_OPERATION_NOT_SUPPORTED", pool.iso]
        await pool.call("PBD.unplug", pool.store.related(pool.sr, "PBDs")[0])
        for message in both:
            assert await refused(pool, message, pool.sr) == ["SR_HAS_NO_PBDS", pool.sr]


async def test_a_vm_that_was_lost_is_recovered_with_its_disks() -> None:
    async with sim_pool(hosts=2) as pool:
        vm = pool.add_vm("shop", disks=2)
        snapshot = await pool.call("VM.snapshot", vm, "before")
        was = pool.vm(vm)
        disks = sorted(pool.store.get(pool.store.get(vbd)["VDI"])["uuid"] for vbd in pool.store.related(vm, "VBDs"))
        macs = [pool.store.get(vif)["MAC"] for vif in pool.store.related(vm, "VIFs")]
        sr, disk = await after_the_disaster(pool, vm, snapshot)
        assert pool.store.by_uuid("VM", was["uuid"]) is None
        copy, here = await ask(pool, "VDI.open_database", disk), await login(pool)
        (lost,) = await called(pool, "VM.get_by_name_label", copy, "shop")
        assert (await called(pool, "VM.get_record", copy, lost))["uuid"] == was["uuid"]
        await called(pool, "VM.assert_can_be_recovered", copy, lost, here)
        await called(pool, "VM.recover", copy, lost, here, False)
        found = pool.store.by_uuid("VM", was["uuid"])
        assert found is not None
        assert (found["name_label"], found["power_state"], found["version"]) == ("shop", "Halted", 1)
        attached = [pool.store.get(pool.store.get(vbd)["VDI"]) for vbd in pool.store.related(found.ref, "VBDs")]
        assert sorted(vdi["uuid"] for vdi in attached) == disks
        assert {vdi["SR"] for vdi in attached} == {sr}
        assert [pool.store.get(vif)["MAC"] for vif in pool.store.related(found.ref, "VIFs")] == macs
        (again,) = pool.store.related(found.ref, "snapshots")
        assert pool.store.get(again)["name_label"] == "before"
        await pool.call("VM.start", found.ref, False, False)
        assert pool.vm(found.ref)["power_state"] == "Running"


async def test_a_vm_that_is_here_is_replaced_by_a_newer_one_or_by_force() -> None:
    async with sim_pool() as pool:
        vm = pool.add_vm("shop")
        snapshot = await pool.call("VM.snapshot", vm, "before")
        uuid = pool.vm(vm)["uuid"]
        _, disk = await after_the_disaster(pool)
        copy, here = await ask(pool, "VDI.open_database", disk), await login(pool)
        with pytest.raises(Refused) as failure:
            await called(pool, "VM.recover", copy, vm, here, False)
        assert failure.value.description == ["VM_TO_IMPORT_IS_NOT_NEWER_VERSION", vm, "0", "0"]
        await called(pool, "VM.recover", copy, vm, here, True)
        found = pool.store.by_uuid("VM", uuid)
        assert found is not None
        assert found.ref != vm
        assert pool.store.find(vm) is None
        assert pool.store.related(found.ref, "snapshots") == (snapshot,)
        await pool.call("VM.start", found.ref, False, False)
        with pytest.raises(Refused) as failure:
            await called(pool, "VM.recover", copy, vm, here, True)
        assert failure.value.description[0] == "VM_BAD_POWER_STATE"


async def test_a_session_on_a_copy_reads_and_does_nothing_else() -> None:
    async with sim_pool() as pool:
        vm = pool.add_vm("shop")
        _, disk = await after_the_disaster(pool, vm)
        copy = await ask(pool, "VDI.open_database", disk)
        assert (await called(pool, "VM.get_all_records", copy))[vm]["name_label"] == "shop"
        assert await called(pool, "VM.get_all_records_where", copy, 'field "name__label" = "nobody"') == {}
        assert await called(pool, "VM.get_allowed_operations", copy, vm)
        for name, args, code in (
            ("VM.set_name_label", (vm, "other"), "RBAC_PERMISSION_DENIED"),
            ("VM.start", (vm, False, False), "RBAC_PERMISSION_DENIED"),
            ("Async.VM.start", (vm, False, False), "RBAC_PERMISSION_DENIED"),
            ("host.get_servertime", (pool.hosts[0],), "OPERATION_NOT_ALLOWED"),
            ("event.from", (["*"], "", 0.0), "OPERATION_NOT_ALLOWED"),
            ("VM.get_record", ("OpaqueRef:nobody",), "HANDLE_INVALID"),
            ("VM.recover", (vm, copy, True), "RBAC_PERMISSION_DENIED"),
            ("VM.recover", (vm, "OpaqueRef:nobody", True), "SESSION_INVALID"),
        ):
            with pytest.raises(Refused) as failure:
                await called(pool, name, copy, *args)
            assert failure.value.description[0] == code, name
        await called(pool, "session.logout", copy)
        with pytest.raises(Refused) as failure:
            await called(pool, "VM.get_all", copy)
        assert failure.value.description[0] == "SESSION_INVALID"


async def test_a_recovery_as_a_task_is_followed_in_the_session_that_began_it() -> None:
    async with sim_pool() as pool:
        vm = pool.add_vm("shop")
        uuid = pool.vm(vm)["uuid"]
        _, disk = await after_the_disaster(pool, vm)
        copy, here = await ask(pool, "VDI.open_database", disk), await login(pool)
        with pytest.raises(Refused) as failure:  # its result would be a session, and anybody may read a task
            await called(pool, "Async.VDI.open_database", here, disk)
        assert failure.value.description[0] == "Fault"
        task = await called(pool, "Async.VM.recover", copy, vm, here, False)
        await pool.pass_time(10)
        assert await called(pool, "task.get_status", copy, task) == "success"
        assert pool.store.by_uuid("VM", uuid) is not None


async def test_disks_that_are_gone_are_left_out_by_force_only() -> None:
    async with sim_pool() as pool:
        vm = pool.add_vm("shop", disks=2)
        gone = pool.store.get(pool.store.related(vm, "VBDs")[0])["VDI"]
        uuid = pool.store.get(gone)["uuid"]
        dom0 = pool.add("VM", name_label="dom0", is_control_domain=True)
        _, disk = await after_the_disaster(pool, vm)
        pool.remove(dom0)
        lost = pool.store.by_uuid("VDI", uuid)
        assert lost is not None
        await pool.call("VDI.destroy", lost.ref)
        copy, here = await ask(pool, "VDI.open_database", disk), await login(pool)
        for args, code in (
            ((vm, here, False), "IMPORT_ERROR_ATTACHED_DISKS_NOT_FOUND"),
            ((dom0, here, True), "OPERATION_NOT_ALLOWED"),
            ((vm, await login(pool, "vm-admin"), True), "RBAC_PERMISSION_DENIED"),
        ):
            with pytest.raises(Refused) as failure:
                await called(pool, "VM.recover", copy, *args)
            assert failure.value.description[0] == code
        await called(pool, "VM.recover", copy, vm, here, True)
        (found,) = pool.store.by_name("VM", "shop")
        assert len(pool.store.related(found, "VBDs")) == 1


async def test_a_suspended_vm_goes_on_where_it_was() -> None:
    async with sim_pool() as pool:
        vm = await pool.running("shop")
        await pool.call("VM.suspend", vm)
        _, disk = await after_the_disaster(pool, vm)
        copy, here = await ask(pool, "VDI.open_database", disk), await login(pool)
        await called(pool, "VM.recover", copy, vm, here, False)
        (found,) = pool.store.by_name("VM", "shop")
        assert pool.vm(found)["power_state"] == "Suspended"
        await pool.call("VM.resume", found, False, False)
        assert pool.vm(found)["power_state"] == "Running"


async def test_an_appliance_is_recovered_as_a_whole() -> None:
    async with sim_pool() as pool:
        vms = [pool.add_vm(name) for name in ("web", "mail")]
        appliance = await ask(pool, "VM_appliance.create", {"name_label": "shop", "name_description": ""})
        for vm in vms:
            pool.change(vm, appliance=appliance)
        uuid = pool.store.get(appliance)["uuid"]
        _, disk = await after_the_disaster(pool, *vms)
        await ask(pool, "VM_appliance.destroy", appliance)
        copy, here = await ask(pool, "VDI.open_database", disk), await login(pool)
        for message, *more in (("VM.assert_can_be_recovered",), ("VM.recover", False)):
            with pytest.raises(Refused) as failure:
                await called(pool, message, copy, vms[0], here, *more)
            assert failure.value.description == ["VM_IS_PART_OF_AN_APPLIANCE", vms[0], appliance]
        await called(pool, "VM_appliance.assert_can_be_recovered", copy, appliance, here)
        await called(pool, "VM_appliance.recover", copy, appliance, here, False)
        found = pool.store.by_uuid("VM_appliance", uuid)
        assert found is not None
        names = {pool.vm(vm)["name_label"] for vm in pool.store.related(found.ref, "VMs")}
        assert names == {"web", "mail"}


async def test_storage_that_is_not_connected_is_named() -> None:
    async with sim_pool() as pool:
        vm = pool.add_vm("shop", disks=0)
        other = pool.add_sr("other", 100 * GIB)
        pool.add("VBD", **pool.vbd_values(vm, pool.add_vdi(sr=other), "0"))
        _, disk = await after_the_disaster(pool)
        await pool.call("PBD.unplug", pool.store.related(other, "PBDs")[0])
        copy, here = await ask(pool, "VDI.open_database", disk), await login(pool)
        assert await called(pool, "VM.get_SRs_required_for_recovery", copy, vm, here) == [other]
        for message, *more in (("VM.assert_can_be_recovered",), ("VM.recover", True)):
            with pytest.raises(Refused) as failure:
                await called(pool, message, copy, vm, here, *more)
            assert failure.value.description == ["VM_REQUIRES_SR", vm, other]


async def test_the_copy_follows_changes_and_then_rests() -> None:
    async with sim_pool() as pool:
        await pool.call("SR.enable_database_replication", pool.sr)
        following = asyncio.ensure_future(follow(pool.engine))
        try:
            vm = pool.add_vm("late")
            await pool.pass_time(60)
            rested = pool.store.revision
            await pool.pass_time(60)
            assert pool.store.revision == rested
        finally:
            following.cancel()
        values = await lose_storage(pool, pool.sr)
        sr = await bring_storage(pool, values)
        (disk,) = [vdi for vdi in pool.store.related(sr, "VDIs") if pool.store.get(vdi)["type"] == "metadata"]
        copy = await ask(pool, "VDI.open_database", disk)
        assert await called(pool, "VM.get_name_label", copy, vm) == "late"


async def test_a_write_that_breaks_leaves_the_copy_before_it() -> None:
    async with sim_pool() as pool:
        await pool.call("SR.enable_database_replication", pool.sr)
        vdi, storage = copy_of(pool), pool.engine.storages[pool.sr]
        pool.add_vm("late")
        pool.engine.storages[pool.sr] = Faulty(storage, [FaultRule("write", after=1)], pool.clock)
        await renew(pool.engine)
        assert not pool.store.get(vdi.ref)["metadata_latest"]
        pool_uuid = pool.store.get(pool.pool)["uuid"]
        assert await ask(pool, "VDI.read_database_pool_uuid", vdi.ref) == pool_uuid
        pool.engine.storages[pool.sr] = storage
        await ask(pool, "pool.sync_database")
        assert pool.store.get(vdi.ref)["metadata_latest"]


async def test_a_copy_of_the_copy_can_be_opened_beside_it() -> None:
    async with sim_pool() as pool:
        await pool.call("SR.enable_database_replication", pool.sr)
        other = await pool.call("VDI.copy", copy_of(pool).ref, pool.sr, NULL_REF, NULL_REF)
        assert [vdi.ref for vdi in copies(pool.store)] != [other]
        copy = await ask(pool, "VDI.open_database", other)
        assert await called(pool, "pool.get_name_label", copy, pool.pool) == "test"


async def test_the_dump_before_a_damaged_one_is_read() -> None:
    async with sim_pool() as pool:
        await pool.call("SR.enable_database_replication", pool.sr)
        vdi, storage = copy_of(pool), pool.engine.storages[pool.sr]
        vm = pool.add_vm("late")
        await ask(pool, "pool.sync_database")
        newest = await read_copy(SCHEMA, storage, vdi["uuid"], SIZE)
        assert newest.store.find(vm) is not None
        (_, place), _ = await heads(storage, vdi["uuid"], SIZE)
        await storage.write(vdi["uuid"], place + HEAD, b"damage")
        before = await read_copy(SCHEMA, storage, vdi["uuid"], SIZE)
        assert before.store.find(vm) is None
        assert list(before.store.all("pool")) == [pool.pool]


async def test_a_disk_without_a_database_is_not_opened() -> None:
    async with sim_pool() as pool:
        disk, blank = pool.add_vdi(), pool.add_vdi(type="metadata")
        for message in ("VDI.open_database", "VDI.read_database_pool_uuid"):
            assert await refused(pool, message, disk) == ["VDI_INCOMPATIBLE_TYPE", disk, "user"]
            assert (await refused(pool, message, blank))[0] == "COULD_NOT_IMPORT_DATABASE"
        assert dispatcher(pool).sessions.callers() == []


async def test_secrets_do_not_go_to_the_copy() -> None:
    async with sim_pool() as pool:
        await ask(pool, "secret.create", {"value": "hidden", "other_config": {}})
        _, disk = await after_the_disaster(pool)
        vdi = pool.store.get(disk)
        storage = pool.engine.storages[vdi["SR"]]
        database = await read_copy(SCHEMA, storage, vdi["uuid"], vdi["virtual_size"])
        assert list(database.store.all("pool")) == [pool.pool]
        assert len(database.store.all("secret")) == 0
        assert vdi["metadata_of_pool"] == NULL_REF


async def test_a_recovery_task_brings_storage_in_and_leaves_what_vms_need() -> None:
    async with sim_pool(hosts=2) as pool:
        config = {"server": "filer", "serverpath": "/vms"}
        made = [
            await pool.call("SR.create", pool.hosts[0], config, 0, name, "", "nfs", "user", True, {})
            for name in ("wanted", "other", "not listed")
        ]
        vm = pool.add_vm("shop", disks=0)
        disk = {"SR": made[0], "virtual_size": GIB, "name_label": "disk", "type": "user"}
        pool.add("VBD", **pool.vbd_values(vm, await pool.call("VDI.create", disk), "0"))
        await pool.call("SR.enable_database_replication", made[0])
        uuids = [(await lose_storage(pool, sr))["uuid"] for sr in made]
        await pool.call("VM.destroy", vm)

        task = await ask(pool, "DR_task.create", "nfs", {"server": "filer"}, uuids[:2])
        brought = await ask(pool, "DR_task.get_introduced_SRs", task)
        assert sorted(pool.store.get(sr)["uuid"] for sr in brought) == sorted(uuids[:2])
        again = await ask(pool, "DR_task.create", "nfs", {"server": "filer"}, uuids[:2])
        assert await ask(pool, "DR_task.get_introduced_SRs", again) == ()
        vdis = [pool.store.get(vdi) for sr in brought for vdi in pool.store.related(sr, "VDIs")]
        (metadata,) = [vdi.ref for vdi in vdis if vdi["type"] == "metadata"]
        copy, here = await ask(pool, "VDI.open_database", metadata), await login(pool)
        await called(pool, "VM.recover", copy, vm, here, False)
        await ask(pool, "DR_task.destroy", task)
        assert pool.store.find(task) is None
        assert [pool.store.by_uuid("SR", uuid) is not None for uuid in uuids] == [True, False, False]
        (found,) = pool.store.by_name("VM", "shop")
        await pool.call("VM.start", found, False, False)


async def test_a_recovery_task_whose_storage_is_used_is_not_destroyed() -> None:
    async with sim_pool(hosts=2) as pool:
        config = {"server": "filer", "serverpath": "/vms"}
        sr = await pool.call("SR.create", pool.hosts[0], config, 0, "lost", "", "nfs", "user", True, {})
        values = await lose_storage(pool, sr)
        task = await ask(pool, "DR_task.create", "nfs", config, (values["uuid"],))
        (brought,) = await ask(pool, "DR_task.get_introduced_SRs", task)
        vm = pool.add_vm("shop", disks=0)
        disk = {"SR": brought, "virtual_size": GIB, "name_label": "disk", "type": "user"}
        pool.add("VBD", **pool.vbd_values(vm, await pool.call("VDI.create", disk), "0"))
        await pool.call("VM.start", vm, False, False)
        error = await refused(pool, "DR_task.destroy", task)
        assert error[0] == "CANNOT_DESTROY_DISASTER_RECOVERY_TASK"
        assert all(pool.store.get(pbd)["currently_attached"] for pbd in pool.store.related(brought, "PBDs"))
        assert await refused(pool, "DR_task.create", "iso", {}, ()) == [
            "OPERATION_NOT_ALLOWED", "Storage of type iso holds no databases.",
        ]  # fmt: skip
        assert await refused(pool, "DR_task.create", "tape", {}, ()) == ["SR_UNKNOWN_DRIVER", "tape"]


async def test_a_large_database_is_written_and_read_as_a_small_one() -> None:
    async with sim_pool(RealClock(1000.0)) as pool:
        noise = random.Random(1).randbytes(2 * LONG).hex()
        vm = pool.add("VM", name_label="large", other_config={"noise": noise})
        for number in range(MANY):
            pool.add("VM", name_label=str(number))
        await pool.call("SR.enable_database_replication", pool.sr)
        vdi = copy_of(pool)
        storage = pool.engine.storages[pool.sr]
        database = await read_copy(SCHEMA, storage, vdi["uuid"], vdi["virtual_size"])
        assert len(database.store.all("VM")) == MANY + 1
        assert database.store.get(vm)["other_config"] == {"noise": noise}
