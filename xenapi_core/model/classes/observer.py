"""The class Observer: destinations for traces of the server's work."""

from __future__ import annotations

from xenapi_core.model.schema import POOL_ADMIN, RO, RW, STATIC, Class, Field, Message, Param
from xenapi_core.model.types import BOOL, STRING, STRING_MAP, Ref, Set

# fmt: off
me = Param("self", Ref("Observer"))

OBSERVER = Class(
    "Observer",
    "An observer: has components of the server trace their work, and sends the traces away.",
    fields=(
        Field("uuid", STRING, RO, "Unique identifier.", default="", state="prototyped"),
        Field("name_label", STRING, RW, "Name shown to people.", default="", path="name/label"),
        Field("name_description", STRING, RW, "Free text shown to people.", default="", path="name/description"),
        Field("hosts", Set(Ref("host")), STATIC, "Hosts on which it observes; empty for all.", default=(),
              state="prototyped"),
        Field("attributes", STRING_MAP, STATIC, "Attributes added to every trace.", default={}, state="prototyped"),
        Field("endpoints", Set(STRING), STATIC, "Where traces go: URLs, or bugtool for a file.", default=(),
              state="prototyped"),
        Field("components", Set(STRING), STATIC, "Components it observes; empty for all.", default=(),
              state="prototyped"),
        Field("enabled", BOOL, STATIC, "Whether it observes.", default=False, state="prototyped"),
    ),
    messages=(
        Message("register", (me, Param("host", Ref("host"), "the host")), None,
                "Tell the components on a host of the observer.", role=POOL_ADMIN, state="prototyped", hidden=True),
        Message("unregister", (me, Param("host", Ref("host"), "the host")), None,
                "Have the components on a host forget the observer.", role=POOL_ADMIN, state="prototyped", hidden=True),
        Message("set_hosts", (me, Param("value", Set(Ref("host")))), None, "Choose the hosts on which it observes.",
                role=POOL_ADMIN, state="prototyped"),
        Message("set_enabled", (me, Param("value", BOOL)), None, "Switch the observer on or off.", role=POOL_ADMIN,
                state="prototyped"),
        Message("set_attributes", (me, Param("value", STRING_MAP)), None,
                "Replace the attributes added to every trace.", role=POOL_ADMIN, state="prototyped"),
        Message("set_endpoints", (me, Param("value", Set(STRING))), None, "Choose where traces go.", role=POOL_ADMIN,
                state="prototyped"),
        Message("set_components", (me, Param("value", Set(STRING))), None, "Choose the components it observes.",
                role=POOL_ADMIN, state="prototyped"),
    ),
    creatable=True,
    state="prototyped",
    role=POOL_ADMIN,
)
# fmt: on
