"""Rules: the source of the value of a CIM property, and its type, known before there is a value.

A rule is read with a Subject and gives a value in the form of schema/objects.py. Its kind lets check.py prove at start
that the value fits the property's type.
"""

from __future__ import annotations

import functools
import time
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NewType

from cim_provider.mapping.subject import Pool, Subject
from cim_provider.schema.objects import Instance
from xenapi_core.model.schema import Class, Schema, reference_class
from xenapi_core.model.types import (
    BoolType,
    EnumType,
    FloatType,
    IntType,
    OptionType,
    RefType,
    SetType,
    StringType,
    Type,
)

if TYPE_CHECKING:
    from xenapi_core.store.api import Version

CimDateTime = NewType("CimDateTime", str)

Read = Callable[[Subject], Any]


@dataclass(frozen=True)
class Kind:
    """What a rule gives: "string", "integer", "real", "boolean", "datetime" or "reference"; or an array of it. Embedded
    instances are strings, as the schema has it."""

    name: str
    array: bool = False


_NAMES = ((bool, "boolean"), (int, "integer"), (float, "real"), (str, "string"), (Instance, "string"))


class UnknownKindError(TypeError):
    """A rule that does not tell what it gives."""


@dataclass(frozen=True)
class Rule:
    """`read(subject)` is the value. `kind_of(schema, class)` tells its kind for a view of records of that class.

    uuid_of  for key properties: the uuid of the view's record, given a value of the property; None for a value this
             rule can never give. This is what makes a path lead to its record without a search.
    record_of  the same for values that do not hold the uuid: the record itself, found in the pool without a search.
    constant   the value, if it is always the same.
    source     for docs/cim-mapping.md: where the value comes from, in Markdown.
    """

    read: Read
    kind_of: Callable[[Schema, Class | None], Kind]
    uuid_of: Callable[[Any], str | None] | None = None
    record_of: Callable[[Pool, Any], Version | None] | None = None
    constant: Any = None
    source: str = ""

    @property
    def leads_back(self) -> bool:
        """Whether a value of the property leads to its record."""
        return self.uuid_of is not None or self.record_of is not None

    def record(self, pool: Pool, cls: str, value: Any) -> Version | None:
        """The record of a class that a value of the property leads to."""
        if self.record_of is not None:
            return self.record_of(pool, value)
        uuid = self.uuid_of(value) if self.uuid_of is not None else None
        return None if uuid is None else pool.by_uuid(cls, uuid)

    def table(self, rows: Mapping[Any, Any], default: Any = None) -> Rule:
        """This rule's value looked up in `rows`."""
        read = self.read

        def look_up(subject: Subject) -> Any:
            return rows.get(read(subject), default)

        source = f"{self.source}, by a table"
        return Rule(look_up, lambda schema, cls: _kind_of_values((*rows.values(), default)), source=source)


# The view puts its own class name here.
OWN_CLASS = Rule(lambda subject: None, lambda schema, cls: Kind("string"), source="the name of the class")


def field(name: str) -> Rule:
    """A field of the record, as it is."""

    def kind_of(schema: Schema, cls: Class | None) -> Kind:
        if cls is None or name not in cls.by_name:
            raise UnknownKindError(f"{cls.name if cls else 'a view without record'} has no field {name}")
        return _kind_of_field(cls[name].type)

    return Rule(lambda subject: subject[name], kind_of, _text_or_none if name == "uuid" else None, source=f"`{name}`")


def via(reference: str, rule: Rule) -> Rule:
    """`rule` applied to the record that the field `reference` points at; NULL if it points at nothing."""
    read = rule.read

    def follow(subject: Subject) -> Any:
        target = subject.follow(reference)
        return None if target is None else read(target)

    def kind_of(schema: Schema, cls: Class | None) -> Kind:
        if cls is None or reference not in cls.by_name:
            raise UnknownKindError(f"{cls.name if cls else 'a view without record'} has no field {reference}")
        return rule.kind_of(schema, schema[reference_class(cls[reference].type)])

    inner = rule.source.removeprefix("`")
    return Rule(follow, kind_of, source=f"`{reference}.{inner}" if inner != rule.source else f"`{reference}`: {inner}")


def const(value: Any) -> Rule:
    """Always the same value."""
    return Rule(
        lambda subject: value, lambda schema, cls: _kind_of_values((value,)), constant=value, source=_literal(value)
    )


def computed(function: Callable[[Subject], Any]) -> Rule:
    """A function of the subject; its return annotation tells the kind (int | None, tuple[str, ...], CimDateTime)."""
    return Rule(function, lambda schema, cls: _kind_of_result(function), source=f"`{function.__name__}()`")


@functools.cache
def _kind_of_result(function: Callable[[Subject], Any]) -> Kind:
    hints = typing.get_type_hints(function)
    if "return" not in hints:
        raise UnknownKindError(f"{function.__name__} has no return annotation")
    return _kind_of_hint(hints["return"])


