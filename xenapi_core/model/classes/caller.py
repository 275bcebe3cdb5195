"""The class Caller: clients, as rate limits distinguish them."""

from __future__ import annotations

from xenapi_core.ids import NULL_REF
from xenapi_core.model.schema import POOL_ADMIN, POOL_OPERATOR, RO, RW, STATIC, Class, Field, Message, Param
from xenapi_core.model.types import BOOL, DATETIME, FLOAT, INT, STRING, Ref, Set

# fmt: off
me = Param("self", Ref("Caller"))

CALLER = Class(
    "Caller",
    "A client of the API, known by its user agent and address, whose calls can be limited.",
    fields=(
        Field("uuid", STRING, RO, "Unique identifier.", default="", state="prototyped"),
        Field("name_label", STRING, RW, "Name shown to people.", default="", path="name/label", state="prototyped"),
        Field("name_description", STRING, RW, "Free text shown to people.", default="", path="name/description",
              state="prototyped"),
        Field("user_agent", STRING, STATIC, "User agent it shows; empty for any.", default="", state="prototyped"),
        Field("client_ip", STRING, STATIC, "Address it calls from; empty for any.", default="", state="prototyped"),
        Field("last_access", DATETIME, RO, "When it last called, UTC.", default=0, state="prototyped"),
        Field("groups", Set(STRING), RO, "Words that several callers are counted under together.", default=(),
              state="prototyped"),
        Field("rate_limit", Ref("Rate_limit"), RO, "Limit that holds for it, or null.", default=NULL_REF,
              state="prototyped"),
        Field("auto_registered", BOOL, RO, "Whether the server made the record when the client first called.",
              default=False, state="prototyped"),
    ),
    messages=(
        Message("add_group", (me, Param("group", STRING, "the word")), None, "Count the caller under one more word.",
                role=POOL_OPERATOR, state="prototyped"),
        Message("remove_group", (me, Param("group", STRING, "the word")), None,
                "Count the caller under a word no more.", role=POOL_OPERATOR, state="prototyped"),
        Message("query_token_usage", (me,), FLOAT, "How many tokens of its limit the caller has used.",
                role=POOL_OPERATOR, state="prototyped"),
        Message("query_call_count", (me,), INT, "How many calls the caller has made.", role=POOL_OPERATOR,
                state="prototyped"),
        Message("query_group_token_usage", (Param("group", STRING, "the word"),), FLOAT,
                "How many tokens the callers of a group have used.", role=POOL_OPERATOR, state="prototyped"),
        Message("query_group_call_count", (Param("group", STRING, "the word"),), INT,
                "How many calls the callers of a group have made.", role=POOL_OPERATOR, state="prototyped"),
        Message("query_all_usage", (), Set(Set(STRING)), "What every caller has used, as rows.", role=POOL_OPERATOR,
                state="prototyped"),
    ),
    creatable=True,
    state="prototyped",
    role=POOL_ADMIN,
)
# fmt: on
