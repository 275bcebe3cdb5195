"""The saved memory of a simulated machine as bytes at the beginning of its volume, so that it can travel with it."""

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
    text = json.dumps({"machine": image.machine, "memory": image.memory, "guest": told}).encode()
    return _HEAD.pack(_MARK, len(text)) + text


def decode(data: bytes) -> Image | None:
    """What the first LONGEST bytes of a volume hold; None if that is no memory."""
    if len(data) < _HEAD.size:
        return None
    mark, size = _HEAD.unpack_from(data)
    if mark != _MARK or size > len(data) - _HEAD.size:
        return None
    try:
        held = json.loads(data[_HEAD.size : _HEAD.size + size])
        guest = None if held["guest"] is None else GuestState(*held["guest"])
        return Image(str(held["machine"]), int(held["memory"]), guest)
    except (ValueError, TypeError, KeyError):
        return None
