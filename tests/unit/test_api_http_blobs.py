"""Blobs: made by calls, filled and fetched over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from action_server import Site, action_server
from sim_api import refused

from xenapi_core.server.actions.action import ROOT
from xenapi_core.server.actions.blob_data import InDirectory, InMemory


def kept(directory: Path) -> list[Path]:
    return list(directory.glob("blobs/*"))


async def called(site: Site, wire_name: str, *args: Any) -> None:
    """A call of the server whose blobs are fetched."""
    site.services.invoke(ROOT, wire_name, args)


@pytest.mark.parametrize("durable", [False, True])
async def test_what_is_put_is_fetched_and_counted(durable: bool, tmp_path: Path) -> None:
    async with action_server(state=tmp_path if durable else None) as site:
        blob = await site.call("blob.create", "text/plain", False)
        record = site.pool.store.get(blob)
        assert (record["size"], record["mime_type"], record["last_updated"]) == (0, "text/plain", 0)
        assert (await site.root("GET", f"/blob?ref={blob}")).body == b""
        for data in (b"first", bytes(range(256)) * 1000):
            assert (await site.root("PUT", f"/blob?ref={blob}", data)).status == 200
            reply = await site.root("GET", f"/blob?uuid={record['uuid']}")
            assert (reply.status, reply.body, reply.headers["content-type"]) == (200, data, "text/plain")
            assert site.pool.store.get(blob)["size"] == len(data)
        assert site.pool.store.get(blob)["last_updated"] > 0


async def test_objects_keep_blobs_by_name() -> None:
    async with action_server() as site:
        pool = site.pool
        vm = pool.add_vm()
        keepers = {"VM": vm, "host": pool.hosts[0], "SR": pool.sr, "network": pool.network, "pool": pool.pool}
        for cls, ref in keepers.items():
            blob = await site.call(f"{cls}.create_new_blob", ref, "icon", "", True)
            assert pool.store.get(ref)["blobs"] == {"icon": blob}
            assert pool.store.get(blob)["name_label"] == "icon"
            refusal = await refused(pool, f"{cls}.create_new_blob", ref, "icon", "", True)
            assert refusal == ["MAP_DUPLICATE_KEY", cls, "blobs", pool.store.get(ref)["uuid"], "icon"]
            await site.call("blob.destroy", blob)
            assert (pool.store.get(ref)["blobs"], pool.store.find(blob)) == ({}, None)


async def test_public_blobs_are_read_by_everybody_and_written_by_few() -> None:
    async with action_server() as site:
        public = await site.call("blob.create", "text/plain", True)
        private = await site.call("blob.create", "text/plain", False)
        for blob in (public, private):
            await site.root("PUT", f"/blob?ref={blob}", b"data")
        assert (await site.ask("GET", f"/blob?ref={public}")).body == b"data"
        assert (await site.ask("GET", f"/blob?ref={private}")).status == 401
        assert (await site.ask("PUT", f"/blob?ref={public}", b"x")).status == 401
        session = await site.login("vm-admin")
        assert (await site.ask("PUT", f"/blob?ref={public}&session_id={session}", b"x")).status == 403
        assert (await site.ask("GET", f"/blob?ref={public}")).body == b"data"
        assert (await site.root("GET", "/blob?ref=OpaqueRef:none")).status == 404


async def test_a_blob_that_is_too_large_keeps_what_it_had() -> None:
    async with action_server() as site:
        blob, task = await site.call("blob.create", "", False), site.task()
        await site.root("PUT", f"/blob?ref={blob}", b"before")
        reply = await site.root("PUT", f"/blob?ref={blob}&task_id={task}", bytes((16 << 20) + 1))
        assert reply.status == 500
        assert site.told(task)[1][0] == "IMPORT_ERROR"
        assert (await site.root("GET", f"/blob?ref={blob}")).body == b"before"


async def test_a_type_that_would_break_a_header_is_not_sent() -> None:
    async with action_server() as site:
        blob = await site.call("blob.create", "text/plain\r\nX-Evil: 1", True)
        reply = await site.ask("GET", f"/blob?ref={blob}")
        assert reply.headers["content-type"] == "application/octet-stream"
        assert "x-evil" not in reply.headers


@pytest.mark.parametrize("kind", ["memory", "directory"])
def test_data_without_a_record_goes(kind: str, tmp_path: Path) -> None:
    place = InMemory() if kind == "memory" else InDirectory(tmp_path / "blobs")
    assert place.get("a") is None
    place.put("a", b"1")
    place.put("b", b"2")
    place.keep(frozenset({"b"}))
    assert (place.get("a"), place.get("b")) == (None, b"2")


@pytest.mark.parametrize("durable", [False, True])
async def test_a_pool_that_keeps_no_binary_objects_drops_their_data(durable: bool, tmp_path: Path) -> None:
    async with action_server(state=tmp_path if durable else None) as site:
        blob = await site.call("pool.create_new_blob", site.pool.pool, "icon", "", False)
        path = f"/blob?ref={blob}"
        await site.root("PUT", path, b"data")
        await called(site, "pool.disable_binary_storage")
        assert (await site.root("GET", path)).body == b""
        assert (site.pool.store.get(blob)["size"], kept(tmp_path)) == (0, [])
        for message, *args in (("pool.create_new_blob", site.pool.pool, "b", "", False), ("blob.create", "", False)):
            assert (await refused(site.pool, message, *args))[0] == "OPERATION_NOT_ALLOWED"
        assert (await site.root("PUT", path, b"more")).status == 500
        assert (await site.root("GET", path)).body == b""
        await called(site, "host.enable_binary_storage", site.pool.hosts[0])
        assert (await site.root("PUT", path, b"more")).status == 200
        assert (await site.root("GET", path)).body == b"more"
        await called(site, "host.disable_binary_storage", site.pool.hosts[0])
        assert (await site.root("GET", path)).body == b""


async def test_what_comes_while_binary_storage_ends_is_not_kept() -> None:
    async with action_server() as site:
        blob = await site.call("blob.create", "", False)
        session = await site.login()
        async with site.client() as client:
            lines = (
                f"PUT /blob?ref={blob} HTTP/1.1\r\nHost: x\r\nCookie: session_id={session}\r\nContent-Length: 4\r\n\r\n"
            )
            await client.send(lines.encode() + b"da")
            await site.root("GET", "/blob?ref=" + blob)  # the server has had its turn with the beginning
            await called(site, "pool.disable_binary_storage")
            await client.send(b"ta")
            assert (await client.reply()).status == 500
        assert site.pool.store.get(blob)["size"] == 0
