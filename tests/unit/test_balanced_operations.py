"""Operations that ask workload balancing where machines should run: it is followed, checked, and done without."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from action_server import Site
from sim_api import refused
from wlb_server import WlbServer, result
from wlb_site import enable, failures, rate, uuid, wlb_pool

from xenapi_core.testing.pool import GIB, TEST_CALLER


def host_of(site: Site, vm: str) -> int:
    """The number of the host a VM is on."""
    return site.pool.hosts.index(site.pool.vm(vm)["resident_on"])


async def start(site: Site, vm: str) -> int:
    await site.call("VM.start", vm, False, False)
    return host_of(site, vm)


async def test_a_machine_starts_and_resumes_on_the_host_with_most_stars() -> None:
    async with wlb_pool() as (site, wlb):
        await enable(site, wlb)
        vm = site.pool.add_vm(affinity=site.pool.hosts[0])
        rate(site, wlb, "1.5", "4.0", "10.5")
        assert await start(site, vm) == 2
        await site.call("VM.suspend", vm)
        rate(site, wlb, "1.5", "4.0", "0 not a good one")
        await site.call("VM.resume", vm, False, False)
        assert (host_of(site, vm), failures(site)) == (1, [])


async def test_the_task_of_a_start_shows_the_recommendation_that_was_taken() -> None:
    async with wlb_pool() as (site, wlb):
        await enable(site, wlb)
        rate(site, wlb, "1", "2", "1")
        vm = site.pool.add_vm()
        engine = site.pool.engine
        task = engine.launch("VM.start", (vm, False, False), TEST_CALLER)
        while site.told(task)[0] == "pending":
            await site.pool.clock.sleep(1)
        assert site.told(task)[0] == "success"
        assert site.pool.store.get(task)["other_config"] == {
            "wlb_advised": "1", "wlb_action": "Async.VM.start", "wlb_action_obj_type": "VM", "wlb_action_obj_ref": vm,
        }  # fmt: skip


async def test_a_recommended_host_that_cannot_take_a_machine_is_passed_over() -> None:
    async with wlb_pool() as (site, wlb):
        await enable(site, wlb)
        rate(site, wlb, "1", "4", "3")
        site.pool.change(site.pool.hosts[1], enabled=False)
        assert await start(site, site.pool.add_vm()) == 2
        rate(site, wlb, "0 full", "4", "0 full")
        assert await start(site, site.pool.add_vm("other", affinity=site.pool.hosts[0])) == 0
        assert failures(site) == []


async def test_a_server_that_fails_delays_nothing_and_a_message_tells_of_it() -> None:
    async with wlb_pool() as (site, wlb):
        await enable(site, wlb)
        vm = site.pool.add_vm(affinity=site.pool.hosts[0])
        wlb.instead["VMGetRecommendations"] = 500
        assert await start(site, vm) == 0
        assert failures(site) == [("VM", uuid(site, vm))]
        wlb.instead["HostGetRecommendations"] = result("HostGetRecommendations", "<ResultCode>1</ResultCode>")
        await site.call("host.evacuate", site.pool.hosts[0], "", 0)
        assert host_of(site, vm) != 0
        assert failures(site)[1:] == [("Host", uuid(site, site.pool.hosts[0]))]


async def test_a_server_is_not_asked_where_the_pool_does_not_want_it() -> None:
    async with wlb_pool() as (site, wlb):
        await enable(site, wlb)
        rate(site, wlb, "1", "1", "5")
        pool, vm = site.pool, site.pool.add_vm(affinity=site.pool.hosts[0])
        pool.change(pool.pool, other_config={"wlb_choose_host_disable": "True"})
        assert await start(site, vm) == 0
        await site.call("VM.retrieve_wlb_recommendations", vm)  # who asks still hears
        pool.change(pool.pool, other_config={})
        await site.call("pool.set_wlb_enabled", pool.pool, False)
        assert await start(site, pool.add_vm("other", affinity=pool.hosts[0])) == 0
        assert await refused(pool, "VM.retrieve_wlb_recommendations", vm) == ["WLB_DISABLED"]
        assert wlb.calls == ["AddXenServer", "VMGetRecommendations"]


async def test_nothing_is_asked_about_a_machine_that_may_not_start() -> None:
    async with wlb_pool() as (site, wlb):
        vm = site.pool.add_vm()
        await start(site, vm)
        await enable(site, wlb)
        assert (await refused(site.pool, "VM.start", vm, False, False))[0] == "VM_BAD_POWER_STATE"
        assert wlb.calls == ["AddXenServer"]


async def test_who_cancels_a_start_does_not_wait_for_the_server() -> None:
    async with wlb_pool() as (site, wlb):
        await enable(site, wlb)
        wlb.silent = True
        vm, engine = site.pool.add_vm(), site.pool.engine
        task = engine.launch("VM.start", (vm, False, False), TEST_CALLER)
        async with asyncio.timeout(20):
            while "VMGetRecommendations" not in wlb.calls:
                await site.pool.clock.sleep(1)
            engine.cancel(task)
            while site.told(task)[0] != "cancelled":
                await site.pool.clock.sleep(1)
        record = site.pool.vm(vm)
        assert (record["power_state"], record["current_operations"], failures(site)) == ("Halted", {}, [])


async def two_on_the_first(site: Site, wlb: WlbServer) -> list[str]:
    """Two machines that run on the first host."""
    rate(site, wlb, "5", "1", "1")
    vms = [site.pool.add_vm(f"vm {number}") for number in range(2)]
    assert [await start(site, vm) for vm in vms] == [0, 0]
    return vms


async def test_a_host_is_emptied_as_the_server_says() -> None:
    async with wlb_pool() as (site, wlb):
        await enable(site, wlb)
        vms = await two_on_the_first(site, wlb)
        wlb.moves = {uuid(site, vm): uuid(site, site.pool.hosts[2]) for vm in vms}
        await site.call("host.evacuate", site.pool.hosts[0], "", 0)
        assert ([host_of(site, vm) for vm in vms], failures(site)) == ([2, 2], [])


REFUSALS: list[Any] = [
    ({"enabled": False}, "HOST_DISABLED"),
    ({"other_config": {}}, "HOST_NOT_ENOUGH_FREE_MEMORY"),  # the host could, and the server leaves a machine out
]


@pytest.mark.parametrize(("change", "code"), REFUSALS)
async def test_a_host_that_cannot_be_emptied_as_the_server_says_stays_as_it_is(
    change: dict[str, Any], code: str
) -> None:
    async with wlb_pool() as (site, wlb):
        await enable(site, wlb)
        vms = await two_on_the_first(site, wlb)
        told = vms if code == "HOST_DISABLED" else vms[:1]
        wlb.moves = {uuid(site, vm): uuid(site, site.pool.hosts[2]) for vm in told}
        site.pool.change(site.pool.hosts[2], **change)
        assert (await refused(site.pool, "host.evacuate", site.pool.hosts[0], "", 0))[0] == code
        assert [host_of(site, vm) for vm in vms] == [0, 0]
        assert failures(site) == []


async def test_what_keeps_a_machine_here_counts_more_than_the_word_of_the_server() -> None:
    async with wlb_pool() as (site, wlb):
        await enable(site, wlb)
        vms = await two_on_the_first(site, wlb)
        local = site.pool.add_sr("local", 10 * GIB, type="ext", shared=False)
        for pbd in site.pool.store.related(local, "PBDs")[1:]:
            site.pool.change(pbd, currently_attached=False)
        disk = site.pool.add_vdi(sr=local)
        site.pool.add("VBD", **site.pool.vbd_values(vms[1], disk, "5"))
        for advised in (vms, vms[:1]):
            wlb.moves = {uuid(site, vm): uuid(site, site.pool.hosts[1]) for vm in advised}
            assert await refused(site.pool, "host.evacuate", site.pool.hosts[0], "", 0) == [
                "VM_REQUIRES_SR", vms[1], local,
            ]  # fmt: skip
        found = await site.call("host.retrieve_wlb_evacuate_recommendations", site.pool.hosts[0])
        assert found == {vms[0]: ("WLB", uuid(site, site.pool.hosts[1])), vms[1]: ("VM_REQUIRES_SR", vms[1], local)}
