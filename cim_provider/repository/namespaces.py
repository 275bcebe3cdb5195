"""The namespaces of a server, each with its class graph: the server's own classes, and those that clients wrote.

Theory of operation
1. root/cimv2 and interop share the base graph, whose classes belong to the server and never change. A namespace that a
   client made begins empty, without qualifier types too: pywbem deletes no namespace that has some. A write makes a new
   graph; readers keep the one they have.
2. `declared` holds the classes of clients as they were written. Whatever is changed above a class, it is resolved again
   from there (schema/resolve.py), so that inheritance is applied in one place.
3. Every write is checked completely before anything is changed. With a disk, it is queued there first.
4. On disk are names of namespaces, qualifier types and declared classes. What cannot be restored (a class whose
   superclass this version no longer has) is logged and left on disk.
5. Observers of created or modified classes register a function; it is called after the change, synchronously, and must
   not raise.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from cim_provider.repository.disk import Disk
from cim_provider.repository.json_values import dumps, loads
from cim_provider.repository.static import StaticInstances
from cim_provider.schema.graph import CimClass, ClassGraph, QualifierDeclaration
from cim_provider.schema.objects import (
    ALREADY_EXISTS,
    CIMV2,
    CLASS_HAS_CHILDREN,
    CLASS_HAS_INSTANCES,
    FAILED,
    INTEROP,
    INVALID_CLASS,
    INVALID_NAMESPACE,
    INVALID_PARAMETER,
    INVALID_SUPERCLASS,
    NAMESPACE_NOT_EMPTY,
    NOT_FOUND,
    NOT_SUPPORTED,
    SERVER_LIMITS_EXCEEDED,
    CimError,
    canonical_namespace,
)
from cim_provider.schema.resolve import qualifiers_in, resolved
from cim_provider.schema.rows import class_of, class_row, qualifier_type_of, qualifier_type_row

log = logging.getLogger("xencim.wbem")

OWN = (CIMV2, INTEROP)  # what the server itself has
MAX_NAMESPACES = 1000
MAX_CLASSES = 20_000  # of clients, in one namespace
# A colon would end the namespace in an object path (DSP0004 8.2.1).
_NAME = re.compile(r"[^\s/:\\\x00-\x1f\"<>&]{1,100}(/[^\s/:\\\x00-\x1f\"<>&]{1,100}){0,9}\Z")

NAMESPACE, QUALIFIER, CLASS = "namespace", "qualifier", "class"  # kinds of rows on disk


class Namespace:
    """One namespace. `graph` is replaced by each write (rule 1)."""

    def __init__(self, name: str, base: ClassGraph) -> None:
        self.name = name
        self.base = base
        self.graph = self.base
        self.declared: dict[str, CimClass] = {}  # by lower-case name
        self.qualifiers: dict[str, QualifierDeclaration] = {}  # by lower-case name

    def written(self, name: str) -> bool:
        """Whether a class was written by a client."""
        return name.lower() in self.declared

    def belongs_to_server(self, name: str) -> bool:
        return name.lower() in self.base.classes


class Namespaces:
    """All namespaces by canonical name, and what `static` instances their classes have."""

    def __init__(self, base: ClassGraph, static: StaticInstances) -> None:
        self.base = base
        self._static = static
        self._disk: Disk | None = None
        self._observers: list[Callable[[], None]] = []
        self._spaces = {name: Namespace(name, base) for name in OWN}
        self._whole: dict[str, tuple[ClassGraph, ClassGraph]] = {}

    def __iter__(self) -> Iterator[Namespace]:
        return iter(self._spaces.values())

    def observe(self, observer: Callable[[], None]) -> None:
        """Call `observer` after each class that is created or modified."""
        self._observers.append(observer)

    def names(self) -> tuple[str, ...]:
        return tuple(self._spaces)

    def get(self, name: str) -> Namespace:
        """CimError INVALID_NAMESPACE."""
        found = self._spaces.get(name) or self._spaces.get(canonical_namespace(name))
        if found is None:
            raise CimError(INVALID_NAMESPACE, f"there is no namespace {name}")
        return found

    def find(self, name: str) -> Namespace | None:
        return self._spaces.get(name)

    def whole(self, name: str) -> ClassGraph:
        """The classes that queries about indications from a namespace may name: its own and, as it may have none of
        these, the server's. Classes of indications are always the server's. CimError INVALID_NAMESPACE."""
        space = self.get(name)
        if space.name in OWN:
            return space.graph
        kept = self._whole.get(space.name)
        if kept is None or kept[0] is not space.graph:
            base = self.base.classes
            told = {low: cls for low, cls in base.items() if self.base.is_a(low, "CIM_Indication")}
            whole = replace(space.graph, classes={**base, **space.graph.classes, **told})
            kept = self._whole[space.name] = (space.graph, whole)
        return kept[1]

    # ---- namespaces

    def create(self, name: str) -> str:
        """The canonical name of a new namespace. CimError ALREADY_EXISTS, INVALID_PARAMETER, SERVER_LIMITS_EXCEEDED."""
        plain = canonical_namespace(name)
        if not _NAME.match(plain):
            raise CimError(INVALID_PARAMETER, f"{name[:80]!r} is no name for a namespace")
        if plain in self._spaces:
            raise CimError(ALREADY_EXISTS, f"there is a namespace {plain} already")
        if len(self._spaces) >= MAX_NAMESPACES:
            raise CimError(SERVER_LIMITS_EXCEEDED, f"there are {MAX_NAMESPACES} namespaces already")
        self._keep(NAMESPACE, plain, b"{}")
        self._spaces[plain] = Namespace(plain, ClassGraph({}))
        return plain

    def delete(self, name: str) -> None:
        """CimError INVALID_NAMESPACE, NOT_SUPPORTED for the server's own, NAMESPACE_NOT_EMPTY. Its qualifier types go
        with it."""
        space = self.get(name)
        if space.name in OWN:
            raise CimError(NOT_SUPPORTED, f"the namespace {space.name} belongs to the server")
        if space.graph.classes:
            raise CimError(NAMESPACE_NOT_EMPTY, f"the namespace {space.name} has classes")
        for low in space.qualifiers:
            self._forget(QUALIFIER, _key(space, low))
        self._forget(NAMESPACE, space.name)
        self._whole.pop(space.name, None)
        del self._spaces[space.name]

    # ---- classes

    def create_class(self, space: Namespace, declared: CimClass, complete: bool = True) -> None:
        """CimError ALREADY_EXISTS, and those of schema/resolve.py, which says what `complete` is."""
        if space.graph.find(declared.name) is not None:
            raise CimError(ALREADY_EXISTS, f"there is a class {declared.name} in {space.name} already")
        if len(space.declared) >= MAX_CLASSES:
            raise CimError(SERVER_LIMITS_EXCEEDED, f"there are {MAX_CLASSES} classes in {space.name} already")
        made = resolved(declared, space.graph, complete)
        self._write_class(space, declared, {declared.name.lower(): made})

    def modify_class(self, space: Namespace, declared: CimClass, complete: bool = True) -> None:
        """Replace a class, and resolve those below it again.

        CimError INVALID_CLASS; NOT_SUPPORTED for the server's own; INVALID_SUPERCLASS for another superclass than
        before; CLASS_HAS_CHILDREN or CLASS_HAS_INSTANCES if they could not stay as they are; those of resolve.py.
        """
        low = declared.name.lower()
        before = self._changeable(space, declared.name, INVALID_CLASS)
        if declared.superclass.lower() != before.superclass.lower():
            raise CimError(INVALID_SUPERCLASS, f"the superclass of {before.name} is {before.superclass or 'none'}")
        made = {low: resolved(declared, space.graph, complete)}
        below = space.graph.subclasses(before.name, deep=True)
        for name in below:
            step = replace(space.graph, classes={**space.graph.classes, **made})
            try:
                made[name.lower()] = resolved(space.declared[name.lower()], step, complete=False)
            except CimError as error:
                raise CimError(CLASS_HAS_CHILDREN, f"{name} does not fit the new {before.name}: {error.text}") from None
        for name, after in made.items():
            old = space.graph.classes[name]
            if self._static.any(space.name, old.name) and (why := _unfit(old, after)):
                raise CimError(CLASS_HAS_INSTANCES, f"there are instances of {old.name}: {why}")
        self._write_class(space, declared, made)

    def delete_class(self, space: Namespace, name: str) -> None:
        """CimError NOT_FOUND, NOT_SUPPORTED for the server's own, CLASS_HAS_CHILDREN, CLASS_HAS_INSTANCES."""
        cls = self._changeable(space, name, NOT_FOUND)
        if space.graph.subclasses(cls.name):
            raise CimError(CLASS_HAS_CHILDREN, f"{cls.name} has subclasses")
        if self._static.any(space.name, cls.name):
            raise CimError(CLASS_HAS_INSTANCES, f"there are instances of {cls.name}")
        low = cls.name.lower()
        self._forget(CLASS, _key(space, low))
        del space.declared[low]
        classes = dict(space.graph.classes)
        del classes[low]
        space.graph = replace(space.graph, classes=classes)

    def _changeable(self, space: Namespace, name: str, missing: int) -> CimClass:
        cls = space.graph.find(name)
        if cls is None:
            raise CimError(missing, f"there is no class {name} in {space.name}")
        if space.belongs_to_server(name):
            raise CimError(NOT_SUPPORTED, f"the class {cls.name} of {space.name} belongs to the server")
        return cls

    def _write_class(self, space: Namespace, declared: CimClass, made: dict[str, CimClass]) -> None:
        low = declared.name.lower()
        self._keep(CLASS, _key(space, low), dumps(class_row(declared)))
        space.declared[low] = declared
        space.graph = replace(space.graph, classes={**space.graph.classes, **made})
        for observer in self._observers:
            observer()

    # ---- qualifier types

    def set_qualifier(self, space: Namespace, declared: QualifierDeclaration) -> None:
        """Create or replace a qualifier type. CimError FAILED if a class uses the old one and the type differs.

        One of the server's own is hidden by it for new classes; the server's classes stay what they are.
        """
        low = declared.name.lower()
        old = space.graph.qualifier_declarations.get(low)
        if old is not None and (old.type, old.array) != (declared.type, declared.array):
            self._unused(space, low)
        self._keep(QUALIFIER, _key(space, low), dumps(qualifier_type_row(declared)))
        space.qualifiers[low] = declared
        self._renew_qualifiers(space)

    def delete_qualifier(self, space: Namespace, name: str) -> None:
        """CimError NOT_FOUND, NOT_SUPPORTED for the server's own, FAILED while a class uses it."""
        low = name.lower()
        if low not in space.qualifiers:
            if low in space.graph.qualifier_declarations:
                raise CimError(NOT_SUPPORTED, f"the qualifier type {name} belongs to the server")
            raise CimError(NOT_FOUND, f"there is no qualifier type {name} in {space.name}")
        if low not in space.base.qualifier_declarations:
            self._unused(space, low)
        self._forget(QUALIFIER, _key(space, low))
        del space.qualifiers[low]
        self._renew_qualifiers(space)

    def _unused(self, space: Namespace, low: str) -> None:
        for cls in space.graph.classes.values():
            if any(qualifier.name.lower() == low for qualifier in qualifiers_in(cls)):
                raise CimError(FAILED, f"the class {cls.name} uses the qualifier type {low}")

    def _renew_qualifiers(self, space: Namespace) -> None:
        qualifiers = {**space.base.qualifier_declarations, **space.qualifiers}
        space.graph = replace(space.graph, qualifier_declarations=qualifiers)

    # ---- the disk

    def _keep(self, kind: str, key: str, value: bytes) -> None:
        if self._disk is not None:
            self._disk.put(kind, key, value)

    def _forget(self, kind: str, key: str) -> None:
        if self._disk is not None:
            self._disk.drop(kind, key)

    def attach(self, disk: Disk) -> None:
        """Restore what `disk` holds, and keep all changes there. For the start, before anybody wrote."""
        for name, _ in disk.rows(NAMESPACE):
            self._spaces.setdefault(name, Namespace(name, ClassGraph({})))
        for key, row in disk.rows(QUALIFIER):
            space, low = self._place(key)
            if space is not None:
                space.qualifiers[low] = qualifier_type_of(loads(row))
        for space in self:
            self._renew_qualifiers(space)
        found: dict[str, dict[str, CimClass]] = {}
        for key, row in disk.rows(CLASS):
            space, low = self._place(key)
            if space is not None:
                found.setdefault(space.name, {})[low] = class_of(loads(row))
        for name, declared in found.items():
            self._restore_classes(self._spaces[name], declared)
        self._disk = disk

    def _place(self, key: str) -> tuple[Namespace | None, str]:
        name, _, low = key.partition("\n")
        return self._spaces.get(name), low

    def _restore_classes(self, space: Namespace, declared: dict[str, CimClass]) -> None:
        """A class may come before its superclass: what does not resolve yet is tried again after the others."""
        waiting = declared
        while waiting:
            later: dict[str, CimClass] = {}
            reason = ""
            classes = dict(space.graph.classes)
            graph = replace(space.graph, classes=classes)
            for low, cls in waiting.items():
                above = cls.superclass.lower()
                if low in classes or (above and above not in classes):
                    later[low], reason = cls, f"{cls.name} or its superclass"
                    continue
                try:
                    classes[low] = resolved(cls, replace(graph, classes=classes), complete=False)
                except CimError as error:
                    later[low], reason = cls, error.text
                    continue
                space.declared[low] = cls
            space.graph = replace(graph, classes=classes)
            if len(later) == len(waiting):
                log.warning("%s: %d classes cannot be restored: %s", space.name, len(later), reason)
                return
            waiting = later


def _key(space: Namespace, low: str) -> str:
    return f"{space.name}\n{low}"


def _unfit(old: CimClass, new: CimClass) -> str:
    """Why instances of a class could not be instances of its new form; "" if they can."""
    if old.keys != new.keys:
        return "its keys cannot change"
    for low, was in old.properties.items():
        now = new.properties.get(low)
        if now is None:
            return f"{was.name} cannot go"
        if (now.name, now.type, now.array, now.embedded) != (was.name, was.type, was.array, was.embedded):
            return f"{was.name} cannot become another type"
        if (now.reference_class, now.array_size) != (was.reference_class, was.array_size):
            return f"{was.name} cannot become narrower"
    return ""
