"""A parsed query as a function that tells whether an instance satisfies it.

Theory of operation
1. Conditions have three values: True, False and None for "cannot be told", which is what every comparison with NULL
   gives (DSP0202). An instance satisfies a query only if its condition is True.
2. Names are checked against the schema once, when the predicate is made: the selected class, its properties, and every
   class and property after "::". What an embedded object has is known only when it is there; a name it does not have
   is NULL.
3. A scope ("Class::") is a filter: the property of an object of another class is NULL.
4. Values of different kinds (text, number, boolean) are not comparable.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from cim_provider.query.ast import (
    And,
    Compare,
    Condition,
    IsA,
    IsNull,
    Like,
    Literal,
    Not,
    Operand,
    Or,
    Piece,
    PropertyPath,
    Query,
    Step,
)
from cim_provider.query.parser import bad_query
from cim_provider.schema.graph import CimClass, ClassGraph
from cim_provider.schema.objects import Instance

Read = Callable[[Instance], Any]
Test = Callable[[Instance], bool | None]

_ORDERED = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def predicate(query: Query, graph: ClassGraph) -> Callable[[Instance], bool]:
    """Whether an instance satisfies the conditions (that it is of the selected class is for the caller to see).

    CimError INVALID_QUERY for names that the schema does not have.
    """
    maker = _Maker(query, graph)
    for column in query.columns or ():
        maker.path(column)
    if query.where is None:
        return lambda instance: True
    test = maker.condition(query.where)
    return lambda instance: test(instance) is True


def selected_class(query: Query, graph: ClassGraph) -> CimClass:
    """The class after FROM. CimError INVALID_QUERY."""
    found = graph.find(query.source)
    if found is None:
        raise bad_query(f"there is no class {query.source}")
    return found


class _Maker:
    """Turns the parts of one query into functions."""

    def __init__(self, query: Query, graph: ClassGraph) -> None:
        self.graph = graph
        self.source = selected_class(query, graph)
        self.own_names = {self.source.name.lower(), query.alias.lower()} - {""}

    def condition(self, node: Condition) -> Test:
        if isinstance(node, And | Or):
            tests = tuple(self.condition(part) for part in node.conditions)
            return _all_of(tests) if isinstance(node, And) else _any_of(tests)
        if isinstance(node, Not):
            inner = self.condition(node.condition)
            return lambda instance: None if (found := inner(instance)) is None else not found
        if isinstance(node, IsA):
            return self._is_a(node)
        if isinstance(node, IsNull):
            read = self.operand(node.operand)
            return lambda instance: read(instance) is None
        if isinstance(node, Like):
            return self._like(node)
        return self._compare(node)

    def _is_a(self, node: IsA) -> Test:
        if self.graph.find(node.classname) is None:
            raise bad_query(f"there is no class {node.classname}")
        read, graph, ancestor = self.path(node.operand), self.graph, node.classname

        def is_a(instance: Instance) -> bool | None:
            value = read(instance)
            if not isinstance(value, Instance):
                return None
            return graph.find(value.classname) is not None and graph.is_a(value.classname, ancestor)

        return is_a

    def _like(self, node: Like) -> Test:
        read, pattern = self.operand(node.operand), node.pattern

        def like(instance: Instance) -> bool | None:
            value = read(instance)
            return matches(pattern, value) if isinstance(value, str) else None

        return like

    def _compare(self, node: Compare) -> Test:
        left, right, sign = self.operand(node.left), self.operand(node.right), node.operator
        return lambda instance: compare(sign, left(instance), right(instance))

    def operand(self, node: Operand) -> Read:
        if isinstance(node, Literal):
            value = node.value
            return lambda instance: value
        return self.path(node)

    def path(self, node: PropertyPath) -> Read:
        steps = node.steps
        first = steps[0]
        if (
            len(steps) > 1
            and not first.scope
            and first.name.lower() in self.own_names
            and first.name.lower() not in self.source.properties
        ):
            steps = steps[1:]  # the alias, or the class itself, before its property
        if not steps[0].scope and steps[0].name.lower() not in self.source.properties:
            raise bad_query(f"{self.source.name} has no property {steps[0].name}")
        reads = [self.step(step) for step in steps]
        if len(reads) == 1:
            return reads[0]

        def walk(instance: Instance) -> Any:
            value: Any = instance
            for read in reads:
                if not isinstance(value, Instance):
                    return None
                value = read(value)
            return value

        return walk

    def step(self, step: Step) -> Read:
        graph, scope, low, index = self.graph, step.scope, step.name.lower(), step.index
        if scope:
            cls = graph.find(scope)
            if cls is None or low not in cls.properties:
                raise bad_query(f"there is no property {scope}::{step.name}")
        names: dict[str, str | None] = {}  # class -> the property's spelling there, None if it is out of scope

        def name_in(instance: Instance) -> str | None:
            classname = instance.classname
            cls = graph.find(classname)
            if cls is None:  # not kept: such names come from clients
                return None if scope else next((name for name in instance.values if name.lower() == low), None)
            fits = low in cls.properties and (not scope or graph.is_a(classname, scope))
            names[classname] = cls.properties[low].name if fits else None
            return names[classname]

        def read(instance: Instance) -> Any:
            classname = instance.classname
            name = names[classname] if classname in names else name_in(instance)
            value = None if name is None else instance.values.get(name)
            if index is None:
                return value
            return value[index] if isinstance(value, tuple) and index < len(value) else None

        return read


def compare(sign: str, left: Any, right: Any) -> bool | None:
    """Rules 1 and 4. Arrays and paths are equal or not, and have no order; neither have booleans."""
    if left is None or right is None or _kind(left) != _kind(right):
        return None
    if sign == "=":
        return bool(left == right)
    if sign == "<>":
        return bool(left != right)
    return bool(_ORDERED[sign](left, right)) if _kind(left) in ("text", "number") else None


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return "text" if isinstance(value, str) else type(value).__name__


def matches(pattern: tuple[Piece, ...], text: str) -> bool:
    """Whether the whole text fits the pattern; costs at most length of pattern times length of text."""
    reached = _skip(pattern, {0})
    for char in text:
        after = set()
        for at in reached:
            if at < len(pattern):
                piece = pattern[at]
                if piece.allowed is None or (char in piece.allowed) != piece.negated:
                    after.add(at if piece.many else at + 1)
        reached = _skip(pattern, after)
        if not reached:
            return False
    return len(pattern) in reached


def _skip(pattern: tuple[Piece, ...], reached: set[int]) -> set[int]:
    """Pieces that stand for any number of characters may stand for none."""
    for at in range(len(pattern)):
        if at in reached and pattern[at].many:
            reached.add(at + 1)
    return reached


def _all_of(tests: tuple[Test, ...]) -> Test:
    def test(instance: Instance) -> bool | None:
        unknown = False
        for one in tests:
            found = one(instance)
            if found is False:
                return False
            unknown = unknown or found is None
        return None if unknown else True

    return test


def _any_of(tests: tuple[Test, ...]) -> Test:
    def test(instance: Instance) -> bool | None:
        unknown = False
        for one in tests:
            found = one(instance)
            if found:
                return True
            unknown = unknown or found is None
        return None if unknown else False

    return test
