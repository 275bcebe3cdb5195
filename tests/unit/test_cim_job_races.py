"""Jobs whose tasks go at the same moment as somebody reads or deletes them, as it happens behind a bridge."""

from __future__ import annotations

from typing import Any

import pytest
from cim_services import Site
from test_cim_job_lifetime import ask, guest, refused
from test_cim_services_jobs import following, jobs, path_of, task

from cim_provider.schema.objects import ACCESS_DENIED
from xenapi_core.bridge.source import Principal


class Outrun:
    """The source of a site, where another client destroys a task just before anybody here does."""

    def __init__(self, at: Site) -> None:
        self._source = at.pool.source
        self._other = at.pool.principal
        self.outrun = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    async def call(self, principal: Principal, method: str, *args: Any) -> Any:
        if method == "task.destroy":
            self.outrun += 1
            await self._source.call(self._other, method, *args)
        return await self._source.call(principal, method, *args)


async def test_a_job_whose_task_somebody_else_destroys_meanwhile_is_deleted_all_the_same() -> None:
    async with following() as at:
        first, second = [await task(at, status="success") for _ in range(2)]
        at.pool.provider.source = source = Outrun(at)  # type: ignore[assignment]
        await ask(at, "DeleteInstance", InstanceName=path_of(at, first))
        assert source.outrun == 1
        assert len(jobs(at)) == 1
        assert at.store.find(second) is not None


@pytest.mark.parametrize("meanwhile", [False, True])
async def test_a_job_of_another_user_is_not_deleted_by_a_reader_meanwhile(meanwhile: bool) -> None:
    async with following() as at:
        other = await guest(at)
        path = path_of(at, await task(at, status="success"))
        if meanwhile:
            at.pool.provider.source = Outrun(at)  # type: ignore[assignment]
        assert await refused(at, "DeleteInstance", other, InstanceName=path) == ACCESS_DENIED


async def test_a_job_is_there_in_the_moment_its_task_goes() -> None:
    async with following() as at:
        kept, alone = [await task(at, name, status="success") for name in ("kept", "alone")]
        path, before = path_of(at, kept), at.shown(path_of(at, kept))
        at.sim.remove(kept)  # nothing has had a turn since
        assert at.shown(path) == before
        assert sorted(jobs(at)) == ["alone", "kept"]
        at.sim.remove(alone)
        assert sorted(jobs(at)) == ["alone", "kept"]
