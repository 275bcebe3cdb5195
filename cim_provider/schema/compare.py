"""Compares our declarations of DMTF classes with the DMTF's own: one sentence for each difference.

Names, types, keys, superclasses, qualifiers (ValueMap and Values among them), methods and parameters must be the same.
Prose and pointers into other documents may differ (LEFT_OUT), as may classes that are marked Experimental: the final
schema does not have them.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path as File
from typing import Any

from cim_provider.schema.compile import graph_of
from cim_provider.schema.graph import CimClass, ClassGraph, Method, Parameter, Property, Qualifier
from cim_provider.schema.mof_text import MofError

LEFT_OUT = frozenset({"description", "mappingstrings", "umlpackagepath", "modelcorrespondence", "displayname"})
QUALIFIERS = ("qualifiers", "qualifiers_optional")


def official(place: File, wanted: Iterable[str]) -> ClassGraph:
    """The classes `wanted` of a DMTF schema: its zip file, or a folder with its MOF files, each named after its class.

    Without those that the schema does not have. MofError if it is no such schema, or a class in it needs one that is
    not wanted. Blocks for seconds.
    """
    from cim_provider.schema.mof import declarations  # the MOF compiler takes its time to import

    texts = _texts(place)
    missing = [name for name in QUALIFIERS if name not in texts]
    if missing:
        raise MofError(f"{place}: no DMTF schema: it has no {missing[0]}.mof")
    names = [*QUALIFIERS, *(name for name in wanted if name in texts)]
    return graph_of(declarations([(File(f"{name}.mof"), texts[name].read()) for name in names]))


class _Text:
    """A MOF file that is read when it is wanted: the schema has a thousand others."""

    def __init__(self, place: File, name: str, zipped: bool) -> None:
        self.place, self.name, self.zipped = place, name, zipped

    def read(self) -> str:
        if not self.zipped:
            return File(self.name).read_text("utf-8")
        with zipfile.ZipFile(self.place) as archive:
            return archive.read(self.name).decode("utf-8")


def _texts(place: File) -> dict[str, _Text]:
    """File name without ending -> its text."""
    try:
        if place.is_dir():
            return {file.stem: _Text(place, str(file), False) for file in sorted(place.rglob("*.mof"))}
        with zipfile.ZipFile(place) as archive:
            return {File(n).stem: _Text(place, n, True) for n in archive.namelist() if n.endswith(".mof")}
    except (OSError, zipfile.BadZipFile) as error:
        raise MofError(f"{place}: {error}") from None


def dmtf_classes(graph: ClassGraph) -> list[str]:
    """The names of the DMTF's classes in a graph that the final schema should have."""
    return [c.name for c in graph.classes.values() if c.name.startswith("CIM_") and not experimental(c)]


def experimental(cls: CimClass) -> bool:
    return "experimental" in cls.qualifiers


def differences(ours: ClassGraph, theirs: ClassGraph) -> list[str]:
    """What differs in the DMTF's classes of `ours`; empty if nothing does."""
    found = []
    for name in dmtf_classes(ours):
        other = theirs.find(name)
        if other is None:
            found.append(f"{name}: the DMTF has no such class")
        else:
            found += [f"{name}{where}: {what}" for where, what in _class(ours.classes[name.lower()], other)]
    found += [
        f"qualifier {name}: {ours.qualifier_declarations.get(name)}, the DMTF has {declared}"
        for name, declared in theirs.qualifier_declarations.items()
        if ours.qualifier_declarations.get(name) != declared
    ]
    return found


Difference = tuple[str, str]  # where below the class (".Property", or nothing), and what


def _if_different(where: str, what: str, mine: Any, wanted: Any) -> Iterator[Difference]:
    if mine != wanted:
        yield where, f"{what} {mine!r}, the DMTF has {wanted!r}"


def _class(mine: CimClass, wanted: CimClass) -> Iterator[Difference]:
    yield from _if_different("", "name", mine.name, wanted.name)
    yield from _if_different("", "superclass", mine.superclass, wanted.superclass)
    yield from _if_different("", "keys", mine.keys, wanted.keys)
    yield from _qualifiers("", mine.qualifiers, wanted.qualifiers)
    yield from _members("property", mine.properties, wanted.properties)
    yield from _members("method", mine.methods, wanted.methods)
    for name, prop in wanted.properties.items():
        if name in mine.properties:
            yield from _property(mine.properties[name], prop)
    for name, method in wanted.methods.items():
        if name in mine.methods:
            yield from _method(mine.methods[name], method)


def _members(kind: str, mine: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[Difference]:
    for name in wanted.keys() - mine.keys():
        yield "", f"no {kind} {wanted[name].name}, the DMTF has it"
    for name in mine.keys() - wanted.keys():
        yield "", f"{kind} {mine[name].name}, the DMTF has none"
    if mine.keys() == wanted.keys():
        yield from _if_different("", f"order of {kind} names", list(mine), list(wanted))


def _qualifiers(where: str, mine: Mapping[str, Qualifier], wanted: Mapping[str, Qualifier]) -> Iterator[Difference]:
    for name in sorted((mine.keys() | wanted.keys()) - LEFT_OUT):
        values = [
            None if one is None else (one.type, one.value, one.propagated) for one in (mine.get(name), wanted.get(name))
        ]
        label = (wanted.get(name) or mine[name]).name
        yield from _if_different(where, f"qualifier {label}", *values)


def _shape(one: Property | Parameter) -> tuple[Any, ...]:
    return one.name, one.type, one.array, one.array_size, one.reference_class, one.embedded


def _property(mine: Property, wanted: Property) -> Iterator[Difference]:
    where = f".{wanted.name}"
    yield from _if_different(where, "shape", _shape(mine), _shape(wanted))
    yield from _if_different(where, "default", mine.default, wanted.default)
    yield from _if_different(where, "origin", (mine.origin, mine.propagated), (wanted.origin, wanted.propagated))
    yield from _qualifiers(where, mine.qualifiers, wanted.qualifiers)


def _method(mine: Method, wanted: Method) -> Iterator[Difference]:
    where = f".{wanted.name}()"
    yield from _if_different(where, "name", mine.name, wanted.name)
    yield from _if_different(where, "return type", mine.return_type, wanted.return_type)
    yield from _if_different(where, "origin", (mine.origin, mine.propagated), (wanted.origin, wanted.propagated))
    yield from _if_different(where, "parameters", list(mine.parameters), list(wanted.parameters))
    yield from _qualifiers(where, mine.qualifiers, wanted.qualifiers)
    for name in mine.parameters.keys() & wanted.parameters.keys():
        one, other = mine.parameters[name], wanted.parameters[name]
        inner = f"{where} {other.name}"
        yield from _if_different(
            inner, "shape", (*_shape(one), one.input, one.output), (*_shape(other), other.input, other.output)
        )
        yield from _qualifiers(inner, one.qualifiers, other.qualifiers)
