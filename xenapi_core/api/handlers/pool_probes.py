"""pool: tests whether servers outside the pool answer."""

from __future__ import annotations

from typing import NoReturn
from urllib.parse import urlsplit

from xenapi_core.address import bracketed
from xenapi_core.api.registry import CallContext, handles
from xenapi_core.errors import E

_PORTS = range(1, 65536)


@handles("pool.send_test_post")
async def send_test_post(call: CallContext, host: str, port: int, body: str) -> str:
    """The body of the reply to a POST of `body` to https://host:port/, as text: a look at TLS between here and there.

    The server must prove who it is; redirects are not followed. INVALID_VALUE [host or port, ...], SSL_VERIFY_ERROR,
    WLB_TIMEOUT, CANNOT_CONTACT_HOST, OPERATION_NOT_ALLOWED: see outgoing.post. NOT_IMPLEMENTED for a process that
    reaches no other server.
    """
    exchange = call.services.engine.exchange
    if exchange is None:
        raise E.NOT_IMPLEMENTED(call.wire_name)
    if port not in _PORTS:
        raise E.INVALID_VALUE("port", str(port))
    reply = await exchange.post(_url(host, port), body.encode())
    return reply.decode("utf-8", "replace")


def _url(host: str, port: int) -> str:
    """INVALID_VALUE ["host", ...] for what is neither a name nor an address."""
    name = host.strip("[]")
    url = f"https://{bracketed(name)}:{port}/"
    try:
        good = urlsplit(url).hostname == name.lower() and not set(name) & set(" %\\")
    except ValueError:
        good = False
    if not good or not name:
        raise E.INVALID_VALUE("host", "It is neither a name nor an address.")
    return url


@handles("pool.test_archive_target")
def test_archive_target(call: CallContext, ref: str, config: dict[str, str]) -> NoReturn:
    """MESSAGE_REMOVED, always, as xapi answers: archives went with VMPP."""
    raise E.MESSAGE_REMOVED()
