"""The class pool_update: updates of the hosts' software, as the pool has them."""

from __future__ import annotations

from xenapi_core.model.enums import LIVEPATCH_STATUS, UPDATE_AFTER_APPLY_GUIDANCE
from xenapi_core.model.schema import POOL_OPERATOR, RO, RW, STATIC, Class, Field, Message, Param
from xenapi_core.model.types import BOOL, INT, STRING, STRING_MAP, Ref, Set

# fmt: off
me = Param("self", Ref("pool_update"))

POOL_UPDATE = Class(
    "pool_update",
    "An update of the hosts' software that was brought to the pool.",
    fields=(
        Field("uuid", STRING, RO, "Unique identifier.", default=""),
        Field("name_label", STRING, STATIC, "Name shown to people.", default="", path="name/label"),
        Field("name_description", STRING, STATIC, "Free text shown to people.", default="", path="name/description"),
        Field("version", STRING, STATIC, "Version of the update.", default=""),
        Field("installation_size", INT, STATIC, "Disk space the update needs, in bytes.", default=0),
        Field("key", STRING, STATIC, "Name of the GPG key the update is signed with.", default=""),
        Field("after_apply_guidance", Set(UPDATE_AFTER_APPLY_GUIDANCE), STATIC,
              "What to restart once the update is on.", default=()),
        Field("vdi", Ref("VDI"), STATIC, "Disk that holds the update."),
        Field("hosts", Set(Ref("host")), RO, "Hosts that have the update.", default=(), inverse="host.updates"),
        Field("other_config", STRING_MAP, RW, "Free-form settings of clients.", default={}),
        Field("enforce_homogeneity", BOOL, STATIC, "Whether all hosts of the pool must have the update.",
              default=False),
    ),
    messages=(
        Message("introduce", (Param("vdi", Ref("VDI"), "the disk"),), Ref("pool_update"),
                "Record the update that a disk holds.", role=POOL_OPERATOR),
        Message("precheck", (me, Param("host", Ref("host"), "the host")), LIVEPATCH_STATUS,
                "Check whether the update can go on a host, and whether running code can be patched.",
                role=POOL_OPERATOR),
        Message("apply", (me, Param("host", Ref("host"), "the host")), None, "Put the update on one host.",
                role=POOL_OPERATOR),
        Message("pool_apply", (me,), None, "Put the update on all hosts of the pool.", role=POOL_OPERATOR),
        Message("pool_clean", (me,), None, "Remove the files of the update from all hosts.", role=POOL_OPERATOR),
        Message("destroy", (me,), None, "Remove the files and the record of an update that is on no host.",
                role=POOL_OPERATOR),
        Message("attach", (me, Param("use_localhost_proxy", BOOL, "read through the host itself", default=False)),
                STRING, "Make the contents of the update readable on the coordinator; gives the URL.",
                role=POOL_OPERATOR, hidden=True),
        Message("detach", (me,), None, "End what attach has begun.", role=POOL_OPERATOR, hidden=True),
        Message("resync_host", (Param("host", Ref("host"), "the host"),), None,
                "Compare the records of updates with what is on a host.", role=POOL_OPERATOR, hidden=True),
    ),
)
# fmt: on
