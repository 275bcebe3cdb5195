"""The CIM provider: the class graph, the extents of all views over one pool, and finding an instance by its path.

Theory of operation
1. The server's own namespaces share one class graph; which of the pool's instances a namespace has is said by the views
   and associations. What clients write (namespaces, classes, instances) is in the repository, and durable with a disk.
2. The provider holds no state of the pool: extents read the Source at each call and keep only what they can prove
   current. What it does hold are the open enumerations (operations/pull.py).
   Long reads take the loop's time in slices, all from one (clock.py, rule 3).
3. What is shown are the declared views and associations, or what the mode makes of them (compat/mode.py), and views of
   the mode. They are known by the declared ones; methods find declared instances.
4. Declarations are checked once, at construction; a provider with a mistake in a profile does not start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, TypeVar

from cim_provider import profiles
from cim_provider.compat.mode import PLAIN, Mode, associations_of, mistakes_in, shown_by
from cim_provider.ended_jobs import TASK
from cim_provider.jobs import Jobs
from cim_provider.mapping.association import Association, Link
from cim_provider.mapping.extent import Extent, Listing, Rendition, Shown, Stamp, Tally, stamped
from cim_provider.mapping.samples import SampleExtent, SampleView
from cim_provider.mapping.subject import Pool
from cim_provider.mapping.view import VIEWS, View
from cim_provider.operations import associators, extrinsic, intrinsic, schema_ops
from cim_provider.operations.api import InstanceWriter
from cim_provider.operations.job_writer import JobWriter
from cim_provider.operations.namespaces import NamespaceWriter
from cim_provider.operations.pull import Contexts
from cim_provider.profiles.job_control import ConcreteJob
from cim_provider.repository.disk import Disk
from cim_provider.repository.instances import Repository
from cim_provider.repository.namespaces import Namespaces
from cim_provider.repository.static import StaticInstances
from cim_provider.repository.views import NamespaceExtent, NamespaceView, StoredExtent, StoredView
from cim_provider.schema.compile import load_graph, mof_root
from cim_provider.schema.graph import CimClass, ClassGraph
from cim_provider.schema.objects import (
    INVALID_CLASS,
    CimError,
    Path,
    canonical_namespace,
)
from xenapi_core.bridge.source import Source
from xenapi_core.clock import Later, Slices, Steps

T = TypeVar("T")

# Importing these modules is what registers views, associations and operations.
LOADED = (profiles, associators, extrinsic, intrinsic, schema_ops)


async def _after(later: Later[None], value: T) -> T:
    await later
    return value


class MappingError(Exception):
    """The profiles do not agree with the schema; the text has one line per mistake."""


class CimProvider:
    """The class graph and the extents of all views over one pool. Serves operations/api.Provider and
    mapping/association.Extents."""

    def __init__(
        self, source: Source, graph: ClassGraph | None = None, disk: Disk | None = None, mode: Mode = PLAIN
    ) -> None:
        self.source = source
        self.mode = mode
        self.contexts = Contexts()
        self.jobs = Jobs(source, disk)
        self.slices = Slices()
        self.tally = Tally()
        self._graph = (
            graph
            if graph is not None
            else load_graph(
                [mof_root() / "dmtf" / "xencim_dmtf.mof", mof_root() / "xen" / "xencim.mof"],
                amending=[mof_root() / "xen" / name for name in mode.mof],
            )
        )
        if mode.spaces:
            self._graph = replace(self._graph, spaces=mode.spaces)
        shown = shown_by(mode)
        self.views = tuple(shown)
        self._own = {view.cim: view for view in mode.views}
        self._views: dict[str, tuple[type[View], ...]] = {}
        for view, face in shown.items():
            for name in (face.cim, *face.kinds):
                self._views[name] = (*self._views.get(name, ()), view)
        self._associations = associations_of(mode)
        mistakes = mistakes_in(mode, self._graph, source.schema)
        if mistakes:
            raise MappingError("\n".join(mistakes))
        self.disk = disk
        self.repository = Repository()
        self.static = StaticInstances()
        self.spaces = Namespaces(self._graph, self.static)
        self.writers: dict[str, InstanceWriter] = NamespaceWriter(self).classes()
        jobs = shown[ConcreteJob]
        self.pool_writers: dict[str, InstanceWriter] = dict.fromkeys((jobs.cim, *jobs.kinds), JobWriter(self))
        profiles.indications.install(self.repository, disk is not None)
        if disk is not None:
            self.repository.attach(disk)
            self.spaces.attach(disk)
            self.static.attach(disk, self.spaces.find)
        self._extents = {view: self._make_extent(face) for view, face in shown.items()}
        self._declared = {
            view: self._extents[view] if face is view else self._make_extent(view) for view, face in shown.items()
        }
        self._links: dict[tuple[type[Association], str], Listing] = {}
        self._indexes: dict[Callable[[Pool], Any], tuple[Stamp, Any]] = {}
        self._below: dict[tuple[str, str], tuple[Extent, ...]] = {}
        self._parts: dict[tuple[Extent, str], tuple[Listing, Listing]] = {}

    def _make_extent(self, view: type[View]) -> Extent:
        cls = self._graph.classes[view.cim.lower()]
        if issubclass(view, StoredView):
            return StoredExtent(view, cls, self.source, self.tally, self.repository)
        if issubclass(view, SampleView):
            return SampleExtent(view, cls, self.source, self.tally)
        if issubclass(view, NamespaceView):
            return NamespaceExtent(view, cls, self.source, self.tally, self._written_names)
        return Extent(view, cls, self.pool if view.of == TASK else self.source, self.tally)

    def _written_names(self) -> tuple[str, ...]:
        """The names under which clients reach the namespaces: as replies write them, and the canonical ones."""
        names = self.spaces.names()
        return tuple(dict.fromkeys((*(self.mode.spaces.get(name, name) for name in names), *names)))

    @property
    def pool(self) -> Pool:
        """The pool as relations see it: its tasks are those whose jobs are there."""
        return self.jobs.ended

    @property
    def namespaces(self) -> tuple[str, ...]:
        """Canonical names of the namespaces."""
        return self.spaces.names()

    def graph(self, namespace: str) -> ClassGraph:
        """The classes of a namespace. CimError INVALID_NAMESPACE."""
        return self.spaces.get(namespace).graph

    def durable(self, value: T) -> T | Later[T]:
        """`value`, when everything written so far is on disk. CimError FAILED if it never will be."""
        later = None if self.disk is None else self.disk.settled()
        return value if later is None else Later(_after(later, value))

    def class_of(self, namespace: str, name: str, status: int = INVALID_CLASS) -> CimClass:
        """A class by name; CimError `status` if there is none, INVALID_NAMESPACE."""
        found = self.graph(namespace).find(name)
        if found is None:
            raise CimError(status, f"there is no class {name} in {namespace}")
        return found

    def extent(self, view: type[View]) -> Extent:
        """The instances of a view."""
        return self._extents[view]

    def extents(self, namespace: str, classname: str) -> tuple[Extent, ...]:
        """The extents that have instances of a class or its subclasses in a namespace; those with several classes have
        others too (`part`). The class must exist."""
        key = (namespace, classname.lower())
        found = self._below.get(key)
        if found is None:
            found = self._below[key] = tuple(
                extent
                for extent in self._extents.values()
                if self.sees(namespace, extent.view.namespace)
                and any(self._graph.is_a(name, classname) for name in (extent.view.cim, *extent.view.kinds))
            )
        return found

    def part(self, extent: Extent, classname: str) -> Steps[Listing]:
        """The instances of a class and its subclasses in an extent; steps as of `Extent.listed`."""
        whole = yield from extent.listed()
        if self._graph.is_a(extent.view.cim, classname):
            return whole
        key = (extent, classname.lower())
        kept = self._parts.get(key)
        if kept is None or kept[0] is not whole:
            chosen = [one for one in whole.shown if self._graph.is_a(one.path.classname, classname)]
            kept = self._parts[key] = (whole, Listing(chosen, whole.stamp))
        return kept[1]

    def associations(self, namespace: str, classname: str | None = None) -> Iterator[type[Association]]:
        """The associations of a namespace that are of a class (or of any)."""
        for name, association in self._associations.items():
            if not any(self.sees(namespace, home) for home in association.namespaces):
                continue
            if classname is None or self._graph.is_a(name, classname):
                yield association

    def sees(self, namespace: str, home: str) -> bool:
        """Whether what lives in the namespace `home` is seen in a namespace."""
        return home == namespace or home in self.mode.also.get(namespace, ())

    def index(self, make: Callable[[Pool], T], classes: tuple[str, ...]) -> T:
        """`make(pool)`, made again after a record of one of `classes` has changed (mapping/association.Extents)."""
        stamp = stamped(self.pool, classes)
        kept = self._indexes.get(make)
        if kept is None or kept[0] != stamp:
            kept = self._indexes[make] = (stamp, make(self.pool))
        found: T = kept[1]
        return found

    def listings(self, namespace: str, classname: str) -> Steps[list[Listing]]:
        """All instances of a class and its subclasses in a namespace; a step for each that must be made.

        They are of one moment if nothing changed between the steps. The class must exist.
        """
        found: list[Listing] = []
        for extent in self.extents(namespace, classname):
            found += ((yield from self.part(extent, classname)),)
        for association in tuple(self.associations(namespace, classname)):
            kept = self._links.get((association, namespace))
            if kept is None or not kept.current(self.pool):
                kept = self._links[association, namespace] = yield from association.listing(self, namespace)
            found.append(kept)
        found += yield from self.static_listings(namespace, classname)
        return found

    def static_listings(self, namespace: str, classname: str) -> Steps[list[Listing]]:
        """The part of `listings` that has no provider."""
        return self.static.listings(namespace, self.graph(namespace), classname)

    def get(self, path: Path, namespace: str) -> Shown | None:
        """The instance that `path` names, shown or stored; its own namespace counts before `namespace`."""
        space = canonical_namespace(path.namespace) if path.namespace else namespace
        found = self.find(path, space) or self.find_link(path, space)
        if found is not None:
            return found
        if path.namespace != space or path.host:
            path = Path(path.classname, path.keys, space)
        return self.static.find(path)

    def find(self, path: Path, namespace: str) -> Rendition | None:
        """The instance of a view that `path` names; its own namespace counts before `namespace`."""
        space = canonical_namespace(path.namespace or namespace)
        for view in self._views.get(path.classname, ()):
            found = self._extents[view].find(path) if self.sees(space, view.namespace) else None
            if found is not None:
                return found
        return None

    def find_declared(self, path: Path) -> Rendition | None:
        """The instance that `path` names as the profiles, or the mode's own views, declare it, whatever the mode
        shows."""
        view = VIEWS.get(path.classname) or self._own.get(path.classname)
        if view is None or view.namespace != canonical_namespace(path.namespace or view.namespace):
            return None
        return self._declared[view].find(path)

    def declared(self, shown: Rendition, item: Any = None) -> Rendition | None:
        """The rendition by the profile's view of what the mode shows as `shown` (compat/mode.Shows)."""
        extent = self._declared[shown.view]
        wanted = shown.item if item is None else item
        candidates = tuple(extent) if shown.version is None else extent.of(shown.version)
        return next((one for one in candidates if one.item == wanted), None)

    def views_of(self, classname: str) -> tuple[type[View], ...]:
        """The declared views whose instances are shown as instances of just this class (compat/mode.Shows)."""
        return self._views.get(classname, ())

    def find_link(self, path: Path, namespace: str) -> Link | None:
        """The instance of an association that `path` names."""
        association = self._associations.get(path.classname)
        if association is None or not any(self.sees(namespace, home) for home in association.namespaces):
            return None
        ends = [path.key(association.left), path.key(association.right)]
        if len(path.keys or ()) != 2 or not all(isinstance(end, Path) for end in ends):
            return None
        left, right = (self.find(end, namespace) for end in ends)
        if left is None or right is None:
            return None
        links: Iterable[Link] = association.links_of(self, right, association.right)
        found = next((link for link in links if link.left.path == left.path), None)
        if found is None or found.path.namespace == namespace:
            return found
        return Link(association, left, right, namespace)
