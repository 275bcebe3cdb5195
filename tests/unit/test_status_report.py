"""Status reports of a host, and what the server tells of its own inside."""

from __future__ import annotations

import asyncio
import io
import json
import tarfile
import zipfile
from xml.etree import ElementTree

import pytest
from action_server import action_server
from api_pool import api_pool
from sim_api import ask, refused

from xenapi_core.api.diagnosis import Timing
from xenapi_core.api.status_report import ENTRIES
from xenapi_core.server.actions.status_report import GATHER, HIDDEN
from xenapi_core.testing.pool import sim_pool

STATUS = "/system-status"


def files_of(body: bytes) -> dict[str, bytes]:
    """The files of a tar archive, without their folder."""
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        return {entry.name.split("/", 1)[1]: archive.extractfile(entry).read() for entry in archive}  # type: ignore[union-attr]


async def test_each_entry_is_offered_and_gathered() -> None:
    async with sim_pool() as pool:
        text = await ask(pool, "host.get_system_status_capabilities", pool.hosts[0])
        offered = {row.get("key"): row.get("default-checked") for row in ElementTree.fromstring(text)}
        assert offered == {entry.key: "yes" if entry.default else "no" for entry in ENTRIES}
        assert set(offered) == set(GATHER)


async def test_report_holds_the_default_entries_and_no_password() -> None:
    async with action_server() as site:
        vm = site.pool.add_vm("shop", other_config={"Password": "hidden-word", "owner": "ann"})
        await site.call("secret.create", {"value": "hidden-word", "other_config": {}})
        await site.call("host.set_timezone", site.pool.hosts[0], "Europe/Berlin")
        site.services.surroundings.audit.append("a line")
        session = await site.login()
        reply = await site.ask("GET", STATUS, Cookie=f"session_id={session}")
        assert (reply.status, reply.headers["content-type"]) == (200, "application/x-tar")
        files = files_of(reply.body)
        shown = json.loads(files["records/VM.json"])[vm]
        assert (shown["name_label"], shown["other_config"]) == ("shop", {"Password": HIDDEN, "owner": "ann"})
        assert b"timezone is now 'Europe/Berlin'" in files["host.log"]
        assert b"'a line'" in files["audit.log"]
        uuid = site.pool.store.get(site.pool.hosts[0])["uuid"]
        assert ElementTree.fromstring(files[f"rrd/host-{uuid}.xml"]).tag == "rrd"
        assert "threads.txt" not in files
        assert not {"records/session.json", "records/secret.json", "missing.txt"} & files.keys()
        everything = b"".join(files.values())
        assert b"hidden-word" not in everything
        assert session.encode() not in everything


async def test_chosen_entries_come_in_the_chosen_form() -> None:
    async with action_server() as site:
        reply = await site.root("GET", STATUS + "?entries=process-list,xen-info&output=zip")
        assert reply.headers["content-type"] == "application/zip"
        with zipfile.ZipFile(io.BytesIO(reply.body)) as archive:
            names = {name.split("/", 1)[1] for name in archive.namelist()}
        assert names == {"threads.txt", "storage.txt", "calls.txt", "hypervisor.log"}
        packed = await site.root("GET", STATUS + "?entries=audit-logs&output=tar.bz2")
        assert set(files_of(packed.body)) == {"audit.log"}
        for query in ("?entries=no-such", "?output=rar"):
            assert (await site.root("GET", STATUS + query)).status == 500
        operator = await site.login("vm-admin")
        assert (await site.ask("GET", STATUS, Cookie=f"session_id={operator}")).status == 403


async def test_logs_of_a_host_come_without_the_rest() -> None:
    async with action_server() as site:
        reply = await site.root("GET", "/host_logs_download")
        assert (reply.status, reply.headers["content-type"]) == (200, "application/gzip")
        assert set(files_of(reply.body)) == {"host.log", "hypervisor.log", "audit.log"}
        assert (await site.ask("GET", "/host_logs_download")).status == 401


async def test_report_of_a_host_that_is_down_says_what_is_missing() -> None:
    async with action_server() as site:
        await site.pool.sim.hosts[site.pool.store.get(site.pool.hosts[0])["uuid"]].power_off()
        files = files_of((await site.root("GET", STATUS + "?entries=system-logs,audit-logs")).body)
        assert files["missing.txt"].startswith(b"system-logs: ")
        assert "audit.log" in files


async def test_answers_to_calls_are_timed_by_message() -> None:
    async with api_pool() as pool:
        session = await pool.login()
        for spelling in ("host.get_uuid", "host_get_uuid"):
            await pool.call(spelling, session, pool.host)
        await pool.refusal("host.get_uuid", session, "OpaqueRef:nothing")
        told = await pool.call("host.get_diagnostic_timing_stats", session, pool.host, True)
        assert told["host.get_uuid"].startswith("3 calls, mean ")
        assert told["session.login_with_password"].startswith("1 calls, ")  # it waited
        assert "host.get_name_label" not in told
        plain = await pool.call("host.get_diagnostic_timing_stats", session, pool.host)
        assert plain["host.get_uuid"].startswith("mean ")
        rows = await pool.call("Diagnostics.network_stats", session, pool.host, {"method": "host.get_uuid"})
        assert [row[:3] for row in rows] == [["connections", "0"], ["sessions", "1"], ["call", "host.get_uuid", "3"]]
        refusal = await pool.refusal("Diagnostics.network_stats", session, pool.host, {"path": "/"})
        assert refusal == ["INVALID_VALUE", "params", "path"]


def test_timing_tells_mean_and_longest() -> None:
    timing = Timing()
    for seconds in (0.001, 0.003):
        timing.add(seconds)
    assert timing.told() == "mean 2.000 ms, longest 3.000 ms"


async def test_diagnostics_tell_of_this_process() -> None:
    async with sim_pool() as pool:
        host = pool.hosts[0]
        vm = pool.add_vm("shop")
        await ask(pool, "VM.start", vm, False, False)
        waiting = asyncio.create_task(asyncio.Event().wait(), name="a task with a name")
        await asyncio.sleep(0)
        threads = await ask(pool, "host.get_thread_diagnostics", host)
        waiting.cancel()
        assert "thread MainThread: " in threads
        assert "task a task with a name: Event.wait, line " in threads
        storage = await ask(pool, "host.get_sm_diagnostics", host)
        (vbd,) = pool.store.related(vm, "VBDs")
        disk = pool.store.get(pool.store.get(vbd)["VDI"])["uuid"]
        assert f"SR {pool.store.get(pool.sr)['uuid']} (nfs): connected, driver" in storage
        assert f"  VDI {disk}: VBD {pool.store.get(vbd)['uuid']} xvda (RW)" in storage
        counts = await ask(pool, "Diagnostics.db_stats")
        assert counts["objects of VM"] == str(len(pool.store.all("VM")))
        before = int((await ask(pool, "Diagnostics.gc_stats", host))["generation 2 collections"])
        await ask(pool, "Diagnostics.gc_compact", host)
        assert int((await ask(pool, "Diagnostics.gc_stats", host))["generation 2 collections"]) > before


@pytest.mark.parametrize("name", ["gc_stats", "gc_compact"])
async def test_diagnostics_are_about_a_host_that_exists(name: str) -> None:
    async with sim_pool() as pool:
        assert (await refused(pool, f"Diagnostics.{name}", "OpaqueRef:none"))[0] == "HANDLE_INVALID"
