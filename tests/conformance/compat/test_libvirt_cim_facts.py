"""What clients of libvirt-cim rely on, one fact each: identifiers, classes, states, units and private properties."""

from __future__ import annotations

from typing import Any

import pytest
from compat_pool import ModePool

from cim_provider.indications.events import CREATION, DELETION
from cim_provider.indications.matcher import Matcher
from cim_provider.indications.subscriptions import compiled
from cim_provider.schema.objects import CIMV2

SYSTEM, HOST, VSSD = "Xen_ComputerSystem", "Xen_HostComputerSystem", "Xen_VirtualSystemSettingData"
PROCESSORS, MEMORY = "Xen_ProcessorSettingData", "Xen_MemorySettingData"
DISK, NIC = "Xen_DiskSettingData", "Xen_NetworkPortSettingData"
POOLS = "Xen_ProcessorPool", "Xen_MemoryPool", "Xen_StoragePool", "Xen_NetworkPool"
SETTINGS = (
    (PROCESSORS, "off"), (MEMORY, "off"), (DISK, "off-disk"), (DISK, "off-cd"), (NIC, "off-nic"), (DISK, "web-disk"),
)  # fmt: skip
SERVICE, CAPABILITIES = "Xen_VirtualSystemManagementService", "Xen_VirtualSystemManagementCapabilities"
MIGRATION = "Xen_VirtualSystemMigrationCapabilities"

