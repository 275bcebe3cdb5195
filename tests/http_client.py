"""A raw HTTP client and a small endpoint for tests of the HTTP layer: real sockets, and every byte in a test's hand."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import uvloop

from xenapi_core.server.listener import Listener, listen_tcp
from xenapi_core.server.routes import App, Request, Response, Route
from xenapi_core.server.service import HttpLimits

DEADLINE = 60.0  # seconds; ends a test that hangs, and is far from what a busy machine needs
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}
BIG = b"0123456789abcdef" * 400_000


def run(test: Coroutine[Any, Any, Any], loop: str = "uvloop", deadline: float = DEADLINE) -> Any:
    """Run a test's coroutine to its end, or fail after `deadline` seconds."""

    async def bounded() -> Any:
        async with asyncio.timeout(deadline):
            return await test

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        return runner.run(bounded())


Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


@asynccontextmanager
async def raw_server(answer: Answer, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """The port of a server that does this with each connection, by TLS if there is a context; at the end all of them
    are answered and closed, also those whose clients left."""

    async def to_its_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            try:
                await answer(reader, writer)
            finally:
                writer.close()
                await writer.wait_closed()

    async with asyncio.TaskGroup() as connections:

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connections.create_task(to_its_end(reader, writer))

        async with await asyncio.start_server(connected, "127.0.0.1", 0, ssl=context) as server:
            yield server.sockets[0].getsockname()[1]


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, *parts: bytes) -> None:
        """Each part in a packet of its own, as far as the kernel lets us."""
        for part in parts:
            self.writer.write(part)
            await self.writer.drain()
            await asyncio.sleep(0)

    async def head(self) -> tuple[int, dict[str, str]]:
        text = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *fields = text[:-4].split("\r\n")
        version, status, _ = line.split(" ", 2)
        assert version == "HTTP/1.1"
        return int(status), {name.lower(): value for name, value in (f.split(": ", 1) for f in fields)}

    async def reply(self, *, head_only: bool = False) -> Reply:
        """The next reply, whole."""
        status, headers = await self.head()
        if head_only or status in (100, 204, 304):
            return Reply(status, headers, b"")
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(await self.reader.readuntil(b"\r\n"), 16):
                body += await self.reader.readexactly(size)
                assert await self.reader.readexactly(2) == b"\r\n"
            assert await self.reader.readexactly(2) == b"\r\n"
            return Reply(status, headers, body)
        if "content-length" not in headers:
            return Reply(status, headers, await self.reader.read())
        return Reply(status, headers, await self.reader.readexactly(int(headers["content-length"])))

    async def ask(self, *parts: bytes) -> Reply:
        await self.send(*parts)
        return await self.reply()

    async def ended(self) -> bool:
        """Whether the server ended the connection, without another byte."""
        try:
            return await self.reader.read() == b""
        except ConnectionError:
            return True

    def half_close(self) -> None:
        self.writer.write_eof()

    def abort(self) -> None:
        self.writer.transport.abort()

    async def close(self) -> None:
        self.writer.close()
        with suppress(ConnectionError, ssl.SSLError):
            await self.writer.wait_closed()


@asynccontextmanager
async def connected(listener: Listener, context: ssl.SSLContext | None = None) -> AsyncIterator[Client]:
    if listener.path is not None:
        reader, writer = await asyncio.open_unix_connection(str(listener.path))
    else:
        name = "localhost" if context else None
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port, ssl=context, server_hostname=name)
    client = Client(reader, writer)
    try:
        yield client
    finally:
        await client.close()


class Watched(AsyncIterator[bytes]):
    """A stream of nothing that tells when it is given up."""

    def __init__(self, closed: asyncio.Event) -> None:
        self.closed = closed

    async def __anext__(self) -> bytes:
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self.closed.set()


@dataclass
class Probe:
    """An endpoint whose handlers tell the test what happened to them."""

    requests: list[Request] = field(default_factory=list)
    started: asyncio.Event = field(default_factory=asyncio.Event)
    release: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    stream_closed: asyncio.Event = field(default_factory=asyncio.Event)
    streamed: int = 0
    leave: Callable[[], None] = lambda: None

    def app(self) -> App:
        routes = (
            Route("POST", "/", self.echo, max_body=1000),
            Route("GET", "/hello", lambda request: Response(200, (), b"hello")),
            Route("HEAD", "/hello", lambda request: Response(200, (), b"hello")),
            Route("POST", "/later", self.later, max_body=1000),
            Route("GET", "/later", self.later),
            Route("GET", "/big", lambda request: Response(200, (), [BIG[:1000], BIG[1000:]])),
            Route("GET", "/stream", lambda request: Response(200, (), stream=self.stream(20))),
            Route("GET", "/endless", lambda request: Response(200, (), stream=self.stream(1 << 40))),
            Route("GET", "/vanishing", self.vanishing),
            Route("GET", "/broken", lambda request: Response(200, (), stream=self.broken())),
            Route("GET", "/boom", self.boom),
            Route("GET", "/boom-later", self.boom_later),
            Route("GET", "/split", lambda request: Response(200, (("X-Name", "a\r\nSet-Cookie: b"),), b"")),
        )
        return App("probe", routes, lambda request: Response(404, (), b"nothing here"))

    def echo(self, request: Request) -> Response:
        self.requests.append(request)
        return Response(200, (("Content-Type", "text/plain"),), request.body)

    async def later(self, request: Request) -> Response:
        self.requests.append(request)
        self.started.set()
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return Response(200, (), b"late:" + request.body)

    async def stream(self, count: int) -> AsyncIterator[bytes]:
        try:
            for number in range(count):
                self.streamed += 1
                yield b"%06d" % number * 1000
        finally:
            self.stream_closed.set()

    async def vanishing(self, request: Request) -> Response:
        """The client is gone (`leave`) when this is done, and before the reply begins."""
        asyncio.get_running_loop().call_soon(self.leave)
        return Response(200, (), stream=Watched(self.stream_closed))

    async def broken(self) -> AsyncIterator[bytes]:
        yield b"the first part"
        raise RuntimeError("no second part")

    def boom(self, request: Request) -> Response:
        raise RuntimeError("boom")

    async def boom_later(self, request: Request) -> Response:
        await asyncio.sleep(0)
        raise RuntimeError("boom later")


@asynccontextmanager
async def closing(listener: Listener) -> AsyncIterator[Listener]:
    """The listener, closed at the end whatever happens: uvloop does not end a loop with open servers."""
    try:
        yield listener
    finally:
        await listener.close()


@asynccontextmanager
async def serving(app: App, limits: HttpLimits | None = None) -> AsyncIterator[Listener]:
    async with closing(await listen_tcp(app, "127.0.0.1", 0, limits=limits or HttpLimits())) as listener:
        yield listener


def post(body: bytes, path: str = "/", *, headers: str = "", version: str = "1.1") -> bytes:
    return (
        f"POST {path} HTTP/{version}\r\nHost: test\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode("latin-1")
        + body
    )


def get(path: str, *, method: str = "GET", headers: str = "", version: str = "1.1") -> bytes:
    return f"{method} {path} HTTP/{version}\r\nHost: test\r\n{headers}\r\n".encode("latin-1")


async def until(condition: Callable[[], bool]) -> None:
    """Return when `condition()` holds; `run` bounds how long that may take."""
    while not condition():  # noqa: ASYNC110 - what is asked for has no event
        await asyncio.sleep(0.001)


async def alive(listener: Listener) -> bool:
    """Whether a new connection is answered."""
    async with connected(listener) as client:
        return (await client.ask(get("/hello"))).status == 200
