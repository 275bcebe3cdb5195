"""DefineSystem: what was asked is what the Xen-API shows, and what the next DefineSystem from there gives."""

from __future__ import annotations

from typing import Any

import pytest
from cim_services import DISKS, GIB, MANAGEMENT, MEMORY, NICS, PROCESSORS, VSSD, Instance, Path, Site, site

from cim_provider.schema.objects import CIMV2, NOT_FOUND, CimError


async def define(at: Site, **params: Any) -> str:
    """The VM that a DefineSystem made."""
    value, out = await at.ask(MANAGEMENT, "DefineSystem", **params)
    assert value == 0
    return at.made(out, "ResultingSystem", "VM")


def disk_of(at: Site, vm: str, position: str = "0") -> Any:
    vbds = [at.store.get(ref) for ref in at.store.related(vm, "VBDs")]
    return next(vbd for vbd in vbds if vbd["userdevice"] == position)


async def test_a_system_without_settings_is_a_machine_with_defaults() -> None:
    async with site() as at:
        vm = at.store.get(await define(at))
        assert (vm["name_label"], vm["power_state"], vm["domain_type"]) == ("New virtual machine", "Halted", "hvm")
        assert (vm["VCPUs_max"], vm["memory_static_max"]) == (1, GIB)
        assert at.shown(at.settings(vm.ref))["VirtualSystemType"] == "DMTF:Xen:HVM"


async def test_every_setting_that_was_asked_is_what_the_xen_api_shows() -> None:
    async with site() as at:
        system = Instance(
            VSSD,
            {
                "ElementName": "db", "Description": "the database", "VirtualSystemType": "DMTF:Xen:PV",
                "Notes": ("one", "two"), "AutomaticStartupAction": 4,
                "AutomaticStartupActionDelay": "00000000000130.000000:000",
                "AutomaticStartupActionSequenceNumber": 7, "ActionsAfterShutdown": "restart",
                "ActionsAfterReboot": "destroy", "AutomaticRecoveryAction": 2, "PV_Kernel": "/boot/vmlinuz",
                "PV_Args": "ro", "Platform": ("acpi=1", "nx=true"),
            },
        )  # fmt: skip
        processors = Instance(PROCESSORS, {"VirtualQuantity": 4, "VCPUsAtStartup": 2, "Weight": 512, "Limit": 150})
        memory = Instance(
            MEMORY,
            {"VirtualQuantity": 4096, "Reservation": 1024, "Limit": 2048, "AllocationUnits": "byte*2^20"},
        )
        disk = Instance(
            DISKS,
            {"VirtualQuantity": 2, "VirtualQuantityUnits": "byte * 2^30", "Bootable": True, "AddressOnParent": "3",
             "ElementName": "data", "PoolID": at.uuid(at.sim.sr)},
        )  # fmt: skip
        nic = Instance(
            NICS,
            {"Connection": (at.uuid(at.sim.network),), "Address": "02163E000001", "Limit": 8,
             "AllocationUnits": "byte/second*2^20", "SourceMACFilteringEnabled": True},
        )  # fmt: skip
        ref = await define(at, SystemSettings=system, ResourceSettings=(processors, memory, disk, nic))
        vm = at.store.get(ref)
        wanted = {
            "name_label": "db", "name_description": "the database", "domain_type": "pv", "HVM_boot_policy": "",
            "tags": ("one", "two"), "start_delay": 90, "order": 7, "actions_after_shutdown": "restart",
            "actions_after_reboot": "destroy", "actions_after_crash": "destroy", "PV_kernel": "/boot/vmlinuz",
            "PV_args": "ro", "platform": {"acpi": "1", "nx": "true"}, "VCPUs_max": 4, "VCPUs_at_startup": 2,
            "VCPUs_params": {"weight": "512", "cap": "150"}, "memory_static_max": 4 * GIB,
            "memory_dynamic_min": GIB, "memory_dynamic_max": 2 * GIB,
        }  # fmt: skip
        assert {name: vm[name] for name in wanted} == wanted
        assert vm["other_config"]["auto_poweron"] == "true"
        vbd = disk_of(at, ref, "3")
        vdi = at.store.get(vbd["VDI"])
        assert (vbd["bootable"], vbd["mode"], vdi["name_label"], vdi["virtual_size"]) == (
            True,
            "RW",
            "data",
            2 * GIB,
        )
        (vif,) = (at.store.get(each) for each in at.store.related(ref, "VIFs"))
        assert (vif["MAC"], vif["network"], vif["locking_mode"]) == ("02:16:3e:00:00:01", at.sim.network, "locked")
        assert vif["qos_algorithm_params"] == {"kbps": "8192"}


