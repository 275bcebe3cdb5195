"""Writes the lifecycle of a VM as a page: a diagram and tables from model/lifecycle.py."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from xenapi_core.model.lifecycle import OPERATIONS, REQUESTED_STATE
from xenapi_core.model.power import ANY

# DSP1057: the words for the values of RequestedState.
REQUESTED = {
    2: "Enabled", 3: "Disabled", 4: "Shut Down", 6: "Offline", 9: "Quiesce", 10: "Reboot", 11: "Reset",
}  # fmt: skip
TEMPLATE = {"never": "", "custom": "own ones", "always": "yes"}


def lifecycle_page() -> str:
    """docs/lifecycle.md."""
    lines = [
        "# The lifecycle of a VM",
        "",
        "Written by `scripts/docs` from `xenapi_core/model/lifecycle.py`, the table that the server itself obeys.",
        "",
        "```mermaid",
        "stateDiagram-v2",
        "    [*] --> Halted: create, clone, copy, import",
        *_transitions(),
        "    Halted --> [*]: destroy",
        "```",
        "",
        "An operation that is asked for in another state is refused with VM_BAD_POWER_STATE. One that cannot run",
        "beside what is in progress waits for that to end and is then decided anew.",
        "",
        "## Operations",
        "",
        "*listed*: it appears in allowed_operations. *template*, *snapshot*: it can be asked of one.",
        "",
        "| operation | allowed in | ends in | beside | ends first | listed | template | snapshot |",
        "|---|---|---|---|---|---|---|---|",
        *_rows(),
        "",
        "## CIM RequestedState",
        "",
        "The operation that `RequestStateChange` of Xen_ComputerSystem asks for (DSP1057), by the state the VM is in.",
        "",
        f"| RequestedState | {' | '.join(ANY)} |",
        f"|---|{'---|' * len(ANY)}",
        *_requested(),
    ]
    return "\n".join(lines) + "\n"


def _transitions() -> Iterator[str]:
    """One arrow for each pair of states that operations lead from and to, with their names."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for name, row in OPERATIONS.items():
        if row.ends is not None and row.listed:
            for state in row.states:
                arrows.setdefault((state, row.ends), []).append(name)
    for (begin, end), names in arrows.items():
        yield f"    {begin} --> {end}: {', '.join(names)}"


def _rows() -> Iterator[str]:
    for name, row in OPERATIONS.items():
        states = "any" if set(row.states) == set(ANY) else ", ".join(row.states)
        beside = "all others" if row.beside == ("*",) else ", ".join(row.beside)
        cells = (
            name, states, row.ends or "", beside, ", ".join(row.cancels), _yes(row.listed), TEMPLATE[row.template],
            _yes(row.snapshot),
        )  # fmt: skip
        yield _line(cells)


def _requested() -> Iterator[str]:
    for code, by_state in REQUESTED_STATE.items():
        yield _line((f"{code} {REQUESTED[code]}", *(by_state.get(state, "") for state in ANY)))


def _yes(value: bool) -> str:
    return "yes" if value else ""


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
