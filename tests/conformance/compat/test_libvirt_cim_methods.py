"""Methods as clients of libvirt-cim call them: on classes, in its words, answered at once or with a CIM error."""

from __future__ import annotations

from typing import Any

import pytest
from cim_pool import path_in, run
from cim_services import Site
from compat_pool import CIMV2, CimError, ModePool, Path, mode_site, path_of

from cim_provider.mapping.view import VIEWS
from cim_provider.schema.objects import Instance

SYSTEM, MANAGEMENT = "Xen_ComputerSystem", "Xen_VirtualSystemManagementService"
VSSD = "Xen_VirtualSystemSettingData"
PROC, MEM = "Xen_ProcResourceAllocationSettingData", "Xen_MemResourceAllocationSettingData"
DISK, NET = "Xen_DiskResourceAllocationSettingData", "Xen_NetResourceAllocationSettingData"
GRAPHICS, INPUT = "Xen_GraphicsResourceAllocationSettingData", "Xen_InputResourceAllocationSettingData"
FAILED, INVALID_PARAMETER, NOT_FOUND, NOT_SUPPORTED = 1, 4, 6, 7


def machine(name: str) -> Path:
    return Path.of(SYSTEM, {"CreationClassName": SYSTEM, "Name": name}, CIMV2)


def setting(cls: str, identifier: str) -> Path:
    return Path.of(cls, {"InstanceID": identifier}, CIMV2)


async def on_class(at: Site, method: str, cls: str = MANAGEMENT, **params: Any) -> tuple[int, dict[str, Any]]:
    """A method invoked on a class."""
    found: tuple[int, dict[str, Any]] = await at.invoke(Path(cls, None, CIMV2), method, **params)
    return found


async def refused(at: Site, path: Path, method: str, **params: Any) -> tuple[int, str]:
    """The CIM error that a call ends in."""
    with pytest.raises(CimError) as caught:
        await at.invoke(path, method, **params)
    return caught.value.status, caught.value.text


def shown(at: Site, path: Path) -> dict[str, Any]:
    found = at.pool.provider.find(path, CIMV2)
    assert found is not None, path
    return dict(found.values)


def guest(name: str = "guest", **more: Any) -> Instance:
    return Instance(VSSD, {"VirtualSystemIdentifier": name, "VirtualSystemType": "Xen", "IsFullVirt": True, **more})


async def test_a_guest_is_defined_on_the_class_at_once() -> None:
    async with mode_site("libvirt-cim") as at:
        resources = (
            Instance(PROC, {"ResourceType": 3, "VirtualQuantity": 2, "AllocationUnits": "Processors"}),
            Instance(MEM, {"ResourceType": 4, "VirtualQuantity": 524288, "AllocationUnits": "KiloBytes"}),
            Instance(
                DISK,
                {"ResourceType": 17, "VirtualDevice": "xvdb", "PoolID": shown_pool(at), "EmulatedType": 0,
                 "VirtualQuantity": 1 << 30, "AllocationUnits": "Bytes"},
            ),
            Instance(
                NET,
                {"ResourceType": 10, "Address": "00:11:22:33:44:55", "NetworkType": "network",
                 "NetworkName": at.store.get(at.sim.network)["name_label"], "VirtualDevice": "eth0"},
            ),
            Instance(GRAPHICS, {"ResourceType": 24, "ResourceSubType": "vnc", "KeyMap": "en-us"}),
            Instance(INPUT, {"ResourceType": 13, "ResourceSubType": "mouse", "BusType": "ps2"}),
        )  # fmt: skip
        system = guest(BootDevices=("hd", "cdrom"))
        value, out = await on_class(at, "DefineSystem", SystemSettings=system, ResourceSettings=resources)
        assert value == 0
        assert out["ResultingSystem"].find(".//KEYVALUE[.='guest']") is not None
        assert shown(at, machine("guest"))["EnabledState"] == 3
        assert shown(at, setting(MEM, "guest/mem"))["VirtualQuantity"] == 524288
        assert shown(at, setting(PROC, "guest/proc"))["VirtualQuantity"] == 2
        assert shown(at, setting(DISK, "guest/xvdb"))["VirtualQuantity"] == 1 << 30
        assert shown(at, setting(NET, "guest/00:11:22:33:44:55"))["NetworkName"]
        assert shown(at, setting(VSSD, "Xen:guest"))["BootDevices"] == ("hd", "cdrom")


