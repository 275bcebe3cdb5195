"""The input of a view's rules: one record of the pool, which notes every other record that they read.

Theory of operation
1. A rule sees the pool only through a Subject. Whatever other record it reads is noted in `seen`, together with the
   version that was current; a rendering is valid as long as each of them still is (store contract, rule 4).
2. Inverse and computed fields of the record itself need no note: the store makes a new version when they change.
3. What cannot be noted (the clock, a reference to nothing, the first record of an empty class) makes the rendering
   `volatile`: it is used once and never kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from xenapi_core.model.schema import Schema

if TYPE_CHECKING:
    from xenapi_core.bridge.source import Samples
    from xenapi_core.store.api import Version

T = TypeVar("T")

NULL_REF = "OpaqueRef:NULL"


class Pool(Protocol):
    """The part of bridge.source.Source that mapping needs."""

    @property
    def schema(self) -> Schema: ...

    def find(self, ref: str) -> Version | None: ...

    def all(self, cls: str) -> Mapping[str, Version]: ...

    def by_uuid(self, cls: str, uuid: str) -> Version | None: ...

    def related(self, ref: str, inverse: str) -> tuple[str, ...]: ...

    def value(self, version: Version, field: str) -> Any: ...

    def class_revision(self, cls: str) -> int: ...

    def now(self) -> int: ...

    @property
    def samples(self) -> Samples | None: ...


class Seen:
    """The notebook of one rendering: reference -> version looked at, other queries to the pool (with the answers they
    got), and whether the rendering can be kept at all."""

    __slots__ = ("answers", "records", "volatile")

    def __init__(self) -> None:
        self.records: dict[str, Version] = {}
        self.answers: list[tuple[Callable[[], Any], Any]] = []
        self.volatile = False

    def current(self, find: Callable[[str], Version | None]) -> bool:
        """Whether everything looked at is still as it was."""
        for ref, version in self.records.items():
            if find(ref) is not version:
                return False
        return self.answered()

    def answered(self) -> bool:
        """Whether every query to the pool still has the answer it got."""
        return not self.answers or all(ask() == answer for ask, answer in self.answers)


class Subject:
    """One record (`version`), or one of the several things a view makes of it (`item`), or an item without a record."""

    __slots__ = ("_version", "item", "pool", "seen")

    def __init__(self, pool: Pool, version: Version | None, item: Any = None, seen: Seen | None = None) -> None:
        self.pool = pool
        self._version = version
        self.item = item
        self.seen = seen if seen is not None else Seen()

    @property
    def version(self) -> Version:
        if self._version is None:
            raise LookupError("this view is not about a record")
        return self._version

    @property
    def ref(self) -> str:
        return self.version.ref

    def __getitem__(self, field: str) -> Any:
        """A field of the record, inverse and computed ones included."""
        version = self.version
        try:
            return version.values[field]
        except KeyError:
            return self.pool.value(version, field)

    def record(self, ref: str) -> Subject | None:
        """The record `ref` names; None if it names none."""
        if ref == NULL_REF or not ref:
            return None
        found = self.pool.find(ref)
        if found is None:
            self.seen.volatile = True
            return None
        self.seen.records[ref] = found
        return Subject(self.pool, found, None, self.seen)

    def follow(self, field: str) -> Subject | None:
        """The record a reference field points at; None if it points at nothing."""
        return self.record(self[field])

    def each(self, field: str) -> Iterator[Subject]:
        """The records a field with several references (a set, or an inverse field) points at."""
        for ref in self[field]:
            found = self.record(ref)
            if found is not None:
                yield found

    def only(self, cls: str) -> Subject | None:
        """The one record of a class that has one (pool); None while there is none."""
        for ref in self.pool.all(cls):
            return self.record(ref)
        self.seen.volatile = True
        return None

    def asked(self, ask: Callable[[], T]) -> T:
        """What a question about the pool as a whole is answered now; the rendering is valid while the answer stays.

        It may depend only on records of classes of which this rendering looks at one.
        """
        answer = ask()
        self.seen.answers.append((ask, answer))
        return answer

    def now(self) -> int:
        """The pool's clock, seconds since the epoch; what reads it is rendered afresh each time."""
        self.seen.volatile = True
        return self.pool.now()

    def at(self, item: Any) -> Subject:
        """This record as the given item, of the several that a view makes of it."""
        return Subject(self.pool, self._version, item, self.seen)
