"""RequestStateChange of machines (DSP1057 clause 8) and hosts (DSP1042): the Xen-API messages that lead to a state.

The power management service (power_management.py) asks for the same transitions in words of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cim_provider import jobs
from cim_provider.jobs import Work
from cim_provider.mapping.method import Call, Result
from cim_provider.mapping.refusal import Kind, RefusedError, invalid
from cim_provider.mapping.subject import Subject
from cim_provider.methods import scheduled_change, shutdown_action
from xenapi_core.model.hosts import reports_live
from xenapi_core.model.infrastructure_lifecycle import (
    BRINGING,
    DISABLED,
    ENABLED,
    HOST_ASKS_FOR,
    OFFLINE,
    REBOOT,
    SHUT_DOWN,
    refuse_host_operation,
)
from xenapi_core.model.lifecycle import ASKS_FOR, REQUESTED_STATE

# fmt: off
# RequestedState values that a machine may be asked for again once it is there; DSP1057's table forbids it for others.
REPEATABLE = {ENABLED: "Running", DISABLED: "Halted"}

# Values of RequestedState that exist (CIM_EnabledLogicalElement) but have no meaning for a machine, or for a host.
NEVER_SUPPORTED = (7, 8)
NEVER_FOR_HOSTS = (7, 8, 9, 11)

# Arguments of the Xen-API method of an operation, after the machine itself.
ARGUMENTS = {"start": (False, False), "resume": (False, False)}

HOST_STATES = (ENABLED, DISABLED, SHUT_DOWN, OFFLINE, REBOOT)

# PowerState of CIM_ComputerSystem.SetPowerState -> RequestedState. 4 Power Save - Other says nothing of its own.
FULL_POWER, LOW_POWER, STANDBY, SAVE_OTHER, POWER_CYCLE, POWER_OFF, HIBERNATE, SOFT_OFF = POWER_STATES = range(1, 9)
OF_MACHINE = {FULL_POWER: 2, LOW_POWER: 9, STANDBY: 9, POWER_CYCLE: 11, POWER_OFF: 3, HIBERNATE: 6, SOFT_OFF: 3}
OF_HOST = {FULL_POWER: ENABLED, POWER_CYCLE: REBOOT, SOFT_OFF: SHUT_DOWN}
NEWER = {FULL_POWER: 2, POWER_CYCLE: 9, HIBERNATE: 7, SOFT_OFF: 8}  # DSP1027's numbers for some of them
# fmt: on


def goal(vm: Subject) -> int | None:
    """The RequestedState of the operation in progress, if there is one that changes the state."""
    return next((ASKS_FOR[name] for name in vm["current_operations"].values() if name in ASKS_FOR), None)


def host_goal(host: Subject) -> int | None:
    """The RequestedState of the operation in progress on a host; a shutdown or boot takes precedence over an
    evacuation."""
    goals = [HOST_ASKS_FOR[name] for name in host["current_operations"].values() if name in HOST_ASKS_FOR]
    return next((state for state in goals if state != DISABLED), goals[0] if goals else None)


def host_is_live(host: Subject) -> bool:
    """Whether a host is up."""
    return reports_live(host.follow("metrics"))


def available_for_host(host: Subject) -> tuple[int, ...]:
    """The states that can be requested of a host now and that it is not in already, in the order of HOST_STATES."""
    allowed, busy = host["allowed_operations"], host_goal(host) not in (None, DISABLED)
    if not host_is_live(host):
        return (ENABLED,) if "power_on" in allowed else ()
    if busy:
        return ()
    able = {
        ENABLED: not host["enabled"],
        DISABLED: "evacuate" in allowed,
        SHUT_DOWN: shutdown_action.lets_go(host) and not BRINGING.intersection(host["current_operations"].values()),
        OFFLINE: bool(host["enabled"]),
    }
    able[REBOOT] = able[SHUT_DOWN]
    return tuple(state for state in HOST_STATES if able[state])


def asked(requested_state: int | None, known: tuple[int, ...], never: tuple[int, ...]) -> int:
    """The requested state. RefusedError NOT_SUPPORTED for values that are never supported, INVALID_PARAMETER for values
    that are none and for NULL."""
    if requested_state in never:
        raise RefusedError(Kind.NOT_SUPPORTED, f"state {requested_state} is not supported")
    if requested_state is None or requested_state not in known:
        raise invalid(f"{requested_state} is no state")
    return requested_state


@jobs.answers(jobs.STATE_CHANGE)
async def of_machine(call: Call, requested_state: int | None, timeout_period: str | None) -> Result:
    """CIM_EnabledLogicalElement.RequestStateChange of a machine: start the operation that leads there.

    4096 and the job of its task; 0 if it runs or is off already and was asked to; 1 for states no machine has, 5 for
    values that are none; 4097 if the present state forbids it, or VM.blocked_operations; 4098 if a timeout was asked
    for; 4099 if an operation in progress forbids it.
    """
    state = asked(requested_state, tuple(REQUESTED_STATE), NEVER_SUPPORTED)
    if not jobs.no_timeout(timeout_period):
        return Result(jobs.TIMEOUT_NOT_SUPPORTED)
    return await change_machine(call, call.subject, state)


def _operation(vm: Subject, state: int) -> str | None:
    """What brings `vm` to a RequestedState; None if it is there. RefusedError INVALID_STATE."""
    operation = REQUESTED_STATE[state].get(vm["power_state"])
    if operation is None and (REPEATABLE.get(state) != vm["power_state"] or goal(vm) is not None):
        raise RefusedError(Kind.INVALID_STATE, f"not while {vm['power_state']}")
    return operation


async def change_machine(call: Call, vm: Subject, state: int) -> Result:
    """Bring `vm` to a RequestedState. RefusedError INVALID_STATE, and ApiError for what the pool forbids now: an
    operation that is blocked, that another one is in the way of, or for which the guest lacks something."""
    operation = _operation(vm, state)
    if operation is None:
        return Result(jobs.DONE)
    jobs.require(call, f"VM.{operation}")
    await call.source.call(call.principal, "VM.assert_operation_valid", vm.ref, operation)
    arguments = ARGUMENTS.get(operation, ())
    return await call.jobs.one(call, jobs.STATE_CHANGE, f"VM.{operation}", vm.ref, *arguments, about=vm["uuid"])


@jobs.answers(jobs.STATE_CHANGE)
async def of_host(call: Call, requested_state: int | None, timeout_period: str | None) -> Result:
    """RequestStateChange of a host.

    2 Enabled: take machines again, or switch it on if it is down. 6 Offline: take no new machines. 3 Disabled: that,
    and move the machines away. 4 Shut Down and 10 Reboot: switch off, or restart, a host whose machines, if there are
    any, say what shall happen to them (shutdown_action.py). Return values as for machines; 0 if the host is there
    already.
    """
    state = asked(requested_state, HOST_STATES, NEVER_FOR_HOSTS)
    if not jobs.no_timeout(timeout_period):
        return Result(jobs.TIMEOUT_NOT_SUPPORTED)
    return await change_host(call, call.subject, state)


async def change_host(call: Call, host: Subject, state: int) -> Result:
    """Bring `host` to a RequestedState. RefusedError, and ApiError for what the pool forbids now."""
    live = host_is_live(host)
    if not live and state == SHUT_DOWN:
        return Result(jobs.DONE)
    if not live and state != ENABLED:
        raise RefusedError(Kind.INVALID_STATE, "the host is down")
    if state == ENABLED:
        if not live:
            jobs.require(call, "host.power_on")
            _check(call, host, "power_on")
            return await call.jobs.one(call, jobs.STATE_CHANGE, "host.power_on", host.ref)
        if host["enabled"]:
            return Result(jobs.DONE)
        jobs.require(call, "host.enable")
        return await call.jobs.one(call, jobs.STATE_CHANGE, "host.enable", host.ref)
    if state == OFFLINE:
        if not host["enabled"]:
            return Result(jobs.DONE)
        jobs.require(call, "host.disable")
        return await call.jobs.one(call, jobs.STATE_CHANGE, "host.disable", host.ref, False)
    jobs.require(call, "host.disable", "host.enable")
    if state == DISABLED:
        jobs.require(call, "host.evacuate")
        return await call.jobs.several(call, jobs.STATE_CHANGE, "CIM.RequestStateChange", _emptying(host))
    operation = "reboot" if state == REBOOT else "shutdown"
    jobs.require(call, f"host.{operation}", *shutdown_action.messages(host))
    _check_lets_go(host)
    return await call.jobs.several(call, jobs.STATE_CHANGE, "CIM.RequestStateChange", _down(host, operation))


def _check(call: Call, host: Subject, operation: str) -> None:
    refusal = refuse_host_operation(call.source, host.version, operation)
    if refusal is not None:
        raise refusal


def _check_lets_go(host: Subject) -> None:
    """RefusedError INVALID_STATE while machines are on the host that do not say what shall happen to them."""
    if not shutdown_action.lets_go(host):
        raise RefusedError(Kind.INVALID_STATE, "machines are on the host")


async def change_later(call: Call, element: Subject, state: int, due: int, power_state: int) -> Result:
    """Bring a machine, or a host, to a RequestedState when `due` has come (scheduled_change.py); `power_state`: what
    was asked for in DSP1027's words. A host is switched on, switched off or restarted."""
    ref = element.ref
    if element.version.cls == "VM":
        jobs.require(call, *(f"VM.{name}" for name in sorted(set(REQUESTED_STATE[state].values()))))

        async def change(work: Work) -> None:
            operation = _operation(_present(work, ref, "VM"), state)
            if operation is not None:
                await work.run(f"VM.{operation}", ref, *ARGUMENTS.get(operation, ()))

    else:
        operation = {SHUT_DOWN: "shutdown", REBOOT: "reboot"}.get(state, "power_on")
        jobs.require(call, "host.enable", "host.disable", f"host.{operation}")

        async def change(work: Work) -> None:
            await _change_power_of_host(work, _present(work, ref, "host"), operation)

    return await scheduled_change.later(call, element, due, power_state, change)


