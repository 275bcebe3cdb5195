"""Transcendent memory: what guests hand over, who may keep it, and how the messages of API 1.0 control it."""

from __future__ import annotations

import uuid as uuids

import pytest
from sim_api import ask, refused

from xenapi_core.drivers.api import DriverError
from xenapi_core.drivers.sim.hypervisor import BOOT_WRITES, SimHypervisor
from xenapi_core.drivers.sim.world import SimGuest
from xenapi_core.server.adopt import adopt_host
from xenapi_core.testing.pool import GIB, SimPool, sim_pool

PAGE = 4096
MIB = 1 << 20
BOOT = BOOT_WRITES // PAGE  # pages a guest hands over when it boots


async def guest(pool: SimPool, name: str = "vm", memory: int = GIB) -> str:
    """A running VM whose kernel uses transcendent memory."""
    return await pool.running(name, memory=memory, PV_args="root=/dev/xvda1 tmem ro")


def driver(pool: SimPool, host: str) -> SimHypervisor:
    return pool.sim.hosts[pool.store.get(host)["uuid"]]


def inside(pool: SimPool, vm: str) -> SimGuest:
    return pool.sim.guest(pool.vm(vm)["uuid"])


async def line(pool: SimPool, vm: str, kind: str = "C", long: bool = True) -> dict[str, str]:
    """The first line of that kind of what the host of `vm` tells of its domain."""
    record = pool.vm(vm)
    told = await ask(pool, "host.tmem_list", record["resident_on"], record["domid"], long)
    return pairs(next(text for text in told.splitlines() if text.startswith(f"{kind}=")))


def pairs(text: str) -> dict[str, str]:
    return dict(pair.split(":") for pair in text.partition("=")[2].split(","))


async def unused(pool: SimPool, host: str) -> int:
    """Bytes that the host's driver says nobody has."""
    return (await driver(pool, host).usage()).memory_free


async def test_kernel_that_asks_for_it_hands_its_clean_pages_over() -> None:
    async with sim_pool() as pool:
        (host,) = pool.hosts
        vm, plain = await guest(pool), await pool.running("plain", PV_args="notmem")
        domid = pool.vm(vm)["domid"]
        short = await ask(pool, "host.tmem_list", host, domid, False)
        assert short == (
            f"C=CI:{domid},ww:0,ca:0,co:0,fr:0,Ge:0,Pp:0,Gp:0\n"
            f"P=CI:{domid},PI:0,PT:EP,U0:0,U1:0\nP=CI:{domid},PI:1,PT:PP,U0:0,U1:0\n"
        )
        assert await ask(pool, "host.tmem_list", host, -1, False) == f"G=Pf:0,Et:0\n{short}"
        everything = await ask(pool, "host.tmem_list", host, -1, True)
        assert everything.startswith(f"G=Pf:0,Et:0,Ec:{BOOT},Pc:{BOOT},Fc:{BOOT}\nC=CI:{domid},")
        told = await line(pool, vm, "P")
        assert (told["Pc"], told["ps"], told["pt"], told["px"], told["gs"]) == (
            str(BOOT),
            str(BOOT),
            str(BOOT),
            "0",
            "0",
        )
        assert inside(pool, vm).recall_pages(100) == 100
        assert (await line(pool, vm))["Ge"] == "100"
        assert inside(pool, vm).recall_pages(BOOT) == BOOT - 100
        assert (await line(pool, vm, "P"))["Pc"] == "0"
        other = pool.vm(plain)["domid"]
        assert await refused(pool, "host.tmem_list", host, other, False) == ["INVALID_VALUE", "domid", str(other)]
        assert await refused(pool, "host.tmem_list", host, 99, False) == ["INVALID_VALUE", "domid", "99"]


