"""The contract of the store: versions, transactions, changes.

Rules every implementation keeps
1. `commit` is synchronous and atomic and makes exactly one new revision; there is no await inside.
2. A commit is visible at once; `durable(revision)` tells when it would survive kill -9. A caller is acknowledged only
   then. A revision number is never used twice, also not after a crash.
3. Changing a reference makes a new version of both ends; changing a field that others follow (schema: follows=) makes a
   new version of the followers. All in the same revision.
4. A memo on a version depends on that version alone, or names the versions it looked at (see Version.memo).
5. `changes(since)` gives at most one change per object, each with the version of the present revision: a snapshot and
   its token can never disagree.
6. A reference is never used twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol


class Version:
    """One immutable state of one object, shared by all readers. Nobody mutates `values` or anything inside it.

    `memo` caches what was rendered from this version (wire fragments); it dies with the version. A renderer that looked
    at other records must store their versions beside the result and compare them by identity before using it.
    """

    __slots__ = ("cls", "created", "memo", "modified", "ref", "values")

    def __init__(self, cls: str, ref: str, values: Mapping[str, Any], created: int, modified: int) -> None:
        self.cls = cls
        self.ref = ref
        self.values = values
        self.created = created
        self.modified = modified
        self.memo: dict[str, Any] = {}

    def __getitem__(self, field: str) -> Any:
        """A stored field (neither inverse nor computed: those need a reader)."""
        return self.values[field]


@dataclass(frozen=True, slots=True)
class Change:
    """One coalesced change since a revision: operation "add", "mod" or "del"; `version` is None for "del", and then
    `uuid` is that of the object that was."""

    operation: str
    cls: str
    ref: str
    revision: int
    version: Version | None
    uuid: str = ""


class Txn(Protocol):
    """A set of writes, seen by its own reads, applied together by Store.commit. Discard it to roll back."""

    def get(self, ref: str, cls: str | None = None) -> Mapping[str, Any]:
        """Values as this transaction sees them. HANDLE_INVALID if there is no such object (of that class)."""

    def find(self, ref: str) -> Mapping[str, Any] | None: ...

    def related(self, ref: str, inverse: str) -> tuple[str, ...]:
        """The objects that refer to `ref` (Store.related), with this transaction's writes applied."""

    def create(self, cls: str, ref: str, values: Mapping[str, Any]) -> str:
        """A new object: missing fields get the schema's initial values, `uuid` must be given. Returns `ref`."""

    def update(self, ref: str, /, **values: Any) -> None:
        """Change some fields. A value equal to the old one is no change."""

    def touch(self, ref: str) -> None:
        """A new version with the same values (event.inject)."""

    def delete(self, ref: str) -> None:
        """Remove an object; deleting one that is gone is no error."""


class Store(Protocol):
    """All records of the pool under one revision."""

    @property
    def revision(self) -> int: ...

    def begin(self) -> Txn: ...

    def commit(self, txn: Txn) -> int:
        """Apply and return the new revision (or the present one, if the transaction changed nothing)."""

    @property
    def writable(self) -> bool:
        """Whether a commit now could become durable: not when the journal has failed, or the store is closed."""

    async def durable(self, revision: int) -> None:
        """Return when everything up to `revision` survives a crash; at once for a store in memory."""

    def get(self, ref: str, cls: str | None = None) -> Version:
        """HANDLE_INVALID [class, ref] if there is no such object, or it is of another class."""

    def find(self, ref: str) -> Version | None: ...

    def all(self, cls: str) -> Mapping[str, Version]:
        """Live view: ref -> version, in creation order."""

    def by_uuid(self, cls: str, uuid: str) -> Version | None: ...

    def by_name(self, cls: str, name: str) -> tuple[str, ...]: ...

    def related(self, ref: str, inverse: str) -> tuple[str, ...]:
        """References that point at `ref` through the relation whose far end is the field `inverse`, oldest first."""

    def class_revision(self, cls: str) -> int:
        """The revision of the last change to any object of `cls` (add, mod or del)."""

    def counts(self) -> Mapping[str, int]:
        """Live objects per class."""

    def changes(self, since: int, classes: Iterable[str] | None = None) -> list[Change]:
        """What happened after `since`, by revision; `None` means all classes. EVENTS_LOST if `since` is before the
        oldest tombstone kept."""

    async def wait(self, since: int, timeout: float | None) -> bool:
        """True as soon as revision > since; False after `timeout` seconds of the loop's time, or when woken."""

    def wake(self) -> None:
        """End all waits as if their time were up: the server is about to end."""
