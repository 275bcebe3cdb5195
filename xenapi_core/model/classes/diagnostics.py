"""The class Diagnostics: reports about the server process, for its developers."""

from __future__ import annotations

from xenapi_core.model.schema import POOL_OPERATOR, Class, Message, Param
from xenapi_core.model.types import STRING, STRING_MAP, Ref, Set

# fmt: off
DIAGNOSTICS = Class(
    "Diagnostics",
    "Questions about the inside of the server.",
    fields=(),
    messages=(
        Message("gc_compact", (Param("host", Ref("host"), "the host"),), None,
                "Compact the memory of the server on a host.", role=POOL_OPERATOR, hidden=True),
        Message("gc_stats", (Param("host", Ref("host"), "the host"),), STRING_MAP, "Figures of memory use on a host.",
                role=POOL_OPERATOR, hidden=True),
        Message("db_stats", (), STRING_MAP, "How often the database was locked, and for how long.", role=POOL_OPERATOR,
                hidden=True),
        Message("network_stats", (Param("host", Ref("host"), "the host"), Param("params", STRING_MAP, "what to show")),
                Set(Set(STRING)), "Figures of the calls a host has answered, as rows.", role=POOL_OPERATOR,
                hidden=True),
    ),
    get_all=False,
    events=False,
    persist=False,
    in_database=False,
    has_records=False,
)
# fmt: on
