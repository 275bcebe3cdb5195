"""The class VM_group: VMs that placement looks at together."""

from __future__ import annotations

from xenapi_core.model.enums import PLACEMENT_POLICY
from xenapi_core.model.schema import RO, RW, STATIC, VM_ADMIN, Class, Field
from xenapi_core.model.types import STRING, Ref, Set

# fmt: off
VM_GROUP = Class(
    "VM_group",
    "VMs that are to be placed with regard to each other.",
    fields=(
        Field("uuid", STRING, RO, "Unique identifier.", default=""),
        Field("name_label", STRING, RW, "Name shown to people.", default="", path="name/label"),
        Field("name_description", STRING, RW, "Free text shown to people.", default="", path="name/description"),
        Field("placement", PLACEMENT_POLICY, STATIC, "Whether the VMs shall run on different hosts.", default="normal",
              state="prototyped"),
        Field("VMs", Set(Ref("VM")), RO, "VMs of the group.", default=(), inverse="VM.groups", state="prototyped"),
    ),
    creatable=True,
    state="prototyped",
    role=VM_ADMIN,
)
# fmt: on
