"""The way to other servers, as plans see it: a parcel with a VM for another pool, and archives from the web."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from xenapi_core.engine.plan import Run
from xenapi_core.store.api import Version

if TYPE_CHECKING:
    from xenapi_core.engine.plans.vm_import import Exported, Fill


@dataclass(frozen=True)
class Parcel:
    """A VM on its way, and where its parts go. All on the right side are references of the other pool.

    records   of the VM (the first), its snapshots, and all that belongs to them
    disks     VDI -> SR: the disks whose bytes go along
    networks  VIF -> network
    running   the saved memory is to be brought to life there, on the host of `destination`
    copied    the VM stays here too, so the one there gets an identity of its own
    """

    destination: Mapping[str, str]
    records: tuple[Version, ...]
    disks: Mapping[str, str]
    networks: Mapping[str, str]
    running: bool = False
    copied: bool = False


class Exchange(Protocol):
    """Who carries parcels and fetches archives (server/exchange.py)."""

    async def check(self, parcel: Parcel) -> None:
        """Raise why it would not be taken, as far as that can be told before it is sent. CANNOT_CONTACT_HOST."""

    async def send(self, run: Run, parcel: Parcel) -> str:
        """The VM's reference there. Raises what went wrong; then nothing of it is there. run.check_cancelled is heard
        until the last byte has been sent."""

    def archive(self, url: str) -> AbstractAsyncContextManager[tuple[Mapping[str, Exported], Fill]]:
        """An export under a URL of http or https: its records, and what writes its disks while it comes. IMPORT_ERROR
        and its kin."""
