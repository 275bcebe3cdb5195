"""Starting and stopping the VMs of an appliance (API reference, VM_appliance).

Rule 1: VMs of one rank (VM.order) begin together; the next rank begins when each of them is done and has had its delay
        (start_delay, shutdown_delay). Ranks come in ascending order to start, in descending order to stop.
Rule 2: every VM is tried. What has been done stays when others fail, or when the whole is cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from xenapi_core.engine.plan import Claim, Plan, Run, Step, World, plans
from xenapi_core.errors import ApiError, E
from xenapi_core.model.appliance_lifecycle import refuse_appliance_operation
from xenapi_core.model.power import HALTED, PAUSED, RUNNING, SUSPENDED
from xenapi_core.store.api import Version

PATIENCE: Final = 24 * 3600.0  # seconds for one rank, delays included

Call = tuple[str, tuple[Any, ...]]  # message of VM, arguments after the VM


@plans("VM_appliance.start")
def plan_start(world: World, appliance: str, paused: bool) -> Plan:
    """Start, resume or unpause every VM that does not run."""
    calls: dict[str, Call] = {HALTED: ("VM.start", (paused, False)), SUSPENDED: ("VM.resume", (paused, False))}
    if not paused:
        calls[PAUSED] = ("VM.unpause", ())
    return _plan(world, appliance, "start", calls, "start_delay", downwards=False)


@plans("VM_appliance.clean_shutdown")
def plan_clean_shutdown(world: World, appliance: str) -> Plan:
    """Request every guest to shut down; VMs whose guest cannot receive the request count as failed."""
    return _stop(world, appliance, "clean_shutdown")


@plans("VM_appliance.hard_shutdown")
def plan_hard_shutdown(world: World, appliance: str) -> Plan:
    """Pull every plug."""
    return _stop(world, appliance, "hard_shutdown")


@plans("VM_appliance.shutdown")
def plan_shutdown(world: World, appliance: str) -> Plan:
    """Ask each guest, and pull its plug if that does not help."""
    return _stop(world, appliance, "shutdown")


def _stop(world: World, appliance: str, operation: str) -> Plan:
    calls: dict[str, Call] = dict.fromkeys((RUNNING, PAUSED, SUSPENDED), (f"VM.{operation}", ()))
    return _plan(world, appliance, operation, calls, "shutdown_delay", downwards=True)


def _plan(world: World, ref: str, operation: str, calls: Mapping[str, Call], delay: str, downwards: bool) -> Plan:
    """Raises OPERATION_NOT_ALLOWED; the plan fails with OPERATION_PARTIALLY_FAILED [operation, vm...]."""
    appliance = world.store.get(ref, "VM_appliance")
    if refusal := refuse_appliance_operation(world.store, appliance, operation):
        raise refusal
    vms = [world.store.get(vm, "VM") for vm in world.store.related(ref, "VMs")]
    concerned = [vm for vm in vms if vm["power_state"] in calls]
    failed: list[str] = []

    async def one(run: Run, vm: Version) -> None:
        wire_name, args = calls[vm["power_state"]]
        try:
            await run.perform(wire_name, vm.ref, *args)
        except ApiError:
            run.check_cancelled()
            failed.append(vm.ref)
            return
        if vm[delay] > 0:
            await world.clock.sleep(vm[delay])

    def rank(members: list[Version], last: bool) -> Step:
        async def do(run: Run) -> None:
            for result in await asyncio.gather(*(one(run, vm) for vm in members), return_exceptions=True):
                if isinstance(result, BaseException):
                    raise result
            if last and failed:
                raise E.OPERATION_PARTIALLY_FAILED(f"VM_appliance.{operation}", *failed)

        return Step(f"{operation} rank {members[0]['order']}", do, weight=len(members), deadline=PATIENCE)

    orders = sorted({vm["order"] for vm in concerned}, reverse=downwards)
    ranks = [[vm for vm in concerned if vm["order"] == order] for order in orders]
    steps = tuple(rank(members, number == len(ranks) - 1) for number, members in enumerate(ranks))
    return Plan(steps=steps, claims=(Claim(ref, operation),))
