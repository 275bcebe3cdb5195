"""The class tunnel: networks between hosts, carried by another network."""

from __future__ import annotations

from xenapi_core.errors import E
from xenapi_core.ids import NULL_REF
from xenapi_core.model.enums import TUNNEL_PROTOCOL
from xenapi_core.model.schema import POOL_OPERATOR, RO, RW, STATIC, Class, Field, Message, Param
from xenapi_core.model.types import STRING, STRING_MAP, Ref

# fmt: off
me = Param("self", Ref("tunnel"))

TUNNEL = Class(
    "tunnel",
    "A private network between hosts, carried by an interface of each.",
    fields=(
        Field("uuid", STRING, RO, "Unique identifier.", default=""),
        Field("access_PIF", Ref("PIF"), STATIC, "Interface that shows what the tunnel carries.", default=NULL_REF),
        Field("transport_PIF", Ref("PIF"), STATIC, "Interface that carries the tunnel.", default=NULL_REF),
        Field("status", STRING_MAP, RW, "Whether the tunnel is active, and the key it uses.",
              default={"active": "false"}),
        Field("other_config", STRING_MAP, RW, "Free-form settings of clients.", default={}),
        Field("protocol", TUNNEL_PROTOCOL, RW, "How frames are wrapped.", default="gre"),
    ),
    messages=(
        Message("create", (Param("transport_PIF", Ref("PIF"), "the interface that carries it"),
                Param("network", Ref("network"), "the network"),
                Param("protocol", TUNNEL_PROTOCOL, "how frames are wrapped", default="gre")), Ref("tunnel"),
                "Make a tunnel over an interface and connect it to a network.", errors=(E.OPENVSWITCH_NOT_ACTIVE,
                E.TRANSPORT_PIF_NOT_CONFIGURED, E.IS_TUNNEL_ACCESS_PIF), role=POOL_OPERATOR),
        Message("destroy", (me,), None, "Remove the tunnel and its access interface.", role=POOL_OPERATOR),
    ),
)
# fmt: on
