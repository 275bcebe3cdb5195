"""Calls the conversion appliance: plain XML-RPC over TLS, to an address that the guest reports itself.

Rule 1: outgoing.py says which addresses are allowed; no log and no error holds a part of a request or reply.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from xenapi_core.address import bracketed
from xenapi_core.bridge.client import verification_failure
from xenapi_core.errors import E
from xenapi_core.server.outgoing import Trust, way_to
from xenapi_core.wire.api import WireError
from xenapi_core.wire.xmlrpc import decode_reply

_SECONDS: Final = 60.0
_MOST: Final = 256 * 1024  # bytes of a reply
_NO_ANSWER: Final = "no answer of the conversion appliance"


async def ask_appliance(
    address: str, method: str, *params: Any, port: int = 443, loopback: bool = False, trust: Trust | None = None
) -> Any:
    """The value of a call. SSL_VERIFY_ERROR; XENAPI_PLUGIN_FAILURE [what, why] for an address that is not asked, if no
    value comes, or if the appliance answers with a fault. `loopback`, `trust`: see outgoing.way_to."""
    import xmlrpc.client

    import aiohttp

    url = f"https://{bracketed(address)}:{port}/"
    # not our own encoder: it writes numbers as the Xen-API does, as text
    body = xmlrpc.client.dumps(params, method).encode()
    async with way_to(url, loopback, trust) as way:
        try:
            async with (
                asyncio.timeout(_SECONDS),
                way.http.post(url, data=body, headers={"Content-Type": "text/xml"}, allow_redirects=False) as reply,
            ):
                if reply.status != 200:
                    raise E.XENAPI_PLUGIN_FAILURE(_NO_ANSWER, f"HTTP {reply.status}")
                content = bytearray()
                async for data in reply.content.iter_any():
                    content += data
                    if len(content) > _MOST:
                        break
            return decode_reply(bytes(content))
        except aiohttp.ClientConnectorCertificateError as error:
            raise E.SSL_VERIFY_ERROR(verification_failure(error.certificate_error)) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            why = f"It has a {way.refused[0]} address." if way.refused else type(error).__name__
            raise E.XENAPI_PLUGIN_FAILURE(_NO_ANSWER, why) from None
        except WireError:
            raise E.XENAPI_PLUGIN_FAILURE("unexpected XMLRPC result", f"{method} gave no value") from None
