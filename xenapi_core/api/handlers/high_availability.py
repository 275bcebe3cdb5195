"""pool: queries about high availability. Enabling and disabling it are plans (plans/ha_switch.py), and steps for one
host (ha_steps.py)."""

from __future__ import annotations

from typing import Final

from xenapi_core.api.registry import CallContext, handles
from xenapi_core.engine.ha_failover import recount
from xenapi_core.engine.ha_plan import covers, most_failures, targets
from xenapi_core.engine.ha_rules import (
    RESTART,
    check_more_failures,
    enabled_pool,
    machine_of,
    situation,
    situation_with,
)
from xenapi_core.errors import E

LONGEST_PAUSE: Final = 365 * 86_400  # seconds


@handles("pool.set_ha_host_failures_to_tolerate")
def set_ha_host_failures_to_tolerate(call: CallContext, ref: str, value: int) -> None:
    """INVALID_VALUE if negative; HA_OPERATION_WOULD_BREAK_FAILOVER_PLAN if there is a plan for as many as now, and none
    for `value`. Any number will do while high availability is off."""
    if value < 0:
        raise E.INVALID_VALUE("ha_host_failures_to_tolerate", str(value))
    check_more_failures(call.world, value)
    call.update(ref, ha_host_failures_to_tolerate=value)
    recount(call.world)


@handles("pool.ha_prevent_restarts_for")
def ha_prevent_restarts_for(call: CallContext, seconds: int) -> None:
    """HA_NOT_ENABLED; INVALID_VALUE unless 0 to a year. 0: restarts may begin again at once."""
    pool = enabled_pool(call.store)
    if pool is None:
        raise E.HA_NOT_ENABLED()
    if not 0 <= seconds <= LONGEST_PAUSE:
        raise E.INVALID_VALUE("seconds", str(seconds))
    call.update(pool.ref, ha_restarts_from=call.now + seconds)


@handles("pool.ha_failover_plan_exists")
def ha_failover_plan_exists(call: CallContext, n: int) -> bool:
    return covers(situation(call.world), max(0, n))


@handles("pool.ha_compute_max_host_failures_to_tolerate")
def ha_compute_max_host_failures_to_tolerate(call: CallContext) -> int:
    return most_failures(situation(call.world))


@handles("pool.ha_compute_hypothetical_max_host_failures_to_tolerate")
def ha_compute_hypothetical_max_host_failures_to_tolerate(call: CallContext, configuration: dict[str, str]) -> int:
    """As if exactly those VMs were protected that `configuration` gives the priority "restart"."""
    wanted = {call.get(vm, "VM").ref for vm, priority in configuration.items() if priority == RESTART}
    return most_failures(situation_with(call.world, lambda vm: vm.ref in wanted))


@handles("pool.ha_compute_vm_failover_plan")
def ha_compute_vm_failover_plan(
    call: CallContext, failed_hosts: tuple[str, ...], failed_vms: tuple[str, ...]
) -> dict[str, dict[str, str]]:
    """For each VM {"host": reference} or {"error_code": why it finds none}. HA_NO_PLAN if no other host takes VMs."""
    failed = frozenset(call.get(host, "host").ref for host in failed_hosts)
    now = situation(call.world)
    if not now.free.keys() - failed:
        raise E.HA_NO_PLAN()
    machines = [machine_of(call.store, call.get(vm, "VM"), now.live) for vm in failed_vms]
    for machine in machines:
        if machine.on:  # what it has now is free again
            now = now.arriving(machine.ref, machine.memory, "", machine.on)
    found = targets(now, failed, machines)
    return {
        machine.ref: {"host": found[machine.ref]} if machine.ref in found else {"error_code": "NO_HOSTS_AVAILABLE"}
        for machine in machines
    }


@handles("pool.ha_schedule_plan_recomputation")
def ha_schedule_plan_recomputation(call: CallContext) -> None:
    """At once; nothing happens while high availability is off."""
    recount(call.world)
