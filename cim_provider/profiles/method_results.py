"""DSP1103 Job Control: the method call that started a job, with its parameters, before and after.

Rule 1: the call is known if this server received it (job_calls.py), and as long as the job is there: jobs of Xen-API
        clients have none. Passwords and very large values are left out.
Rule 2: a job that succeeded has the return value 0 and the output parameters that a client gets who waits for the job.
        One that failed has the return value such a client gets; NULL where that is an error of CIM.
"""

from __future__ import annotations

from dataclasses import replace

from cim_provider.ended_jobs import ENDED
from cim_provider.job_calls import STARTED_BY, JobCall
from cim_provider.jobs import DONE, kind_of
from cim_provider.mapping.association import Association, SameRecord
from cim_provider.mapping.rule import computed, field, timestamp, xen_id
from cim_provider.mapping.subject import Subject
from cim_provider.mapping.view import View
from cim_provider.profiles.job_control import ConcreteJob, call_of
from cim_provider.schema.objects import Instance
from xenapi_core.errors import E

PARAMETERS = "__MethodParameters"


def was_called(task: Subject) -> bool:
    return call_of(task) is not None


def return_value(task: Subject, call: JobCall) -> int | None:
    """The return value of a call whose job has ended; None if its error has none (rule 2)."""
    if task["status"] == "success":
        return DONE
    info = list(task["error_info"])
    kind = kind_of(E.from_wire(info) if info else E.TASK_CANCELLED(task.ref))
    return None if kind is None else call.codes[kind]


def _indication(call: JobCall, at: int, before: bool, parameters: Instance, value: int | None) -> Instance:
    """A CIM_InstMethodCall. Of the instance it tells the keys: what else it had then is not kept."""
    values = {
        "IndicationTime": timestamp(at),
        "SourceInstance": Instance(call.target.classname, dict(call.target.keys or ())),
        "SourceInstanceModelPath": call.model_path,
        "MethodName": call.method,
        "MethodParameters": replace(parameters, classname=PARAMETERS),
        "ReturnValue": None if value is None else str(value),
        "PreCall": before,
    }
    return Instance("CIM_InstMethodCall", values)


def before_the_call(task: Subject) -> Instance | None:
    call = call_of(task)
    return None if call is None else _indication(call, task["created"], True, call.given, None)


def after_the_call(task: Subject) -> Instance | None:
    """NULL while the job has not ended."""
    call = call_of(task)
    if call is None or task["status"] not in ENDED:
        return None
    return _indication(call, task["finished"], False, call.gave, return_value(task, call))


def started_by(task: Subject) -> str:
    return str(task["other_config"].get(STARTED_BY, ""))


class MethodResult(View, cim="Xen_MethodResult", of="task", where=was_called):
    """The method call that started a job."""

    InstanceID = xen_id(field("uuid"), "MethodResult")
    ElementName = computed(started_by)
    PreCallIndication = computed(before_the_call)
    PostCallIndication = computed(after_the_call)


class AssociatedJobMethodResult(Association, cim="Xen_AssociatedJobMethodResult", left="Job", right="JobParameters"):
    """A job was started by a method call."""

    relations = (SameRecord(ConcreteJob, MethodResult),)
