"""The class crashdump: memory of VMs that crashed."""

from __future__ import annotations

from xenapi_core.model.schema import POOL_OPERATOR, RO, RW, STATIC, Class, Field, Message, Param
from xenapi_core.model.types import STRING, STRING_MAP, Ref

# fmt: off
me = Param("self", Ref("crashdump"))

CRASHDUMP = Class(
    "crashdump",
    "A dump of the memory of a VM that crashed.",
    fields=(
        Field("uuid", STRING, RO, "Unique identifier.", default=""),
        Field("VM", Ref("VM"), STATIC, "VM that crashed."),
        Field("VDI", Ref("VDI"), STATIC, "Disk that holds the dump."),
        Field("other_config", STRING_MAP, RW, "Free-form settings of clients.", default={}),
    ),
    messages=(
        Message("destroy", (me,), None, "Remove the dump and its disk.", role=POOL_OPERATOR),
    ),
    state="deprecated",
)
# fmt: on
