"""Setting data that clients send, read into the values the Xen-API takes.

Rule 1: NULL, and what is as the present settings have it, asks for nothing; so a client may send back what it read.
Rule 2: what asks for a change that cannot be made is refused, never left out: a property nobody can set, a unit that is
        not known, a pool that is not there.
Rule 3: nothing here changes anything; what is read is a value, and define_system.py makes calls of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cim_provider.mapping.refusal import invalid
from cim_provider.profiles.shutdown_action import entry_for
from cim_provider.schema.objects import Instance
from xenapi_core.bridge.source import Source

UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
STATE, PRIMORDIAL = "State", "Primordial"
NULL_REF = "OpaqueRef:NULL"

# Properties that identify an instance, or tell where it came from: a new system gets its own.
IDENTITY = frozenset(
    {
        "InstanceID", "Caption", "VirtualSystemIdentifier", "CreationTime", "ConfigurationID", "ConfigurationName",
        "SuspendDataRoot", "SnapshotDataRoot", "ChangeableType", "Generation",
    }
)  # fmt: skip

PROCESSOR, MEMORY, ETHERNET = 3, 4, 10
FLOPPY, CD, DVD, DISK = 14, 15, 16, 17
DISKS = (DISK, 19, 31, 32)  # and Storage Extent, Logical Disk, Storage Volume
MOST_WEIGHT = 65535  # of the credit scheduler, which begins with 1
NICS = (ETHERNET, 30, 33)  # and Ethernet Switch Port, Ethernet Connection
OTHER, USB, GRAPHICS = 1, 23, 24
BLOCKS = "count(fixed size block)"
TPM_WORD = "TPM"  # OtherResourceType of settings of type 1
VBD_TYPES = {CD: "CD", DVD: "CD", FLOPPY: "Floppy", **dict.fromkeys(DISKS, "Disk")}

# ResourceType of the settings of our own classes, for clients that leave it out.
TYPE_OF_CLASS = {
    "CIM_ProcessorAllocationSettingData": PROCESSOR,
    "CIM_MemoryAllocationSettingData": MEMORY,
    "CIM_StorageAllocationSettingData": DISK,
    "CIM_EthernetPortAllocationSettingData": ETHERNET,
    "Xen_ProcessorSettingData": PROCESSOR,
    "Xen_MemorySettingData": MEMORY,
    "Xen_DiskSettingData": DISK,
    "Xen_NetworkPortSettingData": ETHERNET,
    "Xen_DisplaySettingData": GRAPHICS,
    "Xen_TPMSettingData": OTHER,
    "Xen_USBSettingData": USB,
    "Xen_VirtualGPUSettingData": GRAPHICS,
}

# fmt: off
# Units of older clients, in small letters.
_OLD_UNITS = {
    "byte": 1, "bytes": 1, "kilobytes": 1 << 10, "megabytes": 1 << 20, "gigabytes": 1 << 30, "kb": 1 << 10,
    "mb": 1 << 20, "gb": 1 << 30, "kilobytes per second": 1 << 10,
}
# fmt: on
_PUNIT = re.compile(r"bytes?(?:/second)?(?:\*(\d{1,2})\^(\d{1,2}))?\Z")
_BITS = re.compile(r"bits?/second(?:\*(\d{1,2})\^(\d{1,2}))?\Z")
_INTERVAL = re.compile(r"(\d{8})(\d\d)(\d\d)(\d\d)\.\d{6}:000\Z")
_MAC = re.compile(r"[0-9a-f]{12}\Z", re.IGNORECASE)


@dataclass(frozen=True)
class SettingId:
    """The parts of an InstanceID of setting data: Xen:<uuid of the VM>[/State][/<word or uuid>]."""

    vm: str
    state: bool = False
    part: str = ""

    @classmethod
    def of(cls, text: str) -> SettingId | None:
        """None for what is no such InstanceID."""
        vm, *rest = text.removeprefix("Xen:").split("/")
        state = rest[:1] == [STATE]
        parts = rest[1:] if state else rest
        if not text.startswith("Xen:") or not UUID.fullmatch(vm) or len(parts) > 1:
            return None
        return cls(vm, state, parts[0] if parts else "")


def bytes_of(unit: str) -> int | None:
    """How many bytes (or bytes a second) a unit is: `byte*2^20` as DSP0004 writes it, or the words older clients use;
    None for what is no such unit."""
    plain = unit.strip().lower()
    found = _PUNIT.match(plain.replace(" ", ""))
    if found is None:
        return _OLD_UNITS.get(plain)
    return int(found[1]) ** int(found[2]) if found[1] else 1


def seconds_of(interval: str) -> int:
    """Seconds in a CIM interval. RefusedError for a point in time, or an interval with asterisks."""
    found = _INTERVAL.match(interval)
    if found is None:
        raise invalid(f"{interval} is no interval")
    days, hours, minutes, seconds = (int(part) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def pairs_of(lines: tuple[str, ...], what: str) -> dict[str, str]:
    """key=value lines as a map. RefusedError."""
    for line in lines:
        if "=" not in line:
            raise invalid(f"{what}: {line!r} is not key=value")
    return dict(line.split("=", 1) for line in lines)


class Given:
    """The properties of one instance that ask for something (rule 1), taken one by one; `end` refuses the rest.

    `now` is what is shown of the present settings; without it everything that is given asks for something.
    """

    def __init__(self, instance: Instance, now: Mapping[str, Any], ignored: frozenset[str] = frozenset()) -> None:
        self.classname = instance.classname
        self.now = now
        self._all = {name: value for name, value in instance.values.items() if value is not None}
        self._left = {
            name: value for name, value in self._all.items() if name not in ignored and now.get(name) != value
        }

    def take(self, name: str) -> Any:
        """A property that asks for a change; None if it does not."""
        return self._left.pop(name, None)

    def whole(self, name: str) -> Any:
        """A property as it was given or, if it was not, as it is now."""
        return self._all.get(name, self.now.get(name))

    def given(self, name: str) -> bool:
        return name in self._all

    def end(self) -> None:
        """RefusedError if something is left that nothing can be made of."""
        if self._left:
            raise invalid(f"{self.classname}.{next(iter(self._left))} cannot be set")


@dataclass(frozen=True)
class Processors:
    """Virtual processors. None: as it is. `cap` in percent of one physical processor; `host` as in Memory."""

    most: int | None = None
    at_startup: int | None = None
    weight: int | None = None
    cap: int | None = None
    host: str | None = None


@dataclass(frozen=True)
class Memory:
    """Memory limits in bytes. None: as it is. `host`: the one to prefer, NULL_REF for any."""

    static_max: int | None = None
    dynamic_min: int | None = None
    dynamic_max: int | None = None
    static_min: int | None = None
    host: str | None = None


@dataclass(frozen=True)
class Disk:
    """A disk or drive. `image`: reference of the VDI in it, "" for none, None as it is; `size` in bytes."""

    kind: str | None = None
    image: str | None = None
    sr: str | None = None
    size: int | None = None
    mode: str | None = None
    bootable: bool | None = None
    position: str | None = None
    name: str | None = None
    keep: bool = False  # the disk outlives the machine


@dataclass(frozen=True)
class Nic:
    """A network interface. `rate` in KiB a second, 0 for no limit."""

    network: str | None = None
    mac: str | None = None
    position: str | None = None
    rate: int | None = None
    locked: bool | None = None


@dataclass(frozen=True)
class Device:
    """A screen, TPM, USB device or virtual GPU: a record of class `cls` (define_device.py). `group` and `type` are
    references, of a USB or GPU group and of a VGPU type."""

    cls: str
    protocol: str | None = None
    group: str | None = None
    type: str | None = None
    position: str | None = None


Resource = Processors | Memory | Disk | Nic | Device


@dataclass(frozen=True)
class Asked:
    """The settings of one resource: which they are (`id`, if they name present ones), and what they ask for."""

    resource: Resource
    id: SettingId | None = None


@dataclass(frozen=True)
class System:
    """Fields of the VM record to set, and keys of other_config to set or (None) remove."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    other_config: Mapping[str, str | None] = field(default_factory=dict)


