"""A pool for every plan of caches, controllers of switches and uploads; see plan_scenarios."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from plan_scenarios import Arguments, host_crashdump_destroy, scenario
from sim_api import dispatcher

from xenapi_core.server.exchange import PoolExchange
from xenapi_core.server.outgoing import Trust
from xenapi_core.testing.pool import GIB, SimPool


def _cache(pool: SimPool, host: str) -> str:
    """A local repository of a host that can hold a cache."""
    sr = pool.add("SR", physical_size=10 * GIB, type="ext", content_type="user", shared=False)
    storage = pool.sim.add_storage(pool.store.get(sr)["uuid"], 10 * GIB, "ext")
    storage.connect(pool.store.get(host)["uuid"], {})
    pool.engine.add_storage(sr, storage)
    pool.add("PBD", host=host, SR=sr, currently_attached=True)
    return sr


@scenario("host.enable_local_storage_caching")
async def enable_caching(pool: SimPool) -> Arguments:
    host = pool.hosts[0]
    await pool.call("host.enable_local_storage_caching", host, _cache(pool, host))
    return host, _cache(pool, host)


@scenario("host.disable_local_storage_caching")
async def disable_caching(pool: SimPool) -> Arguments:
    host = pool.hosts[0]
    await pool.call("host.enable_local_storage_caching", host, _cache(pool, host))
    return (host,)


@scenario("pool.enable_local_storage_caching")
async def enable_caching_everywhere(pool: SimPool) -> Arguments:
    for host in pool.hosts:
        _cache(pool, host)
    return (pool.pool,)


@scenario("pool.disable_local_storage_caching")
async def disable_caching_everywhere(pool: SimPool) -> Arguments:
    await pool.call("pool.enable_local_storage_caching", *await enable_caching_everywhere(pool))
    return (pool.pool,)


def _on_open_vswitch(pool: SimPool) -> None:
    for host in pool.hosts:
        pool.change(host, software_version={"network_backend": "openvswitch"})


@scenario("SDN_controller.introduce")
async def introduce_controller(pool: SimPool) -> Arguments:
    _on_open_vswitch(pool)
    return "ssl", "192.0.2.99", 0


@scenario("SDN_controller.forget")
async def forget_controller(pool: SimPool) -> Arguments:
    _on_open_vswitch(pool)
    return (await pool.call("SDN_controller.introduce", "pssl", "", 6633),)


@scenario("pool.set_vswitch_controller")
async def replace_controller(pool: SimPool) -> Arguments:
    _on_open_vswitch(pool)
    await pool.call("pool.set_vswitch_controller", "192.0.2.99")
    return ("192.0.2.100",)


def _taking_uploads(pool: SimPool) -> str:
    """A web that takes whatever is sent."""

    async def deliver(url: str, size: int, body: AsyncIterator[bytes], *, trust: Trust) -> None:
        assert sum([len(data) async for data in body]) == size

    pool.engine.exchange = PoolExchange(dispatcher(pool).services, deliver=deliver)
    return "http://drop.example/"


@scenario("host_crashdump.upload")
async def host_crashdump_upload(pool: SimPool) -> Arguments:
    (dump,) = await host_crashdump_destroy(pool)
    pool.change(dump, size=300 * 1024)  # two reads
    return dump, _taking_uploads(pool), {}


@scenario("host.bugreport_upload")
async def bugreport_upload(pool: SimPool) -> Arguments:
    return pool.hosts[0], _taking_uploads(pool), {}


@scenario("VM.import_convert")
async def import_convert(pool: SimPool) -> Arguments:
    """The appliance runs, and a job of its takes some seconds."""
    appliance = await pool.running("appliance", nics=2, other_config={"conversionvm": "true"})
    looks = 0

    async def ask(address: str, method: str, *params: Any, trust: Trust) -> Any:
        nonlocal looks
        looks += 1
        assert address == pool.store.get(pool.vm(appliance)["guest_metrics"])["networks"]["1/ip"]
        return {"Id": "1", "State": 2 if looks < 5 else 3, "PercentComplete": 20 * looks}

    pool.engine.exchange = PoolExchange(dispatcher(pool).services, ask=ask)
    source = {"hostname": "source.example", "username": "ann", "password": "secret", "vm-name": "old machine"}
    return "ESXServer", "root", "secret", pool.sr, source