async def test_pages_are_in_memory_nobody_has_until_they_are_flushed() -> None:
    async with sim_pool() as pool:
        (host,) = pool.hosts
        vm = await guest(pool)
        assert await unused(pool, host) == 15 * GIB - BOOT * PAGE
        metrics = pool.store.get(host)["metrics"]
        free = pool.store.get(metrics)["memory_free"]
        assert await ask(pool, "host.compute_free_memory", host) == free == 15 * GIB
        assert await ask(pool, "host.tmem_query_freeable_mb", host) == BOOT * PAGE // MIB
        assert await ask(pool, "host.tmem_flush", host, -1, 1025) == 1028, "whole pages go"
        assert (await line(pool, vm))["Ec"] == str(BOOT - 257)
        assert await ask(pool, "host.tmem_flush", host, pool.vm(vm)["domid"], 4) == 4
        assert await ask(pool, "host.tmem_flush", host, -1, 0) == 0
        rest = (BOOT - 258) * 4
        assert await ask(pool, "host.tmem_flush", host, -1, 1 << 30) == rest
        assert await ask(pool, "host.tmem_query_freeable_mb", host) == 0
        assert await unused(pool, host) == 15 * GIB
        assert pool.store.get(metrics)["memory_free"] == free
        assert inside(pool, vm).recall_pages(1) == 0
        assert await refused(pool, "host.tmem_flush", host, -1, -1) == ["INVALID_VALUE", "pages", "-1"]


async def test_pages_make_room_for_a_vm_that_starts() -> None:
    async with sim_pool() as pool:
        (host,) = pool.hosts
        vm = await guest(pool)
        lent = 15 * GIB // PAGE
        assert inside(pool, vm).offer_pages(lent) == lent, "older pages make room for newer ones"
        assert await unused(pool, host) == 0
        assert pairs((await ask(pool, "host.tmem_list", host, -1, False)).splitlines()[0])["Et"] == str(BOOT)
        assert inside(pool, vm).offer_pages(2 * lent) == lent
        assert (await line(pool, vm, "P"))["px"] == str(lent)
        await pool.running("large", memory=10 * GIB)
        assert await ask(pool, "host.tmem_query_freeable_mb", host) == 5 << 10
        assert await unused(pool, host) == 0
        rest = pool.add_vm("rest", memory=6 * GIB)
        assert (await refused(pool, "VM.start", rest, False, False))[0] == "HOST_NOT_ENOUGH_FREE_MEMORY"


async def test_guest_beyond_its_weight_loses_its_pages_first() -> None:
    async with sim_pool() as pool:
        (host,) = pool.hosts
        light, heavy = await guest(pool, "light"), await guest(pool, "heavy")
        await ask(pool, "host.tmem_set_weight", host, pool.vm(light)["domid"], 1)
        await ask(pool, "host.tmem_set_weight", host, pool.vm(heavy)["domid"], 3)
        inside(pool, light).offer_pages(BOOT)
        assert [(await line(pool, vm))["ww"] for vm in (light, heavy)] == ["1", "3"]
        await ask(pool, "host.tmem_flush", host, -1, BOOT * 4)
        left = [int((await line(pool, vm))["Ec"]) for vm in (light, heavy)]
        assert sum(left) == 2 * BOOT
        assert left[1] == BOOT, "the light one had more than a quarter"
        await ask(pool, "host.tmem_set_weight", host, -1, 0)
        await ask(pool, "host.tmem_flush", host, -1, BOOT * 4)
        assert [(await line(pool, vm))["Ec"] for vm in (light, heavy)] == [str(BOOT), "0"], "the oldest go"


async def test_cap_is_the_most_that_clean_pages_take() -> None:
    async with sim_pool() as pool:
        (host,) = pool.hosts
        vm = await guest(pool)
        await ask(pool, "host.tmem_set_cap", host, pool.vm(vm)["domid"], 1)
        assert await ask(pool, "host.tmem_query_freeable_mb", host) == 1
        assert inside(pool, vm).offer_pages(300) == 256
        assert (await line(pool, vm))["Ec"] == "256"
        await ask(pool, "host.tmem_set_cap", host, -1, 0)
        assert inside(pool, vm).offer_pages(300) == 300
        assert (await line(pool, vm))["ca"] == "0"


