"""The class USB_group: groups of USB devices of a pool that are alike."""

from __future__ import annotations

from xenapi_core.model.schema import POOL_ADMIN, RO, RW, Class, Field, Message, Param
from xenapi_core.model.types import STRING, STRING_MAP, Ref, Set

# fmt: off
me = Param("self", Ref("USB_group"))

USB_GROUP = Class(
    "USB_group",
    "USB devices of the pool that can stand for each other.",
    fields=(
        Field("uuid", STRING, RO, "Unique identifier.", default=""),
        Field("name_label", STRING, RW, "Name shown to people.", default="", path="name/label"),
        Field("name_description", STRING, RW, "Free text shown to people.", default="", path="name/description"),
        Field("PUSBs", Set(Ref("PUSB")), RO, "Devices of the group.", default=(), inverse="PUSB.USB_group"),
        Field("VUSBs", Set(Ref("VUSB")), RO, "Virtual devices that use the group.", default=(),
              inverse="VUSB.USB_group"),
        Field("other_config", STRING_MAP, RW, "Free-form settings of clients.", default={}),
    ),
    messages=(
        Message("create", (Param("name_label", STRING, "its name", default=""),
                Param("name_description", STRING, "its description", default=""),
                Param("other_config", STRING_MAP, default={})), Ref("USB_group"), "Make an empty group.",
                role=POOL_ADMIN),
        Message("destroy", (me,), None, "Remove an empty group.", role=POOL_ADMIN),
    ),
    role=POOL_ADMIN,
)
# fmt: on
