"""DSP1027 Power State Management: the state changes of machines and hosts as power states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cim_provider import jobs
from cim_provider.mapping.association import Association, Relation, SameRecord
from cim_provider.mapping.extent import Rendition
from cim_provider.mapping.method import Call, Result, method
from cim_provider.mapping.refusal import Kind, RefusedError, invalid
from cim_provider.mapping.rule import const, field, xen_id
from cim_provider.mapping.view import View
from cim_provider.methods import scheduled_change, state_change
from cim_provider.profiles.computer_system import ComputerSystem, HostComputerSystem
from cim_provider.profiles.host_service import HostedService, HostService, machines_of
from cim_provider.profiles.job_relations import OwningJobElement, jobs_of
from cim_provider.profiles.system_virtualization import ElementCapabilities
from cim_provider.schema.objects import Path

# fmt: off
ON, SLEEP_LIGHT, SLEEP_DEEP, CYCLE_SOFT, OFF_HARD, HIBERNATE, OFF_SOFT, CYCLE_HARD, RESET, NMI = range(2, 12)
OFF_SOFT_GRACEFUL, OFF_HARD_GRACEFUL, RESET_GRACEFUL, CYCLE_SOFT_GRACEFUL, CYCLE_HARD_GRACEFUL = range(12, 17)

# Requested PowerState -> RequestedState of a machine (DSP1057 and DSP1027 state tables).
OF_MACHINE = {
    ON: 2, SLEEP_LIGHT: 9, SLEEP_DEEP: 9, CYCLE_SOFT: 10, OFF_HARD: 3, HIBERNATE: 6, OFF_SOFT: 3, CYCLE_HARD: 11,
    RESET: 11, OFF_SOFT_GRACEFUL: 4, RESET_GRACEFUL: 10, CYCLE_SOFT_GRACEFUL: 10,
}
# The same of a host, whose operating system switches it off and restarts it.
OF_HOST = {ON: 2, CYCLE_SOFT: 10, OFF_SOFT: 4, OFF_SOFT_GRACEFUL: 4, RESET_GRACEFUL: 10, CYCLE_SOFT_GRACEFUL: 10}

REQUESTABLE = (*OF_MACHINE, NMI)

# EnabledState as shown -> PowerState. Transitions show the state that is being left: a machine shutting down is On.
SHOWN = {2: ON, 3: OFF_SOFT, 9: SLEEP_DEEP, 6: HIBERNATE, 4: ON, 10: OFF_SOFT}
OTHER = 1

# RequestedState -> RequestedPowerState, which counts otherwise than PowerState from 12 Not Applicable on: 13 Off - Soft
# Graceful, 16 Power Cycle (Off - Soft Graceful).
REQUESTED = {2: ON, 3: OFF_SOFT, 4: 13, 6: HIBERNATE, 9: SLEEP_DEEP, 10: 16, 11: RESET}
NOT_APPLICABLE = 12
# fmt: on


def _inverse(goals: Mapping[int, int]) -> Mapping[int, tuple[int, ...]]:
    return {goal: tuple(power for power, state in goals.items() if state == goal) for goal in goals.values()}


# One RequestedState in AvailableRequestedStates of a machine, or host -> the PowerStates that ask for it.
_ASKED_BY, _HOST_ASKED_BY = _inverse(OF_MACHINE), _inverse(OF_HOST)


@jobs.answers(jobs.STATE_CHANGE)
async def request_power_state_change(
    call: Call, power_state: int | None, managed_element: Path | None, time: str | None, timeout_period: str | None
) -> Result:
    """CIM_PowerManagementService.RequestPowerStateChange, for machines and hosts.

    Return values as RequestStateChange has them; 1 for a PowerState nothing here can have. With a Time, the job waits
    for it (scheduled_change.py); 4099 if too many do.
    """
    element = call.target(managed_element, "ManagedElement", ComputerSystem.cim, HostComputerSystem.cim)
    if power_state is None or not 2 <= power_state <= 16:
        raise invalid(f"{power_state} is no power state to request")
    due = scheduled_change.due_of(time, call.source.now())
    if not jobs.no_timeout(timeout_period):
        return Result(jobs.TIMEOUT_NOT_SUPPORTED)
    of_host = element.version.cls == "host"
    if due is not None:
        if power_state == NMI and not of_host:
            raise RefusedError(Kind.NOT_SUPPORTED, "an interrupt is sent at once")
        goal = _goal(OF_HOST if of_host else OF_MACHINE, power_state)
        return await state_change.change_later(call, element, goal, due, power_state)
    if of_host:
        return await state_change.change_host(call, element, _goal(OF_HOST, power_state))
    if power_state == NMI:
        await call.source.call(call.principal, "VM.assert_operation_valid", element.ref, "send_trigger")
        jobs.require(call, "VM.send_trigger")
        return await call.jobs.one(
            call, jobs.STATE_CHANGE, "VM.send_trigger", element.ref, "nmi", about=element["uuid"]
        )  # fmt: skip
    return await state_change.change_machine(call, element, _goal(OF_MACHINE, power_state))


def _goal(goals: Mapping[int, int], power_state: int) -> int:
    goal = goals.get(power_state)
    if goal is None:
        raise RefusedError(Kind.NOT_SUPPORTED, f"power state {power_state} is not supported")
    return goal


class PowerManagementService(HostService, cim="Xen_PowerManagementService", of="host"):
    """What switches the machines of the pool, and its hosts, on and off."""

    ElementName = const("Power management")

    RequestPowerStateChange = method(request_power_state_change, out=("Job",))


class PowerManagementCapabilities(View, cim="Xen_PowerManagementCapabilities", of="host"):
    """The capabilities of the power management service of a host: 3 power state settable, 4 power cycling, 6 hard power
    cycling, 7 hardware reset, 8 graceful shutdown."""

    InstanceID = xen_id(field("uuid"), "PowerManagementCapabilities")
    ElementName = const("Power management")
    PowerChangeCapabilities = const((3, 4, 6, 7, 8))
    PowerStatesSupported = const((ON, SLEEP_DEEP, HIBERNATE, OFF_SOFT))
    RequestedPowerStatesSupported = const(tuple(sorted(REQUESTABLE)))


class AssociatedPowerManagementService(
    Association, cim="Xen_AssociatedPowerManagementService", left="ServiceProvided", right="UserOfService"
):
    """The power state of a machine or host, and the service that changes it."""

    relations = (machines_of(PowerManagementService), SameRecord(PowerManagementService, HostComputerSystem))

    @classmethod
    def described(cls, relation: Relation, left: Rendition, right: Rendition) -> Mapping[str, Any]:
        shown = power_of_host(right) if right.view is HostComputerSystem else power_of_machine(right)
        return {**shown, **_waiting_for(right)}


def _waiting_for(element: Rendition) -> Mapping[str, Any]:
    """RequestedPowerState (REQUESTED counts otherwise from 12 on) and PowerOnTime while a machine or host waits to be
    switched on."""
    found = scheduled_change.power_on_time(element.version)
    if found is None:
        return {}
    state, at = found
    return {"RequestedPowerState": state if state < NOT_APPLICABLE else state + 1, "PowerOnTime": at}


def power_of_machine(machine: Rendition) -> Mapping[str, Any]:
    """PowerState, and what may be requested now, of a machine as it is shown."""
    allowed = [power for goal in machine.values["AvailableRequestedStates"] for power in _ASKED_BY.get(goal, ())]
    trigger = [NMI] if machine.values["EnabledState"] == 2 else []
    return {
        "PowerState": SHOWN.get(machine.values["EnabledState"], OTHER),
        "RequestedPowerState": REQUESTED.get(machine.values["RequestedState"], NOT_APPLICABLE),
        "AvailableRequestedPowerStates": tuple(sorted((*allowed, *trigger))),
        "TransitioningToPowerState": _moving_to(machine.values["TransitioningToState"]),
    }


def _moving_to(state: int, asked_by: Mapping[int, tuple[int, ...]] = _ASKED_BY) -> int:
    """TransitioningToPowerState: 19 No Change; the first PowerState that means the state otherwise."""
    return asked_by[state][0] if state in asked_by else 19


def power_of_host(host: Rendition) -> Mapping[str, Any]:
    """PowerState, and what may be requested now, of a host as it is shown: On while it answers, else off. A host that
    is on can be enabled again, but not switched on; 3 Disabled is no power state of a host."""
    up, requested = host.values["OperationalStatus"] == (2,), host.values["RequestedState"]
    available = [state for state in host.values["AvailableRequestedStates"] if state != 2 or not up]
    return {
        "PowerState": ON if up else OFF_SOFT,
        "RequestedPowerState": REQUESTED[requested] if requested in _HOST_ASKED_BY else NOT_APPLICABLE,
        "AvailableRequestedPowerStates": tuple(
            sorted(power for state in available for power in _HOST_ASKED_BY.get(state, ()))
        ),
        "TransitioningToPowerState": _moving_to(host.values["TransitioningToState"], _HOST_ASKED_BY),
    }


HostedService.also(SameRecord(HostComputerSystem, PowerManagementService))
ElementCapabilities.also(SameRecord(PowerManagementService, PowerManagementCapabilities))
OwningJobElement.also(jobs_of(PowerManagementService))
