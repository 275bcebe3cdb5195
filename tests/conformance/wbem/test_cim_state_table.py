"""RequestStateChange, each power state with each RequestedState, through a real server (DSP1057 state table)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import pywbem
from waiting import wait_until

DONE, NOT_SUPPORTED, INVALID, JOB, TRANSITION, NO_TIMEOUT, BUSY = 0, 1, 5, 4096, 4097, 4098, 4099

# RequestedState -> what each power state answers; for a job, the power state it ends in.
# What runs or is off already may be asked for that again (0); the table forbids all other repetitions.
# fmt: off
TABLE: dict[int | None, dict[str, int | str]] = {
    2:  {"Halted": "Running",  "Running": DONE,        "Paused": "Running",  "Suspended": "Running"},
    3:  {"Halted": DONE,       "Running": "Halted",    "Paused": "Halted",   "Suspended": "Halted"},
    4:  {"Halted": TRANSITION, "Running": "Halted",    "Paused": TRANSITION, "Suspended": TRANSITION},
    6:  {"Halted": TRANSITION, "Running": "Suspended", "Paused": TRANSITION, "Suspended": TRANSITION},
    9:  {"Halted": TRANSITION, "Running": "Paused",    "Paused": TRANSITION, "Suspended": TRANSITION},
    10: {"Halted": TRANSITION, "Running": "Running",   "Paused": TRANSITION, "Suspended": TRANSITION},
    11: {"Halted": TRANSITION, "Running": "Running",   "Paused": "Running",  "Suspended": TRANSITION},
    **{code: dict.fromkeys(("Halted", "Running", "Paused", "Suspended"), NOT_SUPPORTED) for code in (7, 8)},
    **{code: dict.fromkeys(("Halted", "Running", "Paused", "Suspended"), INVALID)
       for code in (0, 1, 5, 12, 13, 32768, 65535, None)},
}
# EnabledState, OperationalStatus, HealthState, OperatingStatus at rest.
AT_REST = {
    "Halted":    (3, [10], 5, 5),
    "Running":   (2, [2],  5, 16),
    "Paused":    (9, [2],  5, 7),
    "Suspended": (6, [10], 5, 7),
}
# The same but HealthState, and TransitioningToState, while an operation is at work: power state before, RequestedState.
IN_TRANSITION = [
    ("Halted",    2,  (10, [8], 3,  2)),
    ("Running",   4,  (4,  [9], 13, 4)),
    ("Running",   6,  (2,  [2], 16, 6)),
    ("Running",   10, (2,  [2], 16, 10)),
    ("Suspended", 2,  (10, [8], 3,  2)),
]
# fmt: on
STATES = tuple(AT_REST)
REQUESTS = tuple(TABLE)


@pytest.fixture(scope="module")
def machine(xenapi: Any) -> Callable[[str], tuple[str, pywbem.CIMInstanceName]]:
    """machine(state): reference and path of one VM, brought to a power state through the Xen-API."""
    (ref,) = xenapi.VM.get_by_name_label("web-0")
    uuid = xenapi.VM.get_uuid(ref)
    path = pywbem.CIMInstanceName(
        "Xen_ComputerSystem", {"CreationClassName": "Xen_ComputerSystem", "Name": uuid}, namespace="root/cimv2"
    )

    def bring(state: str) -> tuple[str, pywbem.CIMInstanceName]:
        now = xenapi.VM.get_power_state(ref)
        if now != state:
            if now == "Paused":
                xenapi.VM.unpause(ref)
            elif now == "Suspended":
                xenapi.VM.resume(ref, False, False)
            elif now == "Halted":
                xenapi.VM.start(ref, False, False)
            if state == "Halted":
                xenapi.VM.hard_shutdown(ref)
            elif state == "Paused":
                xenapi.VM.pause(ref)
            elif state == "Suspended":
                wait_until(lambda: "suspend" in xenapi.VM.get_allowed_operations(ref))
                xenapi.VM.suspend(ref)
        if state == "Running":
            wait_until(lambda: {"clean_shutdown", "suspend"} <= set(xenapi.VM.get_allowed_operations(ref)))
        return ref, path

    return bring


def request(wbem: pywbem.WBEMConnection, path: pywbem.CIMInstanceName, code: int | None) -> tuple[int, Any]:
    value, out = wbem.InvokeMethod(
        "RequestStateChange", path, [("RequestedState", None if code is None else pywbem.Uint16(code))]
    )
    return value, out.get("Job")


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("code", REQUESTS)
def test_request_state_change_answers_as_its_cell_says(
    xenapi: Any, wbem: pywbem.WBEMConnection, machine: Any, code: int | None, state: str
) -> None:
    ref, path = machine(state)
    offered = wbem.GetInstance(path)["AvailableRequestedStates"]
    value, job = request(wbem, path, code)
    expected = TABLE[code][state]
    assert (code in offered) == isinstance(expected, str), offered
    if not isinstance(expected, str):
        assert (value, job) == (expected, None)
        assert xenapi.VM.get_power_state(ref) == state
        return
    assert value == JOB
    wait_until(lambda: wbem.GetInstance(job)["JobState"] not in (2, 3, 4))
    ended = wbem.GetInstance(job)
    assert (ended["JobState"], ended["PercentComplete"], ended["ErrorCode"]) == (7, 100, 0)
    assert ended["OperationalStatus"] == [17, 2]
    assert xenapi.VM.get_power_state(ref) == expected
    value, out = wbem.InvokeMethod("GetError", job)
    assert (value, out.get("Error")) == (0, None)


# What the fixture `machine` asked of a machine to bring it there.
LAST_REQUEST = {"Halted": 3, "Running": 2, "Paused": 9, "Suspended": 6}


@pytest.mark.parametrize("state", STATES)
def test_a_machine_at_rest_shows_its_row(wbem: pywbem.WBEMConnection, machine: Any, state: str) -> None:
    _, path = machine(state)
    found = wbem.GetInstance(path)
    shown = tuple(found[name] for name in ("EnabledState", "OperationalStatus", "HealthState", "OperatingStatus"))
    assert shown == AT_REST[state]
    assert (found["RequestedState"], found["TransitioningToState"]) == (LAST_REQUEST[state], 5)


@pytest.mark.parametrize(("state", "code", "expected"), IN_TRANSITION)
def test_a_machine_in_transition_shows_where_it_goes_and_is_busy(
    wbem: pywbem.WBEMConnection, machine: Any, state: str, code: int, expected: tuple[Any, ...]
) -> None:
    names = ("EnabledState", "OperationalStatus", "OperatingStatus", "TransitioningToState", "RequestedState")
    for _ in range(10):  # an operation may be over before it could be looked at
        _, path = machine(state)
        value, job = request(wbem, path, code)
        assert value == JOB
        found = wbem.GetInstance(path)
        busy, _ = request(wbem, path, code)
        at_work = wbem.GetInstance(job)["JobState"] == 4
        wait_until(lambda job=job: wbem.GetInstance(job)["JobState"] == 7)
        wait_until(lambda path=path: wbem.GetInstance(path)["TransitioningToState"] == 5)
        if at_work:
            break
    assert at_work
    assert tuple(found[name] for name in names) == (*expected, code)
    assert busy == BUSY


@pytest.mark.parametrize(
    ("timeout", "expected"),
    [
        ("00000000000000.000000:000", DONE),
        ("00000000000010.000000:000", NO_TIMEOUT),
        ("20260101000000.000000+000", NO_TIMEOUT),
    ],
    ids=["interval of zero", "ten seconds", "point in time"],
)
def test_a_timeout_cannot_be_asked_for(wbem: pywbem.WBEMConnection, machine: Any, timeout: str, expected: int) -> None:
    _, path = machine("Halted")
    value, _ = wbem.InvokeMethod(
        "RequestStateChange", path, RequestedState=pywbem.Uint16(3), TimeoutPeriod=pywbem.CIMDateTime(timeout)
    )
    assert value == expected
