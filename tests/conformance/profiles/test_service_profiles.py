"""DSP1042, DSP1081, DSP1027, DSP1041, DSP1103: the services of a host, row by row of the profiles' tables."""

from __future__ import annotations

from typing import Any

import pytest
from cim_services import MANAGEMENT, MIGRATION, POOLS, POWER, SNAPSHOTS, site

from cim_provider.mapping.view import VIEWS

KEYS = ("SystemCreationClassName", "SystemName", "CreationClassName", "Name")
STATE = ("ElementName", "EnabledState", "RequestedState", "OperationalStatus", "HealthState")

# Service -> methods the profile wants, its capabilities, and the mandatory properties of those.
# fmt: off
ROWS: dict[str, tuple[set[str], str, tuple[str, ...]]] = {
    MANAGEMENT: (
        {"DefineSystem", "DestroySystem", "AddResourceSettings", "ModifyResourceSettings", "ModifySystemSettings",
         "RemoveResourceSettings"},
        "Xen_VirtualSystemManagementCapabilities",
        ("InstanceID", "ElementName", "VirtualSystemTypesSupported", "SynchronousMethodsSupported",
         "AsynchronousMethodsSupported", "IndicationsSupported"),
    ),
    SNAPSHOTS: (
        {"CreateSnapshot", "DestroySnapshot", "ApplySnapshot"},
        "Xen_VirtualSystemSnapshotServiceCapabilities",
        ("InstanceID", "SynchronousMethodsSupported", "AynchronousMethodsSupported", "SnapshotTypesSupported"),
    ),
    MIGRATION: (
        {"MigrateVirtualSystemToHost", "MigrateVirtualSystemToSystem", "CheckVirtualSystemIsMigratableToHost",
         "CheckVirtualSystemIsMigratableToSystem"},
        "Xen_VirtualSystemMigrationCapabilities",
        ("SynchronousMethodsSupported", "AsynchronousMethodsSupported", "DestinationHostFormatsSupported"),
    ),
    POWER: (
        {"RequestPowerStateChange"},
        "Xen_PowerManagementCapabilities",
        ("InstanceID", "PowerChangeCapabilities", "PowerStatesSupported", "RequestedPowerStatesSupported"),
    ),
    POOLS: (
        {"CreateResourcePool", "CreateChildResourcePool", "DeleteResourcePool", "AddResourcesToResourcePool",
         "RemoveResourcesFromResourcePool", "ChangeParentResourcePool"},
        "Xen_ResourcePoolConfigurationCapabilities",
        ("InstanceID", "SynchronousMethodsSupported", "AsynchronousMethodsSupported"),
    ),
}
# fmt: on


def told(values: dict[str, Any], names: tuple[str, ...]) -> None:
    missing = [name for name in names if values.get(name) is None]
    assert missing == []


@pytest.mark.parametrize("name", ROWS)
async def test_each_host_has_the_service_with_its_methods_and_capabilities(name: str) -> None:
    methods, capabilities, properties = ROWS[name]
    async with site(hosts=2) as at:
        assert methods <= set(VIEWS[name].methods)
        for number, ref in enumerate(at.sim.hosts):
            path = at.service(name, number)
            told(at.shown(path), (*KEYS, *STATE))
            assert at.related(path, "CIM_HostedService") == [at.host(ref)]
            assert path in at.related(at.host(ref), "CIM_HostedService")
            (capable,) = at.related(path, "CIM_ElementCapabilities")
            assert capable.classname == capabilities
            told(at.shown(capable), properties)
            assert path in at.related(capable, "CIM_ElementCapabilities")


@pytest.mark.parametrize("name", [MANAGEMENT, SNAPSHOTS, MIGRATION])
async def test_a_service_manages_the_machines_of_its_host(name: str) -> None:
    async with site(hosts=2) as at:
        halted, running = at.sim.add_vm("off"), at.sim.add_vm("on")
        await at.sim.call("VM.start_on", running, at.sim.hosts[1], False, False)
        for vm, number in ((halted, 0), (running, 1)):
            managers = at.related(at.system(vm), "CIM_ServiceAffectsElement")
            assert at.service(name, number) in managers
            assert at.service(name, 1 - number) not in managers
            assert at.system(vm) in at.related(at.service(name, number), "CIM_ServiceAffectsElement")
        links = at.links(at.system(halted), "CIM_ServiceAffectsElement")
        assert {tuple(link["ElementEffects"]) for link in links} == {("5",)}


@pytest.mark.parametrize(
    ("mode", "synchronous", "asynchronous"),
    [("always", {MIGRATION: (4, 5)}, None), ("never", None, {})],
)
async def test_the_capabilities_tell_whether_methods_wait(mode: str, synchronous: Any, asynchronous: Any) -> None:
    async with site(mode=mode) as at:
        for name in (MANAGEMENT, SNAPSHOTS, MIGRATION, POOLS):
            (path,) = at.related(at.service(name), "CIM_ElementCapabilities")
            shown = at.shown(path)
            at_once = shown["SynchronousMethodsSupported"]
            as_jobs = shown.get("AsynchronousMethodsSupported", shown.get("AynchronousMethodsSupported"))
            if synchronous is not None:
                assert at_once == synchronous.get(name, ())
                assert len(as_jobs) >= 2
            if asynchronous is not None:
                assert as_jobs == ()
                assert len(at_once) >= 3


async def test_a_migration_service_tells_its_default_settings() -> None:
    async with site() as at:
        (capable,) = at.related(at.service(MIGRATION), "CIM_ElementCapabilities")
        (settings,) = at.related(capable, "CIM_SettingsDefineCapabilities")
        assert at.shown(settings)["MigrationType"] == 2
        (link,) = at.links(capable, "CIM_SettingsDefineCapabilities")
        assert (link["PropertyPolicy"], link["ValueRole"], link["ValueRange"]) == ("0", "0", "0")
        assert at.related(settings, "CIM_SettingsDefineCapabilities") == [capable]


# Name of a task -> the service its job belongs to (the host that does the work is the coordinator).
OWNERS = {
    "Async.VM.start": POWER,
    "Async.VM.clean_shutdown": POWER,
    "Async.host.evacuate": POWER,
    "CIM.RequestStateChange": POWER,
    "Async.VM.snapshot": SNAPSHOTS,
    "CIM.CreateSnapshot": SNAPSHOTS,
    "Async.VM.pool_migrate": MIGRATION,
    "CIM.MigrateVirtualSystemToHost": MIGRATION,
    "Async.SR.scan": POOLS,
    "CIM.ResourcePool.Create": POOLS,
    "Async.VM.clone": MANAGEMENT,
    "CIM.DefineSystem": MANAGEMENT,
    "something of a client's own": MANAGEMENT,
}


@pytest.mark.parametrize("label", OWNERS)
async def test_every_job_belongs_to_the_service_that_offers_what_it_does(label: str) -> None:
    async with site(hosts=2) as at:
        task = at.sim.add("task", name_label=label, resident_on=at.sim.hosts[0], status="pending")
        (job,) = at.pool.provider.extent(VIEWS["Xen_ConcreteJob"]).of(at.store.get(task))
        owner = at.service(OWNERS[label])
        assert at.related(job.path, "CIM_OwningJobElement") == [owner]
        assert job.path in at.related(owner, "CIM_OwningJobElement")
