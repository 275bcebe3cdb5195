"""Parses CIM values from text, by type: the rules of DSP0201 (and of DSP0004 for MOF text and datetimes)."""

from __future__ import annotations

import re
import sys
from typing import Any

from cim_provider.schema.objects import INVALID_PARAMETER, CimError
from cim_provider.wire.text import INTEGERS, REALS

_INTEGER = re.compile(r"[+-]?(?:0[xX][0-9a-fA-F]{1,16}|[0-9]{1,20})\Z")
_REAL = re.compile(
    r"(?:[+-]?(?:[0-9]{0,400}\.?[0-9]{1,400}(?:[eE][+-]?[0-9]{1,4})?|[0-9]{1,400}\.)|-?inf|nan)\Z", re.IGNORECASE
)
_LARGEST = {"real32": 3.4028235677973366e38, "real64": sys.float_info.max}  # what rounds to infinity begins there
_INSTANT = re.compile(r"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)\.(?:\d{6}|\d{0,5}\*{1,6})[+-]\d{3}\Z")
_INTERVAL = re.compile(r"\d{8}(\d\d)(\d\d)(\d\d)\.(?:\d{6}|\d{0,5}\*{1,6}):000\Z")
# Whole fields unknown: digits, then asterisks to the end of the fraction.
_STARRED = re.compile(r"\d{0,14}\*{1,14}\.\*{6}[+:-]\d{3}\Z")


def invalid(text: str) -> CimError:
    return CimError(INVALID_PARAMETER, text)


def parse(text: str, type_: str, what: str) -> Any:
    """The value that `text` stands for. `what` names it in the sentence of CimError INVALID_PARAMETER."""
    if type_ == "string":
        return text
    if type_ in INTEGERS:
        return integer(text, type_, what)
    if type_ == "boolean":
        return boolean(text, what)
    if type_ in REALS:
        return real(text, type_, what)
    if type_ == "datetime":
        return datetime(text, what)
    if type_ == "char16":
        if len(text) != 1 or ord(text) > 0xFFFF:
            raise invalid(f"{what} must be one 16-bit character")
        return text
    raise invalid(f"{what} cannot be of type {type_}")


def boolean(text: str, what: str) -> bool:
    found = {"true": True, "false": False}.get(text.strip().lower())
    if found is None:
        raise invalid(f"{what} must be true or false")
    return found


def integer(text: str, type_: str, what: str) -> int:
    plain = text.strip()
    if not _INTEGER.match(plain):
        raise invalid(f"{what} must be an integer")
    value = int(plain, 16 if "x" in plain.lower() else 10)
    low, high = INTEGERS[type_]
    if not low <= value <= high:
        raise invalid(f"{what} must be a {type_}: {low} to {high}")
    return value


def real(text: str, type_: str, what: str) -> float:
    plain = text.strip()
    if not _REAL.match(plain):
        raise invalid(f"{what} must be a number")
    value = float(plain)
    if abs(value) > _LARGEST[type_] and plain[-1] not in "fF":  # a number too large, and not INF
        raise invalid(f"{what} must be a {type_}")
    return value


def datetime(text: str, what: str) -> str:
    """A CIM datetime is kept as its 25 characters; fields are checked roughly, asterisks allowed (DSP0004)."""
    plain = text.strip()
    match = _INSTANT.match(plain)
    if match:
        month, day, hour, minute, second = (int(match[i]) for i in range(2, 7))
        if 1 <= month <= 12 and 1 <= day <= 31 and hour <= 23 and minute <= 59 and second <= 60:
            return plain
    match = _INTERVAL.match(plain)
    if match and int(match[1]) <= 23 and int(match[2]) <= 59 and int(match[3]) <= 59:
        return plain
    if len(plain) == 25 and _STARRED.match(plain):
        return plain
    raise invalid(f"{what} must be a CIM datetime of 25 characters")
