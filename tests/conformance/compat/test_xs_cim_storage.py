"""Xen_StoragePoolManagementService as clients of xs-cim call it: by its own parameter names, answered at once."""

from __future__ import annotations

from typing import Any

import pytest
from cim_pool import path_in
from cim_services import GIB, FaultRule, Site
from compat_pool import CimError, mode_site, path_of
from lxml import etree

from cim_provider.compat.xs_storage import targets, told_by, units
from cim_provider.schema.objects import Instance
from xenapi_core.errors import E
from xenapi_core.store.api import Version
from xenapi_core.testing.faults import Faulty

STORAGE = "Xen_StoragePoolManagementService"
RASD = "CIM_ResourceAllocationSettingData"
SHARE = ("server=192.0.2.9", "serverpath=/vms")
ISCSI = {"target": "192.0.2.7", "targetIQN": "iqn.2020-01.example:one", "SCSIid": "3600a"}


def named(at: Site, cls: str, name: str) -> Version:
    (found,) = [version for version in at.store.all(cls).values() if version["name_label"] == name]
    return found


@pytest.mark.parametrize("where", ["Connection", "HostResource"])
async def test_a_storage_pool_is_created_and_detached_at_once(where: str) -> None:
    async with mode_site("xs-cim") as at:
        values = {"ResourceSubType": "nfs", where: SHARE, "VirtualQuantity": 10, "AllocationUnits": "GB",
                  "Description": "of the shop"}  # fmt: skip
        value, out = await at.ask(
            STORAGE, "CreateStoragePool", ElementName="new", Settings=Instance(RASD, values), ResourceType=19
        )
        assert (value, set(out)) == (0, {"Pool"})
        sr = named(at, "SR", "new")
        assert path_in(out["Pool"]).key("InstanceID") == f"Xen:StoragePool/{sr['uuid']}"
        assert (sr["type"], sr["shared"], sr["name_description"]) == ("nfs", True, "of the shop")
        (pbd,) = (at.store.get(ref) for ref in at.store.related(sr.ref, "PBDs"))
        assert pbd["device_config"] == {"server": "192.0.2.9", "serverpath": "/vms"}
        pool = path_of(at, sr.ref, "Xen_StoragePool")
        assert await at.ask(STORAGE, "DetachStoragePool", Pool=pool) == (0, {})
        assert at.store.find(sr.ref) is None


@pytest.mark.parametrize(
    ("setting", "image", "named_by"),
    [("ResourceSetting", "DiskImage", "PoolID"), ("Settings", "Resource", "Pool")],
)
async def test_a_disk_image_is_created_and_deleted_by_either_names(setting: str, image: str, named_by: str) -> None:
    async with mode_site("xs-cim") as at:
        pool = path_of(at, at.sim.sr, "Xen_StoragePool")
        asked: dict[str, Any] = {
            "ResourceType": 17, "VirtualQuantity": 2, "AllocationUnits": "GB", "ElementName": "data",
            **({"PoolID": at.uuid(at.sim.sr)} if named_by == "PoolID" else {}),
        }  # fmt: skip
        params: dict[str, Any] = {setting: Instance(RASD, asked), **({"Pool": pool} if named_by == "Pool" else {})}
        value, out = await at.ask(STORAGE, "CreateDiskImage", **params)
        vdi = named(at, "VDI", "data")
        assert (vdi["virtual_size"], vdi["SR"]) == (2 * GIB, at.sim.sr)
        path = path_of(at, vdi.ref, "Xen_StorageVolume")
        assert path.classname == "Xen_DiskImage"
        assert (value, {name: path_in(one).key("DeviceID") for name, one in out.items()}) == (
            0,
            dict.fromkeys(("Resource", "ResultingDiskImage"), vdi["uuid"]),
        )
        assert await at.ask(STORAGE, "DeleteDiskImage", **{image: path}) == (0, {})
        assert at.store.find(vdi.ref) is None


async def test_the_storage_service_refuses_what_is_no_storage_and_what_is_said_twice() -> None:
    async with mode_site("xs-cim") as at:
        network, disk = Instance(RASD, {"ResourceType": 10}), Instance(RASD, {"ResourceType": 17})
        both = Instance(RASD, {"ResourceSubType": "nfs", "Connection": SHARE, "HostResource": SHARE})
        for settings in (None, network, both):
            assert (await at.ask(STORAGE, "CreateStoragePool", Settings=settings))[0] == 5
        assert (await at.ask(STORAGE, "CreateStoragePool", Settings=disk, ResourceType=10))[0] == 5
        pool = path_of(at, at.sim.network, "Xen_NetworkPool")
        assert (await at.ask(STORAGE, "DetachStoragePool", Pool=pool))[0] == 5
        assert (await at.ask(STORAGE, "CreateDiskImage", Settings=network, Pool=pool))[0] == 5
        place = path_of(at, at.sim.sr, "Xen_StoragePool")
        twice = {"Settings": disk, "ResourceSetting": disk, "Pool": place}
        assert (await at.ask(STORAGE, "CreateDiskImage", **twice))[0] == 5
        assert (await at.ask(STORAGE, "CreateDiskImage", ResourceSetting=disk))[0] == 5
        assert at.store.find(at.sim.network) is not None