async def test_compressed_pages_take_half_the_memory() -> None:
    async with sim_pool() as pool:
        (host,) = pool.hosts
        vm = await guest(pool)
        await ask(pool, "host.tmem_flush", host, -1, 1 << 30)
        await ask(pool, "host.tmem_set_compress", host, pool.vm(vm)["domid"], 1)
        inside(pool, vm).offer_pages(512)
        told = await line(pool, vm)
        assert (told["co"], told["Ec"], told["cp"], told["cb"]) == ("1", "512", "512", str(MIB))
        assert await ask(pool, "host.tmem_query_freeable_mb", host) == 1
        await ask(pool, "host.tmem_set_compress", host, -1, 0)
        inside(pool, vm).offer_pages(256)
        assert await ask(pool, "host.tmem_query_freeable_mb", host) == 2


async def test_frozen_guest_finds_its_pages_and_brings_none() -> None:
    async with sim_pool() as pool:
        (host,) = pool.hosts
        vm, other = await guest(pool), await guest(pool, "other")
        domid = pool.vm(vm)["domid"]
        await ask(pool, "host.tmem_freeze", host, domid)
        assert [(await line(pool, each))["fr"] for each in (vm, other)] == ["1", "0"]
        assert [inside(pool, each).offer_pages(9) for each in (vm, other)] == [0, 9]
        assert inside(pool, vm).swap_out(9) == 0
        assert inside(pool, vm).recall_pages(9) == 9
        await ask(pool, "host.tmem_freeze", host, -1)
        assert inside(pool, other).offer_pages(9) == 0
        await ask(pool, "host.tmem_thaw", host, -1)
        assert [inside(pool, each).offer_pages(9) for each in (vm, other)] == [9, 9]
        await ask(pool, "host.tmem_freeze", host, domid)
        await ask(pool, "host.tmem_thaw", host, domid)
        assert (await line(pool, vm))["fr"] == "0"


