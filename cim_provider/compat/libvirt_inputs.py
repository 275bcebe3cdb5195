"""Input of libvirt-cim clients: translates their settings, and answers refusals as CIM errors with its texts.

Rule 1: a method that refuses or fails answers with a CIM error; 0 and 4096 are the only return values.
Rule 2: every machine has a screen, a keyboard and a pointing device without settings: settings of them for a new
        machine are accepted if they describe what every machine has, and then ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cim_provider import jobs
from cim_provider.compat import libvirt_pools, libvirt_system
from cim_provider.compat.inputs import Inputs, Translate, Values, in_bytes
from cim_provider.compat.libvirt_names import Naming
from cim_provider.compat.mode import Given, Request
from cim_provider.mapping.extent import Rendition
from cim_provider.mapping.method import Result
from cim_provider.mapping.view import View
from cim_provider.profiles.computer_system import ComputerSystem
from cim_provider.profiles.ethernet import NetworkPortSettingData
from cim_provider.profiles.memory import MemorySettingData
from cim_provider.profiles.migration import VirtualSystemMigrationSettingData
from cim_provider.profiles.processor import ProcessorSettingData
from cim_provider.profiles.storage import DiskSettingData
from cim_provider.profiles.virtual_system import VirtualSystemSettingData
from cim_provider.schema.graph import CimClass
from cim_provider.schema.objects import FAILED, INVALID_PARAMETER, NOT_FOUND, NOT_SUPPORTED, CimError, Instance, Path
from xenapi_core.model.lifecycle import REQUESTED_STATE

DOMAIN = "Referenced domain `%s' does not exist: Domain not found"
OFFLINE, QUIESCE, REBOOT, RESET = 6, 9, 10, 11

# Parameters that must be there, by method; what is missing is named with one text.
REQUIRED: Mapping[str, tuple[str, ...]] = {
    "DefineSystem": ("SystemSettings",),
    "DestroySystem": ("AffectedSystem",),
    "ModifySystemSettings": ("SystemSettings",),
    "AddResourceSettings": ("AffectedConfiguration", "ResourceSettings"),
    "ModifyResourceSettings": ("ResourceSettings",),
    "RemoveResourceSettings": ("ResourceSettings",),
}

# Return values of RequestStateChange.
STATE_ERRORS: Mapping[int, tuple[int, str]] = {
    1: (NOT_SUPPORTED, "State not supported"),
    5: (INVALID_PARAMETER, "Invalid RequestedState"),
    4097: (FAILED, "Invalid state transition"),
}
NOT_RUNNING = (FAILED, "Domain not running")

# SnapshotType: memory, and the machine goes on; memory, and it stops.
MEMORY, MEMORY_AND_STOP, FULL = 32768, 32769, 2

# What a screen has without being asked.
KEYMAP = "en-us"

# TransportType of migration settings: unknown, other, SSH, TLS, strict TLS, TCP, a socket of the host.
TRANSPORTS = range(7)

EMULATED = {0: 17, 1: 15, 2: 14}
GRAPHICS, INPUT = "Xen_GraphicsResourceAllocationSettingData", "Xen_InputResourceAllocationSettingData"


def refusal(request: Request, result: Result) -> CimError | None:
    """The CIM error that libvirt-cim answers instead of this return value; None: it succeeded (rule 1)."""
    if result.value in (jobs.DONE, jobs.JOB_STARTED):
        return None
    if request.method == "RequestStateChange" and result.value in STATE_ERRORS:
        return CimError(*STATE_ERRORS[result.value])
    status = NOT_SUPPORTED if result.value == jobs.NOT_SUPPORTED else FAILED
    return CimError(status, result.why or f"{request.method} failed: {result.value}")


def missing(cls: CimClass, path: Path) -> CimError:
    """FAILED if a key is missing, NOT_FOUND if a key leads nowhere."""
    given = {name for name, _ in path.keys or ()}
    for key in ("InstanceID", "DeviceID", "Name", *cls.keys):
        if key in cls.keys and key not in given:
            return CimError(FAILED, f"Missing {key}")
    device = path.key("DeviceID")
    if device is not None:
        return CimError(NOT_FOUND, f"No such instance ({device})")
    return CimError(NOT_FOUND, f"No such instance ({'InstanceID' if 'InstanceID' in cls.keys else 'Name'})")


def missing_target(path: Path) -> CimError:
    if path.classname == ComputerSystem.cim:
        name = path.key("Name")
        return CimError(FAILED, "Missing Name") if name is None else CimError(NOT_FOUND, DOMAIN % name)
    return CimError(NOT_FOUND, f"No such instance ({path.key('InstanceID') or path.key('Name')})")


class LibvirtInputs(Inputs):
    """For one pool, whose names are `names`."""

    def __init__(self, names: Naming) -> None:
        self.names = names
        lines: Mapping[type[View], Translate] = {
            VirtualSystemSettingData: libvirt_system.translate,
            ProcessorSettingData: self._processors,
            MemorySettingData: self._memory,
            DiskSettingData: self._disk,
            NetworkPortSettingData: self._nic,
            VirtualSystemMigrationSettingData: _migration,
        }
        super().__init__(lines, missing_target)

    async def read(self, request: Request, given: Given) -> Given:
        for name in REQUIRED.get(request.method, ()):
            if given.get(name.lower()) in (None, ()):
                raise CimError(INVALID_PARAMETER, f"Missing argument `{name}'")
        if request.method == "RequestStateChange" and request.target.view is ComputerSystem:
            _check_state(request.target, given.get("requestedstate"))
        if request.method == "CreateSnapshot":
            given = {**given, "snapshottype": _snapshot_type(given.get("snapshottype"))}
        if request.method == "DefineSystem":
            self._check_name(given["systemsettings"])
            resources = given.get("resourcesettings") or ()
            given = {
                **given,
                "systemsettings": _as_reference(request, given),
                "resourcesettings": tuple(each for each in resources if not _had_anyway(each)),
            }
        return await super().read(request, given)

    def settings(self, request: Request, instance: Instance) -> Instance:
        return libvirt_pools.as_declared(instance) or super().settings(request, instance)

    def _check_name(self, system: Any) -> None:
        """CimError FAILED for a new machine whose name another one has."""
        name = _name_of(system.values) if isinstance(system, Instance) else None
        found = None if not name else self.names.machines.record(name)
        if found is not None:
            raise CimError(FAILED, f"Guest '{name}' is already defined with UUID {found.values['uuid']}")

    # settings

    def _processors(self, left: Values, now: Mapping[str, Any]) -> Values:
        return {name: value for name, value in left.items() if name not in ("AllocationUnits", "PoolID")}

    def _memory(self, left: Values, now: Mapping[str, Any]) -> Values:
        return {name: value for name, value in in_bytes(left, now, "KiloBytes").items() if name != "PoolID"}

    def _disk(self, left: Values, now: Mapping[str, Any]) -> Values:
        values = in_bytes(left, now, "Bytes")
        kind = values.pop("EmulatedType", None)
        if kind is not None:
            if kind not in EMULATED:
                raise CimError(FAILED, f"No such emulated type: {kind}")
            values["ResourceType"] = EMULATED[kind]
        device = values.pop("VirtualDevice", None)
        if device is not None:
            values["AddressOnParent"] = _position(device)
        only_read = values.pop("readonly", None)
        if only_read is not None:
            values["Access"] = 1 if only_read else 3
        if not now and values.get("shareable") is False:
            del values["shareable"]
        self._pool(values, "DiskPool/", self.names.stores.record)
        image = values.pop("Address", None)
        if image is not None:
            values["HostExtentName"] = self._image(str(image))
            values.pop("PoolID", None)  # an image is where it is
        return values

    def _image(self, address: str) -> str:
        """The uuid of the disk image whose location, name or uuid is `address`; "" for none."""
        if not address:
            return ""
        pool = self.names.pool
        found = [v for v in pool.all("VDI").values() if address in (v.values["location"], v.values["uuid"])]
        found = found or [v for v in pool.all("VDI").values() if v.values["name_label"] == address]
        if len(found) != 1:
            raise CimError(FAILED, f"Unable to find the disk image {address}")
        return str(found[0].values["uuid"])

    def _nic(self, left: Values, now: Mapping[str, Any]) -> Values:
        values = dict(left)
        kind = values.pop("NetworkType", now.get("NetworkType", "network"))
        name = values.pop("NetworkName", None)
        self._pool(values, "NetworkPool/", self.names.networks.record)
        if kind not in ("network", "bridge"):
            raise CimError(FAILED, f"No such network type: {kind}")
        if name is not None:
            values["Connection"] = (self._network(kind, str(name)),)
            values.pop("PoolID", None)
        if not now:
            values.pop("VirtualDevice", None)  # the name of the interface is the guest's choice
        if values.get("AllocationUnits") is not None and "Limit" not in values:
            del values["AllocationUnits"]
        return values

    def _network(self, kind: str, name: str) -> str:
        field = "bridge" if kind == "bridge" else "name_label"
        found = [v for v in self.names.pool.all("network").values() if v.values[field] == name]
        if len(found) != 1:
            raise CimError(FAILED, f"Unable to find the network {name}")
        return str(found[0].values["uuid"])

    @staticmethod
    def _pool(values: Values, prefix: str, record: Callable[[object], Any]) -> None:
        """PoolID by the uuid of its record."""
        given = values.get("PoolID")
        if given is None:
            return
        found = record(str(given).removeprefix(prefix))
        if found is None:
            raise CimError(FAILED, f"No such pool: {given}")
        values["PoolID"] = found.values["uuid"]


def _check_state(machine: Rendition, state: Any) -> None:
    """CimError FAILED for a state that the machine cannot be brought to now, or is in already; NOT_SUPPORTED for 6."""
    if state == OFFLINE:
        raise CimError(NOT_SUPPORTED, "State not supported")
    version = machine.version
    power = "" if version is None else version.values["power_state"]
    if state not in REQUESTED_STATE or power in REQUESTED_STATE[state]:
        return
    off = power in ("Halted", "Suspended")
    raise CimError(*(NOT_RUNNING if state == QUIESCE or (off and state in (REBOOT, RESET)) else STATE_ERRORS[4097]))


def _migration(left: Values, now: Mapping[str, Any]) -> Values:
    """Translate migration settings; a requested transport is ignored, because hosts of a pool use their own. CimError
    NOT_SUPPORTED for programs that shall check first."""
    values = {name: value for name, value in left.items() if name != "TransportType"}
    if left.get("TransportType", 0) not in TRANSPORTS:
        raise CimError(INVALID_PARAMETER, f"No such transport: {left['TransportType']}")
    if values.pop("CheckParameters", None):
        raise CimError(NOT_SUPPORTED, "CheckParameters are not supported")
    return values


def _snapshot_type(kind: Any) -> Any:
    """CimError NOT_SUPPORTED for a snapshot that stops the machine."""
    if kind == MEMORY_AND_STOP:
        raise CimError(NOT_SUPPORTED, f"Snapshots of type {kind} are not supported")
    return FULL if kind == MEMORY else kind


def _as_reference(request: Request, given: Given) -> Any:
    """SystemSettings of a new machine, with what its features are added to: those of the ReferenceConfiguration."""
    system, reference = given["systemsettings"], given.get("referenceconfiguration")
    if not isinstance(system, Instance) or not isinstance(reference, Path) or reference.keys is None:
        return system
    shown = request.provider.find(reference, request.namespace)
    if shown is None:
        return system
    parts = {name: shown.values.get(name) for name in ("HVM_Boot_Params", "Platform")}
    return Instance(system.classname, {**parts, **_non_null_values(system)}, None, system.types)


def _non_null_values(instance: Instance) -> Values:
    return {name: value for name, value in instance.values.items() if value is not None}


def _name_of(values: Mapping[str, Any]) -> str | None:
    return values.get("ElementName") or values.get("VirtualSystemIdentifier")


def _position(device: str) -> str:
    """xvda or hda as a position."""
    if len(device) < 3 or not device[-1].isalpha():
        return device
    return str(ord(device[-1].lower()) - ord("a"))


def _had_anyway(resource: Any) -> bool:
    """Whether every machine has this resource without being asked for it (rule 2). CimError NOT_SUPPORTED for a screen
    that is none of VNC, or has a password or keys of its own."""
    if not isinstance(resource, Instance):
        return False
    if resource.classname == INPUT:
        return True
    if resource.classname != GRAPHICS:
        return False
    kind = resource.values.get("ResourceSubType")
    if kind not in (None, "", "vnc", "rfb"):
        raise CimError(NOT_SUPPORTED, f"Graphics of type {kind} are not supported")
    if resource.values.get("Password"):
        raise CimError(NOT_SUPPORTED, "A password of a screen is not supported")
    keymap = resource.values.get("KeyMap")
    if keymap not in (None, "", KEYMAP):
        raise CimError(NOT_SUPPORTED, f"The key map {keymap} is not supported")
    return True
