"""Checks values of a stored instance against the qualifiers of their property (DSP0004 5.6.3).

MaxLen, MinLen, MaxValue, MinValue and ValueMap bound values. Write does not: DSP0004 says that it tells a client what
the model means, not whether a change is possible. What a qualifier says that cannot be read bounds nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from cim_provider.schema.graph import Property

NUMBERS = frozenset(f"{sign}int{bits}" for sign in "us" for bits in (8, 16, 32, 64))
TEXTS = frozenset({"string", "char16"})


def beyond(prop: Property, item: object) -> str:
    """Why a value that is of its type cannot be (one element of) a property; "" if it can."""
    if type(item) is int and prop.type in NUMBERS:
        return _number_beyond(prop, item)
    if isinstance(item, str) and prop.type in TEXTS and not prop.embedded:
        return _text_beyond(prop, item)
    return ""


def _number_beyond(prop: Property, item: int) -> str:
    low, high = _bound(prop, "minvalue"), _bound(prop, "maxvalue")
    if low is not None and item < low:
        return f"{prop.name} is {low} at least"
    if high is not None and item > high:
        return f"{prop.name} is {high} at most"
    allowed = _listed(prop)
    if allowed is not None and not any(_covers(one, item) for one in allowed):
        return f"{item} is no value in the ValueMap of {prop.name}"
    return ""


def _text_beyond(prop: Property, item: str) -> str:
    low, high = _bound(prop, "minlen"), _bound(prop, "maxlen")
    if low is not None and len(item) < low:
        return f"{prop.name} has {low} characters at least"
    if high is not None and len(item) > high:
        return f"{prop.name} has {high} characters at most"
    allowed = _listed(prop)
    if allowed is not None and item not in allowed and not any(".." in one for one in allowed):
        return f"{item[:40]!r} is no value in the ValueMap of {prop.name}"
    return ""


def _bound(prop: Property, name: str) -> int | None:
    found = prop.qualifiers.get(name)
    return found.value if found is not None and type(found.value) is int else None


def _listed(prop: Property) -> tuple[str, ...] | None:
    found = prop.qualifiers.get("valuemap")
    if found is None or not isinstance(found.value, Iterable):
        return None
    return tuple(str(one) for one in found.value)


def _covers(entry: str, item: int) -> bool:
    """Whether an entry of a ValueMap, a number or a range (open at one end or both), stands for a number."""
    low, dots, high = entry.partition("..")
    try:
        if not dots:
            return int(low) == item
        return (not low.strip() or int(low) <= item) and (not high.strip() or item <= int(high))
    except ValueError:
        return True
