"""The class Driver_variant: variants of a host's device driver."""

from __future__ import annotations

from xenapi_core.ids import NULL_REF
from xenapi_core.model.schema import POOL_ADMIN, RO, Class, Field, Message, Param
from xenapi_core.model.types import BOOL, FLOAT, STRING, Ref

# fmt: off
me = Param("self", Ref("Driver_variant"))

DRIVER_VARIANT = Class(
    "Driver_variant",
    "One variant of a device driver.",
    fields=(
        Field("uuid", STRING, RO, "Unique identifier.", default="", state="prototyped"),
        Field("name", STRING, RO, "Name of the variant.", default="", state="prototyped"),
        Field("driver", Ref("Host_driver"), RO, "The driver.", default=NULL_REF, state="prototyped"),
        Field("version", STRING, RO, "Version of the driver.", default="", state="prototyped"),
        Field("hardware_present", BOOL, RO, "Whether the host has a device for it.", default=False, state="prototyped"),
        Field("priority", FLOAT, RO, "Rank among the variants; the highest is the one to choose.", default=0.0,
              state="prototyped"),
        Field("status", STRING, RO, "How finished it is: production, beta, alpha or unknown.", default="",
              state="prototyped"),
    ),
    messages=(
        Message("select", (me,), None, "Choose this variant from the next boot on.", role=POOL_ADMIN,
                state="prototyped"),
    ),
    state="prototyped",
)
# fmt: on
