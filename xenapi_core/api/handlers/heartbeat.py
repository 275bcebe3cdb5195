"""host: the regular messages of members to the coordinator: that they are alive, and the time of their clock.

Rule 1: a heartbeat proves that a host is up, unless its driver knows better. While high availability is on, heartbeats
        prove nothing, as in xapi: the live set counts (engine/ha_member.py).
Rule 2: a clock that is too far off causes one message record; the next one is possible only after the clock was half
        right.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from xenapi_core.api.registry import CallContext, handles
from xenapi_core.engine.ha_rules import enabled_pool
from xenapi_core.engine.messages import PRIORITIES, post
from xenapi_core.engine.transition import note_power
from xenapi_core.model.hosts import is_live
from xenapi_core.store.api import Txn, Version

TIME: Final = "time"  # seconds since 1970 at the member
LEAVING: Final = "shutting-down"
SKEW: Final = 300.0  # seconds
SKEWED: Final = "HOST_CLOCK_SKEW_DETECTED"


@handles("host.tickle_heartbeat")
async def tickle_heartbeat(call: CallContext, ref: str, stuff: Mapping[str, str]) -> dict[str, str]:
    """A host is up: host_metrics.live, and last_updated is now. With "shutting-down" in `stuff` it is not (rule 1).

    "time" is compared with the clock here (rule 2). The answer is empty, as xapi's.
    """
    host = call.get(ref, "host")
    if LEAVING in stuff:
        if enabled_pool(call.store) is None:
            call.commit(lambda txn: note_power(call.world, txn, ref, False))
        return {}
    await _hear(call, host)
    if call.store.find(ref) is not None:
        _compare_clocks(call, ref, stuff.get(TIME, ""))
    return {}


async def _hear(call: CallContext, host: Version) -> None:
    """Record the heartbeat of a host. A host that was down is first compared with its records."""
    engine, live = call.services.engine, is_live(call.store, host)
    if not live:
        if enabled_pool(call.store) is not None:
            return
        if host.ref in engine.hypervisors and not await engine.reconciler.compare_host(host.ref):
            return
    metrics = call.store.find(host["metrics"])
    if metrics is not None:
        call.update(metrics.ref, live=True, last_updated=call.now)


def _compare_clocks(call: CallContext, ref: str, there: str) -> None:
    try:
        skew = abs(call.now - float(there))
    except ValueError:
        return
    host = call.get(ref, "host")

    def write(txn: Txn) -> None:
        if skew > SKEW and not host["clock_skewed"]:
            text = f"The clock of host '{host['name_label']}' is {skew:.0f} seconds away from that of the coordinator."
            post(call.world, txn, SKEWED, PRIORITIES[SKEWED], "Host", host["uuid"], text)
            txn.update(ref, clock_skewed=True)
        elif skew < SKEW / 2:
            txn.update(ref, clock_skewed=False)

    if math.isfinite(skew):
        call.commit(write)
