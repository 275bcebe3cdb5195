"""VM.import: a VM comes from a URL whole, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from action_server import Site, action_server
from http_client import raw_server
from sim_api import refused

from xenapi_core.errors import ApiError
from xenapi_core.ids import NULL_REF
from xenapi_core.server.download import download
from xenapi_core.server.outgoing import forbidden
from xenapi_core.testing.pool import GIB, TEST_CALLER

MIB = 1 << 20
DATA = b"what is on the disk" * 1000


async def machine(site: Site) -> str:
    """A VM with a disk that has something on it."""
    pool = site.pool
    vm = pool.add_vm("traveller", disks=0)
    disk = pool.add_vdi(8 * MIB, name_label="data")
    pool.add("VBD", **pool.vbd_values(vm, disk, "0"))
    assert (await site.root("PUT", f"/import_raw_vdi?vdi={disk}", DATA)).status == 200
    return vm


async def export_url(site: Site, vm: str) -> str:
    session = await site.login()
    return f"http://127.0.0.1:{site.listener.port}/export?uuid={site.pool.store.get(vm)['uuid']}&session_id={session}"


@asynccontextmanager
async def two_sites() -> AsyncIterator[tuple[Site, Site]]:
    """Servers of two pools."""
    async with action_server() as first, action_server(seed="another pool") as second:
        yield first, second


@asynccontextmanager
async def answering(reply: bytes) -> AsyncIterator[str]:
    """The URL of a server that answers everything with these bytes and closes."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply)
        await writer.drain()

    async with raw_server(answer) as port:
        yield f"http://127.0.0.1:{port}/vm.xva?session_id=hidden"


async def test_a_vm_arrives_from_the_export_of_another_server() -> None:
    async with two_sites() as (first, second):
        vm = await machine(first)
        sr = second.pool.add_sr("second", 10 * GIB)
        (made,) = await second.call("VM.import", await export_url(first, vm), sr, True, False)
        store = second.pool.store
        assert store.get(made)["uuid"] == first.pool.store.get(vm)["uuid"]
        (vbd,) = store.related(made, "VBDs")
        disk = store.get(store.get(vbd)["VDI"])
        assert (disk["name_label"], disk["SR"]) == ("data", sr)
        content = await second.root("GET", f"/export_raw_vdi?vdi={disk.ref}")
        assert content.body == DATA.ljust(8 * MIB, b"\0")


async def test_as_a_task_it_tells_the_vms_it_made() -> None:
    async with two_sites() as (first, second):
        url = await export_url(first, await machine(first))
        task = second.pool.engine.launch("VM.import", (url, NULL_REF, False, False), TEST_CALLER)
        async with asyncio.timeout(20):
            while second.pool.store.get(task)["status"] == "pending":
                await second.pool.clock.sleep(1.0)
        record = second.pool.store.get(task)
        assert (record["status"], record["progress"]) == ("success", 1.0)
        (made,) = second.pool.store.by_name("VM", "traveller")
        assert made in record["result"]


@pytest.mark.parametrize("url", ["", "ftp://host/x", "file:///etc/passwd", "http://", "http://h:0/", "http://[", "x"])
async def test_only_urls_of_http_are_taken(url: str) -> None:
    async with action_server() as site:
        code, name, _ = await refused(site.pool, "VM.import", url, NULL_REF, False, False)
        assert (code, name) == ("INVALID_VALUE", "url")


