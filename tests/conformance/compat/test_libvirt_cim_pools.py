"""Pools and volumes made of libvirt-cim's own settings, and what its schema has beside."""

from __future__ import annotations

from typing import Any

import pytest
from cim_services import GIB, Site
from compat_pool import CIMV2, CimError, ModePool, Path, mode_site, path_of

from cim_provider.compat import libvirt_pools
from cim_provider.schema.objects import Instance
from xenapi_core.store.api import Version

SERVICE = "Xen_ResourcePoolConfigurationService"
VSSD, MANAGEMENT = "Xen_VirtualSystemSettingData", "Xen_VirtualSystemManagementService"


async def asked(at: Site, method: str, **params: Any) -> None:
    """The method, on the class of its service; it must succeed at once."""
    value, _ = await at.invoke(Path(SERVICE, None, CIMV2), method, **params)
    assert value == 0


async def refused(at: Site, method: str, **params: Any) -> int:
    with pytest.raises(CimError) as caught:
        await at.invoke(Path(SERVICE, None, CIMV2), method, **params)
    return int(caught.value.status)


def named(at: Site, cls: str, name: str) -> Version:
    (found,) = [one for one in at.store.all(cls).values() if one["name_label"] == name]
    return found


STORES: dict[int, tuple[dict[str, Any], str, dict[str, str]]] = {
    1: ({"Path": "/srv/vms"}, "file", {"location": "/srv/vms"}),
    3: (
        {"Host": "192.0.2.9", "SourceDirectory": "/vms", "Path": "/mnt"},
        "nfs",
        {"server": "192.0.2.9", "serverpath": "/vms"},
    ),
    4: ({"DevicePaths": ("/dev/sdb",)}, "ext", {"device": "/dev/sdb"}),
    6: ({"DevicePaths": ("/dev/sdb", "/dev/sdc")}, "lvm", {"device": "/dev/sdb,/dev/sdc"}),
}


@pytest.mark.parametrize("kind", STORES)
async def test_a_disk_pool_is_made_where_its_settings_say(kind: int) -> None:
    async with mode_site("libvirt-cim") as at:
        place, sr_type, config = STORES[kind]
        settings = Instance(
            libvirt_pools.DISK_POOL, {"ResourceType": 17, "PoolID": "DiskPool/new", "Type": kind, **place}
        )
        await asked(at, "CreateChildResourcePool", ElementName="new", Settings=(settings,))
        sr = named(at, "SR", "new")
        (pbd,) = (at.store.get(ref) for ref in at.store.related(sr.ref, "PBDs"))
        assert (sr["type"], pbd["device_config"]) == (sr_type, config)


async def test_a_network_is_made_unless_it_shall_give_out_addresses_or_forward() -> None:
    async with mode_site("libvirt-cim") as at:
        plain = Instance(libvirt_pools.NET_POOL, {"ResourceType": 10, "ForwardMode": 0})
        await asked(at, "CreateChildResourcePool", ElementName="inner", Settings=(plain,))
        assert at.store.related(named(at, "network", "inner").ref, "PIFs") == ()
        for more in ({"ForwardMode": 1}, {"Netmask": "255.255.255.0"}, {"ForwardDevice": "eth0"}):
            settings = Instance(libvirt_pools.NET_POOL, {"ResourceType": 10, **more})
            assert await refused(at, "CreateChildResourcePool", ElementName="no", Settings=(settings,)) == 7


UNUSABLE: dict[str, tuple[dict[str, Any], int]] = {
    "a type without storage": ({"Type": 5, "Host": "h", "DevicePaths": ("iqn",)}, 7),
    "no type": ({"Path": "/srv"}, 7),
    "no place": ({"Type": 3, "Host": "h"}, 1),
    "an adapter": ({"Type": 1, "Path": "/srv", "AdapterName": "host0"}, 7),
}


