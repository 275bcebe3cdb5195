"""Writes to jobs (DSP1103): how long a job stays after its end, and DeleteInstance of an ended job.

Rule 1: TimeBeforeRemoval and DeleteOnCompletion are kept in the job's task (ended_jobs.py), in the name of the user who
        asks: whose task it is, or who may change any, may change them, behind a bridge too.
Rule 2: other properties follow the task. Their present values are accepted and change nothing; other values are
        refused. Progress has changed since the client read it: it is refused only if a PropertyList names it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cim_provider import jobs
from cim_provider.ended_jobs import ENDED, GOES, KEEP, LASTS
from cim_provider.operations.api import Operation
from cim_provider.query.moment import moment
from cim_provider.schema.objects import (
    ACCESS_DENIED,
    FAILED,
    INVALID_PARAMETER,
    NOT_SUPPORTED,
    CimError,
    Instance,
    Path,
)
from xenapi_core.clock import Later
from xenapi_core.errors import ApiError
from xenapi_core.model.schema import POOL_OPERATOR, roles_above

if TYPE_CHECKING:
    from cim_provider.mapping.extent import Rendition
    from cim_provider.provider import CimProvider
    from xenapi_core.store.api import Version

ANY_JOB = roles_above(POOL_OPERATOR)


def told(name: str, value: Any) -> str | None:
    """The text in other_config for a property; None for its default. CimError INVALID_PARAMETER.

    A part of a second counts as a whole one: a job does not go before its time.
    """
    if name == GOES:
        return "false" if value is False else None
    if value is None:
        return None
    found = moment(str(value))
    if found is None or not found.interval or found.low != found.high:
        raise CimError(INVALID_PARAMETER, "TimeBeforeRemoval is an interval without asterisks")
    seconds = -(-found.low // 1_000_000)
    return None if seconds == KEEP else str(seconds)


WRITABLE = {"TimeBeforeRemoval": LASTS, "DeleteOnCompletion": GOES}
MOVING = frozenset({"PercentComplete", "ElapsedTime"})


def same(given: Any, shown: Any) -> bool:
    """Whether a value that came in is the one that is shown; embedded instances came without the path and the types."""
    if isinstance(given, tuple) and isinstance(shown, tuple):
        return len(given) == len(shown) and all(map(same, given, shown))
    if isinstance(given, Instance) and isinstance(shown, Instance):
        names = {name for one in (given, shown) for name, value in one.values.items() if value is not None}
        return given.classname == shown.classname and all(
            same(given.values.get(name), shown.values.get(name)) for name in names
        )
    return bool(given == shown)


class JobWriter:
    """An InstanceWriter (operations/api.py) of jobs."""

    def __init__(self, provider: CimProvider) -> None:
        self.provider = provider

    def create(self, op: Operation, new: Instance) -> Path:
        raise CimError(NOT_SUPPORTED, "jobs are started by methods")

    def modify(self, op: Operation, path: Path, changed: Instance) -> Later[None]:
        """CimError ACCESS_DENIED, INVALID_PARAMETER, NOT_SUPPORTED; FAILED for a job whose task is gone."""
        job, version = self._job_and_task(path, op)
        wanted: dict[str, str | None] = {}
        is_whole = op.name == "ModifyInstance" and op.params.get("PropertyList") is None
        for name, value in changed.values.items():
            if name in WRITABLE:
                wanted[WRITABLE[name]] = told(WRITABLE[name], value)
            elif value is not None and not same(value, job.values.get(name)) and not (is_whole and name in MOVING):
                raise CimError(NOT_SUPPORTED, f"{name} of a job cannot be changed")
        if self.provider.jobs.ended.is_kept(version.ref):
            raise CimError(FAILED, "the task of this job is gone: it can only be deleted")
        return Later(self._write_other_config(op, version, wanted))

    def delete(self, op: Operation, path: Path) -> Later[None] | None:
        """CimError ACCESS_DENIED; FAILED for a job that has not ended."""
        _, version = self._job_and_task(path, op)
        if version.values["status"] not in ENDED:
            raise CimError(FAILED, "the job has not ended; KillJob ends it")
        ended = self.provider.jobs.ended
        if not ended.is_kept(version.ref):
            return Later(self._destroy(op, version))
        self._check_kept(op, version)
        ended.forget(version.ref)
        return None

    @staticmethod
    def _check_kept(op: Operation, task: Version) -> None:
        """CimError ACCESS_DENIED for a job whose task is gone, so that the pool cannot say who may end it."""
        who, owner = op.principal, task.values.get("session")
        if who.roles.isdisjoint(ANY_JOB) and (not who.session or owner != who.session):
            raise CimError(ACCESS_DENIED, f"who deletes the job of another user needs the role {POOL_OPERATOR}")

    def _job_and_task(self, path: Path, op: Operation) -> tuple[Rendition, Version]:
        job = self.provider.find(path, op.namespace)
        if job is None or job.version is None:  # the caller has found it just now
            raise LookupError(path)
        return job, job.version

    async def _write_other_config(self, op: Operation, task: Version, wanted: dict[str, str | None]) -> None:
        """Key by key, so that what others write meanwhile stays."""
        before = task.values["other_config"]
        for key, value in wanted.items():
            if before.get(key) == value:
                continue
            if key in before:
                await self._call(op, "task.remove_from_other_config", task.ref, key)
            if value is not None:
                await self._call(op, "task.add_to_other_config", task.ref, key, value)

    async def _destroy(self, op: Operation, task: Version) -> None:
        """Behind a bridge the task may be gone already, and nobody here know it yet: then its job is not kept."""
        ended = self.provider.jobs.ended
        ended.forget(task.ref)
        try:
            await self.provider.source.call(op.principal, "task.destroy", task.ref)
        except ApiError as error:
            if error.code == "HANDLE_INVALID":
                self._check_kept(op, task)
                return
            ended.steps.discard(task.ref)
            raise CimError(jobs.cim_status(error), str(error)) from error

    async def _call(self, op: Operation, method: str, *args: Any) -> None:
        """CimError for what the pool refuses."""
        try:
            await self.provider.source.call(op.principal, method, *args)
        except ApiError as error:
            raise CimError(jobs.cim_status(error), str(error)) from error
