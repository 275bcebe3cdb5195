"""The open services of a host's firewall, computed from the records of the host and its pool.

Rule 1: the names are those of xapi's firewall: dlm (clustering), nbd, ssh, vxlan, xapi-insecure (plain HTTP), xenha
        (heartbeats of high availability). What every host needs is always open and not named.
Rule 2: `follow` sends changes to the hosts, GATHER seconds after a change. host.update_firewalld_service_status sends
        the whole state at once, because a firewall that was restarted has lost it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final

from xenapi_core.engine.plan import Plan, World
from xenapi_core.engine.steps.host_settings import tell
from xenapi_core.errors import ApiError
from xenapi_core.model.hosts import check_live, is_live
from xenapi_core.store.api import Store, Version

if TYPE_CHECKING:
    from xenapi_core.engine.engine import Engine

log = logging.getLogger(__name__)

GATHER: Final = 5.0  # seconds
SETTING: Final = "firewall_services"
_NBD_PURPOSES: Final = frozenset({"nbd", "insecure_nbd"})
_WATCHED: Final = ("Cluster_host", "PIF", "host", "host_metrics", "network", "pool", "tunnel")


def _has_cluster(store: Store, host: Version) -> bool:
    return any(member["host"] == host.ref and member["enabled"] for member in store.all("Cluster_host").values())


def _offers_nbd(store: Store, host: Version) -> bool:
    networks = (store.find(pif["network"]) for pif in _attached(store, host))
    return any(network is not None and _NBD_PURPOSES & {*network["purpose"]} for network in networks)


def _has_vxlan(store: Store, host: Version) -> bool:
    tunnels = [tunnel for pif in _attached(store, host) for tunnel in store.related(pif.ref, "tunnel_access_PIF_of")]
    return any(store.get(tunnel)["protocol"] == "vxlan" for tunnel in tunnels)


def _sends_heartbeats(store: Store, host: Version) -> bool:
    return any(pool["ha_enabled"] for pool in store.all("pool").values())


_SERVICES: Final[Mapping[str, Callable[[Store, Version], bool]]] = {
    "dlm": _has_cluster,
    "nbd": _offers_nbd,
    "ssh": lambda store, host: bool(host["ssh_enabled"]),
    "vxlan": _has_vxlan,
    "xapi-insecure": lambda store, host: not host["https_only"],
    "xenha": _sends_heartbeats,
}


def _attached(store: Store, host: Version) -> list[Version]:
    return [pif for pif in map(store.get, store.related(host.ref, "PIFs")) if pif["currently_attached"]]


def open_services(store: Store, host: Version) -> str:
    """The names of the services that are open (rule 1), in alphabetical order, as the setting spells them."""
    return ",".join(name for name, is_open in _SERVICES.items() if is_open(store, host))


def plan_open(world: World, host: str) -> Plan:
    """Let exactly these services through. HOST_OFFLINE."""
    record = check_live(world.store, host)
    return Plan(steps=(tell(host, {SETTING: open_services(world.store, record)}, "set firewall"),))


async def update(engine: Engine, host: str) -> None:
    """Send a host its open services now. HOST_OFFLINE, OPERATION_NOT_ALLOWED."""
    await engine.see_through(engine.work("firewall"), partial(plan_open, host=host))


async def follow(engine: Engine) -> None:
    """Send hosts their open services whenever they change, until cancelled (rule 2)."""
    store, clock = engine.world.store, engine.world.clock
    told: dict[str, str] = {}
    seen, looked = 0, -1
    while True:
        await store.wait(seen, None)
        await clock.sleep(GATHER)
        seen = store.revision
        newest = max(store.class_revision(cls) for cls in _WATCHED)
        if newest != looked:
            looked = newest
            await renew(engine, told)


async def renew(engine: Engine, told: dict[str, str]) -> None:
    """Send each host that is up its open services if they changed. `told`: host -> what was sent last; updated here.

    A host that was down gets them when it is up again; one where sending fails, after the next change.
    """
    store = engine.world.store
    for ref, host in tuple(store.all("host").items()):
        if not is_live(store, host) or ref not in engine.hypervisors:
            told.pop(ref, None)
            continue
        wanted = open_services(store, host)
        if told.get(ref) != wanted:
            try:
                await update(engine, ref)
                told[ref] = wanted
            except ApiError as error:
                log.warning("a host was not told which services its firewall lets through: %s", error.code)
