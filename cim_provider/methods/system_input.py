"""Reads settings of a whole machine into fields of the VM (given.py has the rules)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cim_provider.mapping.refusal import invalid
from cim_provider.methods.given import Given
from cim_provider.methods.setting_terms import IDENTITY
from cim_provider.methods.shutdown_action import entry_for
from cim_provider.methods.units import pairs_of, seconds_of
from cim_provider.schema.objects import Instance


@dataclass(frozen=True)
class System:
    """Fields of the VM record to set, and keys of other_config to set or (None) remove."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    other_config: Mapping[str, str | None] = field(default_factory=dict)


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
