"""Checks before the first request that the declarations of the profiles fit the schema.

`check` returns sentences, one per mistake; the provider refuses to start if there is any, and a test shows them all.
"""

from __future__ import annotations

import functools
import typing
from collections.abc import Iterable, Iterator
from typing import Any

from cim_provider.mapping.association import Association, Pointing, Reversed, Where
from cim_provider.mapping.method import DeclaredMethod
from cim_provider.mapping.rule import Kind, UnknownKindError
from cim_provider.mapping.view import View
from cim_provider.schema.graph import CimClass, ClassGraph, Parameter, Property
from cim_provider.schema.objects import Instance, Path
from xenapi_core.model.schema import Class, Schema, reference_class

_KIND_OF_TYPE = {"string": "string", "char16": "string", "boolean": "boolean", "datetime": "datetime"} | {
    f"{sign}int{bits}": "integer" for sign in "us" for bits in (8, 16, 32, 64)
}
_KIND_OF_TYPE |= {"real32": "real", "real64": "real", "reference": "reference"}

_RANGES = {f"{sign}int{bits}": (0 if sign == "u" else -(1 << bits - 1), (1 << bits - (sign == "s")) - 1)
           for sign in "us" for bits in (8, 16, 32, 64)}  # fmt: skip

_hints = functools.cache(typing.get_type_hints)


def check(
    graph: ClassGraph, schema: Schema, views: Iterable[type[View]], associations: Iterable[type[Association]]
) -> list[str]:
    """Every mistake in the declarations, as a sentence each; empty if there is none."""
    views = tuple(views)
    found = [f"{view.cim}: {text}" for view in views for text in _check_view(graph, schema, view)]
    for association in associations:
        found += [f"{association.cim}: {text}" for text in _check_association(graph, schema, views, association)]
    return found


def fits(declared: Property | Parameter, value: object) -> bool:
    """Whether a value, of the form of schema/objects.py, can be one of a property (range of integers included)."""
    if value is None:
        return True
    if declared.embedded:
        return all(isinstance(item, Instance) for item in (value if isinstance(value, tuple) else (value,)))
    if declared.array:
        return isinstance(value, tuple) and all(_scalar_fits(declared.type, item) for item in value)
    return _scalar_fits(declared.type, value)


def _scalar_fits(type_: str, value: object) -> bool:
    kind = _KIND_OF_TYPE[type_]
    if kind == "integer":
        low, high = _RANGES[type_]
        return type(value) is int and low <= value <= high
    if kind == "datetime":
        return isinstance(value, str) and len(value) == 25
    return isinstance(value, {"string": str, "boolean": bool, "real": float, "reference": object}[kind])


def _check_view(graph: ClassGraph, schema: Schema, view: type[View]) -> Iterator[str]:
    cls = graph.find(view.cim)
    if cls is None:
        yield "no such class in the MOF"
        return
    if cls.abstract:
        yield "an abstract class has no instances"
    records: Class | None = None
    if view.of is not None:
        records = schema.classes.get(view.of)
        if records is None:
            yield f"there is no Xen-API class {view.of}"
            return
        if not any(key in view.rules and view.rules[key].leads_back for key in cls.keys):
            yield "no key leads back to the record: GetInstance could not find it"
    for name, rule in view.rules.items():
        declared = cls.properties.get(name.lower())
        if declared is None or declared.name != name:
            yield f"the class has no property {name}"
            continue
        try:
            kind = rule.kind_of(schema, records)
        except UnknownKindError as error:
            yield f"{name}: {error}"
            continue
        if kind != Kind(_KIND_OF_TYPE[declared.type], declared.array):
            yield f"{name} is {declared.type}{'[]' if declared.array else ''}, the rule gives {kind.name}" + (
                "[]" if kind.array else ""
            )
    yield from _check_complete(cls, view.rules)
    for name, method in view.methods.items():
        yield from _check_method(cls, name, method)


def _check_complete(cls: CimClass, mapped: Iterable[str]) -> Iterator[str]:
    names = set(mapped)
    for declared in cls.properties.values():
        required = "required" in declared.qualifiers and bool(declared.qualifiers["required"].value)
        if (declared.key or required) and declared.name not in names:
            yield f"{'key' if declared.key else 'Required'} property {declared.name} is not mapped"


