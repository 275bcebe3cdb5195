"""Declared classes and qualifier types as lists that JSON can hold, and back: the form in a state file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from cim_provider.schema.graph import CimClass, Method, Parameter, Property, Qualifier, QualifierDeclaration


def qualifier_type_row(found: QualifierDeclaration) -> list[Any]:
    flavors = [found.overridable, found.tosubclass, found.translatable]
    return [found.name, found.type, found.array, _plain(found.default), sorted(found.scopes), *flavors]


def qualifier_type_of(row: list[Any]) -> QualifierDeclaration:
    name, type_, array, default, scopes, overridable, tosubclass, translatable = row
    return QualifierDeclaration(
        name, type_, array, _value(default), frozenset(scopes), overridable, tosubclass, translatable
    )


def class_row(declared: CimClass) -> list[Any]:
    """A declared class (schema/resolve.py, rule 1)."""
    properties = [
        [p.name, p.type, p.array, p.array_size, p.reference_class, _plain(p.default), p.propagated, _rows(p.qualifiers)]
        for p in declared.properties.values()
    ]
    methods = [
        [
            m.name, m.return_type, m.propagated, _rows(m.qualifiers),
            [[p.name, p.type, p.array, p.array_size, p.reference_class, _rows(p.qualifiers)]
             for p in m.parameters.values()],
        ]
        for m in declared.methods.values()
    ]  # fmt: skip
    return [declared.name, declared.superclass, _rows(declared.qualifiers), properties, methods]


def class_of(row: list[Any]) -> CimClass:
    name, superclass, quals, properties, methods = row
    return CimClass(
        name,
        superclass,
        _qualifiers(quals),
        {p[0].lower(): _property(p) for p in properties},
        {m[0].lower(): _method(m) for m in methods},
    )


def _property(row: list[Any]) -> Property:
    name, type_, array, size, reference, default, propagated, quals = row
    return Property(name, type_, array, "", _qualifiers(quals), reference, "", _value(default), propagated, size)


def _method(row: list[Any]) -> Method:
    name, returns, propagated, quals, parameters = row
    made = {p[0].lower(): Parameter(p[0], p[1], p[2], _qualifiers(p[5]), p[4], array_size=p[3]) for p in parameters}
    return Method(name, returns, "", made, _qualifiers(quals), propagated)


def _rows(found: Mapping[str, Qualifier]) -> list[list[Any]]:
    return [
        [q.name, q.type, _plain(q.value), q.propagated, q.overridable, q.tosubclass, q.translatable]
        for q in found.values()
    ]


def _qualifiers(rows: Iterable[list[Any]]) -> dict[str, Qualifier]:
    return {row[0].lower(): Qualifier(row[0], row[1], _value(row[2]), *row[3:]) for row in rows}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _value(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
