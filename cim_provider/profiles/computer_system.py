"""DSP1057 Virtual System and DSP1052 Computer System: virtual machines and hosts as computer systems."""

from __future__ import annotations

from cim_provider.mapping.method import method
from cim_provider.mapping.rule import OWN_CLASS, computed, const, field, moment, via, xen_id
from cim_provider.mapping.subject import Subject
from cim_provider.mapping.view import View
from cim_provider.methods import state_change
from cim_provider.methods.state_change import goal
from xenapi_core.model.lifecycle import REQUESTED_STATE
from xenapi_core.model.power import is_guest

# Xen power state -> EnabledState, OperationalStatus, OperatingStatus (DSP1057 state table).
# fmt: off
STATES = {
    "Halted":    (3, (10,), 5),
    "Running":   (2, (2,), 16),
    "Paused":    (9, (2,), 7),
    "Suspended": (6, (10,), 7),
}

# An operation in progress -> the same three values while it lasts; None: as the power state says.
TRANSITIONS = {
    "clean_shutdown": (4, (9,), 13),
    "hard_shutdown":  (4, (9,), 13),
    "shutdown":       (4, (9,), 13),
    "start":          (10, (8,), 3),
    "start_on":       (10, (8,), 3),
    "resume":         (10, (8,), 3),
    "resume_on":      (10, (8,), 3),
    "pool_migrate":   (2, (2, 19), 9),
    "migrate_send":   (2, (2, 19), 9),
    "snapshot":       (None, None, 12),
    "checkpoint":     (None, None, 12),
}

# fmt: on


def belongs_to_guest(device: Subject) -> bool:
    """Whether a VBD or VIF belongs to such a machine."""
    vm = device.follow("VM")
    return vm is not None and is_guest(vm)


def _state(vm: Subject) -> tuple[int, tuple[int, ...], int]:
    enabled, operational, operating = STATES[vm["power_state"]]
    for operation in vm["current_operations"].values():
        now = TRANSITIONS.get(operation)
        if now is not None:
            return now[0] or enabled, now[1] or operational, now[2]
    return enabled, operational, operating


def enabled_state(vm: Subject) -> int:
    return _state(vm)[0]


def operational_status(vm: Subject) -> tuple[int, ...]:
    return _state(vm)[1]


def operating_status(vm: Subject) -> int:
    return _state(vm)[2]


def requested_state(vm: Subject) -> int:
    """The state of the operation in progress, or the last one requested, through either API; 5 No Change since the
    machine left that state by itself, 12 Not Applicable if nobody asked for anything yet."""
    return goal(vm) or int(vm["requested_state"])


def transitioning_to_state(vm: Subject) -> int:
    """5 No Change while nothing is in progress."""
    return goal(vm) or 5


def available_requested_states(vm: Subject) -> tuple[int, ...]:
    allowed, state = set(vm["allowed_operations"]), vm["power_state"]
    return tuple(goal for goal, by_state in REQUESTED_STATE.items() if by_state.get(state) in allowed)


def _guest_identity(vm: Subject) -> list[tuple[str, str]]:
    agent = vm.follow("guest_metrics")
    found = [("Xen domain", str(vm["domid"]))] if vm["domid"] >= 0 else []
    if agent is not None and agent["os_version"].get("name"):
        found.append(("OS Name", agent["os_version"]["name"]))
    return found


def other_identifying_info(vm: Subject) -> tuple[str, ...]:
    return tuple(value for _, value in _guest_identity(vm))


def identifying_descriptions(vm: Subject) -> tuple[str, ...]:
    return tuple(name for name, _ in _guest_identity(vm))


