"""The Xen-API calls that add a screen, a TPM, a USB device or a virtual GPU to a machine, and remove it (DSP1059).

Rule 1: as in define_system.py: each call leaves the call that takes it back. The state of a TPM cannot come back, so
        its removal comes last.
Rule 2: which of these a pool can make is its own answer: the job ends with what the Xen-API says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cim_provider.jobs import Work
from cim_provider.mapping.refusal import Kind, RefusedError, invalid
from cim_provider.methods.resource_input import Device
from cim_provider.methods.setting_terms import NULL_REF
from xenapi_core.bridge.source import Source

if TYPE_CHECKING:
    from xenapi_core.store.api import Version

SCREEN, TPM, USB, GPU = "console", "VTPM", "VUSB", "VGPU"

# Class of the device -> the view that shows its settings, and the VM's list of them.
SHOWN_AS = {
    SCREEN: "Xen_DisplaySettingData",
    TPM: "Xen_TPMSettingData",
    USB: "Xen_USBSettingData",
    GPU: "Xen_VirtualGPUSettingData",
}
LISTS = {SCREEN: "consoles", TPM: "VTPMs", USB: "VUSBs", GPU: "VGPUs"}
# What can be taken from a machine that keeps it in its definition.
UNPLUGGED = {USB}


def check(asked: Device) -> None:
    """RefusedError for a new device that lacks what it must have."""
    if asked.cls == USB and asked.group is None:
        raise invalid("a USB device needs a HostResource: the group to take it from")
    if asked.cls == GPU and asked.group is None:
        raise invalid("a virtual GPU needs a HostResource: the group to take it from")


async def add(work: Work, vm: str, asked: Device) -> str:
    """The reference of the new device."""
    if asked.cls == SCREEN:
        record = {"VM": vm, "protocol": asked.protocol or "rfb", "location": "", "other_config": {}}
        device: str = await work.call("console.create", record)
    elif asked.cls == TPM:
        device = await work.run("VTPM.create", vm, False)
    elif asked.cls == USB:
        device = await work.run("VUSB.create", vm, asked.group, {})
    else:
        place, kind = asked.position or "0", asked.type or NULL_REF
        device = await work.run("VGPU.create", vm, asked.group, place, {}, kind)
    await work.undo(f"{asked.cls}.destroy", device)
    return device


async def remove(work: Work, device: Version, destroy: bool) -> None:
    """Take a device from a machine; out of its definition too if `destroy`. RefusedError: rule of UNPLUGGED."""
    if device.cls in UNPLUGGED and device.values["currently_attached"]:
        await work.run(f"{device.cls}.unplug", device.ref)
    if not destroy:
        return
    call = work.call if device.cls == SCREEN else work.run
    await call(f"{device.cls}.destroy", device.ref)
    again = _recreation_arguments(device)
    if again is not None:
        await work.undo(f"{device.cls}.create", *again)


def check_removal(device: Version, destroy: bool) -> None:
    """RefusedError NOT_SUPPORTED for what a running machine cannot lose."""
    if not destroy and device.cls not in UNPLUGGED:
        raise RefusedError(Kind.NOT_SUPPORTED, "that is never unplugged; remove it from the definition")


def _recreation_arguments(device: Version) -> tuple[Any, ...] | None:
    """The arguments of the call that makes a removed device again; None if nothing does."""
    values = device.values
    if device.cls == SCREEN:
        return ({"VM": values["VM"], "protocol": values["protocol"], "location": "", "other_config": {}},)
    if device.cls == USB:
        return values["VM"], values["USB_group"], values["other_config"]
    if device.cls == GPU:
        return values["VM"], values["GPU_group"], values["device"], values["other_config"], values["type"]
    return None


def counterpart(source: Source, vm: str, original: Version) -> Version | None:
    """The device of a clone that stands for the original's; None if the clone has none, as consoles are not copied."""
    alike = {SCREEN: "protocol", USB: "USB_group", GPU: "device"}.get(original.cls)
    for device in map(source.find, source.related(vm, LISTS[original.cls])):
        if device is not None and (alike is None or device.values[alike] == original.values[alike]):
            return device
    return None


def like(original: Version) -> Device:
    """What makes a device like another one."""
    values = original.values
    if original.cls == SCREEN:
        return Device(SCREEN, protocol=values["protocol"])
    if original.cls == USB:
        return Device(USB, group=values["USB_group"])
    if original.cls == GPU:
        return Device(GPU, group=values["GPU_group"], type=values["type"], position=values["device"])
    return Device(TPM)
