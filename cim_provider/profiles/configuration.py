"""DSP1057 configurations: the Defined and the State configuration of a machine.

Rule 1: the Defined configuration is the record. It exists for machines, templates and snapshots; its items are None.
Rule 2: a machine, and nothing else, also has the State configuration; its items are STATE. It is the record too, where
        nothing tells more: metrics and plugged devices do.
Rule 3: State settings of resources, and virtual devices, exist while the machine is not Halted: those of a disk or
        interface while it is plugged, and all of them while the machine is Suspended and will find them again.
"""

from __future__ import annotations

from collections.abc import Iterable

from cim_provider.mapping.extent import Rendition
from cim_provider.mapping.rule import ITEM_WORD, Rule, field, via, xen_id
from cim_provider.mapping.subject import Subject
from xenapi_core.model.power import is_guest

STATE = "State"

# PoolID of the pool from which all pools of a kind are taken.
PRIMORDIAL = "Primordial"


def has_configuration(vm: Subject) -> bool:
    """Whether a VM record is something that clients configure: a machine, a template or a snapshot."""
    return not vm["is_control_domain"]


def part_of_configuration(device: Subject) -> bool:
    """Whether the VM of a VBD, VIF ... is such a record."""
    vm = device.follow("VM")
    return vm is not None and has_configuration(vm)


def is_active(vm: Subject) -> bool:
    """Whether a VM record is a machine that is not Halted, so that it has devices."""
    return vm["power_state"] != "Halted" and is_guest(vm)


def is_plugged(device: Subject) -> bool:
    """Whether a VBD, VIF, VUSB or VGPU is a device now (rule 3)."""
    vm = device.follow("VM")
    if vm is None or not is_active(vm):
        return False
    return bool(device["currently_attached"]) or vm["power_state"] == "Suspended"


def is_present(device: Subject) -> bool:
    """Whether a part of a machine that is never unplugged from it (console, VTPM) is a device now."""
    vm = device.follow("VM")
    return vm is not None and is_active(vm)


def of_system(vm: Subject) -> Iterable[str | None]:
    """Items of the setting data of a machine as a whole."""
    return (None, STATE) if is_guest(vm) else (None,)


def of_built_in(vm: Subject) -> Iterable[str | None]:
    """Items of the setting data of what is part of the VM record."""
    return (None, STATE) if is_active(vm) else (None,)


def of_plugged(device: Subject) -> Iterable[str | None]:
    """Items of the setting data of a VBD, VIF, VUSB or VGPU."""
    return (None, STATE) if is_plugged(device) else (None,)


def of_present(device: Subject) -> Iterable[str | None]:
    """Items of the setting data of a console or VTPM."""
    return (None, STATE) if is_present(device) else (None,)


def is_state(subject: Subject) -> bool:
    """Whether the instance being made is of the State configuration."""
    return bool(subject.item == STATE)


def pool_of_machine(vm: Subject) -> str:
    """PoolID of the processor and memory pools a configuration draws on: the uuid of the host the machine is on (State)
    or prefers (Defined); without one, of the primordial pool."""
    host = vm.follow("resident_on" if is_state(vm) else "affinity")
    return PRIMORDIAL if host is None else str(host["uuid"])


def of_state(left: Rendition, right: Rendition) -> bool:
    """Whether the setting data at the right end is of the State configuration."""
    return bool(right.item == STATE)


def of_definition(left: Rendition, right: Rendition) -> bool:
    """Whether the setting data at the right end is of the Defined configuration."""
    return right.item is None


def state_of_definition(left: Rendition, right: Rendition) -> bool:
    """The ends are the State and the Defined settings of the same."""
    return bool(left.item == STATE) and right.item is None


def system_setting_id() -> Rule:
    """InstanceID of the setting data of a machine as a whole: Xen:<uuid>[/State]."""
    return xen_id(field("uuid"), ITEM_WORD)


def built_in_setting_id(word: str) -> Rule:
    """InstanceID of the setting data of what is part of the VM record: Xen:<uuid>[/State]/<word>."""
    return xen_id(field("uuid"), ITEM_WORD, word)


def device_setting_id() -> Rule:
    """InstanceID of the setting data of a device with a record: Xen:<uuid of the VM>[/State]/<uuid of the device>."""
    return xen_id(via("VM", field("uuid")), ITEM_WORD, field("uuid"))
