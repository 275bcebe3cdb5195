"""Decodes a round robin database in XML, in the form of /vm_rrd and of the reference's servers.

Rule 1: rows come oldest first; the newest row of an archive ends at the last multiple of its step before `lastupdate`.
        What was being made when it was written (cdp_prep) is left out: it is less than one row.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from lxml import etree

from xenapi_core.wire.limits import Limits, XmlError, parse_xml

LARGEST: Final = 32 << 20  # bytes of one document
LONGEST: Final = 256  # characters of a name
_LIMITS: Final = Limits(max_body=LARGEST, max_depth=16, max_elements=2_000_000)


class RrdError(Exception):
    """The bytes are no such database: why, in a few words."""


@dataclass(frozen=True)
class RoundRobin:
    """`rows`: (samples in a row, function) -> rows, oldest first, with a value for each name; NaN where there is none.

    `step`: seconds from one sample to the next; `last`: instant of the newest one.
    """

    step: int
    last: int
    names: tuple[str, ...]
    rows: Mapping[tuple[int, str], list[list[float]]]


def decode(body: bytes) -> RoundRobin:
    """RrdError."""
    try:
        root = parse_xml(body, _LIMITS)
        if root.tag != "rrd":
            raise RrdError("it is no round robin database")
        names = tuple(str(each.findtext("name") or "").strip() for each in root.iterfind("ds"))
        if len(set(names)) != len(names) or not all(0 < len(name) <= LONGEST for name in names):
            raise RrdError("its data sources have no names of their own")
        rows: dict[tuple[int, str], list[list[float]]] = {}
        for archive in root.iterfind("rra"):
            key = (_whole(archive, "pdp_per_row"), str(archive.findtext("cf") or "").strip())
            rows[key] = [_row(row, len(names)) for row in archive.iterfind("database/row")]
        return RoundRobin(_whole(root, "step"), _whole(root, "lastupdate"), names, rows)
    except (XmlError, ValueError, OverflowError) as error:
        raise RrdError(str(error)) from error


def _whole(element: etree._Element, name: str) -> int:
    """A number of at least 0. Some servers write instants with a fraction. RrdError, ValueError."""
    number = float(element.findtext(name) or "nan")
    if not number >= 0:
        raise RrdError(f"it has no {name}")
    return int(number)


def _row(row: etree._Element, width: int) -> list[float]:
    values = [float(value.text or "nan") for value in row.iterfind("v")]
    if len(values) != width:
        raise RrdError("a row has another number of values than there are data sources")
    return [value if math.isfinite(value) else math.nan for value in values]
