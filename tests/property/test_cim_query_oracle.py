"""Queries over a pool against a naive evaluator.

Random conditions, asked as ExecQuery in two languages and as a filter, select what the naive evaluation of the same
condition over the enumerated instances selects.
"""

from __future__ import annotations

import fnmatch
import operator
import re
from collections.abc import Callable
from typing import Any

import pytest
from cim_pool import SmallPool, elements, graph, instance_values
from hypothesis import given, settings
from hypothesis import strategies as st

from cim_provider.query import cql, fql, wql
from cim_provider.query.pattern import matcher
from cim_provider.query.predicate import filter_predicate
from cim_provider.schema.objects import INVALID_QUERY, QUERY_FEATURE_NOT_SUPPORTED, CimError, Instance

Values = dict[str, Any]
Condition = tuple[str, Callable[[Values], "bool | None"]]  # text, and what it means for property name -> value

NAMES = ["web-1", "web-2", "db-1", "db", "it's"]
NUMBERS, TEXTS, ARRAYS = ["EnabledState", "RequestedState"], ["ElementName", "Description"], ["OperationalStatus"]
SIGNS = {
    "=": operator.eq, "<>": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


@pytest.fixture(scope="module")
def pool() -> SmallPool:
    pool = SmallPool()
    states = ["Running", "Halted", "Paused", "Suspended", "Running"]
    for name, state in zip(NAMES, states, strict=True):
        pool.vm(name, power_state=state, name_description="" if name == "db" else f"the {name}")
    return pool


def read(pool: SmallPool) -> list[Values]:
    """All machines: numbers as numbers, NULL as None."""
    found = [
        instance_values(e) for e in elements(pool.run("EnumerateInstances", ClassName="Xen_ComputerSystem").values)
    ]
    for values in found:
        for name in NUMBERS:
            values[name] = None if values[name] is None else int(values[name])
        for name in ARRAYS:
            values[name] = None if values[name] is None else [int(v) for v in values[name]]
    return found


def compared(sign: str, left: Any, right: Any) -> bool | None:
    return None if left is None or right is None else SIGNS[sign](left, right)


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def negated(part: Condition) -> Condition:
    text, test = part
    return f"NOT ({text})", lambda v: None if test(v) is None else not test(v)


def joined(word: str, parts: list[Condition]) -> Condition:
    decisive = word == "OR"

    def test(values: Values) -> bool | None:
        found = [one(values) for _, one in parts]
        return decisive if decisive in found else None if None in found else not decisive

    return "(" + f" {word} ".join(text for text, _ in parts) + ")", test


def number(name: str, sign: str, value: int, turned: bool) -> Condition:
    if turned:
        return f"{value} {sign} {name}", lambda v: compared(sign, value, v[name])
    return f"Xen_ComputerSystem.{name.upper()}{sign}{value}", lambda v: compared(sign, v[name], value)


def text(name: str, sign: str, value: str) -> Condition:
    return f"{name} {sign} {quoted(value)}", lambda v: compared(sign, v[name], value)


def null(name: str, word: str) -> Condition:
    return f"{name} {word} NULL", lambda v: (v[name] is None) == (word == "IS")


def of_array(word: str, sign: str, value: int) -> Condition:
    def test(v: Values) -> bool | None:
        array = v["OperationalStatus"]
        told = None if array is None else [compared(sign, item, value) for item in array]
        return None if told is None else any(told) if word == "ANY" else all(told)

    return f"{word} OperationalStatus {sign} {value}", test


def element(index: int, sign: str, value: int) -> Condition:
    def test(v: Values) -> bool | None:
        array = v["OperationalStatus"] or []
        return compared(sign, array[index] if index < len(array) else None, value)

    return f"OperationalStatus[{index}]{sign}{value}", test


def key(pool: SmallPool, name: str | None) -> Condition:
    uuid = "nobody" if name is None else pool.uuid(name)
    return f"Name = '{uuid}'", lambda v: v["Name"] == uuid


SIGN = st.sampled_from(sorted(SIGNS))
SHARED = [
    st.builds(number, st.sampled_from(NUMBERS), SIGN, st.integers(0, 12), st.booleans()),
    st.builds(text, st.sampled_from(TEXTS), SIGN, st.sampled_from([*NAMES, "", "the db", "x"])),
    st.builds(null, st.sampled_from([*NUMBERS, *TEXTS, *ARRAYS]), st.sampled_from(["IS", "IS NOT"])),
    st.builds(element, st.integers(0, 2), SIGN, st.integers(0, 12)),
]
QUANTIFIED = st.builds(of_array, st.sampled_from(["ANY", "EVERY"]), SIGN, st.integers(0, 12))


def conditions(*leaves: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
    return st.recursive(
        st.one_of(*leaves),
        lambda inner: st.one_of(
            inner.map(negated),
            st.builds(joined, st.sampled_from(["AND", "OR"]), st.lists(inner, min_size=2, max_size=3)),
        ),
        max_leaves=5,
    )


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_a_query_selects_what_the_naive_evaluator_selects(pool: SmallPool, data: st.DataObject) -> None:
    keys = st.builds(lambda name: key(pool, name), st.sampled_from([*NAMES, None]))
    language = data.draw(st.sampled_from(["WQL", "DMTF:CQL", fql.LANGUAGE]))
    more = [] if language == "WQL" else [QUANTIFIED]
    words, test = data.draw(conditions(*SHARED, keys, *more))
    if language == fql.LANGUAGE:
        words = words.replace("Xen_ComputerSystem.", "")
        asked = {"FilterQueryLanguage": language, "FilterQuery": words}
        reply = pool.run("OpenEnumerateInstances", ClassName="Xen_ComputerSystem", MaxObjectCount=99, **asked)
    else:
        query = f"SELECT ElementName FROM Xen_ComputerSystem WHERE {words}"
        reply = pool.run("ExecQuery", QueryLanguage=language, Query=query)
    found = [instance_values(e)["ElementName"] for e in elements(reply.values)]
    assert found == [v["ElementName"] for v in read(pool) if test(v) is True]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(["a", "b", ".", "a*", ".*", "b+", "a?", ".?", "[ab]", "[^a]+", "\\.", "[a-b]*"]),
                max_size=8).map("".join), st.text("ab.c", max_size=10))  # fmt: skip
