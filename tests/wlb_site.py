"""A simulated pool that can reach a workload balancing server of tests (wlb_server)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from action_server import Site, action_server
from sim_api import dispatcher
from wlb_server import ACCOUNT, WlbServer, wlb_server

from xenapi_core.api.balancer import Balancer
from xenapi_core.server.balancing import post
from xenapi_core.server.trust import of_balancers
from xenapi_core.store.api import Version

OURS = ("root", "secret")  # the account that the server is told to use here


def reach_servers(site: Site, loopback: bool = True) -> None:
    """Let the pool ask servers of this machine, or only those elsewhere."""
    pool = site.pool
    balancer = Balancer(pool.engine.world, partial(post, loopback=loopback, trust=partial(of_balancers, pool.store)))
    for services in (site.services, dispatcher(pool).services):
        services.surroundings.balancer = balancer
    pool.engine.advisor = balancer


def record(site: Site) -> Version:
    """The pool's record."""
    return site.pool.store.get(site.pool.pool, "pool")


def uuid(site: Site, ref: str) -> str:
    return str(site.pool.store.get(ref)["uuid"])


async def initialize(site: Site, wlb: WlbServer) -> None:
    await site.call("pool.initialize_wlb", wlb.place, *ACCOUNT, *OURS)


async def enable(site: Site, wlb: WlbServer) -> None:
    """A server, and its recommendations are asked for."""
    await initialize(site, wlb)
    await site.call("pool.set_wlb_enabled", site.pool.pool, True)


def rate(site: Site, wlb: WlbServer, *stars: str) -> None:
    """What the server thinks of the hosts, in their order."""
    wlb.stars = {uuid(site, host): each for host, each in zip(site.pool.hosts, stars, strict=True)}


def failures(site: Site) -> list[tuple[str, str]]:
    """Class and uuid of what the server could not be asked about, by the messages in the pool."""
    messages = site.pool.store.all("message").values()
    return [(each["cls"], each["obj_uuid"]) for each in messages if each["name"] == "WLB_CONSULTATION_FAILED"]


@asynccontextmanager
async def wlb_pool(hosts: int = 3) -> AsyncIterator[tuple[Site, WlbServer]]:
    """A pool that can reach a server, which it does not know yet."""
    async with action_server(hosts=hosts) as site, wlb_server() as wlb:
        reach_servers(site)
        yield site, wlb
