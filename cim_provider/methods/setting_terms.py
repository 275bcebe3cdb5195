"""Terms of setting data: its InstanceIDs, its resource types, and which properties identify instead of requesting."""

from __future__ import annotations

import re
from dataclasses import dataclass

UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)

STATE, PRIMORDIAL = "State", "Primordial"

NULL_REF = "OpaqueRef:NULL"

# Properties that identify an instance, or tell where it came from: a new system gets its own.
IDENTITY = frozenset(
    {
        "InstanceID", "Caption", "VirtualSystemIdentifier", "CreationTime", "ConfigurationID", "ConfigurationName",
        "SuspendDataRoot", "SnapshotDataRoot", "ChangeableType", "Generation",
    }
)  # fmt: skip

PROCESSOR, MEMORY, ETHERNET = 3, 4, 10

FLOPPY, CD, DVD, DISK = 14, 15, 16, 17

DISKS = (DISK, 19, 31, 32)  # and Storage Extent, Logical Disk, Storage Volume

MOST_WEIGHT = 65535  # of the credit scheduler, which begins with 1

NICS = (ETHERNET, 30, 33)  # and Ethernet Switch Port, Ethernet Connection

OTHER, USB, GRAPHICS = 1, 23, 24

BLOCKS = "count(fixed size block)"

TPM_WORD = "TPM"  # OtherResourceType of settings of type 1

VBD_TYPES = {CD: "CD", DVD: "CD", FLOPPY: "Floppy", **dict.fromkeys(DISKS, "Disk")}

# ResourceType of the settings of our own classes, for clients that leave it out.
TYPE_OF_CLASS = {
    "CIM_ProcessorAllocationSettingData": PROCESSOR,
    "CIM_MemoryAllocationSettingData": MEMORY,
    "CIM_StorageAllocationSettingData": DISK,
    "CIM_EthernetPortAllocationSettingData": ETHERNET,
    "Xen_ProcessorSettingData": PROCESSOR,
    "Xen_MemorySettingData": MEMORY,
    "Xen_DiskSettingData": DISK,
    "Xen_NetworkPortSettingData": ETHERNET,
    "Xen_DisplaySettingData": GRAPHICS,
    "Xen_TPMSettingData": OTHER,
    "Xen_USBSettingData": USB,
    "Xen_VirtualGPUSettingData": GRAPHICS,
}


@dataclass(frozen=True)
class SettingId:
    """The parts of an InstanceID of setting data: Xen:<uuid of the VM>[/State][/<word or uuid>]."""

    vm: str
    state: bool = False
    part: str = ""

    @classmethod
    def of(cls, text: str) -> SettingId | None:
        """None for what is no such InstanceID."""
        vm, *rest = text.removeprefix("Xen:").split("/")
        state = rest[:1] == [STATE]
        parts = rest[1:] if state else rest
        if not text.startswith("Xen:") or not UUID.fullmatch(vm) or len(parts) > 1:
            return None
        return cls(vm, state, parts[0] if parts else "")
