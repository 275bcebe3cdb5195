"""Shared parts of the rules for VMs and for their devices: power states, their errors, and the abilities of a guest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

from xenapi_core.errors import ApiError, E
from xenapi_core.model.enums import VM_POWER_STATE
from xenapi_core.model.schema import Reader

HALTED: Final = "Halted"
PAUSED: Final = "Paused"
RUNNING: Final = "Running"
SUSPENDED: Final = "Suspended"
ANY: Final = VM_POWER_STATE.values
LIVE: Final = (PAUSED, SUSPENDED, RUNNING)  # in the order the API reference lists them in VM_BAD_POWER_STATE


class Fields(Protocol):
    """A record whose fields are read, and nothing else."""

    def __getitem__(self, field: str, /) -> Any: ...


class Record(Protocol):
    """The part of a store's Version that this module needs."""

    ref: str
    values: Mapping[str, Any]

    def __getitem__(self, field: str) -> Any: ...


def is_guest(vm: Fields) -> bool:
    """Whether a VM record is a machine of its own: no template, no snapshot, no control domain."""
    return not (vm["is_a_template"] or vm["is_a_snapshot"] or vm["is_control_domain"])


def lower_state(state: str) -> str:
    """A power state as errors spell it."""
    return state.lower()


def bad_power_state(vm: Record, expected: tuple[str, ...]) -> ApiError:
    """VM_BAD_POWER_STATE with its parameters in the spelling of the API."""
    return E.VM_BAD_POWER_STATE(vm.ref, ", ".join(map(lower_state, expected)), lower_state(vm["power_state"]))


def other_operation(cls: str, ref: str, current: Mapping[str, str]) -> ApiError:
    """OTHER_OPERATION_IN_PROGRESS for `current` (task -> operation as errors spell it); several are listed as {a,b}."""
    tasks, operations = list(current), list(current.values())
    if len(tasks) == 1:
        return E.OTHER_OPERATION_IN_PROGRESS(cls, ref, operations[0], tasks[0])
    return E.OTHER_OPERATION_IN_PROGRESS(cls, ref, _braced(operations), _braced(tasks))


def _braced(names: list[str]) -> str:
    return "{" + ",".join(names) + "}"


def booted_paravirtualised(reader: Reader, vm: Record) -> bool:
    """Whether the present boot of `vm` is one of a paravirtualised kernel."""
    metrics = reader.find(vm["metrics"])
    booted = metrics["current_domain_type"] if metrics else "unspecified"
    return booted in ("pv", "pv_in_pvh", "pvh")


def has_pv_drivers(reader: Reader, vm: Record) -> bool:
    """Whether the guest can hot-plug, suspend and shut down on request."""
    if booted_paravirtualised(reader, vm):
        return True
    agent = reader.find(vm["guest_metrics"])
    return bool(agent and (agent["PV_drivers_detected"] or agent["PV_drivers_version"]))
