"""Bodies that are read while they arrive: back-pressure, early replies, broken uploads, and streams of known length."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from http_client import connected, serving

from xenapi_core.server.routes import App, Request, Response, Route, plain_error
from xenapi_core.server.service import HttpLimits
from xenapi_core.server.upload import HIGH, UploadBroken

HEAD = b"PUT /take HTTP/1.1\r\nHost: x\r\n"


@dataclass
class Taker:
    """Takes bodies: `go` lets it read, `taken` counts, `broken` keeps how an upload ended."""

    go: asyncio.Event = field(default_factory=asyncio.Event)
    done: asyncio.Event = field(default_factory=asyncio.Event)
    uploads: list = field(default_factory=list)
    taken: bytes = b""
    broken: str = ""

    def app(self) -> App:
        routes = (
            Route("PUT", "/take", self.take, streamed=True),
            Route("PUT", "/refuse", self.refuse, streamed=True),
            Route("GET", "/", lambda request: Response(200, (), b"hello")),
            Route("GET", "/long", lambda request: Response(200, (), stream=self.parts(3), length=9)),
            Route("GET", "/short", lambda request: Response(200, (), stream=self.parts(2), length=9)),
        )
        return App("test", routes, lambda request: plain_error(404, "no"))

    async def take(self, request: Request) -> Response:
        assert request.upload is not None
        self.uploads.append(request.upload)
        await self.go.wait()
        taken = []
        try:
            taken.extend([data async for data in request.upload])
        except UploadBroken as broken:
            self.broken = str(broken)
            self.done.set()
            return Response(500, (), b"broken")
        self.taken = b"".join(taken)
        return Response(200, (), b"%d" % len(self.taken))

    async def refuse(self, request: Request) -> Response:
        return Response(401, (), b"no")

    async def parts(self, count: int) -> AsyncIterator[bytes]:
        for _ in range(count):
            yield b"abc"


async def until(true) -> None:
    """Let the server work until `true()`; the deadline is that of `run`."""
    while not true():  # noqa: ASYNC110 - what is waited for is inside the server
        await asyncio.sleep(0.001)


@asynccontextmanager
async def upload_server(limits=HttpLimits()):  # noqa: B008 - a frozen value
    """An endpoint that takes uploads, and a client of it."""
    taker = Taker()
    async with serving(taker.app(), limits=limits) as listener, connected(listener) as client:
        yield taker, client


async def test_a_body_is_read_while_it_arrives_and_the_connection_goes_on():
    async with upload_server() as (taker, client):
        taker.go.set()
        await client.send(HEAD + b"Content-Length: 6\r\n\r\nabc")
        await client.send(b"defGET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await client.reply()).body == b"6"
        assert (await client.reply()).body == b"hello"
        assert taker.taken == b"abcdef"
        await client.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n")
        assert (await client.reply()).body == b"5"
        assert taker.taken == b"abcde"
        assert [upload.size for upload in taker.uploads] == [6, None]


async def test_a_body_beyond_every_limit_of_calls_is_taken():
    size = 3_000_000
    async with upload_server() as (taker, client):
        taker.go.set()
        await client.send(HEAD + b"Content-Length: %d\r\n\r\n" % size + bytes(size))
        assert (await client.reply()).body == b"%d" % size


async def test_a_client_that_is_faster_than_the_handler_is_not_read():
    size = 64 * HIGH
    async with upload_server() as (taker, client):

        async def push():
            await client.send(HEAD + b"Content-Length: %d\r\n\r\n" % size + bytes(size))

        pushing = asyncio.create_task(push())
        await until(lambda: taker.uploads and taker.uploads[0].full)
        for _ in range(50):
            await asyncio.sleep(0)
        assert taker.uploads[0].received < 2 * HIGH
        taker.go.set()
        assert (await client.reply()).body == b"%d" % size
        await pushing


async def test_tiny_chunks_are_a_body_and_endless_trailers_are_not():
    async with upload_server() as (taker, client):
        taker.go.set()
        await client.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 20_000 + b"0\r\n\r\n")
        assert (await client.reply()).body == b"20000"
        await client.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
        await until(lambda: len(taker.uploads) > 1 and taker.uploads[1].received)
        await client.send(b"0\r\nTrailer: " + b"y" * 100_000)
        assert (await client.reply()).status == 431
        await taker.done.wait()


async def test_the_client_is_told_to_continue_when_the_handler_asks_for_the_body():
    async with upload_server() as (taker, client):
        await client.send(HEAD + b"Content-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        await until(lambda: taker.uploads)
        taker.go.set()
        assert (await client.reply()).status == 100
        await client.send(b"abc")
        assert (await client.reply()).body == b"3"
        await client.send(HEAD.replace(b"take", b"refuse") + b"Content-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        reply = await client.reply()
        assert (reply.status, reply.headers["connection"]) == (401, "close")


async def test_a_reply_before_the_end_of_the_body_reaches_a_client_that_goes_on_sending():
    async with upload_server() as (_taker, client):
        await client.send(HEAD.replace(b"take", b"refuse") + b"Content-Length: 1000000\r\n\r\n" + bytes(500_000))
        reply = await client.reply()
        assert (reply.status, reply.headers["connection"]) == (401, "close")


async def test_what_follows_half_a_body_is_no_request():
    async with upload_server() as (_taker, client):
        await client.send(HEAD.replace(b"take", b"refuse") + b"Content-Length: 100\r\n\r\n")
        assert (await client.reply()).status == 401
        await client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await client.ended()


async def test_a_client_that_leaves_breaks_its_upload():
    async with upload_server() as (taker, client):
        taker.go.set()
        await client.send(HEAD + b"Content-Length: 100\r\n\r\nabc")
        await until(lambda: taker.uploads and taker.uploads[0].received)
        client.abort()
        await until(lambda: taker.uploads[0].broken is not None)
        with pytest.raises(UploadBroken):
            await anext(taker.uploads[0])


async def test_bytes_that_are_no_chunk_break_the_upload_and_get_one_reply():
    async with upload_server() as (taker, client):
        taker.go.set()
        await client.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n", b"nonsense\r\n")
        assert (await client.reply()).status == 400
        assert await client.ended()
        await taker.done.wait()


async def test_a_body_that_stops_arriving_breaks_the_upload():
    async with upload_server(HttpLimits(body_timeout=0.1)) as (taker, client):
        taker.go.set()
        await client.send(HEAD + b"Content-Length: 100\r\n\r\nabc")
        assert (await client.reply()).status == 408
        await taker.done.wait()
        assert taker.broken


async def test_a_stream_of_known_length_is_sent_as_it_is():
    async with upload_server() as (_taker, client):
        await client.send(b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n")
        reply = await client.reply()
        assert (reply.body, reply.headers["content-length"]) == (b"abcabcabc", "9")
        assert "transfer-encoding" not in reply.headers
        await client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await client.reply()).body == b"hello"


async def test_a_stream_that_is_shorter_than_it_said_cuts_the_connection(caplog):
    async with upload_server() as (_taker, client):
        await client.send(b"GET /short HTTP/1.1\r\nHost: x\r\n\r\n")
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await client.reply()
    assert "a streamed reply failed" in caplog.text
