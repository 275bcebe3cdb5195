"""The class LVHD: settings of storage on LVM."""

from __future__ import annotations

from xenapi_core.model.schema import POOL_ADMIN, RO, Class, Field, Message, Param
from xenapi_core.model.types import INT, STRING, Ref

# fmt: off
LVHD = Class(
    "LVHD",
    "Storage on LVM with VHD disks, as far as it differs from other storage.",
    fields=(
        Field("uuid", STRING, RO, "Unique identifier.", default=""),
    ),
    messages=(
        Message("enable_thin_provisioning", (Param("host", Ref("host"), "the host"), Param("SR", Ref("SR")),
                Param("initial_allocation", INT, "in bytes"), Param("allocation_quantum", INT, "in bytes")), STRING,
                "Have the SR allocate space as disks grow; sizes are in bytes.", role=POOL_ADMIN),
    ),
    get_all=False,
)
# fmt: on