# What a copy has of its own.
OWN = {"InstanceID", "VirtualSystemIdentifier", "CreationTime", "HostExtentName", "Address", "HostResource"}


def everything(at: Site, vm: str) -> list[dict[str, Any]]:
    """All Defined settings of a machine, without what each machine has for itself."""
    paths = [at.settings(vm), *at.related(at.settings(vm), "Xen_VirtualSystemSettingDataComponent")]
    return [{name: value for name, value in at.shown(path).items() if name not in OWN} for path in paths]


async def test_a_system_defined_from_another_has_the_same_settings() -> None:
    async with site() as at:
        first = await define(
            at,
            SystemSettings=Instance(VSSD, {"ElementName": "one", "Notes": ("x",)}),
            ResourceSettings=(
                Instance(PROCESSORS, {"VirtualQuantity": 3}),
                Instance(DISKS, {"VirtualQuantity": GIB}),
                Instance(NICS, {"PoolID": at.uuid(at.sim.network)}),
            ),
        )
        second = await define(at, ReferenceConfiguration=at.settings(first))
        assert everything(at, second) == everything(at, first)
        assert disk_of(at, second)["VDI"] != disk_of(at, first)["VDI"]
        third = await define(
            at, SystemSettings=at.copy(at.settings(second)), ReferenceConfiguration=at.settings(second)
        )
        assert everything(at, third) == everything(at, first)


async def test_settings_sent_back_make_the_same_machine_without_a_reference() -> None:
    async with site() as at:
        first = await define(
            at,
            SystemSettings=Instance(VSSD, {"ElementName": "one", "ActionsAfterCrash": "preserve"}),
            ResourceSettings=(
                Instance(PROCESSORS, {"VirtualQuantity": 3, "VCPUsAtStartup": 2}),
                Instance(MEMORY, {"VirtualQuantity": 2 * GIB}),
                Instance(DISKS, {"VirtualQuantity": GIB, "AddressOnParent": "2", "Bootable": True}),
                Instance(NICS, {"PoolID": at.uuid(at.sim.network)}),
            ),
        )
        parts = at.related(at.settings(first), "Xen_VirtualSystemSettingDataComponent")
        assert {path.classname for path in parts} >= {PROCESSORS, MEMORY, DISKS, NICS}
        resources = [at.copy(path) for path in parts]
        for each in resources:
            if each.classname == DISKS:  # a disk like it, not the same one
                each.values["HostExtentName"] = None
        second = await define(at, SystemSettings=at.copy(at.settings(first)), ResourceSettings=tuple(resources))
        assert everything(at, second) == everything(at, first)
        assert disk_of(at, second, "2")["VDI"] != disk_of(at, first, "2")["VDI"]


