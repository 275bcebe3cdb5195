"""Associations: a relation between views, declared once and walked in both directions.

    class SystemDevice(Association, cim="Xen_SystemDevice", left="GroupComponent", right="PartComponent"):
        relations = (SameRecord(ComputerSystem, Processor), Pointing(ComputerSystem, LogicalDisk, "VBD.VM"))

`left` and `right` name the two references of the class. Properties besides the references are constants of the class
(`properties`), or of one relation (`Where`), or what `described` says of two ends. A profile that needs an association
another one declares adds its relations with `also`, while profiles are imported.
A walk costs what it finds: SameRecord and Pointing use the record and the store's inverse index, Owned keeps an index;
the functions of Pairs must keep that promise, with an index of their own where the store has none (Extents.index).

A walk may be interrupted between two of its results (Tally.steps), so it iterates over nothing that can change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from cim_provider.mapping.extent import Extent, Listing, Rendition, Shown, Stamp, Tally, stamped
from cim_provider.mapping.subject import NULL_REF, Pool
from cim_provider.mapping.view import View
from cim_provider.schema.objects import CIMV2, Path
from xenapi_core.clock import Steps

if TYPE_CHECKING:
    from xenapi_core.store.api import Version

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


Owners = Callable[[Pool, "Version"], str | tuple[str, ...]]


@dataclass(frozen=True)
class Owned:
    """A record of the right view belongs to the instance, or instances, of the left one whose key `owners` tells: a
    reference, or an item if the left view has no records.

    `owners(pool, version)` may give what is no instance; besides the record it may look at records of the classes
    `reads`.
    """

    left: type[View]
    right: type[View]
    owners: Owners
    reads: tuple[str, ...] = ()

    def _keys(self, pool: Pool, version: Version) -> tuple[str, ...]:
        found = self.owners(pool, version)
        return (found,) if isinstance(found, str) else found

    def owned(self, pool: Pool) -> dict[str, list[str]]:
        """Key of an owner -> references of what it owns."""
        found: dict[str, list[str]] = {}
        for ref, version in pool.all(self.right.of or "").items():
            for owner in self._keys(pool, version):
                found.setdefault(owner, []).append(ref)
        return found

    def forward(self, extents: Extents, left: Rendition) -> Iterator[Rendition]:
        key = left.item if left.version is None else left.version.ref
        right = extents.extent(self.right)
        for ref in extents.index(self.owned, (self.right.of or "", *self.reads)).get(key, ()):
            version = extents.pool.find(ref)
            if version is not None:
                yield from right.of(version)

    def backward(self, extents: Extents, right: Rendition) -> Iterator[Rendition]:
        left = extents.extent(self.left)
        for key in self._keys(extents.pool, right.version) if right.version is not None else ():
            if self.left.of is None:
                yield from (one for one in left if one.item == key)
                continue
            version = extents.pool.find(key)
            if version is not None and version.cls == self.left.of:
                yield from left.of(version)


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


def same_item(left: Rendition, right: Rendition) -> bool:
    """Both are the same of the several things their views make of a record: of one configuration, one processor."""
    return bool(left.item == right.item)


@dataclass(frozen=True)
class Where:
    """A relation, only between those ends for which `holds(left, right)`; its links have `properties` of their own.

    `holds` may look at the items, records and values of the two ends alone.
    """

    relation: Relation
    holds: Callable[[Rendition, Rendition], bool] = lambda left, right: True
    properties: Mapping[str, Any] | None = None

    @property
    def left(self) -> type[View]:
        return self.relation.left

    @property
    def right(self) -> type[View]:
        return self.relation.right

    @property
    def reads(self) -> tuple[str, ...]:
        return reads_of(self.relation)

    def forward(self, extents: Extents, left: Rendition) -> Iterator[Rendition]:
        return (right for right in self.relation.forward(extents, left) if self.holds(left, right))

    def backward(self, extents: Extents, right: Rendition) -> Iterator[Rendition]:
        return (left for left in self.relation.backward(extents, right) if self.holds(left, right))


@dataclass(frozen=True)
class Reversed:
    """A relation with its ends exchanged: the record of the left view points at that of the right one."""

    relation: Relation

    @property
    def left(self) -> type[View]:
        return self.relation.right

    @property
    def right(self) -> type[View]:
        return self.relation.left

    @property
    def reads(self) -> tuple[str, ...]:
        return reads_of(self.relation)

    def forward(self, extents: Extents, left: Rendition) -> Iterable[Rendition]:
        return self.relation.backward(extents, left)

    def backward(self, extents: Extents, right: Rendition) -> Iterable[Rendition]:
        return self.relation.forward(extents, right)


def reads_of(relation: Relation) -> tuple[str, ...]:
    """The Xen-API classes a relation looks at beside those of its views."""
    found: tuple[str, ...] = getattr(relation, "reads", ())
    return found


class Link(Shown):
    """One instance of an association, in one of the namespaces it is visible in.

    Path, values and forms depend on the paths of its ends and on `properties` alone. They can be `kept` from an earlier
    link of the same.
    """

    __slots__ = ("association", "left", "right")

    def __init__(
        self,
        association: type[Association],
        left: Rendition,
        right: Rendition,
        namespace: str,
        kept: Shown | None = None,
        properties: Mapping[str, Any] | None = None,
    ) -> None:
        if kept is None:
            ends = {association.left: left.path, association.right: right.path}
            more = association.properties if properties is None else properties
            super().__init__(Path.of(association.cim, ends, namespace), {**ends, **more})
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

    def __init_subclass__(
        cls,
        cim: str = "",
        left: str = "",
        right: str = "",
        namespaces: tuple[str, ...] = (CIMV2,),
        variant: bool = False,
    ) -> None:
        super().__init_subclass__()
        if variant:  # face.py does the rest
            return
        cls.cim, cls.left, cls.right, cls.namespaces = cim, left, right, namespaces
        if cim in ASSOCIATIONS:
            raise TypeError(f"{cim} is declared twice")
        ASSOCIATIONS[cim] = cls

    @classmethod
    def also(cls, *relations: Relation) -> None:
        """Relations of this association that another profile declares; only while profiles are imported."""
        cls.relations += relations

    @classmethod
    def described(cls, relation: Relation, left: Rendition, right: Rendition) -> Mapping[str, Any]:
        """The properties of one link besides its references; may look at items and values of its ends alone."""
        own = relation.properties if isinstance(relation, Where) else None
        return cls.properties if own is None else own

    @classmethod
    def links(cls, extents: Extents, namespace: str) -> Iterator[Link]:
        """All instances, as seen in a namespace."""
        for relation in cls.relations:
            for left in extents.extent(relation.left):
                for right in relation.forward(extents, left):
                    yield cls.link(extents, relation, left, right, namespace)

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
        classes = {name for relation in cls.relations for name in reads_of(relation)}
        for view in {view for relation in cls.relations for view in (relation.left, relation.right)}:
            stamp = extents.extent(view).listing().stamp
            if stamp is None:
                return None
            classes.update(name for name, _ in stamp)
        return stamped(extents.pool, classes)

    @classmethod
    def link(cls, extents: Extents, relation: Relation, left: Rendition, right: Rendition, namespace: str) -> Link:
        """The link between two instances that are related.

        Its rendered forms are kept on the right end, without the ends: a replaced rendition must not live on in its
        links.
        """
        key = (cls.cim, namespace, left.key)
        properties = cls.described(relation, left, right)
        kept = right.links.get(key)
        if kept is not None:
            known = kept.values[cls.left]
            if (known is left.path or known == left.path) and all(
                kept.values.get(name) == value for name, value in properties.items()
            ):
                return Link(cls, left, right, namespace, kept)
        link = Link(cls, left, right, namespace, None, properties)
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
                    yield cls.link(extents, relation, end, right, namespace)
            elif role == cls.right and relation.right is end.view:
                for left in relation.backward(extents, end):
                    yield cls.link(extents, relation, left, end, namespace)
