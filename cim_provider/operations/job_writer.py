"""Writing jobs (DSP1103): how long one stays after it has ended, and DeleteInstance of one that has.

Rule 1: TimeBeforeRemoval and DeleteOnCompletion are kept in the job's task (ended_jobs.py), in the name of the user who
        asks: whose task it is, or who may change any, may change them, behind a bridge too.
Rule 2: other properties follow the task. Who gives them as they are changes nothing; another value is refused. How far
        the job is has changed since anybody read it: that is refused only if it is named in a PropertyList.
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
    """What other_config says of a property; None for its default. CimError INVALID_PARAMETER.

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


class JobWriter:
    """An InstanceWriter (operations/api.py) of jobs."""

    def __init__(self, provider: CimProvider) -> None:
        self.provider = provider

    def create(self, op: Operation, new: Instance) -> Path:
        raise CimError(NOT_SUPPORTED, "jobs are started by methods")

    def modify(self, op: Operation, path: Path, changed: Instance) -> Later[None]:
        """CimError ACCESS_DENIED, INVALID_PARAMETER, NOT_SUPPORTED; FAILED for a job whose task is gone."""
        job, version = self._found(path, op)
        wanted: dict[str, str | None] = {}
        is_whole = op.name == "ModifyInstance" and op.params.get("PropertyList") is None
        for name, value in changed.values.items():
            if name in WRITABLE:
                wanted[WRITABLE[name]] = told(WRITABLE[name], value)
            elif value is not None and value != job.values.get(name) and not (is_whole and name in MOVING):
                raise CimError(NOT_SUPPORTED, f"{name} of a job cannot be changed")
        if self.provider.jobs.ended.is_kept(version.ref):
            raise CimError(FAILED, "the task of this job is gone: it can only be deleted")
        return Later(self._tell(op, version, wanted))

    def delete(self, op: Operation, path: Path) -> Later[None] | None:
        """CimError ACCESS_DENIED; FAILED for a job that has not ended."""
        _, version = self._found(path, op)
        if version.values["status"] not in ENDED:
            raise CimError(FAILED, "the job has not ended; KillJob ends it")
        ended = self.provider.jobs.ended
        if not ended.is_kept(version.ref):
            return Later(self._destroy(op, version))
        who, owner = op.principal, version.values.get("session")
        if who.roles.isdisjoint(ANY_JOB) and (not who.session or owner != who.session):
            raise CimError(ACCESS_DENIED, f"who deletes the job of another user needs the role {POOL_OPERATOR}")
        ended.forget(version.ref)
        return None

    def _found(self, path: Path, op: Operation) -> tuple[Rendition, Version]:
        job = self.provider.find(path, op.namespace)
        if job is None or job.version is None:  # the caller has found it just now
            raise LookupError(path)
        return job, job.version

    async def _tell(self, op: Operation, task: Version, wanted: dict[str, str | None]) -> None:
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
        ended = self.provider.jobs.ended
        ended.forget(task.ref)
        try:
            await self._call(op, "task.destroy", task.ref)
        except CimError:
            ended.steps.discard(task.ref)
            raise

    async def _call(self, op: Operation, method: str, *args: Any) -> None:
        """CimError for what the pool refuses."""
        try:
            await self.provider.source.call(op.principal, method, *args)
        except ApiError as error:
            raise CimError(jobs.cim_status(error), str(error)) from error