def _present(work: Work, ref: str, cls: str) -> Subject:
    """A machine or host as it is now. HANDLE_INVALID."""
    version = work.source.find(ref)
    if version is None:
        raise jobs.gone(cls, ref)
    return Subject(work.source, version)


async def _change_power_of_host(work: Work, host: Subject, operation: str) -> None:
    """ApiError, RefusedError INVALID_STATE."""
    live = host_is_live(host)
    if operation == "power_on":
        if not live:
            await work.run("host.power_on", host.ref)
        elif not host["enabled"]:
            await work.call("host.enable", host.ref)
    elif live:
        _check_lets_go(host)
        await _down(host, operation)(work)
    elif operation == "reboot":
        raise RefusedError(Kind.INVALID_STATE, "the host is down")


async def _disable(work: Work, host: Subject, until_boot: bool) -> None:
    """Take no new machines: until the host boots again, or until it is enabled. Its undo asks for Enabled, and that is
    remembered as what was asked for last."""
    if host["enabled"]:
        await work.call("host.disable", host.ref, until_boot)
        await work.undo("host.enable", host.ref)


def _emptying(host: Subject) -> jobs.Body:
    async def body(work: Work) -> Mapping[str, Any]:
        work.expected = 2
        await _disable(work, host, until_boot=False)
        await work.run("host.evacuate", host.ref)
        return {}

    return body


