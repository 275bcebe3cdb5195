"""The HTTP protocol class over real sockets: framing, order, keep-alive, expectations, streams, draining."""

from __future__ import annotations

import asyncio
import logging
import re
from contextlib import asynccontextmanager

import pytest
from http_client import BIG, LOOPS, Probe, alive, connected, get, post, serving, until

from xenapi_core.server.routes import App, Response, Route
from xenapi_core.server.service import HttpLimits


@pytest.fixture(params=sorted(LOOPS))
def loop(request):
    return request.param


@asynccontextmanager
async def probed_server(limits=None):
    """A probe endpoint that must still answer at the end."""
    probe = Probe()
    async with serving(probe.app(), limits) as listener:
        yield listener, probe
        assert await alive(listener)


async def test_a_body_comes_back_and_the_connection_stays_open(loop):
    async with probed_server() as (listener, _probe), connected(listener) as client:
        for body in (b"", b"one", b"x" * 1000):
            reply = await client.ask(post(body))
            assert (reply.status, reply.body) == (200, body)
            assert reply.headers == {
                "content-type": "text/plain", "connection": "keep-alive", "content-length": str(len(body))
            }  # fmt: skip


async def test_header_names_are_lower_case_and_repeated_headers_are_joined(loop):
    async with probed_server() as (listener, probe):
        async with connected(listener) as client:
            await client.ask(post(b"", "/x?y=1", headers="X-One: a\r\nUser-Agent: t\r\nX-ONE: b\r\n"))
        request = probe.requests[0]
        assert request.headers == {"host": "test", "content-length": "0", "x-one": "a, b", "user-agent": "t"}
        assert (request.method, request.path, request.query, request.version) == ("POST", "/x", "y=1", "1.1")
        assert request.peer.transport == "tcp"
        assert request.peer.address.startswith("127.0.0.1:")


@pytest.mark.parametrize(
    ("request_bytes", "kept"),
    [
        (get("/hello"), True),
        (get("/hello", headers="Connection: close\r\n"), False),
        (get("/hello", version="1.0"), False),
        (get("/hello", version="1.0", headers="Connection: keep-alive\r\n"), True),
    ],
)
async def test_keep_alive_follows_version_and_connection_header(request_bytes, kept):
    async with probed_server() as (listener, _probe), connected(listener) as client:
        reply = await client.ask(request_bytes)
        assert reply.headers["connection"] == ("keep-alive" if kept else "close")
        if kept:
            assert (await client.ask(request_bytes)).body == b"hello"
        else:
            assert await client.ended()


async def test_pipelined_requests_are_answered_in_order_also_behind_a_slow_one(loop):
    async with probed_server() as (listener, probe), connected(listener) as client:
        await client.send(post(b"1") + post(b"2", "/later") + post(b"3") + get("/nowhere") + post(b"5"))
        assert (await client.reply()).body == b"1"
        await probe.started.wait()
        assert len(probe.requests) == 2  # the third waits for its turn
        probe.release.set()
        assert [(await client.reply()).body for _ in range(4)] == [b"late:2", b"3", b"nothing here", b"5"]


async def test_chunked_bodies_are_decoded_and_trailers_ignored(loop):
    async with probed_server() as (listener, probe), connected(listener) as client:
        head = get("/x", method="POST", headers="Transfer-Encoding: Chunked\r\n")
        reply = await client.ask(head, b"4\r\nwiki\r\n", b"5;ext=1\r\npedia\r\n0\r\nX-Trailer: no\r\n\r\n")
        assert reply.body == b"wikipedia"
        assert "x-trailer" not in probe.requests[0].headers
        assert (await client.ask(post(b"next"))).body == b"next"


async def test_continue_is_sent_before_the_body_is_there(loop):
    async with probed_server() as (listener, _probe), connected(listener) as client:
        await client.send(get("/", method="POST", headers="Content-Length: 4\r\nExpect: 100-continue\r\n"))
        assert (await client.head()) == (100, {})
        assert (await client.ask(b"body")).body == b"body"


async def test_continue_waits_until_the_request_before_is_answered(loop):
    async with probed_server() as (listener, probe), connected(listener) as client:
        await client.send(
            post(b"1", "/later") + get("/", method="POST", headers="Content-Length: 1\r\nExpect: 100-continue\r\n")
        )
        await probe.started.wait()
        probe.release.set()
        assert (await client.reply()).body == b"late:1"
        assert (await client.head())[0] == 100
        assert (await client.ask(b"2")).body == b"2"


async def test_a_body_that_will_be_refused_is_not_asked_for():
    async with probed_server() as (listener, _probe), connected(listener) as client:
        await client.send(get("/", method="POST", headers="Content-Length: 5000\r\nExpect: 100-continue\r\n"))
        assert (await client.reply()).status == 413
        assert await client.ended()


async def test_head_has_the_length_but_no_body(loop):
    async with probed_server() as (listener, _probe), connected(listener) as client:
        await client.send(get("/hello", method="HEAD"))
        reply = await client.reply(head_only=True)
        assert reply.headers["content-length"] == "5"
        assert (await client.ask(get("/hello"))).body == b"hello"


