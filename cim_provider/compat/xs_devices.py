"""Consoles and key-value pairs as devices of machines in the xs-cim mode, and their settings.

Rule 1: the pairs of a machine are VM.xenstore_data, which its guest finds in xenstore; they are there whether it runs
        or not. xs-cim kept pairs of its own in a service beside the hosts and sent them over a network of the host.
Rule 2: a pair is added by AddResourceSettings, as its settings, and removed by RemoveResourceSettings; what a key has
        already is replaced. ModifyResourceSettings changes its value: the key is what names it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from cim_provider import jobs
from cim_provider.compat.names import text
from cim_provider.jobs import Work
from cim_provider.mapping.association import Association, Pointing, Relation, SameRecord, Where, same_item
from cim_provider.mapping.extent import Rendition
from cim_provider.mapping.method import Call, Result, method
from cim_provider.mapping.refusal import Kind, RefusedError, invalid
from cim_provider.mapping.rule import OWN_CLASS, computed, const, field, via, xen_id
from cim_provider.mapping.subject import Pool, Subject
from cim_provider.mapping.view import View
from cim_provider.profiles import virtual_system_management
from cim_provider.profiles.computer_system import ComputerSystem
from cim_provider.profiles.configuration import is_present
from cim_provider.profiles.generic_device import PresentDevice
from cim_provider.profiles.virtual_system import (
    SettingDataComponent,
    SettingsDefineState,
    SystemDevice,
    VirtualSystemSettingData,
)
from cim_provider.schema.objects import CIMV2, NOT_FOUND, CimError, Instance, Path
from xenapi_core.errors import ApiError
from xenapi_core.model.power import is_guest

if TYPE_CHECKING:
    from xenapi_core.store.api import Version

PAIR_SETTINGS = "Xen_KVPSettingData"
PROTOCOLS = {"vt100": 0, "rfb": 1, "rdp": 2}


# ---- consoles


def console_name(console: Subject) -> str:
    return f"Console ({console['protocol']})"


class Console(PresentDevice, cim="Xen_Console", of="console", where=is_present, registered=False):
    """A console of a machine, for text or graphics."""

    ElementName = computed(console_name)
    DeviceID = xen_id(via("VM", field("uuid")), field("uuid"))


class Setting(View):
    """The lines shared by settings of things of which a machine has one each; 24: Graphics controller, as xs-cim has it
    for both."""

    ResourceType = const(24)
    AllocationUnits = const("count")
    VirtualQuantity = const(1)
    VirtualQuantityUnits = const("count")
    ConsumerVisibility = const(3)
    AutomaticAllocation = const(True)
    AutomaticDeallocation = const(True)


class ConsoleSettingData(Setting, cim="Xen_ConsoleSettingData", of="console", where=is_present, registered=False):
    """Where a console is, and what it speaks."""

    InstanceID = xen_id(via("VM", field("uuid")), field("uuid"))
    ElementName = computed(console_name)
    URI = field("location")
    Protocol = field("protocol").table(PROTOCOLS)


# ---- key-value pairs


def keys(vm: Subject) -> Iterable[str]:
    return tuple(vm["xenstore_data"])


def pair_id(vm: Subject) -> str:
    return f"Xen:{vm['uuid']}/{vm.item}"


def _machine(pool: Pool, value: object) -> Version | None:
    return pool.by_uuid("VM", str(value).removeprefix("Xen:").partition("/")[0])


def key(vm: Subject) -> str:
    return str(vm.item)


def value(vm: Subject) -> str:
    return str(vm["xenstore_data"][vm.item])


class KeyValuePair(View, cim="Xen_KVP", of="VM", where=is_guest, items=keys, registered=False):
    """A key-value pair that a machine's guest can read."""

    SystemCreationClassName = const(ComputerSystem.cim)
    SystemName = field("uuid")
    CreationClassName = OWN_CLASS
    DeviceID = text(pair_id, _machine)
    Name = computed(key)
    ElementName = computed(key)
    Key = computed(key)
    Value = computed(value)
    Vm_uuid = field("uuid")


