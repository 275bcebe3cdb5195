"""Settings that hosts keep themselves, what hosts tell of themselves, and what is done about hosts in trouble."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from api_pool import api_pool
from sim_api import ask, refused

from xenapi_core.engine.caller import Caller
from xenapi_core.ids import NULL_REF
from xenapi_core.model.schema import POOL_ADMIN
from xenapi_core.testing.faults import FaultRule, Faulty
from xenapi_core.testing.pool import SimPool, sim_pool

DAY = 86_400


def chosen(pool: SimPool, host: str) -> Mapping[str, str]:
    """What the simulated host itself has."""
    return pool.sim.hosts[pool.store.get(host)["uuid"]].chosen


KEPT: list[tuple[str, Any, str, str, str]] = [
    ("set_iscsi_iqn", "iqn.2026-01.org.example:one", "iscsi_iqn", "iscsi_iqn", "iqn.2026-01.org.example:one"),
    ("set_multipathing", True, "multipathing", "multipathing", "true"),
    ("set_timezone", "Asia/Tokyo", "timezone", "timezone", "Asia/Tokyo"),
    ("set_ntp_mode", "Disabled", "ntp_mode", "ntp_mode", "Disabled"),
    ("set_ntp_custom_servers", ("a.example", "2001:db8::1"), "ntp_custom_servers", "ntp_custom_servers",
     "a.example,2001:db8::1"),
    ("set_max_cstate", "3,1", "max_cstate", "max_cstate", "3,1"),
    ("set_numa_affinity_policy", "best_effort", "numa_affinity_policy", "numa_affinity_policy", "best_effort"),
    ("set_console_idle_timeout", 600, "console_idle_timeout", "console_idle_timeout", "600"),
]  # fmt: skip


@pytest.mark.parametrize(("message", "value", "field", "setting", "word"), KEPT, ids=[row[0] for row in KEPT])
async def test_setting_is_told_to_the_host_and_recorded(
    message: str, value: Any, field: str, setting: str, word: str
) -> None:
    async with sim_pool(hosts=2) as pool:
        host, other = pool.hosts
        await ask(pool, f"host.{message}", host, value)
        assert pool.store.get(host)[field] == value
        assert chosen(pool, host) == {setting: word}
        assert chosen(pool, other) == {}
        pool.sim.hosts[pool.store.get(other)["uuid"]].fail()
        before = pool.store.get(other)[field]
        assert await refused(pool, f"host.{message}", other, value) == ["HOST_OFFLINE", other]
        assert pool.store.get(other)[field] == before


WRONG: list[tuple[str, Any, list[str]]] = [
    ("set_iscsi_iqn", "disk one", ["INVALID_VALUE", "iscsi_iqn", "disk one"]),
    ("set_timezone", "Mars/Olympus", ["INVALID_VALUE", "timezone", "Mars/Olympus"]),
    ("set_ntp_mode", "Custom", ["INVALID_NTP_CONFIG", "Mode Custom needs ntp_custom_servers"]),
    ("set_ntp_custom_servers", ("a b",), ["INVALID_NTP_CONFIG", "'a b' is no name or address of a server"]),
    ("set_max_cstate", "deep", ["INVALID_VALUE", "max_cstate", "deep"]),
    ("set_console_idle_timeout", -1, ["INVALID_VALUE", "console_idle_timeout", "-1"]),
    ("send_debug_keys", "", ["INVALID_VALUE", "keys", ""]),
    ("set_ssl_legacy", True, ["VALUE_NOT_SUPPORTED", "ssl_legacy", "true", "TLS 1.2 is the least that is accepted"]),
]


@pytest.mark.parametrize(("message", "value", "error"), WRONG, ids=[row[0] for row in WRONG])
async def test_value_that_no_host_could_have_is_refused(message: str, value: Any, error: list[str]) -> None:
    async with sim_pool() as pool:
        assert await refused(pool, f"host.{message}", pool.hosts[0], value) == error
        assert chosen(pool, pool.hosts[0]) == {}


async def test_host_with_custom_time_servers_keeps_at_least_one() -> None:
    async with sim_pool() as pool:
        (host,) = pool.hosts
        await ask(pool, "host.set_ntp_custom_servers", host, ("192.0.2.123",))
        await ask(pool, "host.set_ntp_mode", host, "Custom")
        assert (await refused(pool, "host.set_ntp_custom_servers", host, ()))[0] == "INVALID_NTP_CONFIG"
        await ask(pool, "host.set_ntp_mode", host, "DHCP")
        await ask(pool, "host.set_ntp_custom_servers", host, ())


async def test_granularity_of_the_scheduler_is_what_the_host_says() -> None:
    async with sim_pool() as pool:
        (host,) = pool.hosts
        local = Caller(NULL_REF, "root", frozenset({POOL_ADMIN}), local_root=True)
        assert await ask(pool, "host.get_sched_gran", host, caller=local) == "cpu"
        await ask(pool, "host.set_sched_gran", host, "socket", caller=local)
        assert await ask(pool, "host.get_sched_gran", host, caller=local) == "socket"


async def test_every_time_zone_that_is_listed_can_be_chosen() -> None:
    async with sim_pool() as pool:
        zones = await ask(pool, "host.list_timezones", pool.hosts[0])
        assert list(zones) == sorted(zones)
        assert {"UTC", "Europe/Berlin"} <= set(zones)
        await ask(pool, "host.set_timezone", pool.hosts[0], zones[0])


async def test_logs_go_to_where_the_field_logging_says() -> None:
    async with sim_pool() as pool:
        (host,) = pool.hosts
        pool.change(host, logging={"syslog_destination": "log.example"})
        await ask(pool, "host.syslog_reconfigure", host)
        assert chosen(pool, host) == {"syslog_destination": "log.example"}


async def test_screen_changes_hands_when_the_host_boots() -> None:
    async with sim_pool() as pool:
        (host,) = pool.hosts
        assert await ask(pool, "host.disable_display", host) == "disable_on_reboot"
        assert await ask(pool, "host.enable_display", host) == "enabled"
        assert await ask(pool, "host.disable_display", host) == "disable_on_reboot"
        await ask(pool, "host.disable", host, False)
        await ask(pool, "host.reboot", host)
        await pool.pass_time(120)
        assert pool.store.get(host)["display"] == "disabled"
        assert not pool.store.get(host)["enabled"]
        assert await ask(pool, "host.enable_display", host) == "enable_on_reboot"
        assert await ask(pool, "host.disable_display", host) == "disabled"


async def test_all_hosts_get_a_setting_of_the_pool_or_none_does() -> None:
    async with sim_pool(hosts=2) as pool:
        await ask(pool, "pool.disable_ssh", pool.pool)
        assert [pool.store.get(host)["ssh_enabled"] for host in pool.hosts] == [False, False]
        await ask(pool, "pool.set_igmp_snooping_enabled", pool.pool, True)
        assert pool.store.get(pool.pool)["igmp_snooping_enabled"]
        assert {pif["igmp_snooping_status"] for pif in pool.store.all("PIF").values()} == {"enabled"}
        last = pool.hosts[1]
        pool.engine.hypervisors[last] = Faulty(
            pool.engine.hypervisors[last], [FaultRule("configure", count=None)], pool.clock
        )
        expected = {"ssh": "false", "igmp_snooping": "true"}
        assert await refused(pool, "pool.enable_ssh", pool.pool) == ["ENABLE_SSH_PARTIALLY_FAILED", last]
        error = await refused(pool, "pool.set_igmp_snooping_enabled", pool.pool, False)
        assert error == ["COULD_NOT_UPDATE_IGMP_SNOOPING_EVERYWHERE"]
        assert (await refused(pool, "pool.set_console_idle_timeout", pool.pool, 5))[0] == "DOMAIN_BUILDER_ERROR"
        assert [chosen(pool, host) for host in pool.hosts] == [expected, expected]
        assert pool.store.get(pool.pool)["igmp_snooping_enabled"]
        assert [pool.store.get(host)["console_idle_timeout"] for host in pool.hosts] == [0, 0]


async def test_messages_of_the_hypervisor_tell_of_machines_and_are_gone_when_they_are_cleared() -> None:
    async with sim_pool() as pool:
        (host,) = pool.hosts
        vm = await pool.running()
        uuid = pool.vm(vm)["uuid"]
        assert f"d1 is machine {uuid}, Running" in await ask(pool, "host.dmesg", host)
        await ask(pool, "host.send_debug_keys", host, "hq")
        text = await ask(pool, "host.dmesg_clear", host)
        assert "'h' pressed" in text
        assert "'q' pressed" in text
        assert await ask(pool, "host.dmesg", host) == ""
        await ask(pool, "host.set_timezone", host, "Asia/Tokyo")
        assert "timezone is now 'Asia/Tokyo'" in await ask(pool, "host.get_log", host)


async def test_vms_of_a_host_that_is_declared_dead_can_be_started_elsewhere() -> None:
    async with sim_pool(hosts=2) as pool:
        master, member = pool.hosts
        vm = await pool.running(affinity=member)
        assert pool.vm(vm)["resident_on"] == member
        assert await refused(pool, "host.declare_dead", member) == ["HOST_IS_LIVE", member]
        pool.sim.hosts[pool.store.get(member)["uuid"]].fail()
        await pool.pass_time(1)
        await ask(pool, "host.declare_dead", member)
        assert pool.vm(vm)["power_state"] == "Halted"
        await ask(pool, "VM.start", vm, False, False)
        assert pool.vm(vm)["resident_on"] == master
        assert await refused(pool, "host.declare_dead", master) == ["HOST_IS_LIVE", master]


async def test_host_is_healthy_when_its_management_has_an_address() -> None:
    async with api_pool() as pool:
        root = await pool.login()
        assert await pool.refusal("host.local_assert_healthy", root) == ["HOST_HAS_NO_MANAGEMENT_IP"]
        pool.add("PIF", host=pool.host, management=True, IP="192.0.2.1")
        await pool.call("host.local_assert_healthy", root)
        await pool.call("pool.disable_ssl_legacy", root, pool.pool)
        assert await pool.call("host.get_ssl_legacy", root, pool.host) is False
        await pool.call("host.set_ssl_legacy", root, pool.host, False)
        assert await pool.call("host.get_uncooperative_domains", root, pool.host) == []


async def test_telemetry_comes_within_two_periods_and_tells_a_fresh_identity() -> None:
    async with api_pool() as pool:
        root = await pool.login()
        now = pool.clock.now()
        later = await pool.refusal("pool.set_telemetry_next_collection", root, pool.pool, now + 15 * DAY)
        assert later[0] == "TELEMETRY_NEXT_COLLECTION_TOO_LATE"
        await pool.call("pool.set_telemetry_next_collection", root, pool.pool, now + 14 * DAY)
        assert pool.store.get(pool.pool)["telemetry_next_collection"] == now + 14 * DAY
        await pool.call("pool.reset_telemetry_uuid", root, pool.pool)
        (first,) = pool.store.all("secret").values()
        await pool.call("pool.reset_telemetry_uuid", root, pool.pool)
        (second,) = pool.store.all("secret").values()
        assert second["value"] != first["value"]
        assert pool.store.get(pool.pool)["telemetry_uuid"] == second.ref
