"""The class console: how the screen of a VM is reached."""

from __future__ import annotations

from xenapi_core.ids import NULL_REF
from xenapi_core.model.enums import CONSOLE_PROTOCOL
from xenapi_core.model.schema import RO, RW, VM_ADMIN, Class, Field
from xenapi_core.model.types import INT, STRING, STRING_MAP, Ref

# fmt: off
CONSOLE = Class(
    "console",
    "A way to see a VM's screen or text terminal.",
    fields=(
        Field("uuid", STRING, RO, "Identity of the console.", default=""),
        Field("protocol", CONSOLE_PROTOCOL, RO,
              "What is spoken on the connection: a text terminal, VNC or remote desktop.", default="vt100"),
        Field("location", STRING, RO, "URI to connect to.", default=""),
        Field("VM", Ref("VM"), RO, "VM the console shows.", default=NULL_REF),
        Field("other_config", STRING_MAP, RW, "Free settings of clients."),
        Field("port", INT, RW, "Port on the host that serves the console.", internal=True),
    ),
    creatable=True,
    role=VM_ADMIN,
)