# The machine as a whole


# Properties that are fields as they are.
_SAME = {
    "ElementName": "name_label",
    "Description": "name_description",
    "ActionsAfterShutdown": "actions_after_shutdown",
    "ActionsAfterReboot": "actions_after_reboot",
    "ActionsAfterCrash": "actions_after_crash",
    "HVM_Boot_Policy": "HVM_boot_policy",
    "PV_Bootloader": "PV_bootloader",
    "PV_Bootloader_Args": "PV_bootloader_args",
    "PV_Kernel": "PV_kernel",
    "PV_Ramdisk": "PV_ramdisk",
    "PV_Args": "PV_args",
    "AutomaticStartupActionSequenceNumber": "order",
}
_RECOVERY = {2: "destroy", 3: "restart"}
_DOMAIN_TYPES = (("HVM", "hvm"), ("PVH", "pvh"), ("PV", "pv"))


def read_system(instance: Instance, now: Mapping[str, Any], new: bool) -> System:
    """What setting data asks of a machine as a whole. `now`: the settings it starts from; `new`: it is for a machine
    that does not exist yet, which has an identity of its own."""
    given = Given(instance, now, IDENTITY if new else frozenset())
    fields: dict[str, Any] = {}
    for name, target in _SAME.items():
        value = given.take(name)
        if value is not None:
            fields[target] = value
    _read_recovery(given, fields)
    _read_domain_type(given, fields)
    notes = given.take("Notes")
    if notes is not None:
        fields["tags"] = tuple(notes)
    delay = given.take("AutomaticStartupActionDelay")
    if delay is not None:
        fields["start_delay"] = seconds_of(delay)
    for name, target in (("HVM_Boot_Params", "HVM_boot_params"), ("Platform", "platform")):
        lines = given.take(name)
        if lines is not None:
            fields[target] = pairs_of(lines, name)
    other = _read_startup(given, fields)
    shutdown = given.take("AutomaticShutdownAction")
    if shutdown is not None:
        other |= entry_for(shutdown)
    given.end()
    return System(fields, other)


