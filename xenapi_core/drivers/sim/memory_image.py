"""The saved memory of a simulated machine as bytes at the beginning of its volume, so that it is copied and moved with
the volume."""

from __future__ import annotations

import json
from struct import Struct
from typing import Final

from xenapi_core.drivers.api import GuestState
from xenapi_core.drivers.sim.state import Image

_HEAD: Final = Struct(">16sI")  # mark, length of what follows
_MARK: Final = b"simulated memory"
LONGEST: Final = 64 << 10


def encode(image: Image) -> bytes:
    guest = image.guest
    told = None if guest is None else [dict(guest.os_version), dict(guest.pv_drivers_version), dict(guest.networks)]
    held = {
        "machine": image.machine, "memory": image.memory, "guest": told, "has_agent": image.has_agent,
        "ignores_shutdown": image.ignores_shutdown,
    }  # fmt: skip
    text = json.dumps(held).encode()
    return _HEAD.pack(_MARK, len(text)) + text


def decode(data: bytes) -> Image | None:
    """The memory image in the first LONGEST bytes of a volume; None if there is none."""
    if len(data) < _HEAD.size:
        return None
    mark, size = _HEAD.unpack_from(data)
    if mark != _MARK or size > len(data) - _HEAD.size:
        return None
    try:
        held = json.loads(data[_HEAD.size : _HEAD.size + size])
        guest = None if held["guest"] is None else GuestState(*held["guest"])
        ways = bool(held.get("has_agent", True)), bool(held.get("ignores_shutdown", False))
        return Image(str(held["machine"]), int(held["memory"]), guest, *ways)
    except (ValueError, TypeError, KeyError):
        return None
