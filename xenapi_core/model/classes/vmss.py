"""The class VMSS: schedules of snapshots."""

from __future__ import annotations

from xenapi_core.model.enums import VMSS_FREQUENCY, VMSS_TYPE
from xenapi_core.model.schema import LOCAL_ROOT, POOL_OPERATOR, RO, RW, STATIC, Class, Field, Message, Param
from xenapi_core.model.types import BOOL, DATETIME, INT, STRING, STRING_MAP, Ref, Set

# fmt: off
me = Param("self", Ref("VMSS"))

VMSS = Class(
    "VMSS",
    "A schedule that takes snapshots of the VMs it is given to.",
    fields=(
        Field("uuid", STRING, RO, "Unique identifier.", default=""),
        Field("name_label", STRING, RW, "Name shown to people.", default="", path="name/label"),
        Field("name_description", STRING, RW, "Free text shown to people.", default="", path="name/description"),
        Field("enabled", BOOL, RW, "Whether the schedule is in force.", default=True),
        Field("type", VMSS_TYPE, STATIC,
              "What a snapshot takes: disks only, memory too, or disks that the guest has prepared."),
        Field("retained_snapshots", INT, STATIC,
              "How many snapshots of a VM are kept; the oldest goes when there are more.", default=7),
        Field("frequency", VMSS_FREQUENCY, STATIC, "Whether snapshots are taken every hour, day or week."),
        Field("schedule", STRING_MAP, STATIC,
              "Time of the snapshot: hour, min (0, 15, 30 or 45) and days, in the time zone of the coordinator.",
              default={}),
        Field("last_run_time", DATETIME, RO, "When the schedule last took snapshots, UTC.", default=0),
        Field("VMs", Set(Ref("VM")), RO, "VMs the schedule takes snapshots of.", default=(),
              inverse="VM.snapshot_schedule"),
    ),
    messages=(
        Message("snapshot_now", (Param("vmss", Ref("VMSS"), "the schedule"),), STRING,
                "Take the snapshots at once; gives a report.", role=POOL_OPERATOR, asynchronous=False),
        Message("set_retained_snapshots", (me, Param("value", INT)), None,
                "Set how many snapshots of a VM are kept, 1 to 10.", role=POOL_OPERATOR, asynchronous=False),
        Message("set_frequency", (me, Param("value", VMSS_FREQUENCY)), None, "Set how often snapshots are taken.",
                role=POOL_OPERATOR, asynchronous=False),
        Message("set_schedule", (me, Param("value", STRING_MAP)), None, "Replace the time of the snapshot.",
                role=POOL_OPERATOR, asynchronous=False),
        Message("add_to_schedule", (me, Param("key", STRING), Param("value", STRING)), None,
                "Add a key to the time of the snapshot.", role=POOL_OPERATOR, asynchronous=False),
        Message("remove_from_schedule", (me, Param("key", STRING)), None, "Remove a key of the time of the snapshot.",
                role=POOL_OPERATOR, asynchronous=False),
        Message("set_last_run_time", (me, Param("value", DATETIME)), None,
                "Record when the schedule last took snapshots.", role=LOCAL_ROOT, asynchronous=False),
        Message("set_type", (me, Param("value", VMSS_TYPE)), None, "Set what a snapshot takes.", role=POOL_OPERATOR,
                asynchronous=False),
    ),
    creatable=True,
)
# fmt: on
