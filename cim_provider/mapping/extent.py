"""The extent of a view: its instances over a pool, rendered once per version and found by key.

Theory of operation
1. A Rendition is one instance with all its values. Those of one record are kept in the memo of the record's version,
   together with the other versions the rules looked at; they are used again only if each of those is still current.
2. The list of all renditions is kept with the revision of every Xen-API class that took part in it. Its encoded form is
   kept beside it, so that enumerating an unchanged extent costs nothing but the comparison of those few numbers.
3. Encoded forms hang on the rendition (or the list) and die with it; they never contain the host part of a path,
   because the same version may be shown by more than one provider.
   Forms depend on values alone, so they may be made at any time after the rendition.
4. Renditions read the present pool, so they are made of present versions only: what has been replaced shows nothing.
   Many missing ones are made in slices (`listed`).
5. A path is resolved by taking the record's uuid out of a key, rendering that record and comparing paths: what the
   view does not show, or shows under other keys, does not exist.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from cim_provider.mapping.subject import Pool, Seen, Subject
from cim_provider.mapping.view import View
from cim_provider.schema.graph import CimClass
from cim_provider.schema.objects import Path
from xenapi_core.clock import Steps

if TYPE_CHECKING:
    from xenapi_core.store.api import Version

T = TypeVar("T")


@dataclass(slots=True)
class Tally:
    """How many instances a provider has made: tells whether something cost more than looking it up."""

    made: int = 0

    def steps(self, walk: Iterable[T]) -> Steps[list[T]]:
        """Everything in `walk`; a step after each that something was made for."""
        found: list[T] = []
        before = self.made
        for one in walk:
            found.append(one)
            if self.made != before:
                yield
                before = self.made
        return found


class Shown:
    """One instance a client can see: its path (with namespace, without host) and its property values.

    `forms` holds encoded forms by name; see `form`.
    """

    __slots__ = ("forms", "path", "values")

    def __init__(self, path: Path, values: dict[str, Any], forms: dict[str, bytes] | None = None) -> None:
        self.path = path
        self.values = values
        self.forms: dict[str, bytes] = {} if forms is None else forms

    def form(self, name: str, make: Callable[[Shown], bytes]) -> bytes:
        """An encoded form of this instance, made once."""
        found = self.forms.get(name)
        if found is None:
            found = self.forms[name] = make(self)
        return found


class Rendition(Shown):
    """An instance of a view: made from a record (`version`) or an item of it, or from an item alone.

    `view` is the view as declared, also if a variant of it (face.py) made the instance.
    `links` keeps what was made of the associations it is the right end of; `key` tells it from all other instances.
    """

    __slots__ = ("item", "key", "links", "version", "view")

    def __init__(
        self, view: type[View], version: Version | None, item: Any, path: Path, values: dict[str, Any]
    ) -> None:
        super().__init__(path, values)
        self.view = view.declared
        self.version = version
        self.item = item
        self.key: Any = path if version is None else (view.cim, version.ref, item)
        self.links: dict[Any, Shown] = {}


Stamp = tuple[tuple[str, int], ...]


class Listing:
    """All instances of an extent (or all links of an association) at one moment.

    `stamp` says the revisions of the Xen-API classes it was made of; None: it is of its moment only. `forms` holds
    encoded forms, one joined text per name.
    """

    __slots__ = ("forms", "shown", "stamp")

    def __init__(self, shown: Sequence[Shown], stamp: Stamp | None) -> None:
        self.shown = shown
        self.stamp = stamp
        self.forms: dict[str, bytes] = {}

    def current(self, pool: Pool) -> bool:
        return self.stamp is not None and all(pool.class_revision(cls) == at for cls, at in self.stamp)

    def pieces(self, name: str, make: Callable[[Shown], bytes]) -> Generator[bytes, None, None]:
        """The `name` forms of all instances, one after the other: a piece for each that has to be made, with those
        before it that were there. In the end all are kept as one."""
        found = self.forms.get(name)
        if found is not None:
            yield found
            return
        ready: list[bytes] = []
        for shown in self.shown:
            there = name in shown.forms
            ready.append(shown.form(name, make))
            if not there:
                yield b"".join(ready)
                ready.clear()
        if ready:
            yield b"".join(ready)
        self.forms[name] = b"".join([shown.forms[name] for shown in self.shown])


def stamped(pool: Pool, classes: Iterable[str]) -> Stamp:
    """The present revisions of some classes."""
    return tuple((cls, pool.class_revision(cls)) for cls in sorted(set(classes)))


class Extent:
    """The instances of `view`, an instance of `cls` each, over `pool`."""

    def __init__(self, view: type[View], cls: CimClass, pool: Pool, tally: Tally) -> None:
        self.view = view
        self.cls = cls
        self.pool = pool
        self.tally = tally
        self.memo_name = view.memo
        self._rules = tuple((name, rule.read) for name, rule in view.rules.items())
        self._listing: Listing | None = None
        self._renditions: tuple[Rendition, ...] = ()
        self.locator = next((key for key in cls.keys if key in view.rules and view.rules[key].leads_back), None)

    def of(self, version: Version) -> tuple[Rendition, ...]:
        """The renditions of one record by the view: none, one or several, in the order of its items."""
        return self._render_kept(version)[1]

    def look(self, version: Version) -> tuple[Seen, tuple[Rendition, ...]]:
        """The renditions of one record, and the other records they depend on."""
        return self._render_kept(version)

    def _kept_renditions(self, version: Version) -> tuple[Seen, tuple[Rendition, ...]] | None:
        """The kept renditions of a version, if they are still valid; a volatile one is kept for its Seen alone."""
        kept: tuple[Seen, tuple[Rendition, ...]] | None = version.memo.get(self.memo_name)
        if kept is None:
            return None
        seen = kept[0]
        return kept if not (seen.records or seen.answers) or seen.current(self.pool.find) else None

    def _render_kept(self, version: Version) -> tuple[Seen, tuple[Rendition, ...]]:
        kept = self._kept_renditions(version)
        if kept is not None and not kept[0].volatile:
            return kept
        if self.pool.find(version.ref) is not version:
            return Seen(), ()
        made = self._render(version)
        version.memo[self.memo_name] = (made[0], ()) if made[0].volatile else made
        return made

    def listed(self) -> Steps[Listing]:
        """The listing, made in steps: one for each record whose renditions are missing, and one for the list.

        Volatile renditions (subject.py, rule 3) are left to the listing: there is no use in making them ahead.
        """
        if self._listing is not None and self._listing.current(self.pool):
            return self._listing
        if self.view.of is not None:
            for version in tuple(self.pool.all(self.view.of).values()):
                if self._kept_renditions(version) is None:
                    self._render_kept(version)
                    yield
        made = self.listing()
        yield
        return made

    def _render(self, version: Version | None) -> tuple[Seen, tuple[Rendition, ...]]:
        self.tally.made += 1
        subject = Subject(self.pool, version)
        view = self.view
        made: list[Rendition] = []
        if view.where(subject):
            for item in view.items(subject):
                one = subject if item is None else subject.at(item)
                values = {name: read(one) for name, read in self._rules}
                cim = view.kind(one) if view.kinds else view.cim
                path = Path.of(cim, {key: values[key] for key in self.cls.keys}, view.namespace)
                made.append(Rendition(view, version, item, path, values))
        return subject.seen, tuple(made)

    def listing(self) -> Listing:
        """All instances, in the order of their records."""
        if self._listing is not None and self._listing.current(self.pool):
            return self._listing
        classes: set[str] = set()
        volatile = False
        found: list[Rendition] = []
        if self.view.of is None:
            seen, renditions = self._render(None)
            classes.update(version.cls for version in seen.records.values())
            volatile = seen.volatile
            found.extend(renditions)
        else:
            classes.add(self.view.of)
            for version in self.pool.all(self.view.of).values():
                seen, renditions = self._render_kept(version)
                classes.update([other.cls for other in seen.records.values()])
                volatile = volatile or seen.volatile
                found.extend(renditions)
        self._renditions = tuple(found)
        self._listing = Listing(self._renditions, None if volatile else stamped(self.pool, classes))
        return self._listing

    def __iter__(self) -> Iterator[Rendition]:
        self.listing()
        return iter(self._renditions)

    def find(self, path: Path) -> Rendition | None:
        """The instance with the keys of `path`, and its class if the view has several (namespace and host are not
        looked at)."""
        if self.view.of is None:
            candidates = tuple(self)
        else:
            version = self.version_of(path)
            if version is None:
                return None
            candidates = self.of(version)
        found = next((rendition for rendition in candidates if rendition.path.keys == path.keys), None)
        if found is not None and self.view.kinds and found.path.classname != path.classname:
            return None
        return found

    def version_of(self, path: Path) -> Version | None:
        """The record a path is about, whether or not the view shows it."""
        if self.view.of is None or self.locator is None:
            return None
        value = path.key(self.locator)
        return None if value is None else self.view.rules[self.locator].record(self.pool, self.view.of, value)
