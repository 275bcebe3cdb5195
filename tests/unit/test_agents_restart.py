"""Agents of hosts: an endpoint that is restarted comes back when its port is free, shared or not."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from http_client import connected, get, serving

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


async def test_port_that_is_taken_meanwhile_is_opened_again_when_it_is_free() -> None:
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


async def test_own_endpoint_of_a_host_is_opened_again_when_its_port_is_free(caplog: pytest.LogCaptureFixture) -> None:
    async with sim_pool() as pool:
        (host,) = pool.hosts
        pool.change(pool.store.related(host, "PIFs")[0], management=True)
        endpoints = HostEndpoints(pool.store, {host: "127.0.0.1"}, lambda host: APP, (0, None), None)
        await endpoints.start()
        (listener,) = endpoints.listeners()
        metrics = pool.store.get(host)["metrics"]
        following = asyncio.create_task(endpoints.follow())
        try:
            pool.change(metrics, live=False)
            while endpoints.listeners():
                await pool.clock.settle()  # type: ignore[attr-defined]
            with socket.create_server(("127.0.0.1", listener.port)):
                pool.change(metrics, live=True)
                while "cannot be opened again" not in caplog.text:
                    await pool.clock.settle()  # type: ignore[attr-defined]
            assert endpoints.listeners() == ()
            assert await answered(listener) == 200
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            await endpoints.drain(0)


async def test_restart_of_a_member_leaves_the_endpoint_of_the_pool_alone() -> None:
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


async def test_shared_endpoint_refuses_plain_http_while_one_host_asks_for_it() -> None:
    async with sim_pool(hosts=2) as pool:
        first, second = pool.hosts
        shared, own = plain_refused(pool.store, None), plain_refused(pool.store, first)
        assert (shared(), own()) == (False, False)
        pool.change(second, https_only=True)
        assert (shared(), own()) == (True, False)
        pool.change(first, https_only=True)
        pool.change(second, https_only=False)
        assert (shared(), own()) == (True, True)
