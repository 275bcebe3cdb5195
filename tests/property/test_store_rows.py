"""What goes to disk comes back as it was: every type of the Xen-API, with the hardest values."""

from __future__ import annotations

import json
import logging
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xenapi_core.model import types as t
from xenapi_core.model.schema import RO, Class, Field, Schema
from xenapi_core.store.rows import Rows

COLOUR = t.Enum("colour", "red", "green")
TYPES: tuple[t.Type, ...] = (
    t.STRING, t.INT, t.FLOAT, t.BOOL, t.DATETIME, COLOUR, t.Ref("Thing"), t.Set(t.STRING), t.Set(t.Set(t.INT)),
    t.Set(t.Ref("Thing")), t.STRING_MAP, t.Map(t.INT, t.FLOAT), t.Map(t.INT, t.Set(t.STRING)), t.Map(COLOUR, t.BOOL),
    t.Map(t.FLOAT, t.INT), t.Map(t.BOOL, t.INT), t.Map(t.DATETIME, t.STRING), t.Map(t.Ref("Thing"), t.Set(t.STRING)),
    t.Option(t.STRING), t.Option(t.Set(t.INT)), t.Set(t.Record("Part")), t.Option(t.Record("Part")),
)  # fmt: skip
PART = Class("Part", "", (Field("sizes", t.Map(t.INT, t.Set(t.FLOAT)), RO, ""), Field("label", t.STRING, RO, "")))
THING = Class("Thing", "", tuple(Field(f"f{i}", type_, RO, "") for i, type_ in enumerate(TYPES)))
SCHEMA = Schema(THING, PART)

TEXT = st.text(st.characters(exclude_categories=())) | st.sampled_from(("", "\udc80", "\x00", "NaN", "null"))
INTS = st.integers(t.INT_MIN, t.INT_MAX)
FLOATS = st.floats() | st.sampled_from((math.inf, -math.inf, math.nan, -0.0, 1.0, 5e-324))


def internal(type_: t.Type, key: bool = False) -> st.SearchStrategy[Any]:
    """Values of a type in their internal form (model/types.py)."""
    match type_:
        case t.EnumType(values=members):
            return st.sampled_from(members)
        case t.StringType() | t.RefType():
            return TEXT
        case t.IntType() | t.DateTimeType():
            return INTS
        case t.FloatType():
            return st.floats(allow_nan=False) if key else FLOATS
        case t.BoolType():
            return st.booleans()
        case t.SetType(item=item):
            return st.lists(internal(item), max_size=3).map(tuple)
        case t.MapType(key=k, value=v):
            return st.dictionaries(internal(k, key=True), internal(v), max_size=3)
        case t.OptionType(item=item):
            return st.none() | internal(item)
        case t.RecordType():
            return st.fixed_dictionaries({f.name: internal(f.type) for f in PART.fields})
    raise AssertionError(type_)


def same(one: Any, other: Any) -> bool:
    """Equal in value, in type all the way down, and in the order of keys; NaN is like NaN."""
    if type(one) is not type(other):
        return False
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return same(tuple(one.items()), tuple(other.items()))
    return repr(one) == repr(other)


@settings(max_examples=80, deadline=None)
@given(st.fixed_dictionaries({f.name: internal(f.type) for f in THING.fields}))
def test_a_record_comes_back_as_it_was(values: dict[str, Any]) -> None:
    rows = Rows(SCHEMA)
    rows.check("Thing", values)
    text = rows.encode("Thing", values)
    text.encode()  # SQLite takes valid Unicode only
    found = rows.decode("Thing", text)
    assert found is not None
    assert found.keys() == values.keys()
    assert [name for name in values if not same(found[name], values[name])] == []


@pytest.mark.parametrize("value", [{1, 2}, b"x", object(), ["list", object()]])
def test_a_value_that_is_not_internal_is_found_before_it_is_queued(value: object) -> None:
    with pytest.raises(AssertionError, match="f0"):
        Rows(SCHEMA).check("Thing", {"f0": value})


def test_integers_beyond_64_bits_are_not_rounded() -> None:
    rows = Rows(SCHEMA)
    found = rows.decode("Thing", rows.encode("Thing", {"f1": 1 << 80}))
    assert found is not None
    assert found["f1"] == 1 << 80


def test_another_schema_loses_only_what_it_does_not_know(caplog: pytest.LogCaptureFixture) -> None:
    then = Class("A", "", (Field("kept", t.INT, RO, ""), Field("gone", t.INT, RO, ""), Field("was_int", t.INT, RO, "")))
    now = Class("A", "", (
        Field("kept", t.INT, RO, ""), Field("was_int", t.STRING_MAP, RO, "", default={"a": "b"}),
        Field("later", COLOUR, RO, "", default="green"),
    ))  # fmt: skip
    text = Rows(Schema(then)).encode("A", {"kept": 1, "gone": 2, "was_int": 3})
    rows = Rows(Schema(now))
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert rows.decode("A", text) == {"kept": 1, "was_int": {"a": "b"}, "later": "green"}
            assert rows.decode("B", text) is None
    assert sorted(record.getMessage().split(":")[0] for record in caplog.records) == [
        "field A.gone is left out",
        "field A.was_int starts anew",
        "records of class B are left out",
    ]


@pytest.mark.parametrize("type_", TYPES, ids=lambda type_: type_.name)
@pytest.mark.parametrize("wrong", [[[[[None]]]], {"a": [{}]}, {"": {}}, 1.5, "blue", 7, True, None, [7, "x", None]])
def test_a_value_of_another_type_is_replaced_and_never_believed(type_: t.Type, wrong: Any) -> None:
    cls = Class("A", "", (Field("f", type_, RO, ""),))
    found = Rows(Schema(cls, PART, THING)).decode("A", json.dumps({"f": wrong}))
    assert found is not None
    assert is_internal(type_, found["f"])


def is_internal(type_: t.Type, value: Any) -> bool:
    match type_:
        case t.EnumType(values=members):
            return value in members
        case t.StringType() | t.RefType():
            return type(value) is str
        case t.IntType() | t.DateTimeType():
            return type(value) is int
        case t.FloatType():
            return type(value) is float
        case t.BoolType():
            return type(value) is bool
        case t.SetType(item=item):
            return type(value) is tuple and all(is_internal(item, one) for one in value)
        case t.MapType(key=k, value=v):
            return type(value) is dict and all(is_internal(k, a) and is_internal(v, b) for a, b in value.items())
        case t.OptionType(item=item):
            return value is None or is_internal(item, value)
    return type(value) is dict


@pytest.mark.parametrize("text", ["[]", "1", "{", "", " {", "\x00"])
def test_text_that_is_no_record_is_an_error(text: str) -> None:
    with pytest.raises(ValueError):
        Rows(SCHEMA).decode("Thing", text)
