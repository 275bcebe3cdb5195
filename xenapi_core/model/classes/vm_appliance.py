"""The class VM_appliance: VMs that start and stop together."""

from __future__ import annotations

from xenapi_core.errors import E
from xenapi_core.model.appliance_lifecycle import allowed_appliance_operations
from xenapi_core.model.enums import VM_APPLIANCE_OPERATION
from xenapi_core.model.schema import POOL_OPERATOR, READ_ONLY, RO, RW, Class, Field, Message, Param
from xenapi_core.model.types import BOOL, STRING, Map, Ref, Set

# fmt: off
me = Param("self", Ref("VM_appliance"))

VM_APPLIANCE = Class(
    "VM_appliance",
    "VMs that are started and shut down together, in the order of their start rank.",
    fields=(
        Field("uuid", STRING, RO, "Unique identifier.", default=""),
        Field("name_label", STRING, RW, "Name shown to people.", default="", path="name/label"),
        Field("name_description", STRING, RW, "Free text shown to people.", default="", path="name/description"),
        Field("allowed_operations", Set(VM_APPLIANCE_OPERATION), RO, "Operations that may be requested now.",
              default=(), computed=allowed_appliance_operations, follows={"VMs": ("power_state",)}, persist=False),
        Field("current_operations", Map(STRING, VM_APPLIANCE_OPERATION), RO, "Operations in progress, by task.",
              default={}, persist=False),
        Field("VMs", Set(Ref("VM")), RO, "VMs of the appliance.", default=(), inverse="VM.appliance"),
    ),
    messages=(
        Message("start", (me, Param("paused", BOOL, "leave the VMs paused")), None,
                "Start the VMs rank by rank, each rank when the delays of the one before are over.",
                errors=(E.OPERATION_PARTIALLY_FAILED,), role=POOL_OPERATOR, operation="start"),
        Message("clean_shutdown", (me,), None, "Ask the guests to shut down, in the reverse order.",
                errors=(E.OPERATION_PARTIALLY_FAILED,), role=POOL_OPERATOR, operation="clean_shutdown"),
        Message("hard_shutdown", (me,), None, "Power the VMs off, in the reverse order.",
                errors=(E.OPERATION_PARTIALLY_FAILED,), role=POOL_OPERATOR, operation="hard_shutdown"),
        Message("shutdown", (me,), None, "Shut each VM down, by asking first and by power off if that fails.",
                errors=(E.OPERATION_PARTIALLY_FAILED,), role=POOL_OPERATOR, operation="shutdown"),
        Message("assert_can_be_recovered", (me, Param("session_to", Ref("session"), "a session of the other pool")),
                None, "Raise what keeps the appliance from being recovered into another pool.",
                errors=(E.VM_REQUIRES_SR,), role=READ_ONLY),
        Message("get_SRs_required_for_recovery", (me,
                Param("session_to", Ref("session"), "a session of the other pool")), Set(Ref("SR")),
                "Storage repositories the other pool needs to recover the appliance.", role=READ_ONLY),
        Message("recover", (me, Param("session_to", Ref("session"), "a session of the other pool"),
                Param("force", BOOL, "also if objects of the same uuid exist")), None,
                "Recover the appliance into the pool of another session.", errors=(E.VM_REQUIRES_SR,), role=READ_ONLY),
    ),
    creatable=True,
)
# fmt: on
