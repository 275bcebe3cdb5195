"""Whole disks over HTTP: every form, uploads that break, clients that leave, and what other clients see meanwhile."""

from __future__ import annotations

import base64
import contextlib
import random
import struct
from collections.abc import AsyncIterator

import pytest
from action_server import Site, action_server
from http_client import Client, until

from xenapi_core.testing.faults import FaultRule, Faulty
from xenapi_core.wire import vhd

MIB = 1 << 20
SIZE = 6 * MIB
DATA = random.Random(1).randbytes(3 * MIB + 17)
HOLED = DATA[: MIB + 5] + bytes(SIZE - len(DATA)) + DATA[MIB + 5 :]  # a full disk with a hole in it


def url(action: str, vdi: str, **query: str) -> str:
    return f"/{action}_raw_vdi?vdi={vdi}" + "".join(f"&{name}={value}" for name, value in query.items())


def no_claims(site: Site, vdi: str) -> bool:
    return not site.pool.store.get(vdi)["current_operations"]


@contextlib.asynccontextmanager
async def half_sent(site: Site, vdi: str, task: str) -> AsyncIterator[Client]:
    """A client that has sent DATA of a disk of SIZE bytes, and has yet to send the rest; the disk is claimed."""
    path = url("import", vdi, session_id=await site.login(), task_id=task)
    async with site.client() as client:
        await client.send(f"PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {SIZE}\r\n\r\n".encode() + DATA)
        await until(lambda: not no_claims(site, vdi))
        yield client


async def test_what_is_written_raw_is_read_raw() -> None:
    async with action_server() as site:
        vdi = site.pool.add_vdi(SIZE)
        assert (await site.root("PUT", url("import", vdi), HOLED)).status == 200
        reply = await site.root("GET", url("export", vdi))
        assert reply.body == HOLED
        assert reply.headers["content-length"] == str(SIZE)
        assert site.pool.store.get(vdi)["physical_utilisation"] > 0
        assert (await site.root("PUT", url("import", vdi), b"front")).status == 200
        assert (await site.root("GET", url("export", vdi))).body == b"front" + HOLED[5:]


