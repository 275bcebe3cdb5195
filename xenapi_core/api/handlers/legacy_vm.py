"""VM and its devices for API 1.0 clients: operations and settings that later versions replaced.

Rule 1: an operation is done by the later message, called in the caller's name, so that its rules and roles hold here.
Rule 2: a setting of a device counts from the VM's next start: it can be changed while the VM is Halted, and does not
        start either.
"""

from __future__ import annotations

from typing import Any

from xenapi_core.api.registry import CallContext, handles
from xenapi_core.engine.specs import device_position
from xenapi_core.engine.steps.network_rules import check_mac
from xenapi_core.errors import ApiError, E
from xenapi_core.ids import is_null
from xenapi_core.model.power import HALTED, PAUSED, RUNNING, SUSPENDED, other_operation
from xenapi_core.store.api import Version

POSITIONS = {"VBD": 255, "VIF": 7}  # as many as VBD.create and VIF.create give out
SAVED_AS = "saved_as"  # key of VM.other_config: the file name that a client of API 1.0 gave its saved memory
SMALLEST_MTU, LARGEST_MTU = 68, 65535  # RFC 791; the Ethernet driver's limit


async def _later(call: CallContext, wire_name: str, *args: Any) -> Any:
    """The value of a message that has a plan."""
    value = call.services.invoke(call.caller, wire_name, args)
    return await value


# Power


@handles("VM.set_pauseflag")
async def set_pauseflag(call: CallContext, ref: str, value: bool) -> None:
    """Leave the VM Paused, or not; xm says so after VM.pause and VM.unpause, and then it is true already.

    VM_BAD_POWER_STATE for a VM that is neither Running nor Paused.
    """
    state = call.get(ref, "VM")["power_state"]
    if state != (PAUSED if value else RUNNING):
        await _later(call, "VM.pause" if value else "VM.unpause", ref)


@handles("VM.migrate")
async def migrate(call: CallContext, ref: str, dest: str, live: bool, options: dict[str, str]) -> None:
    """VM.pool_migrate to the host of that address or name. VALUE_NOT_SUPPORTED if the pool has no such host, or two.

    The VM keeps running with and without `live`, and `options` were about connections between hosts.
    """
    hosts = [
        host.ref for host in call.store.all("host").values()
        if dest and dest in (host["address"], host["hostname"], host["name_label"], host["uuid"], host.ref)
    ]  # fmt: skip
    if len(hosts) != 1:
        raise E.VALUE_NOT_SUPPORTED("dest", dest, "not one host of this pool has that address or name")
    await _later(call, "VM.pool_migrate", ref, hosts[0], {"live": "true" if live else "false"})


@handles("VM.save")
async def save(call: CallContext, ref: str, dest: str, checkpoint: bool) -> None:
    """Suspend the VM under the name `dest`, by which VM.restore finds it; its memory goes to a VDI and to no file.

    `checkpoint`: a checkpoint of that name instead, and the VM runs on. INVALID_VALUE for an empty name or one in use.
    """
    if not dest or _saved_as(call, dest) is not None:
        raise E.INVALID_VALUE("dest", dest)
    if checkpoint:
        saved = await _later(call, "VM.checkpoint", ref, dest)
    else:
        await _later(call, "VM.suspend", ref)
        saved = ref
    call.update(saved, other_config={**call.get(saved, "VM")["other_config"], SAVED_AS: dest})


@handles("VM.restore")
async def restore(call: CallContext, src: str, paused: bool) -> None:
    """Resume the VM that was saved under that name; a checkpoint is gone back to first, and stays.

    INVALID_VALUE for a name under which nothing is saved.
    """
    saved = _saved_as(call, src)
    if saved is None:
        raise E.INVALID_VALUE("src", src)
    vm = saved.ref
    if saved["is_a_snapshot"]:
        vm = saved["snapshot_of"]
        await _later(call, "VM.revert", saved.ref)
    await _later(call, "VM.resume", vm, paused, False)
    kept = {key: value for key, value in call.get(vm, "VM")["other_config"].items() if key != SAVED_AS}
    call.update(vm, other_config=kept)


def _saved_as(call: CallContext, name: str) -> Version | None:
    """The Suspended VM, or the checkpoint, that was saved under that name."""
    for vm in call.store.all("VM").values():
        if vm["other_config"].get(SAVED_AS) == name and vm["power_state"] == SUSPENDED:
            return vm
    return None


# Memory


