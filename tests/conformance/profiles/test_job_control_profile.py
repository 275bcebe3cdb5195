"""DSP1103 and RequestStateChange of DSP1057: jobs follow tasks, and state changes start them, on the working stack."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from cim_pool import SmallPool, WorkingPool, call, classes, elements, instance_values, path_in, run, working_pool
from lxml import etree

from cim_provider.schema.objects import (
    CIMV2,
    METHOD_NOT_AVAILABLE,
    METHOD_NOT_FOUND,
    NOT_FOUND,
    CimError,
    Path,
)


async def machine(pool: WorkingPool, state: str) -> str:
    """A VM in a power state, with guest tools heard where it runs."""
    if state == "Halted":
        return pool.sim.add_vm("web")
    vm = await pool.sim.running("web")
    if state == "Paused":
        await pool.sim.call("VM.pause", vm)
    elif state == "Suspended":
        await pool.sim.call("VM.suspend", vm)
    assert pool.store.get(vm)["power_state"] == state
    return vm


# fmt: off
TASKS = [
    ("pending",    {"progress": 0.25}, 4,  (2,),     25,  0),
    ("success",    {"progress": 1.0},  7,  (17, 2),  100, 0),
    ("failure",    {"error_info": ("VM_BAD_POWER_STATE", "OpaqueRef:x", "halted", "running")}, 10, (17, 6), 100, 1),
    ("failure",    {"error_info": ("HANDLE_INVALID", "VM", "OpaqueRef:x")}, 10, (17, 6), 100, 6),
    ("cancelling", {"progress": 0.999}, 6, (9,),     99,  0),
    ("cancelled",  {},                 8,  (17, 10), 100, 0),
]
# fmt: on


@pytest.mark.parametrize(("status", "record", "state", "operational", "percent", "error"), TASKS)
def test_a_task_is_a_job_in_every_status(
    status: str, record: dict[str, Any], state: int, operational: tuple[int, ...], percent: int, error: int
) -> None:
    pool = SmallPool()
    start = pool.clock.now() - 70
    pool.add("task", "task", name_label="Async.VM.start", status=status, created=start, finished=start + 65, **record)
    found = pool.values("Xen_ConcreteJob", "task")
    assert found["InstanceID"] == f"Xen:{pool.uuid('task')}"
    assert (found["Name"], found["ElementName"]) == ("Async.VM.start", "Async.VM.start")
    assert (found["JobState"], found["OperationalStatus"], found["PercentComplete"]) == (state, operational, percent)
    assert found["ErrorCode"] == error
    assert found["ErrorDescription"] == (" ".join(record["error_info"]) if "error_info" in record else None)
    assert found["ElapsedTime"][8:14] == ("000110" if status in ("pending", "cancelling") else "000105")
    assert found["TimeBeforeRemoval"] == "00000000000500.000000:000"


# RequestedState, power state before -> return value, power state in the end.
# fmt: off
CHANGES = [
    (2,  "Halted",  4096, "Running"),
    (2,  "Running", 0,    "Running"),
    (2,  "Paused",  4096, "Running"),
    (2,  "Suspended", 4096, "Running"),
    (3,  "Running", 4096, "Halted"),
    (3,  "Paused",  4096, "Halted"),
    (3,  "Suspended", 4096, "Halted"),
    (3,  "Halted",  0,    "Halted"),
    (4,  "Running", 4096, "Halted"),
    (4,  "Halted",  4097, "Halted"),
    (6,  "Running", 4096, "Suspended"),
    (6,  "Paused",  4097, "Paused"),
    (6,  "Halted",  4097, "Halted"),
    (6,  "Suspended", 4097, "Suspended"),
    (9,  "Running", 4096, "Paused"),
    (9,  "Halted",  4097, "Halted"),
    (9,  "Paused",  4097, "Paused"),
    (10, "Running", 4096, "Running"),
    (10, "Halted",  4097, "Halted"),
    (11, "Running", 4096, "Running"),
    (11, "Paused",  4096, "Running"),
    (11, "Suspended", 4097, "Suspended"),
    (7,  "Running", 1,    "Running"),
    (8,  "Running", 1,    "Running"),
    (5,  "Running", 5,    "Running"),
    (99, "Running", 5,    "Running"),
    (None, "Running", 5,  "Running"),
]
# fmt: on


async def request(pool: WorkingPool, vm: str, state: int | None, **more: Any) -> tuple[int, etree._Element | None]:
    value, out = await pool.call(pool.path(vm), "RequestStateChange", RequestedState=state, **more)
    return value, out.get("Job")


async def get_job(pool: WorkingPool, job: etree._Element) -> dict[str, Any]:
    (element,) = elements(run(pool.provider, "GetInstance", InstanceName=path_in(job)).values)
    return instance_values(element)


@pytest.mark.parametrize(("requested", "before", "expected", "after"), CHANGES)
async def test_request_state_change_follows_the_table(
    requested: int | None, before: str, expected: int, after: str
) -> None:
    async with working_pool() as pool:
        vm = await machine(pool, before)
        value, job = await request(pool, vm, requested)
        assert value == expected
        assert (job is not None) == (expected == 4096)
        if job is not None:
            assert path_in(job).classname == "Xen_ConcreteJob"
            await pool.clock.advance(240)
            found = await get_job(pool, job)
            assert (found["JobState"], found["PercentComplete"], found["ErrorCode"]) == ("7", "100", "0"), found
        assert pool.store.get(vm)["power_state"] == after


@pytest.mark.parametrize(
    ("timeout", "expected"),
    [
        (None, 4096),
        ("00000000000000.000000:000", 4096),
        ("00000000000010.000000:000", 4098),
        ("20260101000000.000000+000", 4098),
    ],
)
async def test_a_timeout_cannot_be_asked_for(timeout: str | None, expected: int) -> None:
    async with working_pool() as pool:
        vm = await machine(pool, "Running")
        value, _ = await request(pool, vm, 3, TimeoutPeriod=timeout)
        assert value == expected
        await pool.clock.advance(60)


async def test_a_job_can_be_followed_from_start_to_end_and_stays_visible() -> None:
    async with working_pool() as pool:
        vm = await machine(pool, "Halted")
        _, job = await request(pool, vm, 2)
        assert job is not None
        running = await get_job(pool, job)
        assert (running["JobState"], running["Name"], running["Status"]) == ("4", "Async.VM.start", "OK")
        await pool.clock.advance(0.1)
        state = run(pool.provider, "GetInstance", InstanceName=pool.path(vm)).values
        assert instance_values(elements(state)[0])["EnabledState"] == "10"
        value, _ = await pool.call(path_in(job), "RequestStateChange", RequestedState=99)
        assert value == 5
        await pool.clock.advance(240)
        ended = await get_job(pool, job)
        assert (ended["JobState"], ended["Status"]) == ("7", "OK")
        value, _ = await pool.call(path_in(job), "RequestStateChange", RequestedState=4)
        assert value == 4097
        value, out = await pool.call(path_in(job), "GetError")
        assert (value, out) == (0, {})
        affected = {"ObjectName": path_in(job), "AssocClass": "CIM_AffectedJobElement"}
        machines = run(pool.provider, "AssociatorNames", **affected)
        assert [path_in(e) for e in elements(machines.values)] == [pool.path(vm)]
        back = run(pool.provider, "AssociatorNames", ObjectName=pool.path(vm), ResultClass="CIM_ConcreteJob")
        assert [path_in(e) for e in elements(back.values)] == [path_in(job)]


async def test_a_task_that_a_xen_api_client_started_is_a_job_too() -> None:
    async with working_pool() as pool:
        vm = await machine(pool, "Running")
        await pool.source.call(pool.principal, "Async.VM.suspend", vm)
        await pool.clock.advance(0.5)
        found = run(pool.provider, "AssociatorNames", ObjectName=pool.path(vm), ResultClass="CIM_ConcreteJob")
        assert classes(elements(found.values)) == ["Xen_ConcreteJob"]
        await pool.clock.advance(240)
        jobs = elements(run(pool.provider, "EnumerateInstances", ClassName="CIM_Job").values)
        assert {instance_values(e)["JobState"] for e in jobs} == {"7"}


async def test_a_request_while_another_is_at_work_is_told_so() -> None:
    async with working_pool() as pool:
        vm = await machine(pool, "Halted")
        assert (await request(pool, vm, 2))[0] == 4096
        await pool.clock.advance(0.1)
        assert (await request(pool, vm, 2))[0] == 4099
        await pool.clock.advance(240)
        assert (await request(pool, vm, 2))[0] == 0


async def test_two_requests_at_the_same_moment_are_two_jobs_of_which_one_fails() -> None:
    async with working_pool() as pool:
        vm = await machine(pool, "Halted")
        (_, first), (_, second) = await asyncio.gather(request(pool, vm, 2), request(pool, vm, 2))
        assert first is not None
        assert second is not None
        await pool.clock.advance(240)
        states = [(await get_job(pool, job))["JobState"] for job in (first, second)]
        assert sorted(states) == ["10", "7"]


async def test_a_job_that_fails_tells_its_error() -> None:
    async with working_pool(hosts=1) as pool:
        vm = await machine(pool, "Halted")
        huge = 1 << 50
        txn = pool.store.begin()
        names = ("memory_static_max", "memory_dynamic_max", "memory_dynamic_min")
        txn.update(vm, **dict.fromkeys(names, huge))
        pool.store.commit(txn)
        value, job = await request(pool, vm, 2)
        assert value == 4096
        assert job is not None
        await pool.clock.advance(10)
        found = await get_job(pool, job)
        assert found["JobState"] == "10"
        assert (found["OperationalStatus"], found["Status"]) == (["17", "6"], "Error")
        assert found["ErrorDescription"].split()[0] == "HOST_NOT_ENOUGH_FREE_MEMORY"
        for method, parameter in (("GetError", "Error"), ("GetErrors", "Errors")):
            value, out = await pool.call(path_in(job), method)
            assert value == 0
            assert out[parameter].get("EmbeddedObject") == "instance"
            error = instance_values(etree.fromstring(next(iter(out[parameter].iter("VALUE"))).text))
            assert error["MessageID"] == found["ErrorDescription"].split()[0]
            assert error["Message"] == found["ErrorDescription"]
            assert (error["ErrorType"], error["ProbableCause"]) == ("8", "33")  # out of memory


@pytest.mark.parametrize("requested", [4, 5])
async def test_a_job_can_be_cancelled(requested: int) -> None:
    async with working_pool() as pool:
        vm = await machine(pool, "Halted")
        _, job = await request(pool, vm, 2)
        assert job is not None
        await pool.clock.advance(0.1)
        value, _ = await pool.call(path_in(job), "RequestStateChange", RequestedState=requested)
        assert value == 4096
        assert (await get_job(pool, job))["Status"] == "Stopping"
        await pool.clock.advance(240)
        found = await get_job(pool, job)
        assert (found["JobState"], found["Status"]) == ("8", "Stopped")
        assert pool.store.get(vm)["power_state"] == "Halted"


def test_methods_that_do_not_exist_or_have_no_behaviour_are_told_apart() -> None:
    pool = SmallPool()
    pool.vm("web")
    web = pool.path("web")

    def status(path: Path, method: str) -> int:
        with pytest.raises(CimError) as error:
            asyncio.run(call(pool.provider, path, method))
        return error.value.status

    assert status(web, "Nonsense") == METHOD_NOT_FOUND
    assert status(pool.path("lan", "Xen_VirtualSwitch"), "SetPowerState") == METHOD_NOT_AVAILABLE
    assert status(pool.path("pool", "Xen_HostPool"), "SetPowerState") == METHOD_NOT_AVAILABLE
    assert status(Path("Xen_ComputerSystem", None, CIMV2), "RequestStateChange") == METHOD_NOT_AVAILABLE
    gone = Path.of("Xen_ComputerSystem", {"CreationClassName": "Xen_ComputerSystem", "Name": "gone"}, CIMV2)
    assert status(gone, "RequestStateChange") == NOT_FOUND