def head(status: str, length: int, more: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{more}\r\n".encode()


REPLIES: list[Any] = [
    (head("404 Not Found", 0), "IMPORT_ERROR"),
    (head("302 Found", 0, "Location: http://127.0.0.1/\r\n"), "IMPORT_ERROR"),
    (b"no HTTP\r\n\r\n", "IMPORT_ERROR"),
    (b"", "IMPORT_ERROR"),
    (head("200 OK", 600) + b"x" * 600, "IMPORT_ERROR"),
    (head("200 OK", 600) + b"x" * 20, "IMPORT_ERROR_PREMATURE_EOF"),
    (head("200 OK", 0), "IMPORT_ERROR_PREMATURE_EOF"),
]


@pytest.mark.parametrize(("reply", "code"), REPLIES)
async def test_what_is_no_export_is_refused_without_telling_the_url(reply: bytes, code: str) -> None:
    async with action_server() as site:
        async with answering(reply) as url:
            told = await refused(site.pool, "VM.import", url, NULL_REF, False, False)
        assert told[0] == code
        assert "hidden" not in str(told)


async def test_an_export_that_breaks_off_leaves_nothing_behind() -> None:
    async with two_sites() as (first, second):
        vm = first.pool.store.get(await machine(first))
        archive = (await first.root("GET", f"/export?uuid={vm['uuid']}")).body
        before = second.pool.picture()
        async with answering(head("200 OK", len(archive)) + archive[: len(archive) - MIB // 2]) as url:
            told = await refused(second.pool, "VM.import", url, NULL_REF, False, False)
        assert told == ["IMPORT_ERROR_PREMATURE_EOF"]
        assert second.pool.picture() == before


ADDRESSES = [
    ("169.254.169.254", "link-local"),
    ("::ffff:169.254.169.254", "link-local"),
    ("64:ff9b::a9fe:a9fe", "link-local"),
    ("fe80::1%1", "link-local"),
    ("2002:a9fe:a9fe::1", "link-local"),  # 6to4
    ("::169.254.169.254", "link-local"),
    ("2001:0:4136:e378:8000:63bf:5601:5601", "link-local"),  # Teredo, where the address is written inverted
    ("64:ff9b:1::1", "local NAT64"),
    ("fd00:ec2::254", "metadata"),
    ("100.100.100.200", "metadata"),
    ("224.0.0.1", "multicast"),
    ("ff02::1", "multicast"),
    ("0.0.0.0", "unspecified"),
    ("::", "unspecified"),
    ("::ffff:0.0.0.0", "unspecified"),
    ("127.9.9.9", "loopback"),
    ("::1", "loopback"),
    ("::ffff:127.0.0.1", "loopback"),
    ("::127.0.0.1", "loopback"),
    ("2002:7f00:1::", "loopback"),
    ("192.0.2.7", ""),
    ("10.0.0.1", ""),
    ("2001:db8::1", ""),
    ("2002:c000:207::1", ""),
]


@pytest.mark.parametrize(("address", "reason"), ADDRESSES)
def test_addresses_that_are_nobodys_business_are_refused(address: str, reason: str) -> None:
    assert forbidden(address) == reason
    assert forbidden(address, loopback=True) == ("" if reason == "loopback" else reason)


async def fetched(url: str, loopback: bool) -> bytes:
    return b"".join([data async for data in download(url, loopback)])


URLS = ["http://169.254.169.254/latest", "https://[fe80::1]/", "http://0.0.0.0/", "http://[ff02::1]/", "http://[::]/"]
SPELLED = ["http://127.0.0.1:{}/", "http://localhost:{}/", "http://[::ffff:7f00:1]:{}/"]


@pytest.mark.parametrize("url", URLS)
async def test_no_request_goes_to_a_forbidden_address(url: str) -> None:
    with pytest.raises(ApiError) as failure:
        await fetched(url.replace("//", "//user:hidden@"), True)
    assert (failure.value.code, failure.value.params[0]) == ("INVALID_VALUE", "url")
    assert "hidden" not in str(failure.value)


@pytest.mark.parametrize("spelled", SPELLED)
async def test_loopback_is_reached_only_by_servers_that_are_alone_there(spelled: str) -> None:
    async with answering(head("200 OK", 4) + b"body") as url:
        url = spelled.format(url.split(":")[2].partition("/")[0])
        assert await fetched(url, True) == b"body"
        with pytest.raises(ApiError) as failure:
            await fetched(url, False)
        assert failure.value.description == [
            "INVALID_VALUE", "url", "The server has a loopback address, which is not asked.",
        ]  # fmt: skip
