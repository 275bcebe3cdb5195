"""A pool under high availability on a virtual clock: hosts that die, and what follows by itself."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from sim_api import ask

from xenapi_core.engine.ha_failover import GATHER, follow
from xenapi_core.testing.pool import GIB, SimPool, sim_pool
from xenapi_core.testing.virtual_time import drive

TIMEOUT = 30.0  # ha_configuration of the tests, seconds
NOTICED = 2 * GATHER + 1.0  # seconds after which a change has been looked at, and what that changed too
BOOTED = 10.0  # seconds that a simulated VM is started in


@contextlib.asynccontextmanager
async def following(pool: SimPool) -> AsyncIterator[None]:
    """The failover loop of a pool."""
    loop = asyncio.create_task(follow(pool.engine))
    try:
        yield
    finally:
        loop.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await loop


@contextlib.asynccontextmanager
async def followed(hosts: int = 3, **options: Any) -> AsyncIterator[SimPool]:
    """A pool whose failover loop runs; high availability is off."""
    async with sim_pool(hosts=hosts, **options) as pool, following(pool):
        yield pool


@contextlib.asynccontextmanager
async def guarded(hosts: int = 3, tolerate: int = 1, **options: Any) -> AsyncIterator[SimPool]:
    """A pool that has high availability on, and tolerates so many failures."""
    async with followed(hosts, **options) as pool:
        await ask(pool, "pool.enable_ha", (pool.sr,), {"timeout": str(int(TIMEOUT))})
        await ask(pool, "pool.set_ha_host_failures_to_tolerate", pool.pool, tolerate)
        yield pool


async def protected(pool: SimPool, name: str = "vm", priority: str = "restart", **values: Any) -> str:
    """A running VM of that priority, on the host that `affinity` names."""
    vm = await pool.running(name, **values)
    await ask(pool, "VM.set_ha_restart_priority", vm, priority)
    return vm


def kill(pool: SimPool, host: str) -> None:
    """The host loses its power."""
    pool.sim.hosts[pool.store.get(host)["uuid"]].fail()


async def revive(pool: SimPool, host: str) -> None:
    """The host is switched on, and boots."""
    await drive(pool.clock, pool.sim.hosts[pool.store.get(host)["uuid"]].power_on("", {}))


def messages(pool: SimPool, prefix: str = "HA_") -> list[str]:
    """Names of the messages that begin like that, in the order in which they were written."""
    found = [message["name"] for message in pool.store.all("message").values()]
    return [name for name in found if name.startswith(prefix)]


def state(pool: SimPool, vm: str) -> tuple[str, str]:
    """Power state and host of a VM."""
    record = pool.vm(vm)
    return record["power_state"], record["resident_on"]


__all__ = [
    "BOOTED", "GIB", "NOTICED", "TIMEOUT", "SimPool", "ask", "followed", "following", "guarded", "kill", "messages",
    "protected", "revive", "state",
]  # fmt: skip
