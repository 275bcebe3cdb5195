"""The failover plan of high availability: how many hosts may fail while every protected VM still fits on another one.

Rule 1: these functions are pure. They get numbers and sets; ha_rules.py makes a Situation of the records.
Rule 2: an answer "there is a plan" is always right. In large pools the answer "there is none" may be too careful,
        because looking everywhere would take too long (WORK, NODES, SEARCHED); small pools are searched to the end.
Rule 3: a plan for n failures is one for fewer: the hosts that did not fail can still be left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from math import comb
from typing import Final

WORK: Final = 100_000  # placements that are tried at most for one answer, over all sets of hosts that may fail
NODES: Final = 20_000  # steps of the search behind one answer, after the obvious placements failed
SEARCHED: Final = 64  # machines that are searched places for; more get the obvious ones or none


@dataclass(frozen=True, slots=True)
class Machine:
    """A protected VM. `memory` in bytes; `on`: its host, "" if it waits for one; `reached`: hosts that could run it."""

    ref: str
    memory: int
    on: str
    reached: frozenset[str]
    order: int = 0


@dataclass(frozen=True, slots=True)
class Situation:
    """What a plan is made of. `live`: every host that may fail; `free`: bytes of those among them that take VMs."""

    live: frozenset[str]
    free: Mapping[str, int]
    machines: tuple[Machine, ...]

    def arriving(self, ref: str, memory: int, host: str, before: str) -> Situation:
        """A VM of `memory` bytes is on `host` from now on; it was on host `before` ("": on none)."""
        free = {h: f + memory * ((h == before) - (h == host)) for h, f in self.free.items()}
        machines = tuple(replace(m, on=host) if m.ref == ref else m for m in self.machines)
        return replace(self, free=free, machines=machines)

    def without(self, host: str) -> Situation:
        """`host` takes no VMs any more; those on it stay."""
        return replace(self, free={h: f for h, f in self.free.items() if h != host})

    def protecting(self, machine: Machine) -> Situation:
        """`machine` is protected too, or protected as it is described here."""
        return replace(self, machines=(*(m for m in self.machines if m.ref != machine.ref), machine))


class _Search:
    """Looks for a place for each machine, within a number of steps that all looks share."""

    def __init__(self, nodes: int) -> None:
        self.nodes = nodes

    def place(self, machines: Iterable[Machine], free: Mapping[str, int]) -> dict[str, str] | None:
        """Machine -> host so that all fit; None if there is no such placement, or it was not found in time."""
        largest_first = sorted(machines, key=lambda m: (-m.memory, len(m.reached), m.ref))
        if sum(m.memory for m in largest_first) > sum(max(0, f) for f in free.values()):
            return None
        found = _widest(largest_first, free)
        if len(found) == len(largest_first):
            return found
        if len(largest_first) > SEARCHED:
            return None
        chosen: dict[str, str] = {}
        return chosen if self._try(largest_first, 0, dict(free), chosen) else None

    def _try(self, machines: list[Machine], number: int, free: dict[str, int], chosen: dict[str, str]) -> bool:
        if number == len(machines):
            return True
        machine = machines[number]
        for host in sorted((h for h in free if h in machine.reached), key=lambda h: (-free[h], h)):
            self.nodes -= 1
            if self.nodes < 0 or free[host] < machine.memory:
                return False
            free[host] -= machine.memory
            chosen[machine.ref] = host
            if self._try(machines, number + 1, free, chosen):
                return True
            free[host] += machine.memory
            del chosen[machine.ref]
        return False


def _widest(machines: Iterable[Machine], free: Mapping[str, int]) -> dict[str, str]:
    """Each machine in turn to the host with most memory left; those that fit nowhere are left out."""
    left, found = dict(free), {}
    for machine in machines:
        best = max((h for h in left if h in machine.reached), key=lambda h: (left[h], h), default=None)
        if best is not None and left[best] >= machine.memory:
            left[best] -= machine.memory
            found[machine.ref] = best
    return found


def targets(situation: Situation, failed: frozenset[str], machines: Iterable[Machine]) -> dict[str, str]:
    """Where `machines` go when the hosts `failed` are lost: all of them if that is possible, else as many as fit, in
    their order (lowest first)."""
    free = {host: left for host, left in situation.free.items() if host not in failed}
    wanted = list(machines)
    everywhere = _Search(NODES).place(wanted, free)
    if everywhere is not None:
        return everywhere
    return _widest(sorted(wanted, key=lambda m: (m.order, -m.memory, m.ref)), free)


def covers(situation: Situation, failures: int) -> bool:
    """Whether every protected VM has a host after any `failures` live hosts fail at once. At least one must be left."""
    if failures >= len(situation.live):
        return False
    if _has_slots(situation, failures):
        return True
    waiting = sum(not machine.on for machine in situation.machines)
    homeless_each = waiting + len(situation.machines) * failures // len(situation.live)
    if comb(len(situation.live), failures) * (1 + homeless_each) * (1 + len(situation.free)) > WORK:
        return False
    search = _Search(NODES)
    for failed in map(frozenset, combinations(sorted(situation.live), failures)):
        homeless = [m for m in situation.machines if not m.on or m.on in failed]
        free = {host: left for host, left in situation.free.items() if host not in failed}
        if search.place(homeless, free) is None:
            return False
    return True


def _has_slots(situation: Situation, failures: int) -> bool:
    """Whether there is a plan at a glance: even if every VM were as large as the largest, and the hosts with most VMs
    failed together with those that have most room."""
    machines, free = situation.machines, situation.free
    if any(not reached.issuperset(free) for reached in {m.reached for m in machines}):
        return False
    largest = max((m.memory for m in machines), default=0)
    if largest <= 0:
        return not machines or len(free) > failures
    count = Counter(m.on for m in machines)
    waiting = count.pop("", 0)
    most = sum(number for _, number in count.most_common(failures))
    slots = sorted(max(0, left) // largest for left in free.values())
    return waiting + most <= sum(slots[: max(0, len(slots) - failures)])


def most_failures(situation: Situation, wanted: int | None = None) -> int:
    """How many live hosts may fail at once without a protected VM staying down (rule 3), or `wanted` if more may.
    0 also if none may."""
    most = 0
    for failures in range(1, min(len(situation.live), len(situation.live) if wanted is None else wanted + 1)):
        if not covers(situation, failures):
            break
        most = failures
    return most if covers(situation, 0) else 0
