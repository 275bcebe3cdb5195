"""Fields that API 1.0 clients read to find their way, computed from what the other fields say.

Rule 1: only the record and what its schema entry follows is looked at; nothing here awaits or is stored.
Rule 2: what a driver does not tell, like numbers of rings and event channels, is -1: unknown, in the words of xm.
"""

from __future__ import annotations

from typing import Any, Final

from xenapi_core.model.schema import Reader

UNKNOWN: Final = "-1"
CONNECTED: Final = "4"  # XenbusStateConnected
BACK_END: Final = "0"  # domain 0
_FEW_DISKS, _PARTITIONS = 16, 1 << 28  # Xen's virtual device numbers: 202 << 8 | disk << 4, or 1 << 28 | disk << 8


def vif_properties(reader: Reader, vif: Any) -> dict[str, str]:
    """What the running interface is to the hypervisor; empty while it is not attached."""
    if not vif["currently_attached"]:
        return {}
    return {
        "handle": vif["device"], "mac": vif["MAC"], "state": CONNECTED, "backend-id": BACK_END,
        "tx-ring-ref": UNKNOWN, "rx-ring-ref": UNKNOWN, "event-channel": UNKNOWN,
    }  # fmt: skip


def vbd_properties(reader: Reader, vbd: Any) -> dict[str, str]:
    """What the running disk is to the hypervisor; empty while it is not attached."""
    if not vbd["currently_attached"]:
        return {}
    number = _disk_number(vbd["device"])
    return {
        "handle": number, "virtual-device": number, "device-type": "cdrom" if vbd["type"] == "CD" else "disk",
        "state": CONNECTED, "backend-id": BACK_END, "ring-ref": UNKNOWN, "event-channel": UNKNOWN,
    }  # fmt: skip


def _disk_number(device: str) -> str:
    """Xen's number of the disk a guest calls "xvdb"."""
    letters = device.removeprefix("xvd")
    if letters == device or not letters.isascii() or not letters.isalpha():
        return UNKNOWN
    position = 0
    for letter in letters.lower():
        position = position * 26 + ord(letter) - ord("a") + 1
    position -= 1
    return str(202 << 8 | position << 4 if position < _FEW_DISKS else _PARTITIONS | position << 8)


def started_vms(reader: Reader, pool: Any) -> tuple[str, ...]:
    """VMs on the CPUs of a pool: those of its host, because a host has one pool."""
    return reader.related(pool["resident_on"], "resident_VMs") if pool["activated"] else ()
