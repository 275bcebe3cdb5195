"""Local storage caching: which hosts may cache where, and what the hosts are told."""

from __future__ import annotations

import pytest
from sim_api import ask, refused

from xenapi_core.ids import NULL_REF
from xenapi_core.testing.pool import GIB, SimPool, sim_pool


def local(pool: SimPool, host: str, name: str = "local", size: int = 100 * GIB, kind: str = "ext") -> str:
    """A repository that only `host` is connected to."""
    sr = pool.add("SR", name_label=name, physical_size=size, type=kind, content_type="user", shared=False)
    storage = pool.sim.add_storage(pool.store.get(sr)["uuid"], size, kind)
    pool.add("PBD", host=host, SR=sr, currently_attached=True)
    storage.connect(pool.store.get(host)["uuid"], {})
    pool.engine.add_storage(sr, storage)
    return sr


def told(pool: SimPool, host: str) -> str | None:
    """The repository that the host itself believes it caches on."""
    return pool.sim.hosts[pool.store.get(host)["uuid"]].chosen.get("cache_repository")


def caching(pool: SimPool, sr: str) -> bool:
    return bool(pool.store.get(sr)["local_cache_enabled"])


async def test_a_host_caches_on_one_repository_at_a_time() -> None:
    async with sim_pool() as pool:
        (host,) = pool.hosts
        first, second = local(pool, host, "first"), local(pool, host, "second", kind="file")
        for sr, other in ((first, second), (second, first)):
            await ask(pool, "host.enable_local_storage_caching", host, sr)
            assert pool.store.get(host)["local_cache_sr"] == sr
            assert (caching(pool, sr), caching(pool, other)) == (True, False)
            assert told(pool, host) == pool.store.get(sr)["uuid"]
        for _ in range(2):
            await ask(pool, "host.disable_local_storage_caching", host)
            assert pool.store.get(host)["local_cache_sr"] == NULL_REF
            assert (caching(pool, second), told(pool, host)) == (False, None)


@pytest.mark.parametrize("kind", ["lvm", "dummy"])
async def test_only_local_file_systems_hold_a_cache(kind: str) -> None:
    async with sim_pool(hosts=2) as pool:
        host, other = pool.hosts
        for sr in (local(pool, host, kind=kind), pool.sr):
            failure = await refused(pool, "host.enable_local_storage_caching", host, sr)
            assert failure == ["SR_OPERATION_NOT_SUPPORTED", sr]
        theirs = local(pool, other)
        failure = await refused(pool, "host.enable_local_storage_caching", host, theirs)
        assert failure == ["HOST_CANNOT_SEE_SR", host, theirs]
        failure = await refused(pool, "host.enable_local_storage_caching", host, NULL_REF)
        assert failure[0] == "HANDLE_INVALID"
        assert (told(pool, host), told(pool, other)) == (None, None)


async def test_nothing_changes_while_guests_run() -> None:
    async with sim_pool() as pool:
        (host,) = pool.hosts
        sr, vm = local(pool, host), await pool.running()
        refusal = ["HOST_IN_USE", host, "vm", vm]
        assert await refused(pool, "host.enable_local_storage_caching", host, sr) == refusal
        assert await refused(pool, "host.disable_local_storage_caching", host) == refusal
        refusal = ["HOSTS_FAILED_TO_ENABLE_CACHING", host]
        assert await refused(pool, "pool.enable_local_storage_caching", pool.pool) == refusal
        pool.change(host, local_cache_sr=sr)
        refusal = ["HOSTS_FAILED_TO_DISABLE_CACHING", host]
        assert await refused(pool, "pool.disable_local_storage_caching", pool.pool) == refusal


async def test_a_pool_caches_on_all_hosts_or_on_none() -> None:
    async with sim_pool(hosts=2) as pool:
        first, second = pool.hosts
        local(pool, first, "small", 10 * GIB)
        large = local(pool, first, "large", 200 * GIB)
        failure = await refused(pool, "pool.enable_local_storage_caching", pool.pool)
        assert failure == ["HOSTS_FAILED_TO_ENABLE_CACHING", second]
        assert told(pool, first) is None
        own = local(pool, second)
        await ask(pool, "pool.enable_local_storage_caching", pool.pool)
        assert [pool.store.get(host)["local_cache_sr"] for host in pool.hosts] == [large, own]
        assert [told(pool, host) for host in pool.hosts] == [pool.store.get(sr)["uuid"] for sr in (large, own)]
        await ask(pool, "pool.disable_local_storage_caching", pool.pool)
        assert [pool.store.get(host)["local_cache_sr"] for host in pool.hosts] == [NULL_REF, NULL_REF]
        assert not any(caching(pool, sr) for sr in (large, own))


@pytest.mark.parametrize("operation", ["forget", "destroy"])
async def test_a_cache_is_neither_forgotten_nor_destroyed(operation: str) -> None:
    async with sim_pool() as pool:
        (host,) = pool.hosts
        sr = local(pool, host)
        await ask(pool, "host.enable_local_storage_caching", host, sr)
        (pbd,) = pool.store.related(sr, "PBDs")
        await ask(pool, "PBD.unplug", pbd)
        assert await refused(pool, f"SR.{operation}", sr) == ["SR_IS_CACHE_SR", host]
        await ask(pool, "host.disable_local_storage_caching", host)
        await ask(pool, f"SR.{operation}", sr)
        assert pool.store.find(sr) is None
