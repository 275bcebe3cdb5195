"""DSP1057 Virtual System: the configuration of a machine, and how machine, devices and settings belong together."""

from __future__ import annotations

from cim_provider.mapping.association import Association, Pointing, SameRecord
from cim_provider.mapping.rule import CimDateTime, computed, const, field, interval, moment, via, xen_id
from cim_provider.mapping.subject import Subject
from cim_provider.mapping.view import View
from cim_provider.profiles.computer_system import ComputerSystem, is_guest
from cim_provider.profiles.ethernet import NetworkPort, NetworkPortSettingData
from cim_provider.profiles.memory import Memory, MemorySettingData
from cim_provider.profiles.processor import Processor, ProcessorSettingData
from cim_provider.profiles.storage import CDROMDrive, DiskSettingData, LogicalDisk

SYSTEM_TYPES = {
    "hvm": "DMTF:Xen:HVM",
    "pv": "DMTF:Xen:PV",
    "pv_in_pvh": "DMTF:Xen:PV",
    "pvh": "DMTF:Xen:PVH",
}

# actions_after_crash -> AutomaticRecoveryAction: 2 None, 3 Restart.
RECOVERY_ACTIONS = {
    "destroy": 2,
    "coredump_and_destroy": 2,
    "preserve": 2,
    "restart": 3,
    "coredump_and_restart": 3,
    "rename_restart": 3,
}


def virtual_system_type(vm: Subject) -> str:
    """From the domain type; where that is not said, a boot policy makes it an HVM guest."""
    return SYSTEM_TYPES.get(vm["domain_type"]) or SYSTEM_TYPES["hvm" if vm["HVM_boot_policy"] else "pv"]


def automatic_startup_action(vm: Subject) -> int:
    """2 None, 3 Restart if it was active before, 4 Always startup."""
    if vm["other_config"].get("auto_poweron") == "true":
        return 4
    return 3 if vm["ha_restart_priority"] == "restart" else 2


def automatic_startup_action_delay(vm: Subject) -> CimDateTime:
    return interval(vm["start_delay"])


def automatic_startup_sequence_number(vm: Subject) -> int | None:
    return vm["order"] if 0 <= vm["order"] <= 65535 else None


def _pairs(values: dict[str, str]) -> tuple[str, ...]:
    return tuple(f"{key}={value}" for key, value in values.items())


def hvm_boot_params(vm: Subject) -> tuple[str, ...]:
    return _pairs(vm["HVM_boot_params"])


def platform(vm: Subject) -> tuple[str, ...]:
    return _pairs(vm["platform"])


class VirtualSystemSettingData(View, cim="Xen_VirtualSystemSettingData", of="VM", where=is_guest):
    """The configuration of a machine: at once the one it runs with and the one it will start with."""

    InstanceID = xen_id(field("uuid"))
    ElementName = field("name_label")
    Caption = const("Virtual machine configuration")
    Description = field("name_description")
    VirtualSystemIdentifier = field("uuid")
    VirtualSystemType = computed(virtual_system_type)
    CreationTime = via("metrics", moment("install_time"))
    Notes = field("tags")
    SuspendDataRoot = via("suspend_VDI", field("uuid"))
    AutomaticStartupAction = computed(automatic_startup_action)
    AutomaticStartupActionDelay = computed(automatic_startup_action_delay)
    AutomaticStartupActionSequenceNumber = computed(automatic_startup_sequence_number)
    AutomaticRecoveryAction = field("actions_after_crash").table(RECOVERY_ACTIONS)
    ActionsAfterShutdown = field("actions_after_shutdown")
    ActionsAfterReboot = field("actions_after_reboot")
    ActionsAfterCrash = field("actions_after_crash")
    HVM_Boot_Policy = field("HVM_boot_policy")
    HVM_Boot_Params = computed(hvm_boot_params)
    PV_Bootloader = field("PV_bootloader")
    PV_Bootloader_Args = field("PV_bootloader_args")
    PV_Kernel = field("PV_kernel")
    PV_Ramdisk = field("PV_ramdisk")
    PV_Args = field("PV_args")
    Platform = computed(platform)


class SystemDevice(Association, cim="Xen_SystemDevice", left="GroupComponent", right="PartComponent"):
    """A machine has devices."""

    relations = (
        SameRecord(ComputerSystem, Processor),
        SameRecord(ComputerSystem, Memory),
        Pointing(ComputerSystem, LogicalDisk, "VBD.VM"),
        Pointing(ComputerSystem, CDROMDrive, "VBD.VM"),
        Pointing(ComputerSystem, NetworkPort, "VIF.VM"),
    )


class SettingsDefineState(Association, cim="Xen_SettingsDefineState", left="ManagedElement", right="SettingData"):
    """Settings define the state of a machine and of each device."""

    relations = (
        SameRecord(ComputerSystem, VirtualSystemSettingData),
        SameRecord(Processor, ProcessorSettingData),
        SameRecord(Memory, MemorySettingData),
        SameRecord(LogicalDisk, DiskSettingData),
        SameRecord(CDROMDrive, DiskSettingData),
        SameRecord(NetworkPort, NetworkPortSettingData),
    )


class SettingDataComponent(
    Association, cim="Xen_VirtualSystemSettingDataComponent", left="GroupComponent", right="PartComponent"
):
    """The configuration of a machine contains the settings of its resources."""

    relations = (
        SameRecord(VirtualSystemSettingData, ProcessorSettingData),
        SameRecord(VirtualSystemSettingData, MemorySettingData),
        Pointing(VirtualSystemSettingData, DiskSettingData, "VBD.VM"),
        Pointing(VirtualSystemSettingData, NetworkPortSettingData, "VIF.VM"),
    )


class ElementSettingData(Association, cim="Xen_ElementSettingData", left="ManagedElement", right="SettingData"):
    """The one configuration is the default, the current and the next one."""

    relations = (SameRecord(VirtualSystemSettingData, VirtualSystemSettingData),)
    properties = {"IsDefault": 1, "IsCurrent": 1, "IsNext": 1}