def _read_recovery(given: Given, fields: dict[str, Any]) -> None:
    """AutomaticRecoveryAction says less than ActionsAfterCrash, so that counts if both are changed."""
    recovery = given.take("AutomaticRecoveryAction")
    if recovery is None:
        return
    if recovery not in _RECOVERY:
        raise invalid(f"AutomaticRecoveryAction {recovery} is not supported")
    fields.setdefault("actions_after_crash", _RECOVERY[recovery])


def _read_domain_type(given: Given, fields: dict[str, Any]) -> None:
    wanted = given.take("VirtualSystemType")
    if wanted is None:
        return
    kind = next((kind for word, kind in _DOMAIN_TYPES if word in wanted.upper()), None)
    if kind is None:
        raise invalid(f"VirtualSystemType {wanted} is not supported")
    if kind != "hvm" and fields.get("HVM_boot_policy"):
        raise invalid(f"{wanted} has no HVM_Boot_Policy")
    # Both setters set both fields; the type is the stronger word, so it comes last.
    fields["domain_type"] = kind


def _read_startup(given: Given, fields: dict[str, Any]) -> dict[str, str | None]:
    """AutomaticStartupAction: 2 none, 3 restart if it was active before, 4 always."""
    action = given.take("AutomaticStartupAction")
    if action is None:
        return {}
    if action not in (2, 3, 4):
        raise invalid(f"AutomaticStartupAction {action} is not supported")
    fields["ha_restart_priority"] = "restart" if action == 3 else ""
    return {"auto_poweron": "true" if action == 4 else None}


# Resources