class ComputerSystem(View, cim="Xen_ComputerSystem", of="VM", where=is_guest):
    """A virtual machine."""

    CreationClassName = OWN_CLASS
    Name = field("uuid")
    NameFormat = const("Other")
    Caption = const("Virtual machine")
    ElementName = field("name_label")
    Description = field("name_description")
    OtherIdentifyingInfo = computed(other_identifying_info)
    IdentifyingDescriptions = computed(identifying_descriptions)
    Dedicated = const((0,))
    EnabledState = computed(enabled_state)
    EnabledDefault = const(2)
    RequestedState = computed(requested_state)
    TransitioningToState = computed(transitioning_to_state)
    AvailableRequestedStates = computed(available_requested_states)
    OperationalStatus = computed(operational_status)
    OperatingStatus = computed(operating_status)
    HealthState = const(5)
    ResetCapability = const(4)
    TimeOfLastStateChange = via("metrics", moment("start_time"))
    InstallDate = via("metrics", moment("install_time"))

    RequestStateChange = method(state_change.of_machine, out=("Job",))
    SetPowerState = method(state_change.set_power_state)


class ComputerSystemCapabilities(View, cim="Xen_ComputerSystemCapabilities", of="VM", where=is_guest):
    """The state changes that a client may request of a virtual machine at one time or another."""

    InstanceID = xen_id(field("uuid"), "StateCapabilities")
    ElementName = field("name_label")
    ElementNameEditSupported = const(False)
    RequestedStatesSupported = const(tuple(REQUESTED_STATE))
    StateAwareness = const(tuple(REQUESTED_STATE))


def host_enabled_state(host: Subject) -> int:
    """2 Enabled; 6 Enabled but Offline in maintenance: it works, but takes no new machines. Of a host that does not
    answer: 3 Disabled if it had been disabled, as one is before it goes down, and 0 Unknown otherwise."""
    if not state_change.host_is_live(host):
        return 0 if host["enabled"] else 3
    return 2 if host["enabled"] else 6


def host_operational_status(host: Subject) -> tuple[int, ...]:
    return (2,) if state_change.host_is_live(host) else (12,)


def host_health_state(host: Subject) -> int:
    return 5 if state_change.host_is_live(host) else 0


def host_identifying_info(host: Subject) -> tuple[str, ...]:
    return (host["hostname"], host["address"])


def host_requested_state(host: Subject) -> int:
    """The state of the operation in progress, or the last one requested, through either API; 5 No Change since the host
    left that state by itself, 12 Not Applicable if nobody asked for anything yet."""
    return state_change.host_goal(host) or int(host["requested_state"])


def host_transitioning_to_state(host: Subject) -> int:
    """5 No Change while nothing is in progress."""
    return state_change.host_goal(host) or 5


class HostComputerSystem(View, cim="Xen_HostComputerSystem", of="host"):
    """A physical host."""

    CreationClassName = OWN_CLASS
    Name = field("uuid")
    NameFormat = const("Other")
    Caption = const("Virtualization host")
    ElementName = field("name_label")
    Description = field("name_description")
    OtherIdentifyingInfo = computed(host_identifying_info)
    IdentifyingDescriptions = const(("Host name", "Management address"))
    Dedicated = const((0,))
    EnabledState = computed(host_enabled_state)
    EnabledDefault = const(2)
    RequestedState = computed(host_requested_state)
    TransitioningToState = computed(host_transitioning_to_state)
    AvailableRequestedStates = computed(state_change.available_for_host)
    OperationalStatus = computed(host_operational_status)
    HealthState = computed(host_health_state)

    RequestStateChange = method(state_change.of_host, out=("Job",))
    SetPowerState = method(state_change.set_power_state)


class HostCapabilities(View, cim="Xen_HostComputerSystemCapabilities", of="host"):
    """The state changes that a client may request of a host at one time or another."""

    InstanceID = xen_id(field("uuid"), "StateCapabilities")
    ElementName = field("name_label")
    ElementNameEditSupported = const(False)
    RequestedStatesSupported = const(state_change.HOST_STATES)
    StateAwareness = const(state_change.HOST_STATES)