# Ways to ask for a disk of one GiB; blocks are the schema's unit of storage.
ONE_GIB: list[dict[str, Any]] = [
    {"VirtualQuantity": GIB},
    {"VirtualQuantity": GIB, "VirtualQuantityUnits": "byte", "VirtualResourceBlockSize": 1},
    {"VirtualQuantity": GIB // 512, "VirtualQuantityUnits": "count(fixed size block)", "VirtualResourceBlockSize": 512},
    {"VirtualQuantity": GIB // 512, "VirtualResourceBlockSize": 512, "AllocationUnits": "byte"},
    {"VirtualQuantity": 1024, "AllocationUnits": "MegaBytes", "VirtualQuantityUnits": "count"},
]


@pytest.mark.parametrize("asked", ONE_GIB, ids=lambda asked: " ".join(map(str, asked.values())))
async def test_a_disk_is_as_large_as_its_quantity_in_its_unit(asked: dict[str, Any]) -> None:
    async with site() as at:
        vm = await define(at, ResourceSettings=(Instance(DISKS, {**asked, "AddressOnParent": "0"}),))
        assert at.store.get(disk_of(at, vm)["VDI"])["virtual_size"] == GIB


async def test_a_template_is_cloned_and_provisioned_and_given_settings_count() -> None:
    async with site() as at:
        sr = at.uuid(at.sim.sr)
        disks = f'<provision><disk device="0" size="{GIB}" sr="{sr}" bootable="true" type="system"/></provision>'
        template = at.sim.add_vm("pattern", disks=0, is_a_template=True, other_config={"disks": disks})
        vm = await define(
            at,
            SystemSettings=Instance(VSSD, {"ElementName": "made"}),
            ResourceSettings=(Instance(PROCESSORS, {"VirtualQuantity": 2}),),
            ReferenceConfiguration=at.settings(template),
        )
        record = at.store.get(vm)
        assert (record["name_label"], record["is_a_template"], record["VCPUs_max"]) == ("made", False, 2)
        assert at.store.get(disk_of(at, vm)["VDI"])["virtual_size"] == GIB
        assert at.store.get(template)["VCPUs_max"] == 1


async def test_settings_of_a_resource_of_the_reference_change_the_copy_of_that_resource() -> None:
    async with site() as at:
        first = at.sim.add_vm("one", disks=1, nics=1)
        vbd = disk_of(at, first)
        path = at.settings(first, str(vbd["uuid"]), DISKS)
        vm = await define(
            at,
            ResourceSettings=(Instance(DISKS, {"InstanceID": path.key("InstanceID"), "Bootable": False}),),
            ReferenceConfiguration=at.settings(first),
        )
        assert len(at.store.related(vm, "VBDs")) == 1
        assert disk_of(at, vm)["bootable"] is False
        assert disk_of(at, first)["bootable"] is True


@pytest.mark.parametrize(
    ("asked", "size"),
    [
        ({"VirtualQuantity": 3, "VirtualQuantityUnits": "byte*2^30"}, 3 * GIB),
        ({"VirtualQuantity": GIB // 2}, None),
        ({"PoolID": "another"}, None),
        ({"HostResource": ("another",)}, None),
    ],
)
async def test_the_copy_of_a_disk_of_the_reference_can_be_larger_and_nothing_else(
    asked: dict[str, Any], size: int | None
) -> None:
    async with site() as at:
        first = at.sim.add_vm("one", disks=1)
        path = at.settings(first, str(disk_of(at, first)["uuid"]), DISKS)
        names = {
            "PoolID": at.uuid(at.sim.add_sr("other", 64 * GIB)),
            "HostResource": (at.uuid(at.sim.add_vdi(GIB)),),
        }
        given = {name: names.get(name, value) for name, value in asked.items()}
        before = at.sim.picture()
        value, out = await at.ask(
            MANAGEMENT, "DefineSystem", ReferenceConfiguration=at.settings(first),
            ResourceSettings=(Instance(DISKS, {"InstanceID": path.key("InstanceID"), **given}),),
        )  # fmt: skip
        if size is None:
            assert value in (1, 4)
            assert at.sim.picture() == before
        else:
            copy = disk_of(at, at.made(out, "ResultingSystem", "VM"))
            assert at.store.get(copy["VDI"])["virtual_size"] == size
            assert at.store.get(disk_of(at, first)["VDI"])["virtual_size"] == GIB


async def test_an_image_that_is_there_can_be_the_disk() -> None:
    async with site() as at:
        vdi, disc = at.sim.add_vdi(GIB), at.sim.add_vdi(GIB, sr=at.sim.iso, read_only=True)
        uri = f'//server/root/cimv2:Xen_StorageVolume.DeviceID="{at.uuid(vdi)}"'
        vm = await define(
            at,
            ResourceSettings=(
                Instance(DISKS, {"HostResource": (uri,), "AddressOnParent": "0"}),
                Instance(
                    "CIM_ResourceAllocationSettingData",
                    {"ResourceType": 15, "HostResource": (at.uuid(disc),), "AddressOnParent": "1"},
                ),
                Instance(DISKS, {"ResourceType": 15, "AddressOnParent": "2"}),
            ),
        )
        assert disk_of(at, vm)["VDI"] == vdi
        assert "owner" not in disk_of(at, vm)["other_config"]
        drive = disk_of(at, vm, "1")
        assert (drive["type"], drive["mode"], drive["VDI"]) == ("CD", "RO", disc)
        assert disk_of(at, vm, "2")["empty"]


@pytest.mark.parametrize("what", ["size", "pool"])
async def test_an_image_that_is_not_as_the_settings_say_is_refused(what: str) -> None:
    async with site() as at:
        image = at.uuid(at.sim.add_vdi(GIB))
        more = {
            "size": {"VirtualQuantity": 2 * GIB},
            "pool": {"PoolID": at.uuid(at.sim.add_sr("other", 64 * GIB))},
        }[what]
        before = at.sim.picture()
        settings = (Instance(DISKS, {"HostResource": (image,), **more}),)
        value, _ = await at.ask(MANAGEMENT, "DefineSystem", ResourceSettings=settings)
        assert value == 4
        assert at.sim.picture() == before


# Settings that cannot be: (SystemSettings, ResourceSettings).
BAD = {
    "type": ({"VirtualSystemType": "DMTF:Other"}, ()),
    "policy of a PV guest": ({"VirtualSystemType": "DMTF:Xen:PV", "HVM_Boot_Policy": "BIOS order"}, ()),
    "recovery": ({"AutomaticRecoveryAction": 4}, ()),
    "startup": ({"AutomaticStartupAction": 9}, ()),
    "delay that is a moment": ({"AutomaticStartupActionDelay": "20260101000000.000000+000"}, ()),
    "property nobody sets": ({"SwapFileDataRoot": "/swap"}, ()),
    "platform": ({"Platform": ("acpi",)}, ()),
    "resource type": ({}, [("CIM_ResourceAllocationSettingData", {"ResourceType": 18})]),
    "no resource type": ({}, [("CIM_ResourceAllocationSettingData", {"VirtualQuantity": 1})]),
    "type of another class": ({}, [(MEMORY, {"ResourceType": 3, "VirtualQuantity": 1})]),
    "unit of memory": ({}, [(MEMORY, {"VirtualQuantity": 1, "AllocationUnits": "hertz"})]),
    "unit of processors": ({}, [(PROCESSORS, {"VirtualQuantity": 1, "VirtualQuantityUnits": "byte"})]),
    "no processors": ({}, [(PROCESSORS, {"VirtualQuantity": 0})]),
    "more to start than there are": ({}, [(PROCESSORS, {"VirtualQuantity": 1, "VCPUsAtStartup": 2})]),
    "processors twice": ({}, [(PROCESSORS, {"VirtualQuantity": 1}), (PROCESSORS, {"VirtualQuantity": 2})]),
    "reservation of processors": ({}, [(PROCESSORS, {"VirtualQuantity": 1, "Reservation": 1})]),
    "memory limits": ({}, [(MEMORY, {"VirtualQuantity": GIB, "Limit": 2 * GIB})]),
    "pool of a disk": ({}, [(DISKS, {"VirtualQuantity": GIB, "PoolID": "nowhere"})]),
    "too little memory": ({}, [(MEMORY, {"VirtualQuantity": (16 << 20) - 1})]),
    "too small a disk": ({}, [(DISKS, {"VirtualQuantity": (1 << 20) - 1})]),
    "disk of no size": ({}, [(DISKS, {"VirtualQuantity": 0})]),
    "image": ({}, [(DISKS, {"HostResource": ("no such disk",)})]),
    "access": ({}, [(DISKS, {"VirtualQuantity": GIB, "Access": 2})]),
    "drive one can write": ({}, [(DISKS, {"ResourceType": 15, "Access": 3})]),
    "interface without a network": ({}, [(NICS, {"ResourceType": 10})]),
    "network": ({}, [(NICS, {"Connection": ("nowhere",)})]),
    "hardware address": ({}, [(NICS, {"Address": "xyz"})]),
    "passed through": ({}, [(PROCESSORS, {"VirtualQuantity": 1, "ConsumerVisibility": 2})]),
}


@pytest.mark.parametrize("name", BAD)
async def test_settings_that_cannot_be_are_an_invalid_parameter_and_change_nothing(name: str) -> None:
    system, resources = BAD[name]
    async with site() as at:
        before = at.sim.picture()
        given = tuple(Instance(cls, dict(values)) for cls, values in resources)
        value, out = await at.ask(
            MANAGEMENT, "DefineSystem", SystemSettings=Instance(VSSD, dict(system)), ResourceSettings=given
        )
        assert (value, out) == (4, {})
        assert at.sim.picture() == before


async def test_a_reference_that_is_not_there_or_is_no_configuration_is_told() -> None:
    async with site() as at:
        gone = Path.of(VSSD, {"InstanceID": "Xen:gone"}, CIMV2)
        with pytest.raises(CimError) as error:
            await at.ask(MANAGEMENT, "DefineSystem", ReferenceConfiguration=gone)
        assert error.value.status == NOT_FOUND
        vm = at.sim.add_vm()
        value, _ = await at.ask(MANAGEMENT, "DefineSystem", ReferenceConfiguration=at.system(vm))
        assert value == 4


async def test_a_running_machine_cannot_be_the_reference() -> None:
    async with site() as at:
        vm = await at.sim.running()
        value, _ = await at.ask(MANAGEMENT, "DefineSystem", ReferenceConfiguration=at.settings(vm))
        assert value == 2


async def test_while_methods_do_not_wait_the_job_tells_the_new_system() -> None:
    async with site(mode="always") as at:
        value, out = await at.ask(MANAGEMENT, "DefineSystem")
        assert value == 4096
        assert set(out) == {"Job"}
        from cim_pool import path_in

        task = await at.ended(out)
        assert task["status"] == "success"
        (link,) = at.links(path_in(out["Job"]), "Xen_AffectedJobElement")
        assert link["ElementEffects"] == ["5"]
        (system,) = at.related(path_in(out["Job"]), "Xen_AffectedJobElement")
        assert at.store.by_uuid("VM", str(system.key("Name"))) is not None
        (owner,) = at.related(path_in(out["Job"]), "Xen_OwningJobElement")
        assert owner == at.service(MANAGEMENT)