async def test_replies_without_a_body_by_definition_have_no_length():
    app = App("t", (Route("GET", "/hello", lambda request: Response(204)),), lambda request: Response(404))
    async with serving(app) as listener, connected(listener) as client:
        for _ in range(2):
            reply = await client.ask(get("/hello"))
            assert reply.status == 204
            assert "content-length" not in reply.headers


async def test_large_replies_arrive_whole(loop):
    async with probed_server() as (listener, _probe), connected(listener) as client:
        await client.send(get("/big") + get("/big") + get("/hello"))
        assert (await client.reply()).body == BIG
        assert (await client.reply()).body == BIG
        assert (await client.reply()).body == b"hello"


async def test_streams_are_chunked_and_the_connection_goes_on(loop):
    async with probed_server() as (listener, _probe), connected(listener) as client:
        reply = await client.ask(get("/stream"))
        assert reply.headers["transfer-encoding"] == "chunked"
        assert reply.body == b"".join(b"%06d" % number * 1000 for number in range(20))
        assert (await client.ask(get("/hello"))).body == b"hello"


async def test_an_old_client_gets_a_stream_that_ends_with_the_connection(loop):
    async with probed_server() as (listener, _probe), connected(listener) as client:
        reply = await client.ask(get("/stream", version="1.0"))
        assert "transfer-encoding" not in reply.headers
        assert len(reply.body) == 20 * 6000


async def test_a_stream_that_breaks_cuts_the_connection_instead_of_looking_complete(loop, caplog):
    async with probed_server() as (listener, _probe), connected(listener) as client:
        await client.send(get("/broken"))
        await client.head()
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await client.reader.readuntil(b"0\r\n\r\n")
    assert "no second part" in caplog.text


@pytest.mark.parametrize("path", ["/boom", "/boom-later"])
async def test_a_failing_handler_is_logged_and_answered_with_the_same_id(path, loop, caplog):
    with caplog.at_level(logging.ERROR):
        async with probed_server() as (listener, _probe), connected(listener) as client:
            reply = await client.ask(get(path + "?session_id=secret"))
            assert reply.status == 500
            number = re.search(rb"Internal error ([0-9a-f]{8})\.", reply.body)
            assert number
            assert f"incident {number[1].decode()}: GET {path} failed" in caplog.text
            assert (await client.ask(get("/hello"))).body == b"hello"
    assert "secret" not in caplog.text


async def test_a_header_with_a_line_break_never_reaches_the_wire(caplog):
    async with probed_server() as (listener, _probe), connected(listener) as client:
        reply = await client.ask(get("/split"))
        assert reply.status == 500
        assert "set-cookie" not in reply.headers
    assert "line break" in caplog.text


async def test_an_offered_upgrade_is_not_taken_and_the_next_request_is_read(loop):
    async with probed_server() as (listener, _probe), connected(listener) as client:
        offer = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
        await client.send(get("/hello", headers=offer) + post(b"x", headers=offer) + post(b"y"))
        assert [(await client.reply()).body for _ in range(3)] == [b"hello", b"x", b"y"]
        head = get("/", method="POST", headers=offer + "Transfer-Encoding: chunked\r\n")
        await client.send(head, b"5\r\nGET /", b"\r\n0\r\n\r\n", get("/hello"))
        assert [(await client.reply()).body for _ in range(2)] == [b"GET /", b"hello"]


async def test_draining_finishes_what_is_in_progress_and_ends_idle_connections(loop):
    probe = Probe()
    async with serving(probe.app()) as listener, connected(listener) as idle, connected(listener) as working:
        assert (await idle.ask(get("/hello"))).status == 200
        await working.send(post(b"1", "/later"))
        await probe.started.wait()
        draining = asyncio.ensure_future(listener.drain(5))
        assert await idle.ended()
        assert not draining.done()
        with pytest.raises(OSError):
            async with connected(listener):
                pass
        probe.release.set()
        reply = await working.reply()
        assert (reply.body, reply.headers["connection"]) == (b"late:1", "close")
        await draining


async def test_draining_cuts_off_what_does_not_finish_in_time(loop, caplog):
    probe = Probe()
    async with serving(probe.app()) as listener, connected(listener) as client:
        await client.send(post(b"1", "/later"))
        await probe.started.wait()
        await listener.drain(0.05)
        assert probe.cancelled.is_set()
        assert await client.ended()
    assert "still busy" in caplog.text


async def test_a_listener_answers_no_more_connections_than_it_may():
    probe = Probe()
    async with serving(probe.app(), HttpLimits(max_connections=2)) as listener:
        async with connected(listener) as one, connected(listener) as two:
            assert (await one.ask(get("/hello"))).status == 200
            assert (await two.ask(get("/hello"))).status == 200
            async with connected(listener) as three:
                assert (await three.reply()).status == 503
                assert await three.ended()
            assert (await one.ask(get("/hello"))).status == 200
        await until(lambda: not listener.service.connections)
        assert await alive(listener)


async def test_a_tunnel_is_refused_and_nothing_after_the_request_is_read(loop):
    async with probed_server() as (listener, _probe), connected(listener) as client:
        await client.send(get("/x", method="CONNECT", headers="Upgrade: x\r\nContent-Length: 3\r\n") + get("/hello"))
        assert (await client.reply()).status == 404
        assert await client.ended()
