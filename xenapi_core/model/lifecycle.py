"""VM operations: which are allowed when, what they may overlap, and the state they lead to.

Rule 1: every fact about VM operations lives in OPERATIONS below. allowed_operations, VM_BAD_POWER_STATE,
        OTHER_OPERATION_IN_PROGRESS, CIM's RequestedStatesSupported and the state diagram in the docs follow from it.
Rule 2: this module reads records and returns values. It never awaits, so it can be called at render time.
Rule 3: allowed_vm_operations looks at the VM, its metrics, its guest metrics and its lists of devices only, because
        the schema makes a new version of the VM when one of those changes (Field.follows). check_vm_operation may
        look further.
Rule 4: the rules for VBDs, VIFs, VDIs and tasks are in device_lifecycle.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from xenapi_core.errors import ApiError, E
from xenapi_core.ids import is_null
from xenapi_core.model.enums import VM_OPERATIONS
from xenapi_core.model.power import (
    ANY,
    HALTED,
    LIVE,
    PAUSED,
    RUNNING,
    SUSPENDED,
    Record,
    bad_power_state,
    has_pv_drivers,
    other_operation,
)
from xenapi_core.model.schema import Reader


@dataclass(frozen=True, slots=True)
class Operation:
    """One row.

    states      power states it is allowed in, in the order errors name them
    ends        the state it ends in; None: the state it began in
    beside      operations in progress that do not forbid it; ("*",) any but itself
    cancels     operations in progress that it ends first (and so may begin beside)
    listed      whether it appears in allowed_operations
    template    on a template: "never", "custom" (unless it is a default template), "always"
    snapshot    whether it may be done to a snapshot
    needs       what it needs of a running guest: "shutdown", "suspend", "vcpu-hotplug"
    moves       it takes the VM's memory elsewhere: not with passed-through devices, nor for immobile VMs
    dom0        whether a control domain may be asked to
    spelling    how errors spell it, when that is not the enum's spelling
    """

    states: tuple[str, ...]
    ends: str | None = None
    beside: tuple[str, ...] = ()
    cancels: tuple[str, ...] = ()
    listed: bool = True
    template: str = "never"
    snapshot: bool = False
    needs: str = ""
    moves: bool = False
    dom0: bool = False
    spelling: str = ""


_UNKNOWN: Final = "(unknown operation)"
_STOPS: Final = ("clean_shutdown", "clean_reboot", "pool_migrate", "call_plugin", "suspend")
_HARD_STOPS: Final = (*_STOPS, "hard_reboot", "shutdown")
_COPIES: Final = ("clone", "copy", "export")
_SNAPS: Final = ("snapshot", "checkpoint")

# API reference, VM lifecycle: one row per member of vm_operations, in the enum's order.
# fmt: off
OPERATIONS: Final[Mapping[str, Operation]] = {
    "snapshot":              Operation(ANY, beside=_SNAPS),
    "clone":                 Operation((HALTED,), beside=_COPIES, template="always", snapshot=True),
    "copy":                  Operation((HALTED,), beside=_COPIES, template="always", snapshot=True),
    "create_template":       Operation((HALTED, SUSPENDED), listed=False, spelling=_UNKNOWN),
    "revert":                Operation(ANY, snapshot=True),
    "checkpoint":            Operation(LIVE, beside=_SNAPS, needs="suspend", moves=True),
    "snapshot_with_quiesce": Operation((RUNNING,)),
    "provision":             Operation((HALTED,), template="always"),
    "start":                 Operation((HALTED,), RUNNING),
    "start_on":              Operation((HALTED,), RUNNING),
    "pause":                 Operation((RUNNING,), PAUSED),
    "unpause":               Operation((PAUSED,), RUNNING),
    "clean_shutdown":        Operation((RUNNING,), HALTED, beside=("migrate_send",), needs="shutdown"),
    "clean_reboot":          Operation((RUNNING,), RUNNING, beside=("migrate_send",), needs="shutdown"),
    "hard_shutdown":         Operation(LIVE, HALTED, beside=("*",), cancels=_HARD_STOPS, snapshot=True),
    "power_state_reset":     Operation(ANY, HALTED, listed=False),
    "hard_reboot":           Operation((PAUSED, RUNNING), RUNNING, cancels=_STOPS),
    "suspend":               Operation((RUNNING,), SUSPENDED, needs="suspend", moves=True),
    "csvm":                  Operation((SUSPENDED,), listed=False),
    "resume":                Operation((SUSPENDED,), RUNNING),
    "resume_on":             Operation((SUSPENDED,), RUNNING),
    "pool_migrate":          Operation((RUNNING,), needs="suspend", moves=True),
    "migrate_send":          Operation((HALTED, SUSPENDED, RUNNING), template="custom", needs="suspend", moves=True),
    "get_boot_record":       Operation(LIVE, listed=False),
    "send_sysrq":            Operation((RUNNING,), listed=False),
    "send_trigger":          Operation((RUNNING,), listed=False),
    "query_services":        Operation(ANY, listed=False, spelling=_UNKNOWN),
    "shutdown":              Operation(LIVE, HALTED, listed=False),
    "call_plugin":           Operation((RUNNING,), listed=False),
    "changing_memory_live":  Operation((RUNNING,), listed=False, dom0=True),
    "awaiting_memory_live":  Operation((RUNNING,), listed=False, dom0=True),
    "changing_dynamic_range": Operation((HALTED, RUNNING), template="always", dom0=True),
    "changing_static_range": Operation((HALTED,), template="always", dom0=True),
    "changing_memory_limits": Operation((HALTED,), listed=False, template="always", dom0=True, spelling=_UNKNOWN),
    "changing_shadow_memory": Operation((HALTED,), template="always"),
    "changing_shadow_memory_live": Operation((RUNNING,), listed=False),
    "changing_VCPUs":        Operation((HALTED,), listed=False, template="always", dom0=True, spelling=_UNKNOWN),
    "changing_VCPUs_live":   Operation((RUNNING,), needs="vcpu-hotplug"),
    "changing_NVRAM":        Operation((HALTED,), template="always"),
    "assert_operation_valid": Operation(ANY, listed=False, dom0=True, spelling="assertoperationvalid"),
    "data_source_op":        Operation((RUNNING,), listed=False, dom0=True, spelling="data_sources_op"),
    "update_allowed_operations": Operation(ANY, listed=False, dom0=True),
    "make_into_template":    Operation((HALTED,)),
    "import":                Operation((), listed=False),
    "export":                Operation((HALTED, SUSPENDED), beside=_COPIES, template="always", snapshot=True),
    "metadata_export":       Operation(ANY, template="always", snapshot=True, dom0=True),
    "reverting":             Operation(ANY, listed=False, snapshot=True),
    "destroy":               Operation((HALTED, SUSPENDED), template="custom", snapshot=True),
    "create_vtpm":           Operation((HALTED,)),
    "sysprep":               Operation((RUNNING,)),
}
# fmt: on

# Static changes that a running control domain accepts too: they take effect at its next boot.
_ALSO_RUNNING_DOM0: Final = frozenset({"changing_VCPUs", "changing_static_range", "changing_memory_limits"})
_ALSO_SUSPENDED_SNAPSHOT: Final = frozenset({"clone", "copy"})
_ALSO_IN: Final = {
    **dict.fromkeys(_ALSO_RUNNING_DOM0, (RUNNING,)),
    **dict.fromkeys(_ALSO_SUSPENDED_SNAPSHOT, (SUSPENDED,)),
}

LISTED: Final = tuple(name for name in VM_OPERATIONS.values if OPERATIONS[name].listed)

# What to look at for a VM in each state, so that a record costs a dozen checks and not four dozen.
_CANDIDATES: Final = {
    state: tuple(name for name in LISTED if state in (*OPERATIONS[name].states, *_ALSO_IN.get(name, ())))
    for state in ANY
}

_FEATURES: Final = tuple(f"feature-{name}" for name in sorted({row.needs for row in OPERATIONS.values()} - {""}))

# CIM RequestedState (DSP1057) -> operations that reach it; the power state decides which one.
_REQUESTED: Final = {
    2: ("start", "unpause", "resume"),  # Enabled
    3: ("hard_shutdown",),  # Disabled
    4: ("clean_shutdown",),  # Shut Down
    6: ("suspend",),  # Offline
    9: ("pause",),  # Quiesce
    10: ("clean_reboot",),  # Reboot
    11: ("hard_reboot",),  # Reset
}

# CIM RequestedState -> power state -> operation; what is missing is an invalid state transition.
REQUESTED_STATE: Final[Mapping[int, Mapping[str, str]]] = {
    code: {state: name for name in names for state in OPERATIONS[name].states} for code, names in _REQUESTED.items()
}

# Operation -> the RequestedState (CIM) that asking for it means, whoever asked and in which words.
ASKS_FOR: Final[Mapping[str, int]] = {
    **{name: code for code, names in _REQUESTED.items() for name in names},
    "start_on": 2,
    "resume_on": 2,
    "shutdown": 4,
}
# RequestedState of a VM whose state nobody ever asked for, and of one that left the state it was asked to be in.
NEVER_ASKED: Final = 12  # Not Applicable
NOT_ASKED: Final = 5  # No Change
# Key of VM.other_config: the RequestedState that was asked for since, and refused. A CIM server that remembers such
# requests writes it; whoever asks for a state and gets it makes it forgotten.
REFUSED_STATE: Final = "cim-refused-state"
# Key of other_config of a VM or host: the power state that a CIM client has asked for at a later time, and when.
POWER_ON_TIME: Final = "cim-power-on-time"
# What is asked of one VM: no copy, snapshot or export of it has these keys of other_config.
OWN_REQUESTS: Final = (REFUSED_STATE, POWER_ON_TIME)


def requested_states_supported(reader: Reader, vm: Record) -> tuple[int, ...]:
    """CIM RequestedState values that a client may ask for on `vm` now."""
    allowed = set(allowed_vm_operations(reader, vm))
    state = vm["power_state"]
    return tuple(code for code, by_state in REQUESTED_STATE.items() if by_state.get(state) in allowed)


def spelled(operation: str) -> str:
    """An operation as errors spell it."""
    return OPERATIONS[operation].spelling or operation


def check_vm_operation(reader: Reader, vm: Record, operation: str, strict: bool = True) -> None:
    """Raise what forbids `operation` on `vm` now; the first failing check wins (API reference, VM lifecycle).

    strict=False does not ask for guest features: the caller insists (force). A current operation that `operation`
    cancels does not forbid it.
    """
    error = _vm_error(reader, vm, operation, strict) or _disks_error(reader, vm, operation)
    if error is not None:
        raise error


def allowed_vm_operations(reader: Reader, vm: Record) -> tuple[str, ...]:
    """Operations a client may request on `vm` right now, in schema order.

    Computed, never stored: xapi stores it and has fought stale lists ever since (xen-api#7237). VMs that are alike in
    everything the rules look at share one answer, which makes a list of thousands cheap.
    """
    alike = what_counts(reader, vm)
    allowed = _ANSWERS.get(alike)
    if allowed is None:
        allowed = allowed_by_rules(reader, vm)
        if len(_ANSWERS) >= _ANSWERS_KEPT:
            _ANSWERS.clear()
        _ANSWERS[alike] = allowed
    return allowed


_ANSWERS_KEPT: Final = 1024
_ANSWERS: Final[dict[tuple[Any, ...], tuple[str, ...]]] = {}


def allowed_by_rules(reader: Reader, vm: Record) -> tuple[str, ...]:
    """What allowed_vm_operations answers, worked out anew."""
    candidates = _CANDIDATES[vm["power_state"]]
    return tuple(name for name in candidates if _vm_error(reader, vm, name, True) is None)


def what_counts(reader: Reader, vm: Record) -> tuple[Any, ...]:
    """Everything allowed_by_rules looks at: two VMs with the same value allow the same operations.

    The answers are shared by all stores of the process, so whatever a rule begins to read must be added here;
    tests/unit/test_lifecycle_reads.py compares what the two read.
    """
    values, ref = vm.values, vm.ref
    agent = reader.find(values["guest_metrics"])
    other = agent["other"] if agent is not None else {}
    platform, running = values["platform"], values["power_state"] == RUNNING
    return (
        values["power_state"],
        frozenset(values["current_operations"].values()),
        frozenset(values["blocked_operations"]),
        values["is_a_template"],
        values["is_a_snapshot"],
        values["is_control_domain"],
        values["is_default_template"],
        values["other_config"].get("default_template") == "true",
        platform.get("nomigrate") == "true" or platform.get("nested-virt") == "true",
        is_null(values["appliance"]),
        is_null(values["snapshot_schedule"]),
        running and has_pv_drivers(reader, vm),
        "data-cant-suspend-reason" in other,
        tuple(other.get(feature) == "1" for feature in _FEATURES),
        tuple(bool(reader.related(ref, devices)) for devices in ("attached_PCIs", "VGPUs", "VUSBs", "VTPMs")),
    )


def conflicts(operation: str, current: Mapping[str, str]) -> dict[str, str]:
    """The part of `current` (task -> operation) that `operation` can neither run beside nor cancel."""
    row = OPERATIONS[operation]
    if row.beside == ("*",):
        return {task: other for task, other in current.items() if other == operation}
    fine = {*row.beside, *row.cancels}
    return {task: other for task, other in current.items() if other not in fine}


def allowed_states(reader: Reader, vm: Record, operation: str) -> tuple[str, ...]:
    """Power states `operation` is allowed in for this VM: the row's, and the exceptions of the API reference."""
    states = OPERATIONS[operation].states
    if operation in _ALSO_SUSPENDED_SNAPSHOT and vm["is_a_snapshot"]:
        return (*states, SUSPENDED)
    if operation in _ALSO_RUNNING_DOM0 and vm["is_control_domain"]:
        return (*states, RUNNING)
    return states


def _vm_error(reader: Reader, vm: Record, operation: str, strict: bool) -> ApiError | None:
    row = OPERATIONS[operation]
    ref, values = vm.ref, vm.values
    if operation in values["blocked_operations"]:
        return E.OPERATION_BLOCKED(ref, values["blocked_operations"][operation])
    states = allowed_states(reader, vm, operation)
    if values["power_state"] not in states:
        return bad_power_state(vm, states)
    in_the_way = conflicts(operation, values["current_operations"])
    if in_the_way:
        return other_operation("VM", ref, {task: spelled(other) for task, other in in_the_way.items()})
    return (
        _nature_error(vm, operation, row)
        or _guest_error(reader, vm, row, strict)
        or _device_error(reader, vm, operation, row)
    )


def _nature_error(vm: Record, operation: str, row: Operation) -> ApiError | None:
    """Whether the kind of VM this is (template, snapshot, immobile, control domain) forbids `operation`."""
    ref, values = vm.ref, vm.values
    snapshot = values["is_a_snapshot"]
    if values["is_a_template"] and not snapshot:
        default = values["is_default_template"] or values["other_config"].get("default_template") == "true"
        if row.template == "never" or (row.template == "custom" and default):
            return E.VM_IS_TEMPLATE(ref, spelled(operation))
    if snapshot and not row.snapshot:
        return E.VM_IS_SNAPSHOT(ref, spelled(operation))
    if operation == "provision" and not values["is_a_template"]:
        return E.PROVISION_ONLY_ALLOWED_ON_TEMPLATE()
    if operation in ("revert", "reverting") and not snapshot:
        return E.REVERT_ONLY_ALLOWED_ON_SNAPSHOT()
    if operation == "snapshot_with_quiesce":
        return E.VM_SNAPSHOT_WITH_QUIESCE_NOT_SUPPORTED(ref, "not supported")
    if row.moves and (values["platform"].get("nomigrate") == "true" or values["platform"].get("nested-virt") == "true"):
        return E.VM_IS_IMMOBILE(ref)
    if values["is_control_domain"] and not row.dom0:
        return E.OPERATION_NOT_ALLOWED("Operations on domain 0 are not allowed")
    return None


def _guest_error(reader: Reader, vm: Record, row: Operation, strict: bool) -> ApiError | None:
    """Whether a running guest lacks what the operation needs of it.

    Guests that booted paravirtualised, and those with full drivers, have every feature.
    """
    if not row.needs or vm["power_state"] != RUNNING:
        return None
    agent = reader.find(vm["guest_metrics"])
    other = agent["other"] if agent else {}
    if row.needs == "suspend" and "data-cant-suspend-reason" in other:
        return E.VM_NON_SUSPENDABLE(vm.ref, other["data-cant-suspend-reason"])
    if has_pv_drivers(reader, vm):
        return None
    if not strict and row.needs != "vcpu-hotplug":
        return None
    return None if other.get(f"feature-{row.needs}") == "1" else E.VM_LACKS_FEATURE(vm.ref)


def _device_error(reader: Reader, vm: Record, operation: str, row: Operation) -> ApiError | None:
    ref = vm.ref
    if row.moves:
        if reader.related(ref, "attached_PCIs"):
            return E.VM_HAS_PCI_ATTACHED(ref)
        if reader.related(ref, "VGPUs"):
            return E.VM_HAS_VGPU(ref)
    if (row.moves or operation == "snapshot") and reader.related(ref, "VUSBs"):
        return E.VM_HAS_VUSBS(ref)
    if operation == "make_into_template" and not is_null(vm["appliance"]):
        return E.VM_IS_PART_OF_AN_APPLIANCE(ref, vm["appliance"])
    if operation == "make_into_template" and not is_null(vm["snapshot_schedule"]):
        return E.VM_ASSIGNED_TO_SNAPSHOT_SCHEDULE(ref, vm["snapshot_schedule"])
    if operation == "create_vtpm" and reader.related(ref, "VTPMs"):
        return E.VTPM_MAX_AMOUNT_REACHED("1")
    return None


def _disks_error(reader: Reader, vm: Record, operation: str) -> ApiError | None:
    """A disk that forgets its changes at boot cannot be part of a saved state. Not in allowed_operations (Rule 3)."""
    if operation not in ("snapshot", "checkpoint", "suspend"):
        return None
    for vbd in map(reader.find, reader.related(vm.ref, "VBDs")):
        vdi = reader.find(vbd["VDI"])
        if vdi is not None and vdi["on_boot"] == "reset":
            return E.VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION()
    return None
