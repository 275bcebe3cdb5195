"""The class VM_metrics: what the hypervisor measures of a VM."""

from __future__ import annotations

from xenapi_core.model.enums import DOMAIN_TYPE
from xenapi_core.model.schema import RO, RW, STATIC, VM_ADMIN, Class, Field
from xenapi_core.model.types import BOOL, DATETIME, FLOAT, INT, STRING, STRING_MAP, Map, Set

# fmt: off
VM_METRICS = Class(
    "VM_metrics",
    "What the hypervisor measures of one VM.",
    fields=(
        Field("uuid", STRING, RO, "Identity of the record.", default=""),
        Field("memory_actual", INT, RO, "Memory the guest has now, in bytes.", default=0, path="memory/actual",
              persist=False),
        Field("VCPUs_number", INT, RO, "Virtual CPUs the guest has now.", default=0, path="VCPUs/number"),
        Field("VCPUs_utilisation", Map(INT, FLOAT), RO, "Load of each virtual CPU, 0 to 1; data sources replace it.",
              default={}, path="VCPUs/utilisation", persist=False, state="removed"),
        Field("VCPUs_CPU", Map(INT, INT), RO, "Physical CPU each virtual CPU runs on.", default={}, path="VCPUs/CPU",
              persist=False),
        Field("VCPUs_params", STRING_MAP, RO, "Scheduling parameters in force.", default={}, path="VCPUs/params",
              persist=False),
        Field("VCPUs_flags", Map(INT, Set(STRING)), RO,
              "State of each virtual CPU, such as online, blocked or running.", default={}, path="VCPUs/flags",
              persist=False),
        Field("state", Set(STRING), RO, "State of the domain in the hypervisor's words, such as running or blocked.",
              default=(), persist=False),
        Field("start_time", DATETIME, RO, "When the VM last booted, UTC.", default=0),
        Field("install_time", DATETIME, RO, "When the VM was installed, UTC.", default=0),
        Field("last_updated", DATETIME, RO, "When these values were last measured, UTC.", default=0, persist=False),
        Field("other_config", STRING_MAP, RW, "Free settings of clients.", default={}),
        Field("hvm", BOOL, RO, "Whether the running domain is fully virtualised.", default=False, persist=False),
        Field("nested_virt", BOOL, RO, "Whether the running guest may be a hypervisor itself, as of its last start.",
              default=False, persist=False),
        Field("nomigrate", BOOL, RO,
              "Whether the running guest refuses to be moved or suspended, as of its last start.", default=False,
              persist=False),
        Field("current_domain_type", DOMAIN_TYPE, RO,
              "Virtualisation mode the running domain has; unspecified while there is none.", default="unspecified"),
        Field("numa_optimised", BOOL, STATIC, "Whether all memory of the guest lies on the NUMA nodes chosen for it.",
              default=False, state="prototyped"),
        Field("numa_nodes", INT, STATIC, "NUMA nodes that hold memory of the guest.", default=0, state="prototyped"),
        Field("numa_node_memory", Map(INT, INT), RO, "Memory of the guest on each NUMA node, in bytes.", default={},
              state="prototyped"),
    ),
    role=VM_ADMIN,
)
