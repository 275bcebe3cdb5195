"""The class blob: binary data attached to objects."""

from __future__ import annotations

from xenapi_core.model.schema import POOL_OPERATOR, RO, RW, STATIC, Class, Field, Message, Param
from xenapi_core.model.types import BOOL, DATETIME, INT, STRING, Ref

# fmt: off
me = Param("self", Ref("blob"))

BLOB = Class(
    "blob",
    "A piece of binary data attached to another object, read and written over HTTP.",
    fields=(
        Field("uuid", STRING, RO, "Unique identifier.", default=""),
        Field("name_label", STRING, RW, "Name shown to people.", default="", path="name/label"),
        Field("name_description", STRING, RW, "Free text shown to people.", default="", path="name/description"),
        Field("size", INT, RO, "Size of the data, in bytes.", default=0),
        Field("public", BOOL, RW, "Whether the data can be read without login.", default=False),
        Field("last_updated", DATETIME, STATIC, "When the data was last written, UTC."),
        Field("mime_type", STRING, STATIC, "Content type of the data."),
    ),
    messages=(
        Message("create", (Param("mime_type", STRING, "content type"),
                Param("public", BOOL, "readable without login", default=False)), Ref("blob"), "Make an empty blob.",
                role=POOL_OPERATOR, asynchronous=False),
        Message("destroy", (me,), None, "Remove the blob and its data.", role=POOL_OPERATOR, asynchronous=False),
    ),
)
# fmt: on