# fact: declared view, record, property, value
FACTS: dict[str, tuple[str, str, str, Any]] = {
    "the key of a machine is its name": (SYSTEM, "web", "Name", "web"),
    "the description of a machine is always the same": (SYSTEM, "web", "Description", "Virtual System"),
    "a machine is requested no state before anybody asks": (SYSTEM, "off", "RequestedState", 0),
    "a host is named by its host name": (HOST, "host-0", "Name", "host-0.example"),
    "a configuration is Xen:<name>": (VSSD, "web", "InstanceID", "Xen:web"),
    "a configuration names its machine by name": (VSSD, "web", "VirtualSystemIdentifier", "web"),
    "the type of every machine is Xen": (VSSD, "web", "VirtualSystemType", "Xen"),
    "an HVM guest is fully virtualized": (VSSD, "web", "IsFullVirt", True),
    "processor settings are <name>/proc": (PROCESSORS, "web", "InstanceID", "web/proc"),
    "memory settings are <name>/mem": (MEMORY, "web", "InstanceID", "web/mem"),
    "memory is given in KiB": (MEMORY, "web", "VirtualQuantity", 2 << 20),
    "the unit of memory is KiloBytes": (MEMORY, "web", "AllocationUnits", "KiloBytes"),
    "memory comes from MemoryPool/0": (MEMORY, "web", "PoolID", "MemoryPool/0"),
    "processors come from ProcessorPool/0": (PROCESSORS, "off", "PoolID", "ProcessorPool/0"),
    "disk settings are <name>/<device>": (DISK, "web-disk", "InstanceID", "web/xvda"),
    "a disk that no guest has named is named by its position": (DISK, "off-disk", "InstanceID", "off/xvda"),
    "a disk says its device": (DISK, "off-disk", "VirtualDevice", "xvda"),
    "a disk is in bytes": (DISK, "web-disk", "AllocationUnits", "Bytes"),
    "a disk comes from DiskPool/<name>": (DISK, "web-disk", "PoolID", "DiskPool/sr"),
    "a disk is of emulated type 0": (DISK, "web-disk", "EmulatedType", 0),
    "a CD drive is of emulated type 1": (DISK, "off-cd", "EmulatedType", 1),
    "a CD drive is read only": (DISK, "off-cd", "readonly", True),
    "interface settings are <name>/<MAC>": (NIC, "off-nic", "InstanceID", "off/52:54:00:ab:cd:01"),
    "a screen is of type vnc": ("Xen_DisplaySettingData", "rfb", "ResourceSubType", "vnc"),
    "an interface says its network": (NIC, "web-nic", "NetworkName", "lan"),
    "an interface is of type network": (NIC, "web-nic", "NetworkType", "network"),
    "an interface comes from NetworkPool/<name>": (NIC, "web-nic", "PoolID", "NetworkPool/lan"),
    "rates are in KiloBytes per Second": (NIC, "web-nic", "AllocationUnits", "KiloBytes per Second"),
    "a rate is shown in that unit": (NIC, "web-nic", "Limit", 100),
    "the processor pool is ProcessorPool/0": (POOLS[0], "host-0", "InstanceID", "ProcessorPool/0"),
    "the memory pool is MemoryPool/0": (POOLS[1], "host-0", "InstanceID", "MemoryPool/0"),
    "the memory pool is in KiB": (POOLS[1], "host-0", "AllocationUnits", "byte*2^10"),
    "the memory pool has its capacity in KiB": (POOLS[1], "host-0", "Capacity", 64 << 20),
    "another host's memory pool names the host": (POOLS[1], "host-1", "InstanceID", "MemoryPool/host-1.example"),
    "a storage pool is DiskPool/<name>": (POOLS[2], "sr", "InstanceID", "DiskPool/sr"),
    "a storage pool has its capacity in MiB": (POOLS[2], "sr", "Capacity", 100 << 10),
    "a network pool is NetworkPool/<name>": (POOLS[3], "lan", "InstanceID", "NetworkPool/lan"),
    "PoolID is the InstanceID of the pool": (POOLS[3], "lan", "PoolID", "NetworkPool/lan"),
    "the service tells the hypervisor": (SERVICE, "host-0", "Caption", "Xen 4.17"),
    "the service tells a revision": (SERVICE, "host-0", "Revision", "1316"),
    "the service tells a changeset": (SERVICE, "host-0", "Changeset", "xencim"),
    "the capabilities have a literal identifier": (CAPABILITIES, "host-0", "InstanceID", "ManagementCapabilities"),
    "machines are of type Xen": (CAPABILITIES, "host-0", "VirtualSystemTypesSupported", ("Xen",)),
    "defining is synchronous": (CAPABILITIES, "host-0", "SynchronousMethodsSupported", (2, 3, 5, 6, 7, 10)),
    "nothing of it is asynchronous": (CAPABILITIES, "host-0", "AsynchronousMethodsSupported", ()),
    "migration is asynchronous": (MIGRATION, "host-0", "AsynchronousMethodsSupported", (2, 3)),
    "migration settings have a literal identifier": (
        "Xen_VirtualSystemMigrationSettingData", "host-0", "InstanceID", "MigrationSettingData",
    ),
    "what a machine can be asked for is a fixed list": (
        "Xen_ComputerSystemCapabilities", "off", "RequestedStatesSupported", (2, 3, 4, 9, 10, 11),
    ),
    "pool capabilities have the identifier of the pool": (
        "Xen_MemoryAllocationCapabilities", "host-0", "InstanceID", "MemoryPool/0",
    ),
}  # fmt: skip

# Declared view -> the class its instances are shown as.
CLASSES = {
    HOST: ("Xen_HostSystem", "host-0"),
    PROCESSORS: ("Xen_ProcResourceAllocationSettingData", "web"),
    MEMORY: ("Xen_MemResourceAllocationSettingData", "web"),
    DISK: ("Xen_DiskResourceAllocationSettingData", "web-disk"),
    NIC: ("Xen_NetResourceAllocationSettingData", "web-nic"),
    "Xen_DisplaySettingData": ("Xen_GraphicsResourceAllocationSettingData", "rfb"),
    "Xen_StoragePool": ("Xen_DiskPool", "sr"),
    "Xen_MemoryAllocationCapabilities": ("Xen_AllocationCapabilities", "host-0"),
    "Xen_ComputerSystemCapabilities": ("Xen_EnabledLogicalElementCapabilities", "web"),
}
# record -> EnabledState, OperationalStatus, HealthState, OperatingStatus
STATES = {
    "off": (3, (15,), 0, 5),
    "web": (2, (2,), 5, 32768),
    "held": (9, (2,), 5, 7),
    "asleep": (6, (15,), 5, 7),
}


