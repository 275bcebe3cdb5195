"""The class Certificate: TLS certificates the hosts know."""

from __future__ import annotations

from xenapi_core.ids import NULL_REF
from xenapi_core.model.enums import CERTIFICATE_PURPOSE, CERTIFICATE_TYPE
from xenapi_core.model.schema import RO, STATIC, Class, Field
from xenapi_core.model.types import DATETIME, STRING, STRING_MAP, Ref, Set

# fmt: off
CERTIFICATE = Class(
    "Certificate",
    "A TLS certificate of a host, or one that hosts trust.",
    fields=(
        Field("uuid", STRING, RO, "Unique identifier.", default=""),
        Field("name", STRING, RO, "Name of the certificate; empty for that of a host.", default=""),
        Field("type", CERTIFICATE_TYPE, RO,
              "Whether a host shows it, the pool's hosts show it to each other, or it is trusted.", default="host"),
        Field("host", Ref("host"), STATIC, "Host that shows it, or null.", default=NULL_REF),
        Field("not_before", DATETIME, STATIC, "From when it is valid, UTC.", default=0),
        Field("not_after", DATETIME, STATIC, "Until when it is valid, UTC.", default=0),
        Field("fingerprint", STRING, STATIC, "Its SHA-256 digest; fingerprint_sha256 replaces it.", default="",
              state="deprecated"),
        Field("fingerprint_sha256", STRING, STATIC, "Its SHA-256 digest, hexadecimal with colons.", default="",
              state="prototyped"),
        Field("fingerprint_sha1", STRING, STATIC, "Its SHA-1 digest, hexadecimal with colons.", default="",
              state="prototyped"),
        Field("purpose", Set(CERTIFICATE_PURPOSE), STATIC, "What it is trusted for; empty for everything.", default=(),
              state="prototyped"),
        Field("pem", STRING, RO, "The certificate itself, if it is trusted or a host's internal one.", default="", internal=True),
        Field("member_files", STRING_MAP, RO,
              "Of a host's internal one: certificates of members on the disk of that host, by file.", default={},
              internal=True),
        Field("member_bundle", STRING_MAP, RO,
              "Of a host's internal one: certificates of members that the host trusts, by file.", default={},
              internal=True),
    ),
)
# fmt: on
