"""Settings that a host itself must know: sent to its driver and then recorded; a pool's settings go to all its hosts.

Rule 1: the record follows the host: a setting that a host refuses is not recorded. When one of several hosts refuses,
        the hosts that have the new value get their old values back.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from zoneinfo import available_timezones

from xenapi_core.drivers.api import Hypervisor
from xenapi_core.engine.failures import HOST, About, told_as
from xenapi_core.engine.plan import Plan, Run, Step, World, plans
from xenapi_core.engine.steps.host_settings import tell, tell_all_hosts, word
from xenapi_core.errors import E
from xenapi_core.store.api import Txn

LONGEST_SERVER: Final = 253  # characters of a DNS name
_IQN: Final = re.compile(r"(iqn\.[0-9]{4}-[0-9]{2}\.[a-z0-9.-]+(:\S+)?|eui\.[0-9A-Fa-f]{16}|naa\.[0-9A-Fa-f]{16,32})\Z")
_CSTATE: Final = re.compile(r"(?:[0-9]{1,2}(?:,[0-9]{1,2})?)?\Z")
_SERVER: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.:-]*[A-Za-z0-9])?\Z")


def _set(host: str, setting: str, value: Any, **fields: Any) -> Plan:
    return Plan(
        steps=(tell(host, {setting: word(value)}),),
        finish=lambda run, txn: txn.update(host, **fields),
    )


@plans("host.set_iscsi_iqn")
def plan_iscsi_iqn(world: World, host: str, value: str) -> Plan:
    """INVALID_VALUE unless it is a name of RFC 3720: iqn., eui. or naa."""
    if not _IQN.match(value):
        raise E.INVALID_VALUE("iscsi_iqn", value)
    other_config = {**world.store.get(host, "host")["other_config"], "iscsi_iqn": value}  # where older clients look
    return _set(host, "iscsi_iqn", value, iscsi_iqn=value, other_config=other_config)


@plans("host.set_multipathing")
def plan_multipathing(world: World, host: str, value: bool) -> Plan:
    other_config = {**world.store.get(host, "host")["other_config"], "multipathing": word(value)}
    return _set(host, "multipathing", value, multipathing=value, other_config=other_config)


@plans("host.set_timezone")
def plan_timezone(world: World, host: str, value: str) -> Plan:
    """INVALID_VALUE for a zone that the tz database does not have."""
    if value not in available_timezones():
        raise E.INVALID_VALUE("timezone", value)
    return _set(host, "timezone", value, timezone=value)


@plans("host.set_ntp_mode")
def plan_ntp_mode(world: World, host: str, value: str) -> Plan:
    """INVALID_NTP_CONFIG for mode Custom without a server."""
    if value == "Custom" and not world.store.get(host, "host")["ntp_custom_servers"]:
        raise E.INVALID_NTP_CONFIG("Mode Custom needs ntp_custom_servers")
    return _set(host, "ntp_mode", value, ntp_mode=value)


@plans("host.set_ntp_custom_servers")
def plan_ntp_servers(world: World, host: str, value: tuple[str, ...]) -> Plan:
    """INVALID_NTP_CONFIG for what is no name or address, and for none at all in mode Custom."""
    for server in value:
        if len(server) > LONGEST_SERVER or not _SERVER.match(server):
            raise E.INVALID_NTP_CONFIG(f"{server!r} is no name or address of a server")
    if not value and world.store.get(host, "host")["ntp_mode"] == "Custom":
        raise E.INVALID_NTP_CONFIG("Mode Custom needs ntp_custom_servers")
    return _set(host, "ntp_custom_servers", value, ntp_custom_servers=value)


@plans("host.set_max_cstate")
def plan_max_cstate(world: World, host: str, value: str) -> Plan:
    """INVALID_VALUE unless empty, "C" or "C,sub-state", in numbers."""
    if not _CSTATE.match(value):
        raise E.INVALID_VALUE("max_cstate", value)
    return _set(host, "max_cstate", value, max_cstate=value)


@plans("host.set_numa_affinity_policy")
def plan_numa_policy(world: World, host: str, value: str) -> Plan:
    return _set(host, "numa_affinity_policy", value, numa_affinity_policy=value)


@plans("host.set_sched_gran")
def plan_sched_gran(world: World, host: str, value: str) -> Plan:
    """Set the scheduling granularity, which only the host itself stores."""
    return Plan(steps=(tell(host, {"sched_gran": value}),))


@plans("host.get_sched_gran")
def plan_read_sched_gran(world: World, host: str) -> Plan:
    """ "cpu" until somebody chooses."""

    async def read(run: Run) -> None:
        with told_as(HOST, About(host=host, operation="get_sched_gran")):
            run.results["settings"] = await run.hypervisor(host).settings()

    return Plan(
        steps=(Step("read settings", read),), result=lambda run: run.results["settings"].get("sched_gran", "cpu")
    )


@plans("host.syslog_reconfigure")
def plan_syslog(world: World, host: str) -> Plan:
    """Log to where host.logging says from now on."""
    destination = world.store.get(host, "host")["logging"].get("syslog_destination", "")
    return Plan(steps=(tell(host, {"syslog_destination": destination}),))


# The screen: what was chosen takes place when the host boots (engine.transition.note_power).


def _display(world: World, host: str, now: Mapping[str, str], later: str) -> Plan:
    display = world.store.get(host, "host")["display"]
    state = now.get(display, display)
    return Plan(
        steps=(tell(host, {"display": later}),),
        finish=lambda run, txn: txn.update(host, display=state),
        result=lambda run: state,
    )


@plans("host.enable_display")
def plan_enable_display(world: World, host: str) -> Plan:
    return _display(world, host, {"disabled": "enable_on_reboot", "disable_on_reboot": "enabled"}, "enabled")


@plans("host.disable_display")
def plan_disable_display(world: World, host: str) -> Plan:
    return _display(world, host, {"enabled": "disable_on_reboot", "enable_on_reboot": "disabled"}, "disabled")


# Logins at the host itself; see host_ssh.py


def _idle(world: World, hosts: tuple[str, ...], seconds: int) -> Plan:
    """INVALID_VALUE if negative; 0 is never."""
    if seconds < 0:
        raise E.INVALID_VALUE("console_idle_timeout", str(seconds))

    def finish(run: Run, txn: Txn) -> None:
        for host in hosts:
            txn.update(host, console_idle_timeout=seconds)

    return Plan(steps=tuple(tell(host, {"console_idle_timeout": str(seconds)}) for host in hosts), finish=finish)


@plans("host.set_console_idle_timeout")
def plan_idle(world: World, host: str, value: int) -> Plan:
    """In seconds. INVALID_VALUE if negative; 0 is never."""
    return _idle(world, (host,), value)


@plans("pool.set_console_idle_timeout")
def plan_pool_idle(world: World, pool: str, value: int) -> Plan:
    """host.set_console_idle_timeout on all hosts, or on none."""
    return _idle(world, tuple(world.store.all("host")), value)


# All hosts


@plans("pool.set_igmp_snooping_enabled")
def plan_igmp_snooping(world: World, pool: str, value: bool) -> Plan:
    """COULD_NOT_UPDATE_IGMP_SNOOPING_EVERYWHERE if a host refuses; then none has changed."""
    status = "enabled" if value else "disabled"

    def finish(run: Run, txn: Txn) -> None:
        txn.update(pool, igmp_snooping_enabled=value)
        for pif in world.store.all("PIF").values():
            if pif["managed"] and pif["currently_attached"]:
                txn.update(pif.ref, igmp_snooping_status=status)

    failure = E.COULD_NOT_UPDATE_IGMP_SNOOPING_EVERYWHERE
    return tell_all_hosts(world, lambda host: {"igmp_snooping": word(value)}, lambda hosts: failure(), finish)


# What a host tells of itself

Read = Callable[[Hypervisor], Awaitable[str]]


def _plan_reading(host: str, operation: str, read: Read) -> Plan:
    async def do(run: Run) -> None:
        with told_as(HOST, About(host=host, operation=operation)):
            run.results["text"] = await read(run.hypervisor(host))

    return Plan(steps=(Step(operation, do),), result=lambda run: run.results["text"])


@plans("host.dmesg")
def plan_dmesg(world: World, host: str) -> Plan:
    return _plan_reading(host, "dmesg", lambda driver: driver.messages(clear=False))


@plans("host.dmesg_clear")
def plan_dmesg_clear(world: World, host: str) -> Plan:
    return _plan_reading(host, "dmesg_clear", lambda driver: driver.messages(clear=True))


@plans("host.get_log")
def plan_log(world: World, host: str) -> Plan:
    return _plan_reading(host, "get_log", lambda driver: driver.log())


@plans("host.send_debug_keys")
def plan_debug_keys(world: World, host: str, keys: str) -> Plan:
    """INVALID_VALUE unless `keys` are letters, digits and signs of ASCII."""
    if not keys or not all(key.isascii() and key.isprintable() and key != " " for key in keys):
        raise E.INVALID_VALUE("keys", keys)

    async def press(run: Run) -> None:
        with told_as(HOST, About(host=host, operation="send_debug_keys")):
            await run.hypervisor(host).send_debug_keys(keys)

    return Plan(steps=(Step("press keys", press),))
