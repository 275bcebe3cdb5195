"""PIF_metrics: link state and hardware details of a physical interface."""

from __future__ import annotations

from xenapi_core.model.schema import RO, RW, Class, Field
from xenapi_core.model.types import BOOL, DATETIME, FLOAT, INT, STRING, STRING_MAP

# fmt: off
PIF_METRICS = Class(
    "PIF_metrics",
    "What is measured on a physical interface, and the hardware behind it.",
    fields=(
        # identity
        Field("uuid", STRING, RO, "Unique identifier.", default=""),
        # traffic: data sources carry it now
        Field("io_read_kbs", FLOAT, RO, "Receive rate in kB/s; removed, ask the data sources.", default=0.0,
              path="io/read_kbs", persist=False, state="removed"),
        Field("io_write_kbs", FLOAT, RO, "Transmit rate in kB/s; removed, ask the data sources.", default=0.0,
              path="io/write_kbs", persist=False, state="removed"),
        # link and hardware
        Field("carrier", BOOL, RO, "True if the link is up.", default=False),
        Field("vendor_id", STRING, RO, "PCI vendor number, in hexadecimal.", default=""),
        Field("vendor_name", STRING, RO, "Maker of the interface.", default=""),
        Field("device_id", STRING, RO, "PCI device number, in hexadecimal.", default=""),
        Field("device_name", STRING, RO, "Product name of the interface.", default=""),
        Field("speed", INT, RO, "Link speed in Mbit/s.", default=0),
        Field("duplex", BOOL, RO, "True if the link is full duplex.", default=False),
        Field("pci_bus_path", STRING, RO, "PCI address of the interface.", default=""),
        Field("last_updated", DATETIME, RO, "When these values were last measured.", default=0),
        Field("other_config", STRING_MAP, RW, "Free-form settings of clients.", default={}),
    ),
)
# fmt: on
