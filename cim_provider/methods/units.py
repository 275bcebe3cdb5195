"""Converts units and intervals of setting data to numbers; reads lines of key=value."""

from __future__ import annotations

import re

from cim_provider.mapping.refusal import invalid

# fmt: off
# Units of older clients, in small letters.
_OLD_UNITS = {
    "byte": 1, "bytes": 1, "kilobytes": 1 << 10, "megabytes": 1 << 20, "gigabytes": 1 << 30, "kb": 1 << 10,
    "mb": 1 << 20, "gb": 1 << 30, "kilobytes per second": 1 << 10,
}
# fmt: on

_PUNIT = re.compile(r"bytes?(?:/second)?(?:\*(\d{1,2})\^(\d{1,2}))?\Z")

_INTERVAL = re.compile(r"(\d{8})(\d\d)(\d\d)(\d\d)\.\d{6}:000\Z")


def bytes_of(unit: str) -> int | None:
    """How many bytes (or bytes a second) a unit is: `byte*2^20` as DSP0004 writes it, or the words older clients use;
    None for what is no such unit."""
    plain = unit.strip().lower()
    found = _PUNIT.match(plain.replace(" ", ""))
    if found is None:
        return _OLD_UNITS.get(plain)
    return int(found[1]) ** int(found[2]) if found[1] else 1


def seconds_of(interval: str) -> int:
    """Seconds in a CIM interval. RefusedError for a point in time, or an interval with asterisks."""
    found = _INTERVAL.match(interval)
    if found is None:
        raise invalid(f"{interval} is no interval")
    days, hours, minutes, seconds = (int(part) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def pairs_of(lines: tuple[str, ...], what: str) -> dict[str, str]:
    """key=value lines as a map. RefusedError."""
    for line in lines:
        if "=" not in line:
            raise invalid(f"{what}: {line!r} is not key=value")
    return dict(line.split("=", 1) for line in lines)
