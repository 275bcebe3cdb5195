"""Xen-API client of another server over HTTP: one request per connection, each with a deadline.

Rule 1: OSError if no answer comes; ApiError for a Failure, with its code as it was sent, and SSL_VERIFY_ERROR for a
        server whose certificate is not trusted.
Rule 2: `trust` says how the server's certificate is verified; plain HTTP is refused then. Without it certificates are
        not verified: servers have self-signed ones, and hosts that join a pool do not know each other yet. TLS then
        keeps eavesdroppers out, and only the address that a person gave identifies the server.
Rule 3: nothing that is sent or received is logged: it may be a password.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final

from xenapi_core.address import bracketed
from xenapi_core.api.membership import place_of
from xenapi_core.errors import E
from xenapi_core.wire.api import WireError
from xenapi_core.wire.limits import Limits
from xenapi_core.wire.xmlrpc import decode_reply, encode_call

_CONNECT_SECONDS: Final = 15.0
_SECONDS: Final = 60.0
_DAY: Final = 86_400.0  # waiting for events takes as long as the client wants
_LIMITS: Final = Limits(max_body=64 * 1024 * 1024, max_elements=4_000_000)

# Who is believed (None: everybody), and for which of its names the server is asked (None: that of its address).
Proof = tuple[ssl.SSLContext | None, str | None]


class RemoteXenApi:
    """A client of another server's Xen-API (an api.membership.Remote). `address` as a person gives it; `port` is meant
    where it names none; `trust`: see rule 2, or a function that says for each request what proves who the server is."""

    def __init__(
        self, address: str, port: int, trust: ssl.SSLContext | Callable[[], Proof] | None = None
    ) -> None:  # fmt: skip
        """ValueError for what is no address."""
        scheme, self._host, given = place_of(address)
        self._scheme = scheme or "https"
        self._port = given or port
        self._trust = trust

    async def call(self, method: str, *params: Any) -> Any:
        return await self._ask("/", encode_call(method, params), {})

    async def post(self, path: str, body: bytes, cookie: str) -> Any:
        return await self._ask(path, body, {"Cookie": cookie})

    async def relay(self, path: str, body: bytes, content_type: str) -> bytes:
        return await self._fetch(path, body, {"Content-Type": content_type}, _DAY)

    async def put(self, path: str, body: AsyncIterator[bytes]) -> None:
        """Send a long body as it comes. OSError unless it is answered with 200; what ended the body ends that, too."""
        await self._fetch(path, body, {"Content-Type": "application/octet-stream"}, _DAY, "PUT")

    async def _ask(self, path: str, body: bytes, headers: Mapping[str, str]) -> Any:
        """The value of the reply to a POST (rule 1)."""
        reply = await self._fetch(path, body, {**headers, "Content-Type": "text/xml"}, _SECONDS)
        try:
            return decode_reply(reply, _LIMITS)
        except WireError:
            raise ConnectionError("the reply is none of the Xen-API") from None

    async def _fetch(
        self,
        path: str,
        body: bytes | AsyncIterator[bytes],
        headers: Mapping[str, str],
        seconds: float,
        method: str = "POST",
    ) -> bytes:
        """The body of the reply (rule 1)."""
        import aiohttp  # a fifth of a second at start, for what most servers never do

        trust, name = self._trust() if callable(self._trust) else (self._trust, None)
        if trust is not None and self._scheme != "https":
            raise E.SSL_VERIFY_ERROR("The address of the other server is one without TLS.")
        url = f"{self._scheme}://{bracketed(self._host)}:{self._port}{path}"
        limits = aiohttp.ClientTimeout(total=seconds, connect=_CONNECT_SECONDS)
        connector = aiohttp.TCPConnector(ssl=trust or False, force_close=True)  # rule 2
        try:
            async with (
                aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as http,
                http.request(
                    method,
                    url,
                    data=body,
                    headers=headers,
                    timeout=limits,
                    allow_redirects=False,
                    server_hostname=name,
                ) as reply,
            ):
                if reply.status != 200:
                    raise ConnectionError(f"the other server answered HTTP {reply.status}")
                content = await reply.content.read(_LIMITS.max_body + 1)
                while not reply.content.at_eof() and len(content) <= _LIMITS.max_body:
                    content += await reply.content.read(_LIMITS.max_body + 1 - len(content))
        except aiohttp.ClientConnectorCertificateError as error:
            raise E.SSL_VERIFY_ERROR(verification_failure(error.certificate_error)) from None
        except (aiohttp.ClientError, ValueError) as error:
            raise ConnectionError(f"no HTTP reply came: {type(error).__name__}") from None
        if len(content) > _LIMITS.max_body:
            raise ConnectionError("the reply is too long")
        return content


def verification_failure(error: Exception) -> str:
    """OpenSSL's word for what is wrong with a certificate."""
    return str(getattr(error, "verify_message", "")) or type(error).__name__
