"""The services and consoles that xs-cim had beside the DMTF's, as its clients call and find them."""

from __future__ import annotations

from typing import Any

from cim_pool import NULL
from cim_services import NICS, Site
from compat_pool import CIMV2, ModePool, Path, graph, mode_site, path_of

from cim_provider.indications.matcher import Matcher
from cim_provider.indications.subscriptions import compiled
from cim_provider.schema.objects import Instance
from xenapi_core.store.api import Version

STORAGE, SWITCHES = "Xen_StoragePoolManagementService", "Xen_VirtualSwitchManagementService"
POOLS, MANAGEMENT = "Xen_ResourcePoolConfigurationService", "Xen_VirtualSystemManagementService"
RASD, SWITCH_SETTINGS = "CIM_ResourceAllocationSettingData", "Xen_VirtualSwitchSettingData"
UPLINK_SETTINGS = "Xen_SwitchUplinkPortSettingData"
SHARE = ("server=192.0.2.9", "serverpath=/vms")


async def done(at: Site, service: str, method: str, **params: Any) -> dict[str, Any]:
    """Call a method, which must give a job, and wait until that has succeeded. The outputs."""
    value, out = await at.ask(service, method, **params)
    assert value == 4096
    assert (await at.ended(out))["status"] == "success"
    return out


def named(at: Site, cls: str, name: str) -> Version:
    (found,) = [version for version in at.store.all(cls).values() if version["name_label"] == name]
    return found


async def test_a_switch_is_defined_renamed_and_destroyed_by_jobs() -> None:
    async with mode_site("xs-cim") as at:
        await done(at, SWITCHES, "DefineSystem", SystemSettings=Instance(SWITCH_SETTINGS, {"ElementName": "made"}))
        network = named(at, "network", "made")
        changed = at.copy(path_of(at, network.ref, SWITCH_SETTINGS), ElementName="other")
        await done(at, SWITCHES, "ModifySystemSettings", SystemSettings=changed)
        assert at.store.get(network.ref)["name_label"] == "other"
        await done(at, SWITCHES, "DestroySystem", AffectedSystem=path_of(at, network.ref, "Xen_VirtualSwitch"))
        assert at.store.find(network.ref) is None


async def test_the_switch_service_refuses_machines() -> None:
    async with mode_site("xs-cim") as at:
        vm = at.sim.add_vm("web")
        machine = Instance("Xen_ComputerSystemSettingData", {"ElementName": "made"})
        for settings in (None, machine):
            assert (await at.ask(SWITCHES, "DefineSystem", SystemSettings=settings))[0] == 4
            assert (await at.ask(SWITCHES, "ModifySystemSettings", SystemSettings=settings))[0] == 4
        assert (await at.ask(SWITCHES, "DestroySystem", AffectedSystem=at.system(vm)))[0] == 4
        assert at.store.find(vm) is not None


async def test_an_uplink_of_a_switch_is_added_changed_and_removed_by_jobs() -> None:
    async with mode_site("xs-cim") as at:
        network = at.sim.add("network", name_label="office", bridge="xapi7", MTU=1500)
        (card,) = at.store.related(at.sim.network, "PIFs")
        asked = Instance(UPLINK_SETTINGS, {"HostResource": (at.uuid(card),), "DefaultPortVID": 12})
        switch = path_of(at, network, SWITCH_SETTINGS)
        await done(at, SWITCHES, "AddResourceSettings", AffectedConfiguration=switch, ResourceSettings=(asked,))

        def uplink() -> tuple[Path, int]:
            (pif,) = at.store.related(network, "PIFs")
            return path_of(at, pif, UPLINK_SETTINGS), at.store.get(pif)["VLAN"]

        path, tag = uplink()
        assert tag == 12
        changed = at.copy(path, DefaultPortVID=13)
        await done(at, SWITCHES, "ModifyResourceSettings", ResourceSettings=(changed,))
        path, tag = uplink()
        assert tag == 13
        await done(at, SWITCHES, "RemoveResourceSettings", ResourceSettings=(path,))
        assert at.store.related(network, "PIFs") == ()