@pytest.fixture(scope="module")
def pool() -> ModePool:
    return ModePool("libvirt-cim")


@pytest.mark.parametrize("fact", FACTS)
def test_what_clients_of_libvirt_cim_rely_on_is_shown(pool: ModePool, fact: str) -> None:
    view, record, name, expected = FACTS[fact]
    assert pool.values(view, record)[name] == expected


@pytest.mark.parametrize("view", CLASSES)
def test_instances_are_of_its_classes(pool: ModePool, view: str) -> None:
    name, record = CLASSES[view]
    found = pool.shown_as(view, record, name)
    if "CreationClassName" in found.values:
        assert found.values["CreationClassName"] == name


@pytest.mark.parametrize("record", STATES)
def test_states_are_those_of_its_table(pool: ModePool, record: str) -> None:
    assert pool.state(record, "EnabledState", "OperationalStatus", "HealthState", "OperatingStatus") == STATES[record]


@pytest.mark.parametrize(("operation", "state"), [("pool_migrate", 9), ("clean_shutdown", 4), ("snapshot", 2)])
def test_the_state_while_an_operation_lasts(operation: str, state: int) -> None:
    pool = ModePool("libvirt-cim")
    pool.set("web", current_operations={"OpaqueRef:task": operation})
    assert pool.values(SYSTEM, "web")["EnabledState"] == state


def test_a_uuid_is_a_private_property_of_machine_and_configuration(pool: ModePool) -> None:
    assert pool.values(SYSTEM, "web")["UUID"] == pool.values(VSSD, "web")["UUID"] == pool.uuid("web")


@pytest.mark.parametrize(
    ("view", "record", "word"),
    [
        ("Xen_Memory", "off", "mem"),
        ("Xen_LogicalDisk", "off-disk", "xvda"),
        ("Xen_CDROMDrive", "off-cd", "xvdd"),
        ("Xen_NetworkPort", "off-nic", "52:54:00:ab:cd:01"),
    ],
)
def test_a_machine_that_is_off_has_devices_too(pool: ModePool, view: str, record: str, word: str) -> None:
    values = pool.values(view, record)
    assert (values["DeviceID"], values["SystemName"], values["EnabledState"]) == (f"off/{word}", "off", 3)
    assert [one.path for one in pool.ends("Xen_SystemDevice", SYSTEM, "off", "GroupComponent")].count(
        pool.one(view, record).path
    ) == 1  # fmt: skip


def test_processors_are_numbered(pool: ModePool) -> None:
    found = [one.values["DeviceID"] for one in pool.renditions("Xen_Processor", "off")]
    assert found == ["off/0", "off/1"]


def test_a_network_port_tells_its_address_with_colons(pool: ModePool) -> None:
    assert pool.values("Xen_NetworkPort", "off-nic")["NetworkAddresses"] == ("52:54:00:ab:cd:01",)


def test_memory_blocks_are_of_4096_bytes(pool: ModePool) -> None:
    values = pool.values("Xen_Memory", "web")
    assert values["NumberOfBlocks"] * 4096 // 1024 == pool.values(MEMORY, "web")["VirtualQuantity"]


def test_there_is_one_configuration_which_is_its_own_definition(pool: ModePool) -> None:
    (config,) = pool.ends("Xen_SettingsDefineState", SYSTEM, "off", "ManagedElement")
    assert config.path == pool.one(VSSD, "off").path
    (same,) = pool.ends("Xen_ElementSettingData", VSSD, "off", "ManagedElement")
    assert same.path == config.path
    (device,) = pool.ends("Xen_SettingsDefineState", DISK, "off-disk", "SettingData")
    assert device.path == pool.one("Xen_LogicalDisk", "off-disk").path


