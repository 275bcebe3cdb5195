"""The libvirt-cim mode: classes, properties and associations as clients of libvirt-cim expect them.

docs/moving-from-libvirt-cim.md says what is the same and what is not; tests/conformance/compat holds both against this.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cim_provider.compat import libvirt_inputs, libvirt_system, refused_requests
from cim_provider.compat.answers import capability_faces
from cim_provider.compat.libvirt_names import HOST_CLASS, Naming, disk_name, mac
from cim_provider.compat.mode import Mode
from cim_provider.compat.names import prefixed
from cim_provider.compat.single import single_faces, single_relations, together
from cim_provider.mapping.face import Face, Kinds
from cim_provider.mapping.rule import Rule, computed, const, field, via
from cim_provider.mapping.subject import Subject
from cim_provider.mapping.view import View
from cim_provider.profiles import allocation_capabilities as allocation
from cim_provider.profiles import generic_device, memory, migration, processor, storage
from cim_provider.profiles import virtual_ethernet_switch as switch
from cim_provider.profiles.computer_system import (
    ComputerSystem,
    ComputerSystemCapabilities,
    HostComputerSystem,
    belongs_to_guest,
    enabled_state,
)
from cim_provider.profiles.ethernet import NetworkPort, NetworkPortSettingData
from cim_provider.profiles.job_control import ConcreteJob
from cim_provider.profiles.kvm_redirection import RedirectionService, RedirectionServiceCapabilities
from cim_provider.profiles.resource_pool import (
    MemoryPool,
    NetworkPool,
    ProcessorPool,
    StoragePool,
    memory_capacity,
    memory_reserved,
    storage_capacity,
    storage_reserved,
)
from cim_provider.profiles.snapshot import (
    VirtualSystemSnapshotCapabilities,
    VirtualSystemSnapshotServiceCapabilities,
)
from cim_provider.profiles.system_virtualization import VirtualSystemManagementCapabilities
from cim_provider.profiles.virtual_system import VirtualSystemSettingData
from cim_provider.profiles.virtual_system_management import VirtualSystemManagementService
from cim_provider.schema.objects import CIMV2, INTEROP
from xenapi_core.bridge.source import Source
from xenapi_core.model.power import is_guest

NAME = "libvirt-cim"
REVISION = "1316"
SPACES = {CIMV2: "root/virt", INTEROP: "root/interop"}
KIB, MIB = 1 << 10, 1 << 20

# Power state -> OperationalStatus, HealthState, OperatingStatus.
# fmt: off
STATES = {
    "Halted":    ((15,), 0, 5),
    "Running":   ((2,), 5, 32768),
    "Paused":    ((2,), 5, 7),
    "Suspended": ((15,), 5, 7),
}
# fmt: on
REQUESTED_STATES = (2, 3, 4, 9, 10, 11)
MIGRATIONS = ("MigrateVirtualSystemToHost", "MigrateVirtualSystemToSystem")
MIGRATION_TASKS = ("Async.VM.pool_migrate", "Async.VM.migrate_send", *(f"CIM.{method}" for method in MIGRATIONS))
MIGRATION_JOB = "Xen_MigrationJob"


def shown_state(vm: Subject) -> int:
    """4 Shutting Down while it does, 9 Quiesce while it migrates, else by the power state."""
    if {"pool_migrate", "migrate_send"} & set(vm["current_operations"].values()):
        return 9
    state = enabled_state(vm)
    return state if state != 10 else {"Halted": 3, "Suspended": 6}.get(vm["power_state"], 2)


def available_states(vm: Subject) -> tuple[int, ...]:
    return tuple(state for state in _available(vm) if state in REQUESTED_STATES)


def _available(vm: Subject) -> tuple[int, ...]:
    found: tuple[int, ...] = ComputerSystem.rules["AvailableRequestedStates"].read(vm)
    return found


def _state_lines() -> dict[str, Rule]:
    power = field("power_state")
    operational, health, operating = ({state: row[n] for state, row in STATES.items()} for n in range(3))
    return {
        "EnabledState": computed(shown_state),
        "OperationalStatus": power.table(operational),
        "HealthState": power.table(health),
        "OperatingStatus": power.table(operating),
        "RequestedState": computed(refused_requests.last_request),
        "AvailableRequestedStates": computed(available_states),
    }


# ---- which records


def is_configured(vm: Subject) -> bool:
    """A machine or a snapshot of one: there are no templates."""
    return is_guest(vm) or bool(vm["is_a_snapshot"])


def of_configured(device: Subject) -> bool:
    vm = device.follow("VM")
    return vm is not None and is_configured(vm)


def is_disk(vbd: Subject) -> bool:
    return vbd["type"] == "Disk" and belongs_to_guest(vbd)


def is_drive(vbd: Subject) -> bool:
    return vbd["type"] == "CD" and belongs_to_guest(vbd)


def is_screen(console: Subject) -> bool:
    return console["protocol"] in generic_device.GRAPHICAL and belongs_to_guest(console)


def is_screen_setting(console: Subject) -> bool:
    return console["protocol"] in generic_device.GRAPHICAL and of_configured(console)


# ---- values


def kib(name: str, view: type[View]) -> Rule:
    """A line of a view that is in bytes, in KiB."""
    return scaled(view.rules[name], KIB)


def scaled(rule: Rule, unit: int) -> Rule:
    def read(subject: Subject) -> int | None:
        value = rule.read(subject)
        return None if value is None else int(value) // unit

    return computed(read)


def processor_count(host: Subject) -> int | None:
    capacity = ProcessorPool.rules["Capacity"].read(host)
    return None if capacity is None else int(capacity) // 100


def emulated_type(vbd: Subject) -> int:
    return {"CD": 1, "Floppy": 2}.get(vbd["type"], 0)


def disk_device(vbd: Subject) -> str:
    return disk_name(vbd)


def hardware_address(vif: Subject) -> str:
    return mac(vif)


def hardware_addresses(vif: Subject) -> tuple[str, ...]:
    return (mac(vif),)


def network_name(vif: Subject) -> str:
    network = vif.follow("network")
    return "" if network is None else str(network["name_label"])


def is_read_only(vbd: Subject) -> bool:
    return bool(vbd["mode"] == "RO")


def product(host: Subject) -> str:
    """The hypervisor and its version."""
    return f"Xen {host['software_version'].get('xen', '')}".strip()


def job_class(task: Subject) -> str:
    return MIGRATION_JOB if task["name_label"] in MIGRATION_TASKS else ""


def screen_type(console: Subject) -> str:
    return "vnc" if console["protocol"] == "rfb" else str(console["protocol"])


def memory_too(types: Rule) -> Rule:
    """Types of snapshots: Full is one of memory, in libvirt-cim's numbers too."""

    def read(subject: Subject) -> tuple[int, ...]:
        found = tuple(types.read(subject))
        return (*found, libvirt_inputs.MEMORY) if libvirt_inputs.FULL in found else found

    return computed(read)


