"""Jobs: the tasks that methods start, the answers of those methods, and Xen-API errors as CIM errors.

Theory of operation
1. A job is a task of the pool (profiles/job_control.py shows it). A method that is one Xen-API message starts its
   asynchronous form (`Jobs.one`). A method that is several makes a task of its own and ends it (`Jobs.several`), as a
   Xen-API client would: task.create, set_progress, set_result, set_status, all in the name of the user who asked.
2. What a method refuses is refused before there is a job, with the return code of its class (`Codes`).
3. Work leaves an undo for each call that changed something. When a call fails, when the task is cancelled
   (task.cancel), and when the server ends, what was done is undone in reverse; an undo that fails is logged, and the
   others go on. Then the task ends. The undos outlive a server that is killed (undo_log.py).
4. Jobs keeps the asyncio tasks of its work until they end; `close` makes them stop and undo, and awaits them.
5. The pool says whether methods wait for their jobs: other_config["cim-jobs"] "never" makes them answer when the work
   is done, anything else makes them answer 4096 at once. There is a job either way.
6. Whoever waits for a task looks at the records, again whenever they change; nothing here polls.

Layering: this module stands between mapping and profiles, because methods of profiles start jobs.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import functools
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cim_provider.ended_jobs import ENDED, EndedJobs
from cim_provider.job_calls import STARTED_BY, call_of
from cim_provider.mapping.method import Call, Result
from cim_provider.mapping.refusal import Kind, RefusedError
from cim_provider.schema.objects import ACCESS_DENIED, NOT_FOUND, CimError, Instance
from cim_provider.undo_log import KIND, MADE_BY, Rows, UndoLog, undo_what_was_left
from xenapi_core.bridge.source import Principal, Source
from xenapi_core.errors import ApiError, E
from xenapi_core.logs import incident
from xenapi_core.model.schema import ROLES, roles_above

if TYPE_CHECKING:
    from xenapi_core.store.api import Version

log = logging.getLogger("xencim.wbem.jobs")

# Return values that all classes of methods share.
DONE, NOT_SUPPORTED, JOB_STARTED = 0, 1, 4096

# Those of RequestStateChange and RequestPowerStateChange that methods tell by themselves.
TIMEOUT_NOT_SUPPORTED = 4098

Codes = Mapping[Kind, int]

# fmt: off
# CIM_EnabledLogicalElement.RequestStateChange and its like.
STATE_CHANGE: Codes = {
    Kind.NOT_SUPPORTED: 1, Kind.FAILED: 4, Kind.INVALID_PARAMETER: 5, Kind.INVALID_STATE: 4097, Kind.BUSY: 4099,
    Kind.IN_USE: 6, Kind.INSUFFICIENT: 4, Kind.INVALID_TYPE: 5,
}
# The virtual system management, snapshot and migration services. 6 is "Incompatible Parameters", or "Invalid Type".
SYSTEMS: Codes = {
    Kind.NOT_SUPPORTED: 1, Kind.FAILED: 2, Kind.INVALID_PARAMETER: 4, Kind.INVALID_STATE: 5, Kind.BUSY: 5,
    Kind.IN_USE: 5, Kind.INSUFFICIENT: 2, Kind.INVALID_TYPE: 6,
}
# DefineSystem and AddResourceSettings have no value for an invalid state.
DEFINITIONS: Codes = {**SYSTEMS, Kind.INVALID_STATE: 2, Kind.BUSY: 2, Kind.IN_USE: 2, Kind.INVALID_TYPE: 4}
# CIM_ResourcePoolConfigurationService.
POOLS: Codes = {
    Kind.NOT_SUPPORTED: 1, Kind.FAILED: 4, Kind.INVALID_PARAMETER: 5, Kind.INVALID_STATE: 4, Kind.BUSY: 6,
    Kind.IN_USE: 6, Kind.INSUFFICIENT: 8, Kind.INVALID_TYPE: 7,
}

# What a job is told about in its task: the convention of the Xen-API's own clients for "which object is this about".
AFFECTED = "applies_to"
# Key of the pool's other_config, and its value for methods that wait (rule 5).
MODE, WAIT = "cim-jobs", "never"

# Errors that are answers, and what they mean; what is not here is judged by its CIM status (`kind_of`).
KINDS: Mapping[str, Kind] = {
    "VM_BAD_POWER_STATE": Kind.INVALID_STATE,
    "OPERATION_NOT_ALLOWED": Kind.INVALID_STATE,
    "OPERATION_BLOCKED": Kind.INVALID_STATE,
    "HOST_NOT_DISABLED": Kind.INVALID_STATE,
    "HOST_HAS_RESIDENT_VMS": Kind.INVALID_STATE,
    "HOST_OFFLINE": Kind.INVALID_STATE,
    "HOST_IS_LIVE": Kind.INVALID_STATE,
    "HA_IS_ENABLED": Kind.INVALID_STATE,
    "HA_NOT_ENABLED": Kind.INVALID_STATE,
    "OTHER_OPERATION_IN_PROGRESS": Kind.BUSY,
    "VM_LACKS_FEATURE": Kind.NOT_SUPPORTED,
    "VM_MISSING_PV_DRIVERS": Kind.NOT_SUPPORTED,
    "FEATURE_REQUIRES_HVM": Kind.NOT_SUPPORTED,
    "HOST_POWER_ON_MODE_DISABLED": Kind.NOT_SUPPORTED,
    "NOT_IMPLEMENTED": Kind.NOT_SUPPORTED,
    "MESSAGE_METHOD_UNKNOWN": Kind.NOT_SUPPORTED,
    "FIELD_TYPE_ERROR": Kind.INVALID_PARAMETER,
    "VALUE_NOT_SUPPORTED": Kind.INVALID_PARAMETER,
    "INVALID_VALUE": Kind.INVALID_PARAMETER,
    "MEMORY_CONSTRAINT_VIOLATION": Kind.INVALID_PARAMETER,
    "INVALID_DEVICE": Kind.INVALID_PARAMETER,
    "DEVICE_ALREADY_EXISTS": Kind.INVALID_PARAMETER,
    "MAC_INVALID": Kind.INVALID_PARAMETER,
    "SR_FULL": Kind.INSUFFICIENT,
    "HOST_NOT_ENOUGH_FREE_MEMORY": Kind.INSUFFICIENT,
    "NO_HOSTS_AVAILABLE": Kind.INSUFFICIENT,
    "DEVICE_ALREADY_ATTACHED": Kind.IN_USE,
    "VDI_IN_USE": Kind.IN_USE,
    "SR_HAS_PBD": Kind.IN_USE,
    "SR_NOT_EMPTY": Kind.IN_USE,
    "NETWORK_CONTAINS_VIF": Kind.IN_USE,
    "NETWORK_CONTAINS_PIF": Kind.IN_USE,
    "TASK_CANCELLED": Kind.FAILED,
}
_KIND_OF_STATUS = {4: Kind.INVALID_PARAMETER, 7: Kind.NOT_SUPPORTED}

_CIM_STATUS = {
    "HANDLE_INVALID": NOT_FOUND,
    "UUID_INVALID": NOT_FOUND,
    "RBAC_PERMISSION_DENIED": ACCESS_DENIED,
    "PERMISSION_DENIED": ACCESS_DENIED,
    "SESSION_INVALID": ACCESS_DENIED,
    "SESSION_AUTHENTICATION_FAILED": ACCESS_DENIED,
}

# CIM_Error.ErrorType (2 communications, 4 software, 7 security, 8 oversubscription, 9 unavailable resource).
_ERROR_TYPE = {
    "SR_FULL": 8,
    "HOST_NOT_ENOUGH_FREE_MEMORY": 8,
    "NO_HOSTS_AVAILABLE": 9,
    "HOST_OFFLINE": 2,
    "RBAC_PERMISSION_DENIED": 7,
}

# CIM_Error.ProbableCause (33 out of memory, 47 software error, 50 storage capacity, 57 underlying resource unavailable,
# 65 unauthorized access, 72 element unavailable, 73 element missing, 79 identifier duplication, 111 timeout).
OTHER_CAUSE = 1
_PROBABLE_CAUSE = {
    "HOST_NOT_ENOUGH_FREE_MEMORY": 33,
    "INTERNAL_ERROR": 47,
    "SR_FULL": 50,
    "NO_HOSTS_AVAILABLE": 57,
    "RBAC_PERMISSION_DENIED": 65, "PERMISSION_DENIED": 65,
    "HOST_OFFLINE": 72, "CANNOT_CONTACT_HOST": 72, "SR_NOT_ATTACHED": 72, "SR_HAS_NO_PBDS": 72,
    "HANDLE_INVALID": 73, "UUID_INVALID": 73,
    "DEVICE_ALREADY_EXISTS": 79,
    "VM_SHUTDOWN_TIMEOUT": 111, "VM_SUSPEND_TIMEOUT": 111, "DEVICE_ATTACH_TIMEOUT": 111, "DEVICE_DETACH_TIMEOUT": 111,
}
# fmt: on

LOOK_AGAIN = 60.0  # seconds of the loop's time after which a wait looks whether its task is still there


def cim_status(error: ApiError) -> int:
    """The CIM status code (DSP0200) of an error of the pool."""
    return _CIM_STATUS.get(error.code, error.row.cim)


def kind_of(error: ApiError) -> Kind | None:
    """The kind of refusal that an error is for a method's return value; None if it becomes a CIM status instead."""
    status = cim_status(error)
    if status in (NOT_FOUND, ACCESS_DENIED):
        return None
    return KINDS.get(error.code) or _KIND_OF_STATUS.get(status)


