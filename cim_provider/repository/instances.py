"""Instances that clients created, as opposed to those that show the pool.

Theory of operation
1. An instance is known by its path (canonical namespace, no host). Its values are never changed in place: a
   modification replaces them, so whoever holds the old ones has a consistent picture.
2. Every change of a class gives it a new revision, which is what makes listings of stored instances worth keeping.
3. Observers of changes register a function; it is called after the change, synchronously, and must not raise.
4. With a disk, a change is queued there before it is made here: what cannot be kept does not happen.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from cim_provider.repository.disk import Disk
from cim_provider.repository.json_values import dumps, loads, path_key
from cim_provider.schema.objects import Instance, Path

log = logging.getLogger("xencim.wbem")

Observer = Callable[[], None]

KIND = "provided"  # of the rows on disk


class Repository:
    """Stored instances by class and path."""

    def __init__(self) -> None:
        self._classes: dict[str, dict[Path, Instance]] = {}
        self._revisions: dict[str, int] = {}
        self._observers: list[Observer] = []
        self._disk: Disk | None = None

    @property
    def durable(self) -> bool:
        """Whether what is here survives a restart."""
        return self._disk is not None

    def attach(self, disk: Disk) -> None:
        """Take over what `disk` holds (it replaces what is here under the same path), and keep all changes there."""
        for key, row in disk.rows(KIND):
            try:
                path, values = loads(key.encode()), loads(row)
                self._classes.setdefault(path.classname, {})[path] = Instance(path.classname, dict(values), path)
            except (ValueError, LookupError, TypeError, AttributeError):
                log.warning("%s: a row of an instance cannot be read and is left alone", disk.path)
        self._disk = disk
        self._changed(tuple(self._classes))

    def observe(self, observer: Observer) -> None:
        """Call `observer` after each change."""
        self._observers.append(observer)

    def revision(self, classname: str) -> int:
        """Grows whenever instances of the class (not of its subclasses) change."""
        return self._revisions.get(classname, 0)

    def all(self, classname: str) -> Mapping[Path, Instance]:
        """The instances of a class (not of its subclasses), oldest first."""
        return self._classes.get(classname, {})

    def find(self, path: Path) -> Instance | None:
        return self._classes.get(path.classname, {}).get(path)

    def put(self, path: Path, values: Mapping[str, Any]) -> Instance:
        """Create an instance, or replace the values of the one that is there."""
        made = Instance(path.classname, dict(values), path)
        if self._disk is not None:
            self._disk.put(KIND, path_key(path), dumps(made.values))
        self._classes.setdefault(path.classname, {})[path] = made
        self._changed((path.classname,))
        return made

    def remove(self, paths: Iterable[Path]) -> None:
        """Remove instances in one change; those that are gone already are no error."""
        gone = [path for path in paths if self.find(path) is not None]
        for path in gone:
            if self._disk is not None:
                self._disk.drop(KIND, path_key(path))
            self._classes[path.classname].pop(path, None)
        if gone:
            self._changed({path.classname for path in gone})

    def __iter__(self) -> Iterator[Instance]:
        for instances in self._classes.values():
            yield from instances.values()

    def _changed(self, classnames: Iterable[str]) -> None:
        for name in classnames:
            self._revisions[name] = self._revisions.get(name, 0) + 1
        for observer in self._observers:
            observer()