def item_word(subject: Subject) -> str:
    return str(subject.item)


# ---- faces


def _faces(names: Naming) -> Iterator[tuple[type[View], Face]]:
    machine, host = names.machines.rule(), names.hosts.rule()
    yield ComputerSystem, Face(
        lines={
            "Name": machine, "UUID": field("uuid"), "Caption": const("Virtual System"),
            "Description": const("Virtual System"), **_state_lines(),
        }
    )  # fmt: skip
    yield ComputerSystemCapabilities, Face(
        "Xen_EnabledLogicalElementCapabilities",
        {"InstanceID": machine, "RequestedStatesSupported": const(REQUESTED_STATES),
         "StateAwareness": const(REQUESTED_STATES)},
    )  # fmt: skip
    yield HostComputerSystem, Face(HOST_CLASS, {"Name": host, "NameFormat": const("IP")})
    yield VirtualSystemSettingData, Face(
        lines={
            "InstanceID": prefixed("Xen:", machine), "VirtualSystemIdentifier": names.machine_identifier(),
            "VirtualSystemType": const("Xen"), **libvirt_system.LINES,
        },
        where=is_configured,
    )  # fmt: skip
    yield ConcreteJob, Face(lines={"Status": ConcreteJob.rules["JobStatus"]}, kinds=Kinds((MIGRATION_JOB,), job_class))
    for view, line in (
        (VirtualSystemSnapshotServiceCapabilities, "SnapshotTypesSupported"),
        (VirtualSystemSnapshotCapabilities, "SnapshotTypesEnabled"),
    ):
        yield view, Face(lines={line: memory_too(view.rules[line])})
    yield from _switches(names)
    yield from _devices(names)
    yield from _settings(names)
    yield from _pools(names)
    yield from _services(names)