def shown_pool(at: Site) -> str:
    return str(path_of(at, at.sim.sr, "Xen_StoragePool").key("InstanceID"))


async def test_a_name_that_is_taken_is_an_error() -> None:
    async with mode_site("libvirt-cim") as at:
        vm = at.sim.add_vm("guest")
        found = await refused(at, Path(MANAGEMENT, None, CIMV2), "DefineSystem", SystemSettings=guest())
        assert found == (FAILED, f"Guest 'guest' is already defined with UUID {at.uuid(vm)}")


async def test_a_missing_argument_is_named() -> None:
    async with mode_site("libvirt-cim") as at:
        for method, name in (("DestroySystem", "AffectedSystem"), ("ModifyResourceSettings", "ResourceSettings")):
            found = await refused(at, Path(MANAGEMENT, None, CIMV2), method)
            assert found == (INVALID_PARAMETER, f"Missing argument `{name}'")


async def test_a_domain_that_does_not_exist_is_named() -> None:
    async with mode_site("libvirt-cim") as at:
        found = await refused(
            at, Path(MANAGEMENT, None, CIMV2), "DestroySystem", AffectedSystem=machine("nobody")
        )  # fmt: skip
        assert found == (NOT_FOUND, "Referenced domain `nobody' does not exist: Domain not found")
        nameless = Path.of(SYSTEM, {"CreationClassName": SYSTEM}, CIMV2)
        found = await refused(at, Path(MANAGEMENT, None, CIMV2), "DestroySystem", AffectedSystem=nameless)
        assert found == (FAILED, "Missing Name")


UNUSABLE = {
    "an emulated type": (DISK, {"ResourceType": 17, "EmulatedType": 9}, FAILED, "emulated type"),
    "a storage pool": (DISK, {"ResourceType": 17, "PoolID": "DiskPool/none"}, FAILED, "No such pool"),
    "a disk image": (DISK, {"ResourceType": 17, "Address": "/none"}, FAILED, "Unable to find the disk image"),
    "a disk device": (DISK, {"ResourceType": 17, "VirtualDevice": "xvd!"}, FAILED, "INVALID_DEVICE"),
    "a shared disk": (DISK, {"ResourceType": 17, "shareable": True}, FAILED, "shareable"),
    "a network type": (NET, {"ResourceType": 10, "NetworkType": "user"}, FAILED, "No such network type"),
    "a network": (NET, {"ResourceType": 10, "NetworkName": "none"}, FAILED, "Unable to find the network"),
    "a bridge": (NET, {"NetworkType": "bridge", "NetworkName": "none"}, FAILED, "Unable to find the network"),
    "a unit": (MEM, {"VirtualQuantity": 1, "AllocationUnits": "furlongs"}, FAILED, "furlongs"),
    "a screen": (GRAPHICS, {"ResourceType": 24, "ResourceSubType": "sdl"}, NOT_SUPPORTED, "sdl"),
    "a password": (GRAPHICS, {"ResourceType": 24, "Password": "x"}, NOT_SUPPORTED, "password"),
    "a key map": (GRAPHICS, {"ResourceType": 24, "KeyMap": "de"}, NOT_SUPPORTED, "key map de"),
}  # fmt: skip


@pytest.mark.parametrize("what", UNUSABLE)
async def test_settings_that_cannot_be_met_are_errors_and_nothing_is_made(what: str) -> None:
    async with mode_site("libvirt-cim") as at:
        cls, values, status, text = UNUSABLE[what]
        before = set(at.store.all("VM"))
        found = await refused(
            at,
            Path(MANAGEMENT, None, CIMV2),
            "DefineSystem",
            SystemSettings=guest(),
            ResourceSettings=(Instance(cls, values),),
        )
        assert (found[0], text in found[1]) == (status, True), found
        assert set(at.store.all("VM")) == before


