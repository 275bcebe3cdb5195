"""Queries of DSP0200: ExecQuery and OpenQueryInstances, and the filters of the other Open operations.

Theory of operation
1. What can be answered without looking at instances comes first: language, syntax, classes, properties, types.
2. The instances a query looks at are of one moment; conditions are then held against these immutable renditions in
   slices, so a long query neither blocks the loop nor mixes two states of the pool.
3. Where the conditions fix the key that leads to a record, only that record is looked at. The conditions are held
   against it all the same, so the short way can never change an answer.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from cim_provider.mapping.extent import Shown
from cim_provider.operations.api import Operation, Reply, operation
from cim_provider.operations.intrinsic import Write, grown, instance_writer, instances, listings, provider_of, required
from cim_provider.query import languages
from cim_provider.query.ast import Compare, Condition, Literal, PropertyPath, Query, conjuncts
from cim_provider.query.predicate import Names, filter_predicate, predicate
from cim_provider.query.select import Selection, selection
from cim_provider.schema.graph import CimClass, ClassGraph
from cim_provider.schema.objects import INVALID_PARAMETER, CimError, Instance, Path
from cim_provider.wire.classes import class_declaration
from cim_provider.wire.encode import encoder_of
from xenapi_core.clock import Later, Steps, then

Test = Callable[[Instance], bool]
Found = list[Shown] | Later[list[Shown]]

FILTER_TEXTS_KEPT = 256


# ---- queries


class Asked:
    """A query that has been read and checked: what it selects from, what of it, and how that is written."""

    def __init__(self, op: Operation, language: str, text: str) -> None:
        """CimError QUERY_LANGUAGE_NOT_SUPPORTED, INVALID_QUERY, QUERY_FEATURE_NOT_SUPPORTED, INVALID_CLASS."""
        self.op = op
        self.query: Query = languages.parse(language, text)
        self.graph = provider_of(op).graph(op.namespace)
        self.cls: CimClass = provider_of(op).class_of(op.namespace, self.query.source)
        self.test: Test = predicate(self.query, self.graph)
        self.selection: Selection = selection(self.query, self.graph)

    def run(self) -> Found:
        """The instances that satisfy the query."""
        names = Names(self.graph, self.cls, self.query.alias)
        return satisfying(self.op, candidates(self.op, self.cls, self.query.where, names), self.test)

    def writer(self) -> Write:
        """What turns a selected instance into INSTANCE."""
        encoder, chosen = encoder_of(self.graph), self.selection
        if chosen.columns:
            return lambda shown: encoder.bare_instance(chosen.row(as_instance(shown)))
        if chosen.names is None:
            write = instance_writer(self.op, lambda classname: None, class_origin=False)
            return lambda shown: shown.form("instance", write)
        return lambda shown: encoder.instance(shown.path.classname, shown.values, names=chosen.names)

    def result_class(self) -> bytes:
        """The CLASS that describes what is returned (DSP0200: QueryResultClass)."""
        if self.selection.columns:
            return class_declaration(self.selection.row_class(), names=frozenset(self.selection.row_class().properties))
        return class_declaration(self.cls, names=self.selection.names)


@operation("ExecQuery")
def exec_query(op: Operation) -> Reply | Later[Reply]:
    """Instances or rows that a query selects (DSP0200 5.4.2.13). Rows of a query's own class have no path; instances
    come with theirs."""
    asked = Asked(op, required(op, "QueryLanguage", str), required(op, "Query", str))
    encoder, write = encoder_of(asked.graph), asked.writer()

    def write_object(shown: Shown) -> bytes:
        if asked.selection.columns:
            return b"<VALUE.OBJECT>%b</VALUE.OBJECT>" % write(shown)
        return encoder.object_with_path(shown.path, write(shown))

    return then(asked.run(), lambda found: grown(provider_of(op), (write_object(one) for one in found)))


# ---- filters


@lru_cache(maxsize=FILTER_TEXTS_KEPT)
def _compiled(graph: ClassGraph, source: CimClass | None, language: str, text: str) -> tuple[Condition, Test]:
    condition = languages.parse_filter(language, text)
    return condition, filter_predicate(condition, graph, source)


class Filter:
    """The FilterQuery of an Open operation over instances of `source`, or of any class. False if there is none."""

    def __init__(self, op: Operation, source: CimClass | None) -> None:
        """CimError QUERY_LANGUAGE_NOT_SUPPORTED, INVALID_QUERY, QUERY_FEATURE_NOT_SUPPORTED; INVALID_PARAMETER if only
        one of language and query is given."""
        language, text = op.params.get("FilterQueryLanguage") or "", op.params.get("FilterQuery") or ""
        if bool(language) != bool(text):
            missing = "FilterQuery" if language else "FilterQueryLanguage"
            raise CimError(INVALID_PARAMETER, f"{op.name} needs {missing} too, or neither")
        self.op, self.source = op, source
        self.condition: Condition | None = None
        self.test: Test = lambda instance: True
        if text:
            graph = provider_of(op).graph(op.namespace)
            self.condition, self.test = _compiled(graph, source, language, text)

    def __bool__(self) -> bool:
        return self.condition is not None

    def enumerated(self) -> Found:
        """The instances of `source` and its subclasses that the filter lets through."""
        assert self.source is not None
        names = Names(provider_of(self.op).graph(self.op.namespace), self.source)
        return self.left(candidates(self.op, self.source, self.condition, names))

    def left(self, found: Found) -> Found:
        """Those of `found` that the filter lets through."""
        return satisfying(self.op, found, self.test) if self else found


# ---- both


def as_instance(shown: Shown) -> Instance:
    return Instance(shown.path.classname, shown.values, shown.path)


def satisfying(op: Operation, found: Found, test: Test) -> Found:
    """Those of `found` that satisfy `test`, in slices (rule 2)."""

    def hold(shown: list[Shown]) -> Steps[list[Shown]]:
        chosen = []
        for one in shown:
            if test(as_instance(one)):
                chosen.append(one)
            yield
        return chosen

    return then(found, lambda shown: provider_of(op).slices.run(hold(shown)))


def candidates(op: Operation, cls: CimClass, where: Condition | None, names: Names) -> Found:
    """All instances of `cls` and its subclasses that `where` may hold for, in the order of an enumeration; `names` are
    those of the query."""
    provider = provider_of(op)
    fixed = fixed_texts(where, names)
    extents = provider.extents(op.namespace, cls.name)
    associations = next(provider.associations(op.namespace, cls.name), None) is not None
    located = {
        e
        for e in extents
        if e.view.of is not None and e.locator is not None and e.locator.lower() in fixed and not e.view.kinds
    }
    if associations or not located:
        return then(listings(op, cls.name), instances)

    def look_up() -> Steps[list[Shown]]:
        found: list[Shown] = []
        for extent in extents:
            if extent not in located or extent.locator is None:
                found += (yield from provider.part(extent, cls.name)).shown
                continue
            value = fixed[extent.locator.lower()]
            version = extent.version_of(Path.of(extent.view.cim, {extent.locator: value}))
            found += () if version is None else extent.of(version)
        for listing in (yield from provider.static_listings(op.namespace, cls.name)):
            found += listing.shown
        return found

    return provider.slices.complete(look_up)


def fixed_texts(where: Condition | None, names: Names) -> dict[str, str]:
    """Properties of the selected instance (lower case) that `where` requires to be equal to a text."""
    found: dict[str, str] = {}
    for part in conjuncts(where):
        if not isinstance(part, Compare) or part.operator != "=":
            continue
        for path, literal in ((part.left, part.right), (part.right, part.left)):
            if isinstance(path, PropertyPath) and isinstance(literal, Literal) and isinstance(literal.value, str):
                steps = names.steps(path)
                if len(steps) == 1 and steps[0].index is None:
                    found.setdefault(steps[0].name.lower(), literal.value)
    return found


def opened_query(op: Operation) -> tuple[Asked, list[bytes]]:
    """The query of OpenQueryInstances (DSP0200 5.4.2.24.9) and its output parameters beside those of all opens."""
    asked = Asked(op, required(op, "FilterQueryLanguage", str), required(op, "FilterQuery", str))
    if not op.params.get("ReturnQueryResultClass"):
        return asked, []
    return asked, [b'<PARAMVALUE NAME="QueryResultClass">%b</PARAMVALUE>' % asked.result_class()]
