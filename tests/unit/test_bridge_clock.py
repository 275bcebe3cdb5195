"""The time a bridge goes by: that of the pool's records, whatever the clock of its coordinator says."""

from __future__ import annotations

from action_server import action_server

from xenapi_core.bridge.pool_client import PoolClient
from xenapi_core.bridge.remote import RemoteSource
from xenapi_core.bridge.replica import mirror_schema
from xenapi_core.clock import RealClock
from xenapi_core.model.catalog import SCHEMA

MIRROR = mirror_schema(SCHEMA)
DAY = 86_400


async def test_clock_of_the_coordinator_that_is_wrong_does_not_move_the_time_of_a_bridge() -> None:
    async with action_server() as site:
        host, clock = site.pool.hosts[0], site.pool.clock
        await site.call("host.set_ntp_mode", host, "Disabled")
        await site.call("host.set_servertime", host, clock.now() + 100 * DAY)
        source = RemoteSource(
            PoolClient(f"http://127.0.0.1:{site.listener.port}", MIRROR), MIRROR, RealClock(), "root", "secret"
        )
        try:
            await source.start()
            assert abs(source.now() - clock.now()) < 10 * DAY  # the clock of the site runs a thousand times faster
        finally:
            await source.close()
