"""Authenticates GET and PUT requests on the Xen-API port.

The order is the reference's for its non-RPC handlers: session_id as a cookie, then in the query, then the pool_secret
cookie of another member, then HTTP Basic, else 401. The Unix socket needs none of them: whoever can open it is root.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import parse_qs, unquote

from xenapi_core.api.auth.basic import BasicAuth
from xenapi_core.api.sessions import Sessions
from xenapi_core.errors import ApiError
from xenapi_core.server.routes import Handler, Request, Response, plain_error

_ORIGINATOR: Final = "HTTP using Basic auth"


def basic_credentials(header: str) -> tuple[str, str] | None:
    """User and password of an Authorization header (RFC 7617, UTF-8); None if it holds no such pair."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).decode("utf-8").partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (user, password) if colon else None


def cookie(header: str, wanted: str) -> str | None:
    """The value of one cookie in a Cookie header; None without it."""
    for pair in header.split(";"):
        name, equals, value = pair.strip().partition("=")
        if equals and name == wanted:
            return unquote(value)
    return None


def authenticated(sessions: Sessions, basic: BasicAuth, realm: str) -> Callable[[Handler], Handler]:
    """Make a handler that is reached with credentials only. 401 with a Basic challenge for `realm` otherwise."""

    def refuse() -> Response:
        refusal = plain_error(401, "This page needs a user and a password.")
        refusal.headers = (*refusal.headers, ("WWW-Authenticate", f'Basic realm="{realm}", charset="UTF-8"'))
        return refusal

    def wrap(handler: Handler) -> Handler:
        async def prove(request: Request, user: str, password: str) -> Response:
            peer = request.peer
            if await basic.authenticate(user, password, originator=_ORIGINATOR, address=peer.address) is None:
                return refuse()
            answer = handler(request)
            return answer if isinstance(answer, Response) else await answer

        def answer(request: Request) -> Response | Awaitable[Response]:
            if request.peer.transport == "unix":
                return handler(request)
            cookies = request.headers.get("cookie", "")
            given = cookie(cookies, "session_id")
            for session in parse_qs(request.query).get("session_id", ()) if given is None else (given,):
                try:
                    sessions.check(session)
                except ApiError:
                    return refuse()
                return handler(request)
            secret = cookie(cookies, "pool_secret")
            if secret is not None:
                return handler(request) if sessions.membership.knows(secret) else refuse()
            pair = basic_credentials(request.headers.get("authorization", ""))
            if pair is None:
                return refuse()
            return handler(request) if basic.known(*pair) else prove(request, *pair)

        return answer

    return wrap
