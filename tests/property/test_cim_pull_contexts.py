"""Whatever clients pull, in whatever portions and order, each enumeration yields each of its instances once."""

from __future__ import annotations

import pytest
from cim_pool import SmallPool, elements, instance_values, out_values
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

# One step: open an enumeration, pull some objects of one (by number), change the pool, close one.
STEP = st.one_of(
    st.tuples(st.just("open"), st.integers(0, 4)),
    st.tuples(st.just("pull"), st.integers(0, 5), st.integers(0, 4)),
    st.tuples(st.just("rename"), st.integers(0, 3)),
    st.tuples(
        st.just("add"),
    ),
    st.tuples(st.just("close"), st.integers(0, 5)),
)


@pytest.fixture(scope="module")
def pool() -> SmallPool:
    pool = SmallPool()
    for n in range(4):
        pool.vm(f"vm-{n}")
    return pool


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STEP, max_size=25))
def test_enumerations_are_complete_and_independent(pool: SmallPool, steps: list[tuple[object, ...]]) -> None:
    expected: list[list[str]] = []
    got: list[list[str]] = []
    contexts: list[str] = []

    def names(values: list[bytes] | None) -> list[str]:
        return [instance_values(e)["ElementName"] for e in elements(values)]

    def pull(number: int, count: int) -> None:
        if contexts[number]:
            reply = pool.run("PullInstancesWithPath", EnumerationContext=contexts[number], MaxObjectCount=count)
            got[number] += names(reply.values)
            assert len(reply.values or ()) <= count
            contexts[number] = out_values(reply)["EnumerationContext"]
            assert (out_values(reply)["EndOfSequence"] == "true") == (contexts[number] == "")

    for step in steps:
        match step:
            case ("open", int(count)):
                expected.append(names(pool.run("EnumerateInstances", ClassName="Xen_ComputerSystem").values))
                reply = pool.run("OpenEnumerateInstances", ClassName="Xen_ComputerSystem", MaxObjectCount=count)
                got.append(names(reply.values))
                contexts.append(out_values(reply)["EnumerationContext"])
            case ("pull", int(number), int(count)) if contexts:
                pull(number % len(contexts), count)
            case ("rename", int(number)):
                pool.set(f"vm-{number}", name_label=f"name-{pool.store.revision}")
            case ("add",):
                pool.vm(f"vm-{pool.store.revision}")
            case ("close", int(number)) if contexts and contexts[number % len(contexts)]:
                number %= len(contexts)
                pool.run("CloseEnumeration", EnumerationContext=contexts[number])
                contexts[number] = ""
                assert got[number] == expected[number][: len(got[number])]
                got[number] = expected[number]
    for number in range(len(contexts)):
        while contexts[number]:
            pull(number, 3)
    assert got == expected
    assert len(pool.provider.contexts) == 0
