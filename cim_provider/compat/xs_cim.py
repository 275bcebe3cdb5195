"""The xs-cim mode: classes, properties and methods as clients of XenServer's CIM provider expect them.

docs/moving-from-xs-cim.md says what is the same and what is not; tests/conformance/compat holds both against this.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cim_provider.compat.answers import EVERYTHING, capability_faces
from cim_provider.compat.inputs import Inputs, Values, in_bytes
from cim_provider.compat.mode import Given, Mode, Request
from cim_provider.compat.single import home, single_faces, single_relations, together
from cim_provider.compat.xs_devices import (
    ADD_RESOURCE_SETTINGS,
    MODIFY_RESOURCE_SETTINGS,
    REMOVE_RESOURCE_SETTINGS,
    device_relations,
)
from cim_provider.compat.xs_devices import VIEWS as DEVICES
from cim_provider.compat.xs_jobs import DEFINE_SYSTEM, JOBS
from cim_provider.compat.xs_machines import HOSTS, MACHINES
from cim_provider.compat.xs_measurements import GET_PERFORMANCE_METRICS
from cim_provider.compat.xs_properties import (
    SHOWN_OF_INTERFACE,
    SHOWN_OF_MACHINE,
    SNAPSHOT,
    TEMPLATE,
    configuration_class,
    host_uuid,
    property_faces,
    start_time,
)
from cim_provider.compat.xs_services import VIEWS, service_relations
from cim_provider.compat.xs_storage import StoragePoolManagementService
from cim_provider.mapping.association import Association, Relation
from cim_provider.mapping.face import Face, Kinds
from cim_provider.mapping.rule import Rule, computed, const, field, via, xen_id
from cim_provider.mapping.subject import Subject
from cim_provider.mapping.view import View
from cim_provider.methods.setting_terms import CD, DISK
from cim_provider.profiles.allocation_capabilities import NetworkAllocationCapabilities, NetworkLimit
from cim_provider.profiles.computer_system import ComputerSystem, ComputerSystemCapabilities
from cim_provider.profiles.ethernet import NetworkPort, NetworkPortSettingData
from cim_provider.profiles.host_pool import HostPool, StorageVolume
from cim_provider.profiles.job_control import ConcreteJob
from cim_provider.profiles.memory import BLOCK_SIZE as MEMORY_BLOCK
from cim_provider.profiles.memory import Memory, MemorySettingData, consumable_blocks
from cim_provider.profiles.metric_service import MetricService, MetricServiceCapabilities
from cim_provider.profiles.metrics import MetricValue
from cim_provider.profiles.processor import ProcessorSettingData
from cim_provider.profiles.resource_pool import MemoryPool, NetworkPool, StoragePool
from cim_provider.profiles.snapshot import VirtualSystemSnapshotService, VirtualSystemSnapshotServiceCapabilities
from cim_provider.profiles.storage import CDROMDrive, DiskSettingData, LogicalDisk
from cim_provider.profiles.system_virtualization import VirtualSystemManagementCapabilities
from cim_provider.profiles.virtual_ethernet_switch import (
    LANEndpoint,
    SwitchEndpoint,
    SwitchPort,
    UplinkSettingData,
    VirtualSwitchSettingData,
)
from cim_provider.profiles.virtual_system import VirtualSystemSettingData
from cim_provider.profiles.virtual_system_management import VirtualSystemManagementService
from cim_provider.schema.objects import CIMV2, INTEROP, Path
from cim_provider.wire.model_path import model_path
from xenapi_core.bridge.source import Source
from xenapi_core.model.power import is_guest

NAME = "xs-cim"
MIB = 1 << 20
HOST_CAPTION = "XenServer Host"

# Power state -> EnabledState, OperationalStatus, Status.
# fmt: off
STATES = {
    "Halted":    (3, (15,), "Stopped"),
    "Running":   (2, (2,), "OK"),
    "Paused":    (9, (15,), "Dormant"),
    "Suspended": (6, (10,), "Stopped"),
}
# fmt: on
ENABLED, DISABLED, SHUT_DOWN, OFFLINE, QUIESCE, REBOOT, RESET = 2, 3, 4, 6, 9, 10, 11
HARD_SHUTDOWN, HARD_REBOOT = 32768, 32769

# An operation a machine allows -> the states that clients may request for it.
REQUESTS: Mapping[str, tuple[int, ...]] = {
    "start": (ENABLED,), "unpause": (ENABLED,), "resume": (ENABLED,), "clean_shutdown": (DISABLED, SHUT_DOWN),
    "suspend": (OFFLINE,), "pause": (QUIESCE,), "clean_reboot": (REBOOT,), "hard_shutdown": (HARD_SHUTDOWN,),
    "hard_reboot": (RESET, HARD_REBOOT),
}  # fmt: skip
REQUESTED_STATES = (ENABLED, DISABLED, SHUT_DOWN, OFFLINE, QUIESCE, REBOOT, RESET, HARD_SHUTDOWN, HARD_REBOOT)

NETWORK_POOL, MEMORY_STATE = "Xen_NetworkConnectionPool", "Xen_MemoryState"

# Methods of the management service that xs-cim has, or answers otherwise.
MANAGEMENT = {
    **MACHINES, "DefineSystem": DEFINE_SYSTEM, "AddResourceSettings": ADD_RESOURCE_SETTINGS,
    "ModifyResourceSettings": MODIFY_RESOURCE_SETTINGS, "RemoveResourceSettings": REMOVE_RESOURCE_SETTINGS,
}  # fmt: skip
# Methods that take time and answer when they are done: of these classes all, and these.
LATER = tuple(view for view in EVERYTHING if view is not VirtualSystemSnapshotServiceCapabilities)
JOBS_OF_STORAGE = ("ConnectToDiskImage", "DisconnectFromDiskImage")
AT_ONCE_CLASSES = (StoragePoolManagementService.cim, VirtualSystemSnapshotService.cim, HostPool.cim)


# What was measured (the class of its record, and the metric) -> the class of the value.
# fmt: off
METRIC_CLASSES = {
    ("VM", "ProcessorUtilization"):   "Xen_ProcessorUtilization",
    ("host", "ProcessorUtilization"): "Xen_HostProcessorUtilization",
    ("VM", "DiskReadRate"):           "Xen_DiskReadThroughput",
    ("VM", "DiskWriteRate"):          "Xen_DiskWriteThroughput",
    ("VM", "DiskReadLatency"):        "Xen_DiskReadLatency",
    ("VM", "DiskWriteLatency"):       "Xen_DiskWriteLatency",
    ("VM", "ReceiveRate"):            "Xen_NetworkPortReceiveThroughput",
    ("VM", "SendRate"):               "Xen_NetworkPortTransmitThroughput",
    ("host", "ReceiveRate"):          "Xen_HostNetworkPortReceiveThroughput",
    ("host", "SendRate"):             "Xen_HostNetworkPortTransmitThroughput",
}
# fmt: on
DISK_WORDS = {"Disk": DISK, "CD": CD}  # ResourceSubType of disks and drives -> ResourceType


def is_system(vm: Subject) -> bool:
    """Machines, and control domains, which stand for their hosts."""
    return is_guest(vm) or bool(vm["is_control_domain"])


def caption(vm: Subject) -> str:
    return HOST_CAPTION if vm["is_control_domain"] else "Virtual machine"


def metric_class(sample: Subject) -> str:
    return METRIC_CLASSES.get((sample.item.record.cls, sample.item.meaning.metric.name), "")


def disk_word(vbd: Subject) -> str | None:
    return vbd["type"] if vbd["type"] in DISK_WORDS else None


def image_class(vdi: Subject) -> str:
    return MEMORY_STATE if vdi["type"] == "suspend" else ""


def release(host: Subject) -> str | None:
    """<release>-<build> of the host's software; NULL if it does not tell the release."""
    software = host["software_version"]
    parts = [software[name] for name in ("product_version", "build_number") if software.get(name)]
    return "-".join(parts) if software.get("product_version") else None


