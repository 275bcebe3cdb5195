"""AutomaticShutdownAction (DSP1057): what happens to a machine when its host is switched off or restarted.

Rule 1: a machine says it in other_config["auto_poweroff"], as the operation of the Xen-API that is done to it. One that
        says nothing keeps its host on, as every machine does that is there when a client of the Xen-API asks: that
        has host.shutdown refused whatever its machines say.
Rule 2: the host takes no new machines before the first one goes. If the host stays on in the end, its machines come
        back: their undo enables the host first.
"""

from __future__ import annotations

from cim_provider.jobs import Work
from cim_provider.mapping.refusal import invalid
from cim_provider.mapping.subject import Subject

KEY = "auto_poweroff"  # of other_config

# AutomaticShutdownAction -> operation: 2 turn off, 3 save state, 4 shut down.
OPERATIONS = {2: "hard_shutdown", 3: "suspend", 4: "clean_shutdown"}
_ACTIONS = {operation: action for action, operation in OPERATIONS.items()}
# Operation -> the message that takes it back.
_BACK = {"hard_shutdown": "start", "suspend": "resume", "clean_shutdown": "start"}


def automatic_shutdown_action(vm: Subject) -> int | None:
    """NULL for a machine that says nothing, or nothing that is known."""
    return _ACTIONS.get(vm["other_config"].get(KEY, ""))


def entry_for(action: int) -> dict[str, str | None]:
    """What AutomaticShutdownAction puts into other_config. RefusedError INVALID_PARAMETER for an unknown one."""
    if action not in OPERATIONS:
        raise invalid(f"AutomaticShutdownAction {action} is not supported")
    return {KEY: OPERATIONS[action]}


def _machines(host: Subject) -> list[Subject]:
    return [vm for vm in host.each("resident_VMs") if not vm["is_control_domain"]]


def lets_go(host: Subject) -> bool:
    """Whether the machines on a host, if there are any, all say what shall happen to them (rule 1)."""
    return all(automatic_shutdown_action(vm) is not None for vm in _machines(host))


def messages(host: Subject) -> tuple[str, ...]:
    """The messages that `end_machines` will call, for who may not."""
    asked = {str(vm["other_config"].get(KEY)) for vm in _machines(host)}
    paused = any(vm["power_state"] == "Paused" for vm in _machines(host))
    return (*(f"VM.{name}" for name in sorted(asked & _BACK.keys())), *(("VM.unpause",) if paused else ()))


async def end_machines(work: Work, host: str, enabled: bool) -> None:
    """Do to each machine on a host what it says. `enabled`: the host took machines before the job (rule 2).

    Machines that have come meanwhile and say nothing stay: the pool then refuses to switch the host off. ApiError.
    """
    version = work.source.find(host)
    for vm in _machines(Subject(work.source, version)) if version is not None else ():
        operation = OPERATIONS.get(automatic_shutdown_action(vm) or 0)
        if operation is None:
            continue
        paused = vm["power_state"] == "Paused"
        if paused and operation != "hard_shutdown":  # a paused guest hears nothing
            await work.run("VM.unpause", vm.ref)
            await work.undo("VM.pause", vm.ref)
        await work.run(f"VM.{operation}", vm.ref)
        await work.undo(f"VM.{_BACK[operation]}", vm.ref, paused and operation == "hard_shutdown", False)
        if enabled:
            await work.undo("host.enable", host)
