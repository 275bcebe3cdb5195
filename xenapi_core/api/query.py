"""The filter language of get_all_where and get_all_records_where: compiles text to a predicate on records.

    expr   := term (("and" | "or") term)*          left to right, equal precedence (API reference, filters)
    term   := "not" term | "true" | "false" | "(" expr ")" | value "=" value
    value  := '"' characters without '"' '"' | "field" '"' column '"'

Theory of operation
1. `parse` makes a tree; `compile_filter` checks its columns against a class and makes a predicate; no record is read.
2. Comparison is on text, each type in its database spelling (`database_text`), and is case sensitive.
3. Nesting is limited, so that no expression exhausts the stack; chains of and/or are flat, so their length is not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from xenapi_core.errors import E
from xenapi_core.model.schema import Class, Field
from xenapi_core.model.types import BOOL, DATETIME, FLOAT, INT, MapType, OptionType, SetType, Type, format_datetime
from xenapi_core.store.api import Version

MAX_NESTING = 100

_TOKEN = re.compile(r'[ \t\r\n]*(?:(?P<text>"[^"]*")|(?P<word>[A-Za-z_]+)|(?P<sign>[()=])|(?P<end>\Z))')
_WORDS = frozenset({"field", "and", "or", "not", "true", "false"})


@dataclass(frozen=True, slots=True)
class Literal:
    text: str


@dataclass(frozen=True, slots=True)
class Column:
    name: str


@dataclass(frozen=True, slots=True)
class Equal:
    left: Literal | Column
    right: Literal | Column


@dataclass(frozen=True, slots=True)
class Not:
    term: Node


@dataclass(frozen=True, slots=True)
class Constant:
    value: bool


@dataclass(frozen=True, slots=True)
class Chain:
    """`first`, then ("and" | "or", term) from left to right."""

    first: Node
    rest: tuple[tuple[str, Node], ...]


Node = Equal | Not | Constant | Chain


class _UnreadableError(Exception):
    """The text is no expression."""


def _tokens(text: str) -> list[str]:
    """Quoted literals keep their quotes; the last token is ""."""
    tokens, position = [], 0
    while True:
        match = _TOKEN.match(text, position)
        if match is None:
            raise _UnreadableError(f"unexpected character at {position}")
        position = match.end()
        token = match[match.lastgroup or "end"]
        if match.lastgroup == "word" and token not in _WORDS:
            raise _UnreadableError(f"unknown word {token}")
        tokens.append(token)
        if not token:
            return tokens


class _Parser:
    """Recursive descent over the tokens of one expression."""

    def __init__(self, text: str) -> None:
        self.tokens = _tokens(text)
        self.position = 0
        self.depth = 0

    def take(self) -> str:
        word = self.tokens[self.position]
        self.position += bool(word)
        return word

    def expect(self, wanted: str) -> None:
        word = self.take()
        if word != wanted:
            raise _UnreadableError(f"expected {wanted or 'the end'}, got {word or 'the end'}")

    def expression(self) -> Node:
        first = self.term()
        rest = []
        while self.tokens[self.position] in ("and", "or"):
            operator = self.take()
            rest.append((operator, self.term()))
        return Chain(first, tuple(rest)) if rest else first

    def term(self) -> Node:
        self.depth += 1
        if self.depth > MAX_NESTING:
            raise _UnreadableError("nested too deeply")
        try:
            word = self.tokens[self.position]
            if word == "not":
                self.take()
                return Not(self.term())
            if word in ("true", "false"):
                return Constant(self.take() == "true")
            if word == "(":
                self.take()
                inner = self.expression()
                self.expect(")")
                return inner
            left = self.value()
            self.expect("=")
            return Equal(left, self.value())
        finally:
            self.depth -= 1

    def value(self) -> Literal | Column:
        word = self.take()
        if word == "field":
            word = self.take()
            if word.startswith('"'):
                return Column(word[1:-1])
        elif word.startswith('"'):
            return Literal(word[1:-1])
        raise _UnreadableError(f"expected a value, got {word or 'the end'}")


def parse(text: str) -> Node:
    """The tree of an expression. INVALID_VALUE [text, reason] if it is none."""
    try:
        parser = _Parser(text)
        tree = parser.expression()
        parser.expect("")
    except _UnreadableError as error:
        raise E.INVALID_VALUE(text, f"not a filter expression: {error}") from None
    return tree


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def database_text(type_: Type, value: Any) -> str:
    """A value in the database's spelling: true, 12, Running, 20260101T12:00:00Z, ('a' 'b'), (('k' 'v'))."""
    if type_ is BOOL:
        return "true" if value else "false"
    if type_ is INT:
        return str(value)
    if type_ is DATETIME:
        return format_datetime(value)
    if type_ is FLOAT:
        text = f"{value:.12g}"
        return text if not text.lstrip("-").isdigit() else text + "."
    if isinstance(type_, SetType):
        return "(" + " ".join(_quoted(database_text(type_.item, item)) for item in value) + ")"
    if isinstance(type_, MapType):
        pairs = [(database_text(type_.key, k), database_text(type_.value, v)) for k, v in value.items()]
        return "(" + " ".join(f"({_quoted(k)} {_quoted(v)})" for k, v in pairs) + ")"
    if isinstance(type_, OptionType):
        return "()" if value is None else "(" + _quoted(database_text(type_.item, value)) + ")"
    return str(value)


