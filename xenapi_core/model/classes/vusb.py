"""The class VUSB: USB devices of VMs."""

from __future__ import annotations

from xenapi_core.ids import NULL_REF
from xenapi_core.model.enums import VUSB_OPERATIONS
from xenapi_core.model.passthrough_lifecycle import allowed_vusb_operations
from xenapi_core.model.schema import POOL_ADMIN, RO, RW, Class, Field, Message, Param
from xenapi_core.model.types import BOOL, STRING, STRING_MAP, Map, Ref, Set

# fmt: off
me = Param("self", Ref("VUSB"))

VUSB = Class(
    "VUSB",
    "A USB device of a group, passed to a VM.",
    fields=(
        Field("uuid", STRING, RO, "Unique identifier.", default=""),
        Field("allowed_operations", Set(VUSB_OPERATIONS), RO, "Operations that may be requested now.", default=(),
              computed=allowed_vusb_operations, follows={"VM": ("power_state",)}, persist=False),
        Field("current_operations", Map(STRING, VUSB_OPERATIONS), RO, "Operations in progress, by task.", default={},
              persist=False),
        Field("VM", Ref("VM"), RO, "VM that has it.", default=NULL_REF),
        Field("USB_group", Ref("USB_group"), RO, "Group of devices of which one is passed to the VM.",
              default=NULL_REF),
        Field("other_config", STRING_MAP, RW, "Free-form settings of clients.", default={}),
        Field("currently_attached", BOOL, RO, "Whether the running VM has it now.", default=False),
    ),
    messages=(
        Message("create", (Param("VM", Ref("VM")), Param("USB_group", Ref("USB_group")),
                Param("other_config", STRING_MAP, default={})), Ref("VUSB"),
                "Give a halted VM a USB device of a group.", role=POOL_ADMIN),
        Message("unplug", (me,), None, "Take the device away from the running VM.", role=POOL_ADMIN,
                operation="unplug"),
        Message("destroy", (me,), None, "Remove the device from the VM's configuration.", role=POOL_ADMIN),
    ),
    role=POOL_ADMIN,
)
# fmt: on