def moment(name: str) -> Rule:
    """A date field as a CIM timestamp; NULL while it is the epoch, which the Xen-API uses for "never"."""
    return Rule(lambda subject: timestamp(subject[name]), lambda schema, cls: Kind("datetime"), source=f"`{name}`")


def xen_id(*parts: Rule | str) -> Rule:
    """An InstanceID or DeviceID `Xen:<part>/<part>...` (DSP0004: <OrgID>:<LocalID>) of rules and fixed words.

    A part that is NULL is left out. If one part is the record's own uuid, the identifier leads back to the record; its
    place is counted from the end that has no `item_word` before it, because that is the part that may be missing.
    """
    reads: list[Read] = [part.read if isinstance(part, Rule) else const(part).read for part in parts]
    own = next((n for n, part in enumerate(parts) if isinstance(part, Rule) and part.uuid_of is not None), None)
    optional = [n for n, part in enumerate(parts) if part is ITEM_WORD]
    place = own - len(parts) if own is not None and any(n < own for n in optional) else own

    def read(subject: Subject) -> str:
        return "Xen:" + "/".join(str(word) for word in (read(subject) for read in reads) if word is not None)

    def uuid_of(value: Any) -> str | None:
        words = str(value).removeprefix("Xen:").split("/")
        fits = place is not None and len(parts) - len(optional) <= len(words) <= len(parts)
        return words[place] if place is not None and fits else None

    words = ("{" + part.source.strip("`") + "}" if isinstance(part, Rule) else part for part in parts)
    source = f"`Xen:{'/'.join(words)}`"
    return Rule(read, lambda schema, cls: Kind("string"), None if own is None else uuid_of, source=source)


# The subject's item, a word or NULL: which of a record's configurations an instance is of.
ITEM_WORD = Rule(lambda subject: subject.item, lambda schema, cls: Kind("string"), source="configuration")


def item_text(template: str) -> Rule:
    """`template` with `{}` replaced by the subject's item (the number of a virtual processor)."""
    source = template.format("number")
    return Rule(lambda subject: template.format(subject.item), lambda schema, cls: Kind("string"), source=source)


def timestamp(instant: int) -> CimDateTime | None:
    """Seconds since the epoch as a CIM timestamp in UTC (DSP0004 5.2.4); None for 0, "never", and for what CIM's
    four digits of a year cannot say."""
    if not 0 < instant < 253402300800:
        return None
    return CimDateTime(time.strftime("%Y%m%d%H%M%S", time.gmtime(instant)) + ".000000+000")


def interval(seconds: int) -> CimDateTime:
    """Seconds as a CIM interval (DSP0004 5.2.4); negative ones count as 0."""
    minutes, second = divmod(min(max(seconds, 0), 99999999 * 86400), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    return CimDateTime(f"{days:08d}{hour:02d}{minute:02d}{second:02d}.000000:000")


def _literal(value: Any) -> str:
    """A constant as docs/cim-mapping.md writes it."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(_literal, value))}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{value}"' if isinstance(value, str) else str(value)


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _kind_of_field(type_: Type) -> Kind:
    if isinstance(type_, SetType):
        return Kind(_kind_of_field(type_.item).name, array=True)
    if isinstance(type_, OptionType):
        return _kind_of_field(type_.item)
    if isinstance(type_, StringType | EnumType | RefType):
        return Kind("string")
    if isinstance(type_, IntType):
        return Kind("integer")
    if isinstance(type_, BoolType):
        return Kind("boolean")
    if isinstance(type_, FloatType):
        return Kind("real")
    raise UnknownKindError(f"a field of type {type_.name} is no CIM value by itself")


def _kind_of_values(values: tuple[Any, ...]) -> Kind:
    kinds = {_kind_of_value(value) for value in values if value is not None}
    if len(kinds) != 1:
        raise UnknownKindError(f"values of different kinds: {values}")
    return kinds.pop()


def _kind_of_value(value: Any) -> Kind:
    if isinstance(value, tuple):
        return Kind(_kind_of_values(value).name, array=True)
    for python, name in _NAMES:
        if isinstance(value, python):
            return Kind(name)
    raise UnknownKindError(f"no CIM value: {value!r}")


def _kind_of_hint(hint: Any) -> Kind:
    if hint is CimDateTime:
        return Kind("datetime")
    for python, name in _NAMES:
        if hint is python:
            return Kind(name)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        kinds = {_kind_of_hint(part) for part in typing.get_args(hint) if part is not type(None)}
        if len(kinds) == 1:
            return kinds.pop()
    if typing.get_origin(hint) is tuple:
        return Kind(_kind_of_hint(typing.get_args(hint)[0]).name, array=True)
    raise UnknownKindError(f"no CIM type: {hint}")
