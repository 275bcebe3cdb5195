"""Stored instances as extents of views, and as associations.

    class IndicationFilter(StoredView, cim="CIM_IndicationFilter", namespace=INTEROP):
        Name = kept("Name", "string")
        SystemName = computed(...)          # a rule like in any view; `subject.item` is the stored values

Associations with StoredInstances are stored too; an instance that has lost one of its ends is not shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast

from cim_provider.mapping.association import Association, Extents, Link
from cim_provider.mapping.extent import Extent, Listing, Rendition, Stamp, Tally, stamped
from cim_provider.mapping.rule import Kind, Rule
from cim_provider.mapping.subject import Pool, Seen, Subject
from cim_provider.mapping.view import View
from cim_provider.repository.instances import Repository
from cim_provider.schema.graph import CimClass
from cim_provider.schema.objects import Path
from xenapi_core.clock import Steps

if TYPE_CHECKING:
    from xenapi_core.store.api import Version

Names = Callable[[], tuple[str, ...]]


def kept(name: str, kind: str, array: bool = False) -> Rule:
    """A property as it was stored; NULL if it was not."""
    written = Kind(kind, array)
    return Rule(lambda subject: subject.item.get(name), lambda schema, cls: written, source="as it was written")


class NamespaceView(View):
    """Base of views of this server's namespaces: one instance for each, whose name rules find as `subject.item`."""

    def __init_subclass__(cls, cim: str = "", **more: Any) -> None:
        super().__init_subclass__(cim=cim, items=none_of_the_pool, **more)


class NamespaceExtent(Extent):
    """The instances of a NamespaceView. They are few, and made anew each time: namespaces come and go unnoticed by the
    pool, so nobody may keep a listing (subject.py, rule 3)."""

    def __init__(self, view: type[View], cls: CimClass, pool: Pool, tally: Tally, names: Names) -> None:
        super().__init__(view, cls, pool, tally)
        self._names = names

    def _render(self, version: Version | None) -> tuple[Seen, tuple[Rendition, ...]]:
        subject = Subject(self.pool, None)
        subject.seen.volatile = True
        made = []
        for name in self._names():
            one = subject.at(name)
            values = {prop: rule.read(one) for prop, rule in self.view.rules.items()}
            path = Path.of(self.view.cim, {key: values[key] for key in self.cls.keys}, self.view.namespace)
            made.append(Rendition(self.view, None, name, path, values))
        return subject.seen, tuple(made)


def none_of_the_pool(subject: Subject) -> Iterable[Any]:
    return ()


class StoredView(View):
    """Base of views whose instances are in the repository. A key that is no `kept` rule is computed from the pool."""

    def __init_subclass__(cls, cim: str = "", **more: Any) -> None:
        super().__init_subclass__(cim=cim, items=none_of_the_pool, **more)


class StoredExtent(Extent):
    """The instances of a StoredView. Rendered again when the repository's class, or a class of the pool that took part,
    has changed. Its listings say nothing of the repository, so nobody else may keep them (stamp None)."""

    def __init__(self, view: type[View], cls: CimClass, pool: Pool, tally: Tally, repository: Repository) -> None:
        super().__init__(view, cls, pool, tally)
        self._repository = repository
        self._found: dict[Path, Rendition] = {}
        self._made: dict[Path, Rendition] = {}  # the same by the paths of the repository
        self._stamp: tuple[int, Stamp] | None = None

    def listing(self) -> Listing:
        return Listing(tuple(self._current().values()), None)

    def __iter__(self) -> Iterator[Rendition]:
        return iter(tuple(self._current().values()))

    def find(self, path: Path) -> Rendition | None:
        return self._current().get(Path(self.view.cim, path.keys, self.view.namespace))

    def _current(self) -> dict[Path, Rendition]:
        now = self._repository.revision(self.view.cim)
        classes: set[str] = set()
        known: dict[Path, Rendition] = {}
        if self._stamp is not None:
            classes = {cls for cls, _ in self._stamp[1]}
            if stamped(self.pool, classes) == self._stamp[1]:
                if self._stamp[0] == now:
                    return self._found
                known = self._made  # the pool is as it was: only what was written since is rendered
        seen = Seen()
        found, made = {}, {}
        for where, stored in self._repository.all(self.view.cim).items():
            one = known.get(where)
            if one is None or one.item is not stored.values:
                subject = Subject(self.pool, None, stored.values, seen)
                values = {name: rule.read(subject) for name, rule in self.view.rules.items()}
                path = Path.of(self.view.cim, {key: values[key] for key in self.cls.keys}, self.view.namespace)
                one = Rendition(self.view, None, stored.values, path, values)
            found[one.path] = made[where] = one
        self._found, self._made = found, made
        looked_at = {version.cls for version in seen.records.values()}
        if known:
            looked_at |= classes
        self._stamp = None if seen.volatile else (now, stamped(self.pool, looked_at))
        return found


class StoredLink(Link):
    """A stored association instance, with the properties it has beside its references."""

    __slots__ = ()

    def __init__(
        self, association: type[Association], left: Rendition, right: Rendition, path: Path, values: Mapping[str, Any]
    ) -> None:
        super().__init__(association, left, right, path.namespace)
        self.path = path
        self.values.update(values)


class Holder(Extents, Protocol):
    """A provider with a repository."""

    @property
    def repository(self) -> Repository: ...

    def find(self, path: Path, namespace: str) -> Rendition | None: ...


@dataclass(frozen=True)
class StoredRelation:
    """Instances of `left` and `right` can be the ends of stored instances of the association `cim`."""

    left: type[View]
    right: type[View]
    cim: str

    def forward(self, extents: Extents, left: Rendition) -> Iterator[Rendition]:
        return self._other_ends(extents, left, self.right)

    def backward(self, extents: Extents, right: Rendition) -> Iterator[Rendition]:
        return self._other_ends(extents, right, self.left)

    def _other_ends(self, extents: Extents, end: Rendition, view: type[View]) -> Iterator[Rendition]:
        holder = cast("Holder", extents)
        for path in holder.repository.all(self.cim):
            ends = [value for _, value in path.keys or ()]
            if end.path in ends:
                for other in ends:
                    found = holder.find(other, path.namespace) if other != end.path else None
                    if found is not None and found.view is view:
                        yield found


class StoredInstances:
    """Mixed into an Association whose instances are in the repository: class X(StoredInstances, Association, cim=...).

    A walk looks at every stored instance of the class: they are as many as clients made, not as the pool has.
    """

    cim: ClassVar[str]
    left: ClassVar[str]
    right: ClassVar[str]

    @classmethod
    def shown(cls, pool: Pool, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """The properties of an instance besides its references; subclasses compute what is not stored."""
        return values

    @classmethod
    def links(cls, extents: Extents, namespace: str) -> Iterator[Link]:
        holder = cast("Holder", extents)
        association = cast("type[Association]", cls)
        for path, stored in holder.repository.all(cls.cim).items():
            left, right = (holder.find(path.key(role), path.namespace) for role in (cls.left, cls.right))
            if left is not None and right is not None:
                yield StoredLink(association, left, right, path, cls.shown(extents.pool, stored.values))

    @classmethod
    def listing(cls, extents: Extents, namespace: str) -> Steps[Listing]:
        yield from ()  # what the listing needs is cheap
        return Listing(tuple(cls.links(extents, namespace)), None)

    @classmethod
    def links_of(cls, extents: Extents, end: Rendition, role: str) -> Iterator[Link]:
        for link in cls.links(extents, end.path.namespace):
            if (link.left if role == cls.left else link.right).path == end.path:
                yield link
