"""The composed CIM provider: the class graph, the extents of all views over one pool, and the way from a path to an
instance.

Theory of operation
1. All namespaces share one class graph; which instances a namespace has is said by the views and associations.
2. The provider holds no state of the pool: extents read the Source at each call and keep only what they can prove
   current. What it does hold are the open enumerations (operations/pull.py).
   Long reads take the loop's time in slices, all from one (clock.py, rule 3).
3. Declarations are checked once, at construction; a provider with a mistake in a profile does not start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from cim_provider import profiles
from cim_provider.mapping.association import ASSOCIATIONS, Association, Link
from cim_provider.mapping.check import check
from cim_provider.mapping.extent import Extent, Listing, Rendition, Stamp, Tally, stamped
from cim_provider.mapping.subject import Pool
from cim_provider.mapping.view import VIEWS, View
from cim_provider.operations import associators, extrinsic, intrinsic
from cim_provider.operations.api import InstanceWriter
from cim_provider.operations.pull import Contexts
from cim_provider.repository.instances import Repository
from cim_provider.repository.views import StoredExtent, StoredView
from cim_provider.schema.compile import load_graph, mof_root
from cim_provider.schema.graph import CimClass, ClassGraph
from cim_provider.schema.objects import (
    CIMV2,
    INTEROP,
    INVALID_CLASS,
    INVALID_NAMESPACE,
    CimError,
    Path,
    canonical_namespace,
)
from xenapi_core.bridge.source import Source
from xenapi_core.clock import Slices, Steps

T = TypeVar("T")

NAMESPACES = (CIMV2, INTEROP)

# Importing these modules is what registers views, associations and operations.
LOADED = (profiles, associators, extrinsic, intrinsic)


class MappingError(Exception):
    """The profiles do not agree with the schema; the text has one line per mistake."""


class CimProvider:
    """See the module's theory of operation. Serves operations/api.Provider and mapping/association.Extents."""

    def __init__(self, source: Source, graph: ClassGraph | None = None) -> None:
        self.source = source
        self.contexts = Contexts()
        self.slices = Slices()
        self.tally = Tally()
        self._graph = (
            graph
            if graph is not None
            else load_graph([mof_root() / "dmtf" / "xencim_dmtf.mof", mof_root() / "xen" / "xencim.mof"])
        )
        mistakes = check(self._graph, source.schema, VIEWS.values(), ASSOCIATIONS.values())
        if mistakes:
            raise MappingError("\n".join(mistakes))
        self.repository = Repository()
        self.writers: dict[str, InstanceWriter] = {}
        profiles.indications.install(self.repository)
        self._extents = {view: self._make_extent(view) for view in VIEWS.values()}
        self._links: dict[tuple[type[Association], str], Listing] = {}
        self._indexes: dict[Callable[[Pool], Any], tuple[Stamp, Any]] = {}
        self._below: dict[tuple[str, str], tuple[Extent, ...]] = {}

    def _make_extent(self, view: type[View]) -> Extent:
        cls = self._graph.classes[view.cim.lower()]
        if issubclass(view, StoredView):
            return StoredExtent(view, cls, self.source, self.tally, self.repository)
        return Extent(view, cls, self.source, self.tally)

    @property
    def pool(self) -> Source:
        return self.source

    @property
    def namespaces(self) -> tuple[str, ...]:
        """Canonical names of the namespaces."""
        return NAMESPACES

    def graph(self, namespace: str) -> ClassGraph:
        """The classes of a namespace. CimError INVALID_NAMESPACE."""
        if namespace not in NAMESPACES and canonical_namespace(namespace) not in NAMESPACES:
            raise CimError(INVALID_NAMESPACE, f"there is no namespace {namespace}")
        return self._graph

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
        """The extents of a class and its subclasses in a namespace. The class must exist."""
        key = (namespace, classname.lower())
        found = self._below.get(key)
        if found is None:
            found = self._below[key] = tuple(
                extent
                for view, extent in self._extents.items()
                if view.namespace == namespace and self._graph.is_a(view.cim, classname)
            )
        return found

    def associations(self, namespace: str, classname: str | None = None) -> Iterator[type[Association]]:
        """The associations of a namespace that are of a class (or of any)."""
        for name, association in ASSOCIATIONS.items():
            if namespace in association.namespaces and (classname is None or self._graph.is_a(name, classname)):
                yield association

    def index(self, make: Callable[[Pool], T], classes: tuple[str, ...]) -> T:
        """See mapping/association.Extents."""
        stamp = stamped(self.source, classes)
        kept = self._indexes.get(make)
        if kept is None or kept[0] != stamp:
            kept = self._indexes[make] = (stamp, make(self.source))
        found: T = kept[1]
        return found

    def listings(self, namespace: str, classname: str) -> Steps[list[Listing]]:
        """All instances of a class and its subclasses in a namespace; a step for each that must be made.

        They are of one moment if nothing changed between the steps. The class must exist.
        """
        found: list[Listing] = []
        for extent in self.extents(namespace, classname):
            found += ((yield from extent.listed()),)
        for association in tuple(self.associations(namespace, classname)):
            kept = self._links.get((association, namespace))
            if kept is None or not kept.current(self.source):
                kept = self._links[association, namespace] = yield from association.listing(self, namespace)
            found.append(kept)
        return found

    def find(self, path: Path, namespace: str) -> Rendition | None:
        """The instance of a view that `path` names; its own namespace counts before `namespace`."""
        view = VIEWS.get(path.classname)
        if view is None or view.namespace != canonical_namespace(path.namespace or namespace):
            return None
        return self._extents[view].find(path)

    def find_link(self, path: Path, namespace: str) -> Link | None:
        """The instance of an association that `path` names."""
        association = ASSOCIATIONS.get(path.classname)
        if association is None or namespace not in association.namespaces:
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
