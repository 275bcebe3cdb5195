"""The network: a virtual switch."""

from __future__ import annotations

from xenapi_core.errors import E
from xenapi_core.model.enums import NETWORK_DEFAULT_LOCKING_MODE, NETWORK_OPERATIONS, NETWORK_PURPOSE
from xenapi_core.model.infrastructure_lifecycle import allowed_network_operations
from xenapi_core.model.schema import (
    POOL_OPERATOR,
    RO,
    RW,
    STATIC,
    VM_ADMIN,
    VM_OPERATOR,
    VM_POWER_ADMIN,
    Class,
    Field,
    Message,
    Param,
)
from xenapi_core.model.types import BOOL, INT, STRING, STRING_MAP, Map, Ref, Set

network = Param("network", Ref("network"), "the network")
me = Param("self", Ref("network"), "the network")
host = Param("host", Ref("host"), "where")
# Keys that graphical clients keep for every user who may see the object.
CLIENT_KEYS = {"folder": VM_OPERATOR, "XenCenter.CustomFields.*": VM_OPERATOR, "XenCenterCreateInProgress": VM_OPERATOR}

# fmt: off
NETWORK = Class(
    "network",
    "A virtual switch: it joins VIFs of guests with each other and with PIFs of hosts.",
    fields=(
        # identity
        Field("uuid", STRING, RO, "Unique identifier.", default=""),
        Field("name_label", STRING, RW, "Name shown to people.", default="", path="name/label"),
        Field("name_description", STRING, RW, "Free text shown to people.", default="", path="name/description"),
        # what may happen to it
        Field("allowed_operations", Set(NETWORK_OPERATIONS), RO, "Operations that may be requested now.", default=(),
              computed=allowed_network_operations, persist=False),
        Field("current_operations", Map(STRING, NETWORK_OPERATIONS), RO, "Operations in progress, by task.", default={},
              persist=False),
        # what is connected
        Field("VIFs", Set(Ref("VIF")), RO, "Virtual interfaces on this network.", default=(), inverse="VIF.network"),
        Field("PIFs", Set(Ref("PIF")), RO, "Physical interfaces on this network, one for each host at most.",
              default=(), inverse="PIF.network"),
        # the switch
        Field("MTU", INT, RW, "Largest packet, in bytes.", default=1500, role=VM_ADMIN),
        Field("other_config", STRING_MAP, RW,
              "Free-form settings of clients; the server reads a few, such as is_host_internal_management_network.",
              key_roles=CLIENT_KEYS),
        Field("bridge", STRING, STATIC, "Name of the bridge on each host; chosen by the server when left empty.",
              default=""),
        Field("managed", BOOL, STATIC, "True if the server makes and removes the bridge itself.", default=True),
        # what clients keep with it
        Field("blobs", Map(STRING, Ref("blob")), RO, "Named binary objects kept with this network.", default={}),
        Field("tags", Set(STRING), RW, "Labels for finding and grouping.", default=(), role=VM_OPERATOR),
        # what may use it
        Field("default_locking_mode", NETWORK_DEFAULT_LOCKING_MODE, RO,
              "What VIFs whose own mode is network_default may send.", default="unlocked"),
        Field("assigned_ips", Map(Ref("VIF"), STRING), RO,
              "IPv4 addresses given to VIFs of a host internal management network.", default={}),
        Field("purpose", Set(NETWORK_PURPOSE), RO, "Services of the server that may use this network.", default=()),
    ),
    messages=(
        Message("create_new_blob", (network, Param("name", STRING, "its name"),
                Param("mime_type", STRING, "content type"),
                Param("public", BOOL, "readable without login", default=False)), Ref("blob"),
                "Attach a new, empty named binary object to the network.", role=POOL_OPERATOR),
        Message("set_default_locking_mode", (network, Param("value", NETWORK_DEFAULT_LOCKING_MODE)), None,
                "Choose what VIFs in mode network_default may send; refused while such VIFs are attached.",
                role=POOL_OPERATOR),
        Message("add_purpose", (me, Param("value", NETWORK_PURPOSE)), None,
                "Let a service of the server use this network.", errors=(E.NETWORK_INCOMPATIBLE_PURPOSES,)),
        Message("remove_purpose", (me, Param("value", NETWORK_PURPOSE)), None,
                "Stop a service of the server from using this network."),
        # between members of a pool
        Message("attach", (network, host), None, "Make the network available on a host.", role=POOL_OPERATOR,
                operation="attaching", hidden=True),
        Message("pool_introduce", (Param("name_label", STRING, "its name"),
                Param("name_description", STRING, "its description"), Param("MTU", INT, "largest packet in bytes"),
                Param("other_config", STRING_MAP), Param("bridge", STRING),
                Param("managed", BOOL, "whether the server makes the bridge"), Param("purpose", Set(NETWORK_PURPOSE))),
                Ref("network"), "Record a network that a joining host brings along.", role=POOL_OPERATOR, hidden=True),
        Message("attach_for_vm", (host, Param("vm", Ref("VM"), "the VM")), None,
                "Make the networks of a VM available on a host, before the VM arrives there.", role=VM_POWER_ADMIN,
                hidden=True),
        Message("detach_for_vm", (host, Param("vm", Ref("VM"), "the VM")), None,
                "Take the networks of a VM off a host that no longer needs them.", role=VM_POWER_ADMIN, hidden=True),
    ),
    creatable=True,
    create_role=VM_ADMIN,
    destroy_role=VM_ADMIN,
    create_errors=(E.BRIDGE_NAME_EXISTS,),
    destroy_errors=(E.NETWORK_CONTAINS_VIF, E.NETWORK_CONTAINS_PIF,
                    E.NETWORK_UNMANAGED, E.CANNOT_DESTROY_SYSTEM_NETWORK),
)
# fmt: on
