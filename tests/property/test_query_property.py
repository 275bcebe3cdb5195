"""Queries against a naive evaluator: text is made from a random condition, parsed, and must tell the same."""

from __future__ import annotations

import re
from typing import Any

from cim_pool import graph
from hypothesis import given, settings
from hypothesis import strategies as st

from cim_provider.query import cql, wql
from cim_provider.query.pattern import matcher
from cim_provider.query.predicate import predicate
from cim_provider.schema.objects import INVALID_QUERY, QUERY_FEATURE_NOT_SUPPORTED, CimError, Instance

# Random conditions over a CIM_InstModification: a condition is (text, function of (source values, previous values)).
PROPERTIES = {"EnabledState": st.integers(0, 3), "Name": st.sampled_from(["a", "b", "it's"]), "Started": st.booleans()}
VALUES = st.fixed_dictionaries({name: st.none() | value for name, value in PROPERTIES.items()})
LITERALS = st.sampled_from(
    [("2", 2), ("-1", -1), ("1.5", 1.5), ("0x2", 2), ("'a'", "a"), ('"b"', "b"), ("'it''s'", "it's"),
     ("'it\\'s'", "it's"), ("TRUE", True), ("false", False), ("NULL", None)]
)  # fmt: skip


def kind(value: Any) -> str:
    return "number" if type(value) in (int, float) else type(value).__name__


def naive_compare(sign: str, left: Any, right: Any) -> bool | None:
    if left is None or right is None or kind(left) != kind(right):
        return None
    if sign in ("=", "<>"):
        return (left == right) == (sign == "=")
    if kind(left) == "bool":
        return None
    return {"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}[sign]


@st.composite
def operands(draw):
    if draw(st.booleans()):
        text, value = draw(LITERALS)
        return text, lambda source, previous: value
    name, end = draw(st.sampled_from(sorted(PROPERTIES))), draw(st.sampled_from(["SourceInstance", "previousinstance"]))
    scope = draw(st.sampled_from(["", "CIM_EnabledLogicalElement::", "CIM_Service::", "CIM_Processor::"]))
    if name == "Started" and scope not in ("", "CIM_Service::"):
        scope = "CIM_Service::"
    which = 0 if end == "SourceInstance" else 1
    hidden = scope == "CIM_Processor::"
    return f"{end}.{scope}{name}", lambda *ends: None if hidden else ends[which][name]


@st.composite
def comparisons(draw):
    left, read_left = draw(operands())
    form = draw(st.integers(0, 2))
    if form == 0:
        return f"{left} IS NULL", lambda *ends: read_left(*ends) is None
    if form == 1:
        return f"{left} is not null", lambda *ends: read_left(*ends) is not None
    sign = draw(st.sampled_from(["=", "<>", "<", "<=", ">", ">="]))
    right, read_right = draw(operands())
    return f"{left}{sign}{right}", lambda *ends: naive_compare(sign, read_left(*ends), read_right(*ends))


def negated(part):
    text, test = part
    return f"NOT ({text})", lambda *ends: None if test(*ends) is None else not test(*ends)


def joined(word, parts):
    decisive = word == "OR"

    def test(*ends):
        found = [one(*ends) for _, one in parts]
        return decisive if decisive in found else None if None in found else not decisive

    return "(" + f" {word} ".join(text for text, _ in parts) + ")", test


CONDITIONS = st.recursive(
    comparisons(),
    lambda inner: st.one_of(
        inner.map(negated),
        st.builds(joined, st.sampled_from(["AND", "OR"]), st.lists(inner, min_size=2, max_size=3)),
    ),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(CONDITIONS, VALUES, VALUES)
def test_a_query_tells_what_the_naive_evaluator_tells(condition, source, previous):
    text, expected = condition
    instance = Instance(
        "CIM_InstModification",
        {
            "SourceInstance": Instance("Xen_IndicationService", source),
            "PreviousInstance": Instance("Xen_IndicationService", previous),
        },
    )
    query = cql.parse(f"SELECT * FROM CIM_InstModification WHERE {text}")
    assert predicate(query, graph())(instance) is (expected(source, previous) is True)


@settings(max_examples=200, deadline=None)
@given(st.text("ab%_", max_size=6), st.text("ab", max_size=6))
def test_like_of_wql_matches_as_its_regular_expression_does(pattern, text):
    expression = "".join({"%": ".*", "_": "."}.get(char, char) for char in pattern)
    assert matcher(wql.pattern(pattern))(text) == bool(re.fullmatch(expression, text))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(["a", "b", ".", "a*", ".*"]), max_size=5).map("".join), st.text("ab", max_size=6))
def test_like_of_cql_matches_as_its_regular_expression_does(pattern, text):
    assert matcher(cql.pattern(pattern))(text) == bool(re.fullmatch(pattern, text))


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("SELECT*FROM WHERE ISA ANY+()'\"[].:<>=%_a1#|\\\x00é"), max_size=60))
def test_whatever_the_text_is_the_outcome_is_a_query_or_a_cim_error(text):
    for parse in (wql.parse, cql.parse):
        for whole in (text, f"SELECT * FROM CIM_InstModification WHERE {text}"):
            assert status_of(parse, whole) in (None, INVALID_QUERY, QUERY_FEATURE_NOT_SUPPORTED)


def status_of(parse, text):
    try:
        predicate(parse(text), graph())
    except CimError as error:
        return error.status
    return None
