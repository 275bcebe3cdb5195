"""How long jobs stay after they have ended, as clients set it; and DeleteInstance of jobs."""

from __future__ import annotations

from typing import Any

import pytest
from cim_pool import path_in
from cim_services import Instance, Path, Site
from test_cim_services_jobs import following, jobs, path_of, task

from cim_provider.ended_jobs import KEEP, LASTS
from cim_provider.operations.api import OPERATIONS, Operation
from cim_provider.schema.objects import (
    ACCESS_DENIED,
    CIMV2,
    FAILED,
    INVALID_PARAMETER,
    NOT_FOUND,
    NOT_SUPPORTED,
    CimError,
)
from xenapi_core.bridge.source import Principal
from xenapi_core.clock import Later

HOUR = "00000000010000.000000:000"


async def ask(at: Site, operation: str, who: Principal | None = None, **params: Any) -> None:
    found = OPERATIONS[operation](Operation(operation, CIMV2, params, who or at.pool.principal, at.pool.provider))
    if isinstance(found, Later):
        await found
    await at.pool.clock.settle()


async def change(at: Site, path: Path, who: Principal | None = None, **values: Any) -> None:
    await ask(at, "ModifyInstance", who, ModifiedInstance=Instance(path.classname, values, path))


async def refused(at: Site, operation: str, who: Principal | None = None, **params: Any) -> int:
    with pytest.raises(CimError) as error:
        await ask(at, operation, who, **params)
    return error.value.status


async def guest(at: Site) -> Principal:
    """A user who may only read, and start tasks."""
    found = await at.pool.source.authenticate("guest", "guest", "wbem")
    assert found is not None
    return found


async def test_a_job_goes_when_its_time_is_over_although_its_task_is_there() -> None:
    async with following() as at:
        vm = at.sim.add_vm()
        _, out = await at.invoke(at.system(vm), "RequestStateChange", RequestedState=2)
        finished = (await at.ended(out))["finished"]
        path = path_in(out["Job"])
        await at.pool.clock.advance(finished + KEEP - 1 - at.pool.clock.now())
        assert at.related(at.system(vm), "CIM_AffectedJobElement") == [path]
        await at.pool.clock.advance(1)
        assert at.store.all("task")
        assert at.related(at.system(vm), "CIM_AffectedJobElement") == []
        assert jobs(at) == []
        assert await refused(at, "GetInstance", InstanceName=path) == NOT_FOUND


async def test_a_job_and_its_relations_outlive_its_task() -> None:
    async with following() as at:
        vm = at.sim.add_vm()
        _, out = await at.invoke(at.system(vm), "RequestStateChange", RequestedState=2)
        ended, path = await at.ended(out), path_in(out["Job"])
        before = at.related(path, "CIM_OwningJobElement")
        await at.pool.source.call(at.pool.principal, "task.destroy", ended.ref)
        await at.pool.clock.settle()
        assert at.related(at.system(vm), "CIM_AffectedJobElement") == [path]
        assert at.related(path, "CIM_AffectedJobElement") == [at.system(vm)]
        assert at.related(path, "CIM_OwningJobElement") == before
        assert path in at.related(before[0], "CIM_OwningJobElement")


@pytest.mark.parametrize("gone", [False, True])
@pytest.mark.parametrize(
    ("told", "shown", "seconds"),
    [
        (HOUR, HOUR, 3600),
        ("00000000000001.000000:000", "00000000000001.000000:000", 1),
        ("00000000000009.500000:000", "00000000000010.000000:000", 10),
        ("00000000000500.000000:000", "00000000000500.000000:000", KEEP),
        (None, "00000000000500.000000:000", KEEP),
    ],
)
async def test_the_time_before_removal_is_what_a_client_sets(
    told: str | None, shown: str, seconds: int, gone: bool
) -> None:
    async with following() as at:
        call, who = at.pool.source.call, at.pool.principal
        ref = await call(who, "task.create", "mine", "")
        path = path_of(at, ref)
        await change(at, path, TimeBeforeRemoval="00000000000002.000000:000")
        await change(at, path, TimeBeforeRemoval=told)
        assert at.shown(path)["TimeBeforeRemoval"] == shown
        await at.pool.clock.advance(60)
        await call(who, "task.set_status", ref, "success")
        await at.pool.clock.settle()
        if gone:
            await call(who, "task.destroy", ref)
        await at.pool.clock.advance(seconds - 1)
        assert jobs(at) == ["mine"]
        await at.pool.clock.advance(1)
        assert jobs(at) == []


@pytest.mark.parametrize("gone", [False, True])
async def test_a_job_that_is_not_deleted_on_completion_stays_until_it_is_deleted(gone: bool) -> None:
    async with following() as at:
        ref = await task(at)
        path = path_of(at, ref)
        await change(at, path, DeleteOnCompletion=False)
        assert at.shown(path)["DeleteOnCompletion"] is False
        if gone:
            await at.pool.source.call(at.pool.principal, "task.destroy", ref)
        await at.pool.clock.advance(50 * KEEP)
        assert jobs(at) == ["mine"]
        await ask(at, "DeleteInstance", InstanceName=path)
        assert jobs(at) == []
        assert at.store.find(ref) is None
        assert await refused(at, "DeleteInstance", InstanceName=path) == NOT_FOUND


