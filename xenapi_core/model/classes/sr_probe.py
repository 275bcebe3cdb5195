"""The results of a storage probe: the record probe_result, and sr_stat inside it."""

from __future__ import annotations

from xenapi_core.model.enums import SR_HEALTH
from xenapi_core.model.schema import RO, Class, Field
from xenapi_core.model.types import BOOL, INT, STRING, STRING_MAP, Option, Record

# fmt: off
SR_STAT = Class(
    "sr_stat",
    "State of a storage repository that a probe found; only part of other answers.",
    fields=(
        Field("uuid", Option(STRING), RO, "Unique identifier of the SR, if it has one.", default=None),
        Field("name_label", STRING, RO, "Name of the SR.", default=""),
        Field("name_description", STRING, RO, "Description of the SR.", default=""),
        Field("free_space", INT, RO, "Free space, in bytes.", default=0),
        Field("total_space", INT, RO, "Space there is, in bytes.", default=0),
        Field("clustered", BOOL, RO, "Whether the hosts share it through a cluster file system.", default=False),
        Field("health", SR_HEALTH, RO, "Whether the storage works, repairs itself or is out of reach.",
              default="healthy"),
    ),
    get_all=False,
    events=False,
    persist=False,
    in_database=False,
    has_records=False,
)

PROBE_RESULT = Class(
    "probe_result",
    "One thing a probe of storage found; the answer to SR.probe_ext.",
    fields=(
        Field("configuration", STRING_MAP, RO, "A device_config that leads there.", default={}),
        Field("complete", BOOL, RO,
              "Whether the configuration is enough to connect; otherwise it is to be probed further.", default=False),
        Field("sr", Option(Record("sr_stat")), RO, "The SR that is there, if there is one.", default=None),
        Field("extra_info", STRING_MAP, RO, "What else the back end has to say.", default={}),
    ),
    get_all=False,
    events=False,
    persist=False,
    in_database=False,
    has_records=False,
)
# fmt: on
