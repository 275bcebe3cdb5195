"""RepeatNotificationPolicy, SourceNamespaces, and paths of ready-made filters: what is sent of what happens."""

from __future__ import annotations

import pytest
from cim_pool import ROOT, call
from test_cim_indications_delivery import listening, running_world

from cim_provider.indications.repeats import DELAY, SUPPRESS, Repeats, Repetition, repetition_of
from cim_provider.profiles.indications import IndicationService, OfferedFilter
from cim_provider.schema.objects import INTEROP, Path

RENAMED = "SELECT * FROM CIM_InstModification WHERE SourceInstance ISA CIM_ComputerSystem"
ONE, OTHER = Path.of("S", {"k": "1"}), Path.of("S", {"k": "2"})


def sent(rule: Repetition, times: list[float]) -> list[float]:
    repeats = Repeats()
    return [at for at in times if repeats.admits(ONE, rule, "x", at)]


def test_suppress_sends_the_first_few_of_each_interval():
    rule = Repetition(SUPPRESS, 2, 10, 0)
    assert sent(rule, [0, 1, 2, 9.9, 10, 11, 12, 40]) == [0, 1, 10, 11, 40]


def test_delay_sends_every_nth_and_is_quiet_during_the_gap():
    rule = Repetition(DELAY, 3, 10, 20)
    assert sent(rule, [0, 1, 2, 3, 4, 5, 21.9, 22, 23, 24, 25]) == [2, 24]


def test_delay_counts_within_one_interval_only():
    assert sent(Repetition(DELAY, 2, 10, 5), [0, 10, 20, 21, 22]) == [21]


def test_every_subscription_and_every_thing_is_counted_for_itself():
    repeats, rule = Repeats(), Repetition(SUPPRESS, 1, 10, 0)
    assert all(repeats.admits(path, rule, subject, 0) for path in (ONE, OTHER) for subject in "ab")
    assert not repeats.admits(ONE, rule, "a", 1)
    repeats.keep({OTHER})
    assert len(repeats) == 2
    assert repeats.admits(ONE, rule, "a", 2)


def test_what_is_counted_is_bounded_and_the_oldest_is_forgotten():
    repeats, rule = Repeats(kept=3), Repetition(SUPPRESS, 1, 1000, 0)
    for n in range(10):
        assert repeats.admits(ONE, rule, n, n)
    assert len(repeats) == 3
    assert not repeats.admits(ONE, rule, 9, 11)
    assert repeats.admits(ONE, rule, 0, 12)


@pytest.mark.parametrize("values", [{}, {"RepeatNotificationPolicy": 2}, {"RepeatNotificationPolicy": None}])
def test_without_a_policy_everything_is_sent(values):
    assert repetition_of(values) is None


async def test_repeated_changes_of_one_machine_are_suppressed_for_a_subscription_that_wants_that():
    async with running_world() as world, listening() as listener, listening() as everything:
        more = {"RepeatNotificationPolicy": 3, "RepeatNotificationCount": 1, "RepeatNotificationInterval": 60}
        world.vm("a")
        world.vm("b")
        world.subscribe(listener.url, query=RENAMED, **more)
        world.subscribe(everything.url, name="all", query=RENAMED)
        for n in range(3):
            for name in "ab":
                world.set(name, name_label=f"{name}{n}")
            await world.until(lambda n=n: len(everything.bodies) == 2 * n + 2)
        assert len(listener.bodies) == 2
        await world.clock.advance(61)
        world.set("a", name_label="later")
        await world.until(lambda: len(listener.bodies) == 3 and len(everything.bodies) == 7)


async def test_a_filter_for_another_namespace_lets_nothing_of_this_one_through():
    async with running_world() as world, listening() as listener, listening() as other:
        narrow = world.create(
            "CIM_IndicationFilter", Name="interop", Query="SELECT * FROM CIM_InstCreation", QueryLanguage="WQL",
            SourceNamespaces=("Interop",),
        )  # fmt: skip
        handler = world.create("CIM_ListenerDestinationCIMXML", Name="x", Destination=other.url)
        world.create("CIM_IndicationSubscription", Filter=narrow, Handler=handler)
        assert not world.indications.matcher.watching
        world.subscribe(listener.url)
        world.vm("new")
        await world.until(lambda: len(listener.bodies) == 1)
        assert other.bodies == []


async def test_a_subscription_to_a_ready_made_filter_goes_on_under_another_coordinator():
    async with running_world() as world, listening() as listener:
        chosen = next(f.path for f in world.provider.extent(OfferedFilter) if f.item.title == "SystemCreated")
        handler = world.create("CIM_ListenerDestinationCIMXML", Name="x", Destination=listener.url)
        world.create("CIM_IndicationSubscription", Filter=chosen, Handler=handler)
        world.set("pool", master=world.refs["host-1"])
        assert world.provider.find(chosen, INTEROP) is not None
        world.vm("new")
        await world.until(lambda: len(listener.bodies) == 1)


async def test_the_state_of_the_service_cannot_be_requested():
    async with running_world() as world:
        (service,) = world.provider.extent(IndicationService)
        value, out = await call(world.provider, service.path, "RequestStateChange", ROOT, RequestedState=3)
        assert (value, out) == (1, {})
