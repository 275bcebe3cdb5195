"""A small class with every type, one record of it, and strategies for typed values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from xenapi_core.model.schema import RO, RW, Class, Field
from xenapi_core.model.types import (
    BOOL,
    DATETIME,
    FLOAT,
    INT,
    INT_MAX,
    INT_MIN,
    STRING,
    STRING_MAP,
    Enum,
    EnumType,
    Map,
    MapType,
    Option,
    OptionType,
    Ref,
    RefType,
    Set,
    SetType,
    Type,
)

GOLDEN = Path(__file__).parent / "golden"

POWER = Enum("power", "Halted", "Running")
THING = Class(
    "thing",
    "A class with a field of every type.",
    (
        Field("uuid", STRING, RO, ""),
        Field("name", STRING, RW, "", default=""),
        Field("power_state", POWER, RO, ""),
        Field("size", INT, RO, ""),
        Field("load", FLOAT, RO, ""),
        Field("template", BOOL, RO, ""),
        Field("started", DATETIME, RO, ""),
        Field("owner", Ref("thing"), RO, ""),
        Field("disks", Set(Ref("thing")), RO, ""),
        Field("empty", Set(POWER), RO, ""),
        Field("hidden", STRING, RO, "", internal=True),
        Field("config", STRING_MAP, RW, ""),
        Field("by_number", Map(INT, FLOAT), RO, ""),
        Field("unset_option", Option(Ref("thing")), RO, ""),
        Field("set_option", Option(INT), RO, ""),
    ),
)
RECORD: dict[str, Any] = {
    "uuid": "00000000-0000-0000-0000-000000000001",
    "name": "a <b> & \"c\" 'd' é",
    "power_state": "Halted",
    "size": INT_MAX,
    "load": 0.1,
    "template": True,
    "started": 1767268800,
    "owner": "OpaqueRef:NULL",
    "disks": ("OpaqueRef:x", "OpaqueRef:y"),
    "empty": (),
    "hidden": "never sent",
    "config": {"k&": "v"},
    "by_number": {0: 2.5},
    "unset_option": None,
    "set_option": 7,
}


def golden(name: str) -> bytes:
    """The bytes of a golden file, without the line feed that ends the file."""
    return (GOLDEN / name).read_bytes().removesuffix(b"\n")


# Everything XML can carry: control characters and the two noncharacters are dropped by the encoder, tested apart.
texts = st.text(
    st.characters(blacklist_categories=["Cs"], blacklist_characters="\ufffe\uffff", min_codepoint=32)
) | st.text('a&<>"\t\n\r]', max_size=8)
refs = st.uuids().map(lambda uuid: f"OpaqueRef:{uuid}")
moments = st.integers(-62135596800, 253402300799)
floats = st.floats(allow_nan=False, allow_infinity=False)
keys = st.sampled_from([STRING, INT, Ref("VM"), POWER])
scalars = st.sampled_from([STRING, INT, FLOAT, BOOL, DATETIME, POWER, Ref("VM")])
types = st.recursive(
    scalars,
    lambda inner: (
        inner.map(Set) | st.builds(Map, keys, inner) | inner.filter(lambda t: not isinstance(t, OptionType)).map(Option)
    ),
    max_leaves=4,
)


def values(type_: Type) -> st.SearchStrategy[Any]:
    """Internal values of `type_`."""
    if isinstance(type_, SetType):
        return st.lists(values(type_.item), max_size=4).map(tuple)
    if isinstance(type_, MapType):
        return st.dictionaries(values(type_.key), values(type_.value), max_size=4)
    if isinstance(type_, OptionType):
        return st.none() | values(type_.item)
    if isinstance(type_, EnumType):
        return st.sampled_from(type_.values)
    if isinstance(type_, RefType):
        return refs
    plain = {STRING: texts, INT: st.integers(INT_MIN, INT_MAX), FLOAT: floats, BOOL: st.booleans(), DATETIME: moments}
    return plain[type_]


typed = types.flatmap(lambda type_: st.tuples(st.just(type_), values(type_)))


def same(one: Any, two: Any) -> bool:
    """Equal, floats to the 16 digits the wire carries."""
    if isinstance(one, float) and isinstance(two, float):
        return one == two or abs(one - two) <= 1e-15 * max(abs(one), abs(two)) or f"{one:.16g}" == f"{two:.16g}"
    if isinstance(one, dict) and isinstance(two, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    if isinstance(one, list | tuple) and type(one) is type(two):
        return len(one) == len(two) and all(map(same, one, two))
    return type(one) is type(two) and one == two
