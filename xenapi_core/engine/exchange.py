"""The interface through which plans reach other servers: VMs sent to other pools, archives fetched, and uploads."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlsplit

from xenapi_core.engine.plan import Run
from xenapi_core.errors import E
from xenapi_core.store.api import Version

if TYPE_CHECKING:
    from xenapi_core.engine.exported import Exported, Fill

SCHEMES: Final = ("http", "https")


def check_url(url: str) -> None:
    """INVALID_VALUE ["url", ...] for no URL of http or https, without what it may hold of secrets."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise E.INVALID_VALUE("url", url.partition(":")[0][:16])


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
    """The interface for sending parcels and fetching archives (server/exchange.py)."""

    async def check(self, parcel: Parcel) -> None:
        """Raise why the other pool would refuse the parcel, as far as that is known before it is sent.
        CANNOT_CONTACT_HOST."""

    async def send(self, run: Run, parcel: Parcel) -> str:
        """The VM's reference there. Raises what went wrong; then nothing of it is there. run.check_cancelled can stop
        it until the last byte has been sent."""

    def archive(self, url: str) -> AbstractAsyncContextManager[tuple[Mapping[str, Exported], Fill]]:
        """An export under a URL of http or https: its records, and what writes its disks while it comes. IMPORT_ERROR
        and its kin."""

    async def deliver(self, url: str, size: int, body: AsyncIterator[bytes]) -> None:
        """Put a body of `size` bytes under a URL of http or https. SYSTEM_STATUS_RETRIEVAL_FAILED unless it is taken,
        INVALID_VALUE ["url", ...] for an address that is not asked; what ends the body."""

    async def post(self, url: str, body: bytes) -> bytes:
        """The body of the reply to a POST to a server of https. INVALID_VALUE ["host", ...], SSL_VERIFY_ERROR,
        WLB_TIMEOUT, CANNOT_CONTACT_HOST, OPERATION_NOT_ALLOWED."""

    async def ask_appliance(self, address: str, method: str, *params: Any) -> Any:
        """The value of a call to the conversion appliance at that address. XENAPI_PLUGIN_FAILURE, SSL_VERIFY_ERROR."""