class KeyValueSettingData(Setting, cim=PAIR_SETTINGS, of="VM", where=is_guest, items=keys, registered=False):
    """A key-value pair as a part of the machine's configuration."""

    InstanceID = text(pair_id, _machine)
    ElementName = field("name_label")
    Description = field("name_description")
    key = computed(key)
    value = computed(value)
    VM_ID = field("uuid")


def _pair(setting: Instance, vm: Subject) -> tuple[str, str]:
    """The key and value that the settings of a pair request. RefusedError INVALID_PARAMETER."""
    given = {name.lower(): found for name, found in setting.values.items() if found is not None}
    name, told = given.get("key"), given.get("value", "")
    if not name or given.get("vm_id", vm["uuid"]) != vm["uuid"]:
        raise invalid("settings of a pair have a key, and the VM_ID of the machine if any")
    return str(name), str(told)


async def _put(work: Work, vm: str, name: str, told: str) -> bool:
    """Give a key its value, in place of the one it has. False: somebody else gave it another one meanwhile."""
    now = work.source.find(vm)
    old = now.values["xenstore_data"].get(name) if now is not None else None
    if old is not None:
        await work.call("VM.remove_from_xenstore_data", vm, name)
        await work.undo("VM.add_to_xenstore_data", vm, name, old)
    try:
        await work.call("VM.add_to_xenstore_data", vm, name, told)
    except ApiError as error:
        if error.code == "MAP_DUPLICATE_KEY":
            return False
        raise
    await work.undo("VM.remove_from_xenstore_data", vm, name)
    return True


@jobs.answers(jobs.DEFINITIONS)
async def add_resource_settings(
    call: Call, affected_configuration: Path | None, resource_settings: tuple[Instance, ...] | None
) -> Result:
    """AddResourceSettings of the profile, extended by key-value pairs, which are added separately."""
    settings = resource_settings or ()
    about = [each.classname == PAIR_SETTINGS for each in settings]
    if not any(about):
        return await virtual_system_management.add_resource_settings(call, affected_configuration, resource_settings)
    if not all(about):
        raise RefusedError(Kind.NOT_SUPPORTED, "key-value pairs are not added together with devices")
    vm = call.target(affected_configuration, "AffectedConfiguration", VirtualSystemSettingData.cim)
    pairs = dict(_pair(each, vm) for each in settings)
    jobs.require(call, "VM.add_to_xenstore_data", "VM.remove_from_xenstore_data")

    async def body(work: Work) -> Mapping[str, Any]:
        work.expected = 2 * len(pairs)
        for name, told in pairs.items():
            while not await _put(work, vm.ref, name, told):
                pass
        paths = tuple(Path.of(PAIR_SETTINGS, {"InstanceID": pair_id(vm.at(name))}, CIMV2) for name in pairs)
        return {"ResultingResourceSettings": paths}

    return await call.jobs.several(call, jobs.DEFINITIONS, "CIM.AddResourceSettings", body, about=vm["uuid"])


def _change(call: Call, setting: Instance) -> tuple[Subject, str]:
    """The pair that settings name by their InstanceID, and the value requested for it, which is the one it has if they
    name none. RefusedError INVALID_PARAMETER for other changes, CimError NOT_FOUND."""
    given = {name.lower(): found for name, found in setting.values.items() if found is not None}
    identifier, told = given.pop("instanceid", None), given.pop("value", None)
    if not identifier:
        raise invalid("ResourceSettings without an InstanceID of settings there are")
    found = call.find(Path.of(PAIR_SETTINGS, {"InstanceID": identifier}, CIMV2))
    if found is None or found.version is None:
        raise CimError(NOT_FOUND, f"there are no settings {identifier}")
    pair, now = Subject(call.source, found.version, found.item), found.values
    same = {name.lower() for name in now if given.get(name.lower()) == now[name]}
    if not given.keys() <= same:
        raise invalid("only the value of a pair can be changed")
    return pair, value(pair) if told is None else str(told)


