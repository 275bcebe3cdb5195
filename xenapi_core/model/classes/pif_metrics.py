"""PIF_metrics: link state and hardware details of a physical interface."""

from __future__ import annotations

from xenapi_core.model.schema import RO, RW, Class, Field
from xenapi_core.model.types import BOOL, DATETIME, FLOAT, INT, STRING, STRING_MAP

# fmt: off
PIF_METRICS = Class(
    "PIF_metrics",
    "What is measured on a physical interface, and the hardware behind it.",
    fields=(
        Field("uuid", STRING, RO, "Unique identifier.", ""),
        # traffic: removed, data sources carry it
        Field("io_read_kbs", FLOAT, RO, "Receive rate in kB/s; removed, ask the data sources.", 0.0, path="io/read_kbs",
              persist=False, state="removed"),
        Field("io_write_kbs", FLOAT, RO, "Transmit rate in kB/s; removed, ask the data sources.", 0.0,
              path="io/write_kbs", persist=False, state="removed"),
        # link
        Field("carrier", BOOL, RO, "True if the link is up.", False),
        Field("speed", INT, RO, "Link speed in Mbit/s.", 0),
        Field("duplex", BOOL, RO, "True if the link is full duplex.", False),
        # hardware
        Field("vendor_id", STRING, RO, "PCI vendor number, in hexadecimal.", ""),
        Field("vendor_name", STRING, RO, "Maker of the interface.", ""),
        Field("device_id", STRING, RO, "PCI device number, in hexadecimal.", ""),
        Field("device_name", STRING, RO, "Product name of the interface.", ""),
        Field("pci_bus_path", STRING, RO, "PCI address of the interface.", ""),
        Field("last_updated", DATETIME, RO, "When these values were last measured.", 0),
        Field("other_config", STRING_MAP, RW, "Free-form settings of clients.", {}),
    ),
)
# fmt: on
