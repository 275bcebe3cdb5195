"""DSP1047 Storage Resource Virtualization: disks and drives of a machine, and the storage behind them."""

from __future__ import annotations

from cim_provider.mapping.rule import computed, const, field, via
from cim_provider.mapping.subject import Subject
from cim_provider.mapping.view import View
from cim_provider.profiles.configuration import device_setting_id, is_plugged, of_plugged, part_of_configuration
from cim_provider.profiles.device import VirtualDevice

BLOCK_SIZE = 512

ACCESS = {"RO": 1, "RW": 3}


def is_disk(vbd: Subject) -> bool:
    return vbd["type"] == "Disk" and is_plugged(vbd)


def is_cd_drive(vbd: Subject) -> bool:
    return vbd["type"] == "CD" and is_plugged(vbd)


def device_name(vbd: Subject) -> str:
    """The name in the guest (xvda); the position (0) as long as the guest has not given one."""
    return str(vbd["device"] or vbd["userdevice"])


def number_of_blocks(vbd: Subject) -> int:
    disk = vbd.follow("VDI")
    return 0 if disk is None else int(disk["virtual_size"]) // BLOCK_SIZE


class LogicalDisk(VirtualDevice, cim="Xen_LogicalDisk", of="VBD", where=is_disk):
    """A disk as the machine sees it."""

    ElementName = computed(device_name)
    Name = computed(device_name)
    NameFormat = const(12)
    NameNamespace = const(8)
    Access = field("mode").table(ACCESS)
    BlockSize = const(BLOCK_SIZE)
    NumberOfBlocks = computed(number_of_blocks)
    ConsumableBlocks = computed(number_of_blocks)
    Primordial = const(False)


def media_size(vbd: Subject) -> int | None:
    """CIM_MediaAccessDevice.MaxMediaSize: KiB of the disc in the drive; NULL if it is empty."""
    disc = vbd.follow("VDI")
    return None if disc is None else int(disc["virtual_size"]) // 1024


class CDROMDrive(VirtualDevice, cim="Xen_CDROMDrive", of="VBD", where=is_cd_drive):
    """A CD drive."""

    ElementName = computed(device_name)
    Name = computed(device_name)
    Capabilities = const((3, 7))
    MaxMediaSize = computed(media_size)


class DiskSettingData(View, cim="Xen_DiskSettingData", of="VBD", where=part_of_configuration, items=of_plugged):
    """A disk or drive as a part of the machine's configuration."""

    InstanceID = device_setting_id()
    ElementName = computed(device_name)
    ResourceType = field("type").table({"Disk": 17, "CD": 15, "Floppy": 14})
    PoolID = via("VDI", via("SR", field("uuid")))
    AllocationUnits = const("byte")
    VirtualQuantity = via("VDI", field("virtual_size"))
    VirtualQuantityUnits = const("byte")
    VirtualResourceBlockSize = const(1)
    Access = field("mode").table(ACCESS)
    HostExtentName = via("VDI", field("uuid"))
    HostExtentNameFormat = const(1)
    OtherHostExtentNameFormat = const("VDI uuid")
    HostExtentNameNamespace = const(1)
    OtherHostExtentNameNamespace = const("Xen-API")
    Address = field("device")
    AddressOnParent = field("userdevice")
    Bootable = field("bootable")
    ConsumerVisibility = const(3)
