"""The record vdi_nbd_server_info: a server where a disk can be read over the network."""

from __future__ import annotations

from xenapi_core.model.schema import RO, Class, Field
from xenapi_core.model.types import INT, STRING

# fmt: off
VDI_NBD_SERVER_INFO = Class(
    "vdi_nbd_server_info",
    "One address at which a disk can be read with NBD over TLS; the answer to VDI.get_nbd_info.",
    fields=(
        Field("exportname", STRING, RO, "Name to ask the server for; it holds a session and is to be kept secret.",
              default=""),
        Field("address", STRING, RO, "Address of the server.", default=""),
        Field("port", INT, RO, "TCP port of the server.", default=0),
        Field("cert", STRING, RO, "TLS certificate of the server, PEM.", default=""),
        Field("subject", STRING, RO, "Name in the certificate that the client must check.", default=""),
    ),
    get_all=False,
    events=False,
    persist=False,
    in_database=False,
    has_records=False,
)
# fmt: on
