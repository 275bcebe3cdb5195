"""The class host_crashdump: what a host has saved of its crash."""

from __future__ import annotations

from xenapi_core.model.schema import POOL_OPERATOR, RO, RW, STATIC, Class, Field, Message, Param
from xenapi_core.model.types import DATETIME, INT, STRING, STRING_MAP, Ref

# fmt: off
me = Param("self", Ref("host_crashdump"))

HOST_CRASHDUMP = Class(
    "host_crashdump",
    "A dump that a host wrote when it crashed.",
    fields=(
        Field("uuid", STRING, RO, "Unique identifier.", default=""),
        Field("host", Ref("host"), STATIC, "Host that crashed."),
        Field("timestamp", DATETIME, RO, "When it crashed, UTC.", default=0),
        Field("size", INT, RO, "Size of the dump, in bytes.", default=0),
        Field("filename", STRING, STATIC, "File of the dump on the host.", internal=True),
        Field("other_config", STRING_MAP, RW, "Free-form settings of clients.", default={}),
    ),
    messages=(
        Message("destroy", (me,), None, "Remove the dump from the host.", role=POOL_OPERATOR),
        Message("upload", (me, Param("url", STRING, "where to"),
                Param("options", STRING_MAP, "further settings of the transfer")), None, "Send the dump to a URL.",
                role=POOL_OPERATOR, secret=True),
    ),
)
# fmt: on
