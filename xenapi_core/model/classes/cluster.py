"""The class Cluster: hosts that monitor each other through a cluster stack."""

from __future__ import annotations

from xenapi_core.errors import E
from xenapi_core.model.cluster_lifecycle import allowed_cluster_operations
from xenapi_core.model.enums import CLUSTER_OPERATION
from xenapi_core.model.schema import POOL_OPERATOR, READ_ONLY, RO, RW, STATIC, Class, Field, Message, Param
from xenapi_core.model.types import BOOL, FLOAT, INT, STRING, STRING_MAP, Map, Ref, Set

# fmt: off
me = Param("self", Ref("Cluster"))

CLUSTER = Class(
    "Cluster",
    "Hosts that share storage through a cluster stack.",
    fields=(
        Field("uuid", STRING, RO, "Unique identifier.", default=""),
        Field("cluster_hosts", Set(Ref("Cluster_host")), RO, "Memberships of hosts.", default=(),
              inverse="Cluster_host.cluster"),
        Field("pending_forget", Set(STRING), RO,
              "Addresses of hosts that are gone and not yet forgotten by the others.", default=()),
        Field("cluster_token", STRING, STATIC, "Secret that members of the cluster share.", default=""),
        Field("cluster_stack", STRING, STATIC, "Name of the cluster stack.", default="corosync"),
        Field("cluster_stack_version", INT, STATIC, "Version of the cluster stack.", default=2, state="prototyped"),
        Field("is_quorate", BOOL, RO, "Whether enough members are alive to go on.", default=False, state="prototyped"),
        Field("quorum", INT, RO, "How many members must be alive to go on.", default=0, state="prototyped"),
        Field("live_hosts", INT, RO, "How many members are alive.", default=0, state="prototyped"),
        Field("expected_hosts", INT, RO, "How many members there should be.", default=0, state="prototyped"),
        Field("allowed_operations", Set(CLUSTER_OPERATION), RO, "Operations that may be requested now.", default=(),
              computed=allowed_cluster_operations, persist=False),
        Field("current_operations", Map(STRING, CLUSTER_OPERATION), RO, "Operations in progress, by task.", default={},
              persist=False),
        Field("pool_auto_join", BOOL, STATIC, "Whether hosts that join the pool join the cluster.", default=True),
        Field("token_timeout", FLOAT, STATIC, "How long a member may be silent before it counts as lost, in seconds.",
              default=20.0),
        Field("token_timeout_coefficient", FLOAT, STATIC,
              "How much longer it may be silent for each member beyond two, in seconds.", default=1.0),
        Field("cluster_config", STRING_MAP, STATIC, "More settings of the cluster stack.", default={}),
        Field("other_config", STRING_MAP, RW, "Free-form settings of clients.", default={}),
    ),
    messages=(
        Message("create", (Param("PIF", Ref("PIF"), "the interface"),
                Param("cluster_stack", STRING, "name of the stack"),
                Param("pool_auto_join", BOOL, "hosts that join the pool join the cluster"),
                Param("token_timeout", FLOAT, "in seconds", default=20.0),
                Param("token_timeout_coefficient", FLOAT, "in seconds", default=1.0)), Ref("Cluster"),
                "Make a cluster of one host, on the network of an interface.", errors=(E.INVALID_CLUSTER_STACK,
                E.INVALID_VALUE, E.PIF_ALLOWS_UNPLUG, E.REQUIRED_PIF_IS_UNPLUGGED), role=POOL_OPERATOR),
        Message("destroy", (me,), None, "Dissolve a cluster of one host.", errors=(E.CLUSTER_DOES_NOT_HAVE_ONE_NODE,
                E.CLUSTER_STACK_IN_USE), role=POOL_OPERATOR, operation="destroy"),
        Message("get_network", (me,), Ref("network"), "The network that the members speak over.", role=READ_ONLY),
        Message("pool_create", (Param("network", Ref("network"), "the network"),
                Param("cluster_stack", STRING, "name of the stack"),
                Param("token_timeout", FLOAT, "in seconds", default=20.0),
                Param("token_timeout_coefficient", FLOAT, "in seconds", default=1.0)), Ref("Cluster"),
                "Make a cluster of all hosts of the pool.", role=POOL_OPERATOR),
        Message("pool_force_destroy", (me,), None, "Dissolve the cluster, even if members do not answer.",
                errors=(E.CLUSTER_FORCE_DESTROY_FAILED,), role=POOL_OPERATOR),
        Message("pool_destroy", (me,), None, "Dissolve the cluster on all hosts.", errors=(E.CLUSTER_STACK_IN_USE,
                E.CLUSTERING_DISABLED, E.CLUSTER_HOST_IS_LAST), role=POOL_OPERATOR),
        Message("pool_resync", (me,), None, "Have every host join that should be a member and is not.",
                role=POOL_OPERATOR),
        Message("cstack_sync", (me,), None, "Read the state of the members from the cluster stack.", role=POOL_OPERATOR,
                hidden=True, pool_internal=True),
    ),
)
# fmt: on
