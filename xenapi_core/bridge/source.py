"""The interface through which the CIM provider sees a pool: a view with revisions, and calls.

A LocalSource reads this process's store and calls its dispatcher; a RemoteSource is a replica fed by
event.from of any other Xen-API pool. The provider cannot tell them apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from xenapi_core.model.schema import Schema
from xenapi_core.store.api import Change, Version


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller of an operation: the user's name, roles, and where the request came from ("wbem", "xenapi",
    "unix")."""

    user: str
    roles: frozenset[str]
    originator: str
    session: str = ""  # reference of the Xen-API session used for calls


class Summary(NamedTuple):
    """A summary of the samples of a data source over some time."""

    average: float
    minimum: float
    maximum: float


@dataclass(frozen=True, slots=True)
class Window:
    """The newest minute that is over, or the time before the first round while there is none: the instant (seconds
    since the epoch) it ended at, how many seconds it lasted, and by uuid of a VM or host the summaries by the names of
    its data sources. Another minute is another object."""

    at: int
    lasts: int
    values: Mapping[str, Mapping[str, Summary]]


MINUTE = 60  # seconds; minutes end at its multiples
NO_WINDOW = Window(0, MINUTE, {})


@dataclass(frozen=True, slots=True)
class Samples:
    """One round of samples of the data sources: the instant (seconds since the epoch) it was taken at, and by uuid of a
    VM or host the values by the names of its data sources. A new round is a new object, and no change of the pool."""

    at: int
    values: Mapping[str, Mapping[str, float]]
    window: Window = NO_WINDOW


NO_SAMPLES = Samples(0, {})


@dataclass(frozen=True, slots=True)
class Recorded:
    """Recorded measurements of a VM or host over some time. `step`: seconds from row to row; `legend`: a title for each
    column, as rrd_updates has it (AVERAGE:vm:<uuid>:<name>); `rows`: instant (seconds since the epoch) and values, the
    newest first, with NaN where there is none."""

    step: int
    legend: tuple[str, ...]
    rows: tuple[tuple[int, tuple[float, ...]], ...]


class Source(Protocol):
    """A pool as a reader and caller sees it."""

    @property
    def schema(self) -> Schema: ...

    @property
    def revision(self) -> int: ...

    def find(self, ref: str) -> Version | None: ...

    def all(self, cls: str) -> Mapping[str, Version]: ...

    def by_uuid(self, cls: str, uuid: str) -> Version | None: ...

    def related(self, ref: str, inverse: str) -> tuple[str, ...]: ...

    def value(self, version: Version, field: str) -> Any:
        """Any field, computed and inverse ones included."""

    def class_revision(self, cls: str) -> int: ...

    def changes(self, since: int, classes: Iterable[str] | None = None) -> list[Change]: ...

    async def wait(self, since: int, timeout: float | None) -> bool: ...

    def now(self) -> int:
        """The pool's clock, seconds since the epoch."""

    @property
    def samples(self) -> Samples | None:
        """The newest round (NO_SAMPLES before the first one); None if nobody measures this pool for us."""

    async def recorded(self, principal: Principal, cls: str, uuid: str, start: int, interval: int) -> Recorded | None:
        """Recorded measurements of a "VM" or "host" after the instant `start`, in rows of `interval` seconds at least;
        None if this pool records nothing. HOST_OFFLINE if the host that records them does not answer."""

    def disk_server(self, address: str) -> str | None:
        """The URL under which the host of that address serves connected disks (model/disk_connections.py); None where
        the pool is another one, which need not serve any."""

    async def authenticate(self, user: str, password: str, originator: str, address: str = "") -> Principal | None:
        """None for wrong credentials. Slow by design the first time; see `known`. `address`: the client's."""

    def known(self, user: str, password: str) -> Principal | None:
        """The answer of an earlier successful `authenticate` with the very same pair, without awaiting; else None."""

    async def certified(self, certificate: bytes, originator: str) -> Principal | None:
        """The principal of the owner of a client certificate (DER) that the TLS layer has verified; None if it is
        nobody's."""

    async def as_itself(self) -> Principal | None:
        """The principal of the server itself, which may do everything; session.logout ends it. None for another pool,
        where only its users act."""

    async def call(self, principal: Principal, method: str, *args: Any) -> Any:
        """A Xen-API call with internal values ("Async.VM.start" gives a task reference). Raises ApiError."""
