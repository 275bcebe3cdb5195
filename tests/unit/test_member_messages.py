"""A host comes to the pool, its guests and its firewall are told of settings, and it prepares to be switched off."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from sim_api import ask, dispatcher, refused

from xenapi_core.engine import firewall
from xenapi_core.ids import NULL_REF
from xenapi_core.model.classes.host_messages import MESSAGES
from xenapi_core.server.agents import plain_refused
from xenapi_core.testing.faults import FaultRule, Faulty
from xenapi_core.testing.pool import GIB, TEST_CALLER, SimPool, sim_pool

MEMBER = replace(TEST_CALLER, local_root=True)  # these messages are for hosts of the pool only
(CREATE,) = (message for message in MESSAGES if message.name == "create")


async def told(pool: SimPool, message: str, *args: Any) -> Any:
    return await ask(pool, message, *args, caller=MEMBER)


async def error(pool: SimPool, message: str, *args: Any) -> list[str]:
    return await refused(pool, message, *args, caller=MEMBER)


def newcomer(**values: Any) -> list[Any]:
    """The arguments of host.create."""
    given = {"uuid": "11111111-2222-3333-4444-555555555555", "name_label": "new", "name_description": "", **values}
    given = {"hostname": "new", "address": "192.0.2.99", **given}
    return [given.get(param.name, param.default) for param in CREATE.params]


# Coming


async def test_record_of_a_host_that_joins_is_not_live_and_takes_no_vms() -> None:
    async with sim_pool(hosts=2) as pool:
        host = await told(pool, "host.create", *newcomer(edition="xcp-ng", ssh_enabled=False, timezone="Asia/Tokyo"))
        record = pool.store.get(host)
        assert record["name_description"] == "Default install"
        assert [record[name] for name in ("address", "edition", "ssh_enabled", "timezone", "enabled")] == [
            "192.0.2.99", "xcp-ng", False, "Asia/Tokyo", False,
        ]  # fmt: skip
        assert record["API_version_major"] == pool.store.get(pool.hosts[0])["API_version_major"]
        assert pool.store.get(record["metrics"])["live"] is False
        assert await refused(pool, "host.enable", host) == ["HOST_OFFLINE", host]
        vm = pool.add_vm()
        assert (await refused(pool, "VM.start_on", vm, host, False, False))[0] == "HOST_NOT_LIVE"
        await ask(pool, "host.destroy", host)
        assert pool.store.find(host) is None
        assert pool.store.find(record["metrics"]) is None


async def test_host_that_was_never_heard_from_closes_no_endpoint() -> None:
    async with sim_pool() as pool:
        refused_at_the_pool = plain_refused(pool.store, None)
        host = await told(pool, "host.create", *newcomer(https_only=True))
        assert not refused_at_the_pool()
        pool.change(pool.store.get(host)["metrics"], live=True)
        assert refused_at_the_pool()


async def test_host_that_the_pool_has_cannot_be_made_again() -> None:
    async with sim_pool(hosts=2) as pool:
        uuid = pool.store.get(pool.hosts[1])["uuid"]
        taken = ["DB_UNIQUENESS_CONSTRAINT_VIOLATION", "host", "uuid", uuid]
        assert await error(pool, "host.create", *newcomer(uuid=uuid)) == taken
        for none in ("", "..", "../../elsewhere", "a uuid", uuid.upper(), f"{{{uuid}}}"):
            assert await error(pool, "host.create", *newcomer(uuid=none)) == ["INVALID_VALUE", "uuid", none]
        pool.change(pool.hosts[0], license_params={"restrict_pool_size": "true"})
        await told(pool, "host.create", *newcomer(name_description="the third"))
        refusal = await error(pool, "host.create", *newcomer(uuid="99999999-2222-3333-4444-555555555555"))
        assert refusal == ["LICENCE_RESTRICTION", "restrict_pool_size"]
        assert len(pool.store.all("host")) == 3


# Media


async def test_medium_that_is_back_in_the_drive_of_a_host_is_seen_by_its_vm() -> None:
    async with sim_pool(hosts=2) as pool:
        drives = pool.add_sr("drives", GIB, type="udev", content_type="disk", shared=False)
        medium = pool.add_vdi(sr=drives, location="/dev/sr0", read_only=True)
        vm = pool.add_vm(disks=0)
        drive = pool.add("VBD", **pool.vbd_values(vm, medium, "3", type="CD", mode="RO"))
        await ask(pool, "VM.start", vm, False, False)
        machine = pool.sim.machines[pool.vm(vm)["uuid"]]
        uuid = pool.store.get(drive)["uuid"]
        volume = machine.disks[uuid].volume
        assert volume == pool.store.get(medium)["uuid"]
        machine.disks[uuid] = replace(machine.disks[uuid], volume=None)  # somebody opened the drive
        for kind, params in (
            ("cdrom", "ejected:/dev/sr0"),
            ("cdrom", "inserted:/dev/sr1"),
            ("floppy", "inserted:/dev/sr0"),
        ):
            await told(pool, "host.notify", kind, params)
            assert machine.disks[uuid].volume is None
        await told(pool, "host.notify", "cdrom", "inserted:/dev/sr0")
        assert machine.disks[uuid].volume == volume
        pool.add_vdi(sr=drives, location="/dev/sr0")
        machine.disks[uuid] = replace(machine.disks[uuid], volume=None)
        await told(pool, "host.notify", "cdrom", "inserted:/dev/sr0")  # two disks say that they are there
        assert machine.disks[uuid].volume is None


# Guests


def read_by_guests(pool: SimPool, host: str) -> dict[str, str]:
    return pool.sim.hosts[pool.store.get(host)["uuid"]].shown_to_guests()


async def test_guests_of_all_hosts_can_read_the_settings_of_their_agents() -> None:
    async with sim_pool(hosts=2) as pool:
        pool.change(pool.pool, restrictions={"restrict_vss": "true"})
        await ask(pool, "pool.add_to_guest_agent_config", pool.pool, "auto_update_enabled", "true")
        await ask(pool, "pool.add_to_guest_agent_config", pool.pool, "auto_update_url", "https://updates.example/x")
        root = "/guest_agent_features/Guest_agent_auto_update"
        expected = {
            f"{root}/licensed": "1", f"{root}/parameters/enabled": "1",
            f"{root}/parameters/update_url": "https://updates.example/x",
        }  # fmt: skip
        assert [read_by_guests(pool, host) for host in pool.hosts] == [expected, expected]
        await ask(pool, "pool.remove_from_guest_agent_config", pool.pool, "auto_update_url")
        pool.change(pool.pool, guest_agent_config={"auto_update_enabled": "false"}, restrictions={})
        await ask(pool, "host.apply_guest_agent_config", pool.hosts[0])
        changed = {
            f"{root}/licensed": "1",
            "/guest_agent_features/VSS/licensed": "1",
            f"{root}/parameters/enabled": "0",
        }
        assert read_by_guests(pool, pool.hosts[0]) == changed
        assert read_by_guests(pool, pool.hosts[1]) == {f"{root}/licensed": "1", f"{root}/parameters/enabled": "1"}
        await ask(pool, "pool.remove_from_guest_agent_config", pool.pool, "auto_update_enabled")
        assert [read_by_guests(pool, host) for host in pool.hosts] == [{}, {}]


async def test_settings_that_agents_would_not_understand_are_refused() -> None:
    async with sim_pool(hosts=2) as pool:
        for key, value in (
            ("auto_update_enabled", "yes"), ("auto_update_url", "updates.example"), ("auto_update_url", "ftp://x/"),
            ("auto_update_url", "http://[::1"),
        ):  # fmt: skip
            refusal = await refused(pool, "pool.add_to_guest_agent_config", pool.pool, key, value)
            assert refusal == ["INVALID_VALUE", key, value]
        await ask(pool, "pool.add_to_guest_agent_config", pool.pool, "other", "thing")
        again = await refused(pool, "pool.add_to_guest_agent_config", pool.pool, "other", "thing")
        assert again == ["MAP_DUPLICATE_KEY", "pool", "guest_agent_config", pool.pool, "other"]
        assert pool.store.get(pool.pool)["guest_agent_config"] == {"other": "thing"}


async def test_host_that_is_down_keeps_no_other_from_telling_its_guests() -> None:
    async with sim_pool(hosts=2) as pool:
        first, second = pool.hosts
        pool.change(pool.store.get(first)["metrics"], live=False)
        await ask(pool, "pool.add_to_guest_agent_config", pool.pool, "auto_update_enabled", "true")
        assert [bool(read_by_guests(pool, host)) for host in (first, second)] == [False, True]
        assert await refused(pool, "host.apply_guest_agent_config", first) == ["HOST_OFFLINE", first]


# Firewalls


async def opened(pool: SimPool, host: str) -> str | None:
    return (await pool.engine.hypervisors[host].settings()).get("firewall_services")


async def test_firewall_lets_through_what_the_records_ask_for() -> None:
    async with sim_pool(hosts=2) as pool:
        first, second = pool.hosts
        await told(pool, "host.update_firewalld_service_status")
        assert await opened(pool, first) == "ssh,xapi-insecure"
        assert await opened(pool, second) is None
        pool.change(first, https_only=True, ssh_enabled=False)
        pool.change(pool.network, purpose=("nbd",))
        pool.change(pool.pool, ha_enabled=True)
        pool.add("Cluster_host", host=first, enabled=True)
        access = pool.add("PIF", host=first, network=pool.network, device="tunnel0", VLAN=-1, currently_attached=True)
        tunnel = pool.add("tunnel", access_PIF=access, protocol="vxlan")
        await told(pool, "host.update_firewalld_service_status")
        assert await opened(pool, first) == "dlm,nbd,vxlan,xenha"
        pool.change(tunnel, protocol="gre")
        pool.change(pool.network, purpose=())
        await told(pool, "host.update_firewalld_service_status")
        assert await opened(pool, first) == "dlm,xenha"
        assert "firewall_services is now 'dlm,xenha'" in await ask(pool, "host.get_log", first)
        pool.change(pool.store.get(first)["metrics"], live=False)
        assert await error(pool, "host.update_firewalld_service_status") == ["HOST_OFFLINE", first]


async def test_firewalls_follow_changes_and_hosts_that_come_up() -> None:
    async with sim_pool(hosts=2) as pool:
        first, second = pool.hosts
        known: dict[str, str] = {}
        pool.change(pool.store.get(second)["metrics"], live=False)
        await firewall.renew(pool.engine, known)
        assert [await opened(pool, host) for host in pool.hosts] == ["ssh,xapi-insecure", None]
        pool.change(pool.store.get(second)["metrics"], live=True)
        pool.change(first, ssh_enabled=False)
        await firewall.renew(pool.engine, known)
        assert [await opened(pool, host) for host in pool.hosts] == ["xapi-insecure", "ssh,xapi-insecure"]


async def test_firewalls_are_told_soon_after_a_change() -> None:
    async with sim_pool(hosts=2) as pool:
        first = pool.hosts[0]
        following = asyncio.ensure_future(firewall.follow(pool.engine))
        try:
            await pool.pass_time(2 * firewall.GATHER)
            assert await opened(pool, first) == "ssh,xapi-insecure"
            pool.change(first, https_only=True)
            assert await opened(pool, first) == "ssh,xapi-insecure"
            await pool.pass_time(2 * firewall.GATHER)
            assert await opened(pool, first) == "ssh"
        finally:
            following.cancel()


# Going


async def prepare(pool: SimPool, host: str) -> None:
    await told(pool, "host.prepare_for_poweroff", host)


def connected(pool: SimPool, host: str) -> list[bool]:
    return [pool.store.get(pbd)["currently_attached"] for pbd in pool.store.related(host, "PBDs")]


async def test_host_that_prepares_is_emptied_and_disabled_until_it_has_booted() -> None:
    async with sim_pool(hosts=2) as pool:
        first, second = pool.hosts
        vm = await pool.running(affinity=second)
        assert pool.vm(vm)["resident_on"] == second
        await prepare(pool, second)
        assert (pool.vm(vm)["power_state"], pool.vm(vm)["resident_on"]) == ("Running", first)
        assert (connected(pool, first), connected(pool, second)) == ([True, True], [False, False])
        assert pool.store.get(second)["enabled"] is False
        assert await refused(pool, "host.enable", second) == ["HOST_DISABLED_UNTIL_REBOOT", second]
        assert "enable" not in dispatcher(pool).records.value(pool.store.get(second), "allowed_operations")
        await ask(pool, "host.reboot", second)
        await pool.pass_time(600)
        assert connected(pool, second) == [True, True]
        assert pool.store.get(second)["enabled"] is True
        await ask(pool, "host.enable", second)


async def test_vms_that_cannot_move_are_shut_down_but_for_those_that_see_to_it_themselves() -> None:
    async with sim_pool(hosts=2) as pool:
        first, second = pool.hosts
        pool.change(second, enabled=False)
        vm, deaf = await pool.running("vm"), await pool.running("deaf")
        own = await pool.running("own", disks=0, other_config={"auto_poweroff": "true"})
        pool.sim.machines[pool.vm(deaf)["uuid"]].ignores_shutdown = True
        await prepare(pool, first)
        assert [pool.vm(each)["power_state"] for each in (vm, deaf, own)] == ["Halted", "Halted", "Running"]
        assert connected(pool, first) == [False, False]


async def test_storage_that_cannot_be_disconnected_keeps_no_host_from_going_down() -> None:
    async with sim_pool(hosts=2) as pool:
        second = pool.hosts[1]
        rule = FaultRule("detach")
        storage = pool.engine.storages[pool.sr]
        pool.engine.storages[pool.sr] = Faulty(storage, [rule], pool.clock)
        await prepare(pool, second)
        assert rule.fired == 1
        assert sorted(connected(pool, second)) == [False, True]
        assert (await refused(pool, "host.enable", second))[0] == "HOST_DISABLED_UNTIL_REBOOT"


async def test_storage_that_is_gone_at_the_next_boot_keeps_no_other_away() -> None:
    async with sim_pool(hosts=2) as pool:
        second = pool.hosts[1]
        await prepare(pool, second)
        rule = FaultRule("attach")
        pool.engine.storages[pool.sr] = Faulty(pool.engine.storages[pool.sr], [rule], pool.clock)
        await ask(pool, "host.reboot", second)
        await pool.pass_time(600)
        assert rule.fired == 1
        assert sorted(connected(pool, second)) == [False, True]
        assert pool.store.get(second)["enabled"] is True


async def test_host_that_is_down_prepares_for_nothing() -> None:
    async with sim_pool(hosts=2) as pool:
        second = pool.hosts[1]
        pool.change(pool.store.get(second)["metrics"], live=False)
        assert await error(pool, "host.prepare_for_poweroff", second) == ["HOST_OFFLINE", second]
        assert (await error(pool, "host.prepare_for_poweroff", NULL_REF))[0] == "HANDLE_INVALID"


# Who may say so


@pytest.mark.parametrize("message", ["host.sync_vlans", "host.request_backup", "host.signal_networking_change"])
async def test_what_members_say_to_each_other_is_refused_to_people(message: str) -> None:
    async with sim_pool() as pool:
        host = pool.hosts[0]
        args = {"host.sync_vlans": (host,), "host.request_backup": (host, 1, True)}.get(message, ())
        assert (await refused(pool, message, *args))[:2] == ["RBAC_PERMISSION_DENIED", message]
