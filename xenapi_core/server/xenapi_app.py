"""The Xen-API endpoint: maps HTTP requests to calls, and serves the other routes of its port.

Rule 1: failures of the API are HTTP 200; only what is no call at all gets an HTTP error, as a small page.
Rule 2: this module knows codecs and HTTP, and of the API only `handle`.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from html import escape
from typing import Final, Protocol
from urllib.parse import unquote

from xenapi_core.errors import ApiError
from xenapi_core.server.routes import App, Handler, Peer, Request, Response, Route
from xenapi_core.wire.api import Call, Codec, WireError
from xenapi_core.wire.jsonrpc import JsonRpc
from xenapi_core.wire.limits import DEFAULT, Limits
from xenapi_core.wire.xmlrpc import XmlRpc

_NO_CACHE: Final = ("Cache-Control", "no-cache, no-store")
_ANY_ORIGIN: Final = ("Access-Control-Allow-Origin", "*")
_HTML: Final = (("Content-Type", "text/html; charset=utf-8"), _NO_CACHE)
_TITLES: Final = {
    301: "Moved permanently", 400: "Bad request", 401: "Unauthorised", 403: "Forbidden", 404: "Not found",
    408: "Request timeout", 431: "Request headers too large",
    500: "Internal error", 501: "Method not implemented", 503: "Service unavailable",
}  # fmt: skip
# A Host header: a name or address, and perhaps a port. What is none is not repeated in a reply.
_HOST: Final = re.compile(r"(?P<name>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?")
# What HTTP has an own status for, and xapi answers with 500.
_AS_500: Final = frozenset({400, 411, 413, 505})
# Methods for which there are handlers, though none for this path: 403; all others are 501.
_KNOWN_METHODS: Final = frozenset({"GET", "POST", "PUT", "CONNECT", "OPTIONS"})


_NOTE: Final = "x-http-other-config-"


class Dispatcher(Protocol):
    """The interface that answers calls (api.dispatcher.Dispatcher)."""

    def handle(self, call: Call, codec: Codec, peer: Peer) -> bytes | Awaitable[bytes]:
        """The complete body of the reply, failures included. Raises nothing."""


def page(status: int, reason: str) -> Response:
    """An error page."""
    title = _TITLES.get(status, "Error")
    body = f"<h1>{status} {title}</h1><p>{escape(reason)}</p>"
    text = f"<html><head><title>{title}</title></head><body>{body}</body></html>\n"
    return Response(status, _HTML, text.encode("utf-8"))


def error_page(status: int, reason: str) -> Response:
    """App.error: the pages and status codes of the reference server."""
    return page(500 if status in _AS_500 else status, reason)


def xenapi_app(
    dispatcher: Dispatcher,
    *,
    name: str = "xenapi",
    extra: tuple[Route, ...] = (),
    limits: Limits = DEFAULT,
    tls_port: Callable[[], int | None] = lambda: None,
    relay: Callable[[Request, Call, Codec], Awaitable[Response] | None] = lambda request, call, codec: None,
    plain_refused: Callable[[], bool] = lambda: False,
    seen: Callable[[str], None] = lambda header: None,
) -> App:
    """The endpoint for `dispatcher`. `extra` routes (GET /about, import and export ...) win by their longer prefix.

    `tls_port`: the port of the same endpoint with TLS, where a GET on the plain port is sent; None while there is none.
    `relay` may answer a call at the Unix socket instead of `dispatcher`: what another server is to answer.
    `plain_refused`: whether requests to the plain port are sent to the other, whatever they ask. `seen` is told the
    User-Agent of every request.
    """
    xml, json = XmlRpc(limits), JsonRpc(limits)
    routes = (
        Route("POST", "/", _rpc(dispatcher, xml, relay), limits.max_body),
        Route("POST", "/json", _rpc(dispatcher, xml, relay), limits.max_body),
        Route("POST", "/jsonrpc", _rpc(dispatcher, json, relay), limits.max_body),
        Route("OPTIONS", "/", _options),
        Route("GET", "/", _pages(tls_port)),
        *extra,
    )

    def front(handler: Handler) -> Handler:
        last = None  # most requests come from whoever sent the one before

        def handle(request: Request) -> Response | Awaitable[Response]:
            nonlocal last
            program = request.headers.get("user-agent")
            if program is not None and program != last:
                last = program
                seen(program)
            if request.peer.transport == "tcp" and plain_refused():
                return _sent_away(request, tls_port())
            return handler(request)

        return handle

    routes = tuple(replace(route, handler=front(route.handler)) for route in routes)
    return App(name, routes, front(_fallback), error_page)


def reply_headers(codec: Codec) -> tuple[tuple[str, str], ...]:
    """The headers of the reply to a call."""
    return (_NO_CACHE, ("Content-Type", codec.content_type), _ANY_ORIGIN)


def _rpc(
    dispatcher: Dispatcher, codec: Codec, relay: Callable[[Request, Call, Codec], Awaitable[Response] | None]
) -> Handler:
    headers = reply_headers(codec)

    async def later(reply: Awaitable[bytes]) -> Response:
        return Response(200, headers, await reply)

    def handle(request: Request) -> Response | Awaitable[Response]:
        if "content-length" not in request.headers:
            refusal = page(500, "We require a content-length: HTTP header")
            refusal.close = True
            return refusal
        try:
            call = codec.decode(request.body)
        except WireError as error:
            return page(500, str(error))
        except ApiError as error:
            return Response(200, headers, codec.failure(None, error.description))
        if call.method.startswith("Async."):  # what has a task; all others need not search the headers
            call = replace(call, notes=_notes(request.headers))
        if request.peer.transport == "unix":
            elsewhere = relay(request, call, codec)
            if elsewhere is not None:
                return elsewhere
        reply = dispatcher.handle(call, codec, request.peer)
        return Response(200, headers, reply) if isinstance(reply, bytes) else later(reply)

    return handle


def _notes(headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """What headers X-Http-Other-Config-KEY say: it goes to other_config of the call's task."""
    return tuple((name[len(_NOTE) :], text) for name, text in headers.items() if name.startswith(_NOTE))