Predicate = Callable[[Version], bool]
Text = Callable[[Version], str]


@dataclass(frozen=True, slots=True)
class Filter:
    """A checked expression. `exact` are (field, text) equalities every match has; an index may use one of them."""

    matches: Predicate
    exact: Mapping[str, str]


def columns(cls: Class) -> dict[str, Field]:
    """Fields by database column, and by plain name, which a tolerant server accepts too; never internal ones."""
    visible = [f for f in cls.fields if not f.internal]
    return {f.name: f for f in visible} | {f.column: f for f in visible}


def compile_filter(cls: Class, text: str, read: Callable[[Version, Field], Any]) -> Filter:
    """INVALID_VALUE for what is no expression, INTERNAL_ERROR ["missing column", ...] for an unknown field."""
    known = columns(cls)

    def operand(node: Literal | Column) -> Text:
        if isinstance(node, Literal):
            literal = node.text
            return lambda version: literal
        if node.name in ("_ref", "ref"):
            return lambda version: version.ref
        field = known.get(node.name)
        if field is None:
            raise E.INTERNAL_ERROR("missing column", cls.name, node.name)
        type_ = field.type
        return lambda version: database_text(type_, read(version, field))

    def compiled(node: Node) -> Predicate:
        if isinstance(node, Constant):
            constant = node.value
            return lambda version: constant
        if isinstance(node, Not):
            term = compiled(node.term)
            return lambda version: not term(version)
        if isinstance(node, Equal):
            left, right = operand(node.left), operand(node.right)
            return lambda version: left(version) == right(version)
        first = compiled(node.first)
        rest = [(operator == "and", compiled(term)) for operator, term in node.rest]

        def chain(version: Version) -> bool:
            result = first(version)
            for is_and, term in rest:
                if result == is_and:  # otherwise this term cannot change the result
                    result = term(version)
            return result

        return chain

    tree = parse(text)
    matches = compiled(tree)
    return Filter(matches, {known[name].name: literal for name, literal in _exact(tree) if name in known})


def _exact(node: Node) -> Iterable[tuple[str, str]]:
    """Equalities of a column with a literal that hold for every match: those joined by `and` alone."""
    if isinstance(node, Chain):
        if all(operator == "and" for operator, _ in node.rest):
            for term in (node.first, *(term for _, term in node.rest)):
                yield from _exact(term)
    elif isinstance(node, Equal):
        if isinstance(node.left, Column) and isinstance(node.right, Literal):
            yield node.left.name, node.right.text
        elif isinstance(node.left, Literal) and isinstance(node.right, Column):
            yield node.right.name, node.left.text
