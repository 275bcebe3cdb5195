"""Calls of the CIM services on a working pool, on the virtual clock: what they answer, and the jobs they start."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any

from cim_pool import WorkingPool, instance_values, key_values, path_in, run, working_pool

from cim_provider.jobs import ENDED, MODE
from cim_provider.schema.objects import CIMV2, Instance, Path
from xenapi_core.store.api import Version
from xenapi_core.testing.faults import FaultRule, Faulty
from xenapi_core.testing.virtual_time import drive

MANAGEMENT, SNAPSHOTS = "Xen_VirtualSystemManagementService", "Xen_VirtualSystemSnapshotService"
MIGRATION, POWER = "Xen_VirtualSystemMigrationService", "Xen_PowerManagementService"
POOLS = "Xen_ResourcePoolConfigurationService"
VSSD, PROCESSORS, MEMORY = "Xen_VirtualSystemSettingData", "Xen_ProcessorSettingData", "Xen_MemorySettingData"
DISKS, NICS = "Xen_DiskSettingData", "Xen_NetworkPortSettingData"
GIB = 1 << 30


def in_time(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 60))


class Site:
    """A working pool whose services are asked."""

    def __init__(self, pool: WorkingPool) -> None:
        self.pool = pool
        self.sim = pool.sim
        self.store = pool.store

    def mode(self, value: str) -> None:
        """Whether methods wait for their jobs: "always" gives jobs, "never" waits."""
        record = self.store.get(self.sim.pool)
        self.sim.change(self.sim.pool, other_config={**record["other_config"], MODE: value})

    def service(self, name: str, host: int = 0) -> Path:
        keys = {"SystemCreationClassName": "Xen_HostComputerSystem", "SystemName": self.uuid(self.sim.hosts[host]),
                "CreationClassName": name, "Name": name}  # fmt: skip
        return Path.of(name, keys, CIMV2)

    def uuid(self, ref: str) -> str:
        return str(self.store.get(ref)["uuid"])

    def system(self, vm: str) -> Path:
        return self.pool.path(vm)

    def host(self, ref: str) -> Path:
        name = "Xen_HostComputerSystem"
        return Path.of(name, {"CreationClassName": name, "Name": self.uuid(ref)}, CIMV2)

    def settings(self, vm: str, word: str = "", cls: str = VSSD) -> Path:
        """The path of setting data: of a VM, its State, or a part."""
        return Path.of(cls, {"InstanceID": f"Xen:{self.uuid(vm)}{word and '/' + word}"}, CIMV2)

    def shown(self, path: Path) -> dict[str, Any]:
        """What a view shows of an instance."""
        found = self.pool.provider.find(path, CIMV2)
        assert found is not None, path
        return dict(found.values)

    def copy(self, path: Path, **changes: Any) -> Instance:
        """Setting data as a client reads and sends it back."""
        return Instance(path.classname, {**self.shown(path), **changes})

    async def ask(self, service: str, method: str, **params: Any) -> tuple[int, dict[str, Any]]:
        """The return value and the outputs of a method of a service, which has all the time it needs."""
        return await self.invoke(self.service(service), method, **params)

    async def invoke(self, path: Path, method: str, **params: Any) -> tuple[int, dict[str, Any]]:
        found: tuple[int, dict[str, Any]] = await drive(self.pool.clock, self.pool.call(path, method, **params))
        return found

    async def ended(self, out: dict[str, Any]) -> Version:
        """The task of the job that a method gave, when it has ended."""
        job = path_in(out["Job"])
        task = self.store.by_uuid("task", str(job.key("InstanceID")).removeprefix("Xen:"))
        assert task is not None

        async def wait() -> Version:
            while self.store.get(task.ref)["status"] not in ENDED:
                await self.store.wait(self.store.revision, None)
            return self.store.get(task.ref)

        return await drive(self.pool.clock, wait())

    def made(self, out: dict[str, Any], name: str, cls: str) -> str:
        """The reference of the record that an output parameter names."""
        path = path_in(out[name])
        uuid = str(path.key("Name") or path.key("InstanceID")).rpartition(":")[2].rpartition("/")[2]
        version = self.store.by_uuid(cls, uuid)
        assert version is not None
        return version.ref

    def related(self, path: Path, association: str) -> list[Path]:
        reply = run(self.pool.provider, "AssociatorNames", ObjectName=path, AssocClass=association)
        from cim_pool import elements

        return [path_in(each) for each in elements(reply.values)]

    def links(self, path: Path, association: str) -> list[dict[str, Any]]:
        reply = run(self.pool.provider, "References", ObjectName=path, ResultClass=association)
        from cim_pool import elements

        return [instance_values(each) for each in elements(reply.values)]

    def faulty(self, *rules: FaultRule) -> list[Faulty]:
        """Put rules in front of every storage and hypervisor."""
        found = []
        engine = self.sim.engine
        for drivers in (engine.storages, engine.hypervisors):
            for ref, driver in list(drivers.items()):
                faulty = Faulty(driver, rules, self.pool.clock)
                faulty.rules = list(rules)
                drivers[ref] = faulty
                found.append(faulty)
        return found


@contextlib.asynccontextmanager
async def site(hosts: int = 1, mode: str = "never") -> AsyncIterator[Site]:
    """A pool whose methods wait for their jobs, unless told otherwise."""
    async with working_pool(hosts=hosts) as pool:
        found = Site(pool)
        found.mode(mode)
        try:
            yield found
        finally:
            await drive(pool.clock, pool.provider.jobs.close())


__all__ = [
    "DISKS", "GIB", "MANAGEMENT", "MEMORY", "MIGRATION", "NICS", "POOLS", "POWER", "PROCESSORS", "SNAPSHOTS", "VSSD",
    "FaultRule", "Instance", "Path", "Site", "in_time", "key_values", "site",
]  # fmt: skip