def _options(request: Request) -> Response:
    """What a browser asks before it posts from another origin."""
    asked = request.headers.get("access-control-request-headers")
    allowed = f"{asked}, X-Requested-With" if asked else "X-Requested-With"
    more = (("Access-Control-Allow-Headers", allowed), ("Access-Control-Allow-Methods", "PUT"))
    return Response(200, (_NO_CACHE, _ANY_ORIGIN, *more))


_INDEX: Final = b"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>xencim</title></head><body><h1>xencim</h1>
<p>This is a Xen-API server: programs manage virtual machines here. It answers:</p>
<ul><li><code>POST /</code> calls in XML-RPC</li><li><code>POST /jsonrpc</code> calls in JSON-RPC 1.0 and 2.0</li>
<li><a href="/about"><code>GET /about</code></a> to users: which classes and messages are there</li></ul>
</body></html>
"""


def _pages(tls_port: Callable[[], int | None]) -> Handler:
    """GET: the start page, and nothing else, because no files are served. The plain port sends clients to the other."""

    def answer(request: Request) -> Response:
        if request.path == "/":
            return Response(200, _HTML, _INDEX)
        depth = 0
        for part in unquote(request.path).split("/"):
            depth += {"": 0, ".": 0, "..": -1}.get(part, 1)
            if depth < 0:
                return page(403, "Access to this path is forbidden.")
        port = tls_port() if request.peer.transport == "tcp" else None
        if port is not None and (host := _HOST.fullmatch(request.headers.get("host", ""))):
            return _moved(host["name"], port, request)
        return page(404, "There is nothing at this address.")

    return answer


def _sent_away(request: Request, port: int | None) -> Response:
    """What a plain port answers that is closed for everything: a browser finds its way, a program is refused."""
    host = _HOST.fullmatch(request.headers.get("host", ""))
    if request.method == "GET" and port is not None and host is not None:
        refusal = _moved(host["name"], port, request)
    else:
        refusal = page(403, "This is served over TLS only.")
    refusal.close = True
    return refusal


def _moved(host: str, port: int, request: Request) -> Response:
    """Where the client finds the same path with TLS; the port is left out where it is the usual one."""
    query = f"?{request.query}" if request.query else ""
    target = f"https://{host}{'' if port == 443 else f':{port}'}{request.path}{query}"
    moved = page(301, "This is served over TLS only.")
    moved.headers = (*moved.headers, ("Location", target))
    return moved


def _fallback(request: Request) -> Response:
    """Methods without a route."""
    if request.method in _KNOWN_METHODS:
        refusal = page(403, "There is no handler for this request.")
    else:
        refusal = page(501, f"The method {request.method} is not supported.")
    refusal.close = True
    return refusal
