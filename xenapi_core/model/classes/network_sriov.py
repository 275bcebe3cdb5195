"""The class network_sriov: network devices that split into virtual ones."""

from __future__ import annotations

from xenapi_core.ids import NULL_REF
from xenapi_core.model.enums import SRIOV_CONFIGURATION_MODE
from xenapi_core.model.schema import POOL_OPERATOR, READ_ONLY, RO, STATIC, Class, Field, Message, Param
from xenapi_core.model.types import BOOL, INT, STRING, Ref

# fmt: off
me = Param("self", Ref("network_sriov"))

NETWORK_SRIOV = Class(
    "network_sriov",
    "A network of virtual functions that one physical interface offers (SR-IOV).",
    fields=(
        Field("uuid", STRING, RO, "Unique identifier.", default=""),
        Field("physical_PIF", Ref("PIF"), STATIC, "Interface that offers the virtual functions.", default=NULL_REF),
        Field("logical_PIF", Ref("PIF"), STATIC, "Interface that stands for the virtual functions.", default=NULL_REF),
        Field("requires_reboot", BOOL, RO, "Whether the host must reboot before the virtual functions work.",
              default=False),
        Field("configuration_mode", SRIOV_CONFIGURATION_MODE, RO,
              "How the device driver is told to offer virtual functions.", default="unknown"),
    ),
    messages=(
        Message("create", (Param("pif", Ref("PIF"), "the interface"), Param("network", Ref("network"), "the network")),
                Ref("network_sriov"), "Have an interface offer virtual functions, on a network of their own.",
                role=POOL_OPERATOR),
        Message("destroy", (me,), None, "End the offer of virtual functions.", role=POOL_OPERATOR),
        Message("get_remaining_capacity", (me,), INT, "How many virtual functions are free.", role=READ_ONLY),
    ),
)
# fmt: on
