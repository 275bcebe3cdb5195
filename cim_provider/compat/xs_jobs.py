"""Jobs in the xs-cim mode: a class for each kind of work, chosen by the name of the task, and the objects affected.

Rule 1: all jobs are Xen_Job; JOB_CLASSES says which of its subclasses a task is of.
Rule 2: a job of DefineSystem or CopySystem tells the system as soon as there is one. So does the answer of DefineSystem
        that gives the job: xs-cim made the machine first and its devices in the job.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from cim_provider import jobs
from cim_provider.compat import xs_transfer
from cim_provider.ended_jobs import ENDED
from cim_provider.mapping.face import Face, Kinds
from cim_provider.mapping.method import Call, Result, method
from cim_provider.mapping.rule import Rule, computed
from cim_provider.mapping.subject import Subject
from cim_provider.profiles import virtual_system_management
from cim_provider.profiles.computer_system import ComputerSystem
from cim_provider.profiles.job_control import call_of
from cim_provider.profiles.virtual_ethernet_switch import VirtualSwitch
from cim_provider.schema.objects import CIMV2, Instance, Path
from cim_provider.wire.model_path import model_path

PATIENCE = 10.0  # seconds of real time that the answer of DefineSystem waits for the system

JOB = "Xen_Job"
MANAGEMENT, CREATE = "Xen_VirtualSystemManagementServiceJob", "Xen_VirtualSystemCreateJob"
MODIFY, MIGRATION = "Xen_VirtualSystemModifyResourcesJob", "Xen_VirtualSystemMigrationServiceJob"
STATE_CHANGE = "Xen_SystemStateChangeJob"
CONNECT_DISK, DISCONNECT_DISK = "Xen_ConnectToDiskImageJob", "Xen_DisconnectFromDiskImageJob"
KINDS = (MANAGEMENT, CREATE, MODIFY, MIGRATION, STATE_CHANGE, CONNECT_DISK, DISCONNECT_DISK)

POWER = ("start", "unpause", "resume", "clean_shutdown", "suspend", "pause", "clean_reboot", "hard_shutdown",
         "hard_reboot")  # fmt: skip
HOST_POWER = ("enable", "disable", "power_on")
DEFINING = ("CIM.DefineSystem", "CIM.CopySystem")

# Tasks by name -> the class of their jobs.
JOB_CLASSES = {
    **{f"Async.VM.{operation}": STATE_CHANGE for operation in POWER},
    **{f"Async.host.{operation}": STATE_CHANGE for operation in HOST_POWER},
    "CIM.RequestStateChange": STATE_CHANGE,
    "CIM.RequestPowerStateChange": STATE_CHANGE,
    **dict.fromkeys(DEFINING, CREATE),
    **{f"CIM.{verb}ResourceSettings": MODIFY for verb in ("Add", "Modify", "Remove")},
    "CIM.DestroySystem": MANAGEMENT, "CIM.ModifySystemSettings": MANAGEMENT,
    "Async.VM.pool_migrate": MIGRATION, "Async.VM.migrate_send": MIGRATION,
    "CIM.MigrateVirtualSystemToHost": MIGRATION, "CIM.MigrateVirtualSystemToSystem": MIGRATION,
    xs_transfer.CONNECT: CONNECT_DISK, xs_transfer.DISCONNECT: DISCONNECT_DISK,
}  # fmt: skip
SYSTEMS = {"VM": ComputerSystem.cim, "network": VirtualSwitch.cim}


def job_class(task: Subject) -> str:
    return JOB_CLASSES.get(task["name_label"], "")


def resulting_system(task: Subject) -> str | None:
    """The path of the machine or switch that a job has defined (rule 2); NULL for other jobs."""
    made = task.record(jobs.result_of(task.version)) if task["name_label"] in DEFINING else None
    name = SYSTEMS.get(made.version.cls) if made is not None else None
    if made is None or name is None:
        return None
    return model_path(Path.of(name, {"CreationClassName": name, "Name": made["uuid"]}, CIMV2), {})


def affected_resources(task: Subject) -> tuple[str, ...] | None:
    """The paths of the settings that a job has added or changed, when it has; NULL for other jobs."""
    call = call_of(task) if JOB_CLASSES.get(task["name_label"]) == MODIFY else None
    if call is None or task["status"] != "success":
        return None
    found = call.gave.values
    return tuple(found.get("ResultingResourceSettings") or ())


def noted(key: str) -> Rule:
    """What xs_transfer.py has noted in the task of a job that connects to a disk; NULL for other jobs."""

    def read(task: Subject) -> str | None:
        connects = JOB_CLASSES.get(task["name_label"]) == CONNECT_DISK and task["status"] == "success"
        found: str | None = task["other_config"].get(key) if connects else None
        return found

    return computed(read)


JOBS = Face(
    JOB,
    {
        "ResultingSystem": computed(resulting_system),
        "AffectedResources": computed(affected_resources),
        **{key: noted(key) for key in (xs_transfer.URI, xs_transfer.HANDLE, xs_transfer.CERTIFICATE)},
    },
    kinds=Kinds(KINDS, job_class),
)


async def with_system(call: Call, result: Result) -> Result:
    """A result that gives a job of DefineSystem, with the system as soon as that is there (rule 2); as it is if the job
    ends before, or takes longer than PATIENCE."""
    job = result.out.get("Job")
    task = call.source.by_uuid("task", str(job.key("InstanceID")).removeprefix("Xen:")) if job is not None else None
    if result.value != jobs.JOB_STARTED or task is None:
        return result
    try:
        async with asyncio.timeout(PATIENCE):
            path = await _system_of(call, task.ref)
    except TimeoutError:
        path = None
    return result if path is None else replace(result, out={**result.out, "ResultingSystem": path})


async def _system_of(call: Call, ref: str) -> Path | None:
    """The path of what the job of a task has made, when it is shown as a system; None if the task ends before. What was
    cloned of a template is no system until its disks are there."""
    while True:
        seen, task = call.source.revision, call.source.find(ref)
        made = call.source.find(jobs.result_of(task)) if task is not None else None
        path = call.path_of(SYSTEMS[made.cls], made.ref) if made is not None and made.cls in SYSTEMS else None
        if path is not None or task is None or task.values["status"] in ENDED:
            return path
        await call.source.wait(seen, jobs.LOOK_AGAIN)


async def define_system(
    call: Call,
    system_settings: Instance | None,
    resource_settings: tuple[Instance, ...] | None,
    reference_configuration: Path | None,
) -> Result:
    """DefineSystem of the profile, with ResultingSystem beside the job."""
    return await with_system(
        call,
        await virtual_system_management.define_system(
            call, system_settings, resource_settings, reference_configuration
        ),
    )


DEFINE_SYSTEM = method(define_system, out=("ResultingSystem", "Job"))
