"""DSP1103 Job Control: every task of the pool, whoever started it, as a job with the state of the task."""

from __future__ import annotations

from dataclasses import replace

from cim_provider import jobs
from cim_provider.ended_jobs import EndedJobs, delete_on_completion, time_before_removal
from cim_provider.job_calls import STARTED_BY, JobCall
from cim_provider.mapping.method import Call, Result, method
from cim_provider.mapping.refusal import Kind, RefusedError, invalid
from cim_provider.mapping.rule import CimDateTime, computed, const, field, interval, moment, timestamp, xen_id
from cim_provider.mapping.subject import Subject
from cim_provider.mapping.view import View
from cim_provider.schema.objects import CimError, Instance
from xenapi_core.errors import ApiError, E

# Task status -> JobState, OperationalStatus, JobStatus, Status.
# fmt: off
JOB_STATES = {
    "pending":    (4, (2,), "Running", "OK"),
    "success":    (7, (17, 2), "Completed", "OK"),
    "failure":    (10, (17, 6), "Failed", "Error"),
    "cancelling": (6, (9,), "Cancelling", "Stopping"),
    "cancelled":  (8, (17, 10), "Terminated", "Stopped"),
}
# fmt: on


# Values of RequestedState on a job (CIM_ConcreteJob): terminate and kill are one thing here.
START, SUSPEND, TERMINATE, KILL, SERVICE = 2, 3, 4, 5, 6


def _finished(task: Subject) -> bool:
    return task["status"] in ("success", "failure", "cancelled")


def percent_complete(task: Subject) -> int:
    """100 for whatever will do no more, as clients wait for it."""
    return 100 if _finished(task) else min(99, max(0, int(task["progress"] * 100)))


def elapsed_time(task: Subject) -> CimDateTime:
    return interval((task["finished"] if _finished(task) else task.now()) - task["created"])


def time_of_last_state_change(task: Subject) -> CimDateTime | None:
    return timestamp(task["finished"] if _finished(task) else task["created"])


def error_code(task: Subject) -> int:
    """The CIM status code of the failure; 0 without one."""
    info = task["error_info"]
    return jobs.cim_status(E.from_wire(list(info))) if task["status"] == "failure" and info else 0


def error_description(task: Subject) -> str | None:
    return " ".join(task["error_info"]) or None


def _state(task: Subject) -> tuple[int, tuple[int, ...], str, str]:
    """JobState of a task; a pending task with a requested cancel is Shutting Down, though its status does not say
    so."""
    status = task["status"]
    return JOB_STATES["cancelling" if status == "pending" and jobs.is_cancelled(task.version) else status]


def job_state(task: Subject) -> int:
    return _state(task)[0]


def operational_status(task: Subject) -> tuple[int, ...]:
    return _state(task)[1]


def job_status(task: Subject) -> str:
    return _state(task)[2]


def primary_status(task: Subject) -> str:
    """What OperationalStatus says, in the words of the property that it replaced."""
    return _state(task)[3]


def health_state(task: Subject) -> int:
    """5 OK, or 20 Major failure."""
    return 20 if task["status"] == "failure" else 5


def time_until_removal(task: Subject) -> CimDateTime:
    """Five minutes from its end, or what a client has set."""
    return interval(time_before_removal(task.version))


def deleted_on_completion(task: Subject) -> bool:
    """Whether the job goes by itself when that time is over; a client may set it."""
    return delete_on_completion(task.version)


def call_of(task: Subject) -> JobCall | None:
    """The method call that started a job, as long as the job is there; jobs of Xen-API clients have none."""
    pool = task.pool
    return pool.calls.find(task.ref) if STARTED_BY in task["other_config"] and isinstance(pool, EndedJobs) else None


def job_in_parameters(task: Subject) -> Instance | None:
    call = call_of(task)
    return None if call is None else replace(call.given, classname="__JobInParameters")


def job_out_parameters(task: Subject) -> Instance | None:
    """The output parameters of the method, for clients that wait for its job; NULL unless it has succeeded."""
    call = call_of(task)
    if call is None or task["status"] != "success":
        return None
    types = {**call.gave.types, "__ReturnValue": "uint32"}
    return Instance("__JobOutParameters", {**call.gave.values, "__ReturnValue": jobs.DONE}, None, types)


