"""RequestStateChange of elements whose state no client can change: consoles, services, processors of a host, a pool as
a whole.

The profiles ask for the method where RequestedStatesSupported names a state; where it names none, it is left out or
always says Not Supported. It says so here, as RequestedState 12 (Not Applicable) does.
"""

from __future__ import annotations

from cim_provider import jobs
from cim_provider.mapping.method import Call, Result, method


async def always_refused(call: Call, requested_state: int | None, timeout_period: str | None) -> Result:
    """CIM_EnabledLogicalElement.RequestStateChange: 1 Not Supported, whatever the requested state."""
    return Result(jobs.NOT_SUPPORTED, why="the state of this cannot be requested")


UNCHANGEABLE = method(always_refused, out=("Job",))