def _switches(names: Naming) -> Iterator[tuple[type[View], Face]]:
    """Faces of setting data of switches and their ports, with pools and hosts by libvirt-cim's names."""
    pool = via("network", names.network_pool())
    yield switch.PortSettingData, Face(lines={"PoolID": pool})
    yield switch.UplinkSettingData, Face(lines={"PoolID": pool, "HostResource": names.uplink_cards(SPACES)})
    yield switch.VirtualSwitchSettingData, Face(lines={"AssociatedResourcePool": names.pool_path(SPACES)})


def _devices(names: Naming) -> Iterator[tuple[type[View], Face]]:
    yield processor.Processor, Face(lines={"DeviceID": names.part(item_word)}, where=is_guest)
    yield memory.Memory, Face(lines={"DeviceID": names.part(lambda vm: "mem")}, where=is_guest)
    disk = {"DeviceID": names.device("VBD"), "Name": computed(disk_device), "ElementName": computed(disk_device)}
    yield storage.LogicalDisk, Face(lines=disk, where=is_disk)
    yield storage.CDROMDrive, Face(lines=disk, where=is_drive)
    yield NetworkPort, Face(
        lines={
            "DeviceID": names.device("VIF"), "PermanentAddress": computed(hardware_address),
            "NetworkAddresses": computed(hardware_addresses),
        },
        where=belongs_to_guest,
    )  # fmt: skip
    yield generic_device.DisplayController, Face(lines={"DeviceID": names.device("console")}, where=is_screen)
    for view, cls in _OTHER_DEVICES:
        yield view, Face(lines={"DeviceID": names.device(cls)}, where=belongs_to_guest)


_OTHER_DEVICES = (
    (generic_device.TrustedPlatformModule, "VTPM"),
    (generic_device.USBDevice, "VUSB"),
    (generic_device.VirtualGPU, "VGPU"),
)
_OTHER_SETTINGS = (
    (generic_device.TPMSettingData, "VTPM"),
    (generic_device.USBSettingData, "VUSB"),
    (generic_device.VirtualGPUSettingData, "VGPU"),
)


def _settings(names: Naming) -> Iterator[tuple[type[View], Face]]:
    yield processor.ProcessorSettingData, Face(
        "Xen_ProcResourceAllocationSettingData",
        {"InstanceID": names.part(lambda vm: "proc"), "PoolID": names.home_pool("ProcessorPool/"),
         "AllocationUnits": const("Processors")},
        where=is_configured,
    )  # fmt: skip
    quantities = ("VirtualQuantity", "Reservation", "Limit", "StaticMinimum")
    yield memory.MemorySettingData, Face(
        "Xen_MemResourceAllocationSettingData",
        {"InstanceID": names.part(lambda vm: "mem"), "PoolID": names.home_pool("MemoryPool/"),
         "AllocationUnits": const("KiloBytes"), "VirtualQuantityUnits": const("KiloBytes"),
         **{name: kib(name, memory.MemorySettingData) for name in quantities}},
        where=is_configured,
    )  # fmt: skip
    yield storage.DiskSettingData, Face(
        "Xen_DiskResourceAllocationSettingData",
        {"InstanceID": names.device("VBD"), "PoolID": via("VDI", via("SR", prefixed("DiskPool/", names.stores.rule()))),
         "AllocationUnits": const("Bytes"), "VirtualQuantityUnits": const("Bytes"),
         "VirtualDevice": computed(disk_device), "ElementName": computed(disk_device),
         "Address": via("VDI", field("location")), "EmulatedType": computed(emulated_type),
         "readonly": computed(is_read_only), "shareable": via("VDI", field("sharable"))},
        where=of_configured,
    )  # fmt: skip
    yield NetworkPortSettingData, Face(
        "Xen_NetResourceAllocationSettingData",
        {"InstanceID": names.device("VIF"), "PoolID": via("network", prefixed("NetworkPool/", names.networks.rule())),
         "Address": computed(hardware_address), "NetworkType": const("network"),
         "NetworkName": computed(network_name), "VirtualDevice": NetworkPortSettingData.rules["ElementName"],
         "AllocationUnits": const("KiloBytes per Second")},
        where=of_configured,
    )  # fmt: skip
    yield (
        generic_device.DisplaySettingData,
        Face(
            "Xen_GraphicsResourceAllocationSettingData",
            {"InstanceID": names.device("console"), "ResourceSubType": computed(screen_type)},
            where=is_screen_setting,
        ),
    )
    for view, cls in _OTHER_SETTINGS:
        yield view, Face(lines={"InstanceID": names.device(cls)}, where=of_configured)