@jobs.answers(jobs.STATE_CHANGE)
async def request_state_change(call: Call, requested_state: int | None, timeout_period: str | None) -> Result:
    """CIM_ConcreteJob.RequestStateChange: Terminate and Kill cancel the task.

    4096 when it was asked to stop, 0 when it has; 4097 if it had ended before; 1 for what a task cannot do.
    """
    if requested_state in (START, SUSPEND, SERVICE):
        return Result(jobs.NOT_SUPPORTED)
    if requested_state not in (TERMINATE, KILL):
        raise invalid(f"{requested_state} cannot be requested of a job")
    if not jobs.no_timeout(timeout_period):
        return Result(jobs.TIMEOUT_NOT_SUPPORTED)
    if _finished(call.subject):
        raise RefusedError(Kind.INVALID_STATE, "the job has ended")
    await call.source.call(call.principal, "task.cancel", call.subject.ref)
    after = call.source.find(call.subject.ref)
    ended = after is None or after.values["status"] in ("success", "failure", "cancelled")
    return Result(jobs.DONE if ended else jobs.JOB_STARTED)


# CIM_Job.KillJob has return values of its own: 6 access denied.
KILL_CODES: jobs.Codes = dict.fromkeys(Kind, 4) | {Kind.NOT_SUPPORTED: 1}


@jobs.answers(KILL_CODES)
async def kill_job(call: Call, delete_on_kill: bool | None) -> Result:
    """CIM_Job.KillJob: cancel the task, and have it removed when it has ended if DeleteOnKill says so.

    0 when that was asked for; 4 if the job had ended before; 6 for a job of another user that the caller may not end.
    """
    if _finished(call.subject):
        raise RefusedError(Kind.FAILED, "the job has ended")
    try:
        await call.source.call(call.principal, "task.cancel", call.subject.ref)
        if delete_on_kill and call.source.find(call.subject.ref) is not None:
            await call.source.call(call.principal, "task.destroy", call.subject.ref)
    except ApiError as error:
        if error.code == "RBAC_PERMISSION_DENIED":
            return Result(6)
        raise
    return Result(jobs.DONE)


async def get_error(call: Call) -> Result:
    """CIM_ConcreteJob.GetError: NULL for a job that did not fail; CIM_ERR_FAILED while it still runs."""
    info = call.subject["error_info"]
    if not _finished(call.subject):
        raise CimError(1, "the job has not ended")
    return Result(0, {"Error": jobs.cim_error(info)} if call.subject["status"] == "failure" and info else {})


async def get_errors(call: Call) -> Result:
    """CIM_ConcreteJob.GetErrors: an array with the error of a failed job, empty for other jobs; CIM_ERR_FAILED while it
    runs."""
    info = call.subject["error_info"]
    if not _finished(call.subject):
        raise CimError(1, "the job has not ended")
    failed = call.subject["status"] == "failure" and info
    return Result(0, {"Errors": (jobs.cim_error(info),) if failed else ()})


class ConcreteJob(View, cim="Xen_ConcreteJob", of="task"):
    """A task."""

    InstanceID = xen_id(field("uuid"))
    Name = field("name_label")
    ElementName = field("name_label")
    Caption = const("Xen-API task")
    Description = field("name_description")
    JobState = computed(job_state)
    JobStatus = computed(job_status)
    OperationalStatus = computed(operational_status)
    Status = computed(primary_status)
    HealthState = computed(health_state)
    PercentComplete = computed(percent_complete)
    TimeSubmitted = moment("created")
    StartTime = moment("created")
    ElapsedTime = computed(elapsed_time)
    TimeOfLastStateChange = computed(time_of_last_state_change)
    LocalOrUtcTime = const(2)
    JobRunTimes = const(1)
    TimeBeforeRemoval = computed(time_until_removal)
    DeleteOnCompletion = computed(deleted_on_completion)
    ErrorCode = computed(error_code)
    ErrorDescription = computed(error_description)
    JobInParameters = computed(job_in_parameters)
    JobOutParameters = computed(job_out_parameters)

    RequestStateChange = method(request_state_change)
    KillJob = method(kill_job)
    GetError = method(get_error, out=("Error",))
    GetErrors = method(get_errors, out=("Errors",))
