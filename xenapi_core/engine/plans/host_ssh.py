"""SSH on hosts: enabling and disabling it, its timeout, and auto mode.

Theory of operation
1. A host that is switched on with ssh_enabled_timeout has an expiry; when it has passed, SSH goes off (ssh_expiry.py).
2. In auto mode SSH is on only while the API of the host does not answer. The API answered whoever set the mode, so it
   switches SSH off; switching SSH on ends the mode.
3. What is set for a pool is set at all its hosts or at none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from xenapi_core.engine.plan import Plan, Run, World, plans
from xenapi_core.engine.steps.host_settings import tell, tell_all_hosts, word
from xenapi_core.errors import ApiError, E
from xenapi_core.store.api import Txn

LONGEST: Final = 2 * 86_400  # seconds that SSH may stay on

Change = Callable[[str], tuple[dict[str, str], dict[str, Any]]]  # host -> what it is told, and what is recorded
Failure = Callable[[list[str]], ApiError]


def _plan(host: str, change: Change) -> Plan:
    told, _ = change(host)
    return Plan(steps=(tell(host, told),), finish=lambda run, txn: txn.update(host, **change(host)[1]))


def _plan_all(world: World, change: Change, failure: Callable[[str], ApiError]) -> Plan:
    def finish(run: Run, txn: Txn) -> None:
        for host in world.store.all("host"):
            txn.update(host, **change(host)[1])

    def told(host: str) -> dict[str, str]:
        return change(host)[0]

    return tell_all_hosts(world, told, lambda hosts: failure(";".join(hosts)), finish)


def _expiry(world: World, on: bool, timeout: int) -> int:
    return world.clock.now() + timeout if on and timeout else 0


def _switch(world: World, on: bool) -> Change:
    def change(ref: str) -> tuple[dict[str, str], dict[str, Any]]:
        host = world.store.get(ref, "host")
        recorded = {"ssh_enabled": on, "ssh_expiry": _expiry(world, on, host["ssh_enabled_timeout"])}
        if on and host["ssh_auto_mode"]:
            return {"ssh": word(on), "ssh_auto_mode": "false"}, {**recorded, "ssh_auto_mode": False}
        return {"ssh": word(on)}, recorded

    return change


@plans("host.enable_ssh")
def plan_enable_ssh(world: World, host: str) -> Plan:
    """On, until ssh_enabled_timeout has passed; no longer by itself."""
    return _plan(host, _switch(world, True))


@plans("host.disable_ssh")
def plan_disable_ssh(world: World, host: str) -> Plan:
    return _plan(host, _switch(world, False))


@plans("pool.enable_ssh")
def plan_pool_enable_ssh(world: World, pool: str) -> Plan:
    """ENABLE_SSH_PARTIALLY_FAILED [hosts]; then no host has changed."""
    return _plan_all(world, _switch(world, True), E.ENABLE_SSH_PARTIALLY_FAILED)


@plans("pool.disable_ssh")
def plan_pool_disable_ssh(world: World, pool: str) -> Plan:
    """DISABLE_SSH_PARTIALLY_FAILED [hosts]; then no host has changed."""
    return _plan_all(world, _switch(world, False), E.DISABLE_SSH_PARTIALLY_FAILED)


def _timeout(world: World, seconds: int) -> Change:
    """INVALID_VALUE if negative, or longer than LONGEST."""
    if not 0 <= seconds <= LONGEST:
        raise E.INVALID_VALUE("ssh_enabled_timeout", str(seconds))

    def change(ref: str) -> tuple[dict[str, str], dict[str, Any]]:
        on = world.store.get(ref, "host")["ssh_enabled"]
        recorded = {"ssh_enabled_timeout": seconds, "ssh_expiry": _expiry(world, on, seconds)}
        return {"ssh_enabled_timeout": str(seconds)}, recorded

    return change


@plans("host.set_ssh_enabled_timeout")
def plan_timeout(world: World, host: str, value: int) -> Plan:
    """In seconds; where SSH is on they begin now. 0: until it is switched off. INVALID_VALUE beyond two days."""
    return _plan(host, _timeout(world, value))


@plans("pool.set_ssh_enabled_timeout")
def plan_pool_timeout(world: World, pool: str, value: int) -> Plan:
    """SET_SSH_TIMEOUT_PARTIALLY_FAILED [hosts]; then no host has changed. INVALID_VALUE beyond two days."""
    return _plan_all(world, _timeout(world, value), E.SET_SSH_TIMEOUT_PARTIALLY_FAILED)


def _auto_mode_change(on: bool) -> Change:
    if not on:
        return lambda host: ({"ssh_auto_mode": "false"}, {"ssh_auto_mode": False})
    off = {"ssh_auto_mode": True, "ssh_enabled": False, "ssh_expiry": 0}
    return lambda host: ({"ssh_auto_mode": "true", "ssh": "false"}, off)


@plans("host.set_ssh_auto_mode")
def plan_auto_mode(world: World, host: str, value: bool) -> Plan:
    """Set or end auto mode, in which SSH is on only while the API of the host does not answer (rule 2)."""
    return _plan(host, _auto_mode_change(value))


@plans("pool.set_ssh_auto_mode")
def plan_pool_auto_mode(world: World, pool: str, value: bool) -> Plan:
    """SET_SSH_AUTO_MODE_PARTIALLY_FAILED [hosts]; then no host has changed."""
    return _plan_all(world, _auto_mode_change(value), E.SET_SSH_AUTO_MODE_PARTIALLY_FAILED)
