"""Tasks as jobs: how a method starts one, and what an error of the pool is to a CIM client.

A job is a task of the pool (profiles/job_control.py shows it); nothing is kept here. Layering: this module stands
between mapping and profiles, because methods of profiles start jobs.
"""

from __future__ import annotations

import contextlib
from typing import Any

from cim_provider.mapping.method import Call
from cim_provider.schema.objects import ACCESS_DENIED, NOT_FOUND, CimError, Instance
from xenapi_core.errors import ApiError, E

# Return codes of RequestStateChange (DSP0200 calls them return values; CIM_EnabledLogicalElement lists them).
DONE, NOT_SUPPORTED, UNSPECIFIED, TIMEOUT, FAILED, INVALID_PARAMETER, IN_USE = range(7)
JOB_STARTED, INVALID_TRANSITION, TIMEOUT_NOT_SUPPORTED, BUSY = range(4096, 4100)

# What a job is told about in its task: the convention of the Xen-API's own clients for "which object is this about".
AFFECTED = "applies_to"

# Errors that mean "not in this state", "something else is going on", and so on: they are answers, not failures.
_EXPECTED = {
    "VM_BAD_POWER_STATE": INVALID_TRANSITION,
    "OPERATION_NOT_ALLOWED": INVALID_TRANSITION,
    "OPERATION_BLOCKED": INVALID_TRANSITION,
    "OTHER_OPERATION_IN_PROGRESS": BUSY,
    "VM_LACKS_FEATURE": NOT_SUPPORTED,
    "VM_MISSING_PV_DRIVERS": NOT_SUPPORTED,
    "FEATURE_REQUIRES_HVM": NOT_SUPPORTED,
    "NOT_IMPLEMENTED": NOT_SUPPORTED,
    "MESSAGE_METHOD_UNKNOWN": NOT_SUPPORTED,
    "SR_FULL": FAILED,
    "HOST_NOT_ENOUGH_FREE_MEMORY": FAILED,
    "NO_HOSTS_AVAILABLE": FAILED,
}

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


def cim_status(error: ApiError) -> int:
    """The CIM status code (DSP0200) of an error of the pool."""
    return _CIM_STATUS.get(error.code, error.row.cim)


def return_code(error: ApiError) -> int:
    """The return value with which a state change reports an expected error; CimError for any other."""
    code = _EXPECTED.get(error.code)
    if code is None:
        raise CimError(cim_status(error), str(error)) from error
    return code


async def start(call: Call, method: str, *args: Any) -> str:
    """Start the asynchronous form of a Xen-API method on the call's record; returns the reference of its task.

    The task is marked with the record, so that the job can be related to it for as long as the task exists. ApiError if
    the method is refused at once.
    """
    task: str = await call.source.call(call.principal, f"Async.{method}", call.subject.ref, *args)
    with contextlib.suppress(ApiError):  # a short task of another server may be gone by now; then nothing is lost
        await call.source.call(call.principal, "task.add_to_other_config", task, AFFECTED, call.subject["uuid"])
    return task


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
            "ProbableCause": 1,
            "ProbableCauseDescription": error.row.text or str(error),
            "CIMStatusCode": cim_status(error),
        },
    )
