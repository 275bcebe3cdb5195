"""Computed fields read what they say they read: their own record, and the fields that they follow.

A recorder stands between a computed field and the store, and notes every field that is looked at. The records it reads
have values of every kind that the schema allows, drawn from a fixed seed.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from xenapi_core.ids import NULL_REF
from xenapi_core.model import lifecycle
from xenapi_core.model.catalog import SCHEMA
from xenapi_core.model.schema import Class, Field, reference_class
from xenapi_core.model.types import BoolType, EnumType, IntType, MapType, RefType, SetType, StringType, Type
from xenapi_core.store.api import Version
from xenapi_core.testing.records import Records

COMPUTED = [(cls, field) for cls in SCHEMA.classes.values() for field in cls.fields if field.computed is not None]
DRAWS = 400

# Words that rules look for in free text and maps; a field of text has one of them, or its default.
WORDS = ("", "1", "true", "udev", "lvm", "rrd")
KEYS = ("default_template", "nomigrate", "nested-virt", "feature-suspend", "data-cant-suspend-reason")
WHOLE = "*"

Read = tuple[str, ...]


class Looked:
    """The store as computed fields see it: `reads` is {(place, field) or (place, field, key of a map)} looked at.

    A place is "" for the record itself, or the name of its field through which the other record was reached.
    """

    def __init__(self, records: Records, ref: str) -> None:
        self.store = records.store
        self.reads: set[Read] = set()
        self.own = self.store.get(ref)
        self.record = _Seen(self.own, "", self.reads)

    def find(self, ref: str) -> _Seen | None:
        found = self.store.find(ref)
        return None if found is None else _Seen(found, self._way_to(ref), self.reads)

    def related(self, ref: str, inverse: str) -> tuple[str, ...]:
        self.reads.add((self._way_to(ref), inverse))
        return self.store.related(ref, inverse)

    def _way_to(self, ref: str) -> str:
        """The field of the record itself that names `ref`."""
        if ref == self.own.ref:
            return ""
        for field in SCHEMA[self.own.cls].fields:
            if field.inverse is not None:
                if ref in self.store.related(self.own.ref, field.name):
                    return field.name
            elif field.computed is None and ref in _targets(self.own.values[field.name]):
                return field.name
        raise AssertionError(f"{self.own.cls} looks further than its own references: {ref}")


class _Seen:
    """A record whose fields are noted when they are read."""

    def __init__(self, version: Version, place: str, reads: set[Read]) -> None:
        self.ref, self.cls = version.ref, version.cls
        self.values: Mapping[str, Any] = _Noted(version.values, (place,), reads)

    def __getitem__(self, field: str) -> Any:
        return self.values[field]


class _Noted(Mapping[str, Any]):
    """A map that notes its keys when they are asked for, and WHOLE when all of it is."""

    def __init__(self, values: Mapping[str, Any], place: Read, reads: set[Read]) -> None:
        self._values, self._place, self._reads = values, place, reads

    def __getitem__(self, key: str) -> Any:
        is_map = len(self._place) == 1 and isinstance(self._values.get(key), dict)
        if is_map:
            return _Noted(self._values[key], (*self._place, key), self._reads)
        self._reads.add((*self._place, key))
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        self._reads.add((*self._place, WHOLE))
        return iter(self._values)

    def __len__(self) -> int:
        self._reads.add((*self._place, WHOLE))
        return len(self._values)


def _targets(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value if isinstance(value, tuple) else ()


def _drawn(pick: random.Random, type_: Type, make: Callable[[str], str]) -> Any:
    """A value of the type; `make` makes a record of a class and gives its reference."""
    match type_:
        case BoolType():
            return pick.random() < 0.5
        case EnumType():
            return pick.choice(type_.values)
        case IntType():
            return pick.choice((0, 1))
        case StringType():
            return pick.choice(WORDS)
        case RefType():
            return make(type_.cls) if pick.random() < 0.7 else NULL_REF
        case SetType():
            return tuple(_drawn(pick, type_.item, make) for _ in range(pick.randrange(2)))
        case MapType():
            keys = KEYS if isinstance(type_.key, StringType) else getattr(type_.key, "values", ())
            chosen = pick.sample(keys, min(len(keys), pick.randrange(2)))
            return {key: _drawn(pick, type_.value, make) for key in chosen}
    return type_.empty


class Worlds(Records):
    """Records of a class, each with others around it: what its references name and what points at it."""

    def __init__(self) -> None:
        super().__init__("reads")
        self.pick = random.Random(0)
        self.strange = 0.0  # how many fields differ from their default

    def draw(self, cls: Class) -> str:
        """A new record of `cls`, among new others."""
        self.strange = self.pick.choice((0.02, 0.1, 0.3, 0.6))
        middle = self._make(cls.name, near=True)
        for field in cls.fields:
            if field.inverse is not None:
                owner, back = field.inverse.split(".")
                for _ in range(self.pick.randrange(3)):
                    points = middle if isinstance(SCHEMA[owner][back].type, RefType) else (middle,)
                    self._make(owner, near=False, **{back: points})
        return middle

    def _make(self, cls: str, near: bool, **given: Any) -> str:
        """A record; only the one in the middle (`near`) has references to others."""
        for field in SCHEMA[cls].fields:
            if field.inverse is not None or field.computed is not None or field.name in ("uuid", *given):
                continue
            refers = _refers(field)
            if near if refers else self.pick.random() < self.strange:
                make = self._far if near else lambda _: NULL_REF
                given[field.name] = _drawn(self.pick, field.type, make)
        return self.add(cls, **given)

    def _far(self, cls: str) -> str:
        return self._make(cls, near=False)


def _refers(field: Field) -> bool:
    try:
        return bool(reference_class(field.type))
    except ValueError:
        return False


@pytest.mark.parametrize(("cls", "field"), COMPUTED, ids=lambda value: value.name)
def test_computed_field_reads_its_own_record_and_what_it_follows(cls: Class, field: Field) -> None:
    elsewhere: set[tuple[str, str]] = set()
    worlds = Worlds()
    for _ in range(DRAWS):
        seen = Looked(worlds, worlds.draw(cls))
        assert field.computed is not None
        field.computed(seen, seen.record)
        elsewhere |= {(read[0], read[1]) for read in seen.reads if read[0]}
    assert elsewhere == {(via, name) for via, names in field.follows.items() for name in names}


def test_vms_that_share_an_answer_are_alike_in_all_that_was_read() -> None:
    worlds = Worlds()
    for _ in range(DRAWS):
        vm = worlds.draw(SCHEMA["VM"])
        key, rules = Looked(worlds, vm), Looked(worlds, vm)
        lifecycle.what_counts(key, key.record)
        lifecycle.allowed_by_rules(rules, rules.record)
        assert {read for read in rules.reads if read not in key.reads and (*read[:2], WHOLE) not in key.reads} == set()


def test_vm_in_a_snapshot_schedule_is_not_offered_to_become_a_template() -> None:
    records = Records("schedule")
    free = records.add("VM")
    scheduled = records.add("VM", snapshot_schedule=records.add("VMSS"))
    offered = [lifecycle.allowed_vm_operations(records.store, records.store.get(vm)) for vm in (free, scheduled)]
    assert ["make_into_template" in names for names in offered] == [True, False]
