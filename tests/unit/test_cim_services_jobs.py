"""Jobs: how long they stay, what may be asked of them, and what a client's own task looks like."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from cim_pool import graph, path_in, run
from cim_services import MANAGEMENT, Path, Site, site

from cim_provider.ended_jobs import KEEP, MOST
from cim_provider.indications.events import DELETION
from cim_provider.indications.matcher import Matcher
from cim_provider.indications.subscriptions import compiled
from cim_provider.mapping.view import VIEWS
from cim_provider.schema.objects import NOT_FOUND, CimError


@contextlib.asynccontextmanager
async def following(mode: str = "always") -> AsyncIterator[Site]:
    """A site whose jobs outlive their tasks, as on a server."""
    async with site(mode=mode) as at:
        at.pool.provider.jobs.start()
        await at.pool.clock.settle()
        yield at


def jobs(at: Site) -> list[str]:
    extent = at.pool.provider.extent(VIEWS["Xen_ConcreteJob"])
    return [str(one.values["Name"]) for one in extent]


async def task(at: Site, label: str = "mine", status: str = "success") -> str:
    """A task of a client that has ended."""
    call, who = at.pool.source.call, at.pool.principal
    ref: str = await call(who, "task.create", label, "")
    await call(who, "task.set_status", ref, status)
    await at.pool.clock.settle()
    return ref


def path_of(at: Site, ref: str) -> Path:
    return at.pool.provider.extent(VIEWS["Xen_ConcreteJob"]).of(at.store.get(ref))[0].path


async def test_a_job_stays_for_the_time_it_says_when_its_task_is_gone() -> None:
    async with following() as at:
        ref = await task(at)
        path = path_of(at, ref)
        before = at.shown(path)
        assert before["TimeBeforeRemoval"] == "00000000000500.000000:000"
        await at.pool.source.call(at.pool.principal, "task.destroy", ref)
        await at.pool.clock.settle()
        assert at.store.find(ref) is None
        assert at.shown(path) == before
        assert jobs(at) == ["mine"]
        assert (await at.invoke(path, "RequestStateChange", RequestedState=4))[0] == 4097
        assert (await at.invoke(path, "GetErrors"))[0] == 0
        await at.pool.clock.advance(KEEP - 1)
        assert jobs(at) == ["mine"]
        await at.pool.clock.advance(1)
        assert jobs(at) == []
        with pytest.raises(CimError) as error:
            run(at.pool.provider, "GetInstance", InstanceName=path)
        assert error.value.status == NOT_FOUND


async def test_the_error_of_a_job_is_told_when_its_task_is_gone() -> None:
    async with following() as at:
        call, who = at.pool.source.call, at.pool.principal
        ref = await call(who, "task.create", "mine", "")
        await call(who, "task.set_error_info", ref, ("SR_FULL", "1", "0"))
        await call(who, "task.set_status", ref, "failure")
        await at.pool.clock.settle()
        path = path_of(at, ref)
        await call(who, "task.destroy", ref)
        await at.pool.clock.settle()
        _, out = await at.invoke(path, "GetError")
        assert "SR_FULL" in next(iter(out["Error"].iter("VALUE"))).text


async def test_a_task_that_goes_before_it_ends_and_one_that_ended_long_ago_leave_no_job() -> None:
    async with following() as at:
        call, who = at.pool.source.call, at.pool.principal
        old = await task(at, "old")
        await at.pool.clock.advance(KEEP + 1)
        pending = await call(who, "task.create", "pending", "")
        assert jobs(at) == ["pending"]
        for ref in (old, pending):
            await call(who, "task.destroy", ref)
        await call(who, "task.set_status", pending, "success")
        await at.pool.clock.settle()
        assert jobs(at) == []


async def test_steps_of_a_job_leave_no_jobs_of_their_own() -> None:
    async with following() as at:
        vm = at.sim.add_vm()
        given = {"ReferenceConfiguration": at.settings(vm)}
        _, out = await at.ask(MANAGEMENT, "DefineSystem", **given)
        assert (await at.ended(out))["status"] == "success"
        await at.pool.clock.settle()
        assert jobs(at) == ["CIM.DefineSystem"]


async def test_no_more_jobs_are_kept_than_fit() -> None:
    async with following() as at:
        for number in range(MOST + 5):
            ref = at.sim.add("task", name_label=str(number), status="success", finished=at.pool.clock.now())
            await at.pool.clock.settle(3)
            txn = at.store.begin()
            txn.delete(ref)
            at.store.commit(txn)
            await at.pool.clock.settle(3)
        assert jobs(at) == [str(number) for number in range(5, MOST + 5)]


@pytest.mark.parametrize("delete", [None, False, True])
async def test_a_job_is_killed_and_removed_if_that_was_asked(delete: bool | None) -> None:
    async with site(mode="always") as at:
        vm = at.sim.add_vm()
        value, out = await at.invoke(at.system(vm), "RequestStateChange", RequestedState=2)
        assert value == 4096
        await at.pool.clock.advance(0.1)
        job = path_in(out["Job"])
        assert (await at.pool.call(job, "KillJob", DeleteOnKill=delete))[0] == 0
        assert at.shown(job)["JobState"] == 6
        await at.sim.pass_time(60)
        assert at.store.get(vm)["power_state"] == "Halted"
        left = at.pool.provider.find(job, "root/cimv2")
        assert (left is None) == bool(delete)
        if left is not None:
            assert left.values["JobState"] == 8
            assert (await at.invoke(job, "KillJob"))[0] == 4


@pytest.mark.parametrize(
    ("params", "code"),
    [({"RequestedState": 2}, 1), ({"RequestedState": 3}, 1), ({"RequestedState": 6}, 1), ({"RequestedState": 7}, 5),
     ({"RequestedState": None}, 5),
     ({"RequestedState": 4, "TimeoutPeriod": "00000000000010.000000:000"}, 4098)],
)  # fmt: skip
async def test_what_cannot_be_asked_of_a_job(params: dict[str, Any], code: int) -> None:
    async with site() as at:
        ref = await at.pool.source.call(at.pool.principal, "task.create", "mine", "")
        assert (await at.invoke(path_of(at, ref), "RequestStateChange", **params))[0] == code


async def test_the_deletion_of_a_job_is_told_when_it_goes_and_not_when_its_task_does() -> None:
    async with following() as at:
        ended, matcher = at.pool.provider.jobs.ended, Matcher(at.pool.provider)
        query = "SELECT * FROM CIM_InstDeletion WHERE SourceInstance ISA CIM_ConcreteJob"
        views, alerts = matcher.watched_by([compiled(graph(), "f", "WQL", query)])
        at.pool.provider.slices.run(matcher.watch(views, alerts))
        since = at.store.revision

        def deleted() -> list[str]:
            nonlocal since
            ended.catch_up()
            events = at.pool.provider.slices.run(matcher.events(at.store.changes(since), ended.let_go()))
            assert isinstance(events, list)
            since = at.store.revision
            return [str(e.sources[0].values["Name"]) for e in events if e.classname == DELETION]

        ref, _ = await task(at), await task(at, "there")
        assert deleted() == []
        await at.pool.source.call(at.pool.principal, "task.destroy", ref)
        assert (deleted(), jobs(at)) == ([], ["mine", "there"])
        assert ended.next_end() == at.pool.clock.now() + KEEP
        assert not ended.is_due()
        await at.pool.clock.advance(KEEP)
        assert ended.is_due()
        assert (sorted(deleted()), jobs(at)) == (["mine", "there"], [])
        assert ended.next_end() is None
        assert deleted() == []