@jobs.answers(jobs.SYSTEMS)
async def modify_resource_settings(call: Call, resource_settings: tuple[Instance, ...] | None) -> Result:
    """ModifyResourceSettings of the profile, extended by key-value pairs, which are changed separately."""
    settings = resource_settings or ()
    about = [each.classname == PAIR_SETTINGS for each in settings]
    if not any(about):
        return await virtual_system_management.modify_resource_settings(call, resource_settings)
    if not all(about):
        raise RefusedError(Kind.NOT_SUPPORTED, "key-value pairs are not changed together with devices")
    changes = [_change(call, each) for each in settings]
    jobs.require(call, "VM.add_to_xenstore_data", "VM.remove_from_xenstore_data")

    async def body(work: Work) -> Mapping[str, Any]:
        work.expected = 2 * len(changes)
        for pair, told in changes:
            while not await _put(work, pair.ref, key(pair), told):
                pass
        paths = tuple(Path.of(PAIR_SETTINGS, {"InstanceID": pair_id(pair)}, CIMV2) for pair, _ in changes)
        return {"ResultingResourceSettings": paths}

    uuids = {pair["uuid"] for pair, _ in changes}
    about_one = uuids.pop() if len(uuids) == 1 else ""
    return await call.jobs.several(call, jobs.SYSTEMS, "CIM.ModifyResourceSettings", body, about=about_one)


@jobs.answers(jobs.SYSTEMS)
async def remove_resource_settings(call: Call, resource_settings: tuple[Path, ...] | None) -> Result:
    """RemoveResourceSettings of the profile, extended by key-value pairs, which are removed separately."""
    about = [path.classname == PAIR_SETTINGS for path in resource_settings or ()]
    if not any(about):
        return await virtual_system_management.remove_resource_settings(call, resource_settings)
    if not all(about):
        raise RefusedError(Kind.NOT_SUPPORTED, "key-value pairs are not removed together with devices")
    pairs = [call.target(path, "ResourceSettings", PAIR_SETTINGS) for path in resource_settings or ()]
    jobs.require(call, "VM.add_to_xenstore_data", "VM.remove_from_xenstore_data")

    async def body(work: Work) -> Mapping[str, Any]:
        work.expected = len(pairs)
        for pair in pairs:
            await work.call("VM.remove_from_xenstore_data", pair.ref, pair.item)
            await work.undo("VM.add_to_xenstore_data", pair.ref, pair.item, value(pair))
        return {}

    uuids = {pair["uuid"] for pair in pairs}
    about_one = uuids.pop() if len(uuids) == 1 else ""
    return await call.jobs.several(call, jobs.SYSTEMS, "CIM.RemoveResourceSettings", body, about=about_one)


ADD_RESOURCE_SETTINGS = method(add_resource_settings, out=("ResultingResourceSettings", "Job"))
MODIFY_RESOURCE_SETTINGS = method(modify_resource_settings, out=("ResultingResourceSettings", "Job"))
REMOVE_RESOURCE_SETTINGS = method(remove_resource_settings, out=("Job",))
VIEWS: tuple[type[View], ...] = (Console, ConsoleSettingData, KeyValuePair, KeyValueSettingData)


def is_definition(configuration: Rendition, setting: Rendition) -> bool:
    return configuration.item is None


def device_relations() -> Mapping[type[Association], tuple[Relation, ...]]:
    """Of which machines and configurations they are a part, and which settings are of which device."""
    return {
        SystemDevice: (Pointing(ComputerSystem, Console, "console.VM"), SameRecord(ComputerSystem, KeyValuePair)),
        SettingsDefineState: (
            SameRecord(Console, ConsoleSettingData),
            Where(SameRecord(KeyValuePair, KeyValueSettingData), same_item),
        ),
        SettingDataComponent: (
            Where(Pointing(VirtualSystemSettingData, ConsoleSettingData, "console.VM"), is_definition),
            Where(SameRecord(VirtualSystemSettingData, KeyValueSettingData), is_definition),
        ),
    }


__all__ = [
    "ADD_RESOURCE_SETTINGS", "MODIFY_RESOURCE_SETTINGS", "REMOVE_RESOURCE_SETTINGS", "VIEWS", "Console",
    "device_relations",
]  # fmt: skip
