"""The class VGPU_type: kinds of virtual graphics processors."""

from __future__ import annotations

from xenapi_core.model.enums import VGPU_TYPE_IMPLEMENTATION
from xenapi_core.model.schema import RO, STATIC, Class, Field
from xenapi_core.model.types import BOOL, INT, STRING, STRING_MAP, Ref, Set

# fmt: off
VGPU_TYPE = Class(
    "VGPU_type",
    "A kind of virtual graphics processor that physical ones can serve.",
    fields=(
        Field("uuid", STRING, RO, "Unique identifier.", default=""),
        Field("vendor_name", STRING, STATIC, "Name of the vendor.", default=""),
        Field("model_name", STRING, STATIC, "Name of the model.", default=""),
        Field("framebuffer_size", INT, STATIC, "Video memory, in bytes.", default=0),
        Field("max_heads", INT, STATIC, "Most screens it can drive.", default=0),
        Field("max_resolution_x", INT, STATIC, "Most pixels in a row of a screen.", default=0),
        Field("max_resolution_y", INT, STATIC, "Most rows of pixels on a screen.", default=0),
        Field("size", INT, STATIC, "Part of a physical processor's capacity that it takes.", default=0, internal=True),
        Field("supported_on_PGPUs", Set(Ref("PGPU")), RO, "Processors that can serve the type.", default=(),
              inverse="PGPU.supported_VGPU_types"),
        Field("enabled_on_PGPUs", Set(Ref("PGPU")), RO, "Processors that may serve the type.", default=(),
              inverse="PGPU.enabled_VGPU_types"),
        Field("VGPUs", Set(Ref("VGPU")), RO, "Virtual processors of the type.", default=(), inverse="VGPU.type"),
        Field("internal_config", STRING_MAP, STATIC, "Settings for the back end.", default={}, internal=True),
        Field("supported_on_GPU_groups", Set(Ref("GPU_group")), RO, "Groups that can serve the type.", default=(),
              inverse="GPU_group.supported_VGPU_types"),
        Field("enabled_on_GPU_groups", Set(Ref("GPU_group")), RO, "Groups that may serve the type.", default=(),
              inverse="GPU_group.enabled_VGPU_types"),
        Field("implementation", VGPU_TYPE_IMPLEMENTATION, STATIC,
              "How it is done: passed through whole, or shared in the vendor's way.", default="passthrough"),
        Field("identifier", STRING, STATIC, "Key that says when two types are the same.", default=""),
        Field("experimental", BOOL, STATIC, "Whether the type is not yet for production.", default=False),
        Field("compatible_types_in_vm", Set(Ref("VGPU_type")), RO, "Types that a VM may have beside this one.",
              default=()),
        Field("compatible_types_on_pgpu", Set(Ref("VGPU_type")), RO,
              "Types that a processor may serve beside this one.", default=(), internal=True),
    ),
)
# fmt: on
