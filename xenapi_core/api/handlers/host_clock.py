"""host: reading the clock, and whether it is synchronised with time servers.

Rule 1: a host tells its own time. The pool's time, in records, tasks and measurements, is the server's clock, and
        nothing here changes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from xenapi_core.api.registry import CallContext, handles
from xenapi_core.drivers.api import HostClock
from xenapi_core.engine.failures import HOST, About, told_as
from xenapi_core.errors import E

ANSWER_WITHIN: Final = 20.0  # seconds of real time


async def clock_of(call: CallContext, ref: str) -> HostClock | None:
    """The clock as the host's driver reads it; None if the server has none for it. HOST_OFFLINE."""
    call.get(ref, "host")
    driver = call.services.engine.hypervisors.get(ref)
    if driver is None:
        return None
    try:
        with told_as(HOST, About(host=ref, operation="clock")):
            async with asyncio.timeout(ANSWER_WITHIN):
                return await driver.clock()
    except TimeoutError:
        raise E.HOST_OFFLINE(ref) from None


@handles("host.get_servertime")
async def get_servertime(call: CallContext, ref: str) -> int:
    """The host's clock; the server's for a host without a driver. HOST_OFFLINE."""
    clock = await clock_of(call, ref)
    return call.now if clock is None else clock.now


@handles("host.get_server_localtime")
async def get_server_localtime(call: CallContext, ref: str) -> int:
    """The host's clock as a person there reads it: the instant is shifted by the host's time zone. HOST_OFFLINE."""
    now = await get_servertime(call, ref)
    zone = call.get(ref, "host")["timezone"] or "UTC"
    try:
        offset = datetime.fromtimestamp(now, ZoneInfo(zone)).utcoffset()
    except (ValueError, OverflowError, OSError, ZoneInfoNotFoundError):
        offset = None  # a zone this machine does not know, or no year of it: the universal time is at least a true one
    return now + (int(offset.total_seconds()) if offset is not None else 0)


@handles("host.get_ntp_servers_status")
async def get_ntp_servers_status(call: CallContext, ref: str) -> Mapping[str, str]:
    """Server -> selected, combined, unselected or unreachable; none while NTP is disabled. HOST_OFFLINE."""
    clock = await clock_of(call, ref)
    if clock is None:
        raise E.HOST_OFFLINE(ref)
    return clock.servers


@handles("host.get_ntp_synchronized")
async def get_ntp_synchronized(call: CallContext, ref: str) -> bool:
    """HOST_OFFLINE."""
    clock = await clock_of(call, ref)
    if clock is None:
        raise E.HOST_OFFLINE(ref)
    return clock.synchronized
