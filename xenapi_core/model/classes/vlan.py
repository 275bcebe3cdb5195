"""The class VLAN: tagged networks on an interface."""

from __future__ import annotations

from xenapi_core.ids import NULL_REF
from xenapi_core.model.schema import POOL_OPERATOR, RO, RW, STATIC, Class, Field, Message, Param
from xenapi_core.model.types import INT, STRING, STRING_MAP, Ref

# fmt: off
me = Param("self", Ref("VLAN"))

VLAN = Class(
    "VLAN",
    "A VLAN: an interface that carries the frames of another one which have a certain tag.",
    fields=(
        Field("uuid", STRING, RO, "Unique identifier.", default=""),
        Field("tagged_PIF", Ref("PIF"), STATIC, "Interface whose frames carry the tag.", default=NULL_REF),
        Field("untagged_PIF", Ref("PIF"), RO, "Interface that shows the frames of that tag without it.",
              default=NULL_REF),
        Field("tag", INT, STATIC, "The VLAN tag, 0 to 4094; -1 for none.", default=-1),
        Field("other_config", STRING_MAP, RW, "Free-form settings of clients.", default={}),
    ),
    messages=(
        Message("pool_introduce", (Param("tagged_PIF", Ref("PIF"), "the interface"),
                Param("untagged_PIF", Ref("PIF"), "the interface without tags"), Param("tag", INT, "the VLAN tag"),
                Param("other_config", STRING_MAP)), Ref("VLAN"), "Record a VLAN that is there already.",
                role=POOL_OPERATOR, hidden=True),
        Message("create", (Param("tagged_PIF", Ref("PIF"), "the interface"), Param("tag", INT, "the VLAN tag"),
                Param("network", Ref("network"), "the network")), Ref("VLAN"),
                "Make a VLAN on an interface and connect it to a network.", role=POOL_OPERATOR),
        Message("destroy", (me,), None, "Remove the VLAN and its untagged interface.", role=POOL_OPERATOR),
    ),
)
# fmt: on
