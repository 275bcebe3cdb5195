"""Long replies: on their way before their end is made, no faster than the client reads, given up when it is gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
import pywbem
from cim_kit import NAMESPACE, World, basic, graph, intrinsic, ipv
from http_client import Client
from lxml import etree

from cim_provider.operations.api import Operation, Reply
from cim_provider.schema.objects import Path
from cim_provider.service import LARGE
from cim_provider.wire.encode import encoder_of
from xenapi_core.clock import FEW, GROWN, Slices
from xenapi_core.server.listener import Listener, listen_tcp

ASKED = ipv("ClassName", '<CLASSNAME NAME="T_Part"/>')


class Many:
    """EnumerateInstances over `count` made-up instances of `size` characters; `made` tells how many were written."""

    def __init__(self, count: int, size: int = 0) -> None:
        self.count, self.size, self.made = count, size, 0
        self.fails_at = -1
        self.closed = False
        self.slices = Slices(few=FEW)

    def pieces(self) -> Iterator[bytes]:
        encoder = encoder_of(graph())
        try:
            for number in range(self.count):
                if number == self.fails_at:
                    raise ZeroDivisionError
                self.made += 1
                path = Path.of("T_Part", {"Id": str(number)}, "root/cimv2")
                values = {"Id": str(number), "Tags": ("x" * self.size,)}
                yield encoder.named_instance(path, encoder.instance("T_Part", values))
        finally:
            self.closed = True

    def enumerate(self, op: Operation) -> Reply:
        values, growing = self.slices.grow(self.pieces())
        return Reply(values, growing=growing)


def request(version: str = "1.1") -> bytes:
    body = intrinsic("EnumerateInstances", ASKED, NAMESPACE)
    return (
        f"POST /cimom HTTP/{version}\r\nHost: x\r\nAuthorization: {basic()}\r\nContent-Type: text/xml\r\n"
        "CIMOperation: MethodCall\r\nCIMMethod: EnumerateInstances\r\nCIMObject: root/cimv2\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


@asynccontextmanager
async def serving(many: Many) -> AsyncIterator[tuple[Listener, World]]:
    world = World()
    world.app.routes[0].handler.__self__.operations["EnumerateInstances"] = many.enumerate
    listener = await listen_tcp(world.app, "127.0.0.1", 0)
    try:
        yield listener, world
    finally:
        await listener.close()


async def client(listener: Listener, limit: int = 2**16) -> Client:
    return Client(*await asyncio.open_connection("127.0.0.1", listener.port, limit=limit))


async def chunks(reader: asyncio.StreamReader) -> list[bytes]:
    found = []
    while size := int(await reader.readuntil(b"\r\n"), 16):
        found.append(await reader.readexactly(size))
        await reader.readexactly(2)
    assert await reader.readexactly(2) == b"\r\n"
    return found


def numbers(body: bytes) -> list[str]:
    return [name.findtext("KEYBINDING/KEYVALUE") for name in etree.fromstring(body).iter("INSTANCENAME")]


async def test_a_long_reply_is_chunked_and_complete_and_the_connection_goes_on():
    many = Many(5000)
    async with serving(many) as (listener, _):
        one = await client(listener)
        for _ in range(2):
            await one.send(request())
            status, headers = await one.head()
            assert (status, headers.get("transfer-encoding"), "content-length" in headers) == (
                200,
                "chunked",
                False,
            )
            parts = await chunks(one.reader)
            assert len(parts) > 2
            assert numbers(b"".join(parts)) == [str(n) for n in range(5000)]
        one.writer.close()


@pytest.mark.parametrize("count", [0, 1, FEW - 1])
async def test_a_short_reply_tells_its_length(count):
    async with serving(Many(count)) as (listener, _):
        one = await client(listener)
        await one.send(request())
        status, headers = await one.head()
        body = await one.reader.readexactly(int(headers["content-length"]))
        assert (status, numbers(body)) == (200, [str(n) for n in range(count)])
        one.writer.close()


async def test_a_client_of_http_1_0_gets_the_length_of_a_long_reply():
    async with serving(Many(3000)) as (listener, _):
        one = await client(listener)
        await one.send(request("1.0"))
        _, headers = await one.head()
        assert "transfer-encoding" not in headers
        body = await one.reader.readexactly(int(headers["content-length"]))
        assert len(numbers(body)) == 3000
        one.writer.close()


async def test_a_client_that_does_not_read_has_little_made_for_it_and_nothing_once_it_is_gone():
    many = Many(10**9, size=2000)
    async with serving(many) as (listener, _):
        _, writer = await asyncio.open_connection("127.0.0.1", listener.port, limit=1024)
        writer.transport.pause_reading()
        writer.write(request())
        connections = listener.service.connections
        while not (connections and all(c._stalled for c in connections)):  # noqa: ASYNC110 - until it is stuck
            await asyncio.sleep(0)
        stuck = many.made
        for _ in range(50):
            await asyncio.sleep(0)
        assert many.made <= stuck + GROWN // 2000
        writer.transport.abort()
        while not many.closed:  # noqa: ASYNC110 - until the server has noticed
            await asyncio.sleep(0.001)
        assert many.made <= stuck + 2 * GROWN // 2000
        other = await client(listener)
        await other.send(request().replace(b"EnumerateInstances", b"EnumerateClassXXXX"))
        assert (await other.head())[0] == 200
        other.writer.close()


async def test_a_reply_that_breaks_off_is_cut_and_not_ended(caplog):
    many = Many(5000)
    many.fails_at = 4000
    async with serving(many) as (listener, _):
        one = await client(listener)
        await one.send(request())
        assert (await one.head())[0] == 200
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await chunks(one.reader)
        one.writer.close()
    assert "ZeroDivisionError" in caplog.text


async def test_a_reply_that_is_there_already_is_sent_in_pieces_with_its_length():
    world = World()
    body = b"<X>" + b"y" * (3 * LARGE) + b"</X>"
    world.app.routes[0].handler.__self__.operations["EnumerateInstances"] = lambda op: Reply([body, body])
    listener = await listen_tcp(world.app, "127.0.0.1", 0)
    one = await client(listener)
    for _ in range(2):
        await one.send(request())
        _, headers = await one.head()
        found = await one.reader.readexactly(int(headers["content-length"]))
        assert found.count(body) == 2
        assert found.endswith(b"</CIM>")
    one.writer.close()
    await listener.close()


async def test_pywbem_reads_a_chunked_reply():
    async with serving(Many(2000)) as (listener, _):
        url = f"http://127.0.0.1:{listener.port}"

        def ask() -> list[pywbem.CIMInstance]:
            with pywbem.WBEMConnection(url, ("admin", "päss:word"), default_namespace="root/cimv2") as connection:
                return connection.EnumerateInstances("T_Part")

        found = await asyncio.to_thread(ask)
        assert [i["Id"] for i in found] == [str(n) for n in range(2000)]
