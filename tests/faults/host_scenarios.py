"""Pools in which the plans about clocks and device drivers of hosts succeed."""

from __future__ import annotations

from plan_scenarios import Arguments, on_host, scenario

from xenapi_core.testing.pool import SimPool

on_host("host.rescan_drivers")
on_host("Host_driver.rescan")


@scenario("host.apply_guest_agent_config")
async def _apply_agent_config(pool: SimPool) -> Arguments:
    pool.change(pool.pool, guest_agent_config={"auto_update_enabled": "true"})
    return (pool.hosts[0],)


@scenario("host.set_servertime")
async def _set_clock(pool: SimPool) -> Arguments:
    await pool.call("host.set_ntp_mode", pool.hosts[0], "Disabled")
    return pool.hosts[0], pool.clock.now() + 3600


async def _variant(pool: SimPool) -> tuple[str, str]:
    """A driver of the first host and a variant of it, for a device that is there."""
    await pool.call("Host_driver.rescan", pool.hosts[0])
    here = (one for one in pool.store.all("Driver_variant").items() if one[1]["hardware_present"])
    variant, record = next(here)
    return record["driver"], variant


@scenario("Host_driver.select")
async def _select(pool: SimPool) -> Arguments:
    return await _variant(pool)


@scenario("Host_driver.deselect")
async def _deselect(pool: SimPool) -> Arguments:
    driver, variant = await _variant(pool)
    await pool.call("Host_driver.select", driver, variant)
    return (driver,)


@scenario("Driver_variant.select")
async def _select_variant(pool: SimPool) -> Arguments:
    return (await _variant(pool))[1:]