def read_resource(instance: Instance, now: Mapping[str, Any], source: Source, new: bool) -> Resource:
    """What setting data asks of one resource. `now`: the present settings it names; `new`: a resource to be made."""
    given = Given(instance, now, IDENTITY if new else frozenset())
    kind = _resource_type(given)
    found: Resource
    if kind == PROCESSOR:
        found = _read_processors(given, source)
    elif kind == MEMORY:
        found = _read_memory(given, source)
    elif kind in VBD_TYPES:
        found = _read_disk(given, kind, source, new)
    elif kind in NICS:
        found = _read_nic(given, source)
    elif kind in (OTHER, USB, GRAPHICS):
        found = _read_device(given, kind, source, new)
    else:
        raise invalid(f"ResourceType {kind} is not supported")
    if new:
        _take_usual(given, kind)
    given.end()
    return found


# What settings of a new resource may say besides, because it is so anyway: clients that copy settings send it along.
_USUAL: Mapping[str, tuple[Any, ...]] = {
    "ConsumerVisibility": (0, 3),
    "AutomaticAllocation": (True,),
    "AutomaticDeallocation": (True, False),
    "HostExtentNameFormat": (0, 1),
    "HostExtentNameNamespace": (0, 1),
}
_ONLY_SHOWN = ("ElementName", "OtherHostExtentNameFormat", "OtherHostExtentNameNamespace")


def _take_usual(given: Given, kind: int) -> None:
    if kind == USB and given.whole("ConsumerVisibility") == 2:  # passed through, as settings of them show
        given.take("ConsumerVisibility")
    for name, values in _USUAL.items():
        value = given.take(name)
        if value is not None and value not in values:
            raise invalid(f"{name} {value} is not supported")
    for name in _ONLY_SHOWN:
        given.take(name)
    if kind in VBD_TYPES:
        given.take("Address")  # the name inside a guest, which is the guest's choice


def _host_pool(given: Given, source: Source) -> str | None:
    """The host that a PoolID of processors or memory names; NULL_REF for the pool of all hosts."""
    text = given.take("PoolID")
    if not text:
        return None
    name = text.rpartition("/")[2]
    host = source.by_uuid("host", name.lower())
    if host is None and name != PRIMORDIAL:
        raise invalid(f"there is no pool {text}")
    return NULL_REF if host is None else host.ref


def _resource_type(given: Given) -> int:
    of_class = TYPE_OF_CLASS.get(given.classname)
    asked = given.whole("ResourceType")
    given.take("ResourceType")
    kind = asked if asked is not None else of_class
    if kind is None:
        raise invalid("ResourceType is missing")
    if "ResourceType" in given.now and given.now["ResourceType"] != kind:
        raise invalid("the ResourceType of settings cannot be changed")
    families = [(PROCESSOR,), (MEMORY,), tuple(VBD_TYPES), NICS, (OTHER,), (USB,), (GRAPHICS,)]
    if of_class is not None and not any(kind in family and of_class in family for family in families):
        raise invalid(f"{given.classname} cannot have ResourceType {kind}")
    return int(kind)


def _unit(given: Given, *names: str) -> int:
    """Bytes in the unit that the first of these properties gives; 1 if none does. "count" says nothing of memory."""
    for name in names:
        unit = given.whole(name)
        given.take(name)
        if unit is not None and unit != "count":
            found = bytes_of(unit)
            if found is None:
                raise invalid(f"{name} {unit!r} is no unit for this")
            return found
    return 1


def _amount(given: Given, name: str, unit: int, unit_changed: bool) -> int | None:
    """A quantity in bytes; None if it is as it is now. A change of the unit alone changes the quantity."""
    raw = given.take(name)
    if raw is None and unit_changed and given.given(name):
        raw = given.whole(name)
    return None if raw is None else int(raw) * unit


def _read_processors(given: Given, source: Source) -> Processors:
    for name, right in (("VirtualQuantityUnits", "count"), ("AllocationUnits", "percent")):
        unit = given.take(name)
        if unit is not None and unit != right and not (name == "AllocationUnits" and unit == "count"):
            raise invalid(f"{name} of processors is {right}, not {unit!r}")
    weight = given.take("Weight")
    if weight is not None and not 1 <= weight <= MOST_WEIGHT:
        raise invalid(f"Weight {weight} is not between 1 and {MOST_WEIGHT}")
    return Processors(
        given.take("VirtualQuantity"),
        given.take("VCPUsAtStartup"),
        weight,
        given.take("Limit"),
        _host_pool(given, source),
    )


