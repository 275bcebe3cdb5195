"""DSP1057 Virtual System: the configuration of a machine, and the associations between machine, devices and
settings."""

from __future__ import annotations

from cim_provider.mapping.association import Association, Pointing, SameRecord, Where, same_item
from cim_provider.mapping.rule import CimDateTime, computed, field, interval, timestamp, via
from cim_provider.mapping.subject import Subject
from cim_provider.mapping.view import View
from cim_provider.methods.shutdown_action import automatic_shutdown_action
from cim_provider.profiles.computer_system import ComputerSystem
from cim_provider.profiles.configuration import (
    has_configuration,
    is_state,
    of_state,
    of_system,
    state_of_definition,
    system_setting_id,
)
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
    """From the domain type, in the State configuration that of the present domain; where that is not said, a boot
    policy makes it an HVM guest."""
    metrics = vm.follow("metrics") if is_state(vm) else None
    if metrics is not None and metrics["current_domain_type"] in SYSTEM_TYPES:
        return SYSTEM_TYPES[metrics["current_domain_type"]]
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


def caption(vm: Subject) -> str:
    if vm["is_a_snapshot"]:
        return "Snapshot"
    if vm["is_a_template"]:
        return "Template"
    return "Present configuration" if is_state(vm) else "Virtual machine configuration"


def creation_time(vm: Subject) -> CimDateTime | None:
    """When the snapshot was taken, or the machine installed."""
    metrics = vm.follow("metrics")
    if vm["is_a_snapshot"]:
        return timestamp(vm["snapshot_time"])
    return None if metrics is None else timestamp(metrics["install_time"])


def identifier(vm: Subject) -> str:
    """The uuid of the machine; of a snapshot that of the machine it was taken of, while there is one."""
    machine = vm.follow("snapshot_of") if vm["is_a_snapshot"] else None
    return str((machine or vm)["uuid"])


class VirtualSystemSettingData(
    View, cim="Xen_VirtualSystemSettingData", of="VM", where=has_configuration, items=of_system
):
    """The configuration of a machine, template or snapshot as a whole."""

    InstanceID = system_setting_id()
    ElementName = field("name_label")
    Caption = computed(caption)
    Description = field("name_description")
    VirtualSystemIdentifier = computed(identifier)
    VirtualSystemType = computed(virtual_system_type)
    CreationTime = computed(creation_time)
    Notes = field("tags")
    SuspendDataRoot = via("suspend_VDI", field("uuid"))
    AutomaticStartupAction = computed(automatic_startup_action)
    AutomaticStartupActionDelay = computed(automatic_startup_action_delay)
    AutomaticStartupActionSequenceNumber = computed(automatic_startup_sequence_number)
    AutomaticShutdownAction = computed(automatic_shutdown_action)
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
    """State settings define the state of a machine and of each device."""

    relations = (
        Where(SameRecord(ComputerSystem, VirtualSystemSettingData), of_state),
        Where(SameRecord(Processor, ProcessorSettingData), of_state),
        Where(SameRecord(Memory, MemorySettingData), of_state),
        Where(SameRecord(LogicalDisk, DiskSettingData), of_state),
        Where(SameRecord(CDROMDrive, DiskSettingData), of_state),
        Where(SameRecord(NetworkPort, NetworkPortSettingData), of_state),
    )


class SettingDataComponent(
    Association, cim="Xen_VirtualSystemSettingDataComponent", left="GroupComponent", right="PartComponent"
):
    """A configuration contains the settings of its resources."""

    relations = (
        Where(SameRecord(VirtualSystemSettingData, ProcessorSettingData), same_item),
        Where(SameRecord(VirtualSystemSettingData, MemorySettingData), same_item),
        Where(Pointing(VirtualSystemSettingData, DiskSettingData, "VBD.VM"), same_item),
        Where(Pointing(VirtualSystemSettingData, NetworkPortSettingData, "VIF.VM"), same_item),
    )


class ElementSettingData(Association, cim="Xen_ElementSettingData", left="ManagedElement", right="SettingData"):
    """From State settings to the Defined ones, which are the default and what the next start makes current."""

    relations = (
        Where(SameRecord(VirtualSystemSettingData, VirtualSystemSettingData), state_of_definition),
        Where(SameRecord(ProcessorSettingData, ProcessorSettingData), state_of_definition),
        Where(SameRecord(MemorySettingData, MemorySettingData), state_of_definition),
        Where(SameRecord(DiskSettingData, DiskSettingData), state_of_definition),
        Where(SameRecord(NetworkPortSettingData, NetworkPortSettingData), state_of_definition),
    )
    properties = {"IsDefault": 1, "IsCurrent": 2, "IsNext": 1}
