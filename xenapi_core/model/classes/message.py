"""The class message: notes about objects for administrators."""

from __future__ import annotations

from xenapi_core.model.enums import CLS
from xenapi_core.model.schema import POOL_OPERATOR, READ_ONLY, RO, Class, Field, Message, Param
from xenapi_core.model.types import DATETIME, INT, STRING, STRING_MAP, Map, Record, Ref, Set

# fmt: off
MESSAGE = Class(
    "message",
    "A note to people about something that happened to one object; kept until it is destroyed.",
    fields=(
        Field("uuid", STRING, RO, "Identity of the message.", default=""),
        Field("name", STRING, RO, "What kind of message it is, such as VM_STARTED.", default=""),
        Field("priority", INT, RO, "How urgent it is; 1 is the most urgent.", default=0),
        Field("cls", CLS, RO, "Class of the object it is about.", default="VM"),
        Field("obj_uuid", STRING, RO, "Identity of the object it is about.", default=""),
        Field("timestamp", DATETIME, RO, "When it was written, UTC.", default=0),
        Field("body", STRING, RO, "The text.", default=""),
    ),
    messages=(
        # writing and removing
        Message("create",
                (Param("name", STRING), Param("priority", INT), Param("cls", CLS), Param("obj_uuid", STRING),
                 Param("body", STRING)), Ref("message"), "Write a message about an object.", role=POOL_OPERATOR,
                asynchronous=False),
        Message("destroy", (Param("self", Ref("message")),), None, "Remove a message.", role=POOL_OPERATOR,
                asynchronous=False),
        Message("destroy_many", (Param("messages", Set(Ref("message"))),), None, "Remove several messages.",
                role=POOL_OPERATOR, state="prototyped"),
        Message("destroy_all", (Param("filters", STRING_MAP),), None, "Remove all messages that fit the filters.",
                role=POOL_OPERATOR, state="prototyped"),
        # reading
        Message("get", (Param("cls", CLS), Param("obj_uuid", STRING), Param("since", DATETIME)),
                Map(Ref("message"), Record("message")),
                "Messages about one object written since an instant, by reference.", role=READ_ONLY,
                asynchronous=False),
        Message("get_all", (), Set(Ref("message")), "References of all messages.", role=READ_ONLY, asynchronous=False),
        Message("get_since", (Param("since", DATETIME),), Map(Ref("message"), Record("message")),
                "Messages written since an instant, by reference.", role=READ_ONLY, asynchronous=False),
        Message("get_record", (Param("self", Ref("message")),), Record("message"), "All fields of one message.",
                role=READ_ONLY, asynchronous=False),
        Message("get_by_uuid", (Param("uuid", STRING),), Ref("message"), "The message with that uuid.", role=READ_ONLY,
                asynchronous=False),
        Message("get_all_records", (), Map(Ref("message"), Record("message")), "All messages by reference.",
                role=READ_ONLY, asynchronous=False),
        Message("get_all_records_where", (Param("expr", STRING),), Map(Ref("message"), Record("message")),
                "Messages that match, by reference.", role=READ_ONLY, asynchronous=False),
    ),
    get_all=False,
    in_database=False,  # but journalled: the reference server keeps messages too, in files beside its database
)
