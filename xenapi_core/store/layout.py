"""The store's view of each class, computed once from the schema: stored fields, references, followers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from xenapi_core.ids import is_null
from xenapi_core.model.schema import Class, Schema, reference_class
from xenapi_core.model.types import SetType, Type

# A stored reference field, or the field at the far end of a relation.
Place = tuple[str, str]


def _one_target(value: str | None) -> tuple[str, ...]:
    return () if value is None or is_null(value) else (value,)


def _set_targets(value: tuple[str, ...] | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(ref for ref in value if not is_null(ref))) if value else ()


@dataclass(frozen=True, slots=True)
class Pointer:
    """A stored reference field whose targets are indexed.

    targets  the references in a value of the field, each once, null references left out.
    far      (class, inverse field) at the other end, or None if only followers need the index.
    """

    field: str
    targets: Callable[[Any], tuple[str, ...]]
    far: Place | None


class Follow(NamedTuple):
    """The objects that get a new version when a certain field changes: objects of `cls`, found from the changed object.

    Either `place` is the one whose index lists them under the changed object's reference, or `pointer` is the field
    of the changed object that refers to them.
    """

    cls: str
    place: Place | None
    pointer: Pointer | None


@dataclass(frozen=True)
class Layout:
    """One class as the store sees it.

    is_counted whether `counts` names it: the classes of the database proper, not messages.
    initial    stored field -> initial value, in schema order.
    persisted  the fields that are journalled; empty for a class that is not.
    followers  field (stored or inverse) -> those who follow it.
    watched    fields whose change concerns more than the object's own version.
    """

    name: str
    is_counted: bool
    has_records: bool
    initial: Mapping[str, Any]
    persisted: frozenset[str]
    pointers: tuple[Pointer, ...]
    inverses: Mapping[str, Place]
    followers: Mapping[str, tuple[Follow, ...]]
    everyone: tuple[Follow, ...]
    watched: frozenset[str]


def layouts(schema: Schema) -> dict[str, Layout]:
    """The layout of every class, by name. ValueError if a relation or a follower cannot be indexed."""
    indexed: set[Place] = set(schema.relations)
    for follows in schema.followers.values():
        indexed.update((cls, via) for cls, via in follows if schema[cls][via].inverse is None)
    pointers: dict[Place, Pointer] = {}
    for place in sorted(indexed):
        cls, name = place
        if cls in schema.classes:
            pointers[place] = Pointer(name, _targets(schema, cls, name), schema.relations.get(place))
    return {cls.name: _layout(schema, cls, pointers) for cls in schema.classes.values()}


def _layout(schema: Schema, cls: Class, pointers: Mapping[Place, Pointer]) -> Layout:
    initial = {f.name: f.initial for f in cls.fields if f.stored}
    mine = tuple(pointer for (owner, _), pointer in pointers.items() if owner == cls.name)
    followers: dict[str, tuple[Follow, ...]] = {}
    for (owner, field), follows in schema.followers.items():
        if owner == cls.name:
            followers[field] = tuple(_follow(schema, pointers, *follow) for follow in sorted(follows))
    return Layout(
        name=cls.name,
        is_counted=cls.in_database,
        has_records=cls.has_records,
        initial=initial,
        persisted=frozenset(f.name for f in cls.fields if f.stored and f.persist and cls.persist and cls.has_records),
        pointers=mine,
        inverses={f.name: _place(f.inverse) for f in cls.fields if f.inverse},
        followers=followers,
        everyone=tuple(dict.fromkeys(follow for follows in followers.values() for follow in follows)),
        watched=frozenset((*(p.field for p in mine), *followers, *({"uuid", "name_label"} & initial.keys()))),
    )


def _follow(schema: Schema, pointers: Mapping[Place, Pointer], cls: str, via: str) -> Follow:
    inverse = schema[cls][via].inverse
    if inverse is None:
        return Follow(cls, (cls, via), None)
    return Follow(cls, None, pointers[_place(inverse)])


def _place(text: str) -> Place:
    cls, field = text.split(".")
    return cls, field


def _targets(schema: Schema, cls: str, name: str) -> Callable[[Any], tuple[str, ...]]:
    field = schema[cls].by_name.get(name)
    if field is None or not field.stored:
        raise ValueError(f"{cls}.{name} must be a stored field: a relation or a follower goes through it")
    reference_class(field.type)
    return _set_targets if any(isinstance(part, SetType) for part in _parts(field.type)) else _one_target


def _parts(type_: Type) -> Iterator[Type]:
    yield type_
    item = getattr(type_, "item", None)
    if item is not None:
        yield from _parts(item)