async def test_what_is_imported_after_a_snapshot_is_among_the_changed_blocks() -> None:
    async with action_server() as site:
        vdi = site.pool.add_vdi(SIZE)
        await site.root("PUT", url("import", vdi), DATA)
        await site.pool.call("VDI.enable_cbt", vdi)
        snapshot = await site.pool.call("VDI.snapshot", vdi)
        chunk = struct.pack("<QI", 5 * MIB, 3) + b"new" + struct.pack("<QI", 0, 0)
        assert (await site.root("PUT", url("import", vdi, chunked="true"), chunk)).status == 200
        bitmap = base64.b64decode(await site.pool.call("VDI.list_changed_blocks", snapshot, vdi))
        blocks = [8 * at + bit for at, byte in enumerate(bitmap) for bit in range(8) if byte & (0x80 >> bit)]
        assert blocks == [5 * MIB // 65536]


async def test_a_disk_is_named_by_its_uuid_too() -> None:
    async with action_server() as site:
        vdi = site.pool.add_vdi(2 * MIB)
        uuid = site.pool.store.get(vdi)["uuid"]
        assert (await site.root("PUT", url("import", uuid), b"hello")).status == 200
        assert (await site.root("GET", url("export", uuid))).body.startswith(b"hello\0")


async def test_a_vhd_moves_the_contents_to_another_disk() -> None:
    async with action_server() as site:
        source, target = site.pool.add_vdi(SIZE), site.pool.add_vdi(SIZE + 2 * MIB)
        await site.root("PUT", url("import", source), DATA)
        image = (await site.root("GET", url("export", source, format="vhd"))).body
        assert image.startswith(b"conectix")
        assert len(image) < SIZE
        assert (await site.root("PUT", url("import", target, format="vhd"), image)).status == 200
        assert (await site.root("GET", url("export", target))).body == DATA.ljust(SIZE + 2 * MIB, b"\0")


async def test_a_vhd_of_what_changed_since_a_snapshot_is_put_on_a_copy_of_it() -> None:
    async with action_server() as site:
        vdi = site.pool.add_vdi(SIZE)
        await site.root("PUT", url("import", vdi), DATA)
        snapshot = await site.pool.call("VDI.snapshot", vdi)
        copy = await site.pool.call("VDI.clone", snapshot)
        chunk = struct.pack("<QI", 5 * MIB, 3) + b"new" + struct.pack("<QI", 0, 4) + bytes(4) + struct.pack("<QI", 0, 0)
        await site.root("PUT", url("import", vdi, chunked="true"), chunk)
        now = (await site.root("GET", url("export", vdi))).body
        image = (await site.root("GET", url("export", vdi, format="vhd", base=snapshot))).body
        assert len(image) == vhd.length_of(SIZE, [0, 2])
        parent = site.pool.store.get(snapshot)["uuid"]
        assert image[512 + 40 : 512 + 56].hex() == parent.replace("-", "")
        assert (await site.root("PUT", url("import", copy, format="vhd"), image)).status == 200
        assert (await site.root("GET", url("export", copy))).body == now
        assert no_claims(site, snapshot)


async def test_differences_are_told_as_vhd_alone_and_from_disks_that_can_be_read() -> None:
    async with action_server() as site:
        vdi, base = site.pool.add_vdi(SIZE), site.pool.add_vdi(2 * MIB)
        await site.root("PUT", url("import", vdi), DATA)
        image = (await site.root("GET", url("export", vdi, format="vhd", base=base))).body
        assert len(image) == vhd.length_of(SIZE, [0, 1])
        assert b"INVALID_VALUE format raw" in (await site.root("GET", url("export", vdi, base=base))).body
        assert (await site.root("GET", url("export", vdi, format="vhd", base="OpaqueRef:none"))).status == 404
        vm = site.pool.add_vm(disks=0)
        site.pool.add("VBD", VM=vm, VDI=base, mode="RW", type="Disk", currently_attached=True)
        assert b"VDI_IN_USE" in (await site.root("GET", url("export", vdi, format="vhd", base=base))).body


async def test_chunks_go_where_they_say() -> None:
    async with action_server() as site:
        vdi = site.pool.add_vdi(SIZE)
        chunks = [(3 * MIB, DATA[:100]), (7, b"seven"), (MIB, DATA[: 2 * MIB])]
        body = b"".join(struct.pack("<QI", at, len(data)) + data for at, data in chunks) + struct.pack("<QI", 0, 0)
        assert (await site.root("PUT", url("import", vdi, chunked="true"), body)).status == 200
        wanted = bytearray(SIZE)
        for at, data in chunks:
            wanted[at : at + len(data)] = data
        assert (await site.root("GET", url("export", vdi))).body == wanted
        assert b"PREMATURE" in (await site.root("PUT", url("import", vdi, chunked="true"), body[:-12])).body
        beyond = struct.pack("<QI", SIZE, 1) + b"x"
        assert b"VDI_TOO_SMALL" in (await site.root("PUT", url("import", vdi, chunked="true"), beyond)).body


async def test_a_body_in_chunks_of_http_is_taken() -> None:
    async with action_server() as site:
        vdi = site.pool.add_vdi(2 * MIB)
        body = b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
        reply = await site.root("PUT", url("import", vdi), body, Transfer_Encoding="chunked")
        assert reply.status == 200
        assert (await site.root("GET", url("export", vdi))).body.startswith(b"hello world\0")


async def test_a_client_that_knows_no_length_is_answered_when_the_disk_is_full() -> None:
    async with action_server() as site:
        vdi, session = site.pool.add_vdi(2 * MIB), await site.login()
        async with site.client() as client:
            head = (
                f"PUT {url('import', vdi, session_id=session)} HTTP/1.1\r\nHost: x\r\nContent-Length: {1 << 50}\r\n\r\n"
            )
            await client.send(head.encode() + DATA[: 2 * MIB])
            assert (await client.reply()).status == 200
        assert (await site.root("GET", url("export", vdi))).body == DATA[: 2 * MIB]


@pytest.mark.parametrize(
    ("waits", "sent", "code"),
    [
        (True, DATA[:MIB], "VDI_IO_ERROR"),
        (True, DATA[: MIB + 17], "VDI_IO_ERROR"),
        (True, b"", "IMPORT_ERROR_PREMATURE_EOF"),
        (False, DATA[:17], "VDI_IO_ERROR"),  # arrives with the head: more would be lost with the unread reply
    ],
)
async def test_a_client_that_knows_no_length_is_answered_before_it_sends_and_may_leave(
    waits: bool, sent: bytes, code: str
) -> None:
    async with action_server() as site:
        vdi, task = site.pool.add_vdi(2 * MIB), site.task()
        target = url("import", vdi, session_id=await site.login(), task_id=task)
        async with site.client() as client:
            head = f"PUT {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {1 << 50}\r\n\r\n".encode()
            await client.send(head if waits else head + sent)
            if waits:
                assert (await client.head())[0] == 200
                await client.send(sent)
        while site.told(task)[0] == "pending":
            await site.pool.clock.sleep(1)
        status, (told, *_) = site.told(task)
        assert (status, told) == ("failure", code)
        assert no_claims(site, vdi)
        assert (await site.root("GET", url("export", vdi))).body == sent.ljust(2 * MIB, b"\0")


@pytest.mark.parametrize(
    ("query", "body", "code"),
    [
        ({}, bytes(2 * MIB + 1), "VDI_TOO_SMALL"),
        ({"format": "vhd"}, bytes(4096), "IMPORT_ERROR"),
        ({"format": "vhd"}, b"conectix", "IMPORT_ERROR_PREMATURE_EOF"),
        ({"format": "qcow2"}, b"x", "INVALID_VALUE"),
        ({}, b"", "IMPORT_ERROR_PREMATURE_EOF"),
    ],
)
async def test_what_is_no_disk_is_refused(query: dict[str, str], body: bytes, code: str) -> None:
    async with action_server() as site:
        vdi, task = site.pool.add_vdi(2 * MIB), site.task()
        reply = await site.root("PUT", url("import", vdi, task_id=task, **query), body)
        assert reply.status == 500
        status, (told, *_) = site.told(task)
        assert (status, told) == ("failure", code)
        assert no_claims(site, vdi)


async def test_a_disk_that_may_not_be_written_is_not() -> None:
    async with action_server() as site:
        read_only = site.pool.add_vdi(2 * MIB, read_only=True)
        iso = site.pool.add_vdi(2 * MIB, sr=site.pool.iso)
        assert b"VDI_READONLY" in (await site.root("PUT", url("import", read_only), b"x")).body
        assert b"SR_OPERATION_NOT_SUPPORTED" in (await site.root("PUT", url("import", iso), b"x")).body
        assert (await site.root("GET", url("export", iso))).body == bytes(2 * MIB)


async def test_a_disk_is_claimed_while_it_travels() -> None:
    async with action_server() as site:
        vdi, task = site.pool.add_vdi(SIZE), site.task()
        async with half_sent(site, vdi, task) as client:
            assert site.pool.store.get(vdi)["current_operations"] == {task: "blocked"}
            await until(lambda: 0 < site.pool.store.get(task)["progress"] < 1)
            await client.send(bytes(SIZE - len(DATA)))
            assert (await client.reply()).status == 200
        assert no_claims(site, vdi)


async def test_a_client_that_leaves_fails_its_task_and_frees_the_disk() -> None:
    async with action_server() as site:
        vdi, session = site.pool.add_vdi(64 * MIB), await site.login()
        for method, action in (("PUT", "import"), ("GET", "export")):
            task = site.task()
            async with site.client() as client:
                path = url(action, vdi, session_id=session, task_id=task)
                length = "Content-Length: 67108864\r\n" if method == "PUT" else ""
                await client.send(f"{method} {path} HTTP/1.1\r\nHost: x\r\n{length}\r\n".encode())
                await until(lambda: not no_claims(site, vdi))
                client.abort()
            await until(lambda task=task: site.told(task)[0] == "failure")
            assert no_claims(site, vdi)


async def test_a_cancelled_task_ends_the_transfer() -> None:
    async with action_server() as site:
        vdi, task = site.pool.add_vdi(SIZE), site.task()
        async with half_sent(site, vdi, task) as client:
            site.pool.engine.cancel(task)
            reply = await client.reply()
            assert b"TASK_CANCELLED" in reply.body
        assert site.told(task)[0] == "cancelled"
        assert no_claims(site, vdi)


async def test_a_storage_that_fails_half_way_cuts_the_export() -> None:
    async with action_server() as site:
        vdi, task = site.pool.add_vdi(SIZE), site.task()
        await site.root("PUT", url("import", vdi), HOLED)
        storage = site.pool.engine.storages[site.pool.sr]
        site.pool.engine.storages[site.pool.sr] = Faulty(storage, [FaultRule("read", after=2)], site.pool.clock)
        with pytest.raises((EOFError, ConnectionError)):
            await site.root("GET", url("export", vdi, task_id=task))
        assert site.told(task)[1][0] == "SR_BACKEND_FAILURE"
        assert no_claims(site, vdi)


async def test_a_storage_that_fails_while_it_is_written_is_told() -> None:
    async with action_server() as site:
        vdi, task = site.pool.add_vdi(SIZE), site.task()
        storage = site.pool.engine.storages[site.pool.sr]
        rules = [FaultRule("write", after=1, kind="no_space")]
        site.pool.engine.storages[site.pool.sr] = Faulty(storage, rules, site.pool.clock)
        assert b"SR_FULL" in (await site.root("PUT", url("import", vdi, task_id=task), HOLED)).body
        assert site.told(task)[1][0] == "SR_FULL"
        assert no_claims(site, vdi)


async def test_an_empty_request_without_a_task_asks_and_writes_nothing() -> None:
    async with action_server() as site:
        vdi = site.pool.add_vdi(2 * MIB)
        for path in (url("import", vdi), "/import", "/import_metadata"):
            assert (await site.root("PUT", path)).status == 200
        assert (await site.root("PUT", url("import", "none"))).status == 404
        assert not site.pool.store.all("task")
