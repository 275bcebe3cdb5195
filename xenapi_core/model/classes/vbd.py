"""The class VBD: disks and drives of VMs."""

from __future__ import annotations

from xenapi_core.errors import E
from xenapi_core.ids import NULL_REF
from xenapi_core.model.device_lifecycle import allowed_vbd_operations
from xenapi_core.model.enums import VBD_MODE, VBD_OPERATIONS, VBD_TYPE
from xenapi_core.model.legacy_properties import vbd_properties
from xenapi_core.model.schema import RO, RW, STATIC, VM_ADMIN, VM_OPERATOR, Class, Field, Message, Param
from xenapi_core.model.types import BOOL, INT, STRING, STRING_MAP, Map, Ref, Set

# fmt: off
me = Param("self", Ref("VBD"))

VBD = Class(
    "VBD",
    "A virtual block device: the attachment of one disk image to one VM.",
    fields=(
        # identity
        Field("uuid", STRING, RO, "Identity of the device.", default=""),
        Field("allowed_operations", Set(VBD_OPERATIONS), RO, "Operations that may be requested in the present state.",
              default=(), computed=allowed_vbd_operations, follows={"VM": ("power_state", "current_operations")},
              persist=False),
        Field("current_operations", Map(STRING, VBD_OPERATIONS), RO,
              "Tasks at work on the device, each with the operation it performs.", default={}, persist=False),
        # what it joins
        Field("VM", Ref("VM"), STATIC, "VM the device belongs to."),
        Field("VDI", Ref("VDI"), STATIC, "Disk in the device, or null for an empty drive."),
        Field("device", STRING, STATIC,
              "Name under which the running guest sees it, such as xvda; empty until it is attached.", default=""),
        Field("userdevice", STRING, RW,
              'Position the client chose: a number such as 0, or a name such as hda; "autodetect" takes a free one.'),
        Field("bootable", BOOL, RW, "Whether a paravirtual guest boots from it."),
        Field("mode", VBD_MODE, STATIC, "Whether the guest may write."),
        Field("type", VBD_TYPE, RW, "Whether it is a disk, an optical drive or a floppy drive."),
        Field("unpluggable", BOOL, RW, "Whether it may be detached while the guest runs.", default=True),
        Field("storage_lock", BOOL, RO, "Whether the storage below is locked.", default=False),
        Field("empty", BOOL, STATIC, "Whether a drive holds no medium."),
        Field("reserved", BOOL, RO, "Whether a starting VM has claimed the device.", default=False, internal=True),
        Field("other_config", STRING_MAP, RW, 'Free settings of clients; "owner" marks disks that go with the VM.'),
        # the running device
        Field("currently_attached", BOOL, STATIC, "Whether the running or suspended guest has the device.",
              default=False),
        Field("status_code", INT, RO, "Error code of the last attach or detach.", default=0),
        Field("status_detail", STRING, RO, "Text to the last attach or detach.", default=""),
        Field("runtime_properties", STRING_MAP, RO, "Properties of the running device, such as its handle.",
              default={}, computed=vbd_properties, follows={"VM": ("domid",)}),
        Field("qos_algorithm_type", STRING, RW, "Way the disk's share of input and output is limited, such as ionice.",
              path="qos/algorithm_type"),
        Field("qos_algorithm_params", STRING_MAP, RW, "Parameters of that limit, such as sched and class.",
              path="qos/algorithm_params"),
        Field("qos_supported_algorithms", Set(STRING), RO, "Limits this device can have.", default=(),
              path="qos/supported_algorithms"),
        Field("metrics", Ref("VBD_metrics"), RO, "Measurements of the device; data sources replace it.",
              default=NULL_REF, state="removed"),
    ),
    messages=(
        Message("eject", (Param("vbd", Ref("VBD")),), None, "Take the medium out of a drive and leave it empty.",
                role=VM_OPERATOR, operation="eject", errors=(E.VBD_NOT_REMOVABLE_MEDIA, E.VBD_IS_EMPTY)),
        Message("insert", (Param("vbd", Ref("VBD")), Param("vdi", Ref("VDI"))), None,
                "Put a disk image into an empty drive.", role=VM_OPERATOR, operation="insert",
                errors=(E.VBD_NOT_REMOVABLE_MEDIA, E.VBD_NOT_EMPTY)),
        Message("plug", (me,), None, "Attach the device to the running VM.", role=VM_ADMIN, operation="plug"),
        Message("unplug", (me,), None, "Detach the device from the running VM, when the guest agrees.", role=VM_ADMIN,
                operation="unplug", errors=(E.DEVICE_DETACH_REJECTED, E.DEVICE_ALREADY_DETACHED)),
        Message("unplug_force", (me,), None, "Detach the device from the running VM, whether or not the guest agrees.",
                role=VM_ADMIN, operation="unplug_force"),
        Message("unplug_force_no_safety_check", (me,), None,
                "Detach the device without looking at the guest's drivers.", role=VM_ADMIN, operation="unplug_force",
                hidden=True, state="deprecated"),
        Message("assert_attachable", (me,), None, "Raise what would make plug fail.", role=VM_ADMIN),
        Message("pause", (me,), STRING, "Stop input and output of the device; gives a token for unpause.",
                role=VM_ADMIN, operation="pause", hidden=True),
        Message("unpause", (me, Param("token", STRING, default="")), None, "Let input and output of the device go on.",
                role=VM_ADMIN, operation="unpause", hidden=True),
        Message("set_mode", (me, Param("value", VBD_MODE)), None,
                "Choose whether the guest may write; only while the VM is halted.", role=VM_ADMIN),
    ),
    creatable=True,
    role=VM_ADMIN,
)
