"""The class VM_guest_metrics: what the agent inside a guest reports."""

from __future__ import annotations

from xenapi_core.model.enums import TRISTATE_TYPE
from xenapi_core.model.schema import RO, RW, VM_ADMIN, Class, Field
from xenapi_core.model.types import BOOL, DATETIME, STRING, STRING_MAP

# fmt: off
VM_GUEST_METRICS = Class(
    "VM_guest_metrics",
    "What the agent inside one guest reports.",
    fields=(
        Field("uuid", STRING, RO, "Identity of the record.", default=""),
        Field("os_version", STRING_MAP, RO, "Name, version and kernel of the guest system.", default={}),
        Field("netbios_name", STRING_MAP, RO, "Windows names of the guest, such as host_name and domain.", default={},
              state="prototyped"),
        Field("PV_drivers_version", STRING_MAP, RO,
              "Version of the paravirtual drivers, as major, minor, micro and build.", default={}),
        Field("PV_drivers_up_to_date", BOOL, RO,
              "Whether the drivers are of this release or newer; PV_drivers_detected replaces it.", default=False,
              state="deprecated"),
        Field("memory", STRING_MAP, RO, "Memory seen by the guest; data sources replace it.", default={},
              state="removed"),
        Field("disks", STRING_MAP, RO, "Use of the disks as seen by the guest.", default={}, state="removed"),
        Field("networks", STRING_MAP, RO, "Addresses of the guest, such as 0/ip or 0/ipv6/0, by device number.",
              default={}),
        Field("other", STRING_MAP, RO,
              "Whatever else the agent reports, such as feature flags and data-cant-suspend-reason.", default={}),
        Field("last_updated", DATETIME, RO, "When the agent last reported, UTC.", default=0),
        Field("other_config", STRING_MAP, RW, "Free settings of clients.", default={}),
        Field("live", BOOL, RO, "Whether the agent still reports.", default=False),
        Field("can_use_hotplug_vbd", TRISTATE_TYPE, RO, "Whether the guest says it can attach disks while it runs.",
              default="unspecified"),
        Field("can_use_hotplug_vif", TRISTATE_TYPE, RO,
              "Whether the guest says it can attach network interfaces while it runs.", default="unspecified"),
        Field("PV_drivers_detected", BOOL, RO, "Whether a paravirtual device has connected since the last boot.",
              default=False),
        Field("services", STRING_MAP, RO, "State of the services the guest tells about.", default={},
              state="prototyped"),
    ),
    role=VM_ADMIN,
)