def requestable(vm: Subject) -> tuple[int, ...]:
    found = {state for operation in vm["allowed_operations"] for state in REQUESTS.get(operation, ())}
    return tuple(state for state in REQUESTED_STATES if state in found)


def home_uuid(vm: Subject) -> str | None:
    host = home(vm)
    return None if host is None else str(host["uuid"])


def associated_resource_pool(network: Subject) -> tuple[str, ...]:
    """The path of the pool of a network's interfaces."""
    identifier = NetworkPool.rules["InstanceID"].read(network)
    return (model_path(Path.of(NETWORK_POOL, {"InstanceID": identifier}, CIMV2), {}),)


def memory_now(vm: Subject) -> int:
    """MiB the machine has, or will have when it starts."""
    return mib(consumable_blocks(vm) * MEMORY_BLOCK or int(vm["memory_static_max"]))


def mib(size: int) -> int:
    """Bytes in MiB, rounded up."""
    return -(-size // MIB)


def least_memory(vm: Subject) -> int:
    return mib(int(vm["memory_dynamic_min"]))


def most_memory(vm: Subject) -> int:
    return mib(int(vm["memory_dynamic_max"]))


def _state_lines() -> dict[str, Rule]:
    power = field("power_state")
    enabled, operational, status = ({state: row[n] for state, row in STATES.items()} for n in range(3))
    return {
        "EnabledState": power.table(enabled),
        "OperationalStatus": power.table(operational),
        "Status": power.table(status),
        "RequestedState": const(5),
        "AvailableRequestedStates": computed(requestable),
    }


def _faces() -> Iterator[tuple[type[View], Face]]:
    yield ComputerSystem, Face(
        lines={
            "Caption": computed(caption), "Host": computed(host_uuid),
            "StartTime": computed(start_time), **_state_lines(),
        },
        where=is_system,
    )  # fmt: skip
    able = {"RequestedStatesSupported": const(REQUESTED_STATES), "StateAwareness": const(REQUESTED_STATES)}
    yield ComputerSystemCapabilities, Face(lines=able)
    yield (
        VirtualSystemSettingData,
        Face(
            "Xen_ComputerSystemSettingData",
            kinds=Kinds((TEMPLATE, SNAPSHOT), configuration_class),
        ),
    )
    yield ConcreteJob, JOBS
    device = {"DeviceID": xen_id(via("VM", field("uuid")), field("uuid"))}
    yield LogicalDisk, Face("Xen_Disk", device)
    yield CDROMDrive, Face("Xen_DiskDrive", device)
    yield NetworkPort, Face(lines=device)
    yield Memory, Face(lines={"DeviceID": xen_id(field("uuid"), "Memory")})
    yield ProcessorSettingData, Face(
        lines={
            "PoolID": computed(home_uuid), "AllocationUnits": const("count"), "VirtualQuantity": field("VCPUs_max"),
            "Reservation": field("VCPUs_at_startup"),
        }
    )  # fmt: skip
    yield MemorySettingData, Face(
        lines={
            "PoolID": computed(home_uuid), "AllocationUnits": const("byte*2^20"),
            "VirtualQuantityUnits": const("byte*2^20"), "VirtualQuantity": computed(memory_now),
            "Reservation": computed(least_memory), "Limit": computed(most_memory),
        }
    )  # fmt: skip
    yield DiskSettingData, Face(lines={"ResourceSubType": computed(disk_word)})
    yield MetricService, Face(methods={"GetPerformanceMetricsForSystem": GET_PERFORMANCE_METRICS})
    yield MetricValue, Face(kinds=Kinds(tuple(METRIC_CLASSES.values()), metric_class))
    name, in_bytes = field("name_label"), const("Bytes")
    yield MemoryPool, Face(lines={"AllocationUnits": in_bytes})
    yield StoragePool, Face(lines={"Name": name, "AllocationUnits": in_bytes, "ConsumedResourceUnits": in_bytes})
    yield NetworkPool, Face(NETWORK_POOL, {"Name": name})
    yield VirtualSwitchSettingData, Face(lines={"AssociatedResourcePool": computed(associated_resource_pool)})
    yield NetworkLimit, Face("Xen_NetworkConnectionCapabilitiesSettingData")
    yield NetworkAllocationCapabilities, Face("Xen_NetworkConnectionAllocationCapabilities")
    yield StorageVolume, Face("Xen_DiskImage", kinds=Kinds((MEMORY_STATE,), image_class))
    yield SwitchPort, Face("Xen_VirtualSwitchPort")
    yield LANEndpoint, Face("Xen_ComputerSystemLANEndpoint")
    yield SwitchEndpoint, Face("Xen_VirtualSwitchLANEndpoint")
    yield UplinkSettingData, Face("Xen_HostNetworkPortSettingData")
    yield MetricServiceCapabilities, Face("Xen_MetricsServiceCapabilities")
    yield VirtualSystemManagementService, Face(lines={"Version": computed(release)}, methods=MANAGEMENT)
    pool = {"Master": via("master", field("uuid")), "DefaultStoragePoolID": via("default_SR", field("uuid"))}
    yield HostPool, Face(lines=pool, methods=HOSTS)
    yield (
        VirtualSystemManagementCapabilities,
        Face(lines={"VirtualSystemTypesSupported": const(("DMTF:Xen:HVM", "DMTF:Xen:PV"))}),
    )


class XsInputs(Inputs):
    """Vendor states, and quantities in its units."""

    def __init__(self) -> None:
        super().__init__(
            {
                MemorySettingData: self._memory,
                ProcessorSettingData: self._processors,
                DiskSettingData: self._disk,
                NetworkPortSettingData: self._interface,
                VirtualSystemSettingData: self._system,
            }
        )

    async def read(self, request: Request, given: Given) -> Given:
        if request.method == "RequestStateChange" and request.target.view is ComputerSystem:
            version = request.target.version
            running = version is not None and version.values["power_state"] == "Running"
            state = given.get("requestedstate")
            plain = {HARD_SHUTDOWN: DISABLED, HARD_REBOOT: RESET}
            if state in (DISABLED, SHUT_DOWN):
                state = SHUT_DOWN if running else DISABLED
            given = {**given, "requestedstate": plain.get(state, state) if state is not None else None}
        return await super().read(request, given)

    @staticmethod
    def _memory(left: Values, now: Mapping[str, Any]) -> Values:
        """Reservation is the least the machine can ever have, too."""
        values = in_bytes(left, now, "byte")
        if "Reservation" in values:
            values["StaticMinimum"] = values["Reservation"]
        return values

    @staticmethod
    def _processors(left: Values, now: Mapping[str, Any]) -> Values:
        """Reservation is how many there are right after a start."""
        values = dict(left)
        if "Reservation" in values:
            values["VCPUsAtStartup"] = values.pop("Reservation")
        return values

    @staticmethod
    def _system(left: Values, now: Mapping[str, Any]) -> Values:
        """AutomaticShutdownAction 0 is the first of the Xen-API's actions_after_shutdown."""
        values = dict(left)
        if not now:  # it may be a copy of another one's settings
            values = {name: value for name, value in values.items() if name not in SHOWN_OF_MACHINE}
        if values.get("AutomaticShutdownAction") == 0:
            del values["AutomaticShutdownAction"]
            values.setdefault("ActionsAfterShutdown", "destroy")
        return values

    @staticmethod
    def _interface(left: Values, now: Mapping[str, Any]) -> Values:
        """Translate settings of an interface; for a new one, properties that are only shown are dropped."""
        return left if now else {name: value for name, value in left.items() if name not in SHOWN_OF_INTERFACE}

    @staticmethod
    def _disk(left: Values, now: Mapping[str, Any]) -> Values:
        """ResourceSubType says what ResourceType says, or stands for it."""
        values = dict(left)
        kind = DISK_WORDS.get(values.get("ResourceSubType", ""))
        if kind is not None and (values.get("ResourceType", kind) == CD) == (kind == CD):
            del values["ResourceSubType"]
            values.setdefault("ResourceType", kind)
        return values


def waits(classname: str, method: str) -> bool | None:
    """What takes time is a job, but for what xs-cim does at once."""
    return classname in AT_ONCE_CLASSES and method not in JOBS_OF_STORAGE


def relations() -> Mapping[type[Association], tuple[Relation, ...]]:
    """The relations of one configuration, of the services, and of the devices of the mode beside the profiles'."""
    found = {**single_relations(), **service_relations()}
    for association, more in device_relations().items():
        found[association] = (*found.get(association, association.relations), *more)
    return found


def xs_cim(source: Source) -> Mode:
    """The mode, for one pool."""
    return Mode(
        name=NAME,
        mof=("compat_xs_cim.mof", "compat_xs_cim_methods.mof"),
        faces=together(
            single_faces(), capability_faces(LATER), property_faces(), *({view: face} for view, face in _faces())
        ),
        views=(*VIEWS, *DEVICES),
        relations=relations(),
        also={CIMV2: (INTEROP,)},
        inputs=XsInputs().read,
        waits=waits,
    )
