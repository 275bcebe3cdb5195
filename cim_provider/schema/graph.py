"""The compiled class graph: plain values that need no MOF compiler to read.

Rule 1: a ClassGraph is immutable after load; namespaces of one server may share it.
Rule 2: a class lists all its properties and methods, inherited ones included, in the order superclass first, each with
        the class that introduced it (class origin), with overrides applied.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any


@dataclass(frozen=True, slots=True)
class Qualifier:
    name: str
    type: str
    value: Any
    propagated: bool = False
    overridable: bool = True
    tosubclass: bool = True
    translatable: bool = False


@dataclass(frozen=True, slots=True)
class Property:
    """`type` is the CIM type name ("uint16", "string", "reference" ...); `reference_class` for references;
    `embedded` is "instance", "object" or ""; `default` is the initial value."""

    name: str
    type: str
    array: bool
    origin: str
    qualifiers: Mapping[str, Qualifier]
    reference_class: str = ""
    embedded: str = ""
    default: Any = None
    propagated: bool = False
    array_size: int | None = None

    @property
    def key(self) -> bool:
        return "key" in self.qualifiers and bool(self.qualifiers["key"].value)


@dataclass(frozen=True, slots=True)
class Parameter:
    name: str
    type: str
    array: bool
    qualifiers: Mapping[str, Qualifier]
    reference_class: str = ""
    embedded: str = ""
    input: bool = True
    output: bool = False
    array_size: int | None = None


@dataclass(frozen=True, slots=True)
class Method:
    name: str
    return_type: str
    origin: str
    parameters: Mapping[str, Parameter]  # by lower-case name
    qualifiers: Mapping[str, Qualifier]
    propagated: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class CimClass:
    """A class with all it inherits (Rule 2). Compared and hashed by identity."""

    name: str
    superclass: str  # "" for a root class
    qualifiers: Mapping[str, Qualifier]  # by lower-case name
    properties: Mapping[str, Property]  # by lower-case name, superclass's first
    methods: Mapping[str, Method]  # by lower-case name
    keys: tuple[str, ...] = ()

    @property
    def association(self) -> bool:
        return "association" in self.qualifiers

    @property
    def abstract(self) -> bool:
        return "abstract" in self.qualifiers and bool(self.qualifiers["abstract"].value)


@dataclass(frozen=True, slots=True)
class QualifierDeclaration:
    """A qualifier type. `scopes` are DSP0201's attribute names ("CLASS", "PROPERTY" ...), "ANY" spelled out."""

    name: str
    type: str
    array: bool
    default: Any
    scopes: frozenset[str]
    overridable: bool = True
    tosubclass: bool = True
    translatable: bool = False


@dataclass(frozen=True, eq=False)
class ClassGraph:
    """Classes by lower-case name, and their family relations. Compared and hashed by identity (Rule 1).

    `spaces`: how replies write the names of namespaces that go by another one than the canonical.
    """

    classes: Mapping[str, CimClass]
    qualifier_declarations: Mapping[str, QualifierDeclaration] = field(default_factory=dict)
    spaces: Mapping[str, str] = field(default_factory=dict)

    def find(self, name: str) -> CimClass | None:
        return self.classes.get(name.lower())

    @cached_property
    def _children(self) -> Mapping[str, tuple[str, ...]]:
        found: dict[str, list[str]] = {}
        for cls in self.classes.values():
            found.setdefault(cls.superclass.lower(), []).append(cls.name)
        return {parent: tuple(names) for parent, names in found.items()}

    @cached_property
    def _ancestry(self) -> dict[str, frozenset[str]]:
        return {}

    def superclasses(self, name: str) -> tuple[str, ...]:
        """Names from the direct superclass up to the root."""
        found: list[str] = []
        cls = self.classes[name.lower()]
        while cls.superclass:
            cls = self.classes[cls.superclass.lower()]
            found.append(cls.name)
        return tuple(found)

    def subclasses(self, name: str, deep: bool = False) -> tuple[str, ...]:
        """Names of the direct (or all) subclasses, in declaration order; `name` "" means the root."""
        direct = self._children.get(name.lower(), ())
        if not deep:
            return direct
        found = list(direct)
        for child in direct:
            found += self.subclasses(child, deep=True)
        return tuple(found)

    def is_a(self, name: str, ancestor: str) -> bool:
        """Whether `name` is `ancestor` or one of its subclasses."""
        low = name.lower()
        if low not in self._ancestry:
            self._ancestry[low] = frozenset((low, *(s.lower() for s in self.superclasses(name))))
        return ancestor.lower() in self._ancestry[low]
