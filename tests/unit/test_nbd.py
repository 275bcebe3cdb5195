"""Disks over NBD: who gets which, what is refused and how, and what strangers may send."""

from __future__ import annotations

import asyncio
import random
import ssl
import struct
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from action_server import Site, action_server

from xenapi_core.clock import RealClock
from xenapi_core.server.nbd import NbdServer
from xenapi_core.server.tls import ensure_certificate, server_context
from xenapi_core.testing.faults import FaultRule, Faulty
from xenapi_core.wire import nbd

MIB = 1 << 20
SIZE = 4 * MIB
DATA = random.Random(5).randbytes(SIZE)
PATIENCE = 20.0


class Talk:
    """A client, which says what it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def read(self, size: int) -> bytes:
        async with asyncio.timeout(PATIENCE):
            return await self.reader.readexactly(size)

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def greet(self, flags: int = nbd.FIXED_NEWSTYLE | nbd.NO_ZEROES) -> None:
        assert await self.read(18) == b"NBDMAGICIHAVEOPT\x00\x03"
        await self.send(struct.pack(">I", flags))

    async def ask(self, number: int, data: bytes = b"") -> list[tuple[int, bytes]]:
        """The replies to an option, up to the one that ends it."""
        await self.send(nbd.OPTION_MAGIC + struct.pack(">II", number, len(data)) + data)
        replies: list[tuple[int, bytes]] = []
        while not replies or replies[-1][0] == 3:
            magic, told, kind, length = struct.unpack(">QIII", await self.read(20))
            assert (magic, told) == (0x3E889045565A9, number)
            replies.append((kind, await self.read(length)))
        return replies

    async def go(self, name: str, number: int = nbd.GO) -> list[tuple[int, bytes]]:
        data = name.encode()
        return await self.ask(number, struct.pack(">I", len(data)) + data + bytes(2))

    async def command(self, kind: int, offset: int = 0, length: int = 0, data: bytes = b"") -> tuple[int, bytes]:
        """The error of a command, and what it read."""
        await self.send(struct.pack(">IHHQQI", 0x25609513, 0, kind, 77, offset, length) + data)
        magic, error, cookie = struct.unpack(">IIQ", await self.read(16))
        assert (magic, cookie) == (0x67446698, 77)
        return error, await self.read(length) if kind == nbd.READ and not error else b""

    async def encrypt(self) -> None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        await self.writer.start_tls(context)

    async def ended(self) -> bool:
        """Whether nothing more comes; what the server left unread makes that a reset."""
        async with asyncio.timeout(PATIENCE):
            try:
                return await self.reader.read(1) == b""
            except ConnectionResetError:
                return True


Scene = tuple[Site, NbdServer, Callable[[], Coroutine[Any, Any, Talk]]]


@asynccontextmanager
async def nbd_site(purpose: str = "insecure_nbd", context: ssl.SSLContext | None = None) -> AsyncIterator[Scene]:
    """A site, its NBD server, and a function that connects to it."""
    async with action_server() as site:
        server = NbdServer(site.services, context)
        await server.listen("127.0.0.1", 0, None)
        if purpose:
            site.pool.change(site.pool.network, purpose=(purpose,))
        talks: list[Talk] = []

        async def connect() -> Talk:
            talks.append(Talk(*await asyncio.open_connection("127.0.0.1", server.port)))
            return talks[-1]

        try:
            yield site, server, connect
        finally:
            await server.close()
            for talk in talks:
                talk.writer.close()
        assert not any(vdi["current_operations"] for vdi in site.pool.store.all("VDI").values())


async def disk(site: Site, data: bytes = DATA) -> str:
    """A disk that holds `data`."""
    vdi = site.pool.add_vdi(SIZE)
    assert (await site.root("PUT", f"/import_raw_vdi?vdi={vdi}", data)).status == 200
    return vdi


async def export(site: Site, vdi: str, user: str = "root") -> str:
    return f"/{site.pool.store.get(vdi)['uuid']}?session_id={await site.login(user)}"


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    return server_context(*ensure_certificate(Path(tmp_path_factory.mktemp("tls")), ["127.0.0.1"], RealClock()))


async def test_what_the_disk_holds_is_read_and_it_is_claimed_meanwhile() -> None:
    async with nbd_site() as (site, _server, connect):
        vdi = await disk(site)
        talk = await connect()
        await talk.greet()
        replies = await talk.go(await export(site, vdi))
        assert replies[0] == (3, struct.pack(">HQH", 0, SIZE, 0x103))
        assert replies[-1] == (nbd.ACK, b"")
        assert set(site.pool.store.get(vdi)["current_operations"].values()) == {"copy"}
        assert await talk.command(nbd.READ, 0, SIZE) == (0, DATA)
        assert await talk.command(nbd.READ, SIZE - 3, 3) == (0, DATA[-3:])
        assert await talk.command(nbd.READ, 1000, 0) == (0, b"")
        await talk.send(struct.pack(">IHHQQI", 0x25609513, 0, nbd.DISCONNECT, 0, 0, 0))
        assert await talk.ended()


async def test_several_connections_read_one_disk() -> None:
    async with nbd_site() as (site, _server, connect):
        name = await export(site, await disk(site))
        talks = [await connect() for _ in range(3)]
        for talk in talks:
            await talk.greet()
            assert (await talk.go(name))[-1][0] == nbd.ACK
        for place, talk in enumerate(talks):
            assert await talk.command(nbd.READ, place * MIB, MIB) == (0, DATA[place * MIB : place * MIB + MIB])


async def test_the_older_way_to_ask_for_an_export_has_zeroes_unless_they_are_declined() -> None:
    async with nbd_site() as (site, _server, connect):
        name = (await export(site, await disk(site))).encode()
        for flags, zeroes in ((nbd.FIXED_NEWSTYLE, 124), (nbd.FIXED_NEWSTYLE | nbd.NO_ZEROES, 0)):
            talk = await connect()
            await talk.greet(flags)
            await talk.send(nbd.OPTION_MAGIC + struct.pack(">II", nbd.EXPORT_NAME, len(name)) + name)
            assert await talk.read(10 + zeroes) == struct.pack(">QH", SIZE, 0x103) + bytes(zeroes)
            assert await talk.command(nbd.READ, 5, 7) == (0, DATA[5:12])


@pytest.mark.parametrize(
    ("command", "error"),
    [
        ((nbd.WRITE, 0, 5, b"hello"), nbd.EPERM),
        ((nbd.TRIM, 0, 4096), nbd.EPERM),
        ((nbd.WRITE_ZEROES, 0, 4096), nbd.EPERM),
        ((nbd.READ, SIZE - 1, 2), nbd.EINVAL),
        ((nbd.READ, 0, (32 << 20) + 1), nbd.EINVAL),
        ((99,), nbd.EINVAL),
    ],
)
async def test_what_cannot_be_done_is_an_error_and_the_connection_goes_on(command: tuple[Any, ...], error: int) -> None:
    async with nbd_site() as (site, _server, connect):
        talk = await connect()
        await talk.greet()
        await talk.go(await export(site, await disk(site)))
        assert await talk.command(*command) == (error, b"")
        assert await talk.command(nbd.READ, 0, 4) == (0, DATA[:4])


async def test_a_disk_that_cannot_be_read_is_an_error_of_the_read() -> None:
    async with nbd_site() as (site, _server, connect):
        talk = await connect()
        await talk.greet()
        name = await export(site, await disk(site))
        storages = site.pool.engine.storages
        storages[site.pool.sr] = Faulty(storages[site.pool.sr], [FaultRule("read")], site.pool.clock)
        await talk.go(name)
        assert await talk.command(nbd.READ, 0, 4) == (nbd.EIO, b"")


async def test_who_asks_for_what_is_not_theirs_may_ask_again() -> None:
    async with nbd_site() as (site, _server, connect):
        vdi = await disk(site)
        good = await export(site, vdi)
        uuid = site.pool.store.get(vdi)["uuid"]
        talk = await connect()
        await talk.greet()
        refused = {
            "": nbd.POLICY,
            f"/{uuid}": nbd.POLICY,
            "//[?session_id=%ff": nbd.POLICY,
            good.replace(uuid, "//[" + uuid): nbd.UNKNOWN,
            f"/{uuid}?session_id=OpaqueRef:none": nbd.POLICY,
            await export(site, vdi, "vm-operator"): nbd.POLICY,
            good.replace(uuid, uuid[::-1]): nbd.UNKNOWN,
        }
        for name, kind in refused.items():
            ((told, text),) = await talk.go(name)
            assert told == kind
            assert b"OpaqueRef" not in text
        assert (await talk.ask(nbd.LIST))[0][0] == nbd.POLICY
        assert (await talk.ask(8))[0][0] == nbd.UNSUPPORTED
        assert (await talk.ask(nbd.STARTTLS))[0][0] == nbd.POLICY
        assert [kind for kind, _ in await talk.go(good, nbd.INFO)] == [3, 3, nbd.ACK]
        assert (await talk.go(good))[-1][0] == nbd.ACK
        assert await talk.command(nbd.READ, 0, 4) == (0, DATA[:4])


async def test_a_disk_that_a_running_machine_writes_to_is_not_lent() -> None:
    async with nbd_site() as (site, _server, connect):
        vdi = await disk(site)
        vm = site.pool.add_vm(disks=0)
        site.pool.add("VBD", VM=vm, VDI=vdi, mode="RW", type="Disk", currently_attached=True)
        talk = await connect()
        await talk.greet()
        for number in (nbd.INFO, nbd.GO):
            assert await talk.go(await export(site, vdi), number) == [(nbd.POLICY, b"VDI_IN_USE")]


async def test_without_a_network_for_it_nothing_is_exported() -> None:
    async with nbd_site(purpose="") as (site, _server, connect):
        talk = await connect()
        await talk.greet()
        assert (await talk.go(await export(site, await disk(site))))[0][0] == nbd.POLICY


async def test_a_network_for_nbd_wants_tls_first(context: ssl.SSLContext) -> None:
    async with nbd_site("nbd", context) as (site, _server, connect):
        name = await export(site, await disk(site))
        talk = await connect()
        await talk.greet()
        assert (await talk.go(name))[0][0] == nbd.TLS_REQUIRED
        assert (await talk.ask(nbd.STARTTLS, b"x"))[0][0] == nbd.INVALID
        assert (await talk.ask(nbd.STARTTLS))[0][0] == nbd.ACK
        await talk.encrypt()
        assert (await talk.ask(nbd.STARTTLS))[0][0] == nbd.INVALID
        assert (await talk.go(name))[-1][0] == nbd.ACK
        assert await talk.command(nbd.READ, 0, SIZE) == (0, DATA)


async def test_what_is_said_before_the_tls_handshake_is_not_said_after_it(context: ssl.SSLContext) -> None:
    async with nbd_site("nbd", context) as (_site, _server, connect):
        talk = await connect()
        await talk.greet()
        smuggled = nbd.OPTION_MAGIC + struct.pack(">II", nbd.LIST, 0)
        await talk.send(nbd.OPTION_MAGIC + struct.pack(">II", nbd.STARTTLS, 0) + smuggled)
        assert struct.unpack(">QIII", await talk.read(20))[2] == nbd.ACK
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await talk.encrypt()


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        struct.pack(">I", 1 << 20),
        struct.pack(">I", 3) + b"IWANTOPT" + bytes(8),
        struct.pack(">I", 3) + nbd.OPTION_MAGIC + struct.pack(">II", nbd.GO, 1 << 30),
        struct.pack(">I", 3) + nbd.OPTION_MAGIC + struct.pack(">II", nbd.GO, 3) + b"abc",
        struct.pack(">I", 3) + nbd.OPTION_MAGIC + struct.pack(">II", nbd.GO, 8) + b"\0\0\0\x02\xff\xff\0\0",
        struct.pack(">I", 3) + nbd.OPTION_MAGIC + struct.pack(">II", nbd.EXPORT_NAME, 4) + b"none",
    ],
    ids=["http", "flags", "magic", "endless option", "short option", "no utf-8", "unknown export"],
)
async def test_what_is_no_nbd_ends_the_connection_alone(said: bytes) -> None:
    async with nbd_site() as (site, _server, connect):
        other, talk = await connect(), await connect()
        await talk.read(18)
        await talk.send(said)
        assert await talk.ended()
        await other.greet()
        assert (await other.go(await export(site, await disk(site))))[-1][0] == nbd.ACK


async def test_a_request_that_makes_no_sense_and_an_endless_write_end_the_connection() -> None:
    async with nbd_site() as (site, _server, connect):
        name = await export(site, await disk(site))
        for head in (bytes(28), struct.pack(">IHHQQI", 0x25609513, 0, nbd.WRITE, 1, 0, 1 << 31)):
            talk = await connect()
            await talk.greet()
            await talk.go(name)
            await talk.send(head)
            assert await talk.ended()


async def test_a_logout_ends_the_connection() -> None:
    async with nbd_site() as (site, _server, connect):
        name = await export(site, await disk(site))
        talk = await connect()
        await talk.greet()
        await talk.go(name)
        site.sessions.end(name.partition("=")[2])
        await talk.send(struct.pack(">IHHQQI", 0x25609513, 0, nbd.READ, 1, 0, 4))
        assert await talk.ended()


async def test_the_end_of_the_server_ends_its_connections() -> None:
    async with nbd_site() as (site, server, connect):
        vdi = await disk(site)
        talk, idle = await connect(), await connect()
        await talk.greet()
        await talk.go(await export(site, vdi))
        await server.close()
        assert await talk.ended()
        assert await idle.read(18)
        assert await idle.ended()
        assert not site.pool.store.get(vdi)["current_operations"]
