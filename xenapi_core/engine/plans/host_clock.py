"""Setting the clock of a host. The server's own clock counts for the pool: times in records, tasks and measurements do
not move."""

from __future__ import annotations

from xenapi_core.engine.failures import HOST, About, told_as
from xenapi_core.engine.plan import Plan, Run, Step, World, plans
from xenapi_core.errors import E


@plans("host.set_servertime")
def plan_servertime(world: World, host: str, value: int) -> Plan:
    """NOT_ALLOWED_WHEN_NTP_IS_ENABLED, HOST_OFFLINE."""
    if world.store.get(host, "host")["ntp_mode"] != "Disabled":
        raise E.NOT_ALLOWED_WHEN_NTP_IS_ENABLED(host)

    async def set_clock(run: Run) -> None:
        refused = {**HOST, "bad_state": lambda a, e: E.NOT_ALLOWED_WHEN_NTP_IS_ENABLED(host)}
        with told_as(refused, About(host=host, operation="set_servertime")):
            await run.hypervisor(host).set_clock(value)

    return Plan(steps=(Step("set clock", set_clock),))
