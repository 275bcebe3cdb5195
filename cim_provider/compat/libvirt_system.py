"""Settings of a whole machine in libvirt-cim's form, shown and translated back.

Rule 1: what it has of its own stands for a property of the profiles, or for a part of one. Both are shown, and a change
        of the one is a change of the other.
Rule 2: what a client asks for that a machine here cannot have is left to the profile, which refuses it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cim_provider.compat.inputs import Values
from cim_provider.mapping.rule import Rule, computed, field
from cim_provider.mapping.subject import Subject
from cim_provider.profiles.virtual_system import RECOVERY_ACTIONS, VirtualSystemSettingData
from cim_provider.schema.objects import FAILED, CimError

BOOT_DEVICES = {"c": "hd", "d": "cdrom", "n": "network", "a": "fd"}
BOOT_LETTERS = {device: letter for letter, device in BOOT_DEVICES.items()}
SAME = {
    "Bootloader": "PV_Bootloader", "BootloaderArgs": "PV_Bootloader_Args", "Kernel": "PV_Kernel",
    "Ramdisk": "PV_Ramdisk", "CommandLine": "PV_Args",
}  # fmt: skip
CLOCK, LOCAL_TIME = "ClockOffset", "localtime"  # and the key of VM.platform: 0 UTC, 1 the host's local time
FEATURES = {"EnableACPI": "acpi", "EnableAPIC": "apic", "EnablePAE": "pae"}
TRUE = ("1", "true")

# AutomaticRecoveryAction is what happens after a crash, AutomaticShutdownAction after the guest has switched itself
# off; 0 says nothing.
PRESERVE = 123
CRASH_ACTIONS = {2: "destroy", 3: "restart", PRESERVE: "preserve"}
TURN_OFF, UNSAID = 2, 0


def full_virt(vm: Subject) -> bool:
    return "HVM" in str(VirtualSystemSettingData.rules["VirtualSystemType"].read(vm))


def boot_devices(vm: Subject) -> tuple[str, ...]:
    order = vm["HVM_boot_params"].get("order", "")
    return tuple(BOOT_DEVICES[letter] for letter in order if letter in BOOT_DEVICES)


def boot_device(vm: Subject) -> str | None:
    return next(iter(boot_devices(vm)), None)


def shutdown_action(vm: Subject) -> int | None:
    return TURN_OFF if vm["actions_after_shutdown"] == "destroy" else None


def feature(word: str) -> Rule:
    """A key of VM.platform; NULL if it says nothing of it."""

    def read(vm: Subject) -> bool | None:
        found = vm["platform"].get(word)
        return None if found is None else found in TRUE

    return computed(read)


def clock_offset(vm: Subject) -> int:
    """UTC where nothing is said of it."""
    return int(vm["platform"].get(LOCAL_TIME) in TRUE)


LINES: Mapping[str, Rule] = {
    CLOCK: computed(clock_offset),
    "UUID": field("uuid"), "IsFullVirt": computed(full_virt),
    "Bootloader": field("PV_bootloader"), "BootloaderArgs": field("PV_bootloader_args"), "Kernel": field("PV_kernel"),
    "Ramdisk": field("PV_ramdisk"), "CommandLine": field("PV_args"),
    "BootDevices": computed(boot_devices), "BootDevice": computed(boot_device),
    **{name: feature(word) for name, word in FEATURES.items()},
    "AutomaticRecoveryAction": field("actions_after_crash").table({**RECOVERY_ACTIONS, "preserve": PRESERVE}),
    "AutomaticShutdownAction": computed(shutdown_action),
}  # fmt: skip


def translate(left: Values, now: Mapping[str, Any]) -> Values:
    """The settings of a machine in the words of the profiles (compat/inputs.Translate). CimError FAILED for a boot
    device there is not, and for what cannot happen when the guest switches itself off."""
    values = dict(left)
    name = values.pop("VirtualSystemIdentifier", None)
    if name:
        values.setdefault("ElementName", name)
    full = values.pop("IsFullVirt", None)
    if values.get("VirtualSystemType") == "Xen":
        del values["VirtualSystemType"]
    if full is not None:
        values["VirtualSystemType"] = "DMTF:Xen:HVM" if full else "DMTF:Xen:PV"
    for theirs, ours in SAME.items():
        if theirs in values:
            values[ours] = values.pop(theirs)
    _boot(values, now)
    _features(values, now)
    if values.get("AutomaticRecoveryAction") in CRASH_ACTIONS:
        values.setdefault("ActionsAfterCrash", CRASH_ACTIONS[values.pop("AutomaticRecoveryAction")])
    shutdown = values.pop("AutomaticShutdownAction", UNSAID)
    if shutdown not in (TURN_OFF, UNSAID, None):
        raise CimError(FAILED, f"AutomaticShutdownAction {shutdown} is not supported")
    if shutdown == TURN_OFF:
        values.setdefault("ActionsAfterShutdown", "destroy")
    if not now:
        values.pop("UUID", None)  # the pool gives it
    return values


def _boot(values: Values, now: Mapping[str, Any]) -> None:
    """BootDevices says more than BootDevice, so that counts if both are changed."""
    one = values.pop("BootDevice", None)
    devices = values.pop("BootDevices", None if one is None else (one,))
    if devices is None:
        return
    unknown = [each for each in devices if each not in BOOT_LETTERS]
    if unknown:
        raise CimError(FAILED, f"Unknown boot device {unknown[0]}")
    order = "".join(BOOT_LETTERS[each] for each in devices)
    values["HVM_Boot_Params"] = _text({**_lines("HVM_Boot_Params", values, now), "order": order})
    if not now and "PV" not in str(values.get("VirtualSystemType")):
        values.setdefault("HVM_Boot_Policy", "BIOS order")


def _features(values: Values, now: Mapping[str, Any]) -> None:
    """Features, and what the clock shows, are keys of Platform. CimError FAILED for a clock there is not."""
    asked = {word: bool(values.pop(name)) for name, word in FEATURES.items() if name in values}
    offset = values.pop(CLOCK, None)
    if offset not in (None, 0, 1):
        raise CimError(FAILED, f"No such clock offset: {offset}")
    if offset is not None:
        asked[LOCAL_TIME] = bool(offset)
    known = _lines("Platform", values, now)
    new = {word: on for word, on in asked.items() if word not in known or (known[word] in TRUE) != on}
    if new:
        values["Platform"] = _text({**known, **{word: "true" if on else "false" for word, on in new.items()}})


def _lines(name: str, values: Values, now: Mapping[str, Any]) -> dict[str, str]:
    """A property of lines key=value, as the client gives it, or as it is now."""
    return dict(line.partition("=")[::2] for line in values.get(name, now.get(name)) or ())


def _text(lines: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(f"{key}={value}" for key, value in lines.items())