def _read_memory(given: Given, source: Source) -> Memory:
    before = given.now.get("VirtualQuantityUnits"), given.now.get("AllocationUnits")
    own = given.whole("VirtualQuantityUnits") not in (None, "count") and given.given("VirtualQuantityUnits")
    changed = (given.whole("VirtualQuantityUnits"), given.whole("AllocationUnits")) != before
    allocation = _unit(given, "AllocationUnits")
    quantity = _unit(given, "VirtualQuantityUnits") if own else allocation
    given.take("VirtualQuantityUnits")
    return Memory(
        _amount(given, "VirtualQuantity", quantity, changed),
        _amount(given, "Reservation", allocation, changed),
        _amount(given, "Limit", allocation, changed),
        given.take("StaticMinimum"),
        _host_pool(given, source),
    )


def _read_disk(given: Given, kind: int, source: Source, new: bool) -> Disk:
    access = given.take("Access")
    if access not in (None, 0, 1, 3):
        raise invalid(f"Access {access} is not supported")
    return Disk(
        VBD_TYPES[kind],
        _image(given, source),
        _pool(given, source, "SR"),
        _disk_size(given),
        {1: "RO", 3: "RW"}.get(access) if access is not None else None,
        given.take("Bootable"),
        given.take("AddressOnParent"),
        given.take("ElementName") if new else None,
        keep=given.whole("AutomaticDeallocation") is False,
    )


def _disk_size(given: Given) -> int | None:
    """Bytes. A quantity in blocks, which it is where there is a block size and no unit (the schema's default), counts
    blocks of VirtualResourceBlockSize; one in units of nothing counts AllocationUnits."""
    blocks, unit = given.whole("VirtualResourceBlockSize") or 1, given.whole("VirtualQuantityUnits")
    taken = [given.take(name) for name in ("VirtualQuantityUnits", "VirtualResourceBlockSize")]
    changed = taken != [None, None]
    if unit is None and blocks > 1:
        unit = BLOCKS
    if unit in (None, "count", BLOCKS):
        size = blocks if unit == BLOCKS else _unit(given, "AllocationUnits")
    else:
        found = bytes_of(unit)
        if found is None:
            raise invalid(f"VirtualQuantityUnits {unit!r} is no unit for this")
        size = found
    given.take("AllocationUnits")
    return _amount(given, "VirtualQuantity", size, changed)


def _image(given: Given, source: Source) -> str | None:
    """The VDI that HostResource or HostExtentName names by its uuid, alone or within a path; "" to take it out."""
    for name in ("HostResource", "HostExtentName"):
        text = given.take(name)
        if text is None:
            continue
        words = (text,) if isinstance(text, str) else text
        if not any(words):
            return ""
        found = [source.by_uuid("VDI", uuid.lower()) for word in words for uuid in UUID.findall(word or "")]
        images = [version.ref for version in found if version is not None]
        if len(images) != 1:
            raise invalid(f"{name} names no disk there is: {words}")
        given.take("HostExtentName")
        return images[0]
    return None


def _pool(given: Given, source: Source, cls: str) -> str | None:
    """The SR or network that PoolID names by its uuid, alone or at the end of the pool's InstanceID; None for the
    primordial pool, as that leaves the choice to the pool of hosts."""
    name = (given.take("PoolID") or "").rpartition("/")[2]
    if name in ("", PRIMORDIAL):
        return None
    version = source.by_uuid(cls, name.lower())
    if version is None:
        raise invalid(f"there is no pool {name}")
    return version.ref


