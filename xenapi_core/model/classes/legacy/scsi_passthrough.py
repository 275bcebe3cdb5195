"""SCSI devices as API 1.0 knows them: PSCSI and PSCSI_HBA of hosts, DSCSI and DSCSI_HBA passed to VMs."""

from __future__ import annotations

from xenapi_core.ids import NULL_REF
from xenapi_core.model.schema import RO, STATIC, Class, Field
from xenapi_core.model.types import INT, STRING, STRING_MAP, Ref, Set

# fmt: off
DSCSI = Class(
    "DSCSI",
    "A SCSI device passed to a VM.",
    fields=(
        Field("uuid", STRING, RO, "Unique identifier.", default=""),
        Field("VM", Ref("VM"), STATIC, "VM that has the device."),
        Field("PSCSI", Ref("PSCSI"), STATIC, "The device of the host."),
        Field("HBA", Ref("DSCSI_HBA"), RO, "Virtual adapter that the device hangs on.", default=NULL_REF),
        Field("virtual_host", INT, RO, "Number of the adapter that the guest sees.", default=0),
        Field("virtual_channel", INT, RO, "Channel that the guest sees.", default=0),
        Field("virtual_target", INT, RO, "Target that the guest sees.", default=0),
        Field("virtual_lun", INT, RO, "Logical unit that the guest sees.", default=0),
        Field("virtual_HCTL", STRING, STATIC, "Address that the guest sees: host:channel:target:lun.", default=""),
        Field("runtime_properties", STRING_MAP, RO, "Facts about the running device.", default={}),
    ),
    creatable=True,
)

DSCSI_HBA = Class(
    "DSCSI_HBA",
    "A SCSI adapter passed to a VM, with all devices on it.",
    fields=(
        Field("uuid", STRING, RO, "Unique identifier.", default=""),
        Field("VM", Ref("VM"), STATIC, "VM that has the adapter."),
        Field("PSCSI_HBAs", Set(Ref("PSCSI_HBA")), RO, "The adapters of the host.", default=()),
        Field("DSCSIs", Set(Ref("DSCSI")), RO, "Devices on the adapter.", default=(), inverse="DSCSI.HBA"),
        Field("virtual_host", INT, STATIC, "Number of the adapter that the guest sees.", default=0),
        Field("assignment_mode", STRING, STATIC, "Whether addresses are those of the host (HOST) or others (VIRT).",
              default="HOST"),
    ),
    creatable=True,
)

PSCSI = Class(
    "PSCSI",
    "A SCSI device of a host.",
    fields=(
        Field("uuid", STRING, RO, "Unique identifier.", default=""),
        Field("host", Ref("host"), RO, "Host that has the device.", default=NULL_REF),
        Field("HBA", Ref("PSCSI_HBA"), RO, "Adapter that the device hangs on.", default=NULL_REF),
        Field("physical_host", INT, RO, "Number of the adapter.", default=0),
        Field("physical_channel", INT, RO, "Channel of the adapter.", default=0),
        Field("physical_target", INT, RO, "Target on the channel.", default=0),
        Field("physical_lun", INT, RO, "Logical unit of the target.", default=0),
        Field("physical_HCTL", STRING, RO, "Its address: host:channel:target:lun.", default=""),
        Field("vendor_name", STRING, RO, "Name of the vendor.", default=""),
        Field("model", STRING, RO, "Name of the model.", default=""),
        Field("type_id", INT, RO, "Number of the kind of device.", default=0),
        Field("type", STRING, RO, "Name of the kind of device.", default=""),
        Field("dev_name", STRING, RO, "Name of the device file, such as sda.", default=""),
        Field("sg_name", STRING, RO, "Name of the generic device file, such as sg0.", default=""),
        Field("revision", STRING, RO, "Revision of the device.", default=""),
        Field("scsi_id", STRING, RO, "Identifier that the device gives itself.", default=""),
        Field("scsi_level", INT, RO, "Version of SCSI that it speaks.", default=0),
    ),
)

PSCSI_HBA = Class(
    "PSCSI_HBA",
    "A SCSI adapter of a host.",
    fields=(
        Field("uuid", STRING, RO, "Unique identifier.", default=""),
        Field("host", Ref("host"), RO, "Host that has the adapter.", default=NULL_REF),
        Field("physical_host", INT, RO, "Number of the adapter.", default=0),
        Field("PSCSIs", Set(Ref("PSCSI")), RO, "Devices on the adapter.", default=(), inverse="PSCSI.HBA"),
    ),
)
# fmt: on