def return_code(error: ApiError, codes: Codes = STATE_CHANGE) -> int:
    """The return value with which a method reports an expected error; CimError for any other."""
    kind = kind_of(error)
    if kind is None:
        raise CimError(cim_status(error), str(error)) from error
    return codes[kind]


Method = Callable[..., Awaitable[Result]]


def answers(codes: Codes) -> Callable[[Method], Method]:
    """For a method's function: what it refuses, and what the pool refuses, becomes a return value (rule 2)."""

    def wrap(function: Method) -> Method:
        @functools.wraps(function)
        async def answer(call: Call, *args: Any, **named: Any) -> Result:
            try:
                return await function(call, *args, **named)
            except RefusedError as refused:
                log.info("%s: %s", function.__name__, refused)
                return Result(codes[refused.kind], why=str(refused))
            except ApiError as error:
                return Result(return_code(error, codes), why=str(error))

        return answer

    return wrap


def require(call: Call, *methods: str) -> None:
    """RBAC_PERMISSION_DENIED if the caller may not call one of these messages: asked before a job is made of them."""
    for name in methods:
        message = call.source.schema.methods[name].message
        allowed = roles_above(message.role, message.client_cert)
        if call.principal.roles.isdisjoint(allowed):
            having = ", ".join(role for role in ROLES if role in allowed)
            raise E.RBAC_PERMISSION_DENIED(name.lower(), f"No permission. (Roles with this permission: {having})")


