"""The class VIF_metrics: kept so that its removed messages are known."""

from __future__ import annotations

from xenapi_core.model.schema import RO, RW, VM_ADMIN, Class, Field
from xenapi_core.model.types import DATETIME, FLOAT, STRING, STRING_MAP

# fmt: off
VIF_METRICS = Class(
    "VIF_metrics",
    "Throughput of one virtual network interface, as measured by the first releases.",
    fields=(
        Field("uuid", STRING, RO, "Identity of the record.", default=""),
        Field("io_read_kbs", FLOAT, RO, "Receive rate, in KiB per second; data sources replace it.", default=0.0,
              path="io/read_kbs", persist=False, state="removed"),
        Field("io_write_kbs", FLOAT, RO, "Send rate, in KiB per second; data sources replace it.", default=0.0,
              path="io/write_kbs", persist=False, state="removed"),
        Field("last_updated", DATETIME, RO, "When these values were last measured, UTC.", default=0),
        Field("other_config", STRING_MAP, RW, "Free settings of clients.", default={}),
    ),
    persist=False,
    state="removed",
    role=VM_ADMIN,
)
