"""What each type accepts from a client, and what it makes of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xenapi_core.ids import NULL_REF
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
    Map,
    Mismatch,
    Option,
    Record,
    Ref,
    Set,
    Type,
    describe,
    format_datetime,
)

COLOUR = Enum("colour", "Red", "green", "blue")
TYPES = (
    STRING, INT, FLOAT, BOOL, DATETIME, COLOUR, Ref("VM"), Set(INT), STRING_MAP, Map(STRING, Set(COLOUR)),
    Option(INT), Record("VM"),
)  # fmt: skip

numbers = st.integers(INT_MIN, INT_MAX)
instants = st.integers(-62_135_596_800, 253_402_300_799)  # years 1 to 9999
offered: dict[Type, st.SearchStrategy[Any]] = {
    STRING: st.text(),
    INT: numbers | numbers.map(str),
    FLOAT: st.floats(allow_nan=False) | st.integers(-(10**6), 10**6) | st.floats(allow_nan=False).map(repr),
    BOOL: st.sampled_from([True, False, 0, 1, "0", "1"]),
    DATETIME: numbers | st.integers(0, 253_402_300_799).map(format_datetime),
    COLOUR: st.sampled_from(["Red", "red", "GREEN", "blue"]),
    Ref("VM"): st.text(),
    Set(INT): st.lists(numbers | numbers.map(str)) | st.tuples(numbers),
    STRING_MAP: st.dictionaries(st.text(), st.text()),
    Map(STRING, Set(COLOUR)): st.dictionaries(st.text(), st.lists(st.sampled_from(["red", "blue"]))),
    Option(INT): st.none() | numbers,
    Record("VM"): st.dictionaries(st.text(), st.text() | st.booleans()),
}
anything = st.recursive(
    st.none() | st.booleans() | numbers | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize("type_", TYPES, ids=lambda t: t.name)
def test_accepting_what_was_accepted_changes_nothing(type_: Type) -> None:
    @settings(max_examples=60, deadline=None)
    @given(offered[type_])
    def check(value: Any) -> None:
        accepted = type_.accept(value)
        again = type_.accept(accepted)
        assert again == accepted
        assert type(again) is type(accepted)

    check()


@pytest.mark.parametrize("type_", TYPES, ids=lambda t: t.name)
def test_any_plain_value_is_accepted_or_a_mismatch(type_: Type) -> None:
    @settings(max_examples=60, deadline=None)
    @given(anything)
    def check(value: Any) -> None:
        try:
            accepted = type_.accept(value)
        except Mismatch:
            return
        assert type(accepted) in (str, int, float, bool, tuple, dict, type(None))

    check()


@pytest.mark.parametrize("type_", TYPES, ids=lambda t: t.name)
def test_the_empty_value_of_a_type_is_one_of_its_values(type_: Type) -> None:
    assert type_.accept(type_.empty) == type_.empty


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (STRING, 1),
        (STRING, None),
        (STRING, True),
        (INT, "1.5"),
        (INT, ""),
        (INT, "0x10"),
        (INT, True),
        (INT, 1.0),
        (INT, INT_MAX + 1),
        (INT, str(INT_MIN - 1)),
        (INT, "1_000"),
        (INT, "\u0661"),
        (FLOAT, "a lot"),
        (FLOAT, True),
        (FLOAT, None),
        (BOOL, "true"),
        (BOOL, 2),
        (BOOL, 1.0),
        (BOOL, None),
        (DATETIME, "yesterday"),
        (DATETIME, "20260230T00:00:00Z"),
        (DATETIME, "20260101T24:00:00Z"),
        (DATETIME, "20260101T12:61:00Z"),
        (DATETIME, True),
        (COLOUR, "purple"),
        (COLOUR, 0),
        (Ref("VM"), None),
        (Ref("VM"), 7),
        (Set(INT), "12"),
        (Set(INT), {"a": 1}),
        (Set(INT), ["a"]),
        (STRING_MAP, [["a", "b"]]),
        (STRING_MAP, {"a": 1}),
        (Record("VM"), []),
        (Option(INT), "x"),
    ],
)
def test_values_of_another_kind_are_refused(type_: Type, value: Any) -> None:
    with pytest.raises(Mismatch):
        type_.accept(value)


def test_numbers_too_long_to_convert_are_refused() -> None:
    with pytest.raises(Mismatch):
        INT.accept("9" * 10_000)


@settings(max_examples=200, deadline=None)
@given(instants)
def test_datetimes_survive_being_formatted(moment: int) -> None:
    text = format_datetime(moment)
    assert DATETIME.accept(text) == moment


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("20260101T12:00:00Z", 1_767_268_800),
        ("2026-01-01T12:00:00Z", 1_767_268_800),
        ("20260101T12:00:00", 1_767_268_800),
        ("20260101T14:00:00+02:00", 1_767_268_800),
        ("20260101T06:30:00-0530", 1_767_268_800),
        ("20260101T12:00:00.75Z", 1_767_268_800),
        ("19700101T00:00:00Z", 0),
    ],
)
def test_datetimes_may_be_spelled_in_several_ways(text: str, moment: int) -> None:
    assert DATETIME.accept(text) == moment


def test_an_instant_no_calendar_holds_is_shown_as_the_epoch() -> None:
    assert format_datetime(1 << 62) == "19700101T00:00:00Z"


def test_enumerations_are_recognised_in_any_case_and_kept_in_their_own() -> None:
    assert COLOUR.accept("RED") == "Red"
    assert COLOUR.accept("green") == "green"


def test_the_empty_reference_of_old_clients_is_null() -> None:
    assert Ref("VM").accept("") == NULL_REF


def test_a_boolean_may_be_a_number_or_a_digit() -> None:
    assert [BOOL.accept(value) for value in (1, "1", True)] == [True] * 3
    assert [BOOL.accept(value) for value in (0, "0", False)] == [False] * 3


def test_sets_and_maps_convert_their_members() -> None:
    assert Set(INT).accept(["1", 2]) == (1, 2)
    assert Map(INT, Set(BOOL)).accept({"1": ["0", True]}) == {1: (False, True)}


def test_type_names_are_those_of_the_reference() -> None:
    assert Map(STRING, Set(Ref("VM"))).name == "(string -> VM ref set) map"
    assert COLOUR.name == "enum colour"
    assert Option(Record("VM")).name == "VM record option"


def test_a_refused_value_is_shown_shortened_and_with_its_kind() -> None:
    assert describe("x") == "S(x)"
    assert describe(["a"]) == "A(['a'])"
    assert len(describe("x" * 1000)) < 70
    assert str(Mismatch("bool", "x")) == "Expected bool, got 'S(x)'"
