"""The class PUSB: USB devices of hosts."""

from __future__ import annotations

from xenapi_core.ids import NULL_REF
from xenapi_core.model.schema import POOL_ADMIN, RO, RW, STATIC, Class, Field, Message, Param
from xenapi_core.model.types import BOOL, FLOAT, STRING, STRING_MAP, Ref

# fmt: off
me = Param("self", Ref("PUSB"))

PUSB = Class(
    "PUSB",
    "A USB device plugged into a host.",
    fields=(
        Field("uuid", STRING, RO, "Unique identifier.", default=""),
        Field("USB_group", Ref("USB_group"), STATIC, "Group of like devices that it belongs to.", default=NULL_REF),
        Field("host", Ref("host"), STATIC, "Host it is plugged into.", default=NULL_REF),
        Field("path", STRING, STATIC, "Port it is plugged into.", default=""),
        Field("vendor_id", STRING, STATIC, "Number of the vendor, hexadecimal.", default=""),
        Field("vendor_desc", STRING, STATIC, "Name of the vendor.", default=""),
        Field("product_id", STRING, STATIC, "Number of the product, hexadecimal.", default=""),
        Field("product_desc", STRING, STATIC, "Name of the product.", default=""),
        Field("serial", STRING, STATIC, "Serial number.", default=""),
        Field("version", STRING, STATIC, "USB version it speaks.", default=""),
        Field("description", STRING, STATIC, "Text that names the device.", default=""),
        Field("passthrough_enabled", BOOL, RO, "Whether it may be passed to VMs.", default=False),
        Field("other_config", STRING_MAP, RW, "Free-form settings of clients.", default={}),
        Field("speed", FLOAT, STATIC, "Speed of the device in Mbit/s; -1 when unknown.", default=-1.0),
    ),
    messages=(
        Message("scan", (Param("host", Ref("host"), "the host"),), None, "Look for USB devices on a host.",
                role=POOL_ADMIN),
        Message("set_passthrough_enabled", (me, Param("value", BOOL)), None, "Allow or forbid that VMs get the device.",
                role=POOL_ADMIN),
    ),
    role=POOL_ADMIN,
)
# fmt: on
