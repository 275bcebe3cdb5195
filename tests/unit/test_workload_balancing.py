"""Workload balancing: how a pool gets and loses a server, what it asks it, and what goes wrong on the way."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any

import pytest
from action_server import Site
from authority import issue
from sim_api import refused
from wlb_server import ACCOUNT, ENDLESS, envelope, fault, result, wlb_server
from wlb_site import OURS, enable, initialize, rate, reach_servers, record, uuid, wlb_pool

from xenapi_core.ids import NULL_REF


def remembered(site: Site) -> list[Any]:
    return [record(site)[f"wlb_{name}"] for name in ("url", "username", "password", "enabled")]


async def test_a_server_is_asked_to_watch_the_pool_and_remembered_with_a_secret() -> None:
    async with wlb_pool() as (site, wlb):
        await initialize(site, wlb)
        address = site.services.reach(site.pool.store.get(site.pool.hosts[0])["address"])
        said = {"UserName": OURS[0], "Password": OURS[1], "XenServerUrl": f"{address}/"}
        assert wlb.pools == {record(site)["uuid"]: said}
        url, username, password, enabled = remembered(site)
        assert (url, username, enabled) == (wlb.place, ACCOUNT[0], False)
        assert site.pool.store.get(password, "secret")["value"] == ACCOUNT[1]
        await initialize(site, wlb)
        assert list(site.pool.store.all("secret")) == [record(site)["wlb_password"]] != [password]


async def test_a_server_that_refuses_leaves_the_pool_as_it_was() -> None:
    async with wlb_pool() as (site, wlb):
        before = remembered(site)
        wrong = await refused(site.pool, "pool.initialize_wlb", wlb.place, "wlb", "wrong", *OURS)
        assert wrong == ["WLB_AUTHENTICATION_FAILED"]
        answer = "<ErrorMessage>no</ErrorMessage><ResultCode>4</ResultCode>"
        wlb.instead["AddXenServer"] = result("AddXenServer", answer)
        assert await refused(site.pool, "pool.initialize_wlb", wlb.place, *ACCOUNT, *OURS) == [
            "WLB_INTERNAL_ERROR", "4", "no",
        ]  # fmt: skip
        wlb.instead["AddXenServer"] = result("AddXenServer", "")
        assert (await refused(site.pool, "pool.initialize_wlb", wlb.place, *ACCOUNT, *OURS))[:2] == [
            "WLB_MALFORMED_RESPONSE", "AddXenServer",
        ]  # fmt: skip
        assert (remembered(site), site.pool.store.all("secret")) == (before, {})


PLACES = ["", "host", "host:", ":1", "host:0", "host:65536", "host:x", "a/b:1", "u@h:1", "::1:8012", "[::1:1", "h:1/p"]
PLACES += ["h:" + "9" * 5000, "a..b:8012", f"{'a' * 64}.example:8012"]


@pytest.mark.parametrize("place", PLACES, ids=range(len(PLACES)))
async def test_what_is_not_a_host_and_a_port_is_no_address_of_a_server(place: str) -> None:
    async with wlb_pool(hosts=1) as (site, _wlb):
        told = await refused(site.pool, "pool.initialize_wlb", place, *ACCOUNT, *OURS)
        assert told == ["WLB_URL_INVALID", place]


async def breaking(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.transport.abort()


async def test_each_way_not_to_reach_a_server_has_its_error() -> None:
    async with wlb_pool(hosts=1) as (site, wlb):

        async def told(place: str) -> list[str]:
            return await refused(site.pool, "pool.initialize_wlb", place, *ACCOUNT, *OURS)

        with socket.socket() as nobody:  # bound, and not listening
            nobody.bind(("127.0.0.1", 0))
            assert await told(f"127.0.0.1:{nobody.getsockname()[1]}") == ["WLB_CONNECTION_REFUSED"]
        assert await told("balancer.invalid:8012") == ["WLB_UNKNOWN_HOST"]
        server = await asyncio.start_server(breaking, "127.0.0.1", 0)
        async with server:
            assert await told(f"127.0.0.1:{server.sockets[0].getsockname()[1]}") == ["WLB_CONNECTION_RESET"]
        site.pool.change(site.pool.pool, other_config={"wlb_timeout": "0.25"})
        wlb.silent = True
        assert await told(wlb.place) == ["WLB_TIMEOUT", "0.25"]
        reach_servers(site, loopback=False)
        assert await told(wlb.place) == ["WLB_URL_INVALID", wlb.place]


@pytest.mark.parametrize("how", ["wlb_verify_cert", "tls_verification_enabled"])
async def test_a_pool_that_verifies_asks_the_server_for_proof(how: str) -> None:
    async with wlb_pool(hosts=1) as (site, wlb):
        pool = site.pool
        pool.change(pool.hosts[0], tls_verification_enabled=True)
        for field in ("wlb_verify_cert", "tls_verification_enabled"):
            pool.change(pool.pool, **{field: field == how})
        told = await refused(pool, "pool.initialize_wlb", wlb.place, *ACCOUNT, *OURS)
        assert (told[0], wlb.calls) == ("SSL_VERIFY_ERROR", [])
        await site.call("pool.install_ca_certificate", "other", issue("127.0.0.1", int(time.time())).pem)
        assert (await refused(pool, "pool.initialize_wlb", wlb.place, *ACCOUNT, *OURS))[0] == "SSL_VERIFY_ERROR"
        await site.call("pool.install_ca_certificate", "wlb", wlb.identity.pem)
        await initialize(site, wlb)
        assert wlb.calls == ["AddXenServer"]


async def test_a_server_is_forgotten_whether_it_can_be_told_or_not() -> None:
    async with wlb_pool() as (site, wlb):
        for status in (None, 500):
            await enable(site, wlb)
            if status is not None:
                wlb.instead["RemoveXenServer"] = status
            await site.call("pool.deconfigure_wlb")
            assert (remembered(site), site.pool.store.all("secret")) == (["", "", NULL_REF, False], {})
            assert bool(wlb.pools) == bool(status)
            assert await refused(site.pool, "pool.deconfigure_wlb") == ["WLB_NOT_INITIALIZED"]


async def test_a_server_that_is_chosen_while_another_one_leaves_stays() -> None:
    async with wlb_pool() as (site, wlb):
        await initialize(site, wlb)
        async with wlb_server() as other:
            wlb.silent = True
            leaving = asyncio.ensure_future(site.call("pool.deconfigure_wlb"))
            while "RemoveXenServer" not in wlb.calls:
                await site.pool.clock.sleep(1)
            await initialize(site, other)
            wlb.woken.set()
            await leaving
            assert (record(site)["wlb_url"], wlb.pools, len(other.pools)) == (other.place, {}, 1)
            assert list(site.pool.store.all("secret")) == [record(site)["wlb_password"]]


async def test_settings_of_the_server_are_changed_and_read() -> None:
    async with wlb_pool() as (site, wlb):
        await initialize(site, wlb)  # need not be enabled
        assert await site.call("pool.retrieve_wlb_configuration") == {}
        await site.call("pool.send_wlb_configuration", {"OptimizationMode": "0", "<&>": ""})
        await site.call("pool.send_wlb_configuration", {"OptimizationMode": "1"})
        assert await site.call("pool.retrieve_wlb_configuration") == {"OptimizationMode": "1", "<&>": ""}
        told = await refused(site.pool, "pool.send_wlb_configuration", {"key": "\x01"})
        assert told == ["WLB_MALFORMED_REQUEST"]


async def test_recommendations_for_the_pool_name_machines_hosts_and_reasons() -> None:
    async with wlb_pool() as (site, wlb):
        await enable(site, wlb)
        assert await site.call("pool.retrieve_wlb_recommendations") == {}
        here, there, _ = site.pool.hosts
        domain = site.pool.add_vm("dom0", is_control_domain=True, resident_on=here)
        site.pool.change(here, control_domain=domain)
        vm = site.pool.add_vm()
        wlb.moves, wlb.switched = {uuid(site, vm): uuid(site, there)}, uuid(site, here)
        assert await site.call("pool.retrieve_wlb_recommendations") == {
            vm: ("WLB", uuid(site, there), "3", "7", "Memory"),
            domain: ("WLB", uuid(site, here), "3", "8", "PowerOff"),
        }
        assert wlb.asked_for[-1] == {"PoolUuid": record(site)["uuid"]}
        for wrong in ({"no-uuid": uuid(site, there)}, {uuid(site, vm): "no-uuid"}):
            wlb.moves = wrong
            told = await refused(site.pool, "pool.retrieve_wlb_recommendations")
            assert told[:2] == ["WLB_MALFORMED_RESPONSE", "GetOptimizationRecommendations"]


async def test_recommendations_for_a_machine_are_ratings_or_what_keeps_it_from_a_host() -> None:
    async with wlb_pool() as (site, wlb):
        await enable(site, wlb)
        vm, (first, second, third) = site.pool.add_vm(), site.pool.hosts
        rate(site, wlb, "0.5", "0 Hypervisor is full", "4.5")
        site.pool.change(third, enabled=False)
        assert await site.call("VM.retrieve_wlb_recommendations", vm) == {
            first: ("WLB", "0.5", "0"),
            second: ("WLB", "0.0", "1", "Hypervisor is full"),
            third: ("HOST_DISABLED", third),
        }
        assert wlb.asked_for[-1] == {"PoolUuid": record(site)["uuid"], "VmUuid": uuid(site, vm)}
        del wlb.stars[uuid(site, third)]
        for wrong in (None, "many", "nan"):
            if wrong is not None:
                rate(site, wlb, "1", "1", wrong)
            told = await refused(site.pool, "VM.retrieve_wlb_recommendations", vm)
            assert told[:2] == ["WLB_MALFORMED_RESPONSE", "VMGetRecommendations"]
        assert (await refused(site.pool, "VM.retrieve_wlb_recommendations", NULL_REF))[0] == "HANDLE_INVALID"


async def test_recommendations_for_a_host_say_where_each_of_its_machines_goes() -> None:
    async with wlb_pool() as (site, wlb):
        await enable(site, wlb)
        here, there, _ = site.pool.hosts
        vms = [site.pool.add_vm(f"vm {number}", affinity=here) for number in range(2)]
        rate(site, wlb, "5", "1", "1")
        for vm in vms:
            await site.call("VM.start", vm, False, False)
        assert list(site.pool.store.related(here, "resident_VMs")) == vms
        domain = site.pool.add_vm("dom0", is_control_domain=True, resident_on=here, power_state="Running")
        site.pool.change(here, control_domain=domain)
        wlb.moves, wlb.switched = {uuid(site, vms[0]): uuid(site, there)}, uuid(site, here)
        found = await site.call("host.retrieve_wlb_evacuate_recommendations", here)
        assert wlb.asked_for[-1] == {"HostUuid": uuid(site, here), "PoolUuid": record(site)["uuid"]}
        assert found.pop(vms[1])[0] == "HOST_NOT_ENOUGH_FREE_MEMORY"
        assert found == {vms[0]: ("WLB", uuid(site, there)), domain: ("WLB", uuid(site, here))}
        wlb.moves = {uuid(site, vms[0]): uuid(site, here)}
        told = await refused(site.pool, "host.retrieve_wlb_evacuate_recommendations", here)
        assert told[:2] == ["WLB_MALFORMED_RESPONSE", "HostGetRecommendations"]
        told = await refused(site.pool, "host.retrieve_wlb_evacuate_recommendations", NULL_REF)
        assert told[0] == "HANDLE_INVALID"


ANSWERS: list[Any] = [
    (401, ["WLB_AUTHENTICATION_FAILED"]),
    (400, ["WLB_MALFORMED_REQUEST"]),
    (503, ["WLB_MALFORMED_RESPONSE", "GetXenPoolConfiguration", "HTTP 503", ""]),
    (fault("out of order"), ["WLB_INTERNAL_ERROR", "Exception:", "out of order"]),
    (envelope("<Fault><faultstring>old</faultstring></Fault>"), ["WLB_INTERNAL_ERROR", "Exception:", "old"]),
    (result("GetXenPoolConfiguration", "<ResultCode>4007</ResultCode>"), ["WLB_INTERNAL_ERROR", "4007", ""]),
    (result("GetXenPoolConfiguration", ""), ["WLB_MALFORMED_RESPONSE", "GetXenPoolConfiguration"]),
    (result("AnotherMethod", ""), ["WLB_MALFORMED_RESPONSE", "GetXenPoolConfiguration"]),
    (b"no XML", ["WLB_MALFORMED_RESPONSE", "GetXenPoolConfiguration"]),
    (b'<!DOCTYPE x [<!ENTITY e "e">]><x>&e;</x>', ["WLB_MALFORMED_RESPONSE", "GetXenPoolConfiguration"]),
    (ENDLESS, ["WLB_MALFORMED_RESPONSE", "GetXenPoolConfiguration"]),
]


@pytest.mark.parametrize(("answer", "told"), ANSWERS, ids=range(len(ANSWERS)))
async def test_answers_that_are_no_success_are_told_by_kind(answer: bytes | int, told: list[str]) -> None:
    async with wlb_pool(hosts=1) as (site, wlb):
        await initialize(site, wlb)
        wlb.instead["GetXenPoolConfiguration"] = answer
        assert (await refused(site.pool, "pool.retrieve_wlb_configuration"))[: len(told)] == told


async def test_values_where_none_belong_make_an_answer_malformed() -> None:
    async with wlb_pool(hosts=1) as (site, wlb):
        await initialize(site, wlb)
        wlb.instead["SetXenPoolConfiguration"] = result("SetXenPoolConfiguration", "<Surprise/>")
        told = await refused(site.pool, "pool.send_wlb_configuration", {})
        assert told[:2] == ["WLB_MALFORMED_RESPONSE", "SetXenPoolConfiguration"]


# Reports


async def test_reports_and_diagnostics_come_as_the_server_wrote_them() -> None:
    async with wlb_pool(hosts=1) as (site, wlb):
        await initialize(site, wlb)
        wlb.reports["pool_health"] = "<NewDataSet>\u00e4&amp;</NewDataSet>"
        reply = await site.root("GET", "/wlb_report?report=pool_health&Start=-4&LocaleCode=en")
        told = "<NewDataSet>\u00e4&amp;</NewDataSet> [('LocaleCode', 'en'), ('Start', '-4')]"
        assert (reply.status, reply.body) == (200, told.encode())
        task = site.task()
        reply = await site.root("GET", f"/wlb_diagnostics?task_id={task}")
        assert (reply.status, reply.body) == (200, b"all is <well> & good")
        assert site.told(task) == ("success", ())


async def test_reports_that_do_not_come_are_told_by_their_errors() -> None:
    async with wlb_pool(hosts=1) as (site, wlb):
        assert (await site.root("GET", "/wlb_report")).status == 500
        task = site.task()
        assert (await site.root("GET", f"/wlb_report?report=x&task_id={task}")).status == 500
        assert site.told(task) == ("failure", ("WLB_NOT_INITIALIZED",))
        await initialize(site, wlb)
        wlb.instead["ExecuteReport"] = result("ExecuteReport", "<ResultCode>4007</ResultCode>")
        task = site.task()
        assert (await site.root("GET", f"/wlb_report?report=x&task_id={task}")).status == 500
        assert site.told(task) == ("failure", ("WLB_INTERNAL_ERROR", "4007", ""))
        wlb.instead["GetDiagnostics"] = result("GetDiagnostics", "")
        task = site.task()
        assert (await site.root("GET", f"/wlb_diagnostics?task_id={task}")).status == 500
        assert site.told(task)[1][:2] == ("WLB_MALFORMED_RESPONSE", "GetDiagnostics")
