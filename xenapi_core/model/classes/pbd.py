"""The PBD: how one host reaches one SR."""

from __future__ import annotations

from xenapi_core.errors import E
from xenapi_core.model.schema import POOL_OPERATOR, RO, RW, STATIC, Class, Field, Message, Param
from xenapi_core.model.types import BOOL, STRING, STRING_MAP, Ref

me = Param("self", Ref("PBD"), "the connection")

# fmt: off
PBD = Class(
    "PBD",
    "The way one host reaches one SR: the connection between the two.",
    fields=(
        Field("uuid", STRING, RO, "Unique identifier.", default=""),
        Field("host", Ref("host"), STATIC, "The host that reaches the SR this way."),
        Field("SR", Ref("SR"), STATIC, "The storage repository being reached."),
        Field("device_config", STRING_MAP, STATIC,
              "What the storage back end needs to connect: server, path, device, credentials."),
        Field("currently_attached", BOOL, RO, "True while the SR is connected on that host.", default=False),
        Field("other_config", STRING_MAP, RW, "Free-form settings of clients.", default={}),
    ),
    messages=(
        Message("plug", (me,), None, "Connect the SR on this host; nothing happens if it already is.",
                errors=(E.SR_UNKNOWN_DRIVER,), role=POOL_OPERATOR),
        Message("unplug", (me,), None, "Disconnect the SR from this host; refused while a disk on it is in use there.",
                role=POOL_OPERATOR),
        Message("set_device_config", (me, Param("value", STRING_MAP)), None,
                "Replace the connection settings; they count from the next plug.", role=POOL_OPERATOR, secret=True),
    ),
    creatable=True,
    create_errors=(E.PBD_EXISTS, E.VALUE_NOT_SUPPORTED),
    destroy_errors=(E.OPERATION_NOT_ALLOWED,),
)
# fmt: on
