"""Connections of WBEM clients to disks, whose bytes they read or write over HTTP.

Rule 1: a connection is a key of VDI.other_config: whoever may change that ends it, and it outlives the server. Its
        value names the disk, so that copies of the disk, which take over its other_config, are not connected.
Rule 2: a connection is no credential. Its holder uses an account, or a session, that may export or import disks.
Rule 3: a connection to write is the only one of its disk.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from xenapi_core.model.power import Fields

PREFIX: Final = "cim-connection-"
PATH: Final = "/connected_disk"
NEVER: Final = 0
READ, WRITE = "ro", "rw"


@dataclass(frozen=True, slots=True)
class Connection:
    """`disk`: uuid of the VDI; `until`: when it ends, in seconds since the epoch; NEVER: it does not by itself."""

    handle: str
    disk: str
    writes: bool
    until: int = NEVER

    @property
    def key(self) -> str:
        return PREFIX + self.handle

    @property
    def value(self) -> str:
        return f"{WRITE if self.writes else READ} {self.until} {self.disk}"

    def lives(self, now: int) -> bool:
        return self.until == NEVER or now < self.until


def connections(vdi: Fields) -> Iterator[Connection]:
    """The connections to a disk, also those that have ended; malformed entries are left out."""
    for key, value in vdi["other_config"].items():
        mode, _, rest = value.partition(" ")
        until, _, disk = rest.partition(" ")
        told = key.startswith(PREFIX) and mode in (READ, WRITE) and disk == vdi["uuid"]
        if told and until.isascii() and until.isdecimal():
            yield Connection(key.removeprefix(PREFIX), disk, mode == WRITE, int(until))


def ended_keys(vdi: Fields, now: int) -> tuple[str, ...]:
    """What connections have left that are none any more: those whose time is over, and those of the disk it was made
    of."""
    live = {one.key for one in live_connections(vdi, now)}
    return tuple(key for key in vdi["other_config"] if key.startswith(PREFIX) and key not in live)


def live_connections(vdi: Fields, now: int) -> tuple[Connection, ...]:
    return tuple(one for one in connections(vdi) if one.lives(now))
