"""The class host_patch: hotfixes of old releases, as one host has them."""

from __future__ import annotations

from xenapi_core.ids import NULL_REF
from xenapi_core.model.schema import POOL_OPERATOR, RO, RW, STATIC, Class, Field, Message, Param
from xenapi_core.model.types import BOOL, DATETIME, INT, STRING, STRING_MAP, Ref

# fmt: off
me = Param("self", Ref("host_patch"))

HOST_PATCH = Class(
    "host_patch",
    "A hotfix on one host; pool_update replaces it.",
    fields=(
        Field("uuid", STRING, RO, "Unique identifier.", default=""),
        Field("name_label", STRING, STATIC, "Name shown to people.", default="", path="name/label"),
        Field("name_description", STRING, STATIC, "Free text shown to people.", default="", path="name/description"),
        Field("version", STRING, STATIC, "Version of the patch."),
        Field("host", Ref("host"), STATIC, "Host that has the patch."),
        Field("filename", STRING, RO, "File of the patch on the host.", default="", internal=True),
        Field("applied", BOOL, RO, "Whether the patch has been applied.", default=False),
        Field("timestamp_applied", DATETIME, RO, "When it was applied, UTC.", default=0),
        Field("size", INT, RO, "Size of the file, in bytes.", default=0),
        Field("pool_patch", Ref("pool_patch"), STATIC, "The patch as the pool has it, or null.", default=NULL_REF),
        Field("other_config", STRING_MAP, RW, "Free-form settings of clients.", default={}),
    ),
    messages=(
        Message("destroy", (me,), None, "Remove the file of a patch that is not applied.", role=POOL_OPERATOR,
                state="deprecated"),
        Message("apply", (me,), STRING, "Apply the patch; gives the output of its program.", role=POOL_OPERATOR,
                state="deprecated"),
    ),
    state="deprecated",
)
# fmt: on
