"""Consoles and key-value pairs of machines in the words of xs-cim, and what its classes say beyond the DMTF's."""

from __future__ import annotations

from typing import Any

import pytest
from cim_services import MANAGEMENT, Site
from compat_pool import CIMV2, CimError, ModePool, Path, mode_site, path_of

from cim_provider.compat import xs_properties
from cim_provider.mapping.extent import Rendition, Shown
from cim_provider.mapping.rule import timestamp
from cim_provider.schema.objects import Instance
from xenapi_core.ids import NULL_REF

PAIR, PAIR_SETTINGS = "Xen_KVP", "Xen_KVPSettingData"
VSSD, SYSTEM = "Xen_VirtualSystemSettingData", "Xen_ComputerSystem"


@pytest.fixture
def pool() -> ModePool:
    return ModePool("xs-cim")


def defined_by(pool: ModePool, device: Rendition) -> list[Shown]:
    """The settings that define the state of a device."""
    found = next(one for one in pool.provider.associations(CIMV2) if one.cim == "Xen_SettingsDefineState")
    return [link.right for link in found.links_of(pool.provider, device, "ManagedElement")]


# ---- key-value pairs


def test_the_pairs_of_a_machine_are_devices_with_settings(pool: ModePool) -> None:
    pool.set("web", xenstore_data={"vm-data/role": "shop", "vm-data": ""})
    identifier = f"Xen:{pool.uuid('web')}/vm-data/role"
    shown = {one.values["DeviceID"]: one for one in pool.shown(PAIR)}
    assert set(shown) == {identifier, f"Xen:{pool.uuid('web')}/vm-data"}
    one = shown[identifier]
    assert [one.values[name] for name in ("Key", "Value", "Vm_uuid", "Name", "SystemName")] == [
        "vm-data/role", "shop", pool.uuid("web"), "vm-data/role", pool.uuid("web"),
    ]  # fmt: skip
    assert pool.provider.find(Path.of(PAIR, dict(one.path.keys or ()), CIMV2), CIMV2) == one
    devices = pool.ends("Xen_SystemDevice", SYSTEM, "web", "GroupComponent")
    assert {each.path for each in shown.values()} <= {each.path for each in devices}
    settings = pool.provider.find(Path.of(PAIR_SETTINGS, {"InstanceID": identifier}, CIMV2), CIMV2)
    assert settings is not None
    assert (settings.values["key"], settings.values["value"]) == ("vm-data/role", "shop")
    assert [each.path for each in defined_by(pool, one)] == [settings.path]
    parts = pool.ends("Xen_VirtualSystemSettingDataComponent", VSSD, "web", "GroupComponent")
    assert settings.path in [each.path for each in parts]
    pool.set("web", xenstore_data={})
    assert pool.shown(PAIR) == []
    assert pool.provider.find(Path.of(PAIR_SETTINGS, {"InstanceID": identifier}, CIMV2), CIMV2) is None


def settings(key: str, value: str, **more: Any) -> Instance:
    return Instance(PAIR_SETTINGS, {"key": key, "value": value, **more})


async def asked(at: Site, method: str, **params: Any) -> int:
    """The return value; a job that was given must have succeeded."""
    value, out = await at.ask(MANAGEMENT, method, **params)
    if value == 4096:
        assert (await at.ended(out))["status"] == "success"
    return int(value)


async def test_pairs_are_added_replaced_and_removed_by_jobs() -> None:
    async with mode_site("xs-cim") as at:
        vm = at.sim.add_vm("web", xenstore_data={"old": "1", "kept": "2"})
        whole = path_of(at, vm, VSSD)
        pairs = (settings("old", "3"), settings("new/er", "4", VM_ID=at.uuid(vm)), settings("empty", ""))
        assert await asked(at, "AddResourceSettings", AffectedConfiguration=whole, ResourceSettings=pairs) == 4096
        assert at.store.get(vm)["xenstore_data"] == {"old": "3", "kept": "2", "new/er": "4", "empty": ""}
        gone = tuple(
            Path.of(PAIR_SETTINGS, {"InstanceID": f"Xen:{at.uuid(vm)}/{key}"}, CIMV2) for key in ("old", "new/er")
        )
        assert await asked(at, "RemoveResourceSettings", ResourceSettings=gone) == 4096
        assert at.store.get(vm)["xenstore_data"] == {"kept": "2", "empty": ""}


