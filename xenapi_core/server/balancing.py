"""Sends requests to the workload balancing server that a pool operator named (api/balancer.py makes them).

Rule 1: requests go over TLS, under the rules for any server that a client named: outgoing.py says which addresses are
        allowed, and that no error holds a part of a request or reply. trust.of_balancers verifies the certificate.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from xenapi_core.bridge.client import verification_failure
from xenapi_core.errors import ApiError, E
from xenapi_core.server.outgoing import Trust, way_to

if TYPE_CHECKING:
    import aiohttp

_NO_WAY: Final = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL})


async def post(
    place: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes,
    seconds: float,
    most: int,
    loopback: bool = False,
    trust: Trust | None = None,
) -> tuple[int, bytes]:
    """HTTP status and body of the reply to a POST over TLS (api.balancer.Post). `loopback`, `trust`: as for
    outgoing.way_to.

    WLB_URL_INVALID where no address may be asked; WLB_TIMEOUT [seconds], WLB_UNKNOWN_HOST, WLB_CONNECTION_REFUSED,
    WLB_CONNECTION_RESET; SSL_VERIFY_ERROR.
    """
    import aiohttp

    url = f"https://{place}{path}"
    async with way_to(url, loopback, trust, patience=seconds) as way:
        try:
            async with (
                asyncio.timeout(seconds),
                way.http.post(url, data=body, headers=headers, allow_redirects=False) as reply,
            ):
                content = bytearray()
                async for data in reply.content.iter_any():
                    content += data
                    if len(content) > most:
                        break
                return reply.status, bytes(content)
        except TimeoutError:
            raise E.WLB_TIMEOUT(str(seconds)) from None
        except aiohttp.ClientConnectorCertificateError as error:
            raise E.SSL_VERIFY_ERROR(verification_failure(error.certificate_error)) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise E.WLB_URL_INVALID(place) if way.refused else _as_wlb_error(place, error) from None


def _as_wlb_error(place: str, error: aiohttp.ClientError | OSError | ValueError) -> ApiError:
    """What went wrong with a connection, as the Xen-API calls it."""
    import aiohttp

    if isinstance(error, ValueError):  # also a name that no resolver takes
        return E.WLB_URL_INVALID(place)
    number = error.errno if isinstance(error, OSError) else None
    if isinstance(error, aiohttp.ClientConnectorDNSError) or number in _NO_WAY:
        return E.WLB_UNKNOWN_HOST()
    return E.WLB_CONNECTION_REFUSED() if number == errno.ECONNREFUSED else E.WLB_CONNECTION_RESET()
