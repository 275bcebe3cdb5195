"""The class debug of API 1.0: objects and failures for testing clients."""

from __future__ import annotations

from xenapi_core.model.schema import POOL_ADMIN, READ_ONLY, RO, Class, Field, Message, Param
from xenapi_core.model.types import FLOAT, STRING

# fmt: off
DEBUG = Class(
    "debug",
    "An object without meaning, for testing clients.",
    fields=(Field("uuid", STRING, RO, "Unique identifier.", default=""),),
    messages=(
        Message("return_failure", (), None, "Fail, so that a client can show what it makes of that.", role=READ_ONLY),
        Message("wait", (Param("time", FLOAT, "in seconds"),), None, "Answer after some time.", role=READ_ONLY,
                hidden=True),
    ),
    creatable=True,
    role=POOL_ADMIN,
)
# fmt: on