async def test_a_value_that_came_after_the_call_is_replaced_too() -> None:
    async with mode_site("xs-cim") as at:
        vm = at.sim.add_vm("web")
        given = {"AffectedConfiguration": path_of(at, vm, VSSD), "ResourceSettings": (settings("role", "mine"),)}
        _, out = await at.pool.call(at.service(MANAGEMENT), "AddResourceSettings", **given)
        at.sim.change(vm, xenstore_data={"role": "theirs"})  # before the job has done anything
        assert (await at.ended(out))["status"] == "success"
        assert at.store.get(vm)["xenstore_data"] == {"role": "mine"}


async def test_the_value_of_a_pair_is_modified_and_nothing_else_of_it() -> None:
    async with mode_site("xs-cim") as at:
        vm = at.sim.add_vm("web", xenstore_data={"vm-data/role": "shop", "kept": "2"})
        path = Path.of(PAIR_SETTINGS, {"InstanceID": f"Xen:{at.uuid(vm)}/vm-data/role"}, CIMV2)
        whole = {**at.shown(path), "value": "bank"}
        bank = (Instance(PAIR_SETTINGS, whole),)
        value, out = await at.ask(MANAGEMENT, "ModifyResourceSettings", ResourceSettings=bank)
        assert (value, (await at.ended(out))["status"]) == (4096, "success")
        assert at.shown(path)["value"] == "bank"
        assert at.store.get(vm)["xenstore_data"] == {"vm-data/role": "bank", "kept": "2"}
        named = {"InstanceID": path.key("InstanceID")}
        for values, code in (
            ({**named, "value": ""}, 4096),
            ({**named}, 4096),
            ({**whole, "key": "other"}, 4),
            ({**named, "VM_ID": "other"}, 4),
            ({"key": "kept", "value": "3"}, 4),
        ):
            pair = Instance(PAIR_SETTINGS, values)
            assert await asked(at, "ModifyResourceSettings", ResourceSettings=(pair,)) == code
        (vbd,) = at.store.related(vm, "VBDs")
        both = (Instance(PAIR_SETTINGS, named), at.copy(path_of(at, vbd, "Xen_DiskSettingData")))
        assert await asked(at, "ModifyResourceSettings", ResourceSettings=both) == 1
        gone = Instance(PAIR_SETTINGS, {"InstanceID": f"Xen:{at.uuid(vm)}/gone", "value": "x"})
        with pytest.raises(CimError) as caught:
            await asked(at, "ModifyResourceSettings", ResourceSettings=(gone,))
        assert (caught.value.status, at.store.get(vm)["xenstore_data"]) == (6, {"vm-data/role": "", "kept": "2"})


async def test_pairs_without_a_key_of_another_machine_or_beside_devices_are_refused() -> None:
    async with mode_site("xs-cim") as at:
        vm, other = at.sim.add_vm("web", xenstore_data={"a": "1"}), at.sim.add_vm("other")
        whole, disk = path_of(at, vm, VSSD), Instance("CIM_ResourceAllocationSettingData", {"ResourceType": 17})
        for pairs, value in (
            ((settings("", "x"),), 4),
            ((settings("k", "x", VM_ID=at.uuid(other)),), 4),
            ((settings("k", "x"), disk), 1),
        ):
            method, params = "AddResourceSettings", {"AffectedConfiguration": whole, "ResourceSettings": pairs}
            assert await asked(at, method, **params) == value
        (vbd,) = at.store.related(vm, "VBDs")
        pair = Path.of(PAIR_SETTINGS, {"InstanceID": f"Xen:{at.uuid(vm)}/a"}, CIMV2)
        both = (pair, path_of(at, vbd, "Xen_DiskSettingData"))
        assert await asked(at, "RemoveResourceSettings", ResourceSettings=both) == 1
        assert at.store.get(vm)["xenstore_data"] == {"a": "1"}


# ---- consoles


def test_the_settings_of_a_console_tell_its_address_and_protocol(pool: ModePool) -> None:
    (screen, *_) = [one for one in pool.shown("Xen_ConsoleSettingData") if one.values["Protocol"] == 1]
    assert screen.version is not None
    assert screen.values["URI"] == screen.version["location"]
    assert screen.values["InstanceID"] == f"Xen:{pool.uuid('web')}/{screen.version['uuid']}"
    assert screen.version["protocol"] == "rfb"
    (console,) = [one for one in pool.shown("Xen_Console") if one.version is screen.version]
    assert [each.path for each in defined_by(pool, console)] == [screen.path]
    parts = pool.ends("Xen_VirtualSystemSettingDataComponent", VSSD, "web", "GroupComponent")
    assert screen.path in [each.path for each in parts]