async def test_a_job_that_has_ended_can_get_more_time_and_less() -> None:
    async with following() as at:
        path = path_of(at, await task(at))
        await change(at, path, DeleteOnCompletion=False, TimeBeforeRemoval=HOUR)
        await at.pool.clock.advance(2 * KEEP)
        assert jobs(at) == ["mine"]
        await change(at, path, DeleteOnCompletion=True)
        await at.pool.clock.advance(3599 - 2 * KEEP)
        assert jobs(at) == ["mine"]
        await change(at, path, TimeBeforeRemoval=None)
        assert jobs(at) == []


async def test_the_last_property_can_be_set_with_set_property_too() -> None:
    async with following() as at:
        path = path_of(at, await task(at))
        params = {"InstanceName": path, "PropertyName": "timebeforeremoval", "NewValue": HOUR}
        await ask(at, "SetProperty", **params)
        assert at.shown(path)["TimeBeforeRemoval"] == HOUR


async def test_a_client_may_give_back_all_that_it_has_read() -> None:
    async with following() as at:
        path = path_of(at, await task(at))
        await change(at, path, **{**at.shown(path), "TimeBeforeRemoval": HOUR})
        assert at.shown(path)["TimeBeforeRemoval"] == HOUR


async def test_a_running_job_that_went_on_meanwhile_can_be_given_back_too() -> None:
    async with following() as at:
        call, who = at.pool.source.call, at.pool.principal
        ref = await call(who, "task.create", "mine", "")
        path = path_of(at, ref)
        read = at.shown(path)
        await at.pool.clock.advance(10)
        await call(who, "task.set_progress", ref, 0.5)
        await change(at, path, **{**read, "DeleteOnCompletion": False})
        assert at.shown(path)["DeleteOnCompletion"] is False
        for name in ("ElapsedTime", "PercentComplete"):
            changed = Instance(path.classname, {name: read[name]}, path)
            given = {"ModifiedInstance": changed, "PropertyList": [name]}
            assert await refused(at, "ModifyInstance", **given) == NOT_SUPPORTED


@pytest.mark.parametrize(
    ("values", "status"),
    [
        ({"TimeBeforeRemoval": "20260101000000.000000+000"}, INVALID_PARAMETER),
        ({"TimeBeforeRemoval": "000000000005**.******:000"}, INVALID_PARAMETER),
        ({"Name": "another"}, NOT_SUPPORTED),
        ({"JobState": 7, "DeleteOnCompletion": False}, NOT_SUPPORTED),
    ],
)
async def test_what_cannot_be_set_changes_nothing_of_a_job(values: dict[str, Any], status: int) -> None:
    async with following() as at:
        ref = await task(at, status="failure")
        path = path_of(at, ref)
        changed = Instance(path.classname, values, path)
        assert await refused(at, "ModifyInstance", ModifiedInstance=changed) == status
        assert at.store.get(ref)["other_config"] == {}


async def test_a_running_job_is_not_deleted() -> None:
    async with following() as at:
        ref = await at.pool.source.call(at.pool.principal, "task.create", "mine", "")
        assert await refused(at, "DeleteInstance", InstanceName=path_of(at, ref)) == FAILED
        assert jobs(at) == ["mine"]


@pytest.mark.parametrize("gone", [False, True])
async def test_a_user_writes_own_jobs_and_an_operator_all(gone: bool) -> None:
    async with following() as at:
        other = await guest(at)
        call = at.pool.source.call
        theirs = await call(other, "task.create", "theirs", "")
        mine = await call(at.pool.principal, "task.create", "mine", "")
        for ref, user in ((theirs, other), (mine, at.pool.principal)):
            await call(user, "task.set_status", ref, "success")
        await at.pool.clock.settle()
        first, second = path_of(at, theirs), path_of(at, mine)
        changed = Instance(second.classname, {"TimeBeforeRemoval": HOUR}, second)
        assert await refused(at, "ModifyInstance", other, ModifiedInstance=changed) == ACCESS_DENIED
        await change(at, first, other, TimeBeforeRemoval=HOUR)
        if gone:
            for ref in (theirs, mine):
                await call(at.pool.principal, "task.destroy", ref)
            await at.pool.clock.settle()
            assert await refused(at, "ModifyInstance", ModifiedInstance=changed) == FAILED
        assert await refused(at, "DeleteInstance", other, InstanceName=second) == ACCESS_DENIED
        await ask(at, "DeleteInstance", other, InstanceName=first)
        assert jobs(at) == ["mine"]
        await ask(at, "DeleteInstance", InstanceName=second)
        assert jobs(at) == []


async def test_jobs_are_not_created_by_clients() -> None:
    async with following() as at:
        new = Instance("Xen_ConcreteJob", {"InstanceID": "Xen:x", "Name": "x"})
        assert await refused(at, "CreateInstance", NewInstance=new) == NOT_SUPPORTED


@pytest.mark.parametrize("told", ["soon", "-5", "", "1" * 20, "٣"])
async def test_what_is_no_number_of_seconds_in_a_task_is_no_lifetime(told: str) -> None:
    async with following() as at:
        ref = at.sim.add("task", status="success", finished=at.pool.clock.now(), other_config={LASTS: told})
        assert at.shown(path_of(at, ref))["TimeBeforeRemoval"] == "00000000000500.000000:000"
