"""The class SDN_controller: controllers of the pool's virtual switches."""

from __future__ import annotations

from xenapi_core.model.enums import SDN_CONTROLLER_PROTOCOL
from xenapi_core.model.schema import POOL_OPERATOR, RO, STATIC, Class, Field, Message, Param
from xenapi_core.model.types import INT, STRING, Ref

# fmt: off
me = Param("self", Ref("SDN_controller"))

SDN_CONTROLLER = Class(
    "SDN_controller",
    "A controller of the pool's virtual switches (Open vSwitch).",
    fields=(
        Field("uuid", STRING, RO, "Unique identifier.", default=""),
        Field("protocol", SDN_CONTROLLER_PROTOCOL, STATIC,
              "Whether switches connect to the controller (ssl) or wait for it (pssl).", default="ssl"),
        Field("address", STRING, STATIC, "Address of the controller.", default=""),
        Field("port", INT, STATIC, "TCP port of the controller; 0 for the usual one.", default=0),
    ),
    messages=(
        Message("introduce", (Param("protocol", SDN_CONTROLLER_PROTOCOL, "how frames are wrapped", default="ssl"),
                Param("address", STRING, "the address", default=""),
                Param("port", INT, "TCP port; 0 for the usual one", default=0)), Ref("SDN_controller"),
                "Have the virtual switches controlled from an address.", role=POOL_OPERATOR),
        Message("forget", (me,), None, "End the control.", role=POOL_OPERATOR),
    ),
)
# fmt: on
