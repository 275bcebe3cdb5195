"""Xen-API types as values: which client values each accepts, and their internal form.

Inside, a string, enum or reference is str; int is int; float is float; bool is bool; datetime is int seconds since
the epoch, UTC; a set is a tuple; a map is a dict that nobody mutates; a record is a dict; an unset option is None.
No type knows a wire format: codecs dispatch on the type, and hand plain str/int/float/bool/list/dict/None to `accept`.
"""

from __future__ import annotations

import calendar
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xenapi_core.ids import NULL_REF


class Mismatch(ValueError):  # noqa: N818 - what is wrong, in one word
    """A value a type does not accept: `Expected <type>, got <value>`."""

    def __init__(self, expected: str, got: object) -> None:
        super().__init__(f"Expected {expected}, got '{describe(got)}'")


def describe(value: object) -> str:
    """A short, safe rendering of a client's value for an error text."""
    letter = {str: "S", bool: "B", int: "I", float: "D", list: "A", dict: "Dict"}.get(type(value), "Null")
    text = str(value)
    return f"{letter}({text if len(text) <= 60 else text[:57] + '...'})"


@dataclass(frozen=True)
class Type:
    """Base of all types; `name` is the spelling of the API reference."""

    name: str

    def accept(self, value: Any) -> Any:
        """`value`, as a codec decoded it, in its internal form. Raises Mismatch."""
        raise NotImplementedError

    @property
    def empty(self) -> Any:
        """The value of a field that has no default and was never set."""
        raise NotImplementedError


@dataclass(frozen=True)
class StringType(Type):
    def accept(self, value: Any) -> str:
        if type(value) is not str:
            raise Mismatch(self.name, value)
        return value

    @property
    def empty(self) -> str:
        return ""


_INT = re.compile(r"\s*[+-]?[0-9]{1,20}\s*\Z")
INT_MIN, INT_MAX = -(1 << 63), (1 << 63) - 1


@dataclass(frozen=True)
class IntType(Type):
    """64-bit signed; accepted as a number or as decimal text, because clients send both."""

    def accept(self, value: Any) -> int:
        if type(value) is str and _INT.match(value):
            value = int(value)
        if type(value) is not int or not INT_MIN <= value <= INT_MAX:
            raise Mismatch(self.name, value)
        return value

    @property
    def empty(self) -> int:
        return 0


@dataclass(frozen=True)
class FloatType(Type):
    def accept(self, value: Any) -> float:
        if type(value) in (int, float):
            return float(value)
        if type(value) is str:
            try:
                return float(value)
            except ValueError:
                pass
        raise Mismatch(self.name, value)

    @property
    def empty(self) -> float:
        return 0.0


@dataclass(frozen=True)
class BoolType(Type):
    """A boolean; 0/1 and "0"/"1" too, because xend-era clients (xm) send those."""

    def accept(self, value: Any) -> bool:
        if value is True or value is False:
            return bool(value)
        if value in (0, 1, "0", "1") and type(value) in (int, str):
            return value in (1, "1")
        raise Mismatch(self.name, value)

    @property
    def empty(self) -> bool:
        return False


_EPOCH = "19700101T00:00:00Z"
_DATETIME = re.compile(
    r"(\d{4})-?(\d\d)-?(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.\d+)?(Z|[+-]\d\d:?\d\d)?\Z",
)


@dataclass(frozen=True)
class DateTimeType(Type):
    """int seconds since the epoch; text with or without dashes, no zone means UTC."""

    def accept(self, value: Any) -> int:
        if type(value) is int:
            return value
        match = _DATETIME.match(value) if type(value) is str else None
        if match is None:
            raise Mismatch(self.name, value)
        year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
        try:
            moment = calendar.timegm((year, month, day, hour, minute, second))
            if time.gmtime(moment)[:3] != (year, month, day) or hour > 23 or minute > 59 or second > 60:
                raise ValueError
        except (ValueError, OverflowError):
            raise Mismatch(self.name, value) from None
        zone = match[7]
        if zone and zone != "Z":
            offset = int(zone[1:3]) * 3600 + int(zone[-2:]) * 60
            moment -= offset if zone[0] == "+" else -offset
        return moment

    @property
    def empty(self) -> int:
        return 0