def _down(host: Subject, operation: str) -> jobs.Body:
    async def body(work: Work) -> Mapping[str, Any]:
        work.expected = 2 + len(host["resident_VMs"])
        await _disable(work, host, until_boot=True)
        await shutdown_action.end_machines(work, host.ref, host["enabled"])
        await work.run(f"host.{operation}", host.ref)
        return {}

    return body


@jobs.answers(jobs.STATE_CHANGE)
async def set_power_state(call: Call, power_state: int | None, time: str | None) -> Result:
    """CIM_ComputerSystem.SetPowerState of a machine or host, which the power management service replaced.

    Return values as RequestStateChange has them; a job that is started (4096) has to be looked for, as the method has
    no output. 1 for power states that nothing here has. With a Time, the job waits for it.
    """
    if power_state is None or power_state not in POWER_STATES:
        raise invalid(f"{power_state} is no power state")
    due = scheduled_change.due_of(time, call.source.now())
    of_host = call.subject.version.cls == "host"
    state = (OF_HOST if of_host else OF_MACHINE).get(power_state)
    if state is None:
        raise RefusedError(Kind.NOT_SUPPORTED, f"power state {power_state} is not supported")
    if due is not None:
        result = await change_later(call, call.subject, state, due, NEWER.get(power_state, power_state))
    else:
        result = await (change_host if of_host else change_machine)(call, call.subject, state)
    return Result(result.value, why=result.why)
