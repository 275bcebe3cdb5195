"""The Xen-API calls that define, change and destroy a machine according to its setting data (in XenServer's order).

Rule 1: each call that changes something leaves the call that takes it back (jobs.py, rule 3); what cannot be taken back
        comes last: growing a disk.
Rule 2: a machine that is being defined is destroyed as a whole when something fails, with the disks made for it.
Rule 3: disks made here carry "owner" in the other_config of their VBD, as XenServer's clients mark disks that go with
        their machine.
Rule 4: a machine that is gone does not come back, so its end is finished instead: its disks go too, whatever fails
        after it, and though the job is cancelled.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cim_provider.jobs import Work
from cim_provider.mapping.refusal import Kind, RefusedError, invalid
from cim_provider.methods import define_device
from cim_provider.methods.disk_input import Disk
from cim_provider.methods.nic_input import Nic
from cim_provider.methods.resource_input import Asked, Device, Memory, Processors, Resource
from cim_provider.methods.setting_terms import NULL_REF
from cim_provider.methods.system_input import System
from cim_provider.undo_log import undoes
from xenapi_core.bridge.source import Principal, Source

if TYPE_CHECKING:
    from xenapi_core.store.api import Version

OWNER = "owner"
DESTROY_MACHINE, BRING_BACK = "machine and its disks", "device as it was"
FINISH = "disk of a machine that is gone"

GIB = 1 << 30
RATE, RATE_KEY = "ratelimit", "kbps"

# What a machine is whose settings do not say; every field that VM.create wants.
# fmt: off
NEW_MACHINE: Mapping[str, Any] = {
    "name_label": "New virtual machine", "name_description": "", "user_version": 1, "is_a_template": False,
    "affinity": NULL_REF, "memory_static_max": GIB, "memory_dynamic_max": GIB, "memory_dynamic_min": GIB,
    "memory_static_min": GIB, "VCPUs_params": {}, "VCPUs_max": 1, "VCPUs_at_startup": 1,
    "actions_after_shutdown": "destroy", "actions_after_reboot": "restart", "actions_after_crash": "restart",
    "PV_bootloader": "", "PV_kernel": "", "PV_ramdisk": "", "PV_args": "", "PV_bootloader_args": "",
    "PV_legacy_args": "", "HVM_boot_policy": "BIOS order", "HVM_boot_params": {"order": "dc"}, "platform": {},
    "PCI_bus": "", "other_config": {}, "recommendations": "", "domain_type": "hvm",
}
NEW_DISK_SIZE = 8 * GIB
# The least that can be asked for, in bytes; allocation_capabilities.py tells of them.
LEAST_MEMORY, LEAST_DISK = 16 << 20, 1 << 20
# fmt: on


# The machine as a whole


def new_record(system: System, resources: Sequence[Asked]) -> dict[str, Any]:
    """The record for VM.create; processors and memory are part of it. RefusedError for values that contradict."""
    record: dict[str, Any] = {**NEW_MACHINE, **system.fields}
    if "domain_type" not in system.fields and "HVM_boot_policy" in system.fields:
        record["domain_type"] = "hvm" if record["HVM_boot_policy"] else "pv"
    if record["domain_type"] != "hvm":
        record["HVM_boot_policy"] = ""
        if "HVM_boot_params" not in system.fields:
            record["HVM_boot_params"] = {}
    record["other_config"] = {key: value for key, value in system.other_config.items() if value is not None}
    for asked in resources:
        if isinstance(asked.resource, Processors):
            record |= processor_fields(record, asked.resource, new=True)
        elif isinstance(asked.resource, Memory):
            record |= memory_fields(record, asked.resource, new=True)
    return record | affinity_field(resources)


def affinity_field(resources: Iterable[Asked]) -> dict[str, str]:
    """The host to prefer, if the pools of processors and memory name one. RefusedError if they name different ones."""
    hosts = {
        asked.resource.host
        for asked in resources
        if isinstance(asked.resource, Processors | Memory) and asked.resource.host is not None
    }
    if len(hosts) > 1:
        raise invalid("processors and memory are those of one host")
    return {"affinity": hosts.pop()} if hosts else {}


async def set_fields(work: Work, vm: Version, fields: Mapping[str, Any]) -> None:
    """VM.set_<field> for each that differs, each with its undo. HVM_boot_policy and domain_type set each other: the
    type is the stronger word and comes last."""
    for name in sorted(fields, key=lambda name: name == "domain_type"):
        if vm.values[name] != fields[name] or name == "domain_type":
            await work.call(f"VM.set_{name}", vm.ref, fields[name])
            await work.undo(f"VM.set_{name}", vm.ref, vm.values[name])


async def change_system(work: Work, vm: Version, system: System) -> None:
    """Set what the settings of the machine as a whole ask for."""
    await set_fields(work, vm, system.fields)
    for key, value in system.other_config.items():
        old = vm.values["other_config"].get(key)
        if old == value:
            continue
        if old is not None:
            await work.call("VM.remove_from_other_config", vm.ref, key)
            await work.undo("VM.add_to_other_config", vm.ref, key, old)
        if value is not None:
            await work.call("VM.add_to_other_config", vm.ref, key, value)
            await work.undo("VM.remove_from_other_config", vm.ref, key)


async def create_machine(work: Work, record: dict[str, Any]) -> str:
    """A new machine; the reference of it."""
    vm: str = await work.call("VM.create", {**record, "other_config": {**record["other_config"], **work.mark}})
    await work.undo(DESTROY_MACHINE, vm)
    await work.made(vm)
    return vm


async def clone_machine(work: Work, reference: Version, name: str) -> str:
    """A new machine like a machine, template or snapshot; the reference of it."""
    return await _made_like(work, "VM.clone", reference.ref, name)


async def copy_machine(work: Work, reference: Version, name: str, sr: str) -> str:
    """A new machine like a machine, template or snapshot, with full copies of the disks: in `sr`, or where the disks
    are if `sr` is the null reference. Returns the reference of the machine."""
    return await _made_like(work, "VM.copy", reference.ref, name, sr)


async def _made_like(work: Work, message: str, *arguments: str) -> str:
    vm = await work.run(message, *arguments)
    await work.undo(DESTROY_MACHINE, vm)
    await work.made(vm)
    copy = work.source.find(vm)
    if copy is not None and copy.values["is_a_template"]:
        await work.run("VM.provision", vm)
    return vm


def own_disks(source: Source, vm: str) -> list[str]:
    """The disks that go with a machine: marked so, used by nobody else, and neither shared nor read-only."""
    found = []
    for vbd in map(source.find, source.related(vm, "VBDs")):
        vdi = source.find(vbd.values["VDI"]) if vbd is not None else None
        if vbd is None or vdi is None or vbd.values["type"] != "Disk" or OWNER not in vbd.values["other_config"]:
            continue
        users = {user.values["VM"] for user in map(source.find, source.related(vdi.ref, "VBDs")) if user is not None}
        if users == {vm} and not vdi.values["sharable"] and not vdi.values["read_only"]:
            found.append(vdi.ref)
    return list(dict.fromkeys(found))


@undoes(DESTROY_MACHINE)
async def destroy_machine(source: Source, principal: Principal, vm: str) -> None:
    """Remove a halted machine and the disks that go with it. Nothing happens if it is gone."""
    if source.find(vm) is None:
        return
    disks = own_disks(source, vm)
    await source.call(principal, "VM.destroy", vm)
    for disk in disks:
        await source.call(principal, "VDI.destroy", disk)


async def destroy_with_disks(work: Work, vm: str, disks: Sequence[str]) -> None:
    """Remove a halted machine, or a snapshot, and these disks (rule 4)."""
    for disk in disks:
        await work.undo(FINISH, vm, disk)
    await work.run("VM.destroy", vm)
    for disk in disks:
        await work.run("VDI.destroy", disk)


@undoes(FINISH)
async def _finish(source: Source, principal: Principal, vm: str, disk: str) -> None:
    """Nothing happens while the machine is there, or if the disk is gone, too."""
    if source.find(vm) is None and source.find(disk) is not None:
        await source.call(principal, "VDI.destroy", disk)


# Processors and memory


def processor_fields(vm: Mapping[str, Any], asked: Processors, new: bool) -> dict[str, Any]:
    """The fields of the VM record that settings of its processors ask for. Without a number to start with, a new
    machine starts with all of them, and a present one with as many as before if there are so many."""
    fields: dict[str, Any] = {}
    most = asked.most if asked.most is not None else vm["VCPUs_max"]
    start = asked.at_startup
    if start is None:
        start = most if new else min(vm["VCPUs_at_startup"], most)
    if not 1 <= start <= most:
        raise invalid(f"{start} of at most {most} processors")
    if asked.most is not None or asked.at_startup is not None:
        fields = {"VCPUs_max": most, "VCPUs_at_startup": start}
    params = dict(vm["VCPUs_params"])
    for key, value in (("weight", asked.weight), ("cap", asked.cap)):
        if value is not None:
            params[key] = str(value)
    if params != vm["VCPUs_params"]:
        fields["VCPUs_params"] = params
    return fields


MEMORY_FIELDS = ("memory_static_min", "memory_static_max", "memory_dynamic_min", "memory_dynamic_max")


def memory_fields(vm: Mapping[str, Any], asked: Memory, new: bool) -> dict[str, int]:
    """The four limits. A limit without a request stays, as far as the others let it; a fixed amount stays fixed."""
    before = {name: vm[name] for name in MEMORY_FIELDS}
    top = asked.static_max if asked.static_max is not None else before["memory_static_max"]
    if asked.static_max is not None and top < LEAST_MEMORY:
        raise invalid(f"{top} bytes of memory")

    def kept(name: str, given: int | None) -> int:
        if given is not None:
            return given
        fixed = new or before[name] == before["memory_static_max"]
        return top if fixed else min(before[name], top)

    high = kept("memory_dynamic_max", asked.dynamic_max)
    low = min(kept("memory_dynamic_min", asked.dynamic_min), high if asked.dynamic_min is None else 1 << 63)
    least = asked.static_min if asked.static_min is not None else min(before["memory_static_min"], low)
    if not 0 <= least <= low <= high <= top:
        raise invalid(f"memory limits {least}, {low}, {high}, {top} contradict each other")
    return dict(zip(MEMORY_FIELDS, (least, top, low, high), strict=True))


def _check_host(vm: Version, host: str | None) -> None:
    """RefusedError for what a machine has now, if it shall come from a host that it is not on."""
    if host not in (None, NULL_REF, vm.values["resident_on"]):
        raise invalid("a machine comes to another host by migration")


def live_memory(vm: Version, asked: Memory) -> Memory:
    """What settings of the memory a machine has now ask for: an amount is one for both dynamic limits. RefusedError
    if they name other limits besides, or another host."""
    _check_host(vm, asked.host)
    amount = asked.static_max
    if amount is None:
        return replace(asked, host=None)
    if not {asked.dynamic_min, asked.dynamic_max, asked.static_min} <= {None, amount}:
        raise invalid("limits of memory that are not the amount of it")
    return Memory(dynamic_min=amount, dynamic_max=amount)


def check_processors(vm: Version, asked: Processors, live: bool) -> None:
    """RefusedError for a change that cannot be; `live` as for set_processors."""
    if not live:
        processor_fields(vm.values, asked, new=False)
        return
    _check_host(vm, asked.host)
    if asked.most is not None and asked.at_startup is not None:
        raise invalid("processors at startup are not those the machine has now")


def check_memory(vm: Version, asked: Memory, live: bool) -> None:
    """RefusedError for a change of memory that cannot be; `live` as for set_memory."""
    memory_fields(vm.values, live_memory(vm, asked) if live else asked, new=False)


async def set_processors(work: Work, vm: Version, asked: Processors, live: bool) -> None:
    """Change processors, as check_processors allows. `live`: those of the running machine, until it stops."""
    if asked.host is not None and not live:
        await set_fields(work, vm, {"affinity": asked.host})
    if live and asked.most is not None:
        now = work.source.find(vm.values["metrics"])
        await work.call("VM.set_VCPUs_number_live", vm.ref, asked.most)
        if now is not None:
            await work.undo("VM.set_VCPUs_number_live", vm.ref, now.values["VCPUs_number"])
        asked = Processors(weight=asked.weight, cap=asked.cap)
    fields = processor_fields(vm.values, asked, new=False)
    order = ["VCPUs_max", "VCPUs_at_startup", "VCPUs_params"]
    if fields.get("VCPUs_max", 0) < vm.values["VCPUs_max"]:
        order[:2] = ["VCPUs_at_startup", "VCPUs_max"]  # never more at startup than there can be
    for name in order:
        if name in fields and vm.values[name] != fields[name]:
            await work.call(f"VM.set_{name}", vm.ref, fields[name])
            await work.undo(f"VM.set_{name}", vm.ref, vm.values[name])


async def set_memory(work: Work, vm: Version, asked: Memory, live: bool) -> None:
    """Change memory limits; only the dynamic range while the machine runs. `live`: what the machine has now."""
    if live:
        asked = live_memory(vm, asked)
    if asked.host is not None:
        await set_fields(work, vm, {"affinity": asked.host})
    fields = memory_fields(vm.values, asked, new=False)
    if all(vm.values[name] == value for name, value in fields.items()):
        return
    names: tuple[str, ...] = MEMORY_FIELDS
    method = "VM.set_memory_limits"
    if all(vm.values[name] == fields[name] for name in ("memory_static_min", "memory_static_max")):
        names, method = ("memory_dynamic_min", "memory_dynamic_max"), "VM.set_memory_dynamic_range"
    await work.run(method, vm.ref, *(fields[name] for name in names))
    await work.undo(method, vm.ref, *(vm.values[name] for name in names))


# Devices


async def add_disk(work: Work, vm: str, asked: Disk, plug: bool) -> str:
    """Make a disk, or take the one that is named, and connect it; the reference of the VBD."""
    kind = asked.kind or "Disk"
    image, other = asked.image, {}
    if kind == "Disk" and not image:
        image = await _create_image(work, vm, asked)
        other = {} if asked.keep else {OWNER: ""}
    mode = asked.mode or ("RW" if kind == "Disk" else "RO")
    record = {
        "VM": vm, "VDI": image or NULL_REF, "userdevice": asked.position or "autodetect", "mode": mode, "type": kind,
        "bootable": bool(asked.bootable), "empty": not image, "unpluggable": True, "other_config": other,
        "qos_algorithm_type": "", "qos_algorithm_params": {},
    }  # fmt: skip
    vbd: str = await work.call("VBD.create", record)
    await work.undo("VBD.destroy", vbd)
    if plug:
        await work.run("VBD.plug", vbd)
        await work.undo("VBD.unplug", vbd)
    return vbd


async def _create_image(work: Work, vm: str, asked: Disk) -> str:
    record = {
        "name_label": asked.name or "Disk", "name_description": "", "SR": asked.sr or default_sr(work.source),
        "virtual_size": asked.size or NEW_DISK_SIZE, "type": "user", "sharable": False, "read_only": False,
        "other_config": work.mark, "xenstore_data": {}, "sm_config": {},
    }  # fmt: skip
    image = await work.run("VDI.create", record)
    await work.undo("VDI.destroy", image)
    return image


def default_sr(source: Source) -> str:
    """Where disks go that name no pool. RefusedError if the pool has no such place."""
    for pool in source.all("pool").values():
        if source.find(pool.values["default_SR"]) is not None:
            return str(pool.values["default_SR"])
    raise invalid("PoolID is missing, and the pool has no default storage")


async def add_nic(work: Work, vm: str, asked: Nic, plug: bool) -> str:
    """Connect the machine to a network; the reference of the VIF."""
    record = {
        "VM": vm, "network": asked.network, "device": asked.position or "autodetect", "MAC": asked.mac or "", "MTU": 0,
        "other_config": {}, **_rate(asked.rate or 0),
    }  # fmt: skip
    if asked.locked:
        record["locking_mode"] = "locked"
    vif: str = await work.call("VIF.create", record)
    await work.undo("VIF.destroy", vif)
    if plug:
        await work.run("VIF.plug", vif)
        await work.undo("VIF.unplug", vif)
    return vif


def _rate(kib: int) -> dict[str, Any]:
    if not kib:
        return {"qos_algorithm_type": "", "qos_algorithm_params": {}}
    return {"qos_algorithm_type": RATE, "qos_algorithm_params": {RATE_KEY: str(kib)}}


def check_new(source: Source, asked: Asked) -> None:
    """RefusedError for a new device that lacks what it must have."""
    resource = asked.resource
    if isinstance(resource, Disk):
        image = source.find(resource.image) if resource.image and resource.kind == "Disk" else None
        if image is not None:
            if resource.size not in (None, image.values["virtual_size"]):
                raise invalid("the disk that is named has another size")
            if resource.sr not in (None, image.values["SR"]):
                raise invalid("the disk that is named is in another pool")
        elif resource.kind == "Disk":
            if resource.size is not None and resource.size < LEAST_DISK:
                raise invalid(f"a disk of {resource.size} bytes")
            if resource.sr is None:
                default_sr(source)
        if resource.kind == "CD" and resource.mode == "RW":
            raise invalid("a CD drive is read-only")
    elif isinstance(resource, Device):
        define_device.check(resource)
    elif isinstance(resource, Nic) and resource.network is None:
        raise invalid("a new interface needs a Connection or PoolID")


async def add(work: Work, vm: Version, resource: Resource, plug: bool) -> str:
    """Add a resource to a machine; the reference of the record whose settings show it. Processors and memory add to
    what there is."""
    if isinstance(resource, Disk):
        return await add_disk(work, vm.ref, resource, plug)
    if isinstance(resource, Nic):
        return await add_nic(work, vm.ref, resource, plug)
    if isinstance(resource, Device):
        return await define_device.add(work, vm.ref, resource)
    if isinstance(resource, Processors):
        await set_processors(work, vm, more_processors(work.source, vm, resource, plug), plug)
    else:
        await set_memory(work, vm, more_memory(work.source, vm, resource, plug), plug)
    return vm.ref


def check_more(source: Source, vm: Version, asked: Resource, live: bool) -> None:
    """RefusedError for processors or memory that cannot be added."""
    if isinstance(asked, Processors):
        check_processors(vm, more_processors(source, vm, asked, live), live)
    elif isinstance(asked, Memory):
        check_memory(vm, more_memory(source, vm, asked, live), live)


def more_processors(source: Source, vm: Version, asked: Processors, live: bool) -> Processors:
    """The processors of the machine after `asked` has been added to them."""
    metrics = source.find(vm.values["metrics"])
    more = asked.most or 0
    if live and metrics is not None:
        return replace(asked, most=more + metrics.values["VCPUs_number"])
    start = vm.values["VCPUs_at_startup"] + (more if asked.at_startup is None else asked.at_startup)
    return replace(asked, most=vm.values["VCPUs_max"] + more, at_startup=start)


def more_memory(source: Source, vm: Version, asked: Memory, live: bool) -> Memory:
    """The memory of the machine after `asked` has been added to it."""
    metrics = source.find(vm.values["metrics"])
    now = metrics.values["memory_actual"] if live and metrics is not None else vm.values["memory_static_max"]

    def sum_of(name: str, given: int | None) -> int | None:
        return None if given is None else (now if live else vm.values[name]) + given

    return Memory(
        now + (asked.static_max or 0),
        sum_of("memory_dynamic_min", asked.dynamic_min),
        sum_of("memory_dynamic_max", asked.dynamic_max),
        sum_of("memory_static_min", asked.static_min),
        asked.host,
    )


async def change_disk(work: Work, vm: Version, vbd: Version, asked: Disk) -> None:
    """Change a disk or drive; growing comes last (rule 1)."""
    ref, now = vbd.ref, vbd.values
    for name, value in (("mode", asked.mode), ("bootable", asked.bootable), ("userdevice", asked.position)):
        if value is not None and value != now[name]:
            await work.call(f"VBD.set_{name}", ref, value)
            await work.undo(f"VBD.set_{name}", ref, now[name])
    if asked.image is not None and asked.image != ("" if now["empty"] else now["VDI"]):
        if not now["empty"]:
            await work.run("VBD.eject", ref)
            await work.undo("VBD.insert", ref, now["VDI"])
        if asked.image:
            await work.run("VBD.insert", ref, asked.image)
            await work.undo("VBD.eject", ref)


async def grow_disk(work: Work, vbd: Version, size: int) -> None:
    """Grow a disk. VDI_IN_USE while a running machine has it, unless it is that large already."""
    image = work.source.find(vbd.values["VDI"])
    if image is None or image.values["virtual_size"] != size:
        await work.run("VDI.resize", vbd.values["VDI"], size)


def check_disk_change(source: Source, vbd: Version, asked: Disk) -> None:
    """RefusedError for what cannot be changed about a disk that is there."""
    image = source.find(vbd.values["VDI"])
    if asked.kind != vbd.values["type"]:
        raise invalid("a disk cannot become a drive, nor a drive a disk")
    if asked.image is not None and asked.kind == "Disk":
        raise invalid("a disk cannot be exchanged: remove it and add the other")
    if asked.sr is not None:
        raise RefusedError(Kind.NOT_SUPPORTED, "a disk does not move to another pool by a change of its settings")
    if asked.size is not None and (asked.kind != "Disk" or image is None or asked.size < image.values["virtual_size"]):
        raise invalid("a disk can only grow")


async def change_nic(work: Work, vm: Version, vif: Version, asked: Nic) -> str:
    """Change an interface; the reference of it, which is a new one if its address or position changed."""
    ref, now = vif.ref, vif.values
    if asked.mac not in (None, now["MAC"].lower()) or asked.position not in (None, now["device"]):
        return await _replace_nic(work, vif, asked)
    if asked.network is not None and asked.network != now["network"]:
        await work.run("VIF.move", ref, asked.network)
        await work.undo("VIF.move", ref, now["network"])
    if asked.rate is not None:
        for name, value in _rate(asked.rate).items():
            await work.call(f"VIF.set_{name}", ref, value)
            await work.undo(f"VIF.set_{name}", ref, now[name])
    if asked.locked is not None:
        await work.call("VIF.set_locking_mode", ref, "locked" if asked.locked else "unlocked")
        await work.undo("VIF.set_locking_mode", ref, now["locking_mode"])
    return ref


# The fields of a VIF that make another one like it.
_VIF_FIELDS = (
    "VM", "network", "device", "MAC", "MTU", "other_config", "qos_algorithm_type", "qos_algorithm_params",
    "locking_mode", "ipv4_allowed", "ipv6_allowed",
)  # fmt: skip


async def _replace_nic(work: Work, vif: Version, asked: Nic) -> str:
    after = {name: vif.values[name] for name in _VIF_FIELDS}
    chosen = {"network": asked.network, "MAC": asked.mac, "device": asked.position}
    after |= {name: value for name, value in chosen.items() if value is not None}
    if asked.rate is not None:
        after |= _rate(asked.rate)
    if asked.locked is not None:
        after["locking_mode"] = "locked" if asked.locked else "unlocked"
    await remove_device(work, vif, destroy=True)
    new: str = await work.call("VIF.create", after)
    await work.undo("VIF.destroy", new)
    if vif.values["currently_attached"]:
        await work.run("VIF.plug", new)
        await work.undo("VIF.unplug", new)
    return new


async def remove_device(work: Work, device: Version, destroy: bool) -> None:
    """Detach a VBD or VIF from the running machine and, if it shall, remove it from the definition."""
    if device.values["currently_attached"]:
        await work.run(f"{device.cls}.unplug", device.ref)
    names = _VIF_FIELDS if device.cls == "VIF" else _VBD_FIELDS
    fields = {name: device.values[name] for name in names}
    await work.undo(BRING_BACK, device.ref, device.cls, fields, device.values["currently_attached"])
    if destroy:
        await work.call(f"{device.cls}.destroy", device.ref)


@undoes(BRING_BACK)
async def _bring_back(
    source: Source, principal: Principal, ref: str, cls: str, fields: Mapping[str, Any], plugged: bool
) -> None:
    """A removed VBD or VIF as it was, under another reference if its record is gone; plugged if it was."""
    if source.find(ref) is None:
        ref = await source.call(principal, f"{cls}.create", dict(fields))
    if plugged:
        await source.call(principal, f"{cls}.plug", ref)


_VBD_FIELDS = (
    "VM", "VDI", "userdevice", "bootable", "mode", "type", "unpluggable", "empty", "other_config",
    "qos_algorithm_type", "qos_algorithm_params",
)  # fmt: skip
