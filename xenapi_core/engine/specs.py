"""Builds the specs that drivers get (DomainSpec, DiskSpec, NicSpec) from records. Everything is named by uuid.

Rule 1: a driver is never shown a reference or a field it does not need.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from xenapi_core.drivers.api import SCHEDULING, DiskSpec, DomainSpec, NicSpec
from xenapi_core.ids import NULL_REF, is_null
from xenapi_core.model.schema import Reader

CPU_POOL_NAME = "cpu_pool_name"  # key of VM.other_config: the pool of processors to run on (VM.set_pool_name)
_NAMED = re.compile(r"(?:/dev/)?(?:xvd|hd|sd)([a-z]{1,2})\Z")


def device_position(userdevice: str) -> int | None:
    """The number of a disk position: "3", "xvdd" and "hdd" are all 3; None if it is none of these."""
    if userdevice.isascii() and userdevice.isdigit() and len(userdevice) <= 4:
        return int(userdevice)
    match = _NAMED.match(userdevice)
    if match is None:
        return None
    number = 0
    for letter in match[1]:
        number = number * 26 + ord(letter) - ord("a") + 1
    return number - 1


def device_name(userdevice: str) -> str:
    """What a guest calls the disk at that position: "0" is xvda."""
    position = device_position(userdevice)
    if position is None:
        return userdevice
    letters = ""
    while position >= 0:
        letters = chr(ord("a") + position % 26) + letters
        position = position // 26 - 1
    return f"xvd{letters}"


def domain_type(vm: Any) -> str:
    """ "hvm", "pv" or "pvh": what is declared, or what the boot fields mean when nothing is."""
    declared = vm["domain_type"]
    if declared == "unspecified":
        return "hvm" if vm["HVM_boot_policy"] else "pv"
    return "pvh" if declared == "pv_in_pvh" else str(declared)


def disk_spec(reader: Reader, vbd: Any) -> DiskSpec:
    """One VBD. An empty drive has no volume."""
    vdi = None if vbd["empty"] else reader.find(vbd["VDI"])
    position = device_position(vbd["userdevice"])
    return DiskSpec(
        uuid=vbd["uuid"],
        volume=vdi["uuid"] if vdi is not None else None,
        position=vbd["userdevice"] if position is None else str(position),
        kind=vbd["type"],
        read_only=vbd["mode"] == "RO",
        bootable=vbd["bootable"],
        shared=vdi is not None and vdi["sharable"],
    )


def nic_spec(reader: Reader, vif: Any) -> NicSpec:
    """One VIF."""
    network = reader.find(vif["network"])
    return NicSpec(
        uuid=vif["uuid"],
        network=network["uuid"] if network is not None else "",
        position=vif["device"],
        mac=vif["MAC"],
        mtu=vif["MTU"],
        addresses=nic_addresses(vif),
    )


def nic_addresses(vif: Any) -> tuple[str, ...]:
    """The static addresses the guest is to use on a VIF, in CIDR notation."""
    found: tuple[str, ...] = ()
    for family in ("ipv4", "ipv6"):
        if vif[f"{family}_configuration_mode"] == "Static":
            found += tuple(vif[f"{family}_addresses"])
    return found


def domain_spec(reader: Reader, vm: Any, host: str = NULL_REF) -> DomainSpec:
    """A VM with all its disks and NICs, in the order of their positions. Disks without a volume are left out.

    `host`: where it is to be built, which decides on the pool of processors.
    """
    vbds = [vbd for vbd in map(reader.find, reader.related(vm.ref, "VBDs")) if vbd["type"] == "CD" or has_disk(vbd)]
    vifs = map(reader.find, reader.related(vm.ref, "VIFs"))
    disks = sorted((disk_spec(reader, vbd) for vbd in vbds), key=lambda disk: (len(disk.position), disk.position))
    nics = sorted((nic_spec(reader, vif) for vif in vifs), key=lambda nic: (len(nic.position), nic.position))
    most = vm["memory_static_max"]
    high = min(max(vm["memory_dynamic_max"], vm["memory_static_min"]), most)
    return DomainSpec(
        uuid=vm["uuid"],
        name=vm["name_label"],
        memory_static_max=most,
        memory_dynamic_min=min(max(vm["memory_dynamic_min"], vm["memory_static_min"]), high),
        memory_dynamic_max=high,
        vcpus_max=vm["VCPUs_max"],
        vcpus=vm["VCPUs_at_startup"],
        domain_type=domain_type(vm),
        disks=tuple(disks),
        nics=tuple(nics),
        boot=_boot(vm),
        scheduling={key: text for key, text in vm["VCPUs_params"].items() if SCHEDULING.fullmatch(key)},
        shadow=vm["HVM_shadow_multiplier"],
        cpu_pool=pool["uuid"] if (pool := chosen_cpu_pool(reader, vm, host)) is not None else "",
    )


def attached_spec(reader: Reader, vm: Any, host: str = NULL_REF) -> DomainSpec:
    """As domain_spec, with those devices alone that are attached: what a VM has now, or had when it was suspended."""
    spec = domain_spec(reader, vm, host)
    devices = map(reader.find, (*reader.related(vm.ref, "VBDs"), *reader.related(vm.ref, "VIFs")))
    attached = {device["uuid"] for device in devices if device["currently_attached"]}
    return replace(
        spec,
        disks=tuple(disk for disk in spec.disks if disk.uuid in attached),
        nics=tuple(nic for nic in spec.nics if nic.uuid in attached),
    )


def chosen_cpu_pool(reader: Reader, vm: Any, host: str) -> Any:
    """The active pool of processors on `host` that a VM names, else the one it runs in there, or None."""
    name = vm["other_config"].get(CPU_POOL_NAME)
    for pool in map(reader.find, reader.related(host, "resident_cpu_pools") if name else ()):
        if pool["activated"] and pool["name_label"] == name:
            return pool
    return reader.find(vm["cpu_pool"]) if vm["resident_on"] == host else None


def vm_with_domid(reader: Reader, host: str, domid: int) -> Any:
    """The `Version` of the VM whose domain has that number on `host`, or None."""
    residents = (reader.find(vm) for vm in reader.related(host, "resident_VMs"))
    return next((vm for vm in residents if vm["domid"] == domid), None)


def has_disk(vbd: Any) -> bool:
    return not vbd["empty"] and not is_null(vbd["VDI"])


def _boot(vm: Any) -> dict[str, str]:
    """How it boots: firmware and order, or bootloader and kernel; empty values are left out."""
    fields = {
        "policy": vm["HVM_boot_policy"],
        "order": vm["HVM_boot_params"].get("order", ""),
        "firmware": vm["HVM_boot_params"].get("firmware", ""),
        "bootloader": vm["PV_bootloader"],
        "bootloader_args": vm["PV_bootloader_args"],
        "kernel": vm["PV_kernel"],
        "ramdisk": vm["PV_ramdisk"],
        "args": vm["PV_args"],
    }
    return {name: value for name, value in fields.items() if value}
