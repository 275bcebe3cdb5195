"""host_cpu: one processor of a host."""

from __future__ import annotations

from xenapi_core.ids import NULL_REF
from xenapi_core.model.schema import RO, RW, Class, Field
from xenapi_core.model.types import FLOAT, INT, STRING, STRING_MAP, Ref

# fmt: off
HOST_CPU = Class(
    "host_cpu",
    "One processor of a host; deprecated, host.cpu_info describes them all at once.",
    fields=(
        Field("uuid", STRING, RO, "Unique identifier.", default=""),
        Field("host", Ref("host"), RO, "The host that has this processor.", default=NULL_REF),
        Field("number", INT, RO, "Number of the processor within its host, from 0.", default=0),
        Field("vendor", STRING, RO, "Maker, as CPUID tells it.", default=""),
        Field("speed", INT, RO, "Clock rate in MHz.", default=0),
        Field("modelname", STRING, RO, "Product name, as CPUID tells it.", default=""),
        Field("family", INT, RO, "CPUID family number.", default=0),
        Field("model", INT, RO, "CPUID model number.", default=0),
        Field("stepping", STRING, RO, "CPUID stepping.", default=""),
        Field("flags", STRING, RO, "Feature names the processor reports, separated by blanks.", default=""),
        Field("features", STRING, RO, "Feature words in hexadecimal, separated by dashes.", default=""),
        Field("utilisation", FLOAT, RO, "Share of time the processor is busy, 0.0 to 1.0.", default=0.0, persist=False),
        Field("other_config", STRING_MAP, RW, "Free-form settings of clients.", default={}),
    ),
    state="deprecated",
)
# fmt: on