@pytest.mark.parametrize("what", UNUSABLE)
async def test_a_disk_pool_that_cannot_be_is_an_error(what: str) -> None:
    async with mode_site("libvirt-cim") as at:
        values, status = UNUSABLE[what]
        before = set(at.store.all("SR"))
        settings = Instance(libvirt_pools.DISK_POOL, values)
        assert await refused(at, "CreateChildResourcePool", ElementName="no", Settings=(settings,)) == status
        assert set(at.store.all("SR")) == before


async def test_a_volume_is_made_in_a_pool_by_its_own_settings() -> None:
    async with mode_site("libvirt-cim") as at:
        pool = path_of(at, at.sim.sr, "Xen_StoragePool")
        values = {"ResourceType": 32768, "VolumeName": "data", "Path": "/x", "FormatType": 1, "Capacity": 2,
                  "AllocationQuantity": 1, "AllocationUnits": "GigaBytes"}  # fmt: skip
        await asked(at, "CreateResourceInPool", Settings=Instance(libvirt_pools.VOLUME, values), Pool=pool)
        vdi = named(at, "VDI", "data")
        assert (vdi["virtual_size"], vdi["SR"]) == (2 * GIB, at.sim.sr)
        odd = Instance(libvirt_pools.VOLUME, {**values, "FormatType": 4})
        assert await refused(at, "CreateResourceInPool", Settings=odd, Pool=pool) == 7


async def test_the_clock_of_a_guest_is_told_and_set() -> None:
    async with mode_site("libvirt-cim") as at:
        vm = at.sim.add_vm("web", platform={"acpi": "1"})
        path = Path.of(VSSD, {"InstanceID": "Xen:web"}, CIMV2)
        assert at.shown(path)["ClockOffset"] == 0
        for offset, told in ((1, "true"), (0, "false")):
            system = Instance(VSSD, {"InstanceID": "Xen:web", "ClockOffset": offset})
            value, _ = await at.invoke(Path(MANAGEMENT, None, CIMV2), "ModifySystemSettings", SystemSettings=system)
            assert (value, at.shown(path)["ClockOffset"]) == (0, offset)
            assert at.store.get(vm)["platform"] == {"acpi": "1", "localtime": told}
        odd = Instance(VSSD, {"InstanceID": "Xen:web", "ClockOffset": 2})
        with pytest.raises(CimError):
            await at.invoke(Path(MANAGEMENT, None, CIMV2), "ModifySystemSettings", SystemSettings=odd)


def test_the_console_services_have_their_own_names() -> None:
    found = ModePool("libvirt-cim")
    for name in ("Xen_ConsoleRedirectionService", "Xen_ConsoleRedirectionServiceCapabilities"):
        assert [one.path.classname for one in found.shown_in(name)] == [name] * len(found.store.all("host"))


async def test_a_migration_takes_every_transport_and_no_programs_that_check() -> None:
    async with mode_site("libvirt-cim", hosts=2) as at:
        vm = await at.sim.running("web")
        there = next(ref for ref in at.sim.hosts if ref != at.store.get(vm)["resident_on"])
        system = Path.of("Xen_ComputerSystem", {"CreationClassName": "Xen_ComputerSystem", "Name": "web"}, CIMV2)
        service = Path("Xen_VirtualSystemMigrationService", None, CIMV2)
        params = {"ComputerSystem": system, "DestinationHost": at.store.get(there)["hostname"]}

        def settings(**more: Any) -> dict[str, Any]:
            asked = Instance("Xen_VirtualSystemMigrationSettingData", {"MigrationType": 2, **more})
            return {**params, "MigrationSettingData": asked}

        for more, status in (({"TransportType": 9}, 4), ({"TransportType": 2, "CheckParameters": ("x",)}, 7)):
            with pytest.raises(CimError) as caught:
                await at.invoke(service, "MigrateVirtualSystemToHost", **settings(**more))
            assert caught.value.status == status
        value, out = await at.invoke(service, "MigrateVirtualSystemToHost", **settings(TransportType=2))
        assert value == 4096
        assert (await at.ended(out))["status"] == "success"
        assert at.store.get(vm)["resident_on"] == there
