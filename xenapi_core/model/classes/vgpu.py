"""The class VGPU: virtual graphics processors."""

from __future__ import annotations

from xenapi_core.ids import NULL_REF
from xenapi_core.model.schema import LOCAL_ROOT, POOL_OPERATOR, RO, RW, Class, Field, Message, Param
from xenapi_core.model.types import BOOL, STRING, STRING_MAP, Ref

# fmt: off
me = Param("self", Ref("VGPU"))

VGPU = Class(
    "VGPU",
    "A virtual graphics processor of a VM.",
    fields=(
        Field("uuid", STRING, RO, "Unique identifier.", default=""),
        Field("VM", Ref("VM"), RO, "VM that has it.", default=NULL_REF),
        Field("GPU_group", Ref("GPU_group"), RO, "Group of physical processors that may serve it.", default=NULL_REF),
        Field("device", STRING, RO, "Its place in the order of the VM's processors.", default="0"),
        Field("currently_attached", BOOL, RO, "Whether the running VM has it now.", default=False),
        Field("other_config", STRING_MAP, RW, "Free-form settings of clients.", default={}),
        Field("type", Ref("VGPU_type"), RO, "What kind of virtual processor it is.", default=NULL_REF),
        Field("resident_on", Ref("PGPU"), RO, "Processor that serves it now, or null.", default=NULL_REF),
        Field("scheduled_to_be_resident_on", Ref("PGPU"), RO,
              "Processor that has set capacity aside for it while the VM starts, or null.", default=NULL_REF),
        Field("compatibility_metadata", STRING_MAP, RO, "What decides where it can migrate to.", default={}),
        Field("extra_args", STRING, RW, "More arguments for its back end.", default=""),
        Field("PCI", Ref("PCI"), RO, "Device passed through for it, or null.", default=NULL_REF),
    ),
    messages=(
        Message("create", (Param("VM", Ref("VM")), Param("GPU_group", Ref("GPU_group"), "the group"),
                Param("device", STRING, "its place", default="0"), Param("other_config", STRING_MAP, default={}),
                Param("type", Ref("VGPU_type"), default=NULL_REF)), Ref("VGPU"),
                "Give a halted VM a virtual graphics processor.", role=POOL_OPERATOR),
        Message("destroy", (me,), None, "Remove a virtual graphics processor from a halted VM.", role=POOL_OPERATOR),
        Message("atomic_set_resident_on", (me, Param("value", Ref("PGPU"))), None,
                "Record which processor serves it, in one step.", role=LOCAL_ROOT, hidden=True, pool_internal=True),
    ),
)
# fmt: on
