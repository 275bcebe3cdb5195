"""The filter language: what it accepts, and how values are spelled (API reference, filters)."""

from __future__ import annotations

import pytest

from xenapi_core.api.query import MAX_NESTING, compile_filter, database_text, parse
from xenapi_core.errors import ApiError
from xenapi_core.model.catalog import SCHEMA
from xenapi_core.model.schema import RW, Class, Field
from xenapi_core.model.types import BOOL, DATETIME, FLOAT, INT, STRING, STRING_MAP, Enum, Option, Set
from xenapi_core.store.api import Version

THING = Class(
    "thing",
    "Something to look for.",
    (
        Field("name_label", STRING, RW, "Name.", default="", path="name/label"),
        Field("size", INT, RW, "Size.", default=0),
        Field("big", BOOL, RW, "Whether it is big.", default=False),
        Field("mood", Enum("mood", "Happy", "Sad"), RW, "Mood.", default="Happy"),
        Field("made", DATETIME, RW, "When.", default=0),
        Field("tags", Set(STRING), RW, "Tags.", default=()),
        Field("other_config", STRING_MAP, RW, "Settings.", default={}),
        Field("secret", STRING, RW, "Not for clients.", default="", internal=True),
    ),
)
VALUES = {
    "name_label": "one", "size": -12, "big": True, "mood": "Sad", "made": 1_767_225_600, "tags": ("a", "b"),
    "other_config": {"k": "v"}, "secret": "s",
}  # fmt: skip
ONE = Version("thing", "OpaqueRef:1", VALUES, 1, 1)


def matches(text: str) -> bool:
    return compile_filter(THING, text, lambda version, field: version.values[field.name]).matches(ONE)


@pytest.mark.parametrize(
    "text",
    [
        "true",
        "not false",
        "(true)",
        'field "name__label" = "one"',
        'field "name_label" = "one"',
        '"one" = field "name__label"',
        'field\t"name__label"\n=\n"one"',
        'field "size" = "-12"',
        'field "big" = "true"',
        'field "mood" = "Sad"',
        'field "made" = "20260101T00:00:00Z"',
        "field \"tags\" = \"('a' 'b')\"",
        "field \"other_config\" = \"(('k' 'v'))\"",
        'field "_ref" = "OpaqueRef:1"',
        '"x" = "x"',
        'not field "name__label" = "two" and field "big" = "true"',
        "not(false)and(true)",
        "false and false or true",
        "true or false and true",
    ],
)
def test_expression_that_holds_matches(text):
    assert matches(text)


@pytest.mark.parametrize(
    "text",
    [
        'field "name__label" = "One"',
        'field "mood" = "sad"',
        "true or true and false",
        "not true or false",
        "not (true or false)",
        'field "tags" = "()"',
    ],
)
def test_expression_that_does_not_hold_matches_nothing(text):
    assert not matches(text)


@pytest.mark.parametrize(
    "text",
    ["", " ", "field", 'field "a"', '"a"', '"a" =', "= =", "true true", "(true", "true)", "not", "and true",
     'field "a" = "b', "TRUE", "true && false", 'field name = "x"', "'a' = 'a'", '"a" = true', "true or"],
)  # fmt: skip
def test_text_that_is_no_expression_is_an_invalid_value(text):
    with pytest.raises(ApiError) as caught:
        parse(text)
    assert caught.value.code == "INVALID_VALUE"
    assert caught.value.params[0] == text


@pytest.mark.parametrize("name", ["nope", "secret", "NAME__LABEL", ""])
def test_unknown_and_internal_columns_are_missing(name):
    with pytest.raises(ApiError) as caught:
        matches(f'field "{name}" = "s"')
    assert caught.value.description == ["INTERNAL_ERROR", "missing column", "thing", name]


def test_depth_is_limited_and_length_is_not():
    assert matches("not " * (MAX_NESTING - MAX_NESTING % 2 - 2) + "true")
    for deep in ("not " * 10_000 + "true", "(" * 10_000 + "true" + ")" * 10_000):
        with pytest.raises(ApiError, match="INVALID_VALUE"):
            matches(deep)
    assert matches("true" + " and true" * 10_000)


@pytest.mark.parametrize(
    ("type_", "value", "text"),
    [
        (BOOL, False, "false"),
        (INT, 1 << 40, "1099511627776"),
        (FLOAT, 1.0, "1."),
        (FLOAT, 0.25, "0.25"),
        (Set(INT), (1, 2), "('1' '2')"),
        (Set(STRING), (), "()"),
        (Set(STRING), ("it's",), "('it\\'s')"),
        (STRING_MAP, {}, "()"),
        (STRING_MAP, {"a": "b", "c": "d"}, "(('a' 'b') ('c' 'd'))"),
        (Option(STRING), None, "()"),
    ],
)
def test_values_are_spelled_as_in_the_database(type_, value, text):
    assert database_text(type_, value) == text


def test_equalities_joined_by_and_may_use_an_index():
    def exact(text):
        return dict(compile_filter(SCHEMA["VM"], text, lambda version, field: None).exact)

    assert exact('field "uuid" = "u" and field "name__label" = "n"') == {"uuid": "u", "name_label": "n"}
    assert exact('(("u" = field "uuid")) and true') == {"uuid": "u"}
    assert exact('field "uuid" = "u" or true') == {}
    assert exact('not field "uuid" = "u"') == {}
