"""The class Cluster_host: memberships of hosts in a cluster."""

from __future__ import annotations

from xenapi_core.errors import E
from xenapi_core.ids import NULL_REF
from xenapi_core.model.cluster_lifecycle import allowed_cluster_host_operations
from xenapi_core.model.enums import CLUSTER_HOST_OPERATION
from xenapi_core.model.schema import LOCAL_ROOT, POOL_OPERATOR, RO, STATIC, Class, Field, Message, Param
from xenapi_core.model.types import BOOL, DATETIME, STRING, STRING_MAP, Map, Ref, Set

# fmt: off
me = Param("self", Ref("Cluster_host"))

CLUSTER_HOST = Class(
    "Cluster_host",
    "The membership of one host in a cluster.",
    fields=(
        Field("uuid", STRING, RO, "Unique identifier.", default=""),
        Field("cluster", Ref("Cluster"), STATIC, "The cluster.", default=NULL_REF),
        Field("host", Ref("host"), STATIC, "The host.", default=NULL_REF),
        Field("enabled", BOOL, RO, "Whether the host takes part now.", default=False),
        Field("PIF", Ref("PIF"), STATIC, "Interface through which it speaks with the others.", default=NULL_REF),
        Field("joined", BOOL, RO, "Whether it has joined the cluster stack.", default=True),
        Field("live", BOOL, RO, "Whether the cluster stack says it is alive.", default=False, state="prototyped"),
        Field("last_update_live", DATETIME, RO, "When that was last heard, UTC.", default=0, state="prototyped"),
        Field("allowed_operations", Set(CLUSTER_HOST_OPERATION), RO, "Operations that may be requested now.",
              default=(), computed=allowed_cluster_host_operations, persist=False),
        Field("current_operations", Map(STRING, CLUSTER_HOST_OPERATION), RO, "Operations in progress, by task.",
              default={}, persist=False),
        Field("other_config", STRING_MAP, STATIC, "Free-form settings of clients.", default={}),
    ),
    messages=(
        Message("create", (Param("cluster", Ref("Cluster"), "the cluster"), Param("host", Ref("host"), "the host"),
                Param("pif", Ref("PIF"), "the interface")), Ref("Cluster_host"), "Have a host join a cluster.",
                errors=(E.PIF_NOT_ATTACHED_TO_HOST, E.NO_CLUSTER_HOSTS_REACHABLE), role=POOL_OPERATOR),
        Message("destroy", (me,), None, "Have a host leave the cluster.", errors=(E.CLUSTER_STACK_IN_USE,
                E.CLUSTERING_DISABLED, E.CLUSTER_HOST_IS_LAST), role=POOL_OPERATOR, operation="destroy"),
        Message("enable", (me,), None, "Let the host take part again.", errors=(E.PIF_ALLOWS_UNPLUG,
                E.REQUIRED_PIF_IS_UNPLUGGED), role=POOL_OPERATOR, operation="enable"),
        Message("force_destroy", (me,), None, "Have a host leave the cluster, even if that fails on the host.",
                errors=(E.CLUSTER_STACK_IN_USE,), role=POOL_OPERATOR),
        Message("forget", (me,), None, "Drop a host that is gone for good.", role=LOCAL_ROOT, hidden=True),
        Message("disable", (me,), None, "Have the host take no part until it is enabled.",
                errors=(E.CLUSTER_STACK_IN_USE,), role=POOL_OPERATOR, operation="disable"),
    ),
)
# fmt: on
