"""Connections to disk images as xs-cim's clients ask for them: what is given out, what is refused, when they end."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cim_pool import path_in
from cim_services import GIB, Site
from compat_pool import CimError, mode_site, path_of

from xenapi_core.model.disk_connections import PREFIX, Connection, connections, live_connections
from xenapi_core.model.schema import VM_OPERATOR
from xenapi_core.testing.virtual_time import drive

STORAGE, CONNECT, DISCONNECT = "Xen_StoragePoolManagementService", "ConnectToDiskImage", "DisconnectFromDiskImage"


def image(at: Site, vdi: str) -> dict[str, Any]:
    return {"DiskImage": path_of(at, vdi, "Xen_StorageVolume")}


async def connected(at: Site, vdi: str, **params: Any) -> dict[str, Any]:
    """The job of a connection that was made."""
    value, out = await at.ask(STORAGE, CONNECT, **image(at, vdi), **params)
    assert value == 4096
    assert (await at.ended(out))["status"] == "success"
    path = path_in(out["Job"])
    assert path.classname == "Xen_ConnectToDiskImageJob"
    return at.shown(path)


def keys(at: Site, vdi: str) -> list[str]:
    return [key for key in at.store.get(vdi)["other_config"] if key.startswith(PREFIX)]


async def test_a_job_tells_where_the_bytes_are_and_disconnecting_ends_it() -> None:
    async with mode_site("xs-cim") as at:
        vdi = at.sim.add_vdi(GIB)
        job = await connected(at, vdi)
        uri = urlsplit(job["TargetURI"])
        address = at.store.get(at.sim.hosts[0])["address"]
        assert (uri.scheme, uri.netloc, uri.path) == ("https", address, "/connected_disk")
        assert parse_qs(uri.query) == {"vdi": [at.uuid(vdi)], "connection": [job["ConnectionHandle"]]}
        assert job["SSLCertificate"] is None
        (found,) = live_connections(at.store.get(vdi), at.pool.source.now())
        assert (found.handle, found.writes, found.until) == (
            job["ConnectionHandle"], True, at.pool.source.now() + 24 * 3600,
        )  # fmt: skip
        value, out = await at.ask(STORAGE, DISCONNECT, ConnectionHandle=job["ConnectionHandle"])
        assert (value, path_in(out["Job"]).classname) == (4096, "Xen_DisconnectFromDiskImageJob")
        assert (await at.ended(out))["status"] == "success"
        assert keys(at, vdi) == []
        assert (await at.ask(STORAGE, DISCONNECT, ConnectionHandle=job["ConnectionHandle"]))[0] == 4
        assert (await at.ask(STORAGE, DISCONNECT))[0] == 4


async def test_several_clients_read_and_one_alone_writes() -> None:
    async with mode_site("xs-cim") as at:
        vdi = at.sim.add_vdi(GIB)
        first = await connected(at, vdi, ReadOnly=True, TimeoutInMinutes=0)
        second = await connected(at, vdi, ReadOnly=True)
        assert first["ConnectionHandle"] != second["ConnectionHandle"]
        assert await at.ask(STORAGE, CONNECT, **image(at, vdi)) == (2, {})
        for job in (first, second):
            await at.ask(STORAGE, DISCONNECT, ConnectionHandle=job["ConnectionHandle"])
        await connected(at, vdi, TimeoutInMinutes=1)
        assert await at.ask(STORAGE, CONNECT, **image(at, vdi), ReadOnly=True) == (2, {})
        await at.sim.pass_time(61)
        await connected(at, vdi, ReadOnly=True)


async def test_of_two_clients_that_want_to_write_at_once_one_is_connected() -> None:
    async with mode_site("xs-cim") as at:
        vdi = at.sim.add_vdi(GIB)
        service = at.service(STORAGE)
        both = asyncio.gather(*(at.pool.call(service, CONNECT, **image(at, vdi)) for _ in range(2)))
        answers = await drive(at.pool.clock, both)
        jobs = [out for value, out in answers if value == 4096]
        statuses = [(await at.ended(out))["status"] for out in jobs]
        assert (statuses.count("success"), len(keys(at, vdi))) == (1, 1)


async def test_a_disk_that_a_machine_has_is_not_written_and_read_only_beside_readers() -> None:
    async with mode_site("xs-cim") as at:
        vm = await at.sim.running("web")
        (vbd,) = at.store.related(vm, "VBDs")
        vdi = at.store.get(vbd)["VDI"]
        assert await at.ask(STORAGE, CONNECT, **image(at, vdi), ReadOnly=True) == (2, {})
        at.sim.change(vbd, mode="RO")
        assert await at.ask(STORAGE, CONNECT, **image(at, vdi)) == (2, {})
        await connected(at, vdi, ReadOnly=True)


UNSUPPORTED: dict[str, dict[str, Any]] = {
    "another protocol": {"Protocol": "iscsi"},
    "bits": {"Protocol": "bits"},
    "an address of its own": {"NetworkConfiguration": ("192.0.2.7", "255.255.255.0", "192.0.2.1")},
}


@pytest.mark.parametrize("what", UNSUPPORTED)
async def test_what_the_server_cannot_serve_is_not_supported(what: str) -> None:
    async with mode_site("xs-cim") as at:
        vdi = at.sim.add_vdi(GIB)
        assert await at.ask(STORAGE, CONNECT, **image(at, vdi), **UNSUPPORTED[what]) == (1, {})
        assert keys(at, vdi) == []


async def test_disks_are_served_on_the_management_network_only_and_with_ssl_if_there_is_any() -> None:
    async with mode_site("xs-cim") as at:
        vdi = at.sim.add_vdi(GIB)
        (pif, *_) = at.store.related(at.sim.network, "PIFs")
        switch = {"VirtualSwitch": path_of(at, at.sim.network, "Xen_VirtualSwitch")}
        at.sim.change(pif, management=False)
        assert await at.ask(STORAGE, CONNECT, **image(at, vdi), **switch) == (1, {})
        at.sim.change(pif, management=True)
        await connected(at, vdi, ReadOnly=True, **switch)
        at.sim.engine.be_reached(lambda address: f"http://{address}:8080")
        assert await at.ask(STORAGE, CONNECT, **image(at, vdi), ReadOnly=True, UseSSL=True) == (1, {})
        job = await connected(at, vdi, ReadOnly=True, UseSSL=False)
        assert job["TargetURI"].startswith("http://")
        assert (await at.ask(STORAGE, CONNECT))[0] == 4


async def test_the_address_of_a_disk_is_that_of_a_host_that_is_up() -> None:
    async with mode_site("xs-cim", hosts=2) as at:
        vdi = at.sim.add_vdi(GIB)
        up, down = (at.store.get(host) for host in at.sim.hosts)
        for host in at.sim.hosts:
            if not any(at.store.get(pbd)["SR"] == at.sim.sr for pbd in at.store.related(host, "PBDs")):
                at.sim.add("PBD", host=host, SR=at.sim.sr, currently_attached=True)
        for service in (0, 1):
            at.sim.change(down["metrics"], live=False)
            value, out = await at.invoke(at.service(STORAGE, service), CONNECT, **image(at, vdi), ReadOnly=True)
            assert (value, (await at.ended(out))["status"]) == (4096, "success")
            assert urlsplit(at.shown(path_in(out["Job"]))["TargetURI"]).netloc == up["address"]
        at.sim.change(up["metrics"], live=False)
        assert await at.ask(STORAGE, CONNECT, **image(at, vdi), ReadOnly=True) == (2, {})


async def test_who_may_not_change_disks_gets_no_connection() -> None:
    async with mode_site("xs-cim") as at:
        vdi = at.sim.add_vdi(GIB)
        at.pool.principal = replace(at.pool.principal, roles=frozenset({VM_OPERATOR}))
        with pytest.raises(CimError) as caught:
            await at.ask(STORAGE, CONNECT, **image(at, vdi))
        assert (caught.value.status, keys(at, vdi)) == (2, [])


async def test_a_copy_of_a_connected_disk_is_not_connected() -> None:
    async with mode_site("xs-cim") as at:
        vdi = at.sim.add_vdi(GIB)
        await connected(at, vdi)
        copy = at.store.get(await at.sim.call("VDI.clone", vdi, {}))
        assert list(connections(copy)) == []
        await connected(at, copy.ref, ReadOnly=True)
        assert [one.key for one in connections(at.store.get(copy.ref))] == keys(at, copy.ref)


async def test_a_new_connection_takes_the_place_of_those_that_have_ended() -> None:
    async with mode_site("xs-cim") as at:
        vdi = at.sim.add_vdi(GIB)
        for _ in range(3):
            await connected(at, vdi, ReadOnly=True, TimeoutInMinutes=1)
        lasting = await connected(at, vdi, ReadOnly=True, TimeoutInMinutes=0)
        await at.sim.pass_time(61)
        last = await connected(at, vdi, ReadOnly=True)
        assert keys(at, vdi) == [PREFIX + job["ConnectionHandle"] for job in (lasting, last)]


def test_what_is_no_connection_in_the_settings_of_a_disk_is_none() -> None:
    one = Connection("h", "u", writes=False, until=7)
    for value, there in (
        (one.value, True), ("ro 7 v", False), ("rx 7 u", False), ("ro soon u", False), ("ro", False), ("ro ² u", False),
    ):  # fmt: skip
        found = list(connections({"uuid": "u", "other_config": {one.key: value, "other": one.value}}))
        assert found == ([one] if there else []), value
    assert (one.lives(6), one.lives(7), replace(one, until=0).lives(7)) == (True, False, True)