@handles("VM.set_memory_dynamic_max_live")
async def set_memory_dynamic_max_live(call: CallContext, ref: str, value: int) -> None:
    """Move the upper end; the lower one gives way, because xm mem-set moves the upper one first.

    VM_BAD_POWER_STATE unless Running; MEMORY_CONSTRAINT_VIOLATION outside the static range.
    """
    low = _running(call, ref)["memory_dynamic_min"]
    await _later(call, "VM.set_memory_dynamic_range", ref, min(low, value), value)


@handles("VM.set_memory_dynamic_min_live")
async def set_memory_dynamic_min_live(call: CallContext, ref: str, value: int) -> None:
    """Move the lower end; the upper one gives way. See set_memory_dynamic_max_live."""
    high = _running(call, ref)["memory_dynamic_max"]
    await _later(call, "VM.set_memory_dynamic_range", ref, value, max(high, value))


def _running(call: CallContext, ref: str) -> Version:
    vm = call.get(ref, "VM")
    if vm["power_state"] != RUNNING:
        raise E.VM_BAD_POWER_STATE(ref, RUNNING.lower(), vm["power_state"].lower())
    return vm


# What the guest says


@handles("VM.get_tools_version")
def get_tools_version(call: CallContext, ref: str) -> dict[str, str]:
    """Versions of the drivers the guest has reported; nothing while there is no report."""
    guest = call.store.find(call.get(ref, "VM")["guest_metrics"])
    return {} if guest is None else dict(guest["PV_drivers_version"])


# Devices


@handles("VBD.media_change")
async def media_change(call: CallContext, ref: str, vdi: str) -> None:
    """Put another medium into a drive, or take it out (null). What VBD.eject and VBD.insert raise.

    If the new medium is refused, the old one goes back.
    """
    old = call.get(ref, "VBD")
    if not old["empty"]:
        await _later(call, "VBD.eject", ref)
    if is_null(vdi):
        return
    try:
        await _later(call, "VBD.insert", ref, vdi)
    except ApiError:
        if not old["empty"]:
            await _later(call, "VBD.insert", ref, old["VDI"])
        raise


@handles("VBD.set_device")
def set_vbd_device(call: CallContext, ref: str, value: str) -> None:
    """Move the disk to another position. VM_BAD_POWER_STATE, INVALID_DEVICE, DEVICE_ALREADY_EXISTS."""
    vbd = _of_halted_vm(call, ref)
    _check_position(call, vbd, "VBDs", "userdevice", value)
    call.update(ref, userdevice=value)


@handles("VIF.set_device")
def set_vif_device(call: CallContext, ref: str, value: str) -> None:
    """Move the interface to another position: "1" or "eth1". VM_BAD_POWER_STATE, INVALID_DEVICE,
    DEVICE_ALREADY_EXISTS."""
    vif = _of_halted_vm(call, ref)
    number = value.removeprefix("eth")
    if not (number.isascii() and number.isdigit()):
        raise E.INVALID_DEVICE(value)
    _check_position(call, vif, "VIFs", "device", number)
    call.update(ref, device=str(int(number)))


@handles("VIF.set_MAC")
def set_mac(call: CallContext, ref: str, value: str) -> None:
    """VM_BAD_POWER_STATE, MAC_INVALID."""
    _of_halted_vm(call, ref)
    check_mac(value)
    call.update(ref, MAC=value, MAC_autogenerated=False)


@handles("VIF.set_MTU")
def set_mtu(call: CallContext, ref: str, value: int) -> None:
    """In bytes; 0 is that of the network. VM_BAD_POWER_STATE, INVALID_VALUE."""
    vif = _of_halted_vm(call, ref)
    mtu = value or call.get(vif["network"])["MTU"]
    if not SMALLEST_MTU <= mtu <= LARGEST_MTU:
        raise E.INVALID_VALUE("MTU", str(value))
    call.update(ref, MTU=mtu)


def _of_halted_vm(call: CallContext, ref: str) -> Version:
    device = call.get(ref)
    vm = call.get(device["VM"], "VM")
    if vm["power_state"] != HALTED:
        raise E.VM_BAD_POWER_STATE(vm.ref, HALTED.lower(), vm["power_state"].lower())
    if device["reserved"]:
        raise other_operation("VM", vm.ref, vm["current_operations"])
    return device


def _check_position(call: CallContext, device: Version, inverse: str, field: str, value: str) -> None:
    """INVALID_DEVICE; DEVICE_ALREADY_EXISTS if another device of the VM is there."""
    position = device_position(value)
    if position is None or position >= POSITIONS[device.cls]:
        raise E.INVALID_DEVICE(value)
    others = set(call.store.related(device["VM"], inverse)) - {device.ref}
    if position in {device_position(call.get(other)[field]) for other in others}:
        raise E.DEVICE_ALREADY_EXISTS(value)
