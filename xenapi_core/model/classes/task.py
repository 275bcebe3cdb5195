"""The class task: work in progress and how it ended."""

from __future__ import annotations

from xenapi_core.errors import E
from xenapi_core.ids import NULL_REF
from xenapi_core.model.device_lifecycle import allowed_task_operations
from xenapi_core.model.enums import TASK_ALLOWED_OPERATIONS, TASK_STATUS_TYPE
from xenapi_core.model.schema import POOL_ADMIN, READ_ONLY, RO, VM_OPERATOR, Class, Field, Message, Param
from xenapi_core.model.types import BOOL, DATETIME, FLOAT, INT, STRING, STRING_MAP, Map, Ref, Set

# fmt: off
me = Param("self", Ref("task"))

KEY_ROLES = {"applies_to": VM_OPERATOR, "XenCenterUUID": VM_OPERATOR, "XenCenterMeddlingActionTitle": VM_OPERATOR}

TASK = Class(
    "task",
    "Work in progress: how far it is, and how it ended.",
    fields=(
        Field("uuid", STRING, RO, "Identity of the task.", default=""),
        Field("name_label", STRING, RO, "Name of the call that is at work, such as Async.VM.start.", default="",
              path="name/label"),
        Field("name_description", STRING, RO, "Free text about the task.", default="", path="name/description"),
        Field("allowed_operations", Set(TASK_ALLOWED_OPERATIONS), RO,
              "Whether the task may be cancelled or destroyed now.", default=(), computed=allowed_task_operations,
              persist=False),
        Field("current_operations", Map(STRING, TASK_ALLOWED_OPERATIONS), RO,
              "Tasks at work on this task, each with the operation it performs.", default={}, persist=False),
        Field("created", DATETIME, RO, "When the task began, UTC.", default=0),
        Field("finished", DATETIME, RO, "When the task ended, UTC; the epoch while it runs.", default=0),
        Field("status", TASK_STATUS_TYPE, RO, "Whether the task runs, has succeeded, failed or was cancelled.",
              default="pending"),
        Field("session", Ref("session"), RO, "Session that started the task.", default=NULL_REF, internal=True),
        Field("resident_on", Ref("host"), RO, "Host that does the work.", default=NULL_REF),
        Field("progress", FLOAT, RO, "Part of the work that is done, 0 to 1.", default=0.0),
        Field("externalpid", INT, RO, "Process that does the work outside the server; 0 for none.", default=0,
              internal=True),
        Field("stunnelpid", INT, RO, "Process that carries the connection to another host; 0 for none.", default=0,
              internal=True, state="deprecated"),
        Field("forwarded", BOOL, RO, "Whether another host does the work.", default=False, internal=True),
        Field("forwarded_to", Ref("host"), RO, "Host the work was passed to, or null.", default=NULL_REF,
              internal=True),
        Field("type", STRING, RO, "Type of the result, <none/> while there is none.", default="<none/>"),
        Field("result", STRING, RO, "Result of a successful task, as XML-RPC text; empty otherwise.", default=""),
        Field("error_info", Set(STRING), RO, "Error code and parameters of a failed task.", default=()),
        Field("other_config", STRING_MAP, RO, "Free settings of clients.", default={}),
        Field("subtask_of", Ref("task"), RO, "Task this one is a part of, or null.", default=NULL_REF),
        Field("subtasks", Set(Ref("task")), RO, "Tasks that are parts of this one.", default=(),
              inverse="task.subtask_of"),
        Field("backtrace", STRING, RO, "Where in the program a failure arose, as text; () for nowhere.", default="()"),
    ),
    messages=(
        Message("create", (Param("label", STRING), Param("description", STRING)), Ref("task"),
                "Make a task for work that the client does itself.", role=READ_ONLY, asynchronous=False),
        Message("destroy", (me,), None, "Remove a task; one that still runs goes when it has ended.", role=READ_ONLY,
                asynchronous=False),
        Message("cancel", (Param("task", Ref("task")),), None,
                "Ask a task to stop at its next safe point; it may still succeed.", role=READ_ONLY,
                errors=(E.OPERATION_NOT_ALLOWED,)),
        # for the owner of a task made with create
        Message("set_status", (me, Param("value", TASK_STATUS_TYPE)), None, "Record how the task stands.",
                role=READ_ONLY, asynchronous=False),
        Message("set_progress", (me, Param("value", FLOAT)), None, "Record how far the work is, 0 to 1.",
                role=READ_ONLY, asynchronous=False),
        Message("set_result", (me, Param("value", STRING)), None, "Record the result.", role=READ_ONLY,
                asynchronous=False),
        Message("set_error_info", (me, Param("value", Set(STRING))), None, "Record an error code and its parameters.",
                role=READ_ONLY, asynchronous=False),
        Message("set_other_config", (me, Param("value", STRING_MAP)), None, "Replace all keys of other_config.",
                role=READ_ONLY, state="prototyped"),
        Message("add_to_other_config", (me, Param("key", STRING), Param("value", STRING)), None,
                "Add a key to other_config.", role=READ_ONLY, state="prototyped", key_roles=KEY_ROLES),
        Message("remove_from_other_config", (me, Param("key", STRING)), None, "Remove a key of other_config.",
                role=READ_ONLY, state="prototyped", key_roles=KEY_ROLES),
    ),
    persist=False,
    role=POOL_ADMIN,
)