async def test_settings_are_changed_in_their_own_units_and_by_their_names() -> None:
    async with mode_site("libvirt-cim") as at:
        vm = at.sim.add_vm("web")
        memory = shown(at, setting(MEM, "web/mem"))
        changed = Instance(MEM, {**memory, "VirtualQuantity": 3 << 20})
        value, _ = await on_class(at, "ModifyResourceSettings", ResourceSettings=(changed,))
        assert value == 0
        assert at.store.get(vm)["memory_static_max"] == 3 << 30
        assert shown(at, setting(MEM, "web/mem"))["VirtualQuantity"] == 3 << 20
        other_unit = Instance(
            MEM, {"InstanceID": "web/mem", "VirtualQuantity": 4096, "AllocationUnits": "MegaBytes"}
        )  # fmt: skip
        await on_class(at, "ModifyResourceSettings", ResourceSettings=(other_unit,))
        assert at.store.get(vm)["memory_static_max"] == 4 << 30
        processors = Instance(PROC, {**shown(at, setting(PROC, "web/proc")), "VirtualQuantity": 3})
        await on_class(at, "ModifyResourceSettings", ResourceSettings=(processors,))
        assert at.store.get(vm)["VCPUs_max"] == 3
        system = Instance(VSSD, {**shown(at, setting(VSSD, "Xen:web")), "CommandLine": "ro quiet"})
        await on_class(at, "ModifySystemSettings", SystemSettings=system)
        assert at.store.get(vm)["PV_args"] == "ro quiet"


async def test_settings_sent_back_as_they_were_change_nothing() -> None:
    async with mode_site("libvirt-cim") as at:
        vm = await at.sim.running("web")
        before = at.store.get(vm)
        settings = tuple(
            Instance(one.path.classname, dict(one.values))
            for name in (PROC, MEM, DISK, NET)
            for extent in at.pool.provider.extents(CIMV2, name)
            for one in extent
        )
        assert {one.classname for one in settings} >= {PROC, MEM}
        assert (await on_class(at, "ModifyResourceSettings", ResourceSettings=settings))[0] == 0
        whole = Instance(VSSD, shown(at, setting(VSSD, "Xen:web")))
        assert (await on_class(at, "ModifySystemSettings", SystemSettings=whole))[0] == 0
        assert at.store.get(vm) is before


async def test_boot_devices_and_features_leave_what_is_beside_them() -> None:
    async with mode_site("libvirt-cim") as at:
        vm = at.sim.add_vm(
            "web", domain_type="hvm", HVM_boot_policy="BIOS order",
            HVM_boot_params={"order": "c", "firmware": "uefi"}, platform={"acpi": "1", "secureboot": "auto"},
        )  # fmt: skip
        now = shown(at, setting(VSSD, "Xen:web"))
        assert (now["BootDevice"], now["EnableACPI"], now["EnablePAE"]) == ("hd", True, None)
        changed = Instance(VSSD, {**now, "BootDevices": ("cdrom", "hd"), "EnableACPI": False, "EnableAPIC": True})
        await on_class(at, "ModifySystemSettings", SystemSettings=changed)
        record = at.store.get(vm)
        assert record["HVM_boot_params"] == {"order": "dc", "firmware": "uefi"}
        assert record["platform"] == {"acpi": "false", "secureboot": "auto", "apic": "true"}
        system = Instance(
            VSSD, {"VirtualSystemIdentifier": "like", "BootDevice": "network", "EnableACPI": True, "UUID": "x"}
        )  # fmt: skip
        await on_class(
            at, "DefineSystem", SystemSettings=system, ReferenceConfiguration=setting(VSSD, "Xen:web")
        )  # fmt: skip
        record = next(v for v in at.store.all("VM").values() if v["name_label"] == "like")
        assert record["HVM_boot_params"] == {"order": "n", "firmware": "uefi"}
        assert record["platform"] == {"acpi": "true", "secureboot": "auto", "apic": "true"}


