"""Disks that a host attaches to itself at each of its starts, and data paths of the storage layer."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import sim_api

from xenapi_core.drivers.sim import SimWorld
from xenapi_core.engine.engine import Engine
from xenapi_core.model.catalog import SCHEMA
from xenapi_core.server.adopt import adopt_pool
from xenapi_core.testing.faults import FaultRule, Faulty
from xenapi_core.testing.pool import TEST_CALLER, SimPool, render_plain, sim_pool

ROOT = replace(TEST_CALLER, local_root=True)  # static disks are the business of the hosts alone
ask, refused = partial(sim_api.ask, caller=ROOT), partial(sim_api.refused, caller=ROOT)


def hosts_of(pool: SimPool, vdi: str) -> list[str]:
    """Hosts that have the volume attached to themselves, as the storage says."""
    volume = pool.sim.find_volume(pool.store.get(vdi)["uuid"])
    assert volume is not None
    return [host for host in pool.hosts if pool.store.get(host)["uuid"] in volume.hosts]


def pbd_of(pool: SimPool, host: str, sr: str) -> str:
    return next(pbd for pbd in pool.store.related(sr, "PBDs") if pool.store.get(pbd)["host"] == host)


async def restart(pool: SimPool, host: str) -> None:
    await ask(pool, "host.disable", host)
    await ask(pool, "host.reboot", host)
    await pool.pass_time(600)


async def test_static_disk_is_in_use_until_it_is_detached() -> None:
    async with sim_pool(hosts=2) as pool:
        host, vdi = pool.hosts[0], pool.add_vdi()
        await ask(pool, "host.attach_static_vdis", host, {vdi: "the log"})
        assert hosts_of(pool, vdi) == [host]
        assert await refused(pool, "VDI.destroy", vdi) == ["VDI_IN_USE", vdi, "destroy"]
        assert await refused(pool, "VDI.forget", vdi) == ["VDI_IN_USE", vdi, "forget"]
        written = await refused(pool, "VDI.copy", pool.add_vdi(), "OpaqueRef:NULL", "OpaqueRef:NULL", vdi)
        assert written == ["VDI_IN_USE", vdi, "import"]
        allowed = await ask(pool, "VDI.get_allowed_operations", vdi)
        assert "snapshot" in allowed
        assert not {"destroy", "forget", "resize", "copy"} & set(allowed)
        pbd = pbd_of(pool, host, pool.sr)
        assert await refused(pool, "PBD.unplug", pbd) == ["VDI_IN_USE", vdi]
        told = await ask(pool, "host.get_sm_diagnostics", host)
        assert "attached to the host itself, for the log" in told
        vm = pool.add_vm(disks=0)
        await ask(pool, "VBD.create", pool.vbd_values(vm, vdi, "0"))
        assert await refused(pool, "VM.start", vm, False, False) == ["VDI_IN_USE", vdi]
        await ask(pool, "host.detach_static_vdis", host, (vdi,))
        assert hosts_of(pool, vdi) == []
        await ask(pool, "VM.start", vm, False, False)
        await ask(pool, "host.detach_static_vdis", host, (vdi,))
        await ask(pool, "VM.hard_shutdown", vm)
        await ask(pool, "VDI.destroy", vdi)


async def test_static_disk_is_not_moved_to_other_storage() -> None:
    async with sim_pool(hosts=2) as pool:
        vdi, other = pool.add_vdi(sharable=True), pool.add_sr("other", 1 << 40)
        vm = await pool.running(disks=0)
        vbd = await ask(pool, "VBD.create", pool.vbd_values(vm, vdi, "0"))
        await ask(pool, "VBD.plug", vbd)
        await ask(pool, "host.attach_static_vdis", pool.hosts[0], {vdi: ""})
        assert await refused(pool, "VDI.pool_migrate", vdi, other, {}) == ["VDI_IN_USE", vdi, "mirror"]


async def test_sharable_disk_is_static_on_several_hosts() -> None:
    async with sim_pool(hosts=2) as pool:
        vdi = pool.add_vdi(sharable=True)
        for host in pool.hosts:
            await ask(pool, "host.attach_static_vdis", host, {vdi: "heartbeat"})
        assert hosts_of(pool, vdi) == pool.hosts
        await ask(pool, "host.detach_static_vdis", pool.hosts[0], (vdi,))
        assert hosts_of(pool, vdi) == [pool.hosts[1]]
        assert await refused(pool, "VDI.destroy", vdi) == ["VDI_IN_USE", vdi, "destroy"]


async def test_disk_that_somebody_has_does_not_become_static() -> None:
    async with sim_pool(hosts=2) as pool:
        host = pool.hosts[0]
        vm = await pool.running()
        used = pool.store.get(pool.store.related(vm, "VBDs")[0])["VDI"]
        free, elsewhere = pool.add_vdi(), pool.add_vdi()
        assert await refused(pool, "host.attach_static_vdis", host, {free: "", used: ""}) == ["VDI_IN_USE", used]
        assert hosts_of(pool, free) == []
        await ask(pool, "host.attach_static_vdis", pool.hosts[1], {elsewhere: ""})
        assert await refused(pool, "host.attach_static_vdis", host, {elsewhere: ""}) == ["VDI_IN_USE", elsewhere]
        blocks = pool.add_vdi(type="cbt_metadata")
        told = await refused(pool, "host.attach_static_vdis", host, {blocks: ""})
        assert told == ["VDI_INCOMPATIBLE_TYPE", blocks, "cbt_metadata"]
        hidden = pool.add_vdi(managed=False)
        assert await refused(pool, "host.attach_static_vdis", host, {hidden: ""}) == ["VDI_NOT_MANAGED", hidden]


async def test_host_attaches_disks_of_storage_it_is_connected_to() -> None:
    async with sim_pool(hosts=2) as pool:
        host, vdi = pool.hosts[0], pool.add_vdi()
        await ask(pool, "PBD.unplug", pbd_of(pool, host, pool.sr))
        assert await refused(pool, "host.attach_static_vdis", host, {vdi: ""}) == ["SR_NOT_ATTACHED", pool.sr]
        await ask(pool, "host.attach_static_vdis", pool.hosts[1], {vdi: ""})
        await ask(pool, "host.disable", host)
        await ask(pool, "host.shutdown", host)
        assert await refused(pool, "host.attach_static_vdis", host, {vdi: ""}) == ["HOST_OFFLINE", host]
        assert await refused(pool, "host.detach_static_vdis", host, (vdi,)) == ["HOST_OFFLINE", host]


async def test_host_that_restarts_attaches_its_disks_again() -> None:
    async with sim_pool(hosts=2) as pool:
        host, first, second, gone = pool.hosts[1], pool.add_vdi(), pool.add_vdi(), pool.add_vdi()
        await ask(pool, "host.attach_static_vdis", host, {first: "a", second: "b", gone: "c"})
        await ask(pool, "host.detach_static_vdis", host, (gone,))
        await ask(pool, "host.disable", host)
        await ask(pool, "host.reboot", host)
        assert [hosts_of(pool, vdi) for vdi in (first, second)] == [[], []]
        assert await refused(pool, "VDI.destroy", first) == ["VDI_IN_USE", first, "destroy"]
        await pool.pass_time(600)
        assert [hosts_of(pool, vdi) for vdi in (first, second, gone)] == [[host], [host], []]


async def test_disk_that_cannot_be_attached_at_start_keeps_no_other_back() -> None:
    async with sim_pool(hosts=2) as pool:
        host, first, second = pool.hosts[1], pool.add_vdi(), pool.add_vdi()
        await ask(pool, "host.attach_static_vdis", host, {first: "", second: ""})
        rule = FaultRule("attach_volume")
        pool.engine.storages[pool.sr] = Faulty(pool.engine.storages[pool.sr], [rule], pool.clock)  # type: ignore[assignment]
        await restart(pool, host)
        assert (rule.fired, hosts_of(pool, first), hosts_of(pool, second)) == (1, [], [host])


async def test_storage_that_fails_to_detach_is_forgotten_all_the_same() -> None:
    async with sim_pool(hosts=2) as pool:
        host, vdi = pool.hosts[0], pool.add_vdi()
        await ask(pool, "host.attach_static_vdis", host, {vdi: ""})
        rule = FaultRule("detach_volume")
        pool.engine.storages[pool.sr] = Faulty(pool.engine.storages[pool.sr], [rule], pool.clock)  # type: ignore[assignment]
        await ask(pool, "host.detach_static_vdis", host, (vdi,))
        assert (rule.fired, pool.store.get(vdi)["static_on"]) == (1, {})


async def test_host_that_leaves_takes_no_disk_with_it() -> None:
    async with sim_pool(hosts=2) as pool:
        host, vdi = pool.hosts[1], pool.add_vdi()
        await ask(pool, "host.attach_static_vdis", host, {vdi: ""})
        await ask(pool, "host.disable", host)
        await ask(pool, "host.shutdown", host)
        await ask(pool, "host.destroy", host)
        await ask(pool, "VDI.destroy", vdi)


async def test_static_disks_are_attached_when_the_manager_restarts() -> None:
    async with sim_pool(hosts=2) as pool:
        host, vdi = pool.hosts[1], pool.add_vdi()
        await ask(pool, "host.attach_static_vdis", host, {vdi: ""})
        world = SimWorld(pool.clock, seed=1)
        engine = Engine(pool.store, SCHEMA, pool.clock, pool.ids, render_plain)
        adopt_pool(pool.store, engine, world)
        volume = world.find_volume(pool.store.get(vdi)["uuid"])
        assert volume is not None
        assert volume.hosts == {pool.store.get(host)["uuid"]}
        await engine.close()
        await world.close()


async def test_host_that_is_ejected_lets_go_of_its_disks() -> None:
    async with sim_pool(hosts=2) as pool:
        host, vdi = pool.hosts[1], pool.add_vdi()
        await ask(pool, "host.attach_static_vdis", host, {vdi: ""})
        await ask(pool, "pool.eject", host)
        assert pool.store.get(vdi)["static_on"] == {}
        await ask(pool, "VDI.destroy", vdi)


# Data paths


def data_path(pool: SimPool, vm: str, device: str) -> tuple[str, str]:
    record = pool.vm(vm)
    return record["resident_on"], f"vbd/{record['domid']}/{device}"


def disks_of(pool: SimPool, vm: str) -> set[str]:
    """uuids of the disks the machine has, as its hypervisor says."""
    return set(pool.sim.machines[pool.vm(vm)["uuid"]].disks)


def vbd_at(pool: SimPool, vm: str, device: str) -> Any:
    return next(vbd for vbd in map(pool.store.get, pool.store.related(vm, "VBDs")) if vbd["device"] == device)


async def test_data_path_that_is_destroyed_takes_the_disk_from_its_vm() -> None:
    async with sim_pool(hosts=2) as pool:
        vm = await pool.running(disks=2)
        first, second = vbd_at(pool, vm, "xvda"), vbd_at(pool, vm, "xvdb")
        host, path = data_path(pool, vm, "xvdb")
        await ask(pool, "host.sm_dp_destroy", host, path, False)
        assert disks_of(pool, vm) == {first["uuid"]}
        assert not pool.store.get(second.ref)["currently_attached"]
        assert pool.vm(vm)["power_state"] == "Running"
        await ask(pool, "host.sm_dp_destroy", host, path, False)
        await ask(pool, "VDI.resize", second["VDI"], 2 << 30)
        await ask(pool, "VBD.plug", second.ref)
        assert disks_of(pool, vm) == {first["uuid"], second["uuid"]}


async def test_unknown_data_path_is_no_error_and_changes_nothing() -> None:
    async with sim_pool(hosts=2) as pool:
        vm = await pool.running()
        here, path = data_path(pool, vm, "xvda")
        elsewhere = next(host for host in pool.hosts if host != here)
        revision = pool.store.revision
        for host, name in (
            (here, "vbd/999/xvda"),
            (here, path + "a"),
            (here, "xvda"),
            (here, ""),
            (here, "vbd//xvda"),
            (elsewhere, path),
        ):
            await ask(pool, "host.sm_dp_destroy", host, name, False)
        assert (pool.store.revision, len(disks_of(pool, vm))) == (revision, 1)
        await ask(pool, "host.disable", elsewhere)
        await ask(pool, "host.shutdown", elsewhere)
        assert await refused(pool, "host.sm_dp_destroy", elsewhere, path, False) == ["HOST_OFFLINE", elsewhere]


async def test_data_path_that_cannot_be_torn_down_may_be_leaked() -> None:
    async with sim_pool(hosts=2) as pool:
        vm = await pool.running()
        vbd, (host, path) = vbd_at(pool, vm, "xvda"), data_path(pool, vm, "xvda")
        rule = FaultRule("detach_disk", count=2)
        pool.engine.hypervisors[host] = Faulty(pool.engine.hypervisors[host], [rule], pool.clock)  # type: ignore[assignment]
        told = await refused(pool, "host.sm_dp_destroy", host, path, False)
        assert told[:3] == ["DEVICE_DETACH_REJECTED", "VBD", vbd.ref]
        assert pool.store.get(vbd.ref)["currently_attached"]
        await ask(pool, "host.sm_dp_destroy", host, path, True)
        assert not pool.store.get(vbd.ref)["currently_attached"]


async def test_data_path_the_hypervisor_lost_is_followed_by_its_record() -> None:
    async with sim_pool(hosts=2) as pool:
        vm = await pool.running()
        vbd, (host, path) = vbd_at(pool, vm, "xvda"), data_path(pool, vm, "xvda")
        pool.sim.machines[pool.vm(vm)["uuid"]].disks.clear()
        await ask(pool, "host.sm_dp_destroy", host, path, False)
        assert not pool.store.get(vbd.ref)["currently_attached"]


async def test_drive_without_a_medium_has_no_data_path() -> None:
    async with sim_pool(hosts=2) as pool:
        vm = pool.add_vm()
        await ask(pool, "VBD.create", pool.vbd_values(vm, pool.add_vdi(), "3", type="CD", mode="RO", empty=True))
        await ask(pool, "VM.start", vm, False, False)
        host, path = data_path(pool, vm, "xvdd")
        await ask(pool, "host.sm_dp_destroy", host, path, False)
        assert vbd_at(pool, vm, "xvdd")["currently_attached"]
