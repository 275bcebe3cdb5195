"""The class Rate_limit: limits on the requests of clients."""

from __future__ import annotations

from xenapi_core.model.schema import POOL_ADMIN, RO, RW, STATIC, Class, Field, Message, Param
from xenapi_core.model.types import FLOAT, STRING, Ref, Set

# fmt: off
me = Param("self", Ref("Rate_limit"))

RATE_LIMIT = Class(
    "Rate_limit",
    "A limit on the calls of some clients: a bucket of tokens that refills at a steady rate.",
    fields=(
        Field("uuid", STRING, RO, "Unique identifier.", default="", state="prototyped"),
        Field("name_label", STRING, RW, "Name shown to people.", default="", path="name/label", state="prototyped"),
        Field("name_description", STRING, RW, "Free text shown to people.", default="", path="name/description",
              state="prototyped"),
        Field("callers", Set(Ref("Caller")), RO, "Clients that share the limit.", default=(),
              inverse="Caller.rate_limit", state="prototyped"),
        Field("burst_size", FLOAT, STATIC, "How many tokens the bucket holds.", default=0.0, state="prototyped"),
        Field("fill_rate", FLOAT, STATIC, "How many tokens are added in a second.", default=0.0, state="prototyped"),
    ),
    messages=(
        Message("add_caller", (me, Param("caller", Ref("Caller"), "the client")), None, "Put a client under the limit.",
                role=POOL_ADMIN, state="prototyped"),
        Message("remove_caller", (me, Param("caller", Ref("Caller"), "the client")), None,
                "Free a client of the limit.", role=POOL_ADMIN, state="prototyped"),
        Message("set_burst_size", (me, Param("value", FLOAT)), None, "Set how many tokens the bucket holds.",
                role=POOL_ADMIN, state="prototyped"),
        Message("set_fill_rate", (me, Param("value", FLOAT)), None, "Set how many tokens are added in a second.",
                role=POOL_ADMIN, state="prototyped"),
    ),
    creatable=True,
    state="prototyped",
    role=POOL_ADMIN,
)
# fmt: on
