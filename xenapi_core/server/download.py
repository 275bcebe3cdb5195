"""A long body from a URL that a client named, as it comes.

Rule 1: http and https alone, with the certificate checked as browsers do. Redirects are not followed: who named the URL
        has named the server, and another one may be in a network that is not theirs to reach.
Rule 2: an address is judged when a socket is made for it, so no second look-up can put another one in its place.
        Link-local addresses (cloud metadata), multicast and unspecified ones are refused always, loopback ones where
        clients come from beyond this machine.
Rule 3: neither the URL nor what is received is logged or told in an error: a URL may hold a password or a session.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

from xenapi_core.errors import E
from xenapi_core.server.upload import UploadBroken

Trust = Callable[[], Awaitable[ssl.SSLContext]]

_CONNECT_SECONDS: Final = 15.0  # finding the address included
_SILENT_SECONDS: Final = 60.0  # without a byte; how long the whole may take is the operation's deadline
_PIECE: Final = 256 * 1024
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address


def forbidden(address: str, loopback: bool = False) -> str:
    """Why rule 2 keeps us from an address: what it is, in a word; "" if we may connect. `loopback`: that is allowed."""
    found = ipaddress.ip_address(address)
    if isinstance(found, ipaddress.IPv6Address):
        embedded = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF) if found in _NAT64 else found.ipv4_mapped
        found = embedded or found
    if found.is_link_local:
        return "link-local"
    if found.is_multicast:
        return "multicast"
    if found.is_unspecified:
        return "unspecified"
    return "loopback" if found.is_loopback and not loopback else ""


class _ForbiddenError(OSError):
    """As the client library takes it: this address does not work, try the next one of the name."""


async def download(url: str, loopback: bool = False, trust: Trust | None = None) -> AsyncIterator[bytes]:
    """The body of the reply to a GET. IMPORT_ERROR if none comes; UploadBroken if it ends before its end.

    INVALID_VALUE ["url", ...] if rule 2 leaves no address. `trust` makes what decides whose certificates are good;
    without it the system's authorities do.
    """
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
    limits = aiohttp.ClientTimeout(total=None, connect=_CONNECT_SECONDS, sock_read=_SILENT_SECONDS)
    jar = aiohttp.DummyCookieJar()
    begun = False
    try:
        async with (
            aiohttp.ClientSession(
                connector=connector, cookie_jar=jar, auto_decompress=False, timeout=limits, trust_env=False
            ) as http,
            http.get(url, allow_redirects=False) as reply,
        ):
            if reply.status != 200:
                raise E.IMPORT_ERROR(f"The server of that URL answered HTTP {reply.status}.")
            begun = True
            async for data in reply.content.iter_chunked(_PIECE):
                yield data
    except (aiohttp.ClientError, OSError, ValueError) as error:
        if begun:
            raise UploadBroken("The connection broke.") from None
        if refused:
            raise E.INVALID_VALUE("url", f"The server has a {refused[0]} address, which is not asked.") from None
        raise E.IMPORT_ERROR(f"The server of that URL gave no answer: {type(error).__name__}.") from None
