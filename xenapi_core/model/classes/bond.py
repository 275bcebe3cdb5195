"""The class Bond: interfaces of a host that act as one."""

from __future__ import annotations

from xenapi_core.ids import NULL_REF
from xenapi_core.model.enums import BOND_MODE
from xenapi_core.model.schema import POOL_OPERATOR, RO, RW, STATIC, Class, Field, Message, Param
from xenapi_core.model.types import BOOL, INT, STRING, STRING_MAP, Ref, Set

# fmt: off
me = Param("self", Ref("Bond"))

BOND = Class(
    "Bond",
    "Several network interfaces of one host that act as one.",
    fields=(
        Field("uuid", STRING, RO, "Unique identifier.", default=""),
        Field("master", Ref("PIF"), STATIC, "Interface that stands for the bond.", default=NULL_REF),
        Field("slaves", Set(Ref("PIF")), RO, "Interfaces the bond is made of.", default=(),
              inverse="PIF.bond_slave_of"),
        Field("other_config", STRING_MAP, RW, "Free-form settings of clients.", default={}),
        Field("primary_slave", Ref("PIF"), RO, "Member whose MAC address and settings the bond took over.",
              default=NULL_REF),
        Field("mode", BOND_MODE, RO, "How traffic is spread over the members.", default="balance-slb"),
        Field("properties", STRING_MAP, RO, "Settings of the mode, such as hashing_algorithm.", default={}),
        Field("links_up", INT, RO, "How many members have a link.", default=0),
        Field("auto_update_mac", BOOL, RO, "Whether the bond takes the MAC address of its primary member.",
              default=True),
    ),
    messages=(
        Message("create", (Param("network", Ref("network"), "the network"),
                Param("members", Set(Ref("PIF")), "the interfaces"),
                Param("MAC", STRING, "address of the bond, or empty"),
                Param("mode", BOND_MODE, "how traffic is spread", default="balance-slb"),
                Param("properties", STRING_MAP, "settings of the mode", default={})), Ref("Bond"),
                "Make a bond of interfaces on one network; an empty MAC means that of the primary member.",
                role=POOL_OPERATOR),
        Message("destroy", (me,), None, "Dissolve the bond; its primary member gets the settings back.",
                role=POOL_OPERATOR),
        Message("set_mode", (me, Param("value", BOND_MODE)), None, "Choose how traffic is spread over the members.",
                role=POOL_OPERATOR),
        Message("set_property", (me, Param("name", STRING, "its name"), Param("value", STRING)), None,
                "Set one property of the bond's mode.", role=POOL_OPERATOR),
    ),
)
# fmt: on
