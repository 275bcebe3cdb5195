"""PCI devices as API 1.0 knows them: PPCI is a device of a host, DPCI a device passed to a VM."""

from __future__ import annotations

from xenapi_core.ids import NULL_REF
from xenapi_core.model.schema import READ_ONLY, RO, STATIC, Class, Field, Message, Param
from xenapi_core.model.types import INT, STRING, STRING_MAP, Ref

# fmt: off
dpci = Param("self", Ref("DPCI"))

DPCI = Class(
    "DPCI",
    "A PCI device passed to a VM, in the words of API 1.0.",
    fields=(
        Field("uuid", STRING, RO, "Unique identifier.", default=""),
        Field("VM", Ref("VM"), STATIC, "VM that has the device."),
        Field("PPCI", Ref("PPCI"), STATIC, "The device of the host."),
        Field("hotplug_slot", INT, STATIC, "Slot of the VM's bus to plug it into.", default=0),
        Field("virtual_domain", INT, RO, "PCI domain that the guest sees; -1 while it sees none.", default=-1),
        Field("virtual_bus", INT, RO, "Bus that the guest sees; -1 while it sees none.", default=-1),
        Field("virtual_slot", INT, RO, "Slot that the guest sees; -1 while it sees none.", default=-1),
        Field("virtual_func", INT, RO, "Function that the guest sees; -1 while it sees none.", default=-1),
        Field("virtual_name", STRING, RO, "Address that the guest sees, as text.", default=""),
    ),
    messages=(
        Message("get_key", (dpci,), STRING, "Name of the device in a group of devices.", role=READ_ONLY,
                asynchronous=False, hidden=True),
        Message("get_options", (dpci,), STRING_MAP, "Settings of the device.", role=READ_ONLY, asynchronous=False,
                hidden=True),
    ),
    creatable=True,
)

PPCI = Class(
    "PPCI",
    "A PCI device of a host, in the words of API 1.0; PCI is the class of later versions.",
    fields=(
        Field("uuid", STRING, RO, "Unique identifier.", default=""),
        Field("host", Ref("host"), RO, "Host that has the device.", default=NULL_REF),
        Field("domain", INT, RO, "PCI domain.", default=0),
        Field("bus", INT, RO, "Bus in the domain.", default=0),
        Field("slot", INT, RO, "Slot on the bus.", default=0),
        Field("func", INT, RO, "Function in the slot.", default=0),
        Field("name", STRING, RO, "Address as text, such as 0000:03:00.0.", default=""),
        Field("vendor_id", INT, RO, "Number of the vendor.", default=0),
        Field("vendor_name", STRING, RO, "Name of the vendor.", default=""),
        Field("device_id", INT, RO, "Number of the device.", default=0),
        Field("device_name", STRING, RO, "Name of the device.", default=""),
        Field("revision_id", INT, RO, "Number of the revision.", default=0),
        Field("class_code", INT, RO, "Number of the device class.", default=0),
        Field("class_name", STRING, RO, "Name of the device class.", default=""),
        Field("subsystem_vendor_id", INT, RO, "Number of the subsystem's vendor.", default=0),
        Field("subsystem_vendor_name", STRING, RO, "Name of the subsystem's vendor.", default=""),
        Field("subsystem_id", INT, RO, "Number of the subsystem.", default=0),
        Field("subsystem_name", STRING, RO, "Name of the subsystem.", default=""),
        Field("driver", STRING, RO, "Driver that uses the device on the host.", default=""),
    ),
)
# fmt: on
