"""The class Host_driver: device drivers of a host that come in variants."""

from __future__ import annotations

from xenapi_core.ids import NULL_REF
from xenapi_core.model.schema import POOL_ADMIN, RO, STATIC, Class, Field, Message, Param
from xenapi_core.model.types import STRING, Ref, Set

# fmt: off
me = Param("self", Ref("Host_driver"))

HOST_DRIVER = Class(
    "Host_driver",
    "A device driver of a host that comes in several variants.",
    fields=(
        Field("uuid", STRING, RO, "Unique identifier.", default="", state="prototyped"),
        Field("host", Ref("host"), STATIC, "Host that has the driver.", default=NULL_REF, state="prototyped"),
        Field("name", STRING, RO, "Name of the driver.", default="", state="prototyped"),
        Field("friendly_name", STRING, RO, "Name of the driver for people.", default="", state="prototyped"),
        Field("variants", Set(Ref("Driver_variant")), RO, "Variants there are.", default=(),
              inverse="Driver_variant.driver", state="prototyped"),
        Field("active_variant", Ref("Driver_variant"), RO, "Variant that is loaded, or null.", default=NULL_REF,
              state="prototyped"),
        Field("selected_variant", Ref("Driver_variant"), RO, "Variant that is loaded from the next boot on, or null.",
              default=NULL_REF, state="prototyped"),
        Field("type", STRING, RO, "Kind of device the driver is for.", default="", state="prototyped"),
        Field("description", STRING, RO, "What the driver is for.", default="", state="prototyped"),
        Field("info", STRING, RO, "More about the driver.", default="", state="prototyped"),
    ),
    messages=(
        Message("select", (me, Param("variant", Ref("Driver_variant"), "the variant")), None,
                "Choose the variant that is loaded from the next boot on.", role=POOL_ADMIN, state="prototyped"),
        Message("deselect", (me,), None, "Choose no variant.", role=POOL_ADMIN, state="prototyped"),
        Message("rescan", (Param("host", Ref("host"), "the host"),), None,
                "Read again which drivers and variants a host has.", role=POOL_ADMIN, state="prototyped"),
    ),
    state="prototyped",
)
# fmt: on