async def test_what_happens_after_a_crash_is_told_and_set_in_its_numbers() -> None:
    async with mode_site("libvirt-cim") as at:
        vm = at.sim.add_vm("web", actions_after_shutdown="restart")
        for number, action in ((123, "preserve"), (2, "destroy"), (3, "restart")):
            system = Instance(VSSD, {"InstanceID": "Xen:web", "AutomaticRecoveryAction": number})
            await on_class(at, "ModifySystemSettings", SystemSettings=system)
            assert at.store.get(vm)["actions_after_crash"] == action
            assert shown(at, setting(VSSD, "Xen:web"))["AutomaticRecoveryAction"] == number
        assert shown(at, setting(VSSD, "Xen:web"))["AutomaticShutdownAction"] is None
        for number, action in ((0, "restart"), (2, "destroy")):
            system = Instance(VSSD, {"InstanceID": "Xen:web", "AutomaticShutdownAction": number})
            await on_class(at, "ModifySystemSettings", SystemSettings=system)
            assert at.store.get(vm)["actions_after_shutdown"] == action


async def test_a_new_machine_may_have_settings_copied_from_another() -> None:
    async with mode_site("libvirt-cim") as at:
        at.sim.add_vm("web", memory=3 << 30, VCPUs_max=3, name_description="shop")
        system = Instance(VSSD, {**shown(at, setting(VSSD, "Xen:web")), "VirtualSystemIdentifier": "copy"})
        system.values["ElementName"] = "copy"
        resources = tuple(
            Instance(cls, shown(at, setting(cls, f"web/{word}"))) for cls, word in ((PROC, "proc"), (MEM, "mem"))
        )
        assert (await on_class(at, "DefineSystem", SystemSettings=system, ResourceSettings=resources))[0] == 0
        made = next(v for v in at.store.all("VM").values() if v["name_label"] == "copy")
        assert (made["name_description"], made["memory_static_max"], made["VCPUs_max"]) == ("shop", 3 << 30, 3)


async def test_a_snapshot_of_memory_is_a_full_one_and_one_that_stops_is_refused() -> None:
    async with mode_site("libvirt-cim") as at:
        vm = await at.sim.running("web")
        service = "Xen_VirtualSystemSnapshotService"
        asked = {"AffectedSystem": machine("web"), "SnapshotType": 32768}
        assert (await on_class(at, "CreateSnapshot", service, **asked))[0] == 0
        (snapshot,) = at.store.related(vm, "snapshots")
        assert at.store.get(snapshot)["power_state"] == "Suspended"
        found = path_of(at, snapshot, VSSD)
        assert shown(at, found)["VirtualSystemIdentifier"] == "web"
        status, text = await refused(
            at, Path(service, None, CIMV2), "CreateSnapshot", **{**asked, "SnapshotType": 32769}
        )  # fmt: skip
        assert (status, "32769" in text) == (NOT_SUPPORTED, True)
        (able,) = at.pool.provider.extent(VIEWS["Xen_VirtualSystemSnapshotCapabilities"]).of(at.store.get(vm))
        assert able.values["SnapshotTypesEnabled"] == (2, 3, 32768)


async def test_a_disk_is_added_to_a_running_machine_and_removed_again() -> None:
    async with mode_site("libvirt-cim") as at:
        vm = await at.sim.running("web")
        disk = Instance(
            DISK, {"ResourceType": 17, "VirtualDevice": "xvdd", "PoolID": shown_pool(at),
                   "VirtualQuantity": 1 << 20, "AllocationUnits": "Bytes"},
        )  # fmt: skip
        config = setting(VSSD, "Xen:web")
        value, out = await on_class(
            at, "AddResourceSettings", AffectedConfiguration=config, ResourceSettings=(disk,)
        )  # fmt: skip
        assert value == 0
        added = next(v for v in map(at.store.get, at.store.related(vm, "VBDs")) if v["userdevice"] == "3")
        assert added["currently_attached"] is True
        path = path_of(at, added.ref, "Xen_DiskSettingData")
        (told,) = map(path_in, out["ResultingResourceSettings"].iter("INSTANCENAME"))
        assert (told.classname, told.key("InstanceID")) == (path.classname, path.key("InstanceID"))
        assert str(path.key("InstanceID")).startswith("web/")
        assert (await on_class(at, "RemoveResourceSettings", ResourceSettings=(path,)))[0] == 0
        assert at.store.find(added.ref) is None


