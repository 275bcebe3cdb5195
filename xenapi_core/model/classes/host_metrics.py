"""host_metrics: memory and liveness of a host."""

from __future__ import annotations

from xenapi_core.model.schema import RO, RW, Class, Field
from xenapi_core.model.types import BOOL, DATETIME, INT, STRING, STRING_MAP

# fmt: off
HOST_METRICS = Class(
    "host_metrics",
    "What is measured on a host: memory and liveness.",
    fields=(
        Field("uuid", STRING, RO, "Unique identifier.", default=""),
        Field("memory_total", INT, RO, "Memory of the machine, in bytes.", default=0, path="memory/total"),
        Field("memory_free", INT, RO, "Free memory in bytes; removed, ask host.compute_free_memory instead.", default=0,
              path="memory/free", state="removed"),
        Field("live", BOOL, RO, "True while the coordinator hears from the host.", default=False),
        Field("last_updated", DATETIME, RO, "When these values were last measured.", default=0),
        Field("other_config", STRING_MAP, RW, "Free-form settings of clients.", default={}),
    ),
)
# fmt: on
