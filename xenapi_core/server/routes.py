"""Requests and responses as values, and routing: which handler answers a path.

Rule 1: this module knows no socket. The HTTP layer makes a Request, the router finds a Route, the route's handler
        returns a Response (reads do so without awaiting) or an awaitable of one.
Rule 2: routing is by longest registered prefix (Xen-API: "/" takes what nobody else wants).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from xenapi_core.server.tunnel import Tunnel
from xenapi_core.server.upload import Upload


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of a connection. `uid` is set for Unix sockets; `certificate` is a client certificate (DER).

    `host`: the host whose endpoint it called, where every host of the pool has its own.
    """

    transport: str  # "tcp" | "tls" | "unix"
    address: str = ""
    uid: int | None = None
    certificate: bytes | None = None
    host: str = ""


@dataclass(slots=True)
class Request:
    """One HTTP request. Header names are lower case; a repeated header's values are joined with ", ".

    `upload`: the body, on its way, if the route is `streamed`; `body` is empty then.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    peer: Peer
    version: str = "1.1"
    closed: Callable[[], bool] = field(default=lambda: False)
    upload: Upload | None = None

    @property
    def path(self) -> str:
        """The target without query; absolute-form targets are reduced to their path."""
        target = self.target
        if "://" in target[:10]:
            slash = target.find("/", target.index("://") + 3)
            target = target[slash:] if slash >= 0 else "/"
        return target.split("?", 1)[0]

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]


@dataclass(slots=True)
class Response:
    """An HTTP reply: `body` is complete, or empty and `stream` is sent chunked. `close` ends the connection.

    `length`: how many bytes `stream` will give, if that is known; then they are sent as they are. `tunnel`: after the
    head the connection speaks another protocol, until this ends. `reads_on`: `stream` still reads the upload.
    """

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | list[bytes] = b""
    stream: AsyncIterator[bytes] | None = None
    close: bool = False
    length: int | None = None
    tunnel: Callable[[Tunnel], Awaitable[None]] | None = None
    reads_on: bool = False


async def give_up(stream: AsyncIterator[bytes]) -> None:
    """Tell who makes a stream that nobody reads on; nothing happens to one that has ended."""
    close = getattr(stream, "aclose", None)
    if close is not None:
        await close()


Handler = Callable[[Request], Response | Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Route:
    """`handler` answers `method` requests to paths that start with `prefix`. `max_body` in bytes (413/500 above).

    `streamed`: the handler is called when the headers are there, and reads the body itself (Request.upload), however
    long it is. Such a handler returns an awaitable.
    """

    method: str
    prefix: str
    handler: Handler
    max_body: int = 300 * 1024
    streamed: bool = False


class Router:
    """Longest prefix wins; `fallback` answers what no route takes (404, 403, 501 as the protocol wants)."""

    def __init__(self, routes: tuple[Route, ...], fallback: Handler) -> None:
        self.routes = sorted(routes, key=lambda route: -len(route.prefix))
        self.fallback = fallback
        self._cache: dict[tuple[str, str], Route | None] = {}

    def find(self, method: str, path: str) -> Route | None:
        key = (method, path)
        if key in self._cache:
            return self._cache[key]
        found = next((r for r in self.routes if r.method == method and path.startswith(r.prefix)), None)
        if len(self._cache) < 1024:  # paths come from clients
            self._cache[key] = found
        return found


def plain_error(status: int, reason: str) -> Response:
    """An error page for endpoints that have no form of their own."""
    return Response(status, (("Content-Type", "text/plain; charset=utf-8"),), reason.encode("utf-8") + b"\n")


@dataclass(frozen=True, slots=True)
class App:
    """What a protocol endpoint gives the server: a name for listeners ("xenapi", "wbem") and its routes.

    `error(status, reason)` makes the reply to what never becomes a Request, and to our own faults. The HTTP layer calls
    it with the status HTTP has for the case, the endpoint may answer with the one its protocol uses: 400 (not HTTP),
    408 (too slow), 413 (body above max_body), 431 (headers too large), 500 (a handler failed), 501 (unknown method or
    transfer coding), 503 (too many connections), 505 (HTTP version).

    `start` and `stop` are for endpoints that do more than answer: awaited before the first request and after the last.
    """

    name: str
    routes: tuple[Route, ...]
    fallback: Handler
    error: Callable[[int, str], Response] = plain_error
    start: Callable[[], Awaitable[None]] | None = None
    stop: Callable[[], Awaitable[None]] | None = None


def encrypted_only(app: App) -> App:
    """`app` for a plain listener on which nobody may log in: every request gets 403 with a text that points to TLS."""
    page = "passwords are not taken here without encryption; use https (the TLS port of this server)"
    return App(app.name, (), lambda request: plain_error(403, page), app.error)


def only_while(app: App, elsewhere: Callable[[], str]) -> App:
    """`app` as long as `elsewhere` gives "", else 503 with what it gives: one sentence."""

    def guarded(handler: Handler) -> Handler:
        def answer(request: Request) -> Response | Awaitable[Response]:
            words = elsewhere()
            return plain_error(503, words) if words else handler(request)

        return answer

    routes = tuple(replace(route, handler=guarded(route.handler)) for route in app.routes)
    return replace(app, routes=routes, fallback=guarded(app.fallback))


@dataclass(frozen=True, slots=True)
class Hosting:
    """The server's parameters for an endpoint found by entry point, beside the pool.

    state   directory for what must survive a restart; it exists and is this server's alone. None: nothing survives.
    models  MOF files to load at the start, each with the name of the namespace it goes to.
    listener_ca, verify_listeners
            authorities (PEM) for the certificates of those to whom messages are sent over https, None: the system's;
            and whether they are looked at.
    ways    by endpoint, the predecessor whose ways it follows instead of its standard's.
    """

    state: Path | None = None
    models: tuple[tuple[Path, str], ...] = ()
    listener_ca: Path | None = None
    verify_listeners: bool = True
    ways: Mapping[str, str] = field(default_factory=dict)


class EndpointError(Exception):
    """An endpoint cannot start with this Hosting: one sentence for the user."""


def of_host(routes: tuple[Route, ...], host: str) -> tuple[Route, ...]:
    """`routes` at the endpoint of one host: their requests say so (Peer.host)."""

    def made(route: Route) -> Route:
        def handle(request: Request) -> Response | Awaitable[Response]:
            request.peer = replace(request.peer, host=host)
            return route.handler(request)

        return replace(route, handler=handle)

    return tuple(made(route) for route in routes)