def test_like_of_fql_matches_as_its_regular_expression_does(pattern: str, subject: str) -> None:
    assert matcher(fql.pattern(pattern))(subject) == bool(re.fullmatch(pattern, subject))


@settings(max_examples=100, deadline=None)
@given(st.text("ab%_", max_size=40), st.text("ab", max_size=40))
def test_like_of_wql_matches_as_a_shell_pattern_does(pattern: str, subject: str) -> None:
    shell = pattern.replace("%", "*").replace("_", "?")
    assert matcher(wql.pattern(pattern))(subject) == fnmatch.fnmatchcase(subject, shell)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(["a*", "b*", "a", ".", ".*"]), max_size=12).map("".join), st.text("ab", max_size=12))
def test_like_of_cql_with_many_repetitions_in_a_row_matches_as_its_regular_expression_does(
    pattern: str, subject: str
) -> None:
    assert matcher(cql.pattern(pattern))(subject) == bool(re.fullmatch(pattern, subject))


WORDS = [
    "Name", "EnabledState", "OperationalStatus", "ANY", "EVERY", "NOT", "AND", "OR", "LIKE", "ISA", "IS", "NULL", "=",
    "<>", "<", "(", ")", "[0]", "[0..1]", "'a'", "'a*[b-'", "2", "1e400", "-1", "::", ".", "CIM_System", "+",
]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join) | st.text(max_size=40))
def test_whatever_a_filter_says_the_outcome_is_an_answer_or_a_cim_error(words: str) -> None:
    assert outcome(words, "cim_system") in (True, False, INVALID_QUERY, QUERY_FEATURE_NOT_SUPPORTED)
    assert outcome(words, "") in (True, False, INVALID_QUERY, QUERY_FEATURE_NOT_SUPPORTED)


def outcome(words: str, source: str) -> bool | int:
    """What a filter tells of a machine, or the status of the error."""
    machine = Instance("Xen_ComputerSystem", {"Name": "a", "EnabledState": 2, "OperationalStatus": (2,)})
    try:
        return filter_predicate(fql.parse(words), graph(), graph().classes.get(source))(machine)
    except CimError as error:
        return error.status
