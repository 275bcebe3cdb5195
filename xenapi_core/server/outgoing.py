"""HTTP requests to servers that a client named: allowed addresses, trust, and sending bodies.

Rule 1: http and https alone, with the certificate checked as browsers do. Redirects are not followed: the client named
        this server, and another one may be in a network that the client must not reach.
Rule 2: an address is judged when a socket is made for it, so no second look-up can put another one in its place.
        Link-local addresses, those of cloud metadata, multicast and unspecified ones are refused always, loopback
        ones where clients come from beyond this machine; and IPv6 addresses that lead to such an IPv4 address.
Rule 3: neither the URL nor what is sent or received is logged or told in an error: a URL may hold a password or a
        session.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from xenapi_core.bridge.client import verification_failure
from xenapi_core.errors import ApiError, E

if TYPE_CHECKING:
    import aiohttp

Trust = Callable[[], Awaitable[ssl.SSLContext]]

_CONNECT_SECONDS: Final = 15.0  # finding the address included
_SILENT_SECONDS: Final = 60.0  # without a byte; how long the whole may take is the operation's deadline
# The last 32 bits are an IPv4 address: RFC 6052, RFC 4291 2.5.5.1 (given up, but systems may still take it).
_LAST_32_BITS: Final = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "::/96")))
_LOCAL_NAT64: Final = ipaddress.IPv6Network("64:ff9b:1::/48")  # RFC 8215: where the IPv4 address is, the site decides
# Where clouds tell secrets of their machines, beside link-local addresses.
_METADATA: Final = frozenset(
    map(ipaddress.ip_address, ("fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192"))
)
_TAKEN: Final = (200, 201, 202, 204)
_POST_SECONDS: Final = 30.0  # how long xapi tries, and what it says then
_MOST_OF_REPLY: Final = 1 << 20  # bytes that become a value of the Xen-API


def forbidden(address: str, loopback: bool = False) -> str:
    """Why rule 2 keeps us from an address: what it is, in a word; "" if we may connect. `loopback`: that is allowed."""
    found = ipaddress.ip_address(address)
    if isinstance(found, ipaddress.IPv6Address) and int(found) > 1:  # 0 and 1 are :: and ::1
        if found in _LOCAL_NAT64:
            return "local NAT64"
        last = any(found in network for network in _LAST_32_BITS)
        embedded = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF) if last else found.ipv4_mapped or found.sixtofour
        if embedded is None and found.teredo is not None:
            embedded = found.teredo[1]
        found = embedded or found
    if found.is_link_local:
        return "link-local"
    if found in _METADATA:
        return "metadata"
    if found.is_multicast:
        return "multicast"
    if found.is_unspecified:
        return "unspecified"
    return "loopback" if found.is_loopback and not loopback else ""


class _ForbiddenError(OSError):
    """An address that may not be contacted; the HTTP client then tries the next address of the name."""


@dataclass
class Way:
    """A client that asks no forbidden address. `http.request(..., allow_redirects=False)` is for the caller to say."""

    http: aiohttp.ClientSession
    refused: list[str] = field(default_factory=list)  # why addresses were not asked

    def check(self, named: str = "url") -> None:
        """INVALID_VALUE [`named`, ...] if a failure was that rule 2 left no address."""
        if self.refused:
            raise E.INVALID_VALUE(named, f"The server has a {self.refused[0]} address, which is not asked.")


@contextlib.asynccontextmanager
async def way_to(
    url: str, loopback: bool, trust: Trust | None, patience: float = _SILENT_SECONDS
) -> AsyncIterator[Way]:
    """For requests to that URL. `trust` makes what decides whose certificates are good; without it the system's
    authorities do. `patience`: seconds without a byte."""
    import aiohttp  # a fifth of a second at start, for what most servers never do

    refused: list[str] = []

    def make_socket(info: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, address = info
        if reason := forbidden(str(address[0]), loopback):
            refused.append(reason)
            raise _ForbiddenError
        return socket.socket(family, kind, protocol)

    context = await trust() if trust is not None and url.lower().startswith("https:") else True
    connector = aiohttp.TCPConnector(ssl=context, force_close=True, socket_factory=make_socket)
    limits = aiohttp.ClientTimeout(total=None, connect=_CONNECT_SECONDS, sock_read=patience)
    async with aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False, timeout=limits, trust_env=False
    ) as http:
        yield Way(http, refused)


async def send(
    url: str, size: int, body: AsyncIterator[bytes], loopback: bool = False, trust: Trust | None = None
) -> None:
    """PUT `body`, which is `size` bytes long. SYSTEM_STATUS_RETRIEVAL_FAILED unless the server says that it has it.

    INVALID_VALUE ["url", ...] if rule 2 leaves no address. What ends the body ends this, too.
    """
    import aiohttp

    broken: list[BaseException] = []
    loop = asyncio.get_running_loop()
    headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
    async with way_to(url, loopback, trust) as way:

        async def told() -> AsyncIterator[bytes]:
            try:
                async for data in body:
                    limit.reschedule(loop.time() + _SILENT_SECONDS)  # somebody reads
                    yield data
            except ApiError as error:
                broken.append(error)
                raise

        try:
            async with (
                asyncio.timeout(_CONNECT_SECONDS + _SILENT_SECONDS) as limit,
                way.http.put(url, data=told(), headers=headers, allow_redirects=False) as reply,
            ):
                if reply.status not in _TAKEN:
                    raise E.SYSTEM_STATUS_RETRIEVAL_FAILED(f"The server of that URL answered HTTP {reply.status}.")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if broken:
                raise broken[0] from None
            way.check()
            reason = f"The server of that URL did not take it: {type(error).__name__}."
            raise E.SYSTEM_STATUS_RETRIEVAL_FAILED(reason) from None


async def post(
    url: str, body: bytes, loopback: bool = False, trust: Trust | None = None, seconds: float = _POST_SECONDS
) -> bytes:  # fmt: skip
    """The body of the reply to a POST, whatever its status: at most a mebibyte, within so many seconds of real time.

    INVALID_VALUE ["host", ...] if rule 2 leaves no address; SSL_VERIFY_ERROR; WLB_TIMEOUT, as xapi calls any server
    that takes too long; CANNOT_CONTACT_HOST if there is no reply; OPERATION_NOT_ALLOWED for a longer one.
    """
    import aiohttp

    async with way_to(url, loopback, trust) as way:
        try:
            async with (
                asyncio.timeout(seconds),
                way.http.post(url, data=body, allow_redirects=False) as reply,
            ):
                content = bytearray()
                async for data in reply.content.iter_any():
                    content += data
                    if len(content) > _MOST_OF_REPLY:
                        raise E.OPERATION_NOT_ALLOWED(f"The reply is longer than {_MOST_OF_REPLY} bytes.")
                return bytes(content)
        except TimeoutError:
            raise E.WLB_TIMEOUT(str(seconds)) from None
        except aiohttp.ClientConnectorCertificateError as error:
            raise E.SSL_VERIFY_ERROR(verification_failure(error.certificate_error)) from None
        except (aiohttp.ClientError, OSError, ValueError):
            way.check("host")
            raise E.CANNOT_CONTACT_HOST(urlsplit(url).hostname or "") from None