_REFERENCE = re.compile(r"OpaqueRef:[0-9A-Za-z-]+")


def results_of(task: Version) -> tuple[str, ...]:
    """The references in the result of a task."""
    return tuple(_REFERENCE.findall(task.values["result"]))


def result_of(task: Version) -> str:
    """The first of them; empty if it gave none."""
    return next(iter(results_of(task)), "")


def is_cancelled(task: Version | None) -> bool:
    """Whether somebody asked a pending task to stop."""
    return task is not None and "cancel" in task.values["current_operations"].values()


async def followed(source: Source, task: str) -> Version:
    """The record of a task when it has ended. TASK_CANCELLED if it goes away before."""
    while True:
        seen, version = source.revision, source.find(task)
        if version is None:
            raise E.TASK_CANCELLED(task)
        if version.values["status"] in ENDED:
            return version
        await source.wait(seen, LOOK_AGAIN)


def failure_of(task: Version) -> ApiError | None:
    """Why an ended task did not succeed."""
    if task.values["status"] == "success":
        return None
    info = list(task.values["error_info"])
    return E.from_wire(info) if info else E.TASK_CANCELLED(task.ref)


@dataclass
class Work:
    """Several calls that are one job (rule 3). `expected`: how many calls there will be, for its progress; `steps`:
    where it notes the tasks that are parts of it; `begun`: set by a body whose beginning is to be seen by a client as
    soon as it has its answer (Jobs.several)."""

    source: Source
    principal: Principal
    task: str
    steps: set[str] = field(default_factory=set)
    disk: Rows | None = None
    expected: int = 1
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    _count: int = 0

    def __post_init__(self) -> None:
        self.log = UndoLog(self.source, self.principal, self.task, self.disk)

    @property
    def mark(self) -> dict[str, str]:
        """The other_config entry that marks a machine or disk as made by this job (undo_log.py, rule 3)."""
        return {MADE_BY: self.task}

    async def call(self, method: str, *args: Any) -> Any:
        """A message that is answered at once; its value. ApiError; TASK_CANCELLED if the job shall stop."""
        self.check()
        await self._next()
        value = await self.source.call(self.principal, method, *args)
        self._count += 1
        return value

    async def run(self, method: str, *args: Any) -> str:
        """A message that takes time, as a task of its own that is cancelled with the job; the reference it gives."""
        self.check()
        await self._next()
        source = self.source
        task = await source.call(self.principal, f"Async.{method}", *args)
        asked = False
        while True:
            seen, version = source.revision, source.find(task)
            if version is None or version.values["status"] in ENDED:
                break
            if not asked and is_cancelled(source.find(self.task)):
                asked = True
                await source.call(self.principal, "task.cancel", task)
            else:
                await source.wait(seen, LOOK_AGAIN)
        if version is None:
            raise E.TASK_CANCELLED(task)
        error = failure_of(version)
        self.steps.add(task)
        with contextlib.suppress(ApiError):  # it has told what it had to tell
            await source.call(self.principal, "task.destroy", task)
        if error is not None:
            raise E.TASK_CANCELLED(self.task) if error.code == "TASK_CANCELLED" else error
        self._count += 1
        return result_of(version)

    async def undo(self, name: str, *args: Any) -> None:
        """What takes the last call back: a message, or the name of a function (`undoes`), and its arguments."""
        await self.log.add(name, *args)

    async def made(self, *refs: str) -> None:
        """Tell what the job is making, or has made: the result of its task, which AffectedJobElement shows."""
        told = "".join(f"<value>{ref}</value>" for ref in refs)
        await self.source.call(self.principal, "task.set_result", self.task, told)

    def check(self) -> None:
        """TASK_CANCELLED if a cancel of the job was requested."""
        if is_cancelled(self.source.find(self.task)):
            raise E.TASK_CANCELLED(self.task)

    async def _next(self) -> None:
        """Between two steps: tell how far the job has come. Here, so that nothing is between a step and its undo."""
        await self.log.begin()
        if self._count:
            share = min(self._count / max(self.expected, 1), 0.99)
            await self.source.call(self.principal, "task.set_progress", self.task, share)