async def test_a_storage_pool_and_an_image_in_use_stay() -> None:
    async with mode_site("xs-cim") as at:
        (vbd,) = at.store.related(at.sim.add_vm("web"), "VBDs")
        vdi = at.store.get(vbd)["VDI"]
        pool = path_of(at, at.sim.sr, "Xen_StoragePool")
        assert (await at.ask(STORAGE, "DetachStoragePool", Pool=pool))[0] == 6
        image = path_of(at, vdi, "Xen_StorageVolume")
        assert (await at.ask(STORAGE, "DeleteDiskImage", DiskImage=image))[0] == 6
        assert at.store.find(at.sim.sr) is not None
        assert at.store.find(vdi) is not None


async def with_target(at: Site) -> None:
    """An SR that somebody made on an iSCSI unit and left there."""
    (host,) = at.sim.hosts
    sr = await at.sim.call("SR.create", host, ISCSI, 5 * GIB, "unit", "", "lvmoiscsi", "", True, {})
    (pbd,) = at.store.related(sr, "PBDs")
    await at.sim.call("PBD.unplug", pbd)
    await at.sim.call("SR.forget", sr)


async def discovered(at: Site, **params: Any) -> etree._Element:
    value, out = await at.ask(STORAGE, "DiscoveriSCSITargetInfo", **params)
    assert value == 0
    return etree.fromstring(out["TargetInfo"].findtext("VALUE").encode())


async def test_targets_and_units_of_an_iscsi_server_are_discovered() -> None:
    async with mode_site("xs-cim") as at:
        await with_target(at)
        found = await discovered(at, TargetHost=ISCSI["target"], Port="3260")
        assert found.tag == "iscsi-target-iqns"
        assert [one.findtext("TargetIQN") for one in found.iterfind("TGT")] == [ISCSI["targetIQN"]]
        found = await discovered(at, TargetHost=ISCSI["target"], TargetIQN=ISCSI["targetIQN"])
        assert found.tag == "iscsi-target"
        (unit,) = found.iterfind("LUN")
        assert (unit.findtext("SCSIid"), unit.findtext("size")) == (ISCSI["SCSIid"], str(5 * GIB))
        nothing = await discovered(at, TargetHost="192.0.2.99")
        assert list(nothing) == []


async def test_a_server_that_is_not_named_or_does_not_answer_is_an_error() -> None:
    async with mode_site("xs-cim") as at:
        assert await at.ask(STORAGE, "DiscoveriSCSITargetInfo") == (5, {})
        backends = at.sim.engine.backends
        backends["lvmoiscsi"] = Faulty(backends["lvmoiscsi"], [FaultRule("probe")], at.pool.clock)
        with pytest.raises(CimError) as caught:
            await at.ask(STORAGE, "DiscoveriSCSITargetInfo", TargetHost="192.0.2.7")
        assert (caught.value.status, "SR_BACKEND_FAILURE" in caught.value.text) == (1, True)
        assert (await at.ask(STORAGE, "DiscoveriSCSITargetInfo", TargetHost="192.0.2.7"))[0] == 0


@pytest.mark.parametrize("port", ["iscsi", "0", "65536", "-1", "3260 ", "³"])
async def test_a_port_that_is_no_number_of_one_is_refused(port: str) -> None:
    async with mode_site("xs-cim") as at:
        assert await at.ask(STORAGE, "DiscoveriSCSITargetInfo", TargetHost="192.0.2.7", Port=port) == (5, {})


def test_targets_are_told_once_each_and_text_is_quoted() -> None:
    place = {"target": "h", "targetIQN": "iqn.x:<a&b>"}
    told = etree.fromstring(targets([place, dict(place), {"target": "h"}], "3261").encode())
    assert [(one.findtext("Port"), one.findtext("TargetIQN")) for one in told] == [("3261", "iqn.x:<a&b>")]
    unit = {"configuration": {"SCSIid": "1"}, "sr": None, "extra_info": {"size": "7"}}
    told = etree.fromstring(units([unit, unit]).encode())
    assert [(one.findtext("SCSIid"), one.findtext("size")) for one in told] == [("1", "7")]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (["SR_BACKEND_FAILURE_96", "", "no IQN", "found: <?xml version='1.0'?><iscsi-target-iqns/>"], True),
        (["SR_BACKEND_FAILURE_107", "", "no SCSIid", "<?xml version='1.0'?><iscsi-target/>"], True),
        (["SR_BACKEND_FAILURE_96", "", "no IQN", ""], False),
        (["SR_BACKEND_FAILURE_141", "", "no way there", "<?xml version='1.0'?><x/>"], False),
    ],
)
def test_what_a_driver_tells_by_an_error_is_passed_on(error: list[str], told: bool) -> None:
    found = told_by(E.from_wire(error))
    assert found == (error[3][error[3].index("<?xml") :] if told else None)