def _check_method(cls: CimClass, method: str, mapped: DeclaredMethod) -> Iterator[str]:
    declared = cls.methods.get(method.lower())
    if declared is None or declared.name != method:
        yield f"the class has no method {method}"
        return
    inputs = {name for name, parameter in declared.parameters.items() if parameter.input}
    outputs = {parameter.name for parameter in declared.parameters.values() if parameter.output}
    # A parameter that is formally in and out (GetError.Error) may be declared as output only.
    both = {name for name in inputs if declared.parameters[name].output}
    for name in sorted(set(mapped.inputs) - inputs):
        yield f"{method}: no input parameter {name}"
    for name in sorted(inputs - both - set(mapped.inputs)):
        yield f"{method}: input parameter {declared.parameters[name].name} is not taken"
    for name in sorted(set(mapped.out) - outputs):
        yield f"{method}: no output parameter {name}"
    hints = _hints(mapped.function)
    for name in sorted(set(mapped.inputs) & inputs):
        parameter = declared.parameters[name]
        wanted = _annotation(parameter)
        if hints.get(mapped.inputs[name]) not in (wanted, wanted | None):
            shape = f"{parameter.embedded or parameter.type}{'[]' if parameter.array else ''}"
            yield f"{method}: {parameter.name} is {shape}, the function takes something else"


def _annotation(parameter: Parameter) -> Any:
    """The Python type (schema/objects.py) in which a function gets a parameter."""
    if parameter.embedded:
        item: Any = Instance
    else:
        kind = _KIND_OF_TYPE[parameter.type]
        item = {"string": str, "integer": int, "real": float, "boolean": bool, "datetime": str, "reference": Path}[kind]
    return tuple[item, ...] if parameter.array else item


def _check_association(
    graph: ClassGraph, schema: Schema, views: tuple[type[View], ...], association: type[Association]
) -> Iterator[str]:
    cls = graph.find(association.cim)
    if cls is None:
        yield "no such class in the MOF"
        return
    if not cls.association:
        yield "the class is no association"
    for role in (association.left, association.right):
        declared = cls.properties.get(role.lower())
        if declared is None or declared.name != role or declared.type != "reference":
            yield f"the class has no reference {role}"
            continue
        for relation in association.relations:
            end = relation.left if role == association.left else relation.right
            if end not in views:
                yield f"{role}: the view of {end.cim} is not part of the provider"
            elif graph.find(end.cim) is not None and not graph.is_a(end.cim, declared.reference_class):
                yield f"{role}: {end.cim} is no {declared.reference_class}"
    own = [one.properties for one in association.relations if isinstance(one, Where) and one.properties is not None]
    for properties in [association.properties, *own]:
        for name, value in properties.items():
            declared = cls.properties.get(name.lower())
            if declared is None or declared.name != name:
                yield f"the class has no property {name}"
            elif not fits(declared, value):
                yield f"{name}: {value!r} is no {declared.type}{'[]' if declared.array else ''}"
    for properties in own if len(own) == len(association.relations) and own else [association.properties, *own]:
        yield from _check_complete(cls, {association.left, association.right, *properties})
    for relation in association.relations:
        while isinstance(relation, Where | Reversed):
            relation = relation.relation
        if isinstance(relation, Pointing):
            yield from _check_pointing(schema, relation)


def _check_pointing(schema: Schema, relation: Pointing) -> Iterator[str]:
    name, _, field = relation.through.partition(".")
    if name != relation.right.of:
        yield f"{relation.through} is no field of {relation.right.of}, the class {relation.right.cim} shows"
    elif field not in schema[name].by_name:
        yield f"there is no field {relation.through}"
    elif reference_class(schema[name][field].type) != relation.left.of:
        yield f"{relation.through} does not point at {relation.left.of}, the class {relation.left.cim} shows"
    elif (name, field) not in schema.relations:
        yield f"{relation.through} has no inverse field: the walk back would be a search"