Body = Callable[[Work], Awaitable[Mapping[str, Any]]]


class Jobs:
    """Starts jobs for methods, and keeps their asyncio tasks until they end. Made for one source."""

    def __init__(self, source: Source, disk: Rows | None = None) -> None:
        """`disk`: where undos are kept; without one they end with the server. Blocks."""
        self._source = source
        self._disk = disk
        self._left = disk.rows(KIND) if disk is not None else []
        self._running: set[asyncio.Task[Any]] = set()
        self._told: bool | None = None
        self.ended = EndedJobs(source)

    def waits(self) -> bool:
        """Whether methods answer when their work is done (rule 5)."""
        return methods_wait(self._source) if self._told is None else self._told

    def answering(self, wait: bool | None) -> Jobs:
        """Jobs for a method whose answer waits for its work (True), does not (False), or follows the pool's setting
        (None)."""
        if wait is None:
            return self
        found = copy.copy(self)
        found._told = wait
        return found

    async def one(self, call: Call, codes: Codes, method: str, ref: str, *args: Any, about: str = "") -> Result:
        """Start one Xen-API message on `ref` as a job. `about` is the uuid of the VM it is about.

        4096 and the job, or 0; the return value of an expected error, CimError for others.
        """
        try:
            task: str = await call.source.call(call.principal, f"Async.{method}", ref, *args)
            await self._note(call, task, codes, about)
            if self.waits():
                error = failure_of(await followed(call.source, task))
                if error is not None:
                    raise error
                return Result(DONE)
        except ApiError as error:
            return Result(return_code(error, codes), why=str(error))
        return self._started(call, task)

    async def several(
        self, call: Call, codes: Codes, label: str, body: Body, about: str = "", when_begun: bool = False
    ) -> Result:
        """Run `body` as a job named `label`; it gives the output parameters for those who wait. With `when_begun` the
        answer waits until the body has set `Work.begun`, or is over.

        4096 and the job, or 0 and the outputs; the return value of an expected error, CimError for others.
        """
        try:
            task: str = await call.source.call(call.principal, "task.create", label, "")
            await self._note(call, task, codes, about)
            work = Work(call.source, call.principal, task, self.ended.steps, self._disk)
            running = self._own(self._perform(work, body))
            if when_begun:
                running.add_done_callback(lambda _: work.begun.set())
                await work.begun.wait()
            if not self.waits():
                return self._started(call, task)
            error, out = await asyncio.shield(running)
            if error is not None:
                raise error
            return Result(DONE, out)
        except ApiError as error:
            return Result(return_code(error, codes), why=str(error))

    async def recover(self) -> None:
        """Take back what jobs of a server that was killed have left. For the start, before anybody asks."""
        rows, self._left = self._left, []
        await undo_what_was_left(self._source, self._disk, rows)

    def start(self) -> None:
        """Begin to keep jobs whose tasks go (ended_jobs.py)."""
        self._own(self.ended.follow())

    async def close(self) -> None:
        """Stop what is running, which undoes what it did, and wait for that."""
        for task in tuple(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _own(self, coroutine: Any) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def _perform(self, work: Work, body: Body) -> tuple[ApiError | None, Mapping[str, Any]]:
        """Do the work and end its task; the error it ended with, and its outputs."""
        out: Mapping[str, Any] = {}
        error: ApiError | None = None
        try:
            out = await body(work)
        except ApiError as failure:
            error = failure
        except RefusedError as failure:  # what was not foreseen before there was a job
            text = str(failure)
            invalid = failure.kind is Kind.INVALID_PARAMETER
            error = E.INVALID_VALUE("Settings", text) if invalid else E.OPERATION_NOT_ALLOWED(text)
        except asyncio.CancelledError:
            _uncancel()  # what follows must not be cut short
            error = E.TASK_CANCELLED(work.task)
        except Exception as failure:
            number = incident(log, f"job {work.task} failed", failure)
            error = E.INTERNAL_ERROR(f"{type(failure).__name__} (log id {number})")
        await (work.log.end() if error is None else work.log.unwind())
        with contextlib.suppress(ApiError):  # the record may be gone: then nobody asks for it
            await self._end(work, error, out)
        return error, out

    async def _end(self, work: Work, error: ApiError | None, out: Mapping[str, Any]) -> None:
        call = functools.partial(work.source.call, work.principal)
        if error is None:
            self.ended.calls.gave(work.task, out)
            await call("task.set_status", work.task, "success")
            return
        await call("task.set_result", work.task, "")
        await call("task.set_error_info", work.task, tuple(error.description))
        await call("task.set_status", work.task, "cancelled" if error.code == "TASK_CANCELLED" else "failure")

    async def _note(self, call: Call, task: str, codes: Codes, about: str) -> None:
        """Note the call that started a job. Say in the task which method that was (job_calls.py, rule 1), and which VM
        it is about, so that the job is related to it for as long as the task exists."""
        self.ended.calls.note(task, call_of(call.invoked, codes))
        for key, value in {STARTED_BY: call.invoked.method, AFFECTED: about}.items():
            # a short task of another server may be gone by now, or a user may not write a key: nothing else is lost
            with contextlib.suppress(ApiError):
                if value:
                    await call.source.call(call.principal, "task.add_to_other_config", task, key, value)

    @staticmethod
    def _started(call: Call, task: str) -> Result:
        path = call.path_of("Xen_ConcreteJob", task)
        return Result(JOB_STARTED, {"Job": path} if path is not None else {})


def _uncancel() -> None:
    current = asyncio.current_task()
    if current is not None:
        current.uncancel()


def methods_wait(pool: Any) -> bool:
    """Whether the pool makes methods answer only when their work is done (rule 5). `pool`: a Source, or a Pool of
    mapping."""
    return any(record.values["other_config"].get(MODE) == WAIT for record in pool.all("pool").values())


def no_timeout(timeout_period: str | None) -> bool:
    """Whether a TimeoutPeriod asks for nothing: NULL, or an interval of zero."""
    return timeout_period is None or (timeout_period.endswith(":000") and not timeout_period[:21].strip("0."))


def cim_error(error_info: tuple[str, ...]) -> Instance:
    """The CIM_Error (DSP1103) that tells a client what the pool said about a failed task."""
    error = E.from_wire(list(error_info))
    return Instance(
        "CIM_Error",
        {
            "ErrorType": _ERROR_TYPE.get(error.code, 4),
            "OwningEntity": "Xen-API",
            "MessageID": error.code,
            "Message": str(error),
            "MessageArguments": error.params,
            "PerceivedSeverity": 6 if error.code == "INTERNAL_ERROR" else 5,
            "ProbableCause": _PROBABLE_CAUSE.get(error.code, OTHER_CAUSE),
            "ProbableCauseDescription": error.row.text or str(error),
            "CIMStatusCode": cim_status(error),
        },
    )


def gone(cls: str, what: str) -> ApiError:
    """HANDLE_INVALID for an object of a class that a job works on and that somebody else removed meanwhile."""
    return E.HANDLE_INVALID(cls, what)
