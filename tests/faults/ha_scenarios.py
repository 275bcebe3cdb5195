"""Plans of high availability and of the redo log, each in a pool in which it succeeds."""

from __future__ import annotations

from plan_scenarios import Arguments, scenario

from xenapi_core.testing.pool import GIB, SimPool


@scenario("pool.enable_redo_log")
async def enable_redo_log(pool: SimPool) -> Arguments:
    return (pool.sr,)


@scenario("pool.disable_redo_log", "usage")
async def disable_redo_log(pool: SimPool) -> Arguments:
    await pool.call("pool.enable_redo_log", pool.sr)
    return ()


@scenario("pool.enable_ha")
async def enable_ha(pool: SimPool) -> Arguments:
    await pool.running(ha_restart_priority="restart")
    return (pool.sr, pool.add_sr("second", 100 * GIB)), {"timeout": "30"}


@scenario("pool.disable_ha", "destroy", "usage")
async def disable_ha(pool: SimPool) -> Arguments:
    await pool.call("pool.enable_ha", (pool.sr,), {})
    return ()
