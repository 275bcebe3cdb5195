"""What broken and hostile clients do to a listening server: it answers or ends them, and serves the next one."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest
from http_client import BIG, DEADLINE, LOOPS, Probe, alive, connected, get, post, serving, until

from xenapi_core.server.service import HttpLimits

HOUR = 3600.0
QUICK = HttpLimits(
    header_timeout=0.2, body_timeout=0.2, idle_timeout=0.4, write_timeout=0.3, linger_timeout=0.2, max_header=4096
)


@pytest.fixture(params=sorted(LOOPS))
def loop(request):
    return request.param


@asynccontextmanager
async def probed_server(limits=QUICK):
    """A probe endpoint that must answer at the end, and have let go of everybody."""
    probe = Probe()
    async with serving(probe.app(), limits) as listener:
        yield listener, probe
        assert await alive(listener)
        await until(lambda: not listener.service.connections and not listener.service.tasks)  # nobody is left behind


async def test_a_request_may_come_byte_by_byte(loop):
    async with probed_server(HttpLimits(max_header=200)) as (listener, _probe):
        data = post(b"slow body", headers="X-Name: value\r\n")
        async with connected(listener) as client:
            await client.send(*(data[i : i + 1] for i in range(len(data))))
            assert (await client.reply()).body == b"slow body"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS greeting", 400),
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: bare-newlines\n\n", 400),
        (b"GET / HTTP/1.1\r\nHost : space-before-colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: nul\0\r\n\r\n", 400),
        (b"GET /\xff\xfe HTTP/1.1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 1e3\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 505),
        (b"GET /\r\n\r\n", 505),
        (b"M-POST / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
    ],
)
async def test_what_is_not_http_is_answered_once_and_ended(data, status):
    async with probed_server() as (listener, probe):
        async with connected(listener) as client:
            await client.send(data)
            reply = await client.reply()
            assert (reply.status, reply.headers["connection"]) == (status, "close")
            assert await client.ended()
        assert probe.requests == []


@pytest.mark.parametrize(
    "framing",
    [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5, 6\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    ],
)
async def test_an_ambiguous_length_hides_no_second_request(framing):
    async with probed_server() as (listener, probe):
        async with connected(listener) as client:
            await client.send(get("/", method="POST", headers=framing) + b"0\r\n\r\n" + post(b"hidden"))
            assert (await client.reply()).status in (400, 501)
            assert await client.ended()
        assert probe.requests == []


async def test_chunked_is_no_coding_of_http_1_0():
    async with probed_server() as (listener, probe):
        async with connected(listener) as client:
            data = get("/", method="POST", version="1.0", headers="Transfer-Encoding: chunked\r\n")
            assert (await client.ask(data + b"1\r\na\r\n0\r\n\r\n")).status == 400
        assert probe.requests == []


async def test_replies_before_an_error_are_sent_first(loop):
    async with probed_server() as (listener, probe):
        async with connected(listener) as client:
            await client.send(post(b"1") + post(b"2", "/later") + b"garbage\r\n\r\n" + post(b"3"))
            assert (await client.reply()).body == b"1"
            await probe.started.wait()
            probe.release.set()
            assert (await client.reply()).body == b"late:2"
            assert (await client.reply()).status == 400
            assert await client.ended()
        assert len(probe.requests) == 2


@pytest.mark.parametrize(
    "data",
    [
        b"GET /" + b"a" * 8000 + b" HTTP/1.1\r\n\r\n",
        get("/hello", headers="X: " + "a" * 8000 + "\r\n"),
        get("/hello", headers="X: a\r\n" * 2000),
        b"GET /" + b"a" * 20_000,
        b"GET / HTTP/1.1\r\nX: " + b"a" * 20_000,
        b"GET / HTTP/1.1\r\n" + b"X" * 20_000,
        get("/", method="POST", headers="Transfer-Encoding: chunked\r\n") + b"0\r\n" + b"X: y\r\n" * 2000,
    ],
)
async def test_headers_are_bounded(data):
    async with probed_server() as (listener, _probe), connected(listener) as client:
        half = len(data) // 2
        await client.send(data[:half], data[half:])
        assert (await client.reply()).status == 431
        assert await client.ended()


async def test_an_endless_trailer_is_ended():
    async with (
        probed_server(limits=HttpLimits(max_header=4096, max_discarded=100_000, linger_timeout=0.2)) as (
            listener,
            _probe,
        ),
        connected(listener) as client,
    ):
        await client.send(get("/", method="POST", headers="Transfer-Encoding: chunked\r\n") + b"0\r\nX-Trailer: ")
        with suppress(ConnectionError):
            while True:  # until the server does not take it any more
                await client.send(b"a" * 4096)


@pytest.mark.parametrize(
    "data",
    [
        post(b"x" * 1001),
        get("/", method="POST", headers="Content-Length: 1000000000\r\n"),
        get("/", method="POST", headers="Transfer-Encoding: chunked\r\n")
        + b"200\r\n"
        + b"x" * 512
        + b"\r\n200\r\n"
        + b"x" * 512,
    ],
)
async def test_bodies_are_bounded_by_the_route(data):
    async with probed_server() as (listener, probe):
        async with connected(listener) as client:
            assert (await client.ask(data)).status == 413
            assert await client.ended()
        assert probe.requests == []


async def test_the_reply_to_a_refused_body_survives_the_rest_of_the_body(loop):
    async with probed_server() as (listener, _probe), connected(listener) as client:
        client.writer.write(get("/", method="POST", headers="Content-Length: 3000000\r\n") + b"x" * 3_000_000)
        assert (await client.reply()).status == 413
        assert await client.ended()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"GET /hello HTTP/1.1\r\nHost", b"HTTP/1.1 408 "),
        (b"P", b"HTTP/1.1 408 "),
        (get("/", method="POST", headers="Content-Length: 10\r\n") + b"half", b"HTTP/1.1 408 "),
        (get("/", method="POST", headers="Transfer-Encoding: chunked\r\n") + b"a;", b"HTTP/1.1 408 "),
        (b"", b""),
        (b"\r\n\r\n\r\n", b""),
    ],
)
async def test_a_request_that_does_not_go_on_is_ended(data, expected, loop):
    async with probed_server() as (listener, _probe), connected(listener) as client:
        await client.send(data)
        answer = await client.reader.read()
        assert answer.startswith(expected)
        assert bool(answer) == bool(expected)


async def test_headers_dripping_in_do_not_keep_a_connection():
    async with (
        probed_server(limits=HttpLimits(header_timeout=0.2, linger_timeout=0.2, max_header=1 << 20)) as (
            listener,
            _probe,
        ),
        connected(listener) as client,
    ):
        ended = asyncio.ensure_future(client.reader.read())
        await client.send(b"GET / HTTP/1.1\r\n")
        while not ended.done():
            client.writer.write(b"X-Drip: 1\r\n")
            await asyncio.wait([ended], timeout=0.02)
        assert ended.result().startswith(b"HTTP/1.1 408 ")


async def test_an_idle_connection_is_ended_without_a_word(loop):
    async with probed_server() as (listener, _probe), connected(listener) as client:
        assert (await client.ask(get("/hello"))).status == 200
        assert await client.ended()


async def test_many_half_open_connections_leave_room_for_the_next(loop):
    async with probed_server() as (listener, _probe):
        clients = [await asyncio.open_connection("127.0.0.1", listener.port) for _ in range(150)]
        for number, (_, writer) in enumerate(clients):
            writer.write((b"", b"G", b"POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\nhalf")[number % 3])
        assert await alive(listener)
        for reader, writer in clients:
            await reader.read()  # the server ends each of them
            writer.close()


async def test_a_client_that_vanishes_cancels_its_handler(loop):
    async with probed_server() as (listener, probe):
        async with connected(listener) as client:
            await client.send(post(b"1", "/later"))
            await probe.started.wait()
            assert not probe.requests[0].closed()
            client.abort()
            await probe.cancelled.wait()
        assert probe.requests[0].closed()


async def test_a_client_that_stops_sending_counts_as_gone(loop):
    async with probed_server() as (listener, probe), connected(listener) as client:
        await client.send(post(b"1", "/later"))
        await probe.started.wait()
        client.half_close()
        await probe.cancelled.wait()
        assert await client.ended()


async def test_a_client_that_vanishes_ends_its_stream(loop):
    async with probed_server() as (listener, probe), connected(listener) as client:
        await client.send(get("/endless"))
        await client.head()
        client.abort()
        await probe.stream_closed.wait()


async def test_a_client_that_vanishes_before_its_stream_begins_ends_it(loop):
    async with probed_server() as (listener, probe):

        def leave():
            for connection in tuple(listener.service.connections):
                connection.abort()

        probe.leave = leave
        async with connected(listener) as client:
            await client.send(get("/vanishing"))
            await probe.stream_closed.wait()
            assert await client.ended()


async def test_a_client_that_does_not_read_stops_the_stream_and_is_cut_off(loop):
    async with probed_server() as (listener, probe), connected(listener) as client:
        client.writer.transport.pause_reading()
        await client.send(get("/endless"))
        await probe.stream_closed.wait()
        held = 64 * 1024 * 1024  # far more than socket buffers, far less than the stream
        assert 0 < probe.streamed * 6000 < held


async def test_a_client_that_does_not_read_gets_no_further_requests_answered(loop):
    async with probed_server() as (listener, probe):
        async with connected(listener) as client:
            client.writer.transport.pause_reading()
            client.writer.write(get("/big") + get("/big") + post(b"x") * 50)
            most = 0

            def cut_off() -> bool:
                nonlocal most
                sizes = [connection._transport.get_write_buffer_size() for connection in listener.service.connections]
                most = max(most, *sizes, 0)
                return most > 0 and not sizes

            await until(cut_off)
            assert most < len(BIG) + 1000  # the second reply is not made while the first is not taken
        assert probe.requests == []


async def test_clients_that_read_nothing_are_cut_off_early_when_they_hold_too_much_together(loop):
    async with probed_server(
        HttpLimits(write_timeout=HOUR, short_timeout=0.2, linger_timeout=0.2, max_unread=len(BIG))
    ) as (listener, _probe):

        async def greedy(stack):
            client = await stack.enter_async_context(connected(listener))
            client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.writer.transport.pause_reading()
            client.writer.write(get("/big"))

        service = listener.service
        async with AsyncExitStack() as stack:
            await greedy(stack)
            await until(lambda: service.unread > 0)
            assert service.patience == service.limits.ticks(HOUR)  # one reply is not too much
            for _ in range(9):
                await greedy(stack)
            await until(lambda: 0 < len(service.connections) < 10)


async def test_more_pipelined_requests_than_allowed_end_the_connection(loop):
    async with (
        probed_server(HttpLimits(max_pipelined=8, linger_timeout=0.2)) as (listener, probe),
        connected(listener) as client,
    ):
        await client.send(post(b"1", "/later") + post(b"x") * 20)
        await probe.started.wait()
        probe.release.set()
        statuses = [(await client.reply()).status for _ in range(10)]
        assert statuses == [200] * 9 + [503]
        assert await client.ended()


async def test_a_thousand_pipelined_requests_are_all_answered(loop):
    async with probed_server(HttpLimits()) as (listener, _probe), connected(listener) as client:
        client.writer.write(b"".join(post(b"%d" % number) for number in range(1000)))
        for number in range(1000):
            assert (await client.reply()).body == b"%d" % number


def test_the_deadline_of_these_tests_is_longer_than_the_limits():
    assert max(QUICK.header_timeout, QUICK.body_timeout, QUICK.idle_timeout, QUICK.write_timeout) * 4 < DEADLINE
