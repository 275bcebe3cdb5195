"""What clients of xs-cim rely on, one fact each: identifiers, classes, states, units and private properties."""

from __future__ import annotations

from typing import Any

import pytest
from cim_pool import elements, instance_values, run
from compat_pool import CIMV2, ModePool

from cim_provider.schema.objects import INTEROP

SYSTEM, VSSD = "Xen_ComputerSystem", "Xen_VirtualSystemSettingData"
PROCESSORS, MEMORY, DISK = "Xen_ProcessorSettingData", "Xen_MemorySettingData", "Xen_DiskSettingData"
MANAGEMENT = "Xen_VirtualSystemManagementCapabilities"

# fact: declared view, record, property, value; {record} stands for the uuid of a record
FACTS: dict[str, tuple[str, str, str, Any]] = {
    "the key of a machine is its uuid": (SYSTEM, "web", "Name", "{web}"),
    "no request is remembered": (SYSTEM, "off", "RequestedState", 5),
    "a machine tells its host": (SYSTEM, "dom0", "Host", "{host-0}"),
    "the control domain stands for its host": (SYSTEM, "dom0", "Caption", "XenServer Host"),
    "a configuration is Xen:<uuid>": (VSSD, "web", "InstanceID", "Xen:{web}"),
    "the type is that of the guest": (VSSD, "web", "VirtualSystemType", "DMTF:Xen:HVM"),
    "processor settings are Xen:<uuid>/Processor": (PROCESSORS, "web", "InstanceID", "Xen:{web}/Processor"),
    "processors are counted": (PROCESSORS, "web", "AllocationUnits", "count"),
    "processors have the most there can be as quantity": (PROCESSORS, "web", "VirtualQuantity", 4),
    "processors at startup are the reservation": (PROCESSORS, "web", "Reservation", 2),
    "memory settings are Xen:<uuid>/Memory": (MEMORY, "web", "InstanceID", "Xen:{web}/Memory"),
    "memory is in MiB": (MEMORY, "web", "AllocationUnits", "byte*2^20"),
    "memory is what the machine has": (MEMORY, "web", "VirtualQuantity", 2048),
    "the dynamic minimum is the reservation": (MEMORY, "off", "Reservation", 1024),
    "the dynamic maximum is the limit": (MEMORY, "off", "Limit", 2048),
    "disk settings are Xen:<uuid>/<uuid of the VBD>": (DISK, "web-disk", "InstanceID", "Xen:{web}/{web-disk}"),
    "a disk is Xen:<uuid>/<uuid of the VBD>": ("Xen_LogicalDisk", "web-disk", "DeviceID", "Xen:{web}/{web-disk}"),
    "an interface is Xen:<uuid>/<uuid of the VIF>": ("Xen_NetworkPort", "web-nic", "DeviceID", "Xen:{web}/{web-nic}"),
    "memory is Xen:<uuid>/Memory": ("Xen_Memory", "web", "DeviceID", "Xen:{web}/Memory"),
    "the memory pool is in Bytes": ("Xen_MemoryPool", "host-0", "AllocationUnits", "Bytes"),
    "the storage pool is in Bytes": ("Xen_StoragePool", "sr", "AllocationUnits", "Bytes"),
    "the storage pool is named by uuid": ("Xen_StoragePool", "sr", "PoolID", "{sr}"),
    "the network pool is named by uuid": ("Xen_NetworkPool", "lan", "PoolID", "{lan}"),
    "there are two types of machines": (
        MANAGEMENT, "host-0", "VirtualSystemTypesSupported", ("DMTF:Xen:HVM", "DMTF:Xen:PV"),
    ),
    "everything that takes time is asynchronous": (
        MANAGEMENT, "host-0", "AsynchronousMethodsSupported", (2, 3, 5, 6, 7, 10),
    ),
    "nothing of it is synchronous": (MANAGEMENT, "host-0", "SynchronousMethodsSupported", ()),
    "vendor states can be requested": (
        "Xen_ComputerSystemCapabilities", "off", "RequestedStatesSupported", (2, 3, 4, 6, 9, 10, 11, 32768, 32769),
    ),
}  # fmt: skip
CLASSES = {
    VSSD: ("Xen_ComputerSystemSettingData", "web"),
    "Xen_LogicalDisk": ("Xen_Disk", "web-disk"),
    "Xen_NetworkPool": ("Xen_NetworkConnectionPool", "lan"),
    "Xen_StorageVolume": ("Xen_DiskImage", "web-disk/vdi"),
    "Xen_HostComputerSystem": ("Xen_HostComputerSystem", "host-0"),
}
# record -> EnabledState, OperationalStatus, HealthState, Status
STATES = {
    "off": (3, (15,), 5, "Stopped"),
    "web": (2, (2,), 5, "OK"),
    "held": (9, (15,), 5, "Dormant"),
    "asleep": (6, (10,), 5, "Stopped"),
}
# `web` has devices of the host, so it cannot be suspended.
AVAILABLE = {"off": (2,), "web": (3, 4, 9, 10, 11, 32768, 32769), "held": (2, 11, 32768, 32769), "asleep": (2, 32768)}