async def test_a_change_of_a_property_that_is_no_setting_is_refused() -> None:
    async with mode_site("libvirt-cim") as at:
        at.sim.add_vm("web")
        system = Instance(VSSD, {"InstanceID": "Xen:web", "UUID": "00000000-0000-0000-0000-000000000000"})
        status, text = await refused(
            at, Path(MANAGEMENT, None, CIMV2), "ModifySystemSettings", SystemSettings=system
        )  # fmt: skip
        assert (status, "UUID cannot be set" in text) == (FAILED, True)


# power state, RequestedState, error
TRANSITIONS = [
    ("Halted", 9, (FAILED, "Domain not running")),
    ("Halted", 10, (FAILED, "Domain not running")),
    ("Halted", 11, (FAILED, "Domain not running")),
    ("Halted", 3, (FAILED, "Invalid state transition")),
    ("Halted", 4, (FAILED, "Invalid state transition")),
    ("Running", 2, (FAILED, "Invalid state transition")),
    ("Paused", 9, (FAILED, "Domain not running")),
    ("Paused", 4, (FAILED, "Invalid state transition")),
    ("Paused", 10, (FAILED, "Invalid state transition")),
    ("Running", 6, (NOT_SUPPORTED, "State not supported")),
    ("Running", 7, (NOT_SUPPORTED, "State not supported")),
    ("Running", 77, (INVALID_PARAMETER, "Invalid RequestedState")),
]


@pytest.mark.parametrize(("state", "requested", "error"), TRANSITIONS)
async def test_a_state_that_cannot_be_is_a_cim_error(state: str, requested: int, error: tuple[int, str]) -> None:
    async with mode_site("libvirt-cim") as at:
        vm = at.sim.add_vm("web") if state == "Halted" else await at.sim.running("web")
        if state == "Paused":
            await at.sim.call("VM.pause", vm)
        assert await refused(at, machine("web"), "RequestStateChange", RequestedState=requested) == error


async def test_a_state_change_answers_when_it_is_done_and_is_remembered() -> None:
    async with mode_site("libvirt-cim") as at:
        at.sim.add_vm("web")
        assert shown(at, machine("web"))["RequestedState"] == 0
        assert await at.invoke(machine("web"), "RequestStateChange", RequestedState=2) == (0, {})
        values = shown(at, machine("web"))
        assert (values["EnabledState"], values["RequestedState"]) == (2, 2)


async def test_a_migration_is_a_job() -> None:
    async with mode_site("libvirt-cim", hosts=2) as at:
        vm = await at.sim.running("web")
        there = next(ref for ref in at.sim.hosts if ref != at.store.get(vm)["resident_on"])
        value, out = await on_class(
            at, "MigrateVirtualSystemToHost", "Xen_VirtualSystemMigrationService", ComputerSystem=machine("web"),
            DestinationHost=at.store.get(there)["hostname"],
        )  # fmt: skip
        assert value == 4096
        task = await at.ended(out)
        assert task["status"] == "success"
        assert at.store.get(vm)["resident_on"] == there


@pytest.mark.parametrize(
    ("path", "error"),
    [
        (Path.of(SYSTEM, {"CreationClassName": SYSTEM, "Name": "x"}, CIMV2), (6, "No such instance (Name)")),
        (Path.of(SYSTEM, {"CreationClassName": SYSTEM}, CIMV2), (1, "Missing Name")),
        (setting(MEM, "x/mem"), (6, "No such instance (InstanceID)")),
        (Path.of(MEM, {"Wrong": "x"}, CIMV2), (1, "Missing InstanceID")),
        (
            Path.of(
                "Xen_Memory",
                {"SystemCreationClassName": SYSTEM, "SystemName": "x", "CreationClassName": "Xen_Memory",
                 "DeviceID": "x/mem"},
            ),
            (6, "No such instance (x/mem)"),
        ),
        (Path.of("Xen_Memory", {"SystemName": "x"}), (1, "Missing DeviceID")),
    ],
)  # fmt: skip
@pytest.mark.parametrize("operation", ["GetInstance", "Associators"])
def test_a_path_that_leads_nowhere_is_told_in_its_words(operation: str, path: Path, error: tuple[int, str]) -> None:
    pool = ModePool("libvirt-cim")
    name = "InstanceName" if operation == "GetInstance" else "ObjectName"
    with pytest.raises(CimError) as caught:
        run(pool.provider, operation, **{name: path})
    assert (caught.value.status, caught.value.text) == error