def _pools(names: Naming) -> Iterator[tuple[type[View], Face]]:
    lines = {
        ProcessorPool: {
            **_pool_identifiers(names.of_host("ProcessorPool/")), "AllocationUnits": const("Processors"),
            "Capacity": computed(processor_count),
        },
        MemoryPool: {
            **_pool_identifiers(names.of_host("MemoryPool/")), "AllocationUnits": const("byte*2^10"),
            "Capacity": scaled(computed(memory_capacity), KIB), "Reserved": scaled(computed(memory_reserved), KIB),
        },
        StoragePool: {
            **_pool_identifiers(names.store_pool()), "AllocationUnits": const("MegaBytes"),
            "Capacity": scaled(computed(storage_capacity), MIB), "Reserved": scaled(computed(storage_reserved), MIB),
            "ConsumedResourceUnits": const("MegaBytes"),
            "CurrentlyConsumedResource": scaled(StoragePool.rules["CurrentlyConsumedResource"], MIB),
        },
        NetworkPool: _pool_identifiers(names.network_pool()),
    }  # fmt: skip
    for view, own in lines.items():
        yield view, Face("Xen_DiskPool" if view is StoragePool else "", own)
    capabilities = (
        (allocation.ProcessorAllocationCapabilities, allocation.ProcessorLimit, ProcessorPool),
        (allocation.MemoryAllocationCapabilities, allocation.MemoryLimit, MemoryPool),
        (allocation.StorageAllocationCapabilities, allocation.StorageLimit, StoragePool),
        (allocation.NetworkAllocationCapabilities, allocation.NetworkLimit, NetworkPool),
    )
    for able, limit, pool in capabilities:
        identifier = lines[pool]["InstanceID"]
        yield able, Face("Xen_AllocationCapabilities", {"InstanceID": identifier})
        yield limit, Face(lines={"InstanceID": names.role(pool.of or "", identifier), "PoolID": identifier})
    yield allocation.PrimordialAllocationCapabilities, Face("Xen_AllocationCapabilities")
    units = {"AllocationUnits": const("KiloBytes"), "VirtualQuantityUnits": const("KiloBytes")}
    quantity = kib("VirtualQuantity", allocation.MemoryLimit)
    yield allocation.MemoryLimit, Face(lines={**units, "VirtualQuantity": quantity})


def _pool_identifiers(identifier: Rule) -> dict[str, Rule]:
    return {"InstanceID": identifier, "PoolID": identifier}


def _services(names: Naming) -> Iterator[tuple[type[View], Face]]:
    yield (
        VirtualSystemManagementService,
        Face(lines={"Caption": computed(product), "Revision": const(REVISION), "Changeset": const("xencim")}),
    )
    yield RedirectionService, Face("Xen_ConsoleRedirectionService")
    yield RedirectionServiceCapabilities, Face("Xen_ConsoleRedirectionServiceCapabilities")
    for view, literal in _LITERALS.items():
        yield view, Face(lines={"InstanceID": names.of_host(literal)})
    yield VirtualSystemManagementCapabilities, Face(lines={"VirtualSystemTypesSupported": const(("Xen",))})


_LITERALS: Mapping[type[View], str] = {
    VirtualSystemManagementCapabilities: "ManagementCapabilities",
    migration.VirtualSystemMigrationCapabilities: "MigrationCapabilities",
    migration.VirtualSystemMigrationSettingData: "MigrationSettingData",
}


def waits(classname: str, method: str) -> bool | None:
    """Everything answers when it is done, but migrations."""
    return method not in MIGRATIONS


def system_faces(names: Naming) -> Mapping[type[View], Face]:
    return {view: Face(lines=lines) for view, lines in names.system_lines().items()}


def libvirt_cim(source: Source) -> Mode:
    """The mode, for one pool."""
    names = Naming(source)
    answers = capability_faces((migration.VirtualSystemMigrationCapabilities,))
    faces = together(single_faces(), answers, system_faces(names), *({view: face} for view, face in _faces(names)))
    inputs = libvirt_inputs.LibvirtInputs(names)
    return Mode(
        name=NAME,
        mof=("compat_libvirt_cim.mof",),
        faces=faces,
        relations=single_relations(),
        spaces=SPACES,
        on_class=True,
        inputs=inputs.read,
        refusal=libvirt_inputs.refusal,
        answered=refused_requests.remember,
        missing=libvirt_inputs.missing,
        waits=waits,
    )
