"""The class event: how clients learn of changes."""

from __future__ import annotations

from xenapi_core.errors import E
from xenapi_core.model.enums import EVENT_OPERATION
from xenapi_core.model.schema import POOL_ADMIN, READ_ONLY, RO, STATIC, Class, Field, Message, Param
from xenapi_core.model.types import DATETIME, FLOAT, INT, STRING, Map, Record, Set

# fmt: off
classes = Param("classes", Set(STRING))

EVENT = Class(
    "event",
    "News of one object: it appeared, changed or went away.",
    fields=(
        Field("id", INT, STATIC, "Number of the event; later events have higher ones."),
        Field("timestamp", DATETIME, STATIC, "When it happened, UTC.", state="deprecated"),
        Field("class", STRING, STATIC, "Class of the object."),
        Field("operation", EVENT_OPERATION, STATIC, "Whether the object appeared, changed or went away."),
        Field("ref", STRING, STATIC, "Reference of the object."),
        Field("obj_uuid", STRING, STATIC, "Identity of the object.", state="deprecated"),
        Field("snapshot", Record("<class>"), RO, "Record of the object as it was then; absent when it went away.",
              default={}),
    ),
    messages=(
        # by token: nothing is kept between calls
        Message("from", (classes, Param("token", STRING), Param("timeout", FLOAT)), Record("event_batch"),
                'Events after a token ("" for all objects), waiting at most timeout seconds, and the next token.',
                role=READ_ONLY, asynchronous=False,
                errors=(E.EVENT_FROM_TOKEN_PARSE_FAILURE, E.EVENT_SUBSCRIPTION_PARSE_FAILURE)),
        Message("inject", (Param("class", STRING), Param("ref", STRING)), STRING,
                "Pretend that an object changed; gives a token from which that event is still to come.", role=READ_ONLY,
                asynchronous=False),
        # by registration: the older way
        Message("register", (classes,), None,
                'Add classes to those whose events the session wants; "*" stands for all.', role=READ_ONLY,
                state="deprecated"),
        Message("unregister", (classes,), None, "Remove classes from those whose events the session wants.",
                role=READ_ONLY, state="deprecated"),
        Message("next", (), Set(Record("event")), "Wait without limit for events of the registered classes.",
                role=READ_ONLY, asynchronous=False, state="deprecated",
                errors=(E.SESSION_NOT_REGISTERED, E.EVENTS_LOST, E.EVENT_SUBSCRIPTION_PARSE_FAILURE)),
        Message("get_current_id", (), INT, "Number of the latest event.", role=READ_ONLY, asynchronous=False),
    ),
    get_all=False,
    events=False,
    persist=False,
    in_database=False,
    has_records=False,
    role=POOL_ADMIN,
)

EVENT_BATCH = Class(
    "event_batch",
    "What event.from answers; only part of that answer, and no class of the API reference.",
    fields=(
        Field("events", Set(Record("event")), RO, "The events, oldest first.", default=()),
        Field("valid_ref_counts", Map(STRING, INT), RO, "How many objects there are, by lower-case class.", default={}),
        Field("token", STRING, RO, "What to give to the next call.", default=""),
    ),
    get_all=False,
    events=False,
    persist=False,
    in_database=False,
    has_records=False,
)
# fmt: on
