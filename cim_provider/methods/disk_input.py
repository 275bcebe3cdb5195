"""Reads settings of a disk or drive into a value (given.py has the rules)."""

from __future__ import annotations

from dataclasses import dataclass

from cim_provider.mapping.refusal import invalid
from cim_provider.methods.given import Given, amount, pool_named, unit_of
from cim_provider.methods.setting_terms import BLOCKS, UUID, VBD_TYPES
from cim_provider.methods.units import bytes_of
from xenapi_core.bridge.source import Source


@dataclass(frozen=True)
class Disk:
    """A disk or drive. `image`: reference of the VDI in it, "" for none, None as it is; `size` in bytes."""

    kind: str | None = None
    image: str | None = None
    sr: str | None = None
    size: int | None = None
    mode: str | None = None
    bootable: bool | None = None
    position: str | None = None
    name: str | None = None
    keep: bool = False  # the disk outlives the machine


def read_disk(given: Given, kind: int, source: Source, new: bool) -> Disk:
    access = given.take("Access")
    if access not in (None, 0, 1, 3):
        raise invalid(f"Access {access} is not supported")
    return Disk(
        VBD_TYPES[kind],
        _image(given, source),
        pool_named(given, source, "SR"),
        _disk_size(given),
        {1: "RO", 3: "RW"}.get(access) if access is not None else None,
        given.take("Bootable"),
        given.take("AddressOnParent"),
        given.take("ElementName") if new else None,
        keep=given.whole("AutomaticDeallocation") is False,
    )


def _disk_size(given: Given) -> int | None:
    """Bytes. A quantity in blocks, which it is where there is a block size and no unit (the schema's default), counts
    blocks of VirtualResourceBlockSize; one in units of nothing counts AllocationUnits."""
    blocks, unit = given.whole("VirtualResourceBlockSize") or 1, given.whole("VirtualQuantityUnits")
    taken = [given.take(name) for name in ("VirtualQuantityUnits", "VirtualResourceBlockSize")]
    changed = taken != [None, None]
    if unit is None and blocks > 1:
        unit = BLOCKS
    if unit in (None, "count", BLOCKS):
        size = blocks if unit == BLOCKS else unit_of(given, "AllocationUnits")
    else:
        found = bytes_of(unit)
        if found is None:
            raise invalid(f"VirtualQuantityUnits {unit!r} is no unit for this")
        size = found
    given.take("AllocationUnits")
    return amount(given, "VirtualQuantity", size, changed)


def _image(given: Given, source: Source) -> str | None:
    """The VDI that HostResource or HostExtentName names by its uuid, alone or within a path; "" to take it out."""
    for name in ("HostResource", "HostExtentName"):
        text = given.take(name)
        if text is None:
            continue
        words = (text,) if isinstance(text, str) else text
        if not any(words):
            return ""
        found = [source.by_uuid("VDI", uuid.lower()) for word in words for uuid in UUID.findall(word or "")]
        images = [version.ref for version in found if version is not None]
        if len(images) != 1:
            raise invalid(f"{name} names no disk there is: {words}")
        given.take("HostExtentName")
        return images[0]
    return None
