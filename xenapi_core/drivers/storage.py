"""The interface of SR drivers: one back end for each type of storage, one object for each repository.

Theory of operation
1. Hosts, repositories and volumes are named by uuid; a driver never sees the store or a reference.
2. A `StorageBackend` makes, finds and erases repositories of one type; `open` gives the `Storage` of one of them, which
   serves volumes once a host is attached.
3. What a type does not offer (StorageType.features) is never asked of its driver; the call raises "unsupported" all the
   same, so that a driver says the same thing in both places.
4. Every failure is a `DriverError` with a kind; a call that fails or is cancelled leaves everything as it was.
5. A volume's size may be rounded up by the storage, never down. What a call returns is what the storage has.
6. Bytes are read and written in pieces of at most PIECE; whoever asks keeps others away meanwhile. What was never
   written reads as zeros.
7. `testing.storage_conformance.check_storage` is the conformance suite; docs/sr-driver.md is the tutorial.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from xenapi_core.drivers.api import Progress
from xenapi_core.model.storage_types import StorageType

PIECE: Final = 1 << 20  # bytes that `read` and `write` are asked for at once, at most


@dataclass(frozen=True, slots=True)
class VolumeState:
    """A volume as the storage has it. Sizes in bytes.

    `name`, `read_only` and `snapshot_of` (uuid) are what the storage itself knows of it: a scan that finds a volume
    without a record makes the record from them.
    """

    uuid: str
    location: str
    virtual_size: int
    physical_utilisation: int
    name: str = ""
    read_only: bool = False
    snapshot_of: str = ""


@dataclass(frozen=True, slots=True)
class VolumeTraffic:
    """What went through a volume since it was made or its repository attached: bytes and requests."""

    bytes_read: int
    bytes_written: int
    reads: int
    writes: int


@dataclass(frozen=True, slots=True)
class Found:
    """One thing a probe found. `configuration`: a device_config that leads there, enough to connect if `complete`.

    `repository`: uuid of the SR that is there, "" if there is none yet; sizes in bytes.
    """

    configuration: Mapping[str, str]
    complete: bool
    repository: str = ""
    name: str = ""
    total_space: int = 0
    free_space: int = 0
    extra: Mapping[str, str] = field(default_factory=dict)


class Storage(Protocol):
    """One storage repository. See the module's theory of operation."""

    async def attach(self, host: str, config: Mapping[str, str]) -> None:
        """Connect `host` by `config`; again does nothing. not_found (no such repository there), in_use, failed."""

    async def detach(self, host: str) -> None:
        """Disconnect `host`; a host that is not connected is left alone. in_use: one of its machines uses a volume, or
        the host has one attached to itself."""

    async def create(self, uuid: str, size: int) -> VolumeState:
        """An empty volume of at least `size` bytes. no_space, exists, unsupported."""

    async def destroy(self, uuid: str) -> None:
        """not_found, in_use, unsupported."""

    async def clone(self, uuid: str, source: str) -> VolumeState:
        """A writable copy of `source` that shares what it can. not_found, exists, unsupported."""

    async def snapshot(self, uuid: str, source: str) -> VolumeState:
        """`source` as it is now, also while a machine writes to it. not_found, exists, unsupported."""

    async def revert(self, uuid: str, snapshot: str) -> VolumeState:
        """Make the contents of `uuid` those of `snapshot` again, size included. not_found, in_use, unsupported."""

    async def copy(self, uuid: str, source: str, repository: str, progress: Progress) -> VolumeState:
        """A full copy of volume `source` of repository `repository`. not_found, no_space, exists, unsupported."""

    async def move(self, uuid: str, repository: str, progress: Progress) -> VolumeState:
        """Take volume `uuid` over from `repository`, also while a machine uses it: at every moment it is in exactly
        one of the two. not_found, no_space, unsupported."""

    async def resize(self, uuid: str, size: int) -> VolumeState:
        """Make a volume larger. not_found, no_space, unsupported (it would shrink)."""

    async def volume(self, uuid: str) -> VolumeState:
        """One volume as it is now. not_found."""

    async def volumes(self) -> list[VolumeState]:
        """Every volume of the repository, those nobody knows of included."""

    async def usage(self) -> tuple[int, int]:
        """(physical size, physical utilisation) of the repository, bytes."""

    async def check_path(self, uuid: str, host: str) -> str:
        """The path by which `host` reaches the volume, after having tried it. not_found, offline."""

    async def attach_volume(self, uuid: str, host: str) -> str:
        """Attach a volume to `host` itself, for no machine, so that the host may write to it; the path it has there.

        Again does nothing. It ends with `detach_volume`, and when the host goes down. not_found; offline (the host is
        not connected); in_use (a machine uses it that does not share it).
        """

    async def detach_volume(self, uuid: str, host: str) -> None:
        """End what `attach_volume` did; a volume that is not attached to that host is left alone. not_found."""

    async def traffic(self, uuid: str) -> VolumeTraffic:
        """What went through a volume; the figures only grow. not_found."""

    async def read(self, uuid: str, offset: int, size: int) -> bytes:
        """Exactly `size` bytes from `offset` on. not_found, failed (beyond the end), unsupported."""

    async def write(self, uuid: str, offset: int, data: bytes) -> None:
        """Put `data` there, all of it or nothing. not_found, no_space, failed (beyond the end), unsupported."""

    async def extents(self, uuid: str) -> list[tuple[int, int]]:
        """(offset, size) of the stretches that may hold other bytes than zeros, in order. not_found, unsupported."""

    async def track_changes(self, uuid: str, on: bool) -> None:
        """Begin or cease to remember what is written to a volume; again does nothing. A snapshot of a tracked volume is
        tracked too. not_found, unsupported."""

    async def changed(self, older: str, newer: str) -> list[tuple[int, int]]:
        """(offset, size) of the stretches in which volume `newer` may differ from `older`, its snapshot or a snapshot
        of the same volume before it; in order. not_found, failed (it was not tracked), unsupported."""

    async def drop_data(self, uuid: str) -> VolumeState:
        """Forget what a volume holds, and keep what `changed` needs of it. not_found, in_use, unsupported."""


class StorageBackend(Protocol):
    """All repositories of one type, wherever they are."""

    @property
    def kind(self) -> StorageType: ...

    def open(self, uuid: str) -> Storage:
        """The driver of a repository; does nothing with it yet, so it need not exist. The same object each time."""

    async def create(self, uuid: str, host: str, config: Mapping[str, str], size: int) -> None:
        """Make a repository as `host` sees the storage; `size` in bytes, 0 for all there is. Only with SR_FORMAT.

        in_use (the device holds one already), exists, no_space, failed (a key is missing or leads nowhere).
        """

    async def destroy(self, uuid: str, host: str, config: Mapping[str, str]) -> None:
        """Erase a repository no host is attached to, with everything in it. not_found, in_use, unsupported."""

    async def probe(self, host: str, config: Mapping[str, str]) -> list[Found]:
        """What can be reached with `config`, which may be incomplete. Nothing found is an empty list."""
