"""Long CIM operations: others are served meanwhile, and the answer is of one revision whatever happens."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from cim_pool import NULL, ROOT, SmallPool, elements, instance_values, out_values
from lxml import etree

from cim_provider.operations.api import OPERATIONS, Operation, Reply
from cim_provider.schema.objects import CIMV2
from xenapi_core.clock import FEW, Later, Slices


def begin(pool: SmallPool, operation: str, **params: Any) -> Reply | Later[Reply]:
    answer = OPERATIONS[operation](Operation(operation, CIMV2, params, ROOT, pool.provider))
    assert isinstance(answer, Reply | Later)
    return answer


async def finish(answer: Reply | Later[Reply]) -> Reply:
    reply = await answer if isinstance(answer, Later) else answer
    return await reply.whole()


def small_pool(machines: int) -> SmallPool:
    """Some machines with a disk and a NIC each; every piece of work gives the loop a turn."""
    pool = SmallPool()
    pool.provider.slices = Slices(seconds=0.0, few=5)
    for number in range(machines):
        host = pool.refs["host-1"] if number % 3 == 0 else NULL
        pool.vm(f"vm-{number}", resident_on=host)
        pool.disk(f"disk-{number}", f"vm-{number}")
        pool.nic(f"nic-{number}", f"vm-{number}")
    return pool


def told(reply: Reply) -> list[bytes]:
    """What a reply says, one text for each instance, in any order: listings may come in one piece or in many."""
    return sorted(canonical(element) for element in elements(reply.values))


def canonical(element: Any) -> bytes:
    return etree.tostring(element)


class Observer:
    """The answer to one operation at every revision, made without slices and without anything that was kept."""

    def __init__(self, pool: SmallPool, operation: str, params: dict[str, Any]) -> None:
        self.pool, self.operation, self.params = pool, operation, params
        self.answers: list[list[bytes]] = []
        self.note()

    def note(self) -> None:
        store, provider = self.pool.store, self.pool.provider
        versions = [version for cls in store.counts() for version in store.all(cls).values()]
        memos = [dict(version.memo) for version in versions]
        for version in versions:
            version.memo.clear()
        alone = SmallPool.__new__(SmallPool)
        alone.provider = type(provider)(self.pool.source, provider.graph(CIMV2))
        alone.provider.slices = Slices(few=10**9)
        reply = begin(alone, self.operation, **self.params)
        assert isinstance(reply, Reply)
        self.answers.append(told(reply))
        for version, memo in zip(versions, memos, strict=True):
            version.memo.clear()
            version.memo.update(memo)

    async def write_while(self, work: asyncio.Task[Reply], rng: random.Random) -> None:
        for turn in range(12):
            for _ in range(rng.randint(1, 10)):
                await asyncio.sleep(0)
            if work.done():
                return
            write(self.pool, rng, turn)
            self.note()


def write(pool: SmallPool, rng: random.Random, turn: int) -> None:
    """One change that some association or rule looks at."""
    names = [name for name in pool.refs if name.startswith("vm-") and "/" not in name]
    name = rng.choice(names)
    match rng.randrange(7):
        case 0:
            pool.set(name, name_label=f"name-{turn}")
        case 1:
            pool.set(name, is_a_template=not pool.version(name)["is_a_template"])
        case 2:
            pool.set(name, resident_on=rng.choice([NULL, pool.refs["host-0"], pool.refs["host-1"]]))
        case 3:
            pool.vm(f"vm-new-{turn}", resident_on=NULL)
            pool.nic(f"nic-new-{turn}", f"vm-new-{turn}")
        case 4:
            pool.set("pool", master=pool.refs[rng.choice(["host-0", "host-1"])])
        case 5:
            pool.set(f"{name}/metrics", memory_actual=(turn + 1) << 20)
        case _:
            disk = f"disk-{rng.randrange(8)}"
            pool.set(disk, VM=pool.refs[name])


OPERATIONS_TO_READ = [
    ("EnumerateInstances", {"ClassName": "Xen_ComputerSystem"}),
    ("EnumerateInstances", {"ClassName": "CIM_LogicalDevice", "PropertyList": ("DeviceID", "SystemName")}),
    ("EnumerateInstances", {"ClassName": "Xen_SystemDevice"}),
    ("EnumerateInstanceNames", {"ClassName": "Xen_HostedDependency"}),
    ("EnumerateInstanceNames", {"ClassName": "CIM_Component"}),
    ("Associators", {"ObjectName": "host-0"}),
    ("References", {"ObjectName": "host-1", "ResultClass": "Xen_HostedDependency"}),
    ("ExecQuery", {"QueryLanguage": "WQL", "Query": "SELECT * FROM CIM_System WHERE ElementName LIKE '%-1%'"}),
    ("ExecQuery", {"QueryLanguage": "DMTF:CQL", "Query": "SELECT Antecedent FROM CIM_HostedDependency"}),
]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("operation", "params"), OPERATIONS_TO_READ)
async def test_an_answer_is_of_one_revision(operation: str, params: dict[str, Any], seed: int) -> None:
    rng, pool = random.Random(seed), small_pool(12)
    given = {k: pool.path(v, "Xen_HostComputerSystem") if k == "ObjectName" else v for k, v in params.items()}
    if seed % 2:  # then all that is missing are the links
        for classname in ("Xen_ComputerSystem", "CIM_LogicalDevice"):
            await finish(begin(pool, "EnumerateInstances", ClassName=classname))
    observer = Observer(pool, operation, given)
    for _ in range(2):  # the second time most is kept
        work = asyncio.ensure_future(finish(begin(pool, operation, **given)))
        await observer.write_while(work, rng)
        assert told(await work) in observer.answers


async def test_an_enumeration_opens_on_one_revision() -> None:
    rng, pool = random.Random(1), small_pool(12)
    observer = Observer(pool, "EnumerateInstances", {"ClassName": "Xen_ComputerSystem"})
    opening = begin(pool, "OpenEnumerateInstances", ClassName="Xen_ComputerSystem", MaxObjectCount=0)
    assert isinstance(opening, Later)
    work = asyncio.ensure_future(finish(opening))
    await observer.write_while(work, rng)
    reply, found = await work, []
    while name := out_values(reply)["EnumerationContext"]:
        pulled = begin(pool, "PullInstancesWithPath", EnumerationContext=name, MaxObjectCount=7)
        reply = await finish(pulled)
        found += [instance_values(element) for element in elements(reply.values)]
    expected = [
        sorted(map(str, (instance_values(element) for element in elements(answer)))) for answer in observer.answers
    ]
    assert sorted(map(str, found)) in expected


async def test_two_pulls_at_the_same_time_share_no_object() -> None:
    pool = small_pool(30)
    reply = await finish(begin(pool, "OpenEnumerateInstancePaths", ClassName="Xen_ComputerSystem"))
    name = out_values(reply)["EnumerationContext"]
    pulls = [
        begin(pool, "PullInstancePaths", EnumerationContext=name, MaxObjectCount=15),
        begin(pool, "PullInstancePaths", EnumerationContext=name, MaxObjectCount=100),
    ]
    replies = await asyncio.gather(*map(finish, pulls))
    found = [etree.tostring(path) for reply in replies for path in elements(reply.values)]
    assert len(found) == len(set(found)) == 30
    assert len(pool.provider.contexts) == 0


async def test_a_small_operation_is_answered_while_a_long_one_goes_on() -> None:
    pool = small_pool(12)
    long = begin(pool, "EnumerateInstances", ClassName="CIM_LogicalDevice")
    assert isinstance(long, Later)
    work = asyncio.ensure_future(finish(long))
    for _ in range(5):
        await asyncio.sleep(0)
        assert isinstance(begin(pool, "GetInstance", InstanceName=pool.path("vm-3")), Reply)
    assert not work.done()
    await work
    assert isinstance(begin(pool, "EnumerateInstances", ClassName="CIM_LogicalDevice"), Reply)


def test_a_record_that_was_replaced_is_not_rendered_any_more() -> None:
    pool = small_pool(1)
    extent = next(iter(pool.provider.extents(CIMV2, "Xen_ComputerSystem")))
    old = pool.version("vm-0")
    pool.set("vm-0", name_label="new")
    assert extent.of(old) == ()
    assert [shown.values["ElementName"] for shown in extent.of(pool.version("vm-0"))] == ["new"]


def test_links_that_hang_on_the_coordinator_follow_it() -> None:
    pool = small_pool(2)
    pool.provider.slices = Slices()

    def hosts() -> list[str]:
        reply = begin(pool, "EnumerateInstanceNames", ClassName="Xen_HostedDependency")
        assert isinstance(reply, Reply)
        names = b"".join(reply.values or ())
        return [host for host in ("host-0", "host-1") for _ in range(names.count(pool.uuid(host).encode()))]

    assert hosts() == ["host-0", "host-0", "host-1"]  # two machines and a switch
    pool.set("pool", master=pool.refs["host-1"])
    assert hosts() == ["host-1", "host-1", "host-1"]


def test_few_missing_instances_are_made_at_once() -> None:
    pool = SmallPool()
    for number in range(FEW // 4):
        pool.vm(f"vm-{number}")
    assert isinstance(begin(pool, "EnumerateInstances", ClassName="Xen_ComputerSystem"), Reply)


def test_walks_look_through_no_class_twice_while_nothing_changes() -> None:
    pool = small_pool(6)
    pool.provider.slices = Slices()
    task = pool.add("task", "task", other_config={"applies_to": pool.uuid("vm-1")})
    pool.set("vm-2", current_operations={task: "start"})
    (job,) = pool.renditions("Xen_ConcreteJob", "task")
    walks = [
        (pool.path("host-0", "Xen_HostComputerSystem"), 5),  # the machines that run nowhere, and the switch
        (pool.path("vm-1"), 1),
        (job.path, 2),
    ]
    for path, expected in (*walks, *walks):
        found = begin(
            pool, "AssociatorNames", ObjectName=path,
            AssocClass="Xen_AffectedJobElement" if expected < 5 else "Xen_HostedDependency",
        )  # fmt: skip
        assert isinstance(found, Reply)
        assert len(found.values or ()) == expected
    pool.source.rescans.clear()
    for path, _ in walks:
        begin(pool, "AssociatorNames", ObjectName=path, AssocClass="Xen_AffectedJobElement")
        begin(pool, "AssociatorNames", ObjectName=path, AssocClass="Xen_HostedDependency")
    assert set(pool.source.rescans) <= {"pool"}  # of which there is one
    pool.set("vm-3", current_operations={task: "start"})
    again = begin(pool, "AssociatorNames", ObjectName=job.path, AssocClass="Xen_AffectedJobElement")
    assert isinstance(again, Reply)
    assert len(again.values or ()) == 3
