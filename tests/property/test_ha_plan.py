"""The failover plan against a naive judge that tries everything, on small pools."""

from __future__ import annotations

from itertools import combinations, product

from hypothesis import given, settings
from hypothesis import strategies as st

from xenapi_core.engine import ha_plan
from xenapi_core.engine.ha_plan import Machine, Situation, covers, most_failures, targets

NAMES = ("a", "b", "c", "d")


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    """Up to four hosts and five VMs; sizes so small that ties and exact fits are common."""
    live = NAMES[: draw(st.integers(1, 4))]
    free = {host: draw(st.integers(-1, 7)) for host in live if draw(st.integers(0, 4))}
    machines = tuple(
        Machine(
            ref=f"vm{number}",
            memory=draw(st.integers(1, 5)),
            on=draw(st.sampled_from(("", *live))),
            reached=frozenset(live) if draw(st.booleans()) else draw(st.frozensets(st.sampled_from(live))),
            order=draw(st.integers(0, 2)),
        )
        for number in range(draw(st.integers(0, 5)))
    )
    return Situation(frozenset(live), free, machines)


def fits(situation: Situation, failed: frozenset[str], places: dict[str, str]) -> bool:
    """Whether these machines may be where they are put."""
    left = dict(situation.free)
    for machine in situation.machines:
        host = places.get(machine.ref)
        if host is None:
            continue
        if host in failed or host not in machine.reached or host not in left:
            return False
        left[host] -= machine.memory
        if left[host] < 0:
            return False
    return True


def survives(situation: Situation, failed: frozenset[str]) -> bool:
    """Whether some way to put the homeless machines on hosts works."""
    homeless = [m.ref for m in situation.machines if not m.on or m.on in failed]
    ways = product(situation.free, repeat=len(homeless))
    return any(fits(situation, failed, dict(zip(homeless, way, strict=True))) for way in ways)


def judged(situation: Situation, failures: int) -> bool:
    sets = map(frozenset, combinations(situation.live, failures))
    return failures < len(situation.live) and all(survives(situation, failed) for failed in sets)


@given(situations())
@settings(max_examples=300, deadline=None)
def test_plan_exists_exactly_where_one_can_be_found(situation: Situation) -> None:
    found = [covers(situation, failures) for failures in range(len(situation.live) + 1)]
    assert found == [judged(situation, failures) for failures in range(len(situation.live) + 1)]
    assert found == sorted(found, reverse=True), "a plan for more failures is one for fewer"
    assert most_failures(situation) == max((n for n, there in enumerate(found) if there), default=0)


@given(situations(), st.frozensets(st.sampled_from(NAMES)))
@settings(max_examples=300, deadline=None)
def test_targets_fit_and_leave_out_none_that_could_be_placed(situation: Situation, failed: frozenset[str]) -> None:
    homeless = [m for m in situation.machines if not m.on or m.on in failed]
    places = targets(situation, failed, homeless)
    assert places.keys() <= {machine.ref for machine in homeless}
    assert fits(situation, failed, places)
    if survives(situation, failed):
        assert len(places) == len(homeless)


@given(situations())
@settings(max_examples=200, deadline=None)
def test_answer_without_time_to_search_promises_nothing_false(situation: Situation) -> None:
    kept = ha_plan.NODES, ha_plan.WORK
    ha_plan.NODES, ha_plan.WORK = 0, 0  # type: ignore[misc]
    try:
        careful = [covers(situation, failures) for failures in range(len(situation.live))]
    finally:
        ha_plan.NODES, ha_plan.WORK = kept  # type: ignore[misc]
    assert all(judged(situation, failures) for failures, there in enumerate(careful) if there)


def test_large_pool_of_equal_machines_is_planned_for_at_a_glance() -> None:
    hosts = frozenset(f"h{number}" for number in range(64))
    machines = tuple(Machine(f"vm{n}", 4, f"h{n % 64}", hosts) for n in range(1000))
    assert most_failures(Situation(hosts, dict.fromkeys(hosts, 16), machines)) == 12
