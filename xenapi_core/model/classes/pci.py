"""The class PCI: PCI devices of hosts."""

from __future__ import annotations

from xenapi_core.ids import NULL_REF
from xenapi_core.model.enums import PCI_DOM0_ACCESS
from xenapi_core.model.schema import POOL_OPERATOR, RO, RW, STATIC, Class, Field, Message, Param
from xenapi_core.model.types import INT, STRING, STRING_MAP, Ref, Set

# fmt: off
me = Param("self", Ref("PCI"))

PCI = Class(
    "PCI",
    "A PCI device of a host.",
    fields=(
        Field("uuid", STRING, RO, "Unique identifier.", default=""),
        Field("class_id", STRING, STATIC, "Number of the device class, hexadecimal.", default=""),
        Field("class_name", STRING, STATIC, "Name of the device class.", default=""),
        Field("vendor_id", STRING, STATIC, "Number of the vendor, hexadecimal.", default=""),
        Field("vendor_name", STRING, STATIC, "Name of the vendor.", default=""),
        Field("device_id", STRING, STATIC, "Number of the device, hexadecimal.", default=""),
        Field("device_name", STRING, STATIC, "Name of the device.", default=""),
        Field("host", Ref("host"), STATIC, "Host that has the device.", default=NULL_REF),
        Field("pci_id", STRING, STATIC, "Address on the bus, such as 0000:03:00.0.", default=""),
        Field("functions", INT, RO, "How many functions the device has.", default=1, internal=True),
        Field("virtual_functions", Set(Ref("PCI")), RO, "Virtual functions that the device offers.", default=(),
              inverse="PCI.physical_function", internal=True),
        Field("physical_function", Ref("PCI"), STATIC, "Device that offers this virtual function, or null.",
              default=NULL_REF, internal=True),
        Field("attached_VMs", Set(Ref("VM")), RO, "VMs the device is passed to.", default=(), internal=True),
        Field("dependencies", Set(Ref("PCI")), RO, "Devices that can only be passed to a VM together with this one.",
              default=()),
        Field("other_config", STRING_MAP, RW, "Free-form settings of clients.", default={}),
        Field("subsystem_vendor_id", STRING, STATIC, "Number of the subsystem's vendor, hexadecimal.", default=""),
        Field("subsystem_vendor_name", STRING, STATIC, "Name of the subsystem's vendor.", default=""),
        Field("subsystem_device_id", STRING, STATIC, "Number of the subsystem, hexadecimal.", default=""),
        Field("subsystem_device_name", STRING, STATIC, "Name of the subsystem.", default=""),
        Field("scheduled_to_be_attached_to", Ref("VM"), RO, "VM that is starting and will get the device, or null.",
              default=NULL_REF, internal=True),
        Field("driver_name", STRING, STATIC, "Driver that uses the device on the host.", default=""),
    ),
    messages=(
        Message("disable_dom0_access", (me,), PCI_DOM0_ACCESS,
                "Keep the device from the host, from the next reboot on.", role=POOL_OPERATOR, state="prototyped"),
        Message("enable_dom0_access", (me,), PCI_DOM0_ACCESS, "Let the host use the device, from the next reboot on.",
                role=POOL_OPERATOR, state="prototyped"),
        Message("get_dom0_access_status", (me,), PCI_DOM0_ACCESS,
                "Whether the host uses the device, and whether that changes with the next reboot.", role=POOL_OPERATOR,
                state="prototyped"),
    ),
)
# fmt: on