def _read_nic(given: Given, source: Source) -> Nic:
    pool, network = _pool(given, source, "network"), None
    wires = given.take("Connection")
    if wires:
        found = [source.by_uuid("network", uuid.lower()) for wire in wires for uuid in UUID.findall(wire or "")]
        networks = [version.ref for version in found if version is not None]
        if len(networks) != 1:
            raise invalid(f"Connection names no network there is: {wires}")
        network = networks[0]
        if pool is not None and pool != network:
            raise invalid("PoolID and Connection name different networks")
    amount = given.take("VirtualQuantity")
    if amount not in (None, 1):
        raise invalid("settings of an interface are about one interface")
    unit = given.take("VirtualQuantityUnits")
    if unit not in (None, "count"):
        raise invalid(f"VirtualQuantityUnits of interfaces is count, not {unit!r}")
    locked = given.take("SourceMACFilteringEnabled")
    return Nic(network or pool, _mac(given), given.take("AddressOnParent"), _rate(given), locked)


def _mac(given: Given) -> str | None:
    text = given.take("Address")
    if not text:
        return None
    plain = re.sub(r"[:-]", "", text)
    if not _MAC.match(plain):
        raise invalid(f"{text} is no hardware address")
    return ":".join(plain[n : n + 2] for n in range(0, 12, 2)).lower()


def _rate(given: Given) -> int | None:
    """KiB a second, as the Xen-API's kbps are: as many whole ones as there are in what is asked, so never more."""
    unit = given.whole("AllocationUnits")
    changed = given.take("AllocationUnits") is not None
    limit = given.take("Limit")
    if limit is None:
        limit = given.whole("Limit") if changed and given.given("Limit") else None
    if limit is None:
        return None
    bits = _BITS.match((unit or "").replace(" ", ""))
    if bits is not None:
        size = int(limit) * (int(bits[1]) ** int(bits[2]) if bits[1] else 1) // 8
    else:
        factor = bytes_of(unit or "count")
        if factor is None:
            raise invalid(f"AllocationUnits {unit!r} is no unit for a rate")
        size = int(limit) * factor
    if 0 < size < 1024:
        raise invalid("the rate of an interface is 1024 bytes a second at least")
    return size // 1024


def _read_device(given: Given, kind: int, source: Source, new: bool) -> Device:
    """Settings of type 24 are about a GPU if they name a group or are of its class, about a screen otherwise."""
    if not new:
        return Device("")  # nothing about them can change: what asks for something is refused by `end`
    if given.take("VirtualQuantity") not in (None, 1) or given.take("PoolID") not in (None, "", PRIMORDIAL):
        raise invalid("settings of such a device are about one device of the primordial pool")
    for name in ("AllocationUnits", "VirtualQuantityUnits"):
        if given.take(name) not in (None, "count"):
            raise invalid(f"{name} of such devices is count")
    if kind == OTHER:
        if given.take("OtherResourceType") != TPM_WORD and given.classname != "Xen_TPMSettingData":
            raise invalid("OtherResourceType is none that can be made")
        return Device("VTPM")
    if kind == USB:
        return Device("VUSB", group=_named(given, source, "USB_group"))
    group, subtype = _named(given, source, "GPU_group"), given.take("ResourceSubType")
    if group is None and given.classname != "Xen_VirtualGPUSettingData":
        if subtype not in (None, "rfb", "rdp"):
            raise invalid(f"ResourceSubType {subtype} of a screen is not supported")
        return Device("console", protocol=subtype)
    models = {kind.values["model_name"]: ref for ref, kind in source.all("VGPU_type").items()}
    if subtype is not None and subtype not in models:
        raise invalid(f"there is no virtual GPU {subtype}")
    return Device("VGPU", group=group, type=models.get(subtype), position=given.take("AddressOnParent"))


def _named(given: Given, source: Source, cls: str) -> str | None:
    """The record of a class that HostResource names by its uuid, alone or within a path."""
    words = given.take("HostResource")
    if not words or not any(words):
        return None
    uuids = [uuid.lower() for word in words for uuid in UUID.findall(word or "")]
    found = [version.ref for version in (source.by_uuid(cls, uuid) for uuid in uuids) if version is not None]
    if len(found) != 1:
        raise invalid(f"HostResource names no {cls} there is: {words}")
    return found[0]
