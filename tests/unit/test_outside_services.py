"""Services outside the pool: SDN controllers, servers that stream disks, workload balancing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sim_api import ask, refused

from xenapi_core.ids import NULL_REF
from xenapi_core.testing.pool import SimPool, sim_pool

ADDRESS = "192.0.2.99"


@asynccontextmanager
async def switched_pool() -> AsyncIterator[SimPool]:
    """Two hosts with Open vSwitch."""
    async with sim_pool(hosts=2) as pool:
        for host in pool.hosts:
            pool.change(host, software_version={"network_backend": "openvswitch"})
        yield pool


# SDN controllers


def told(pool: SimPool) -> set[str | None]:
    """What the hosts themselves know of a controller."""
    return {host.chosen.get("sdn_controller") for host in pool.sim.hosts.values()}


def shown(pool: SimPool) -> str:
    return str(pool.store.get(pool.pool)["vswitch_controller"])


CONTROLLERS: list[Any] = [
    (("ssl", ADDRESS, 0), 6632, f"ssl:{ADDRESS}:6632"),
    (("ssl", "2001:db8::9", 7000), 7000, "ssl:[2001:db8::9]:7000"),
    (("pssl", "", 0), 6632, "pssl::6632"),
]


@pytest.mark.parametrize(("args", "port", "setting"), CONTROLLERS)
async def test_all_hosts_are_told_who_controls_their_switches(args: Any, port: int, setting: str) -> None:
    async with switched_pool() as pool:
        ref = await ask(pool, "SDN_controller.introduce", *args)
        record = pool.store.get(ref)
        assert (record["protocol"], record["address"], record["port"]) == (*args[:2], port)
        assert (told(pool), shown(pool)) == ({setting}, args[1])
        assert (await refused(pool, "SDN_controller.introduce", "ssl", ADDRESS, 0))[0] == "OPERATION_NOT_ALLOWED"
        await ask(pool, "SDN_controller.forget", ref)
        assert (told(pool), shown(pool), pool.store.all("SDN_controller")) == ({None}, "", {})


WRONG: list[Any] = [
    (("ssl", "", 0), ["INVALID_IP_ADDRESS_SPECIFIED", "address"]),
    (("ssl", "controller.example", 0), ["INVALID_IP_ADDRESS_SPECIFIED", "address"]),
    (("ssl", ADDRESS, -1), ["VALUE_NOT_SUPPORTED", "port", "-1"]),
    (("pssl", "", 65536), ["VALUE_NOT_SUPPORTED", "port", "65536"]),
    (("pssl", ADDRESS, 0), ["VALUE_NOT_SUPPORTED", "address", ADDRESS]),
]


@pytest.mark.parametrize(("args", "refusal"), WRONG)
async def test_a_controller_that_cannot_be_is_refused(args: Any, refusal: list[str]) -> None:
    async with switched_pool() as pool:
        assert (await refused(pool, "SDN_controller.introduce", *args))[: len(refusal)] == refusal
        assert (told(pool), pool.store.all("SDN_controller")) == ({None}, {})


async def test_switches_of_another_kind_have_no_controller() -> None:
    async with switched_pool() as pool:
        pool.change(pool.hosts[1], software_version={"network_backend": "bridge"})
        for message, *args in (("SDN_controller.introduce", "pssl", "", 0), ("pool.set_vswitch_controller", ADDRESS)):
            assert await refused(pool, message, *args) == ["OPENVSWITCH_NOT_ACTIVE"]


async def test_older_clients_name_the_controller_of_a_pool_by_its_address() -> None:
    async with switched_pool() as pool:
        await ask(pool, "pool.set_vswitch_controller", "")
        for address in (ADDRESS, ADDRESS, "192.0.2.100"):
            await ask(pool, "pool.set_vswitch_controller", address)
            (record,) = pool.store.all("SDN_controller").values()
            assert (record["address"], shown(pool), told(pool)) == (address, address, {f"ssl:{address}:6632"})
        await ask(pool, "pool.set_vswitch_controller", "")
        assert (pool.store.all("SDN_controller"), shown(pool), told(pool)) == ({}, "", {None})
        await ask(pool, "SDN_controller.introduce", "pssl", "", 0)
        assert (await refused(pool, "pool.set_vswitch_controller", ADDRESS))[0] == "OPERATION_NOT_ALLOWED"


# Servers that stream disks


async def test_a_site_goes_when_its_servers_are_gone() -> None:
    async with switched_pool() as pool:
        site = await ask(pool, "PVS_site.introduce", "site", "of disks", "first")
        await ask(pool, "PVS_site.set_PVS_uuid", site, "second")
        record = pool.store.get(site)
        assert (record["name_label"], record["name_description"], record["PVS_uuid"]) == ("site", "of disks", "second")
        server = await ask(pool, "PVS_server.introduce", (ADDRESS, ADDRESS), 6910, 6930, site)
        assert pool.store.get(server)["addresses"] == (ADDRESS,)
        assert await ask(pool, "PVS_site.get_servers", site) == (server,)
        assert await refused(pool, "PVS_site.forget", site) == ["PVS_SITE_CONTAINS_SERVERS", server]
        await ask(pool, "PVS_server.forget", server)
        await ask(pool, "PVS_site.forget", site)
        assert pool.store.find(site) is None


WRONG_SERVERS: list[Any] = [
    (((), 1, 2), "INVALID_IP_ADDRESS_SPECIFIED"),
    ((("2001:db8::1",), 1, 2), "INVALID_IP_ADDRESS_SPECIFIED"),
    (((ADDRESS, "x"), 1, 2), "INVALID_IP_ADDRESS_SPECIFIED"),
    (((ADDRESS,), 0, 2), "VALUE_NOT_SUPPORTED"),
    (((ADDRESS,), 1, 65536), "VALUE_NOT_SUPPORTED"),
    (((ADDRESS,), 2, 1), "VALUE_NOT_SUPPORTED"),
    ((("192.0.2.50", ADDRESS), 1, 2), ""),
    ((("192.0.2.50", "192.0.2.1"), 1, 2), "PVS_SERVER_ADDRESS_IN_USE"),
]


@pytest.mark.parametrize(("args", "code"), WRONG_SERVERS)
async def test_servers_have_addresses_of_their_own_and_ports(args: Any, code: str) -> None:
    async with switched_pool() as pool:
        site = await ask(pool, "PVS_site.introduce", "", "", "")
        await ask(pool, "PVS_server.introduce", ("192.0.2.1",), 6910, 6910, site)
        if code:
            assert (await refused(pool, "PVS_server.introduce", *args, site))[0] == code
        else:
            await ask(pool, "PVS_server.introduce", *args, site)
        assert (await refused(pool, "PVS_server.introduce", *args, NULL_REF))[0] == "HANDLE_INVALID"


# Workload balancing

CONFIGURATION: list[Any] = [("pool.retrieve_wlb_configuration",), ("pool.send_wlb_configuration", {"key": "value"})]


def recommendations(pool: SimPool, vm: str) -> list[tuple[str, ...]]:
    return [
        ("pool.retrieve_wlb_recommendations",),
        ("VM.retrieve_wlb_recommendations", vm),
        ("host.retrieve_wlb_evacuate_recommendations", pool.hosts[0]),
    ]


async def test_a_pool_without_workload_balancing_says_so() -> None:
    async with switched_pool() as pool:
        for message, *args in (*CONFIGURATION, *recommendations(pool, pool.add_vm()), ("pool.deconfigure_wlb",)):
            assert await refused(pool, message, *args) == ["WLB_NOT_INITIALIZED"]
        assert await refused(pool, "pool.set_wlb_enabled", pool.pool, True) == ["WLB_NOT_INITIALIZED"]
        await ask(pool, "pool.set_wlb_enabled", pool.pool, False)
        assert not pool.store.get(pool.pool)["wlb_enabled"]
        for message in ("VM.retrieve_wlb_recommendations", "host.retrieve_wlb_evacuate_recommendations"):
            assert (await refused(pool, message, NULL_REF))[0] == "HANDLE_INVALID"


async def test_a_process_that_reaches_no_other_server_asks_none() -> None:
    async with switched_pool() as pool:
        pool.change(pool.pool, wlb_url="wlb.example:8012", wlb_username="wlb")
        asked = recommendations(pool, pool.add_vm())
        for message, *args in asked:
            assert await refused(pool, message, *args) == ["WLB_DISABLED"]
        await ask(pool, "pool.set_wlb_enabled", pool.pool, True)
        initialize = ("pool.initialize_wlb", "wlb.example:8012", "wlb", "word", "root", "word")
        for message, *args in (*asked, *CONFIGURATION, initialize, ("pool.deconfigure_wlb",)):
            assert await refused(pool, message, *args) == ["NOT_IMPLEMENTED", message]
        vm = pool.add_vm("started all the same")
        await ask(pool, "VM.start", vm, False, False)
        assert (pool.vm(vm)["power_state"], pool.store.get(pool.pool)["wlb_url"]) == ("Running", "wlb.example:8012")


# Storage on LVM


async def test_no_storage_changes_how_it_gives_room_to_disks() -> None:
    async with switched_pool() as pool:
        host = pool.hosts[0]
        for sr in (pool.sr, pool.add_sr("volumes", 1 << 30, type="lvmoiscsi")):
            told = await refused(pool, "LVHD.enable_thin_provisioning", host, sr, 1 << 20, 1 << 20)
            assert told == ["SR_OPERATION_NOT_SUPPORTED", sr]
        told = await refused(pool, "LVHD.enable_thin_provisioning", host, pool.sr, 0, -1)
        assert told == ["INVALID_VALUE", "allocation_quantum", "-1"]
