"""What the predecessors had, by name: it works in the mode, or the page of the mode tells that it is missing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path as File

import pytest
from compat_pool import CIMV2, ModePool, graph

from cim_provider.compat.mode import PLAIN
from cim_provider.mapping.face import Face, Kinds
from cim_provider.profiles.indications import LIFECYCLE_CLASSES
from cim_provider.profiles.job_control import ConcreteJob
from cim_provider.provider import CimProvider, MappingError

DOCS = File(__file__).parents[3] / "docs"

# Classes whose instances clients read, of a pool that has everything.
CLASSES = {
    "libvirt-cim": (
        "Xen_ComputerSystem", "Xen_HostSystem", "Xen_VirtualSystemSettingData", "Xen_EnabledLogicalElementCapabilities",
        "Xen_ProcResourceAllocationSettingData", "Xen_MemResourceAllocationSettingData",
        "Xen_DiskResourceAllocationSettingData", "Xen_NetResourceAllocationSettingData",
        "Xen_GraphicsResourceAllocationSettingData", "Xen_Processor", "Xen_Memory", "Xen_LogicalDisk",
        "Xen_NetworkPort", "Xen_DisplayController", "Xen_ProcessorPool", "Xen_MemoryPool", "Xen_DiskPool",
        "Xen_NetworkPool",
        "Xen_AllocationCapabilities", "Xen_VirtualSystemManagementService", "Xen_VirtualSystemManagementCapabilities",
        "Xen_VirtualSystemMigrationService", "Xen_VirtualSystemMigrationCapabilities",
        "Xen_VirtualSystemMigrationSettingData", "Xen_VirtualSystemSnapshotService",
        "Xen_ResourcePoolConfigurationService", "Xen_MigrationJob", "Xen_ConsoleRedirectionService",
        "Xen_ConsoleRedirectionServiceCapabilities", "Xen_KVMRedirectionSAP",
    ),
    "xs-cim": (
        "Xen_ComputerSystem", "Xen_HostComputerSystem", "Xen_HostPool", "Xen_VirtualSwitch",
        "Xen_ComputerSystemSettingData", "Xen_ComputerSystemTemplate", "Xen_ComputerSystemSnapshot",
        "Xen_ComputerSystemCapabilities", "Xen_VirtualSystemManagementService", "Xen_VirtualSystemMigrationService",
        "Xen_VirtualSystemSnapshotService", "Xen_Processor", "Xen_Memory", "Xen_Disk", "Xen_DiskDrive",
        "Xen_NetworkPort", "Xen_ProcessorPool", "Xen_MemoryPool", "Xen_StoragePool", "Xen_NetworkConnectionPool",
        "Xen_DiskImage",
        "Xen_ProcessorSettingData", "Xen_MemorySettingData", "Xen_DiskSettingData", "Xen_NetworkPortSettingData",
        "Xen_ProcessorCapabilitiesSettingData", "Xen_MemoryCapabilitiesSettingData",
        "Xen_StorageCapabilitiesSettingData", "Xen_NetworkConnectionCapabilitiesSettingData",
        "Xen_SystemStateChangeJob", "Xen_VirtualSystemCreateJob", "Xen_VirtualSystemMigrationServiceJob",
        "Xen_VirtualSystemModifyResourcesJob", "Xen_VirtualSystemManagementServiceJob", "Xen_Job",
        "Xen_ConnectToDiskImageJob", "Xen_DisconnectFromDiskImageJob",
        "Xen_StoragePoolManagementService", "Xen_VirtualSwitchManagementService", "Xen_Console",
        "Xen_ConsoleSettingData", "Xen_KVP", "Xen_KVPSettingData", "Xen_MetricService",
        "Xen_MetricsServiceCapabilities",
        "Xen_NetworkConnectionAllocationCapabilities", "Xen_VirtualSwitchPort", "Xen_ComputerSystemLANEndpoint",
        "Xen_VirtualSwitchLANEndpoint", "Xen_HostNetworkPortSettingData", "Xen_MemoryState",
    ),
}  # fmt: skip
INDICATIONS = {
    "libvirt-cim": tuple(
        f"Xen_{source}{word}Indication"
        for source in ("ComputerSystem", "ResourceAllocationSettingData", "ComputerSystemMigrationJob")
        for word in ("Created", "Modified", "Deleted")
    ),
    "xs-cim": ("Xen_ComputerSystemCreation", "Xen_ComputerSystemModification", "Xen_ComputerSystemDeletion"),
}
MANAGED = ("DefineSystem", "DestroySystem", "ModifySystemSettings", "AddResourceSettings", "ModifyResourceSettings",
           "RemoveResourceSettings")  # fmt: skip
CHECKED = ("CheckVirtualSystemIsMigratableToHost", "CheckVirtualSystemIsMigratableToSystem",
           "MigrateVirtualSystemToHost", "MigrateVirtualSystemToSystem")  # fmt: skip
METHODS = {
    "libvirt-cim": {
        "Xen_ComputerSystem": ("RequestStateChange",),
        "Xen_VirtualSystemManagementService": MANAGED,
        "Xen_VirtualSystemMigrationService": CHECKED,
        "Xen_VirtualSystemSnapshotService": ("CreateSnapshot", "ApplySnapshot", "DestroySnapshot"),
        "Xen_ResourcePoolConfigurationService": (
            "CreateResourcePool", "CreateChildResourcePool", "DeleteResourcePool", "AddResourcesToResourcePool",
            "RemoveResourcesFromResourcePool", "CreateResourceInPool", "DeleteResourceInPool",
        ),
        "Xen_MigrationJob": ("RequestStateChange", "GetError"),
    },
    "xs-cim": {
        "Xen_ComputerSystem": ("RequestStateChange", "SetPowerState"),
        "Xen_HostComputerSystem": ("RequestStateChange", "SetPowerState"),
        "Xen_VirtualSystemManagementService": (
            *MANAGED, "AddResourceSetting", "CopySystem", "ConvertToXenTemplate", "FindPossibleHostsToRunOn",
        ),
        "Xen_HostPool": (
            "Create", "RemoveHost", "EnableHighAvailability", "DisableHighAvailability", "SetDefaultStoragePool",
        ),
        "Xen_MetricService": ("GetPerformanceMetricsForSystem",),
        "Xen_VirtualSystemMigrationService": CHECKED,
        "Xen_VirtualSystemSnapshotService": ("CreateSnapshot", "ApplySnapshot", "DestroySnapshot"),
        "Xen_SystemStateChangeJob": ("RequestStateChange", "KillJob", "GetError"),
        "Xen_StoragePoolManagementService": (
            "CreateStoragePool", "DetachStoragePool", "CreateDiskImage", "DeleteDiskImage", "DiscoveriSCSITargetInfo",
            "ConnectToDiskImage", "DisconnectFromDiskImage",
        ),
        "Xen_VirtualSwitchManagementService": MANAGED,
    },
}  # fmt: skip
# Classes that do not exist, and methods that have no behaviour.
MISSING = {
    "libvirt-cim": (
        "Xen_FilterList", "Xen_GraphicsPool", "Xen_InputPool", "Xen_PointingDevice", "Xen_SwitchService",
    ),
    "xs-cim": (
        "StartSnapshotForestExport", "EndSnapshotForestExport",
        "PrepareSnapshotForestImport", "CreateNextDiskInImportSequence", "FinalizeSnapshotForestImport",
        "CleanupSnapshotForestImport", "AddHost", "Login", "Logout", "Xen_VirtualizationCapabilities",
        "SetupKVPCommunication",
    ),
}  # fmt: skip
TASKS = (
    "Async.VM.pool_migrate", "Async.VM.migrate_send", "CIM.MigrateVirtualSystemToHost", "Async.VM.start",
    "CIM.DefineSystem", "Async.VM.snapshot", "CIM.AddResourceSettings", "CIM.DestroySystem",
    "CIM.ConnectToDiskImage", "CIM.DisconnectFromDiskImage",
)  # fmt: skip


@pytest.fixture(scope="module", params=tuple(CLASSES))
def pool(request: pytest.FixtureRequest) -> ModePool:
    found = ModePool(request.param)
    found.name = request.param
    for name in TASKS:
        found.add("task", name, name_label=name, status="pending")
    found.vm("snapshot", is_a_snapshot=True, is_a_template=True, snapshot_of=found.refs["web"])
    found.disk("web-cd", "web", type="CD", mode="RO", userdevice="3")
    found.set("web", xenstore_data={"role": "shop"})
    found.add("VDI", "memory", SR=found.refs["sr"], type="suspend")
    return found


def own(pool: ModePool, classname: str) -> list[str]:
    """The names of the records whose instances are of just this class."""
    names = {ref: name for name, ref in pool.refs.items()}
    shown = [one for one in pool.shown_in(classname) if one.path.classname == classname]
    return sorted(names[one.version.ref] for one in shown if one.version is not None)


def test_every_class_of_a_predecessor_has_instances(pool: ModePool) -> None:
    for name in CLASSES[pool.name]:
        assert name in {one.path.classname for one in pool.shown_in(name)}, name


def test_every_method_of_a_predecessor_has_behaviour(pool: ModePool) -> None:
    known = graph(*pool.provider.mode.mof)
    for classname, methods in METHODS[pool.name].items():
        for method in methods:
            assert method.lower() in known.classes[classname.lower()].methods, (classname, method)
            (view,) = pool.provider.views_of(classname)
            assert method in pool.provider.extent(view).view.methods, (classname, method)


def test_every_indication_of_a_predecessor_is_delivered_by_its_class(pool: ModePool) -> None:
    known = graph(*pool.provider.mode.mof)
    for name in INDICATIONS[pool.name]:
        row = LIFECYCLE_CLASSES[name.lower()]
        assert known.is_a(name, row.kind)
        assert known.find(row.source) is not None


def test_what_is_missing_does_not_exist_and_is_told(pool: ModePool) -> None:
    page = (DOCS / f"moving-from-{pool.name}.md").read_text(encoding="utf-8").partition("## What differs")[2]
    known = graph(*pool.provider.mode.mof)
    methods = {name for view in pool.provider.views for name in pool.provider.extent(view).view.methods}
    for name in MISSING[pool.name]:
        assert f"`{name}`" in page, name
        assert known.find(name) is None
        assert name not in methods


def test_migrations_are_jobs_of_a_class_of_their_own() -> None:
    found = ModePool("libvirt-cim")
    for name in TASKS:
        found.add("task", name, name_label=name, status="pending")
    assert own(found, "Xen_MigrationJob") == sorted(TASKS[:3])
    assert own(found, "Xen_ConcreteJob") == sorted(TASKS[3:])


def test_templates_and_snapshots_are_of_classes_of_their_own() -> None:
    found = ModePool("xs-cim")
    found.vm("snapshot", is_a_snapshot=True, is_a_template=True, snapshot_of=found.refs["web"])
    assert own(found, "Xen_ComputerSystemTemplate") == ["template"]
    assert own(found, "Xen_ComputerSystemSnapshot") == ["snapshot"]
    assert "web" in own(found, "Xen_ComputerSystemSettingData")
    assert {one.path.classname for one in found.shown_in("Xen_ComputerSystemSettingData")} == {
        "Xen_ComputerSystemSettingData", "Xen_ComputerSystemTemplate", "Xen_ComputerSystemSnapshot",
    }  # fmt: skip


def test_a_template_that_becomes_a_machine_changes_its_class() -> None:
    found = ModePool("xs-cim")
    (before,) = own(found, "Xen_ComputerSystemTemplate")
    old = found.one("Xen_VirtualSystemSettingData", before).path
    found.set(before, is_a_template=False)
    assert own(found, "Xen_ComputerSystemTemplate") == []
    assert found.provider.find(old, CIMV2) is None
    assert before in own(found, "Xen_ComputerSystemSettingData")


def test_a_query_by_key_finds_instances_of_the_asked_class_only() -> None:
    found = ModePool("xs-cim")
    for name, wanted in (("template", 1), ("web", 0)):
        query = f"SELECT * FROM Xen_ComputerSystemTemplate WHERE InstanceID = 'Xen:{found.uuid(name)}'"
        reply = found.run("ExecQuery", QueryLanguage="WQL", Query=query)
        assert len(list(reply.values)) == wanted


def test_kinds_that_are_no_subclasses_are_a_mistake() -> None:
    mode = replace(PLAIN, faces={ConcreteJob: Face(kinds=Kinds(("Xen_HostPool",), lambda task: ""))})
    with pytest.raises(MappingError, match="Xen_HostPool is no class below Xen_ConcreteJob"):
        CimProvider(ModePool("").source, graph(), mode=mode)