async def test_the_switch_service_refuses_resources_of_machines() -> None:
    async with mode_site("xs-cim") as at:
        vm = at.sim.add_vm("web")
        (nic,) = at.store.related(vm, "VIFs")
        settings, whole = path_of(at, nic, NICS), path_of(at, vm, "Xen_VirtualSystemSettingData")
        for method, params in (
            ("AddResourceSettings", {"AffectedConfiguration": whole, "ResourceSettings": (Instance(NICS, {}),)}),
            ("ModifyResourceSettings", {"ResourceSettings": (at.copy(settings),)}),
            ("RemoveResourceSettings", {"ResourceSettings": (settings,)}),
        ):
            assert (await at.ask(SWITCHES, method, **params))[0] == 4
            assert (await at.ask(SWITCHES, method))[0] == 4
        assert at.store.related(vm, "VIFs") == (nic,)


def test_the_pool_tells_its_coordinator_and_default_storage() -> None:
    found = ModePool("xs-cim")
    assert found.values("Xen_HostPool", "pool")["Master"] == found.uuid("host-0")
    assert found.values("Xen_HostPool", "pool")["DefaultStoragePoolID"] == found.uuid("sr")
    found.set("pool", default_SR=NULL)
    assert found.values("Xen_HostPool", "pool")["DefaultStoragePoolID"] is None


async def test_services_belong_to_their_hosts_and_jobs_to_the_service_of_the_profile() -> None:
    async with mode_site("xs-cim") as at:
        (host,) = at.sim.hosts
        hosted = {path.classname for path in at.related(at.host(host), "Xen_HostedService")}
        assert {STORAGE, SWITCHES, POOLS, MANAGEMENT} <= hosted
        for service in (STORAGE, SWITCHES):
            assert at.related(at.service(service), "Xen_HostedService") == [at.host(host)]
        switch = path_of(at, at.sim.network, "Xen_VirtualSwitch")
        assert SWITCHES in {path.classname for path in at.related(switch, "Xen_ServiceAffectsElement")}
        out = await done(
            at, SWITCHES, "DefineSystem", SystemSettings=Instance(SWITCH_SETTINGS, {"ElementName": "made"})
        )
        task = (await at.ended(out)).ref
        owners = at.related(path_of(at, task, "Xen_ConcreteJob"), "Xen_OwningJobElement")
        assert [path.classname for path in owners] == [MANAGEMENT]


def test_the_services_do_not_exist_without_the_mode() -> None:
    plain = ModePool("")
    for name in (STORAGE, SWITCHES, "Xen_Console"):
        assert plain.provider.views_of(name) == ()


def test_consoles_are_devices_of_their_machines() -> None:
    found = ModePool("xs-cim")
    shown = found.shown("Xen_Console")
    assert shown
    for one in shown:
        assert one.version is not None
        assert one.values["DeviceID"] == f"Xen:{found.uuid('web')}/{one.version['uuid']}"
        assert one.values["SystemName"] == found.uuid("web")
        assert found.provider.find(Path.of("Xen_Console", dict(one.path.keys or ()), CIMV2), CIMV2) == one
    devices = found.ends("Xen_SystemDevice", "Xen_ComputerSystem", "web", "GroupComponent")
    assert {one.path for one in shown} <= {one.path for one in devices}


def test_subscribers_to_consoles_are_told_of_them() -> None:
    found = ModePool("xs-cim")
    query = "SELECT * FROM CIM_InstIndication WHERE SourceInstance ISA Xen_Console"
    matcher = Matcher(found.provider)
    views, _ = matcher.watched_by([compiled(graph(*found.provider.mode.mof), "f", "WQL", query)])
    assert {view.cim for view in views} == {"Xen_Console"}