# ---- properties


def test_a_configuration_tells_of_its_machine_and_agent(pool: ModePool) -> None:
    pool.set("web", resident_on=pool.refs["host-0"], affinity=pool.refs["host-0"], other_config={"a": "1"},
             xenstore_data={"b": "2"}, HVM_shadow_multiplier=2.5, PV_legacy_args="quiet")  # fmt: skip
    pool.set("web/tools", os_version={"name": "Debian"}, PV_drivers_up_to_date=True, live=True)
    values = pool.values(VSSD, "web")
    told = {name: values[name] for name in xs_properties.SHOWN_OF_MACHINE}
    assert told == {
        "OS_Version": ("name=Debian",), "PV_Legacy_Args": "quiet", "HVM_ShadowMultiplier": 2.5,
        "Other_Config": ("a=1",), "Xenstore_Data": ("b=2",), "Parent": None, "Children": (),
        "PV_Drivers_Version": ("major=9",), "PV_Drivers_UpToDate": True, "StartTime": values["StartTime"],
        "Host": pool.uuid("host-0"), "HostAffinity": pool.uuid("host-0"), "Xen_Tools_AreRunning": True,
        "SnapshotOf": None, "SnapshotTime": None,
    }  # fmt: skip
    assert values["StartTime"] == pool.values(SYSTEM, "web")["StartTime"]
    off = pool.values(VSSD, "off")
    assert [off[name] for name in ("OS_Version", "PV_Drivers_UpToDate", "Host", "Xen_Tools_AreRunning")] == [
        None, None, None, False,
    ]  # fmt: skip


def test_a_snapshot_tells_its_machine_its_time_and_the_tree(pool: ModePool) -> None:
    snapshot = pool.vm(
        "snap", is_a_snapshot=True, is_a_template=True, snapshot_of=pool.refs["web"], snapshot_time=1_700_000_000
    )
    pool.set("web", parent=snapshot)
    values = pool.values(VSSD, "snap")
    web = f'{CIMV2}:Xen_ComputerSystemSettingData.InstanceID="Xen:{pool.uuid("web")}"'
    assert values["Children"] == (web,)
    assert values["SnapshotOf"] == (
        f'{CIMV2}:Xen_ComputerSystem.CreationClassName="Xen_ComputerSystem",Name="{pool.uuid("web")}"'
    )
    assert values["SnapshotTime"] == timestamp(1_700_000_000)
    assert pool.values(VSSD, "web")["Parent"] == (
        f'{CIMV2}:Xen_ComputerSystemSnapshot.InstanceID="Xen:{pool.uuid("snap")}"'
    )


def test_hosts_storage_and_images_tell_their_settings(pool: ModePool) -> None:
    pool.set("host-0", other_config={"boot_time": "1700000000.", "x": "y"}, hostname="one.example")
    values = pool.values("Xen_HostComputerSystem", "host-0")
    assert (values["StartTime"], values["CN"]) == (timestamp(1_700_000_000), "one.example")
    assert values["OtherConfig"] == ("boot_time=1700000000.", "x=y")
    assert values["TimeOffset"] == 0
    for zone, offset in (("Asia/Kolkata", 19800), ("Nowhere/Else", None), ("../etc/passwd", None), ("", 0)):
        pool.set("host-0", timezone=zone)
        assert pool.values("Xen_HostComputerSystem", "host-0")["TimeOffset"] == offset
    for unknown in ({}, {"boot_time": "soon"}):
        pool.set("host-0", other_config=unknown)
        assert pool.values("Xen_HostComputerSystem", "host-0")["StartTime"] is None
    pool.set("sr", other_config={"a": "1"}, sm_config={"type": "CD"})
    values = pool.values("Xen_StoragePool", "sr")
    assert (values["OtherConfig"], values["SMConfig"]) == (("a=1",), ("type=CD",))


