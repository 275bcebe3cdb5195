"""The extent of a view: its instances over a pool, rendered once per version and found without a search.

Theory of operation
1. A Rendition is one instance with all its values. Those of one record are kept in the memo of the record's version,
   together with the other versions the rules looked at; they are used again only if each of those is still current.
2. The list of all renditions is kept with the revision of every Xen-API class that took part in it. Its encoded form is
   kept beside it, so that enumerating an unchanged extent costs nothing but the comparison of those few numbers.
3. Encoded forms hang on the rendition (or the list) and die with it; they never contain the host part of a path,
   because the same version may be shown by more than one provider.
4. A path is resolved by taking the record's uuid out of a key, rendering that record and comparing paths: what the
   view does not show, or shows under other keys, does not exist.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from cim_provider.mapping.subject import Pool, Seen, Subject
from cim_provider.mapping.view import View
from cim_provider.schema.graph import CimClass
from cim_provider.schema.objects import Path

if TYPE_CHECKING:
    from xenapi_core.store.api import Version


class Shown:
    """One instance a client can see: its path (with namespace, without host) and its property values.

    `forms` holds encoded forms by name; see `form`.
    """

    __slots__ = ("forms", "path", "values")

    def __init__(self, path: Path, values: dict[str, Any]) -> None:
        self.path = path
        self.values = values
        self.forms: dict[Any, bytes] = {}

    def form(self, name: Any, make: Callable[[Shown], bytes]) -> bytes:
        """An encoded form of this instance, made once."""
        found = self.forms.get(name)
        if found is None:
            found = self.forms[name] = make(self)
        return found


class Rendition(Shown):
    """An instance of a view: made from a record (`version`) or an item of it, or from an item alone."""

    __slots__ = ("item", "version", "view")

    def __init__(
        self, view: type[View], version: Version | None, item: Any, path: Path, values: dict[str, Any]
    ) -> None:
        super().__init__(path, values)
        self.view = view
        self.version = version
        self.item = item


class Listing:
    """All renditions of an extent at one moment; `forms` holds their encoded forms, one joined text per name."""

    __slots__ = ("forms", "renditions", "stamp")

    def __init__(self, renditions: tuple[Rendition, ...], stamp: tuple[tuple[str, int], ...] | None) -> None:
        self.renditions = renditions
        self.stamp = stamp
        self.forms: dict[str, bytes] = {}

    def form(self, name: str, make: Callable[[Shown], bytes]) -> bytes:
        """The `name` forms of all renditions, one after the other."""
        found = self.forms.get(name)
        if found is None:
            found = self.forms[name] = b"".join([rendition.form(name, make) for rendition in self.renditions])
        return found


class Extent:
    """The instances of `view`, an instance of `cls` each, over `pool`."""

    def __init__(self, view: type[View], cls: CimClass, pool: Pool) -> None:
        self.view = view
        self.cls = cls
        self.pool = pool
        self.memo_name = "cim:" + view.cim
        self._rules = tuple((name, rule.read) for name, rule in view.rules.items())
        self._listing: Listing | None = None
        self.locator = next((key for key in cls.keys if key in view.rules and view.rules[key].uuid_of), None)

    def of(self, version: Version) -> tuple[Rendition, ...]:
        """What the view makes of one record: nothing, one instance or several, in the order of its items."""
        return self._render_kept(version)[1]

    def _render_kept(self, version: Version) -> tuple[Seen, tuple[Rendition, ...]]:
        kept = version.memo.get(self.memo_name)
        if kept is not None and (not kept[0].records or kept[0].current(self.pool.find)):
            return kept
        made = self._render(version)
        if made[0].volatile:
            version.memo.pop(self.memo_name, None)
        else:
            version.memo[self.memo_name] = made
        return made

    def _render(self, version: Version | None) -> tuple[Seen, tuple[Rendition, ...]]:
        subject = Subject(self.pool, version)
        view = self.view
        made: list[Rendition] = []
        if view.where(subject):
            for item in view.items(subject):
                one = subject if item is None else subject.at(item)
                values = {name: read(one) for name, read in self._rules}
                path = Path.of(view.cim, {key: values[key] for key in self.cls.keys}, view.namespace)
                made.append(Rendition(view, version, item, path, values))
        return subject.seen, tuple(made)

    def listing(self) -> Listing:
        """All instances, in the order of their records."""
        kept, revision = self._listing, self.pool.class_revision
        if kept is not None and kept.stamp is not None and all(revision(cls) == at for cls, at in kept.stamp):
            return kept
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
        stamp = None if volatile else tuple((cls, revision(cls)) for cls in sorted(classes))
        self._listing = Listing(tuple(found), stamp)
        return self._listing

    def __iter__(self) -> Iterator[Rendition]:
        return iter(self.listing().renditions)

    def find(self, path: Path) -> Rendition | None:
        """The instance with the keys of `path` (its namespace and host are not looked at)."""
        if self.view.of is None:
            candidates = self.listing().renditions
        else:
            version = self.version_of(path)
            if version is None:
                return None
            candidates = self.of(version)
        return next((rendition for rendition in candidates if rendition.path.keys == path.keys), None)

    def version_of(self, path: Path) -> Version | None:
        """The record a path is about, whether or not the view shows it."""
        if self.view.of is None or self.locator is None:
            return None
        uuid_of = self.view.rules[self.locator].uuid_of
        value = path.key(self.locator)
        uuid = uuid_of(value) if uuid_of is not None and value is not None else None
        return None if uuid is None else self.pool.by_uuid(self.view.of, uuid)
