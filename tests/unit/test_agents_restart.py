"""The agent of a pool whose hosts share an endpoint: it is restarted in place, and comes back when its port is free."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from http_client import connected, get, run, serving

from xenapi_core.server.agents import HostAgents, plain_refused
from xenapi_core.server.endpoints import HostEndpoints
from xenapi_core.server.listener import Listener
from xenapi_core.server.xenapi_app import xenapi_app
from xenapi_core.testing.pool import SimPool, sim_pool

APP = xenapi_app(None)  # type: ignore[arg-type]  # nobody calls


@asynccontextmanager
async def agents_of(pool: SimPool, listener: Listener) -> AsyncIterator[HostAgents]:
    """The agents of a pool with one endpoint, followed."""
    none = HostEndpoints(pool.store, {}, lambda host: APP, (None, None), None)
    agents = HostAgents(pool.store, pool.clock, none, [listener], encrypted=False)
    following = asyncio.create_task(agents.follow())
    try:
        yield agents
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def answered(listener: Listener) -> int:
    """The status of a reply to GET /, as soon as somebody listens."""
    while True:
        try:
            async with connected(listener) as client:
                return (await client.ask(get("/"))).status
        except ConnectionError:
            await asyncio.sleep(0)


def test_port_that_is_taken_meanwhile_is_opened_again_when_it_is_free() -> None:
    async def scene() -> None:
        async with sim_pool() as pool, serving(APP) as listener, agents_of(pool, listener) as agents:
            await listener.close()
            with socket.create_server(("127.0.0.1", listener.port)):
                agents.restart(pool.hosts[0])
                while pool.clock.due() is None:  # type: ignore[attr-defined]
                    await pool.clock.settle()  # type: ignore[attr-defined]
                # it waits for the clock: it has found the port taken
            waiting = asyncio.create_task(answered(listener))
            while not waiting.done():
                await pool.clock.advance(1)  # type: ignore[attr-defined]
            assert await waiting == 200

    run(scene())


def test_restart_of_a_member_leaves_the_endpoint_of_the_pool_alone() -> None:
    async def scene() -> None:
        async with (
            sim_pool(hosts=2) as pool,
            serving(APP) as listener,
            agents_of(pool, listener) as agents,
            connected(listener) as client,
        ):
            agents.restart(pool.hosts[1])
            await pool.clock.settle()  # type: ignore[attr-defined]
            assert (await client.ask(get("/"))).status == 200
            assert agents.connections() == 1

    run(scene())


def test_shared_endpoint_refuses_plain_http_while_one_host_asks_for_it() -> None:
    async def scene() -> None:
        async with sim_pool(hosts=2) as pool:
            first, second = pool.hosts
            shared, own = plain_refused(pool.store, None), plain_refused(pool.store, first)
            assert (shared(), own()) == (False, False)
            pool.change(second, https_only=True)
            assert (shared(), own()) == (True, False)
            pool.change(first, https_only=True)
            pool.change(second, https_only=False)
            assert (shared(), own()) == (True, True)

    run(scene())
