"""The class secret: passwords that records refer to."""

from __future__ import annotations

from xenapi_core.model.schema import POOL_OPERATOR, RO, RW, Class, Field, Message, Param
from xenapi_core.model.types import STRING, STRING_MAP, Ref

# fmt: off
SECRET = Class(
    "secret",
    "A password or key that other records name by its uuid, so that they need not hold it.",
    fields=(
        Field("uuid", STRING, RO, "Unique identifier.", default="", reader=POOL_OPERATOR),
        Field("value", STRING, RW, "The password or key.", reader=POOL_OPERATOR, secret=True),
        Field("other_config", STRING_MAP, RW, "Free-form settings of clients.", default={}),
    ),
    messages=(
        Message("introduce", (Param("uuid", STRING), Param("value", STRING),
                Param("other_config", STRING_MAP, default={})), Ref("secret"), "Record a secret under a given uuid.",
                role=POOL_OPERATOR, asynchronous=False, hidden=True, secret=True),
    ),
    creatable=True,
    events=False,
    reader=POOL_OPERATOR,
)
# fmt: on
