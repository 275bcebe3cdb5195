"""The class PGPU: graphics processors of hosts."""

from __future__ import annotations

from xenapi_core.ids import NULL_REF
from xenapi_core.model.enums import PCI_DOM0_ACCESS
from xenapi_core.model.schema import POOL_OPERATOR, READ_ONLY, RO, RW, STATIC, Class, Field, Message, Param
from xenapi_core.model.types import BOOL, INT, STRING, STRING_MAP, Map, Ref, Set

# fmt: off
me = Param("self", Ref("PGPU"))

PGPU = Class(
    "PGPU",
    "A graphics processor of a host.",
    fields=(
        Field("uuid", STRING, RO, "Unique identifier.", default=""),
        Field("PCI", Ref("PCI"), STATIC, "The PCI device.", default=NULL_REF),
        Field("GPU_group", Ref("GPU_group"), STATIC, "Group of like processors that this one belongs to.",
              default=NULL_REF),
        Field("host", Ref("host"), RO, "Host that has the processor.", default=NULL_REF),
        Field("other_config", STRING_MAP, RW, "Free-form settings of clients.", default={}),
        Field("supported_VGPU_types", Set(Ref("VGPU_type")), RO, "Types of virtual processors it can serve.",
              default=()),
        Field("enabled_VGPU_types", Set(Ref("VGPU_type")), RO, "Types of virtual processors it may serve.", default=()),
        Field("resident_VGPUs", Set(Ref("VGPU")), RO, "Virtual processors that run on it.", default=(),
              inverse="VGPU.resident_on"),
        Field("size", INT, STATIC, "Its capacity, in units that sizes of virtual processors count in.", default=1 << 20,
              internal=True),
        Field("supported_VGPU_max_capacities", Map(Ref("VGPU_type"), INT), RO,
              "How many virtual processors of each type it can serve at once.", default={}),
        Field("dom0_access", PCI_DOM0_ACCESS, RO,
              "Whether the host itself may use the processor; PCI.get_dom0_access_status replaces it.",
              default="enabled", state="deprecated"),
        Field("is_system_display_device", BOOL, RO, "Whether the screen of the host hangs on it.", default=False),
        Field("compatibility_metadata", STRING_MAP, RO, "What decides whether a virtual processor can migrate to it.",
              default={}),
    ),
    messages=(
        Message("add_enabled_VGPU_types", (me, Param("value", Ref("VGPU_type"))), None, "Allow one more type.",
                role=POOL_OPERATOR),
        Message("remove_enabled_VGPU_types", (me, Param("value", Ref("VGPU_type"))), None, "Forbid a type.",
                role=POOL_OPERATOR),
        Message("set_enabled_VGPU_types", (me, Param("value", Set(Ref("VGPU_type")))), None,
                "Replace the types that are allowed.", role=POOL_OPERATOR),
        Message("set_GPU_group", (me, Param("value", Ref("GPU_group"))), None, "Put the processor into another group.",
                role=POOL_OPERATOR),
        Message("get_remaining_capacity", (me, Param("vgpu_type", Ref("VGPU_type"), "the type")), INT,
                "How many more virtual processors of a type it can serve now.", role=READ_ONLY),
        Message("enable_dom0_access", (me,), PCI_DOM0_ACCESS,
                "Let the host use the processor, from the next reboot on.", role=POOL_OPERATOR, state="deprecated"),
        Message("disable_dom0_access", (me,), PCI_DOM0_ACCESS,
                "Keep the processor from the host, from the next reboot on.", role=POOL_OPERATOR, state="deprecated"),
    ),
)
# fmt: on
