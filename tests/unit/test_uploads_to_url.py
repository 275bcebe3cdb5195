"""host_crashdump.upload and host.bugreport_upload: what is sent to a URL that a client named, and what is not."""

from __future__ import annotations

import asyncio
import io
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import orjson
import pytest
from action_server import Site, action_server
from http_client import raw_server
from sim_api import refused

from xenapi_core.errors import ApiError
from xenapi_core.server.outgoing import send
from xenapi_core.testing.pool import TEST_CALLER

TAKEN = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"
BOTH = ["dump", "report"]


@dataclass
class Receiver:
    """A web server that takes one upload. `after`: how many bytes of it are read before the reply; None: all."""

    reply: bytes = TAKEN
    after: int | None = None
    url: str = ""
    head: str = ""
    body: bytearray = field(default_factory=bytearray)

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = int(self.head.lower().split("content-length: ")[1].split("\r\n")[0])
        length = length if self.after is None else self.after
        while len(self.body) < length and (data := await reader.read(1 << 20)):
            self.body += data
        writer.write(self.reply)
        await writer.drain()


@asynccontextmanager
async def receiving(reply: bytes = TAKEN, after: int | None = None) -> AsyncIterator[Receiver]:
    receiver = Receiver(reply, after)
    async with raw_server(receiver.take) as port:
        receiver.url = f"http://127.0.0.1:{port}/drop/file?token=hidden"
        yield receiver


async def crashed(site: Site) -> str:
    """A dump that the host saved of its crash."""
    pool = site.pool
    pool.sim.hosts[pool.store.get(pool.hosts[0])["uuid"]].crash()
    async with asyncio.timeout(20):
        while not pool.store.all("host_crashdump"):
            await pool.clock.sleep(1.0)
    (dump,) = pool.store.all("host_crashdump")
    return dump


async def message(site: Site, kind: str) -> tuple[str, str]:
    """The message that sends a dump, or a report; and of what."""
    if kind == "dump":
        return "host_crashdump.upload", await crashed(site)
    return "host.bugreport_upload", site.pool.hosts[0]


async def test_a_crash_dump_is_sent_as_it_is() -> None:
    async with action_server() as site:
        dump = await crashed(site)
        record = site.pool.store.get(dump)
        async with receiving() as receiver:
            await site.call("host_crashdump.upload", dump, receiver.url, {})
        assert receiver.head.startswith("PUT /drop/file?token=hidden HTTP/1.1\r\n")
        assert len(receiver.body) == record["size"]
        line = f"simulated memory of h0, saved as {record['filename']}\n".encode()
        assert receiver.body[: len(line) + 1] == line + b"\0"
        assert site.pool.store.find(dump) is not None


async def test_a_dump_that_is_gone_from_its_host_is_not_sent() -> None:
    async with action_server() as site:
        dump = await crashed(site)
        site.pool.sim.hosts[site.pool.store.get(site.pool.hosts[0])["uuid"]].dumps.clear()
        async with receiving() as receiver:
            told = await refused(site.pool, "host_crashdump.upload", dump, receiver.url, {})
        assert told == ["HANDLE_INVALID", "host_crashdump", dump]


async def test_a_report_holds_the_log_and_records_and_no_passwords() -> None:
    async with action_server() as site:
        pool = site.pool
        host = pool.hosts[0]
        pool.change(
            host, external_auth_configuration={"pass": "hidden"}, other_config={"word": "hidden"},
            power_on_config={"power_on_password_secret": "hidden"},
        )  # fmt: skip
        for pbd in pool.store.related(host, "PBDs"):
            pool.change(pbd, device_config={"chappassword": "hidden"})
        await site.call("host.set_iscsi_iqn", host, "iqn.2026-01.org.example:h0")
        await site.call("host.send_debug_keys", host, "h")
        async with receiving() as receiver:
            await site.call("host.bugreport_upload", host, receiver.url, {})
        with tarfile.open(fileobj=io.BytesIO(receiver.body)) as archive:
            names = archive.getnames()
            files = {name: archive.extractfile(name).read() for name in names}  # type: ignore[union-attr]
        assert names == [f"bugreport/{name}" for name in ("host.log", "hypervisor.log", "records.json")]
        assert b"iqn.2026-01.org.example:h0" in files["bugreport/host.log"]
        assert b"'h' pressed" in files["bugreport/hypervisor.log"]
        records = orjson.loads(files["bugreport/records.json"])
        assert records["host"][0]["uuid"] == pool.store.get(host)["uuid"]
        assert [pif["device"] for pif in records["PIF"]] == ["eth0"]
        assert len(records["PBD"]) == len(pool.store.related(host, "PBDs"))
        assert b"hidden" not in receiver.body


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("url", ["", "ftp://support.example/uploads/", "http://", "x"])
async def test_nothing_is_sent_without_a_url_of_http(kind: str, url: str) -> None:
    async with action_server() as site:
        name, ref = await message(site, kind)
        assert (await refused(site.pool, name, ref, url, {}))[:2] == ["INVALID_VALUE", "url"]
        told = await refused(site.pool, name, ref, "http://web.example/", {"http_proxy": "http://127.0.0.1/"})
        assert told == ["INVALID_VALUE", "options", "http_proxy"]


REPLIES = [
    b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n",
    b"no HTTP\r\n\r\n",
    b"",
]


@pytest.mark.parametrize("reply", REPLIES)
@pytest.mark.parametrize("after", [None, 1000])
async def test_what_is_not_taken_is_told_without_the_url(reply: bytes, after: int | None) -> None:
    async with action_server() as site:
        async with receiving(reply, after) as receiver:
            told = await refused(site.pool, "host.bugreport_upload", site.pool.hosts[0], receiver.url, {})
        assert told[0] == "SYSTEM_STATUS_RETRIEVAL_FAILED"
        assert "hidden" not in str(told)


async def test_an_upload_that_is_cancelled_ends_in_the_middle() -> None:
    async with action_server() as site:
        dump = await crashed(site)
        begun, ended = asyncio.Event(), asyncio.Event()

        async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readexactly(1 << 20)
            begun.set()
            await ended.wait()

        async with raw_server(stall) as port:
            url = f"http://127.0.0.1:{port}/"
            engine = site.pool.engine
            task = engine.launch("host_crashdump.upload", (dump, url, {}), TEST_CALLER)
            await begun.wait()
            engine.cancel(task)
            async with asyncio.timeout(20):
                while site.pool.store.get(task)["status"] in ("pending", "cancelling"):
                    await site.pool.clock.sleep(1.0)
            ended.set()
        assert site.pool.store.get(task)["status"] == "cancelled"


@pytest.mark.parametrize("url", ["http://169.254.169.254/", "http://[fe80::1]/", "http://127.0.0.1:1/", "http://[::]/"])
async def test_nothing_is_sent_to_an_address_that_is_nobodys_business(url: str) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"data"

    with pytest.raises(ApiError) as failure:
        await send(url.replace("//", "//user:hidden@"), 4, body())
    assert failure.value.description[:2] == ["INVALID_VALUE", "url"]
    assert "hidden" not in str(failure.value)


async def test_an_upload_is_cancelled_while_it_waits_for_what_it_sends() -> None:
    waiting, ended = asyncio.Event(), asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"data"
        waiting.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with receiving() as receiver:
        sending = asyncio.ensure_future(send(receiver.url, 8, body(), loopback=True))
        await waiting.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await ended.wait()