def test_the_memory_of_a_suspended_machine_is_an_image_of_its_own_class(pool: ModePool) -> None:
    pool.add("VDI", "memory", SR=pool.refs["sr"], type="suspend", other_config={"k": "v"})
    shown = pool.shown_as("Xen_StorageVolume", "memory", "Xen_MemoryState")
    assert shown.values["OtherConfig"] == ("k=v",)
    assert {one.path.classname for one in pool.shown_in("Xen_DiskImage")} == {"Xen_DiskImage", "Xen_MemoryState"}


def test_switches_tell_their_interface_and_whether_all_hosts_have_one(pool: ModePool) -> None:
    values = pool.values("Xen_VirtualSwitchSettingData", "lan")
    pifs = [one for one in pool.store.all("PIF").values() if one["network"] == pool.refs["lan"]]
    hosts = {one["host"] for one in pifs}
    assert values["Shared"] is (hosts == set(pool.store.all("host")))
    assert values["HostInterface"] in {one["device"] for one in pifs}
    alone = pool.add("network", "alone", name_label="alone", other_config={"a": "b"})
    values = pool.values("Xen_VirtualSwitchSettingData", "alone")
    assert (alone != NULL_REF, values["HostInterface"], values["Shared"], values["OtherConfig"]) == (
        True, None, False, ("a=b",),
    )  # fmt: skip


async def test_interfaces_tell_the_vlan_of_their_network_and_who_made_the_address() -> None:
    async with mode_site("xs-cim") as at:
        vm = at.sim.add_vm("web")
        (nic,) = at.store.related(vm, "VIFs")
        shown = at.shown(path_of(at, nic, "Xen_NetworkPortSettingData"))
        assert (shown["VlanTag"], shown["AutoGeneratedMAC"]) == (None, at.store.get(nic)["MAC_autogenerated"])
        (pif, *_) = at.store.related(at.sim.network, "PIFs")
        at.sim.change(pif, ip_configuration_mode="Static", IP="192.0.2.5", netmask="255.255.255.0",
                      gateway="192.0.2.1", DNS="192.0.2.2", VLAN=7, management=True,
                      other_config={"management_purpose": "storage"})  # fmt: skip
        assert at.shown(path_of(at, nic, "Xen_NetworkPortSettingData"))["VlanTag"] == 7
        uplink = path_of(at, pif, "Xen_SwitchUplinkPortSettingData")
        assert uplink.classname == "Xen_HostNetworkPortSettingData"
        values = at.shown(uplink)
        names = ("VlanTag", "VirtualSwitch", "IPAddress", "IPConfigurationMode", "IPSubnetMask", "IPGateway", "DNS",
                 "Management", "ManagementPurpose")  # fmt: skip
        assert [values[name] for name in names] == [
            7, at.store.get(at.sim.network)["name_label"], "192.0.2.5", 2, "255.255.255.0", "192.0.2.1",
            "192.0.2.2", True, "storage",
        ]  # fmt: skip


def test_the_service_tells_the_release_of_its_host(pool: ModePool) -> None:
    for software, told in (
        ({"product_version": "8.3.0", "build_number": "cloud"}, "8.3.0-cloud"),
        ({"product_version": "8.3.0"}, "8.3.0"),
        ({}, None),
    ):
        pool.set("host-0", software_version=software)
        assert pool.values("Xen_VirtualSystemManagementService", "host-0")["Version"] == told


async def test_what_is_only_shown_may_stand_in_settings_of_a_copy_and_cannot_be_changed() -> None:
    async with mode_site("xs-cim") as at:
        vm = at.sim.add_vm("web", other_config={"a": "b"}, xenstore_data={"c": "d"})
        (nic,) = at.store.related(vm, "VIFs")
        whole = {**at.shown(path_of(at, vm, VSSD)), "ElementName": "copy"}
        card = {**at.shown(path_of(at, nic, "Xen_NetworkPortSettingData")), "Address": None}
        value, out = await at.ask(
            MANAGEMENT, "DefineSystem", SystemSettings=Instance("Xen_ComputerSystemSettingData", whole),
            ResourceSettings=(Instance("Xen_NetworkPortSettingData", card),),
        )  # fmt: skip
        assert value == 4096
        assert (await at.ended(out))["status"] == "success"
        changed = Instance(
            "Xen_ComputerSystemSettingData", {"InstanceID": whole["InstanceID"], "Xenstore_Data": ("c=e",)}
        )
        assert (await at.ask(MANAGEMENT, "ModifySystemSettings", SystemSettings=changed))[0] == 4
        assert at.store.get(vm)["xenstore_data"] == {"c": "d"}
