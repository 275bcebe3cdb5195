"""Compiles a parsed query to a predicate on instances.

Theory of operation
1. Conditions have three values: True, False and None for "cannot be told", which is what every comparison with NULL
   gives (DSP0202). An instance satisfies a query only if its condition is True.
2. Names are checked against the schema once, when the predicate is made: the selected class, its properties, and every
   class and property after "::". What an embedded object has is known only when it is there; a name it does not have
   is NULL.
3. A scope ("Class::") is a filter: the property of an object of another class is NULL.
4. Values of different kinds (text, number, boolean) are not comparable. A literal of the wrong kind, and an array
   without ANY, EVERY or index, are errors where the property is one of the selected class; further inside they compare
   as NULL does.
5. Datetimes compare by what they mean (moment.py), where the schema says that a property is one.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from cim_provider.query import moment
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
    PropertyPath,
    Quantified,
    Query,
    Step,
)
from cim_provider.query.moment import Moment
from cim_provider.query.parser import bad_query, not_supported
from cim_provider.query.pattern import matcher
from cim_provider.schema.graph import CimClass, ClassGraph, Property
from cim_provider.schema.objects import Instance

Read = Callable[[Instance], Any]
Test = Callable[[Instance], bool | None]
ValueTest = Callable[[Any, Instance], bool | None]

_ORDERED = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_LITERAL_KINDS = {str: "text", bool: "boolean", int: "number", float: "number"}


def predicate(query: Query, graph: ClassGraph) -> Callable[[Instance], bool]:
    """Whether an instance satisfies the conditions (that it is of the selected class is for the caller to see).

    CimError INVALID_QUERY for names that the schema does not have, and for mistakes of rule 4.
    """
    names = Names(graph, selected_class(query, graph), query.alias)
    for column in query.columns or ():
        if column.steps[-1].name != "*":
            names.path(column)
    return _compiled(names, query.where)


def filter_predicate(condition: Condition, graph: ClassGraph, source: CimClass | None) -> Callable[[Instance], bool]:
    """Whether an instance satisfies a filter over instances of `source` and its subclasses, or of any class (None).

    A property may be one of a subclass: it is NULL for all others. CimError as for `predicate`.
    """
    return _compiled(Names(graph, source, subclasses=True), condition)


def _compiled(names: Names, where: Condition | None) -> Callable[[Instance], bool]:
    if where is None:
        return lambda instance: True
    test = _Maker(names).condition(where)
    return lambda instance: test(instance) is True


def selected_class(query: Query, graph: ClassGraph) -> CimClass:
    """The class after FROM. CimError INVALID_QUERY."""
    found = graph.find(query.source)
    if found is None:
        raise bad_query(f"there is no class {query.source}")
    return found


class Names:
    """Resolves the names in a query: over instances of `source`, or of any class if that is None. With `subclasses`, a
    first name may be a property of a subclass."""

    def __init__(self, graph: ClassGraph, source: CimClass | None, alias: str = "", subclasses: bool = False) -> None:
        self.graph = graph
        self.source = source
        self.own_names = {alias.lower()} - {""} if source is None else {source.name.lower(), alias.lower()} - {""}
        self._below: list[CimClass] = []
        if source is None:
            self._below = list(graph.classes.values())
        elif subclasses:
            self._below = [graph.classes[name.lower()] for name in graph.subclasses(source.name, deep=True)]

    def steps(self, path: PropertyPath) -> tuple[Step, ...]:
        """The steps from the instance on, without the alias or the class itself before them; () is the instance."""
        first = path.steps[0]
        low = first.name.lower()
        own = not first.scope and first.index is None and low in self.own_names
        return path.steps[1:] if own and (self.source is None or low not in self.source.properties) else path.steps

    def declared(self, steps: tuple[Step, ...]) -> Property | None:
        """The property a path ends at, as far as the schema tells."""
        cls, prop = self.source, None
        for n, step in enumerate(steps):
            if step.scope:
                cls = self.graph.find(step.scope)
            prop = cls.properties.get(step.name.lower()) if cls else None
            if prop is None and n == 0 and not step.scope:
                prop = self._common_property(step.name.lower())
            holder = prop.qualifiers.get("embeddedinstance") if prop else None
            cls = self.graph.find(str(holder.value)) if holder else None
        return prop

    def _common_property(self, low: str) -> Property | None:
        """A property of subclasses, if all that have it say the same of its type."""
        found = [cls.properties[low] for cls in self._below if low in cls.properties]
        return found[0] if len({(p.type, p.array, p.embedded) for p in found}) == 1 else None

    def path(self, path: PropertyPath) -> Read:
        """Reads what a path leads to. CimError INVALID_QUERY (rule 2)."""
        steps = self.steps(path)
        if not steps:
            return lambda instance: instance
        first = steps[0]
        if not first.scope:
            low = first.name.lower()
            if not (self.source and low in self.source.properties) and all(
                low not in cls.properties for cls in self._below
            ):
                owner = f"{self.source.name} has no property" if self.source else "no class has a property"
                raise bad_query(f"{owner} {first.name}", first.at)
        reads = [self._step(step) for step in steps]
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

    def _step(self, step: Step) -> Read:
        graph, scope, low, index = self.graph, step.scope, step.name.lower(), step.index
        if scope:
            cls = graph.find(scope)
            if cls is None or low not in cls.properties:
                raise bad_query(f"there is no property {scope}::{step.name}", step.at)
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


class _Maker:
    """Turns the conditions of one query into functions."""

    def __init__(self, names: Names) -> None:
        self.names = names

    def condition(self, node: Condition) -> Test:
        if isinstance(node, And | Or):
            tests = tuple(self.condition(part) for part in node.conditions)
            return _all_of(tests) if isinstance(node, And) else _any_of(tests)
        if isinstance(node, Not):
            inner = self.condition(node.condition)
            return lambda instance: None if (found := inner(instance)) is None else not found
        if isinstance(node, Quantified):
            return self._quantified(node)
        read, test = self._left_operand(node), self._value_test(node)
        return lambda instance: test(read(instance), instance)

    def _quantified(self, node: Quantified) -> Test:
        array, test = _left_of(node.condition), self._value_test(node.condition, element=True)
        declared = self._declared(array)
        word = "EVERY" if node.every else "ANY"
        if not isinstance(array, PropertyPath) or (declared is not None and not declared.array):
            raise bad_query(f"{word} needs an array", array.steps[0].at if isinstance(array, PropertyPath) else None)
        read, decisive = self.names.path(array), not node.every

        def quantified(instance: Instance) -> bool | None:
            values = read(instance)
            if not isinstance(values, tuple):
                return None
            unknown = False
            for value in values:
                found = test(value, instance)
                if found is decisive:
                    return decisive
                unknown = unknown or found is None
            return None if unknown else not decisive

        return quantified

    def _left_operand(self, node: Compare | Like | IsA | IsNull) -> Read:
        """Reads the left operand; an array where a value is needed is a mistake (rule 4)."""
        left = _left_of(node)
        declared = self._own(left)
        if declared is not None and declared.array and isinstance(node, Compare | Like):
            other = self._declared(node.right) if isinstance(node, Compare) else None
            if not (other is not None and other.array):
                place = left.steps[0].at if isinstance(left, PropertyPath) else None
                raise bad_query(f"{declared.name} is an array: say ANY, EVERY or an index", place)
        return self._operand(left, self._compares_moments(node))

    def _value_test(self, node: Compare | Like | IsA | IsNull, element: bool = False) -> ValueTest:
        """The test that a condition makes of the value of its left operand, or of an element of it."""
        if isinstance(node, IsA):
            return self._is_a(node)
        if isinstance(node, IsNull):
            return lambda value, instance: value is None
        if isinstance(node, Like):
            matches = matcher(node.pattern)
            return lambda value, instance: matches(value) if isinstance(value, str) else None
        self._check_kinds(node.left, node.right)
        self._check_kinds(node.right, node.left)
        sign, moments = node.operator, self._compares_moments(node)
        right = self._operand(node.right, moments)
        if element and moments:
            return lambda value, instance: compare(sign, _as_moment(value), right(instance))
        return lambda value, instance: compare(sign, value, right(instance))

    def _is_a(self, node: IsA) -> ValueTest:
        graph, ancestor = self.names.graph, node.classname
        if graph.find(ancestor) is None:
            raise bad_query(f"there is no class {ancestor}")

        def is_a(value: Any, instance: Instance) -> bool | None:
            if not isinstance(value, Instance):
                return None
            return graph.find(value.classname) is not None and graph.is_a(value.classname, ancestor)

        return is_a

    def _operand(self, node: Operand, as_moment: bool = False) -> Read:
        if isinstance(node, Literal):
            value: Any = _as_moment(node.value) if as_moment else node.value
            return lambda instance: value
        read = self.names.path(node)
        return (lambda instance: _as_moment(read(instance))) if as_moment else read

    def _declared(self, node: Operand) -> Property | None:
        return self.names.declared(self.names.steps(node)) if isinstance(node, PropertyPath) else None

    def _own(self, node: Operand) -> Property | None:
        """The declaration of an operand that is a property of the selected class, not an element of one."""
        steps = self.names.steps(node) if isinstance(node, PropertyPath) else ()
        if len(steps) != 1 or steps[0].index is not None:
            return None
        return self.names.declared(steps)

    def _compares_moments(self, node: Condition) -> bool:
        if not isinstance(node, Compare):
            return False
        found = [p for p in (self._declared(node.left), self._declared(node.right)) if p is not None]
        return any(p.type == "datetime" for p in found)

    def _check_kinds(self, node: Operand, literal: Operand) -> None:
        """Refuse a literal of another kind than the property of the selected class that it is compared with (rule
        4)."""
        steps = self.names.steps(node) if isinstance(node, PropertyPath) else ()
        declared = self.names.declared(steps) if len(steps) == 1 else None
        if declared is None or not isinstance(literal, Literal) or literal.value is None:
            return
        if declared.type == "reference":
            raise not_supported("comparing a reference with text is", steps[0].at)
        wanted = kind_of_type(declared.type)
        if declared.embedded or _LITERAL_KINDS[type(literal.value)] != wanted:
            kind = f"embedded {declared.embedded}" if declared.embedded else declared.type
            raise bad_query(f"{declared.name} is of type {kind}, which {literal.value!r} is not", steps[0].at)
        if declared.type == "datetime" and _as_moment(literal.value) is None:
            raise bad_query(f"{literal.value!r} is no CIM datetime", steps[0].at)


def kind_of_type(type_: str) -> str:
    """The kind of literal that compares with a CIM type: text, number or boolean."""
    if type_ in ("string", "char16", "datetime"):
        return "text"
    return "boolean" if type_ == "boolean" else "number"


def _left_of(node: Compare | Like | IsA | IsNull) -> Operand:
    return node.left if isinstance(node, Compare) else node.operand


def _as_moment(value: Any) -> Moment | None:
    return moment.moment(value) if isinstance(value, str) else None


def compare(sign: str, left: Any, right: Any) -> bool | None:
    """The result of a comparison of two values, None if it cannot be told (rules 1, 4 and 5). Arrays and paths are
    equal or not, and have no order; neither have booleans."""
    if left is None or right is None or _kind(left) != _kind(right):
        return None
    if isinstance(left, Moment):
        return moment.compare(sign, left, right)
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