def format_datetime(moment: int) -> str:
    """The Xen-API spelling of an instant: 20260101T12:00:00Z. The epoch for what four digits of a year cannot tell."""
    try:
        year, month, day, hour, minute, second = time.gmtime(moment)[:6]
    except (OverflowError, ValueError, OSError):
        return _EPOCH
    if not 1 <= year <= 9999:
        return _EPOCH
    return f"{year:04}{month:02}{day:02}T{hour:02}:{minute:02}:{second:02}Z"


@dataclass(frozen=True)
class EnumType(Type):
    values: tuple[str, ...] = ()

    def accept(self, value: Any) -> str:
        if type(value) is str and value in self.values:
            return value
        if type(value) is str:  # clients of API 1.0 spell enums in any case
            folded = value.lower()
            for known in self.values:
                if known.lower() == folded:
                    return known
        raise Mismatch(self.name, value)

    @property
    def empty(self) -> str:
        return self.values[0]


@dataclass(frozen=True)
class RefType(Type):
    """A reference to an object of class `cls`; whether it exists is for the store to say."""

    cls: str = ""

    def accept(self, value: Any) -> str:
        if type(value) is not str:
            raise Mismatch(self.name, value)
        return value or NULL_REF

    @property
    def empty(self) -> str:
        return NULL_REF


@dataclass(frozen=True)
class SetType(Type):
    item: Type = None  # type: ignore[assignment]

    def accept(self, value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            raise Mismatch(self.name, value)
        accept = self.item.accept
        return tuple([accept(item) for item in value])

    @property
    def empty(self) -> tuple[Any, ...]:
        return ()


@dataclass(frozen=True)
class MapType(Type):
    key: Type = None  # type: ignore[assignment]
    value: Type = None  # type: ignore[assignment]

    def accept(self, value: Any) -> dict[Any, Any]:
        if not isinstance(value, Mapping):
            raise Mismatch(self.name, value)
        return {self.key.accept(k): self.value.accept(v) for k, v in value.items()}

    @property
    def empty(self) -> dict[Any, Any]:
        return {}


@dataclass(frozen=True)
class RecordType(Type):
    """A record of class `cls`: its fields are checked by the schema, which knows them."""

    cls: str = ""

    def accept(self, value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise Mismatch(self.name, value)
        return dict(value)

    @property
    def empty(self) -> dict[str, Any]:
        return {}


@dataclass(frozen=True)
class OptionType(Type):
    """None, or a value of `item`; absent from records when None."""

    item: Type = None  # type: ignore[assignment]

    def accept(self, value: Any) -> Any:
        return None if value is None else self.item.accept(value)

    @property
    def empty(self) -> None:
        return None


STRING = StringType("string")
INT = IntType("int")
FLOAT = FloatType("float")
BOOL = BoolType("bool")
DATETIME = DateTimeType("datetime")


def Ref(cls: str) -> RefType:  # noqa: N802 - type constructors read like types
    return RefType(f"{cls} ref", cls)


def Set(item: Type) -> SetType:  # noqa: N802
    return SetType(f"{item.name} set", item)


def Map(key: Type, value: Type) -> MapType:  # noqa: N802
    return MapType(f"({key.name} -> {value.name}) map", key, value)


def Record(cls: str) -> RecordType:  # noqa: N802
    return RecordType(f"{cls} record", cls)


def Option(item: Type) -> OptionType:  # noqa: N802
    return OptionType(f"{item.name} option", item)


def Enum(name: str, *values: str) -> EnumType:  # noqa: N802
    return EnumType(f"enum {name}", values)


STRING_MAP = Map(STRING, STRING)
