"""pool.send_test_post and pool.test_archive_target: a real POST by TLS, whose reply comes back, and what is refused."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from action_server import action_server
from authority import Issued, issue
from http_client import raw_server
from sim_api import refused

from xenapi_core.clock import RealClock
from xenapi_core.errors import ApiError
from xenapi_core.server.outgoing import post
from xenapi_core.testing.pool import sim_pool

NOW = RealClock().now()
CA = issue("authority", NOW, authority=True)
HERE = issue("127.0.0.1", NOW, CA)
STRANGER = issue("127.0.0.1", NOW)

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def replying(reply: bytes, heard: list[bytes]) -> Answer:
    """Read one request with its body, keep it, and reply."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        heard.append(head + await reader.readexactly(length))
        writer.write(reply)
        await writer.drain()

    return answer


@asynccontextmanager
async def listening(answer: Answer, directory: Path, shown: Issued = HERE) -> AsyncIterator[int]:
    file = directory / "shown.pem"
    file.write_text(shown.pem + shown.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    async with raw_server(answer, context) as port:
        yield port


def message(status: str, body: bytes, *headers: str) -> bytes:
    head = "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers))
    return head.encode() + b"\r\n" + body


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (message("200 OK", "grüße".encode()), "grüße"),
        (message("200 OK", b"\xff?"), "\ufffd?"),
        (message("404 Not Found", b"no such page"), "no such page"),
        (message("302 Found", b"go on", "Location: https://127.0.0.1:1/elsewhere"), "go on"),
    ],
    ids=["text", "other bytes", "an error", "a redirect"],
)
async def test_what_the_server_replies_comes_back(reply: bytes, told: str, tmp_path: Path) -> None:
    async with action_server() as site:
        heard: list[bytes] = []
        await site.call("pool.install_ca_certificate", "own.pem", CA.pem)
        async with listening(replying(reply, heard), tmp_path) as port:
            assert await site.call("pool.send_test_post", "127.0.0.1", port, "body with ä") == told
        (request,) = heard
        assert request.startswith(b"POST / HTTP/1.1\r\n")
        assert f"host: 127.0.0.1:{port}\r\n".encode() in request.lower()
        assert request.endswith("\r\n\r\nbody with ä".encode())


async def test_a_server_that_cannot_prove_who_it_is_is_sent_nothing(tmp_path: Path) -> None:
    async with action_server() as site:
        heard: list[bytes] = []
        await site.call("pool.install_ca_certificate", "own.pem", CA.pem)
        async with listening(replying(message("200 OK", b""), heard), tmp_path, STRANGER) as port:
            told = await refused(site.pool, "pool.send_test_post", "127.0.0.1", port, "x")
        assert (told[0], heard) == ("SSL_VERIFY_ERROR", [])
        assert "self-signed" in told[1]


async def test_a_server_that_is_not_there_or_speaks_no_tls_cannot_be_contacted() -> None:
    async with action_server() as site:

        async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)

        async with raw_server(hang_up) as port:
            told = await refused(site.pool, "pool.send_test_post", "127.0.0.1", port, "x")
        assert told == ["CANNOT_CONTACT_HOST", "127.0.0.1"]
        told = await refused(site.pool, "pool.send_test_post", "127.0.0.1", port, "x")
        assert told == ["CANNOT_CONTACT_HOST", "127.0.0.1"]


@pytest.mark.parametrize(
    ("host", "port", "told"),
    [
        ("127.0.0.1", 0, ["port", "0"]),
        ("127.0.0.1", 65536, ["port", "65536"]),
        ("", 443, ["host", "It is neither a name nor an address."]),
        ("a.example/path", 443, ["host", "It is neither a name nor an address."]),
        ("user@a.example", 443, ["host", "It is neither a name nor an address."]),
        ("a.example:80", 443, ["host", "It is neither a name nor an address."]),
        ("169.254.169.254", 443, ["host", "The server has a link-local address, which is not asked."]),
        ("[ff02::1]", 443, ["host", "The server has a multicast address, which is not asked."]),
    ],
)
async def test_places_that_are_not_asked_are_refused(host: str, port: int, told: list[str]) -> None:
    async with action_server() as site:
        assert await refused(site.pool, "pool.send_test_post", host, port, "x") == ["INVALID_VALUE", *told]


async def test_a_server_that_never_replies_is_given_up(tmp_path: Path) -> None:
    given_up = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await given_up.wait()

    async with raw_server(silent) as port:
        with pytest.raises(ApiError) as failure:
            await post(f"http://127.0.0.1:{port}/", b"x", loopback=True, seconds=0.05)
        given_up.set()
    assert failure.value.description == ["WLB_TIMEOUT", "0.05"]


async def test_a_reply_that_is_too_long_is_not_taken() -> None:
    async with raw_server(replying(message("200 OK", bytes((1 << 20) + 1)), [])) as port:
        with pytest.raises(ApiError) as failure:
            await post(f"http://127.0.0.1:{port}/", b"x", loopback=True)
    assert failure.value.description == ["OPERATION_NOT_ALLOWED", "The reply is longer than 1048576 bytes."]


async def test_a_process_that_reaches_no_other_server_says_so() -> None:
    async with sim_pool() as pool:
        told = await refused(pool, "pool.send_test_post", "a.example", 443, "x")
        assert told == ["NOT_IMPLEMENTED", "pool.send_test_post"]


async def test_archive_targets_are_a_message_that_was_removed() -> None:
    async with sim_pool() as pool:
        ref = next(iter(pool.store.all("pool")))
        assert await refused(pool, "pool.test_archive_target", ref, {"type": "nfs"}) == ["MESSAGE_REMOVED"]
