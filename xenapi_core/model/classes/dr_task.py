"""The class DR_task: recovery of VMs from the storage of a lost pool."""

from __future__ import annotations

from xenapi_core.model.schema import POOL_OPERATOR, RO, Class, Field, Message, Param
from xenapi_core.model.types import STRING, STRING_MAP, Ref, Set

# fmt: off
me = Param("self", Ref("DR_task"))

DR_TASK = Class(
    "DR_task",
    "Storage brought in to recover the VMs it holds, after a disaster elsewhere.",
    fields=(
        Field("uuid", STRING, RO, "Unique identifier.", default=""),
        Field("introduced_SRs", Set(Ref("SR")), RO, "Storage repositories that this task has brought in.", default=(),
              inverse="SR.introduced_by"),
    ),
    messages=(
        Message("create", (Param("type", STRING),
                Param("device_config", STRING_MAP, "what the back end needs to connect"),
                Param("whitelist", Set(STRING), "uuids of the SRs to bring in")), Ref("DR_task"),
                "Look for storage with the records of a pool and bring in those whose uuids are listed.",
                role=POOL_OPERATOR, secret=True),
        Message("destroy", (me,), None, "End the recovery; storage that no VM uses is forgotten.", role=POOL_OPERATOR),
    ),
)
# fmt: on
