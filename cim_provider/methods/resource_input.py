"""Reads settings of one resource of a machine into a value (given.py has the rules)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cim_provider.mapping.refusal import invalid
from cim_provider.methods.disk_input import Disk, read_disk
from cim_provider.methods.given import Given, amount, record_named, unit_of
from cim_provider.methods.nic_input import Nic, read_nic
from cim_provider.methods.setting_terms import (
    GRAPHICS,
    IDENTITY,
    MEMORY,
    MOST_WEIGHT,
    NICS,
    NULL_REF,
    OTHER,
    PRIMORDIAL,
    PROCESSOR,
    TPM_WORD,
    TYPE_OF_CLASS,
    USB,
    VBD_TYPES,
    SettingId,
)
from cim_provider.schema.objects import Instance
from xenapi_core.bridge.source import Source


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
        found = read_disk(given, kind, source, new)
    elif kind in NICS:
        found = read_nic(given, source)
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


def host_of_pool(given: Given, source: Source) -> str | None:
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
        host_of_pool(given, source),
    )


def _read_memory(given: Given, source: Source) -> Memory:
    before = given.now.get("VirtualQuantityUnits"), given.now.get("AllocationUnits")
    own = given.whole("VirtualQuantityUnits") not in (None, "count") and given.given("VirtualQuantityUnits")
    changed = (given.whole("VirtualQuantityUnits"), given.whole("AllocationUnits")) != before
    allocation = unit_of(given, "AllocationUnits")
    quantity = unit_of(given, "VirtualQuantityUnits") if own else allocation
    given.take("VirtualQuantityUnits")
    return Memory(
        amount(given, "VirtualQuantity", quantity, changed),
        amount(given, "Reservation", allocation, changed),
        amount(given, "Limit", allocation, changed),
        given.take("StaticMinimum"),
        host_of_pool(given, source),
    )


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
        return Device("VUSB", group=record_named(given, source, "USB_group"))
    group, subtype = record_named(given, source, "GPU_group"), given.take("ResourceSubType")
    if group is None and given.classname != "Xen_VirtualGPUSettingData":
        if subtype not in (None, "rfb", "rdp"):
            raise invalid(f"ResourceSubType {subtype} of a screen is not supported")
        return Device("console", protocol=subtype)
    models = {kind.values["model_name"]: ref for ref, kind in source.all("VGPU_type").items()}
    if subtype is not None and subtype not in models:
        raise invalid(f"there is no virtual GPU {subtype}")
    return Device("VGPU", group=group, type=models.get(subtype), position=given.take("AddressOnParent"))