def test_the_base_class_of_resource_settings_has_those_of_all_kinds_and_no_others(pool: ModePool) -> None:
    shown = pool.shown("Xen_ResourceAllocationSettingData")
    kinds = {one.path.classname.removesuffix("ResourceAllocationSettingData") for one in shown}
    assert kinds == {"Xen_Proc", "Xen_Mem", "Xen_Disk", "Xen_Net", "Xen_Graphics"}
    paths = {one.path for view, record in SETTINGS for one in pool.renditions(view, record)}
    assert len(paths) == len(SETTINGS)
    assert paths <= {one.path for one in shown}


def test_settings_come_from_the_pools_they_name(pool: ModePool) -> None:
    for view, record in ((PROCESSORS, "web"), (MEMORY, "off"), (DISK, "web-disk"), (NIC, "web-nic")):
        (source,) = pool.ends("Xen_ResourceAllocationFromPool", view, record, "Dependent")
        assert source.values["InstanceID"] == pool.values(view, record)["PoolID"]


def test_there_are_no_templates_and_no_control_domain(pool: ModePool) -> None:
    assert {one.values["InstanceID"] for one in pool.shown(VSSD)} == {"Xen:web", "Xen:off", "Xen:held", "Xen:asleep"}
    assert {one.values["Name"] for one in pool.shown(SYSTEM)} == {"web", "off", "held", "asleep"}
    assert pool.renditions(DISK, "template-disk") == ()


def test_the_settings_that_define_capabilities_have_the_roles_as_identifiers(pool: ModePool) -> None:
    for view, record in (("Xen_MemoryAllocationCapabilities", "host-0"), ("Xen_StorageAllocationCapabilities", "sr")):
        found = pool.ends("Xen_SettingsDefineCapabilities", view, record, "GroupComponent")
        assert {one.values["InstanceID"] for one in found} == {"Default", "Minimum", "Maximum", "Increment"}
    others = pool.ends("Xen_SettingsDefineCapabilities", "Xen_MemoryAllocationCapabilities", "host-1", "GroupComponent")
    assert "Default/MemoryPool/host-1.example" in {one.values["InstanceID"] for one in others}


def test_what_belongs_to_a_host_names_it_by_host_name(pool: ModePool) -> None:
    values = pool.values(SERVICE, "host-1")
    assert (values["SystemCreationClassName"], values["SystemName"]) == ("Xen_HostSystem", "host-1.example")
    (host,) = pool.ends("Xen_HostedService", SERVICE, "host-1", "Dependent")
    assert host.values["Name"] == "host-1.example"


def test_a_machine_that_loses_its_name_to_another_or_gets_it_back_is_told_of_at_once() -> None:
    pool = ModePool("libvirt-cim")
    matcher = Matcher(pool.provider)
    query = "SELECT * FROM CIM_InstIndication WHERE SourceInstance ISA CIM_ComputerSystem"
    views, alerts = matcher.watched_by([compiled(pool.provider.graph(CIMV2), "f", "WQL", query)])
    assert list(matcher.watch(views, alerts))
    uuid = {name: pool.store.get(pool.refs[name])["uuid"] for name in ("web", "off")}

    def told(since: int) -> set[tuple[str, Any]]:
        steps = matcher.events(pool.store.changes(since))
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return {(event.classname, event.sources[0].values["Name"]) for event in end.value}

    since = pool.store.revision
    pool.set("off", name_label="web")
    taken = {(DELETION, "off"), (CREATION, uuid["off"]), (DELETION, "web"), (CREATION, uuid["web"])}
    assert told(since) == taken
    since = pool.store.revision
    pool.set("off", name_label="late")
    freed = {(DELETION, uuid["off"]), (CREATION, "late"), (DELETION, uuid["web"]), (CREATION, "web")}
    assert told(since) == freed
    since = pool.store.revision
    pool.set("asleep", name_description="a change that does not show")
    assert told(since) == set()
