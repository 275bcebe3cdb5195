"""CIM datetimes (DSP0004) as ranges of microseconds, so that they compare as instants and not as text.

An instant counts in UTC from the year 0, an interval from nothing. Asterisks stand for what is not known: the range is
from the first to the last moment it could be.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

_FORM = re.compile(r"([\d*]{14})\.([\d*]{6})([+:-])(\d{3})", re.ASCII)
_LOWEST, _HIGHEST = "00000101000000", "99991231235959"


@dataclass(frozen=True, slots=True)
class Moment:
    interval: bool
    low: int
    high: int


def moment(text: str) -> Moment | None:
    """What 25 characters mean; None if they are no CIM datetime."""
    match = _FORM.fullmatch(text)
    if match is None or ("*" in match[1] + match[2] and not re.fullmatch(r"\d*\**", match[1] + match[2])):
        return None
    whole, fraction, sign, offset = match.groups()
    interval = sign == ":"
    if interval and offset != "000":
        return None
    minutes = 0 if interval else int(f"{sign}{offset}")
    read = _interval if interval else _instant
    low = read(_filled(whole, "00000000000000" if interval else _LOWEST))
    high = read(_filled(whole, "99999999235959" if interval else _HIGHEST))
    if low is None or high is None:
        return None
    shift = minutes * 60 * 1_000_000
    return Moment(
        interval,
        low * 1_000_000 + int(fraction.replace("*", "0")) - shift,
        high * 1_000_000 + int(fraction.replace("*", "9")) - shift,
    )


def _filled(text: str, rest: str) -> str:
    return "".join(r if t == "*" else t for t, r in zip(text, rest, strict=True))


def _interval(text: str) -> int | None:
    days, hours, minutes, seconds = int(text[:8]), int(text[8:10]), int(text[10:12]), int(text[12:])
    return None if hours > 23 or minutes > 59 or seconds > 59 else ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def _instant(text: str) -> int | None:
    """Seconds since the year 0, whose days are counted as in a leap year. A day behind the end of its month, which
    filling in the last day gives, is the last day."""
    year, month, day = int(text[:4]), int(text[4:6]), int(text[6:8])
    hours, minutes, seconds = int(text[8:10]), int(text[10:12]), int(text[12:])
    if not (1 <= month <= 12 and 1 <= day <= 31) or hours > 23 or minutes > 59 or seconds > 60:
        return None
    for last in (day, 30, 29, 28):
        try:
            days = datetime(year or 4, month, min(day, last)).toordinal()
        except ValueError:
            continue
        return ((days - (1461 if not year else 0)) * 24 + hours) * 3600 + minutes * 60 + seconds
    return None


def compare(sign: str, left: Moment, right: Moment) -> bool | None:
    """One of = <> < <= > >=; None where the ranges do not tell, or for an instant with an interval."""
    if left.interval != right.interval:
        return None
    if left == right:
        return sign in ("=", "<=", ">=")
    if sign in ("=", "<>"):
        apart = left.high < right.low or right.high < left.low
        return sign == "<>" if apart else None
    if sign in (">", ">="):
        left, right = right, left
    if sign in ("<", ">"):
        return True if left.high < right.low else False if left.low >= right.high else None
    return True if left.high <= right.low else False if left.low > right.high else None
