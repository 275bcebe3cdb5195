"""DSP1059 Generic Device Resource Virtualization: screens, TPMs, USB devices and virtual graphics processors."""

from __future__ import annotations

from cim_provider.mapping.association import Owned, Pointing, SameRecord, Where, same_item
from cim_provider.mapping.rule import computed, const, field, via
from cim_provider.mapping.subject import Subject
from cim_provider.mapping.view import View
from cim_provider.profiles.computer_system import ComputerSystem
from cim_provider.profiles.configuration import (
    PRIMORDIAL,
    device_setting_id,
    is_plugged,
    is_present,
    of_plugged,
    of_present,
    of_state,
    part_of_configuration,
    state_of_definition,
)
from cim_provider.profiles.device import VirtualDevice, enabled_with_machine, working_with_machine
from cim_provider.profiles.resource_allocation import ElementAllocatedFromPool, ResourceAllocationFromPool, always
from cim_provider.profiles.resource_pool import DISPLAY, GPU, TPM, USB, PrimordialPool
from cim_provider.profiles.virtual_system import (
    ElementSettingData,
    SettingDataComponent,
    SettingsDefineState,
    SystemDevice,
    VirtualSystemSettingData,
)

# Protocols of a console that is a screen.
GRAPHICAL = ("rfb", "rdp")


def enabled_state(device: Subject) -> int | None:
    vm = device.follow("VM")
    return None if vm is None else enabled_with_machine(vm)


def operational_status(device: Subject) -> tuple[int, ...]:
    vm = device.follow("VM")
    return (10,) if vm is None else working_with_machine(vm)


class PresentDevice(VirtualDevice):
    """The lines shared by devices that are never unplugged: enabled with their machine."""

    EnabledState = computed(enabled_state)
    OperationalStatus = computed(operational_status)


class GenericSetting(View):
    """The lines shared by settings of devices of which a machine has them or not."""

    InstanceID = device_setting_id()
    PoolID = const(PRIMORDIAL)
    AllocationUnits = const("count")
    VirtualQuantity = const(1)
    VirtualQuantityUnits = const("count")
    ConsumerVisibility = const(3)


def is_screen(console: Subject) -> bool:
    return console["protocol"] in GRAPHICAL and is_present(console)


def is_screen_setting(console: Subject) -> bool:
    return console["protocol"] in GRAPHICAL and part_of_configuration(console)


class DisplayController(PresentDevice, cim="Xen_DisplayController", of="console", where=is_screen):
    """The screen that a graphical console shows."""

    ElementName = const("Display")


class DisplaySettingData(
    GenericSetting, cim="Xen_DisplaySettingData", of="console", where=is_screen_setting, items=of_present
):
    """A screen as a part of the machine's configuration."""

    ElementName = const("Display")
    ResourceType = const(24)
    ResourceSubType = field("protocol")


class TrustedPlatformModule(PresentDevice, cim="Xen_TPM", of="VTPM", where=is_present):
    """A virtual TPM."""

    ElementName = const("TPM")


class TPMSettingData(
    GenericSetting, cim="Xen_TPMSettingData", of="VTPM", where=part_of_configuration, items=of_present
):
    """A virtual TPM as a part of the machine's configuration."""

    ElementName = const("TPM")
    ResourceType = const(1)
    OtherResourceType = const("TPM")


class USBDevice(VirtualDevice, cim="Xen_USBDevice", of="VUSB", where=is_plugged):
    """A USB device of the host that is passed to the machine."""

    ElementName = const("USB device")


class USBSettingData(
    GenericSetting, cim="Xen_USBSettingData", of="VUSB", where=part_of_configuration, items=of_plugged
):
    """A USB device as a part of the machine's configuration."""

    ElementName = const("USB device")
    ResourceType = const(23)
    ConsumerVisibility = const(2)


def gpu_model(vgpu: Subject) -> str:
    kind = vgpu.follow("type")
    return "Virtual GPU" if kind is None else str(kind["model_name"] or "Virtual GPU")


class VirtualGPU(VirtualDevice, cim="Xen_VirtualGPU", of="VGPU", where=is_plugged):
    """A virtual graphics processor."""

    ElementName = computed(gpu_model)


class VirtualGPUSettingData(
    GenericSetting, cim="Xen_VirtualGPUSettingData", of="VGPU", where=part_of_configuration, items=of_plugged
):
    """A virtual graphics processor as a part of the machine's configuration."""

    ElementName = computed(gpu_model)
    ResourceType = const(24)
    ResourceSubType = via("type", field("model_name"))
    AddressOnParent = field("device")


KINDS = (
    (DISPLAY, "console.VM", DisplayController, DisplaySettingData),
    (TPM, "VTPM.VM", TrustedPlatformModule, TPMSettingData),
    (USB, "VUSB.VM", USBDevice, USBSettingData),
    (GPU, "VGPU.VM", VirtualGPU, VirtualGPUSettingData),
)

for kind, machine, device, setting in KINDS:
    SystemDevice.also(Pointing(ComputerSystem, device, machine))
    SettingsDefineState.also(Where(SameRecord(device, setting), of_state))
    SettingDataComponent.also(Where(Pointing(VirtualSystemSettingData, setting, machine), same_item))
    ElementSettingData.also(Where(SameRecord(setting, setting), state_of_definition))
    ElementAllocatedFromPool.also(Owned(PrimordialPool, device, always(kind)))
    ResourceAllocationFromPool.also(Owned(PrimordialPool, setting, always(kind)))
