"""Fields of API 1.0, computed from current fields.

Rule 1: only the record and what its schema entry follows is looked at; nothing here awaits or is stored.
Rule 2: what a driver does not tell, like numbers of rings and event channels, is -1: unknown, in the words of xm.
"""

from __future__ import annotations

from typing import Any, Final

from xenapi_core.model.schema import Reader

UNKNOWN: Final = "-1"
CONNECTED: Final = "4"  # XenbusStateConnected
BACK_END: Final = "0"  # domain 0
PROTOCOL: Final = "x86_64-abi"  # of the rings of a 64-bit guest
_FEW_DISKS, _PARTITIONS = 16, 1 << 28  # Xen's virtual device numbers: 202 << 8 | disk << 4, or 1 << 28 | disk << 8


def vif_properties(reader: Reader, vif: Any) -> dict[str, str]:
    """The hypervisor's properties of a running interface; empty while it is not attached."""
    domain = _domain(reader, vif)
    if domain is None:
        return {}
    return {
        "handle": vif["device"], "mac": vif["MAC"], "state": CONNECTED,
        "backend-id": BACK_END, "backend": f"/local/domain/{BACK_END}/backend/vif/{domain}/{vif['device']}",
        "tx-ring-ref": UNKNOWN, "rx-ring-ref": UNKNOWN, "event-channel": UNKNOWN,
    }  # fmt: skip


def vbd_properties(reader: Reader, vbd: Any) -> dict[str, str]:
    """The hypervisor's properties of a running disk; empty while it is not attached."""
    domain = _domain(reader, vbd)
    if domain is None:
        return {}
    number = _disk_number(vbd["device"])
    return {
        "handle": number, "virtual-device": number, "device-type": "cdrom" if vbd["type"] == "CD" else "disk",
        "protocol": PROTOCOL, "state": CONNECTED,
        "backend-id": BACK_END, "backend": f"/local/domain/{BACK_END}/backend/vbd/{domain}/{number}",
        "ring-ref": UNKNOWN, "event-channel": UNKNOWN,
    }  # fmt: skip


def _domain(reader: Reader, device: Any) -> int | None:
    """The domain that has the device now; None while there is none, or it does not have it."""
    vm = reader.find(device["VM"]) if device["currently_attached"] else None
    return None if vm is None or vm["domid"] < 0 else int(vm["domid"])


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
