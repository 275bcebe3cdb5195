"""task: tasks that clients create, and operations on any task.

Rule 1: a task belongs to the user who started it; others need to be pool-operator (API reference, tasks).
Rule 2: only a pending task changes its status.
"""

from __future__ import annotations

from typing import Any

from xenapi_core.api.registry import CallContext, handles
from xenapi_core.api.roles import may, refusal
from xenapi_core.errors import E
from xenapi_core.model.schema import POOL_OPERATOR, roles_above
from xenapi_core.store.api import Version

ANY_TASK = roles_above(POOL_OPERATOR)
ENDED = ("success", "failure", "cancelled")


def _authorise(call: CallContext, task: Version) -> None:
    """RBAC_PERMISSION_DENIED unless the task is the caller's, or the caller may do this to any task."""
    if may(call.caller, ANY_TASK) or task.values["session"] == call.caller.session:
        return
    owner = call.store.find(task.values["session"])
    if owner is None or owner.values["auth_user_name"] != call.caller.user:
        raise refusal(call.wire_name + "/any", ANY_TASK)


def _authorised_task(call: CallContext, ref: str) -> Version:
    task = call.get(ref, "task")
    _authorise(call, task)
    return task


@handles("task.create")
def create(call: CallContext, label: str, description: str) -> str:
    """A pending task for work the client does itself; the client ends it with set_status."""
    return call.services.engine.new_task(label, call.caller, description)


@handles("task.cancel")
def cancel(call: CallContext, task: str) -> Any:
    """Ask the task to stop at its next safe point; the call succeeds whether or not it can."""
    _authorised_task(call, task)
    return call.services.engine.cancel(task)


@handles("task.destroy")
def destroy(call: CallContext, ref: str) -> Any:
    """Remove a completed task at once, a pending one when it completes."""
    _authorised_task(call, ref)
    return call.services.engine.destroy_task(ref)


@handles("task.set_status")
def set_status(call: CallContext, ref: str, status: str) -> None:
    """End a pending task; one that was destroyed meanwhile goes now (engine/tasks.py, rule 3)."""
    task = _authorised_task(call, ref)
    if task.values["status"] in ENDED:
        return
    if status not in ENDED:
        call.update(ref, status=status)
    elif "destroy" in task.values["current_operations"].values():
        call.commit(lambda txn: txn.delete(ref))
    else:
        call.update(ref, status=status, finished=call.now, progress=1.0, current_operations={})


@handles("task.set_progress")
def set_progress(call: CallContext, ref: str, progress: float) -> None:
    """INVALID_VALUE unless 0 <= progress <= 1."""
    task = _authorised_task(call, ref)
    if not 0.0 <= progress <= 1.0:
        raise E.INVALID_VALUE("progress", str(progress))
    if task.values["status"] not in ENDED:
        call.update(ref, progress=progress)


@handles("task.set_result")
def set_result(call: CallContext, ref: str, result: str) -> None:
    _authorised_task(call, ref)
    call.update(ref, result=result)


@handles("task.set_error_info")
def set_error_info(call: CallContext, ref: str, error_info: tuple[str, ...]) -> None:
    _authorised_task(call, ref)
    call.update(ref, error_info=error_info)


@handles("task.set_other_config")
def set_other_config(call: CallContext, ref: str, value: dict[str, str]) -> None:
    _authorised_task(call, ref)
    call.update(ref, other_config=value)


@handles("task.add_to_other_config")
def add_to_other_config(call: CallContext, ref: str, key: str, value: str) -> None:
    """MAP_DUPLICATE_KEY."""
    task = _authorised_task(call, ref)
    old = task.values["other_config"]
    if key in old:
        raise E.MAP_DUPLICATE_KEY("task", "other_config", ref, key)
    call.update(ref, other_config={**old, key: value})


@handles("task.remove_from_other_config")
def remove_from_other_config(call: CallContext, ref: str, key: str) -> None:
    task = _authorised_task(call, ref)
    call.update(ref, other_config={k: v for k, v in task.values["other_config"].items() if k != key})
