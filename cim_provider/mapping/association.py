"""Associations: a relation between views, declared once and walked in both directions.

    class SystemDevice(Association, cim="Xen_SystemDevice", left="GroupComponent", right="PartComponent"):
        relations = (SameRecord(ComputerSystem, Processor), Pointing(ComputerSystem, LogicalDisk, "VBD.VM"))

`left` and `right` name the two references of the class. Properties besides the references are constants of the class.
A walk costs what it finds: SameRecord and Pointing use the record and the store's inverse index; the functions of Pairs
must keep that promise, with an index of their own where the store has none (Extents.index).

A walk may be interrupted between two of its results (Tally.steps), so it iterates over nothing that can change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeVar

from cim_provider.mapping.extent import Extent, Listing, Rendition, Shown, Stamp, Tally, stamped
from cim_provider.mapping.subject import NULL_REF, Pool
from cim_provider.mapping.view import View
from cim_provider.schema.objects import CIMV2, Path
from xenapi_core.clock import Steps

T = TypeVar("T")


class Extents(Protocol):
    """Where a relation finds the instances of its views, and the pool."""

    @property
    def pool(self) -> Pool: ...

    @property
    def tally(self) -> Tally: ...

    def extent(self, view: type[View]) -> Extent: ...

    def index(self, make: Callable[[Pool], T], classes: tuple[str, ...]) -> T:
        """`make(pool)`, made again when a record of one of `classes` has changed: it may look at those alone."""


class Relation(Protocol):
    """One way two views are related. `forward` goes from left to right."""

    @property
    def left(self) -> type[View]: ...

    @property
    def right(self) -> type[View]: ...

    def forward(self, extents: Extents, left: Rendition) -> Iterable[Rendition]: ...

    def backward(self, extents: Extents, right: Rendition) -> Iterable[Rendition]: ...


@dataclass(frozen=True)
class SameRecord:
    """Both are views of the same record: a VM and its memory."""

    left: type[View]
    right: type[View]

    def forward(self, extents: Extents, left: Rendition) -> Iterable[Rendition]:
        return extents.extent(self.right).of(left.version) if left.version is not None else ()

    def backward(self, extents: Extents, right: Rendition) -> Iterable[Rendition]:
        return extents.extent(self.left).of(right.version) if right.version is not None else ()


@dataclass(frozen=True)
class Pointing:
    """Records of the right view point at those of the left one through a reference field, given as "VBD.VM"."""

    left: type[View]
    right: type[View]
    through: str

    @property
    def field(self) -> str:
        return self.through.partition(".")[2]

    def forward(self, extents: Extents, left: Rendition) -> Iterator[Rendition]:
        pool, right = extents.pool, extents.extent(self.right)
        if left.version is None:
            return
        _, inverse = pool.schema.relations[self.through.partition(".")[0], self.field]
        for ref in pool.related(left.version.ref, inverse):
            version = pool.find(ref)
            if version is not None and version.cls == self.right.of:
                yield from right.of(version)

    def backward(self, extents: Extents, right: Rendition) -> Iterable[Rendition]:
        ref = right.version.values[self.field] if right.version is not None else NULL_REF
        version = extents.pool.find(ref) if ref != NULL_REF else None
        if version is None or version.cls != self.left.of:
            return ()
        return extents.extent(self.left).of(version)


Walk = Callable[[Extents, Rendition], Iterable[Rendition]]


@dataclass(frozen=True)
class Pairs:
    """Any other relation: a function for each direction. They must agree with each other.

    `reads` are Xen-API classes that the functions look at and neither view does.
    """

    left: type[View]
    right: type[View]
    forward: Walk
    backward: Walk
    reads: tuple[str, ...] = ()


class Link(Shown):
    """One instance of an association, in one of the namespaces it is visible in.

    Path, values and forms depend on the paths of its ends alone. They can be `kept` from an earlier link of the same.
    """

    __slots__ = ("association", "left", "right")

    def __init__(
        self,
        association: type[Association],
        left: Rendition,
        right: Rendition,
        namespace: str,
        kept: Shown | None = None,
    ) -> None:
        if kept is None:
            ends = {association.left: left.path, association.right: right.path}
            super().__init__(Path.of(association.cim, ends, namespace), {**ends, **association.properties})
        else:
            super().__init__(kept.path, kept.values, kept.forms)
        self.association = association
        self.left = left
        self.right = right


ASSOCIATIONS: dict[str, type[Association]] = {}


class Association:
    """Base of all associations; never instantiated. `namespaces` are those in which its instances can be enumerated."""

    cim: ClassVar[str] = ""
    left: ClassVar[str] = ""
    right: ClassVar[str] = ""
    namespaces: ClassVar[tuple[str, ...]] = ()
    relations: ClassVar[tuple[Relation, ...]] = ()
    properties: ClassVar[Mapping[str, Any]] = {}

    def __init_subclass__(cls, cim: str, left: str, right: str, namespaces: tuple[str, ...] = (CIMV2,)) -> None:
        super().__init_subclass__()
        cls.cim, cls.left, cls.right, cls.namespaces = cim, left, right, namespaces
        if cim in ASSOCIATIONS:
            raise TypeError(f"{cim} is declared twice")
        ASSOCIATIONS[cim] = cls

    @classmethod
    def links(cls, extents: Extents, namespace: str) -> Iterator[Link]:
        """All instances, as seen in a namespace."""
        for relation in cls.relations:
            for left in extents.extent(relation.left):
                for right in relation.forward(extents, left):
                    yield cls.link(extents, left, right, namespace)

    @classmethod
    def listing(cls, extents: Extents, namespace: str) -> Steps[Listing]:
        """All instances as seen in a namespace; a step for each rendition and link that had to be made.

        Its stamp is taken before the walk: what changes between the steps makes it out of date, and it is made again.
        """
        for relation in cls.relations:
            yield from extents.extent(relation.left).listed()
            yield from extents.extent(relation.right).listed()
        stamp = cls._stamp(extents)
        links = yield from extents.tally.steps(cls.links(extents, namespace))
        return Listing(links, stamp)

    @classmethod
    def _stamp(cls, extents: Extents) -> Stamp | None:
        """The revisions of everything a listing is made of; None if that cannot be said."""
        classes = {name for relation in cls.relations if isinstance(relation, Pairs) for name in relation.reads}
        for view in {view for relation in cls.relations for view in (relation.left, relation.right)}:
            stamp = extents.extent(view).listing().stamp
            if stamp is None:
                return None
            classes.update(name for name, _ in stamp)
        return stamped(extents.pool, classes)

    @classmethod
    def link(cls, extents: Extents, left: Rendition, right: Rendition, namespace: str) -> Link:
        """The link between two instances that are related.

        What was made of it is kept on the right end, without the ends: who is replaced must not live on in its links.
        """
        key = (cls.cim, namespace, left.key)
        kept = right.links.get(key)
        if kept is not None:
            known = kept.values[cls.left]
            if known is left.path or known == left.path:
                return Link(cls, left, right, namespace, kept)
        link = Link(cls, left, right, namespace)
        right.links[key] = Shown(link.path, link.values, link.forms)
        extents.tally.made += 1
        return link

    @classmethod
    def links_of(cls, extents: Extents, end: Rendition, role: str) -> Iterator[Link]:
        """The instances in which `end` plays `role` (one of the two references), as seen in its namespace."""
        namespace = end.path.namespace
        for relation in cls.relations:
            if role == cls.left and relation.left is end.view:
                for right in relation.forward(extents, end):
                    yield cls.link(extents, end, right, namespace)
            elif role == cls.right and relation.right is end.view:
                for left in relation.backward(extents, end):
                    yield cls.link(extents, left, end, namespace)
