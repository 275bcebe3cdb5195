"""Device drivers of hosts that come in variants: their records, and which variant is loaded when."""

from __future__ import annotations

from sim_api import ask, refused

from xenapi_core.ids import NULL_REF
from xenapi_core.server.adopt import adopt_pool
from xenapi_core.store.api import Version
from xenapi_core.testing.pool import SimPool, sim_pool
from xenapi_core.testing.virtual_time import drive


def drivers(pool: SimPool, host: str) -> dict[str, Version]:
    """The driver records of a host by name."""
    return {one["name"]: one for one in pool.store.all("Host_driver").values() if one["host"] == host}


def variants(pool: SimPool, driver: Version, *, present: bool) -> list[str]:
    return [
        ref for ref in pool.store.related(driver.ref, "variants") if pool.store.get(ref)["hardware_present"] == present
    ]


async def rescanned(pool: SimPool) -> Version:
    """A driver of the first host that found its device."""
    await ask(pool, "Host_driver.rescan", pool.hosts[0])
    return next(one for one in drivers(pool, pool.hosts[0]).values() if variants(pool, one, present=True))


async def test_rescan_finds_the_same_drivers_of_one_host_each_time() -> None:
    async with sim_pool(hosts=2) as pool:
        host, other = pool.hosts
        assert drivers(pool, host) == {}
        await ask(pool, "Host_driver.rescan", host)
        found = {name: one.ref for name, one in drivers(pool, host).items()}
        count = len(pool.store.all("Driver_variant"))
        assert count > len(found) > 0
        await ask(pool, "host.rescan_drivers", host)
        assert {name: one.ref for name, one in drivers(pool, host).items()} == found
        assert len(pool.store.all("Driver_variant")) == count
        assert drivers(pool, other) == {}


async def test_selected_variant_is_active_after_the_next_boot() -> None:
    async with sim_pool() as pool:
        host = pool.hosts[0]
        driver = await rescanned(pool)
        variant = variants(pool, driver, present=True)[0]
        await ask(pool, "Host_driver.select", driver.ref, variant)
        await ask(pool, "Host_driver.rescan", host)
        now = pool.store.get(driver.ref)
        assert (now["selected_variant"], now["active_variant"]) == (variant, NULL_REF)
        hypervisor = pool.sim.hosts[pool.store.get(host)["uuid"]]
        await drive(pool.clock, hypervisor.restart())
        while not pool.store.get(pool.store.get(host)["metrics"])["live"] or not hypervisor.up:
            await pool.clock.advance(5)  # type: ignore[attr-defined]
        await ask(pool, "Host_driver.deselect", driver.ref)
        await ask(pool, "host.rescan_drivers", host)
        now = pool.store.get(driver.ref)
        assert (now["selected_variant"], now["active_variant"]) == (NULL_REF, variant)


async def test_only_variants_of_the_driver_with_a_device_can_be_selected() -> None:
    async with sim_pool(hosts=5) as pool:
        driver = await rescanned(pool)
        for host in pool.hosts:
            await ask(pool, "Host_driver.rescan", host)
        found = pool.store.all("Host_driver").values()
        absent = [(one, variant) for one in found for variant in variants(pool, one, present=False)]
        other, variant = absent[0]
        refusal = await refused(pool, "Host_driver.select", driver.ref, variant)
        assert refusal == ["INVALID_VALUE", "variant", variant]
        for message, args in (("Host_driver.select", (other.ref, variant)), ("Driver_variant.select", (variant,))):
            assert await refused(pool, message, *args) == ["HOST_DRIVER_NO_HARDWARE", variant]
        pool.sim.hosts[pool.store.get(pool.hosts[0])["uuid"]].fail()
        for message, ref in (("Host_driver.deselect", driver.ref), ("Host_driver.rescan", pool.hosts[0])):
            assert await refused(pool, message, ref) == ["HOST_OFFLINE", pool.hosts[0]]


async def test_variants_are_known_after_a_restart_of_the_server_and_go_with_their_host() -> None:
    async with sim_pool(hosts=2) as pool:
        host = pool.hosts[0]
        driver = await rescanned(pool)
        variant = variants(pool, driver, present=True)[0]
        await ask(pool, "Driver_variant.select", variant)
        for made in (pool.sim.hosts, pool.sim.repositories, pool.engine.hypervisors, pool.engine.backends):
            made.clear()  # type: ignore[attr-defined]
        adopt_pool(pool.store, pool.engine, pool.sim)
        await ask(pool, "Host_driver.rescan", host)
        assert pool.store.get(driver.ref)["selected_variant"] == variant
        pool.change(pool.pool, master=pool.hosts[1])
        pool.change(pool.store.get(host)["metrics"], live=False)
        await ask(pool, "host.destroy", host)
        assert not pool.store.all("Host_driver")
        assert not pool.store.all("Driver_variant")
