"""Processors, cores and hardware threads: how many there are, which belong together, and how busy they are."""

from __future__ import annotations

import pytest
from cim_pool import SmallPool, elements, path_in

from cim_provider.mapping.extent import Rendition
from cim_provider.mapping.view import VIEWS
from cim_provider.schema.objects import Path

PROCESSOR, CORE, THREAD = "Xen_HostProcessor", "Xen_ProcessorCore", "Xen_HardwareThread"


def pool_of(threads: int, told: dict[str, str], utilisation: tuple[float, ...] = ()) -> SmallPool:
    """host-0 with threads "t0", "t1"... made in the reverse order of their numbers; host-1 with one of its own."""
    pool = SmallPool()
    pool.set("host-0", cpu_info=told)
    for number in reversed(range(threads)):
        load = utilisation[number] if utilisation else 0.0
        pool.add("host_cpu", f"t{number}", host=pool.refs["host-0"], number=number, utilisation=load)
    pool.add("host_cpu", "other", host=pool.refs["host-1"], number=0)
    return pool


def shown(pool: SmallPool, classname: str) -> list[Rendition]:
    """The instances of a view that are of host-0, in the order of their numbers."""
    found = [one for one in pool.provider.extent(VIEWS[classname]) if one.version is not pool.version("other")]
    return sorted(found, key=lambda one: one.version["number"])


def parts(pool: SmallPool, path: Path, classname: str) -> list[Path]:
    reply = pool.run(
        "AssociatorNames", ObjectName=path, AssocClass="CIM_ConcreteComponent", Role="GroupComponent",
        ResultClass=classname,
    )  # fmt: skip
    return [path_in(one) for one in elements(reply.values)]


@pytest.mark.parametrize(
    ("threads", "told", "processors", "cores"),
    [
        (8, {"cpu_count": "8", "socket_count": "2", "threads_per_core": "2"}, [0, 4], [0, 2, 4, 6]),
        (8, {"cpu_count": "8", "socket_count": "2", "threads_per_core": "1"}, [0, 4], [0, 1, 2, 3, 4, 5, 6, 7]),
        (4, {"cpu_count": "4", "socket_count": "1"}, [0], [0, 1, 2, 3]),
        (4, {"cpu_count": "4", "threads_per_core": "2"}, [0, 2], [0, 2]),
        (4, {"cpu_count": "4"}, [0, 1, 2, 3], [0, 1, 2, 3]),
    ],
)
def test_threads_make_the_cores_and_processors_a_host_tells(
    threads: int, told: dict[str, str], processors: list[int], cores: list[int]
) -> None:
    pool = pool_of(threads, told)
    assert [one.version["number"] for one in shown(pool, THREAD)] == list(range(threads))
    assert [one.version["number"] for one in shown(pool, CORE)] == cores
    assert [one.version["number"] for one in shown(pool, PROCESSOR)] == processors
    each = len(cores) // len(processors)
    assert {one.values["NumberOfEnabledCores"] for one in shown(pool, PROCESSOR)} == {each}
    offered = pool.values("Xen_HostProcessorCapabilities", "host-0")
    assert (offered["NumberOfProcessorCores"], offered["NumberOfHardwareThreads"]) == (
        each, threads // len(processors),
    )  # fmt: skip


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"cpu_count": "8", "socket_count": "2"},
        {"cpu_count": "4", "socket_count": "3"},
        {"cpu_count": "4", "socket_count": "2", "threads_per_core": "4"},
        {"cpu_count": "4", "socket_count": "8"},
        {"cpu_count": "4", "threads_per_core": "3"},
        {"cpu_count": "4", "threads_per_core": "8"},
        {"cpu_count": "four", "socket_count": "1"},
        {"cpu_count": "4", "socket_count": "0"},
        {"cpu_count": "4", "socket_count": "-1", "threads_per_core": "many"},
    ],
)
def test_what_does_not_fit_the_threads_makes_each_a_core_and_processor_of_its_own(told: dict[str, str]) -> None:
    pool = pool_of(4, told)
    assert [len(shown(pool, cls)) for cls in (PROCESSOR, CORE, THREAD)] == [4, 4, 4]
    assert {one.values["NumberOfEnabledCores"] for one in shown(pool, PROCESSOR)} == {1}


def test_a_processor_has_its_cores_and_a_core_its_threads() -> None:
    pool = pool_of(8, {"cpu_count": "8", "socket_count": "2", "threads_per_core": "2"})
    for processor in shown(pool, PROCESSOR):
        first = processor.version["number"]
        cores = parts(pool, processor.path, CORE)
        assert {core.key("InstanceID") for core in cores} == {
            f"Xen:{pool.uuid(f't{number}')}/Core" for number in (first, first + 2)
        }
        for core, number in ((core, n) for core in cores for n in range(8) if pool.uuid(f"t{n}") in str(core)):
            assert {path.key("InstanceID") for path in parts(pool, core, THREAD)} == {
                f"Xen:{pool.uuid(f't{each}')}/Thread" for each in (number, number + 1)
            }


def test_groups_are_as_busy_as_their_threads_on_average() -> None:
    told = {"cpu_count": "4", "socket_count": "1", "threads_per_core": "2"}
    pool = pool_of(4, told, (1.0, 0.5, 0.25, 0.25))
    loads = {cls: [one.values["LoadPercentage"] for one in shown(pool, cls)] for cls in (PROCESSOR, CORE, THREAD)}
    assert loads == {PROCESSOR: [50], CORE: [75, 25], THREAD: [100, 50, 25, 25]}
    pool.set("t3", utilisation=0.65)
    loads = {cls: [one.values["LoadPercentage"] for one in shown(pool, cls)] for cls in (PROCESSOR, CORE, THREAD)}
    assert loads == {PROCESSOR: [60], CORE: [75, 45], THREAD: [100, 50, 25, 65]}


def test_a_host_that_tells_more_regroups_its_threads() -> None:
    pool = pool_of(4, {})
    before = [one.path for one in shown(pool, PROCESSOR)]
    pool.set("host-0", cpu_info={"cpu_count": "4", "socket_count": "2"})
    assert [one.path for one in shown(pool, PROCESSOR)] == [before[0], before[2]]
    assert pool.provider.extent(VIEWS[PROCESSOR]).find(before[1]) is None
    pool.delete("t3")
    assert len(shown(pool, PROCESSOR)) == 3


def test_processors_without_their_host_stand_alone() -> None:
    pool = pool_of(2, {"cpu_count": "2", "socket_count": "1"})
    pool.add("host_cpu", "lost", number=1)
    assert [len(pool.renditions(cls, "lost")) for cls in (PROCESSOR, CORE, THREAD)] == [1, 1, 1]
    assert [path.key("InstanceID") for path in parts(pool, pool.renditions(CORE, "lost")[0].path, THREAD)] == [
        f"Xen:{pool.uuid('lost')}/Thread"
    ]
