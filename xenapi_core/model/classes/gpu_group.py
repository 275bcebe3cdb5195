"""The class GPU_group: groups of graphics processors of a pool that are alike."""

from __future__ import annotations

from xenapi_core.model.enums import ALLOCATION_ALGORITHM
from xenapi_core.model.schema import POOL_OPERATOR, READ_ONLY, RO, RW, Class, Field, Message, Param
from xenapi_core.model.types import INT, STRING, STRING_MAP, Ref, Set

# fmt: off
me = Param("self", Ref("GPU_group"))

GPU_GROUP = Class(
    "GPU_group",
    "Graphics processors of the pool that can stand for each other.",
    fields=(
        Field("uuid", STRING, RO, "Unique identifier.", default=""),
        Field("name_label", STRING, RW, "Name shown to people.", default="", path="name/label"),
        Field("name_description", STRING, RW, "Free text shown to people.", default="", path="name/description"),
        Field("PGPUs", Set(Ref("PGPU")), RO, "Processors of the group.", default=(), inverse="PGPU.GPU_group"),
        Field("VGPUs", Set(Ref("VGPU")), RO, "Virtual processors that use the group.", default=(),
              inverse="VGPU.GPU_group"),
        Field("GPU_types", Set(STRING), RO, "Vendor and device numbers of the group's processors.", default=()),
        Field("other_config", STRING_MAP, RW, "Free-form settings of clients.", default={}),
        Field("allocation_algorithm", ALLOCATION_ALGORITHM, RW,
              "Whether virtual processors are spread over the group or packed tightly.", default="depth_first"),
        Field("supported_VGPU_types", Set(Ref("VGPU_type")), RO,
              "Types of virtual processors that some processor of the group can serve.", default=()),
        Field("enabled_VGPU_types", Set(Ref("VGPU_type")), RO,
              "Types of virtual processors that some processor of the group may serve.", default=()),
    ),
    messages=(
        Message("create", (Param("name_label", STRING, "its name", default=""),
                Param("name_description", STRING, "its description", default=""),
                Param("other_config", STRING_MAP, default={})), Ref("GPU_group"), "Make an empty group.",
                role=POOL_OPERATOR),
        Message("destroy", (me,), None, "Remove an empty group.", role=POOL_OPERATOR),
        Message("update_enabled_VGPU_types", (me,), None, "Work out the allowed types from the group's processors.",
                role=POOL_OPERATOR, hidden=True),
        Message("update_supported_VGPU_types", (me,), None, "Work out the possible types from the group's processors.",
                role=POOL_OPERATOR, hidden=True),
        Message("get_remaining_capacity", (me, Param("vgpu_type", Ref("VGPU_type"), "the type")), INT,
                "How many more virtual processors of a type the group can serve now.", role=READ_ONLY),
    ),
)
# fmt: on
