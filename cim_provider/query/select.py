"""The result of a query for each instance it selects: the whole instance, some of its properties, or a row of its own.

Rule 1: a select list that names properties of the selected class, or *, returns instances of their own classes with
        these properties. Everything else (elements of arrays, properties of embedded objects or of other classes, names
        given with AS) makes rows: instances of a class of the query's own, ROW_CLASS, whose properties are the columns.
Rule 2: the columns of rows have different names, so that each one appears.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cim_provider.query.ast import STAR, PropertyPath, Query
from cim_provider.query.parser import bad_query, not_supported
from cim_provider.query.predicate import Names, Read, selected_class
from cim_provider.schema.graph import CimClass, ClassGraph, Property
from cim_provider.schema.objects import Instance

ROW_CLASS = "Xen_QueryResult"


@dataclass(frozen=True, slots=True)
class Column:
    """One property of a row: what it is called, what it holds, and how it is read from the selected instance."""

    declared: Property
    read: Read


@dataclass(frozen=True, slots=True)
class Selection:
    """`names` are the properties (lower case) that instances keep, None for all; `columns` are those of rows, empty
    unless there are rows."""

    names: frozenset[str] | None
    columns: tuple[Column, ...] = ()

    def row(self, instance: Instance) -> Instance:
        """The row made of an instance."""
        values: dict[str, Any] = {column.declared.name: column.read(instance) for column in self.columns}
        types = {column.declared.name: column.declared.type for column in self.columns}
        return Instance(ROW_CLASS, values, None, types)

    def row_class(self) -> CimClass:
        """The class of the rows."""
        return CimClass(ROW_CLASS, "", {}, {c.declared.name.lower(): c.declared for c in self.columns}, {})


def selection(query: Query, graph: ClassGraph) -> Selection:
    """What `query` returns. CimError INVALID_QUERY; QUERY_FEATURE_NOT_SUPPORTED for all properties of something inside
    the instance."""
    if query.columns is None:
        return Selection(None)
    source = selected_class(query, graph)
    names = Names(graph, source, query.alias)
    titles = query.titles or ("",) * len(query.columns)
    chosen: set[str] = set()
    whole, rows = False, any(titles)
    for path in query.columns:
        steps = names.steps(path)
        if path.steps[-1].name == STAR:
            if len(steps) != 1:
                raise not_supported("all properties of an embedded object are", path.steps[-1].at)
            whole = True
            continue
        names.path(path)
        if not steps:
            raise not_supported("an instance as a column is", path.steps[0].at)
        first = steps[0]
        scope = graph.find(first.scope) if first.scope else source
        chosen.add(first.name.lower())
        inherited = scope is not None and graph.is_a(source.name, scope.name)
        rows = rows or len(steps) > 1 or first.index is not None or not inherited
    if whole:
        return Selection(None)
    if not rows:
        return Selection(frozenset(chosen))
    return Selection(None, _columns(query.columns, titles, names))


def _columns(paths: tuple[PropertyPath, ...], titles: tuple[str, ...], names: Names) -> tuple[Column, ...]:
    found: dict[str, Column] = {}
    for path, title in zip(paths, titles, strict=True):
        name, last = title or path.steps[-1].name, path.steps[-1]
        if name.lower() in found:
            raise bad_query(f"two columns are called {name}: give one another name with AS", path.steps[0].at)
        declared = names.declared(names.steps(path))
        type_, array, embedded, of = "string", False, "", ""
        if declared is not None:
            array = declared.array and last.index is None
            type_, embedded, of = declared.type, declared.embedded, declared.reference_class
        found[name.lower()] = Column(
            Property(name, type_, array, ROW_CLASS, {}, reference_class=of, embedded=embedded), names.path(path)
        )
    return tuple(found.values())
