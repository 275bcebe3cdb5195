"""The filter language against a naive evaluator that works on the text of the expression itself."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from xenapi_core.api.query import compile_filter
from xenapi_core.errors import ApiError
from xenapi_core.model.schema import RW, Class, Field
from xenapi_core.model.types import INT, STRING
from xenapi_core.store.api import Version

THING = Class(
    "thing",
    "Something to look for.",
    (
        Field("name_label", STRING, RW, "Name.", default="", path="name/label"),
        Field("size", INT, RW, "Size.", default=0),
    ),
)

texts = st.sampled_from(["", "a", "b", "1", "a b", "(", "and", "é"])


def operand(kind, text):
    return {"literal": f'"{text}"', "name": 'field "name__label"', "size": 'field "size"'}[kind]


def meaning(kind, text, record):
    return {"literal": text, "name": record["name_label"], "size": str(record["size"])}[kind]


kinds = st.sampled_from(["literal", "name", "size"])
leaves = st.one_of(
    st.tuples(st.just("constant"), st.booleans()),
    st.tuples(st.just("equal"), kinds, texts, kinds, texts),
)
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.tuples(st.just("not"), inner),
        st.tuples(st.just("chain"), inner, st.lists(st.tuples(st.sampled_from(["and", "or"]), inner), min_size=1)),
    ),
    max_leaves=12,
)


def spell(tree, draw_space):
    """The expression, with parentheses wherever a chain is an operand."""
    space = draw_space()
    if tree[0] == "constant":
        return f"{space}{str(tree[1]).lower()} "
    if tree[0] == "equal":
        return f"{space}{operand(tree[1], tree[2])}{space}={space}{operand(tree[3], tree[4])} "
    if tree[0] == "not":
        return f"not {wrapped(tree[1], draw_space)}"
    first, rest = tree[1], tree[2]
    return wrapped(first, draw_space) + "".join(f"{operator} {wrapped(term, draw_space)}" for operator, term in rest)


def wrapped(tree, draw_space):
    text = spell(tree, draw_space)
    return f"({text}) " if tree[0] == "chain" else text


def holds(tree, record):
    if tree[0] == "constant":
        return tree[1]
    if tree[0] == "equal":
        return meaning(tree[1], tree[2], record) == meaning(tree[3], tree[4], record)
    if tree[0] == "not":
        return not holds(tree[1], record)
    result = holds(tree[1], record)
    for operator, term in tree[2]:
        value = holds(term, record)
        result = (result and value) if operator == "and" else (result or value)
    return result


@settings(max_examples=200, deadline=None)
@given(tree=trees, name=texts, size=st.integers(-1, 1), spaces=st.lists(st.sampled_from(["", " ", "\t", "\n "])))
def test_compiled_filter_agrees_with_the_naive_evaluator(tree, name, size, spaces):
    record = {"name_label": name, "size": size}
    blanks = iter(spaces)
    text = spell(tree, lambda: next(blanks, " "))
    compiled = compile_filter(THING, text, lambda version, field: version.values[field.name])
    assert compiled.matches(Version("thing", "OpaqueRef:1", record, 1, 1)) == holds(tree, record)
    if holds(tree, record):
        for field, literal in compiled.exact.items():
            assert str(record[field]) == literal


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet='truefalsndo()=" _\x00é', max_size=40))
def test_any_text_is_an_expression_or_refused_as_data(text):
    try:
        compile_filter(THING, text, lambda version, field: version.values[field.name])
        code = ""
    except ApiError as error:
        code = error.code
    assert code in ("", "INVALID_VALUE", "INTERNAL_ERROR")