@pytest.fixture(scope="module")
def pool() -> ModePool:
    return ModePool("xs-cim")


@pytest.mark.parametrize("fact", FACTS)
def test_what_clients_of_xs_cim_rely_on_is_shown(pool: ModePool, fact: str) -> None:
    view, record, name, expected = FACTS[fact]
    if isinstance(expected, str):
        for ref in pool.refs:
            expected = expected.replace("{" + ref + "}", pool.uuid(ref))
    assert pool.values(view, record)[name] == expected


@pytest.mark.parametrize("view", CLASSES)
def test_instances_are_of_its_classes(pool: ModePool, view: str) -> None:
    name, record = CLASSES[view]
    pool.shown_as(view, record, name)


@pytest.mark.parametrize("record", STATES)
def test_states_are_those_of_its_table(pool: ModePool, record: str) -> None:
    assert pool.state(record, "EnabledState", "OperationalStatus", "HealthState", "Status") == STATES[record]


@pytest.mark.parametrize("record", AVAILABLE)
def test_what_can_be_requested_follows_from_what_the_pool_allows(pool: ModePool, record: str) -> None:
    assert pool.values(SYSTEM, record)["AvailableRequestedStates"] == AVAILABLE[record]


def test_capabilities_tell_of_jobs_whatever_the_pool_says() -> None:
    pool = ModePool("xs-cim")
    pool.set("pool", other_config={"cim-jobs": "never"})
    for view in (MANAGEMENT, "Xen_VirtualSystemMigrationCapabilities", "Xen_ResourcePoolConfigurationCapabilities"):
        assert pool.values(view, "host-0")["AsynchronousMethodsSupported"]


def test_memory_of_a_machine_that_is_off_is_the_static_maximum(pool: ModePool) -> None:
    assert pool.values(MEMORY, "off")["VirtualQuantity"] == 2048


def test_there_is_one_configuration_for_each_machine(pool: ModePool) -> None:
    (config,) = pool.ends("Xen_SettingsDefineState", SYSTEM, "web", "ManagedElement")
    assert config.values["InstanceID"] == f"Xen:{pool.uuid('web')}"


@pytest.mark.parametrize("cls", ["CIM_RegisteredProfile", "CIM_IndicationFilter", "CIM_ObjectManager"])
def test_what_is_in_the_interop_namespace_is_in_root_cimv2_too(pool: ModePool, cls: str) -> None:
    def found(namespace: str) -> list[dict[str, Any]]:
        reply = run(pool.provider, "EnumerateInstances", namespace, ClassName=cls)
        return [instance_values(one) for one in elements(reply.values)]

    assert found(CIMV2) == found(INTEROP) != []


def test_a_profile_is_read_and_walked_from_in_root_cimv2(pool: ModePool) -> None:
    (profile,) = [one for one in pool.shown("CIM_RegisteredProfile") if "DSP1057" in str(one.path)]
    assert elements(run(pool.provider, "GetInstance", CIMV2, InstanceName=profile.path).values)
    reply = run(pool.provider, "AssociatorNames", CIMV2, ObjectName=profile.path, ResultClass=SYSTEM)
    assert len(elements(reply.values)) == 5
