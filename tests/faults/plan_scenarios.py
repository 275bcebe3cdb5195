"""A pool for every plan, in which it succeeds: what the tests of failing and cancelled plans walk."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sim_api import dispatcher

from xenapi_core.drivers.api import InterfaceState
from xenapi_core.engine.steps.vm_export import disks_of, records_of
from xenapi_core.ids import NULL_REF
from xenapi_core.server.actions import xva
from xenapi_core.server.actions.machines import about
from xenapi_core.server.exchange import PoolExchange
from xenapi_core.server.outgoing import Trust
from xenapi_core.testing.pool import GIB, SimPool

Arguments = Sequence[Any]


@dataclass(frozen=True)
class Scenario:
    """A plan, and a pool in which it succeeds. `forgives`: driver calls whose failure does not make it fail."""

    wire_name: str
    prepare: Callable[[SimPool], Awaitable[Arguments]]
    forgives: frozenset[str] = frozenset()
    name: str = ""

    @property
    def id(self) -> str:
        return self.wire_name + (f"-{self.name}" if self.name else "")


SCENARIOS: list[Scenario] = []


def scenario(wire_name: str, *forgives: str, name: str = "") -> Callable[[Any], Any]:
    def register(prepare: Callable[[SimPool], Awaitable[Arguments]]) -> Any:
        SCENARIOS.append(Scenario(wire_name, prepare, frozenset(forgives), name))
        return prepare

    return register


def on_vm(wire_name: str, *args: Any, state: str = "Running", forgives: tuple[str, ...] = (), name: str = "") -> None:
    """A plan on one VM with two disks, in `state`."""

    async def prepare(pool: SimPool) -> Arguments:
        vm = pool.add_vm(disks=2) if state == "Halted" else await pool.running(disks=2)
        if state == "Paused":
            await pool.call("VM.pause", vm)
        if state == "Suspended":
            await pool.call("VM.suspend", vm)
        return (vm, *args)

    scenario(wire_name, *forgives, name=name)(prepare)


on_vm("VM.start", False, False, state="Halted")
on_vm("VM.start", True, False, state="Halted", name="paused")
on_vm("VM.pause")
on_vm("VM.unpause", state="Paused")
on_vm("VM.suspend")
on_vm("VM.resume", False, False, state="Suspended", forgives=("destroy",))
on_vm("VM.clean_shutdown")
on_vm("VM.shutdown", name="running")
on_vm("VM.shutdown", state="Suspended", forgives=("usage",), name="suspended")
on_vm("VM.hard_shutdown")
on_vm("VM.hard_shutdown", state="Suspended", forgives=("usage",), name="suspended")
on_vm("VM.clean_reboot")
on_vm("VM.hard_reboot")
on_vm("VM.clone", "copy", state="Halted")
on_vm("VM.copy", "copy", NULL_REF, state="Halted")
on_vm("VM.snapshot", "snap")
on_vm("VM.checkpoint", "check")
on_vm("VM.checkpoint", "check", state="Suspended", name="suspended")
on_vm("VM.destroy", state="Halted")
on_vm("VM.set_memory_dynamic_range", GIB, GIB)
on_vm("VM.set_memory_dynamic_min", GIB, state="Halted")
on_vm("VM.set_memory_dynamic_max", GIB)
on_vm("VM.set_memory_target_live", GIB)
on_vm("VM.wait_memory_target_live")
on_vm("VM.set_VCPUs_number_live", 1)
on_vm("VM.add_to_VCPUs_params_live", "weight", "512")
on_vm("VM.set_shadow_multiplier_live", 2.0)
on_vm("VM.hard_reboot_internal")
on_vm("VM.send_sysrq", "h")
on_vm("VM.send_trigger", "nmi")
on_vm("VM.restart_device_models")
on_vm("VM.s3_suspend")
on_vm("VM.power_state_reset", state="Halted")


def on_host(wire_name: str, *args: Any) -> None:
    """A plan on the first host."""

    async def prepare(pool: SimPool) -> Arguments:
        return (pool.hosts[0], *args)

    scenario(wire_name)(prepare)


def on_pool(wire_name: str, *args: Any) -> None:
    """A plan on the pool of two hosts."""

    async def prepare(pool: SimPool) -> Arguments:
        return (pool.pool, *args)

    scenario(wire_name)(prepare)


on_host("host.set_iscsi_iqn", "iqn.2026-01.org.example:h0")
on_host("host.set_multipathing", True)
on_host("host.set_timezone", "Asia/Tokyo")
on_host("host.set_ntp_mode", "Disabled")
on_host("host.set_ntp_custom_servers", ("ntp.example.org",))
on_host("host.set_max_cstate", "1")
on_host("host.set_numa_affinity_policy", "best_effort")
on_host("host.set_sched_gran", "core")
on_host("host.get_sched_gran")
on_host("host.syslog_reconfigure")
on_host("host.enable_display")
on_host("host.disable_display")
on_host("host.enable_ssh")
on_host("host.disable_ssh")
on_host("host.set_ssh_enabled_timeout", 60)
on_host("host.set_ssh_auto_mode", True)
on_host("host.set_console_idle_timeout", 60)
on_host("host.dmesg")
on_host("host.dmesg_clear")
on_host("host.get_log")
on_host("host.send_debug_keys", "h")
on_pool("pool.enable_ssh")
on_pool("pool.disable_ssh")
on_pool("pool.set_ssh_enabled_timeout", 60)
on_pool("pool.set_ssh_auto_mode", True)
on_pool("pool.set_console_idle_timeout", 60)
on_pool("pool.set_igmp_snooping_enabled", True)


async def _forgetful(pool: SimPool) -> str:
    """A halted VM whose disk forgets, and has its base."""
    vm = pool.add_vm()
    (vbd,) = pool.store.related(vm, "VBDs")
    await pool.call("VDI.set_on_boot", pool.store.get(vbd)["VDI"], "reset")
    await pool.call("VM.start", vm, False, False)
    await pool.call("VM.hard_shutdown", vm)
    return vm


@scenario("VM.start", "usage", name="reset disk")
async def start_with_reset_disk(pool: SimPool) -> Arguments:
    return await _forgetful(pool), False, False


@scenario("VDI.set_on_boot", "usage")
async def set_on_boot(pool: SimPool) -> Arguments:
    vm = await _forgetful(pool)
    (vbd,) = pool.store.related(vm, "VBDs")
    return pool.store.get(vbd)["VDI"], "persist"


@scenario("VM.start_on")
async def start_on(pool: SimPool) -> Arguments:
    return pool.add_vm(), pool.hosts[1], False, False


@scenario("VM.resume_on", "destroy")
async def resume_on(pool: SimPool) -> Arguments:
    vm = await pool.running()
    await pool.call("VM.suspend", vm)
    return vm, pool.hosts[1], False, False


@scenario("VM.pool_migrate", "destroy")
async def pool_migrate(pool: SimPool) -> Arguments:
    vm = await pool.running()
    other = next(host for host in pool.hosts if host != pool.vm(vm)["resident_on"])
    return vm, other, {}


@scenario("VM.s3_resume")
async def wake(pool: SimPool) -> Arguments:
    vm = await pool.running()
    await pool.call("VM.s3_suspend", vm)
    return (vm,)


@scenario("VM.migrate_send", "destroy")
async def migrate_send(pool: SimPool) -> Arguments:
    vm = await pool.running(disks=2)
    other = next(host for host in pool.hosts if host != pool.vm(vm)["resident_on"])
    first, _ = (pool.store.get(vbd)["VDI"] for vbd in pool.store.related(vm, "VBDs"))
    lan = pool.add("network", name_label="second lan", bridge="xenbr9", MTU=1500)
    vif_map = dict.fromkeys(pool.store.related(vm, "VIFs"), lan)
    return vm, {"host": other}, True, {first: pool.add_sr("second", 100 * GIB)}, vif_map, {}, {}, {}


@scenario("VM.import")
async def import_from_url(pool: SimPool) -> Arguments:
    """The web is an archive in memory: a VM with two disks that have something on them."""
    services = dispatcher(pool).services
    vm = pool.store.get(pool.add_vm(disks=2))
    records = records_of(pool.store, vm.ref, False)
    names = xva.names_of(records)
    parts = [xva.member(xva.OVA, await xva.describe(services, records, about(services)))]
    for disk in disks_of(pool.store, vm):
        last = (disk["virtual_size"] - 1) // xva.CHUNK
        parts += [xva.chunk(f"{names[disk.ref]}/{number:08d}", bytes(xva.CHUNK)) for number in (0, last)]

    async def fetch(url: str, *, trust: Trust) -> AsyncIterator[bytes]:
        for part in (*parts, xva.END):
            yield part

    pool.engine.exchange = PoolExchange(services, fetch)
    return "http://archive.example/vm.xva", NULL_REF, False, False


@scenario("VM.migrate_send", name="copy")
async def migrate_send_copy(pool: SimPool) -> Arguments:
    vm = pool.add_vm(disks=2)
    return vm, {"host": pool.hosts[0]}, False, {}, {}, {"copy": "true"}, {}, {}


async def _appliance(pool: SimPool, vm: str, *args: Any) -> Arguments:
    appliance = pool.add("VM_appliance", name_label="both")
    pool.change(vm, appliance=appliance)
    return (appliance, *args)


@scenario("VM_appliance.start")
async def appliance_start(pool: SimPool) -> Arguments:
    return await _appliance(pool, pool.add_vm(), False)


async def _live_appliance(pool: SimPool) -> Arguments:
    return await _appliance(pool, await pool.running())


for _name in ("clean_shutdown", "hard_shutdown", "shutdown"):
    scenario(f"VM_appliance.{_name}")(_live_appliance)


@scenario("host.evacuate")
async def evacuate(pool: SimPool) -> Arguments:
    vm = await pool.running()
    return pool.vm(vm)["resident_on"], NULL_REF, 0


async def _idle_host(pool: SimPool) -> Arguments:
    pool.change(pool.hosts[1], enabled=False)
    return (pool.hosts[1],)


for _name in ("host.shutdown", "host.reboot"):
    scenario(_name)(_idle_host)


@scenario("host.power_on")
async def power_on(pool: SimPool) -> Arguments:
    (host,) = await _idle_host(pool)
    pool.change(host, power_on_mode="wake-on-lan")
    await pool.call("host.shutdown", host)
    return (host,)


@scenario("VM.revert", "destroy", "usage")
async def revert(pool: SimPool) -> Arguments:
    vm = pool.add_vm(disks=2)
    return (await pool.call("VM.snapshot", vm, "snap"),)


@scenario("VM.provision")
async def provision(pool: SimPool) -> Arguments:
    sr = pool.store.get(pool.sr)["uuid"]
    disks = f'<provision><disk device="0" size="{GIB}" sr="{sr}" bootable="true" type="system"/>' + (
        f'<disk device="1" size="{GIB}" sr="{sr}" bootable="false" type="user"/></provision>'
    )
    return (pool.add_vm(disks=0, is_a_template=True, other_config={"disks": disks}),)


@scenario("VDI.create")
async def vdi_create(pool: SimPool) -> Arguments:
    return ({"SR": pool.sr, "virtual_size": GIB, "name_label": "new", "type": "user", "other_config": {}},)


async def _disk(pool: SimPool) -> Arguments:
    return (pool.add_vdi(),)


for _name in ("VDI.clone", "VDI.snapshot", "VDI.update", "VDI.forget"):
    scenario(_name)(_disk)
scenario("VDI.destroy", "usage")(_disk)


@scenario("VDI.revert", "usage")
async def vdi_revert(pool: SimPool) -> Arguments:
    return (await pool.call("VDI.snapshot", pool.add_vdi()),)


@scenario("VDI.introduce")
async def vdi_introduce(pool: SimPool) -> Arguments:
    vdi = pool.add_vdi()
    location = (await pool.engine.storages[pool.sr].volume(pool.store.get(vdi)["uuid"])).location
    await pool.call("VDI.forget", vdi)
    optional = ({}, {}, True, 0, 0, NULL_REF, False, 0, NULL_REF)
    return ("", "back", "", pool.sr, "user", False, False, {}, location, *optional)


@scenario("VDI.pool_migrate")
async def vdi_pool_migrate(pool: SimPool) -> Arguments:
    vbd = pool.store.related(await pool.running(), "VBDs")[0]
    return pool.store.get(vbd)["VDI"], pool.add_sr("second", 100 * GIB), {}


NFS = {"server": "192.0.2.9", "serverpath": "/disks"}


@scenario("SR.create")
async def sr_create(pool: SimPool) -> Arguments:
    return pool.hosts[0], NFS, 0, "new", "", "nfs", "user", True, {}


@scenario("SR.create", name="library")
async def sr_create_library(pool: SimPool) -> Arguments:
    return pool.hosts[0], {"location": "192.0.2.9:/iso"}, 0, "new", "", "iso", "iso", True, {}


@scenario("SR.make")
async def sr_make(pool: SimPool) -> Arguments:
    return pool.hosts[0], NFS, 0, "new", "", "nfs", "user", {}


async def _repository(pool: SimPool) -> Arguments:
    return (await pool.call("SR.create", *await sr_create(pool)),)


async def _disconnected(pool: SimPool) -> Arguments:
    (sr,) = await _repository(pool)
    for pbd in pool.store.related(sr, "PBDs"):
        await pool.call("PBD.unplug", pbd)
    return (sr,)


for _name in ("SR.scan", "SR.update"):
    scenario(_name)(_repository)
for _name in ("SR.destroy", "SR.forget"):
    scenario(_name)(_disconnected)


@scenario("PBD.plug")
async def pbd_plug(pool: SimPool) -> Arguments:
    (sr,) = await _disconnected(pool)
    return (pool.store.related(sr, "PBDs")[0],)


@scenario("PBD.unplug")
async def pbd_unplug(pool: SimPool) -> Arguments:
    (sr,) = await _repository(pool)
    return (pool.store.related(sr, "PBDs")[0],)


@scenario("VDI.copy")
async def vdi_copy(pool: SimPool) -> Arguments:
    return pool.add_vdi(), pool.add_sr("second", 100 * GIB), NULL_REF, NULL_REF


async def _written(pool: SimPool, block: int) -> str:
    """A disk with something in one of its blocks."""
    vdi = pool.add_vdi()
    storage = pool.sim.storage(pool.store.get(pool.sr)["uuid"])
    await storage.write(pool.store.get(vdi)["uuid"], block << 16, b"written")
    return vdi


@scenario("VDI.copy", name="differences")
async def vdi_copy_differences(pool: SimPool) -> Arguments:
    return await _written(pool, 3), pool.sr, await _written(pool, 5), NULL_REF


@scenario("VDI.copy", name="into")
async def vdi_copy_into(pool: SimPool) -> Arguments:
    return await _written(pool, 3), NULL_REF, NULL_REF, await _written(pool, 5)


async def _disk_of_running_vm(pool: SimPool) -> Arguments:
    return (pool.store.related(await pool.running(), "VBDs")[0],)


scenario("VBD.pause")(_disk_of_running_vm)


@scenario("VBD.unpause")
async def vbd_unpause(pool: SimPool) -> Arguments:
    (vbd,) = await _disk_of_running_vm(pool)
    return vbd, await pool.call("VBD.pause", vbd)


@scenario("VM.set_suspend_VDI")
async def vm_set_suspend_vdi(pool: SimPool) -> Arguments:
    vm = await pool.running()
    await pool.call("VM.suspend", vm)
    return vm, await pool.call("VDI.copy", pool.vm(vm)["suspend_VDI"], pool.sr)


@scenario("host_crashdump.destroy")
async def host_crashdump_destroy(pool: SimPool) -> Arguments:
    pool.sim.hosts[pool.store.get(pool.hosts[0])["uuid"]].crash()
    await pool.pass_time(100)
    (dump,) = pool.store.all("host_crashdump")
    return (dump,)


@scenario("VDI.checksum")
async def vdi_checksum(pool: SimPool) -> Arguments:
    return (await _written(pool, 3),)


@scenario("VDI.enable_cbt")
async def vdi_enable_cbt(pool: SimPool) -> Arguments:
    return (pool.add_vdi(),)


@scenario("VDI.disable_cbt")
async def vdi_disable_cbt(pool: SimPool) -> Arguments:
    vdi = pool.add_vdi()
    await pool.call("VDI.enable_cbt", vdi)
    return (vdi,)


async def _two_snapshots(pool: SimPool) -> Arguments:
    (vdi,) = await vdi_disable_cbt(pool)
    return await pool.call("VDI.snapshot", vdi), await pool.call("VDI.snapshot", vdi)


scenario("VDI.list_changed_blocks")(_two_snapshots)


@scenario("VDI.data_destroy", "usage")
async def vdi_data_destroy(pool: SimPool) -> Arguments:
    return ((await _two_snapshots(pool))[0],)


async def _larger(pool: SimPool) -> Arguments:
    return pool.add_vdi(), 2 * GIB


for _name in ("VDI.resize", "VDI.resize_online"):
    scenario(_name, "usage")(_larger)


@scenario("SR.enable_database_replication")
async def enable_database_replication(pool: SimPool) -> Arguments:
    return (pool.sr,)


@scenario("SR.disable_database_replication", "usage")
async def disable_database_replication(pool: SimPool) -> Arguments:
    await pool.call("SR.enable_database_replication", pool.sr)
    return (pool.sr,)


async def _lost_storage(pool: SimPool) -> str:
    """Storage with a disk that no record tells of; its uuid."""
    config = {"server": "filer", "serverpath": "/vms"}
    sr = await pool.call("SR.create", pool.hosts[0], config, 0, "lost", "", "nfs", "user", True, {})
    await pool.call("VDI.create", {"SR": sr, "virtual_size": GIB, "name_label": "disk", "type": "user"})
    for pbd in pool.store.related(sr, "PBDs"):
        await pool.call("PBD.unplug", pbd)
    uuid = str(pool.store.get(sr)["uuid"])
    await pool.call("SR.forget", sr)
    return uuid


@scenario("DR_task.create", "read")
async def dr_task_create(pool: SimPool) -> Arguments:
    return "nfs", {"server": "filer"}, (await _lost_storage(pool),)


@scenario("DR_task.destroy", "usage")
async def dr_task_destroy(pool: SimPool) -> Arguments:
    return (await pool.call("DR_task.create", *await dr_task_create(pool)),)


@scenario("VBD.create")
async def vbd_create(pool: SimPool) -> Arguments:
    return (pool.vbd_values(pool.add_vm(), pool.add_vdi(), "5"),)


@scenario("VBD.destroy")
async def vbd_destroy(pool: SimPool) -> Arguments:
    return (pool.store.related(pool.add_vm(), "VBDs")[0],)


@scenario("VBD.plug")
async def vbd_plug(pool: SimPool) -> Arguments:
    vm = await pool.running()
    return (await pool.call("VBD.create", pool.vbd_values(vm, pool.add_vdi(), "1")),)


async def _attached(pool: SimPool) -> Arguments:
    return (pool.store.related(await pool.running(disks=2), "VBDs")[1],)


for _name in ("VBD.unplug", "VBD.unplug_force", "VBD.unplug_force_no_safety_check"):
    scenario(_name)(_attached)


async def _drive(pool: SimPool, medium: str) -> str:
    vm = pool.add_vm()
    values = pool.vbd_values(vm, medium, "3", type="CD", mode="RO", empty=medium == NULL_REF)
    vbd = await pool.call("VBD.create", values)
    await pool.call("VM.start", vm, False, False)
    await pool.pass_time(20)
    return str(vbd)


@scenario("VBD.insert")
async def vbd_insert(pool: SimPool) -> Arguments:
    return await _drive(pool, NULL_REF), pool.add_vdi(sr=pool.iso, read_only=True, sharable=True)


@scenario("VBD.eject")
async def vbd_eject(pool: SimPool) -> Arguments:
    return (await _drive(pool, pool.add_vdi(sr=pool.iso, read_only=True, sharable=True)),)


@scenario("VIF.create")
async def vif_create(pool: SimPool) -> Arguments:
    return ({"VM": pool.add_vm(nics=0), "network": pool.network, "device": "0", "MAC": "", "MTU": 1500},)


@scenario("VIF.destroy")
async def vif_destroy(pool: SimPool) -> Arguments:
    return (pool.store.related(pool.add_vm(), "VIFs")[0],)


@scenario("VIF.plug")
async def vif_plug(pool: SimPool) -> Arguments:
    vm = await pool.running(nics=0)
    values = {"VM": vm, "network": pool.network, "device": "0", "MAC": "", "MTU": 1500}
    return (await pool.call("VIF.create", values),)


async def _connected(pool: SimPool) -> Arguments:
    return (pool.store.related(await pool.running(), "VIFs")[0],)


for _name in ("VIF.unplug", "VIF.unplug_force"):
    scenario(_name)(_connected)


@scenario("VIF.move")
async def vif_move(pool: SimPool) -> Arguments:
    return (*await _connected(pool), pool.add("network", name_label="other", bridge="xapi0", MTU=1500))


@scenario("VIF.configure_ipv4")
async def vif_configure_ipv4(pool: SimPool) -> Arguments:
    return (*await _connected(pool), "Static", "192.0.2.7/24", "")


@scenario("VIF.configure_ipv6")
async def vif_configure_ipv6(pool: SimPool) -> Arguments:
    return (*await _connected(pool), "Static", "2001:db8::7/64", "")


@scenario("PIF.scan")
async def pif_scan(pool: SimPool) -> Arguments:
    pool.sim.hosts[pool.store.get(pool.hosts[0])["uuid"]].add_interface(InterfaceState("eth1", "02:00:00:00:00:01"))
    return (pool.hosts[0],)


@scenario("PIF.introduce")
async def pif_introduce(pool: SimPool) -> Arguments:
    return (*await pif_scan(pool), "", "eth1", True)


@scenario("Bond.create")
async def bond_create(pool: SimPool) -> Arguments:
    """Of both cards of a host, with a VM on the network of one."""
    host = pool.vm(await pool.running())["resident_on"]
    first = next(pif for pif in pool.store.related(pool.network, "PIFs") if pool.store.get(pif)["host"] == host)
    second = pool.add_pif(host, pool.add("network", name_label="second", bridge="xenbr1", MTU=1500), "eth1")
    network = pool.add("network", name_label="bond", bridge="xapi0", MTU=1500)
    return network, (first, second), "", "balance-slb", {}


@scenario("Bond.destroy")
async def bond_destroy(pool: SimPool) -> Arguments:
    return (await pool.call("Bond.create", *await bond_create(pool)),)