async def test_swapped_pages_are_in_what_the_balloon_gave_back() -> None:
    async with sim_pool() as pool:
        (host,) = pool.hosts
        vm = await guest(pool)
        before = await unused(pool, host)
        assert inside(pool, vm).swap_out(1) == 0
        pool.change(vm, memory_static_min=GIB // 2)
        await ask(pool, "VM.set_memory_dynamic_range", vm, GIB - MIB, GIB - MIB)
        assert inside(pool, vm).swap_out(300) == 256
        told = await line(pool, vm)
        assert (told["Pp"], told["Ec"]) == ("256", str(BOOT))
        assert await unused(pool, host) == before
        await ask(pool, "host.tmem_flush", host, -1, 1 << 30)
        assert inside(pool, vm).swap_in(100) == 100
        assert inside(pool, vm).swap_out(200) == 100
        assert (await line(pool, vm))["Gp"] == "100"


async def test_destroyed_memory_comes_back_with_the_next_start() -> None:
    async with sim_pool() as pool:
        (host,) = pool.hosts
        vm, other = await guest(pool), await guest(pool, "other")
        domid = pool.vm(vm)["domid"]
        await ask(pool, "host.tmem_destroy", host, domid)
        assert await refused(pool, "host.tmem_list", host, domid, False) == ["INVALID_VALUE", "domid", str(domid)]
        assert await ask(pool, "host.tmem_query_freeable_mb", host) == BOOT * PAGE // MIB
        await ask(pool, "VM.hard_reboot", vm)
        assert (await line(pool, vm))["Ec"] == str(BOOT)
        await ask(pool, "host.tmem_destroy", host, -1)
        assert await ask(pool, "host.tmem_list", host, -1, False) == "G=Pf:0,Et:0\n"
        assert pool.vm(other)["power_state"] == "Running"


@pytest.mark.parametrize("ending", ["VM.hard_shutdown", "VM.clean_shutdown", "VM.suspend", "crash"])
async def test_memory_of_a_guest_goes_with_its_domain(ending: str) -> None:
    async with sim_pool() as pool:
        (host,) = pool.hosts
        vm = await guest(pool)
        pool.change(vm, actions_after_crash="preserve")
        if ending == "crash":
            pool.sim.guest(pool.vm(vm)["uuid"]).crash()
            await pool.pass_time(5)
        else:
            await ask(pool, ending, vm)
        assert await ask(pool, "host.tmem_query_freeable_mb", host) == 0
        assert await ask(pool, "host.tmem_list", host, -1, False) == "G=Pf:0,Et:0\n"
        if ending == "VM.suspend":
            await ask(pool, "VM.resume", vm, False, False)
            assert (await line(pool, vm))["Ec"] == "0"


async def test_guest_that_moves_takes_settings_and_swapped_pages_along() -> None:
    async with sim_pool(hosts=2) as pool:
        vm = await guest(pool)
        origin = pool.vm(vm)["resident_on"]
        target = next(host for host in pool.hosts if host != origin)
        pool.change(vm, memory_static_min=GIB // 2)
        await ask(pool, "VM.set_memory_dynamic_range", vm, GIB - MIB, GIB - MIB)
        inside(pool, vm).swap_out(10)
        for name, value in (("weight", 5), ("cap", 7), ("compress", 1)):
            await ask(pool, f"host.tmem_set_{name}", origin, pool.vm(vm)["domid"], value)
        await ask(pool, "VM.pool_migrate", vm, target, {"live": "true"})
        assert await ask(pool, "host.tmem_query_freeable_mb", origin) == 0
        assert "C=" not in await ask(pool, "host.tmem_list", origin, -1, False)
        told = await line(pool, vm)
        assert (told["ww"], told["ca"], told["co"], told["Ec"], told["Pp"]) == ("5", "7", "1", "0", "10")
        assert inside(pool, vm).swap_in(20) == 10


async def test_host_that_restarts_has_forgotten_everything() -> None:
    async with sim_pool() as pool:
        (host,) = pool.hosts
        vm = await guest(pool)
        await ask(pool, "host.tmem_set_weight", host, -1, 5)
        await ask(pool, "host.tmem_shared_auth", host, -1, "", 1)
        driver(pool, host).crash()
        await pool.pass_time(5)
        for wire_name, args in (("tmem_list", (-1, False)), ("tmem_thaw", (-1,)), ("tmem_query_freeable_mb", ())):
            assert await refused(pool, f"host.{wire_name}", host, *args) == ["HOST_OFFLINE", host]
        await pool.pass_time(600)
        assert await ask(pool, "host.tmem_list", host, -1, False) == "G=Pf:0,Et:0\n"
        await ask(pool, "VM.start", vm, False, False)
        assert (await line(pool, vm))["ww"] == "0"
        assert inside(pool, vm).join_pool(str(uuids.UUID(int=1))).uuid == ""


async def test_guests_share_the_pools_they_are_allowed() -> None:
    async with sim_pool() as pool:
        (host,) = pool.hosts
        one, two, three = [await guest(pool, name) for name in ("one", "two", "three")]
        shared = "00000000-0000-00ab-0000-0000000000cd"
        for vm in (one, two):
            await ask(pool, "host.tmem_shared_auth", host, pool.vm(vm)["domid"], shared.upper(), 1)
        pools = [inside(pool, vm).join_pool(shared) for vm in (one, two, three)]
        assert pools[0] is pools[1]
        assert [found.uuid for found in pools] == [shared, shared, ""]
        assert inside(pool, one).offer_pages(50, pools[0]) == 50
        assert inside(pool, two).recall_pages(80, pools[1]) == 50
        assert inside(pool, one).recall_pages(80, pools[0]) == 50, "they stay for the others"
        domids = [pool.vm(vm)["domid"] for vm in (one, two)]
        told = (await ask(pool, "host.tmem_list", host, -1, False)).splitlines()
        assert told[1] == f"S=SI:0,PT:ES,U0:cd,U1:ab,SC:{domids[0]},SC:{domids[1]}"
        assert f"P=CI:{domids[1]},PI:2,PT:ES,U0:cd,U1:ab" in told
        await ask(pool, "host.tmem_shared_auth", host, domids[1], shared, 0)
        assert inside(pool, two).join_pool(shared).uuid == "", "it is asked when a guest joins"
        await ask(pool, "VM.hard_shutdown", one)
        assert pools[1].pages == 0, "what it brought went with it"
        await ask(pool, "VM.hard_shutdown", two)
        assert "S=" not in await ask(pool, "host.tmem_list", host, -1, False)
        await ask(pool, "host.tmem_shared_auth", host, -1, "any", 1)
        assert inside(pool, three).join_pool(shared).uuid == shared
        await ask(pool, "host.tmem_shared_auth", host, -1, "any", 0)
        assert inside(pool, three).join_pool(str(uuids.UUID(int=7))).uuid == ""


async def test_values_that_make_no_sense_are_refused() -> None:
    async with sim_pool() as pool:
        (host,) = pool.hosts
        domid = pool.vm(await guest(pool))["domid"]
        for name, value in (("weight", -1), ("weight", 1 << 31), ("cap", -5), ("compress", 2)):
            told = await refused(pool, f"host.tmem_set_{name}", host, domid, value)
            assert told == ["INVALID_VALUE", "value", str(value)]
        share = "host.tmem_shared_auth"
        assert await refused(pool, share, host, domid, "cluster", 1) == ["INVALID_VALUE", "uuid", "cluster"]
        assert await refused(pool, share, host, domid, str(uuids.UUID(int=1)), 2) == ["INVALID_VALUE", "auth", "2"]
        assert await refused(pool, share, host, 99, str(uuids.UUID(int=1)), 1) == ["INVALID_VALUE", "domid", "99"]
        assert await refused(pool, "host.tmem_freeze", "OpaqueRef:x", -1) == ["HANDLE_INVALID", "host", "OpaqueRef:x"]


async def test_driver_without_transcendent_memory_says_so() -> None:
    async with sim_pool() as pool:
        (host,) = pool.hosts

        class Plain:
            """The host's driver, but for its transcendent memory."""

            def __init__(self, driver: object) -> None:
                self.driver = driver

            def __getattr__(self, name: str) -> object:
                return getattr(self.driver, name)

            async def tmem_list(self, machine: str | None, long: bool) -> str:
                raise DriverError("unsupported", "this host has no transcendent memory")

        pool.engine.hypervisors[host] = Plain(pool.engine.hypervisors[host])  # type: ignore[assignment]
        told = await refused(pool, "host.tmem_list", host, -1, False)
        assert told == ["OPERATION_NOT_ALLOWED", "this host has no transcendent memory"]


async def test_settings_are_the_domains_and_end_with_it() -> None:
    async with sim_pool() as pool:
        (host,) = pool.hosts
        vm, other = await guest(pool), await guest(pool, "other")
        domid, share = pool.vm(vm)["domid"], str(uuids.UUID(int=3))
        await ask(pool, "host.tmem_set_weight", host, domid, 4)
        await ask(pool, "host.tmem_set_compress", host, -1, 1)
        await ask(pool, "host.tmem_freeze", host, domid)
        await ask(pool, "host.tmem_shared_auth", host, domid, share, 1)
        settings = {"weight": "4", "compress": "1", "frozen": "1", "shares": share}
        assert (pool.vm(vm)["tmem"], pool.vm(other)["tmem"]) == (settings, {"compress": "1"})
        async with sim_pool(seed="other") as fresh:
            adopt_host(pool.store, fresh.engine, fresh.sim, pool.store.get(host))
            machines = {domain.uuid: domain.tmem for domain in await driver(pool, host).domains()}
            again = {
                domain.uuid: domain.tmem for domain in await fresh.sim.hosts[pool.store.get(host)["uuid"]].domains()
            }
            assert again == machines
            assert again[pool.vm(vm)["uuid"]] == settings
        for ending in ("VM.hard_reboot", "VM.hard_shutdown"):
            await ask(pool, "host.tmem_set_cap", host, -1, 9)
            assert pool.vm(other)["tmem"]["cap"] == "9"
            await ask(pool, ending, other)
            assert pool.vm(other)["tmem"] == {}
        copy = await ask(pool, "VM.snapshot", vm, "copy")
        assert (pool.vm(copy)["tmem"], pool.vm(vm)["tmem"]) == ({}, {**settings, "cap": "9"})
        await ask(pool, "VM.checkpoint", vm, "check")
        assert pool.vm(vm)["tmem"] == {}, "it was saved and built again"
        await ask(pool, "host.tmem_destroy", host, -1)
        assert pool.vm(vm)["tmem"] == {}
