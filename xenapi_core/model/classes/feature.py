"""The class Feature: experimental abilities of hosts."""

from __future__ import annotations

from xenapi_core.ids import NULL_REF
from xenapi_core.model.schema import RO, STATIC, Class, Field
from xenapi_core.model.types import BOOL, STRING, Ref

# fmt: off
FEATURE = Class(
    "Feature",
    "An experimental ability of a host.",
    fields=(
        Field("uuid", STRING, RO, "Unique identifier.", default=""),
        Field("name_label", STRING, STATIC, "Name of the ability.", default="", path="name/label"),
        Field("name_description", STRING, STATIC, "What it does.", default="", path="name/description"),
        Field("enabled", BOOL, RO, "Whether it is on.", default=False),
        Field("experimental", BOOL, STATIC, "Whether it is not yet for production.", default=False),
        Field("version", STRING, STATIC, "Version of the ability.", default="1.0"),
        Field("host", Ref("host"), RO, "Host that has it.", default=NULL_REF),
    ),
)
# fmt: on
