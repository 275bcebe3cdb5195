"""Instances of classes that have no provider: created by clients or from MOF, found without a search.

Theory of operation
1. An instance is known by its path: canonical namespace, the schema's spelling, no host. Its values are never changed
   in place; a change makes a new Stored, so answers on their way keep a consistent picture.
2. Two indexes, path and reference value, are kept with each change: GetInstance costs one step, and a walk along
   associations costs what it finds, however many instances there are. `looked` counts instances that were handed out.
3. A Stored shows its instance by the class of the moment it was made. ModifyClass touches no instance: a new Stored is
   made when the instance is next asked for, in steps when many are. A modified class is another object than before;
   that is how one knows. The listing of a class is kept until an instance of it, or the class, changes.
4. With a disk, a change is queued there before it is made here.
5. Observers of changes register a function; it is called after the change, synchronously, and must not raise. What is
   restored, or made anew because its class changed, is no change of an instance.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from cim_provider.mapping.extent import Listing, Shown
from cim_provider.repository.disk import Disk
from cim_provider.repository.json_values import dumps, loads, path_key
from cim_provider.schema.graph import CimClass, ClassGraph
from cim_provider.schema.objects import SERVER_LIMITS_EXCEEDED, CimError, Path
from xenapi_core.clock import Steps

log = logging.getLogger("xencim.wbem")

KIND = "instance"  # of the rows on disk
MAX_INSTANCES = 1_000_000


class Space(Protocol):
    """A namespace: its name, and its graph of the moment."""

    @property
    def name(self) -> str: ...

    @property
    def graph(self) -> ClassGraph: ...


class Stored(Shown):
    """One instance in `space`; `cls` is its class as it was when this was made (rule 3)."""

    __slots__ = ("cls", "space")

    def __init__(self, path: Path, values: dict[str, Any], space: Space) -> None:
        super().__init__(path, values)
        self.space = space
        self.cls = self.present_class

    @property
    def present_class(self) -> CimClass:
        return self.space.graph.classes[self.path.classname.lower()]

    def references(self) -> Iterator[tuple[str, Path]]:
        """The references of an association: role and what it refers to. One that is NULL refers to nothing."""
        for prop in self.cls.properties.values():
            value = self.values.get(prop.name)
            if prop.type == "reference" and isinstance(value, Path):
                yield prop.name, value


Observer = Callable[[Stored | None, Stored | None], None]  # the instance before and after the change


class StaticInstances:
    """The instances of one server whose classes have no provider, indexed by class and by reference."""

    def __init__(self) -> None:
        self._classes: dict[tuple[str, str], dict[Path, Stored]] = {}  # by namespace and class
        self._referring: dict[Path, dict[Path, None]] = {}  # what is referred to -> associations
        self._listings: dict[tuple[str, str], tuple[CimClass, Listing]] = {}  # with the class that they show
        self._count = 0
        self._disk: Disk | None = None
        self._observers: list[Observer] = []
        self.looked = 0

    def __len__(self) -> int:
        return self._count

    def observe(self, observer: Observer) -> None:
        """Call `observer` after each change."""
        self._observers.append(observer)

    def any(self, namespace: str, classname: str) -> bool:
        """Whether there are instances of exactly this class."""
        return bool(self._classes.get((namespace, classname)))

    def find(self, path: Path) -> Stored | None:
        found = self._present(path)
        self.looked += found is not None
        return found

    def _present(self, path: Path) -> Stored | None:
        """The instance as its class is now (rule 3)."""
        instances = self._classes.get((path.namespace, path.classname), {})
        found = instances.get(path)
        if found is not None and found.cls is not found.present_class:
            found = instances[path] = Stored(found.path, found.values, found.space)
        return found

    def listings(self, namespace: str, graph: ClassGraph, classname: str) -> Steps[list[Listing]]:
        """The instances of a class and its subclasses; `graph` is the namespace's. A step for each instance that is
        made anew; they are of one moment if nothing changed between the steps."""
        found: list[Listing] = []
        for (space, name), instances in tuple(self._classes.items()):
            if space != namespace or not instances or not graph.is_a(name, classname):
                continue
            cls = graph.classes[name.lower()]
            shown, kept = self._listings.get((space, name), (None, None))
            if kept is None or shown is not cls:
                for old in tuple(instances.values()):
                    if old.cls is not cls and instances.get(old.path) is old:
                        self._present(old.path)
                        yield
                kept = Listing(tuple(instances.values()), None)
                self._listings[space, name] = (cls, kept)
                self.looked += len(instances)
            found.append(kept)
        return found

    def referring(self, path: Path, namespace: str) -> Iterator[Stored]:
        """The associations in a namespace that refer to `path`."""
        for one in tuple(self._referring.get(path, ())):
            self.looked += 1
            association = self._present(one) if one.namespace == namespace else None
            if association is not None:
                yield association

    def put(self, path: Path, values: Mapping[str, Any], space: Space) -> Stored:
        """Create an instance, or replace the one that is there. CimError SERVER_LIMITS_EXCEEDED; FAILED (disk)."""
        before = self._present(path)
        if before is None and self._count >= MAX_INSTANCES:
            raise CimError(SERVER_LIMITS_EXCEEDED, f"there are {MAX_INSTANCES} instances already")
        if self._disk is not None:
            self._disk.put(KIND, path_key(path), dumps(dict(values)))
        made = self._place(Stored(path, dict(values), space))
        self._notify(before, made)
        return made

    def _notify(self, before: Stored | None, after: Stored | None) -> None:
        for observer in self._observers:
            observer(before, after)

    def _place(self, made: Stored) -> Stored:
        key = (made.path.namespace, made.path.classname)
        instances = self._classes.setdefault(key, {})
        old = instances.get(made.path)
        if old is None:
            self._count += 1
        else:
            self._unrefer(old)
        instances[made.path] = made
        self._listings.pop(key, None)
        for _, target in made.references():
            self._referring.setdefault(target, {})[made.path] = None
        return made

    def remove(self, path: Path) -> None:
        """The end of an instance that is there. CimError FAILED (disk)."""
        if self._disk is not None:
            self._disk.drop(KIND, path_key(path))
        key = (path.namespace, path.classname)
        self._present(path)  # its end is told as its class is now
        gone = self._classes[key].pop(path)
        self._unrefer(gone)
        self._listings.pop(key, None)
        self._count -= 1
        self._notify(gone, None)

    def _unrefer(self, old: Stored) -> None:
        for _, target in old.references():
            referring = self._referring.get(target, {})
            referring.pop(old.path, None)
            if not referring:
                self._referring.pop(target, None)

    def attach(self, disk: Disk, space_of: Callable[[str], Space | None]) -> None:
        """Restore what `disk` holds, and keep all changes there; `space_of` finds namespaces.

        Instances without their class are logged and left on disk.
        """
        lost = 0
        for key, row in disk.rows(KIND):
            try:
                path, values = loads(key.encode()), loads(row)
                space = space_of(path.namespace)
            except (ValueError, LookupError, TypeError, AttributeError):
                space = None
            if space is None or space.graph.find(path.classname) is None:
                lost += 1
            else:
                self._place(Stored(path, values, space))
        if lost:
            log.warning("%s: %d instances cannot be restored: they have no class", disk.path, lost)
        self._disk = disk
