"""/connected_disk: disks read and written while a client of the WBEM server is connected, and not otherwise."""

from __future__ import annotations

import pytest
from action_server import Site, action_server
from http_client import until

from xenapi_core.model.disk_connections import Connection

MIB = 1 << 20


def connected(site: Site, writes: bool, until: int = 0) -> str:
    """The address of a disk with a connection."""
    vdi = site.pool.add_vdi(2 * MIB)
    uuid = site.pool.store.get(vdi)["uuid"]
    one = Connection("handle", uuid, writes, until)
    site.pool.change(vdi, other_config={one.key: one.value})
    return f"/connected_disk?vdi={uuid}&connection=handle"


async def test_a_connected_disk_is_written_and_read_under_the_client_s_task() -> None:
    async with action_server() as site:
        path = connected(site, writes=True)
        task = site.task()
        assert (await site.root("PUT", f"{path}&task_id={task}", b"shop")).status == 200
        assert site.told(task)[0] == "success"
        reply = await site.root("GET", path)
        assert (reply.status, len(reply.body), reply.body[:4]) == (200, 2 * MIB, b"shop")


@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_a_connection_that_is_over_or_never_was_leads_nowhere(method: str) -> None:
    async with action_server() as site:
        path = connected(site, writes=True, until=site.pool.engine.world.clock.now())
        for wrong in (path, connected(site, writes=True).replace("=handle", "=other"), path.partition("&")[0]):
            task = site.task()
            assert (await site.root(method, f"{wrong}&task_id={task}", b"x" if method == "PUT" else b"")).status == 404
            assert site.told(task)[0] == "failure"


async def test_a_connection_to_read_writes_nothing() -> None:
    async with action_server() as site:
        path = connected(site, writes=False)
        task = site.task()
        assert (await site.root("PUT", f"{path}&task_id={task}", b"shop")).status == 500
        status, error = site.told(task)
        assert (status, error[0]) == ("failure", "VDI_READONLY")
        assert (await site.root("GET", path)).body[:4] == bytes(4)


async def test_a_connection_is_no_credential() -> None:
    async with action_server() as site:
        path = connected(site, writes=True)
        assert (await site.ask("GET", path)).status == 401


async def test_a_disconnect_ends_what_is_being_written_and_frees_the_disk() -> None:
    async with action_server() as site:
        path, task = connected(site, writes=True), site.task()
        (vdi,) = site.pool.store.all("VDI")
        session = await site.login()
        async with site.client() as client:
            head = f"PUT {path}&session_id={session}&task_id={task} HTTP/1.1\r\nHost: x\r\n"
            await client.send(f"{head}Content-Length: {2 * MIB}\r\n\r\n".encode() + b"shop")
            await until(lambda: site.pool.store.get(vdi)["current_operations"] == {task: "blocked"})
            await site.call("VDI.remove_from_other_config", vdi, "cim-connection-handle")
            reply = await client.reply()
            assert (reply.status, b"TASK_CANCELLED" in reply.body) == (500, True)
        assert (site.told(task)[0], site.pool.store.get(vdi)["current_operations"]) == ("cancelled", {})
        await site.call("VDI.destroy", vdi)
        assert site.pool.store.find(vdi) is None


async def test_a_disconnect_cuts_what_is_being_read_and_frees_the_disk() -> None:
    async with action_server() as site:
        vdi, task = site.pool.add_vdi(64 * MIB), site.task()
        one = Connection("handle", site.pool.store.get(vdi)["uuid"], writes=False)
        site.pool.change(vdi, other_config={one.key: one.value, "kept": "1"})
        session = await site.login()
        path = f"/connected_disk?vdi={one.disk}&connection=handle&session_id={session}&task_id={task}"
        async with site.client() as client:
            await client.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            await client.head()
            site.pool.change(vdi, other_config={one.key: one.value})  # what else is changed disturbs nobody
            assert site.told(task)[0] == "pending"
            site.pool.change(vdi, other_config={})
            await until(lambda: site.told(task)[0] != "pending")
            with pytest.raises((EOFError, ConnectionError)):
                await client.reader.readexactly(64 * MIB)
        assert (site.told(task)[0], site.pool.store.get(vdi)["current_operations"]) == ("cancelled", {})
