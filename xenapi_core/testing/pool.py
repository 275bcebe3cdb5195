"""A pool in one process for tests: records, engine and simulator, and shortcuts to make what a test needs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from xenapi_core.clock import Clock, VirtualClock
from xenapi_core.drivers.api import InterfaceState
from xenapi_core.drivers.sim import SimWorld, sim_backends
from xenapi_core.engine.caller import Caller
from xenapi_core.engine.engine import Engine
from xenapi_core.engine.specs import domain_spec
from xenapi_core.ids import NULL_REF
from xenapi_core.model.catalog import SCHEMA
from xenapi_core.model.schema import POOL_ADMIN
from xenapi_core.model.types import Type
from xenapi_core.store.api import Version
from xenapi_core.testing.records import Records
from xenapi_core.testing.virtual_time import drive

GIB = 1 << 30
TEST_CALLER = Caller(NULL_REF, "root", frozenset({POOL_ADMIN}), originator="test")


def render_plain(type_: Type | None, value: Any) -> str:
    """A task's result in the shape of the API reference, for tests that have no codec."""
    return "<value></value>" if type_ is None else f"<value>{value}</value>"


class SimPool(Records):
    """Hosts "h0", "h1"..., a shared SR, an ISO SR and a network, all with their drivers. Made by `sim_pool`."""

    def __init__(
        self,
        clock: Clock,
        hosts: int = 1,
        host_memory: int = 16 * GIB,
        contention_timeout: float = 7200.0,
        seed: str = "pool",
    ) -> None:
        super().__init__(seed)
        self.clock = clock
        self.sim = SimWorld(clock, seed=1)
        self.engine = Engine(self.store, SCHEMA, clock, self.ids, render_plain, contention_timeout)
        for backend in sim_backends(self.sim):
            self.engine.add_backend(backend)
        self.pool = self.add("pool", name_label="test", default_SR=NULL_REF, master=NULL_REF)
        self.hosts = [self.add_host(n, host_memory) for n in range(hosts)]
        self.sr = self.add_sr("shared", 1024 * GIB)
        self.iso = self.add_sr("iso", 16 * GIB, type="iso", content_type="iso")
        self.network = self.add("network", name_label="lan", bridge="xenbr0", MTU=1500)
        for host in self.hosts:
            self.add_pif(host, self.network, "eth0", currently_attached=True)
        self.change(self.pool, default_SR=self.sr, suspend_image_SR=self.sr, master=self.hosts[0])

    # Records.

    def add_host(self, number: int, memory: int) -> str:
        """Host h<number> with that many bytes, up and enabled."""
        metrics = self.add("host_metrics", memory_total=memory, memory_free=memory, live=True)
        host = self.add(
            "host", name_label=f"h{number}", hostname=f"h{number}", address=f"192.0.2.{number + 1}", enabled=True,
            metrics=metrics, cpu_info={"cpu_count": "8"}, capabilities=("xen-3.0-x86_64", "hvm-3.0-x86_64"),
            virtual_hardware_platform_versions=(0, 1, 2),
        )  # fmt: skip
        driver = self.sim.add_host(self.store.get(host)["uuid"], f"h{number}", memory=memory, reserved=0)
        self.engine.add_host(host, driver)
        return host

    def add_pif(self, host: str, network: str, device: str, **values: Any) -> str:
        """A physical interface with a card behind it; its link is up."""
        card = InterfaceState(device, self.ids.mac(host, device))
        self.sim.hosts[self.store.get(host)["uuid"]].add_interface(card)
        metrics = self.add("PIF_metrics", carrier=card.carrier, speed=card.speed, duplex=card.duplex)
        given = {"MAC": card.mac, "MTU": card.mtu, "VLAN": -1, "physical": True, "metrics": metrics, **values}
        return self.add("PIF", host=host, network=network, device=device, device_name=device, **given)

    def add_cpu_pool(self, host: str) -> str:
        """The first pool of processors of a host, with all of them."""
        driver = self.sim.hosts[self.store.get(host)["uuid"]]
        cpus = tuple(self.add("host_cpu", host=host, number=number) for number in range(driver.cpus))
        return self.add(
            "cpu_pool", uuid=driver.first_pool, name_label="Pool-0", resident_on=host, activated=True,
            ncpu=len(cpus), host_CPUs=cpus,
        )  # fmt: skip

    def add_sr(self, name: str, size: int, **values: Any) -> str:
        """A shared repository, attached to every host."""
        kind = {"type": "nfs", "content_type": "user", "shared": True, **values}
        sr = self.add("SR", name_label=name, physical_size=size, **kind)
        storage = self.sim.add_storage(self.store.get(sr)["uuid"], size, kind["type"])
        for host in self.hosts:
            self.add("PBD", host=host, SR=sr, currently_attached=True)
            storage.connect(self.store.get(host)["uuid"], {})
        self.engine.add_storage(sr, storage)
        return sr

    def add_vdi(self, size: int = GIB, sr: str | None = None, **values: Any) -> str:
        """A disk that was there before."""
        sr = sr or self.sr
        given = {"type": "user", "virtual_size": size, "managed": True, "SR": sr, **values}
        vdi = self.add("VDI", **given)
        self.sim.storage(self.store.get(sr)["uuid"]).preload(self.store.get(vdi)["uuid"], size)
        return vdi

    def add_vm(self, name: str = "vm", memory: int = GIB, disks: int = 1, nics: int = 1, **values: Any) -> str:
        """A halted paravirtualised VM with disks and NICs."""
        given = {
            "name_label": name, "power_state": "Halted", "memory_static_max": memory, "memory_dynamic_max": memory,
            "memory_dynamic_min": memory, "memory_static_min": memory, "VCPUs_max": 1, "VCPUs_at_startup": 1,
            "actions_after_shutdown": "destroy", "actions_after_reboot": "restart", "actions_after_crash": "restart",
            "metrics": self.add("VM_metrics"), "domid": -1, "other_config": {"mac_seed": name}, "domain_type": "pv",
            "affinity": NULL_REF, "resident_on": NULL_REF, **values,
        }  # fmt: skip
        vm = self.add("VM", **given)
        for number in range(disks):
            vdi = self.add_vdi(name_label=f"{name} disk {number}")
            self.add("VBD", **self.vbd_values(vm, vdi, str(number)))
        for number in range(nics):
            mac = self.ids.mac(name, str(number))
            self.add("VIF", VM=vm, network=self.network, device=str(number), MAC=mac, MTU=1500)
        return vm

    @staticmethod
    def vbd_values(vm: str, vdi: str, userdevice: str, **more: Any) -> dict[str, Any]:
        """The record of a disk connection, as VBD.create takes it."""
        return {
            "VM": vm, "VDI": vdi, "userdevice": userdevice, "bootable": userdevice == "0", "mode": "RW",
            "type": "Disk", "unpluggable": True, "empty": False, "other_config": {}, "qos_algorithm_type": "",
            "qos_algorithm_params": {}, **more,
        }  # fmt: skip

    def vm(self, ref: str) -> Version:
        return self.store.get(ref, "VM")

    def spec(self, ref: str) -> Any:
        return domain_spec(self.store, self.vm(ref))

    # Calls.

    async def call(self, wire_name: str, *args: Any) -> Any:
        """Perform it, letting the clock run."""
        return await drive(self.clock, self.engine.perform(wire_name, args, TEST_CALLER))

    async def running(self, name: str = "vm", **values: Any) -> str:
        """A VM that runs, with its agent heard."""
        vm = self.add_vm(name, **values)
        await self.call("VM.start", vm, False, False)
        await self.pass_time(20)
        return vm

    async def pass_time(self, seconds: float) -> None:
        """Let `seconds` pass, and everything that happens in them."""
        if isinstance(self.clock, VirtualClock):
            await self.clock.advance(seconds)
        else:
            await self.clock.sleep(seconds)

    # Looking at everything.

    def picture(self, without: frozenset[str] = frozenset({"task", "message"})) -> dict[str, Any]:
        """Every record, domain, volume and setting of a host, for comparing before and after.

        Left out: what changes with time alone, and what storage counts as used.
        """
        records = {
            version.ref: {k: v for k, v in version.values.items() if k not in ("last_updated", "physical_utilisation")}
            for cls in SCHEMA.classes
            if cls not in without and SCHEMA[cls].in_database
            for version in self.store.all(cls).values()
        }
        domains = {
            (host.hostname, m.spec.uuid): (str(m.power_state), sorted(m.disks), sorted(m.nics), m.cpu_pool)
            for host in self.sim.hosts.values()
            for m in host.machines.values()
        }
        volumes = {
            (repository.uuid, volume.uuid): (volume.size, sorted(volume.hosts))
            for repository in self.sim.repositories.values()
            for volume in repository.contents.values()
        }
        connections = {r.uuid: sorted(r.hosts) for r in self.sim.repositories.values() if r.exists}
        processors = {h.hostname: {pool: set(cpus) for pool, cpus in h.pools.items()} for h in self.sim.hosts.values()}
        chosen = {host.hostname: dict(host.chosen) for host in self.sim.hosts.values()}
        return {
            "records": records, "domains": domains, "volumes": volumes, "connections": connections, "chosen": chosen,
            "processors": processors,
        }  # fmt: skip


@asynccontextmanager
async def sim_pool(clock: Clock | None = None, **options: Any) -> AsyncIterator[SimPool]:
    """A SimPool that is closed at the end; on a VirtualClock unless another is given."""
    pool = SimPool(clock or VirtualClock(), **options)
    try:
        yield pool
    finally:
        await drive(pool.clock, pool.engine.close())
        await pool.sim.close()
