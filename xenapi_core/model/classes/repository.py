"""The class Repository: sources of software updates."""

from __future__ import annotations

from xenapi_core.model.enums import ORIGIN
from xenapi_core.model.schema import POOL_OPERATOR, RO, RW, STATIC, Class, Field, Message, Param
from xenapi_core.model.types import BOOL, STRING, Ref

# fmt: off
me = Param("self", Ref("Repository"))

REPOSITORY = Class(
    "Repository",
    "A place that updates of the hosts' software come from.",
    fields=(
        Field("uuid", STRING, RO, "Unique identifier.", default=""),
        Field("name_label", STRING, RW, "Name shown to people.", default="", path="name/label", client_cert=True),
        Field("name_description", STRING, RW, "Free text shown to people.", default="", path="name/description",
              client_cert=True),
        Field("binary_url", STRING, STATIC, "URL of the packages.", default=""),
        Field("source_url", STRING, STATIC, "URL of their sources.", default=""),
        Field("update", BOOL, STATIC, "Whether the repository holds updates.", default=False),
        Field("hash", STRING, RO, "Digest of what was last downloaded from it.", default=""),
        Field("up_to_date", BOOL, RO, "Whether all hosts had everything in the repository.", default=False,
              state="removed"),
        Field("gpgkey_path", STRING, STATIC, "Name of the file with the key that signs the packages.", default="",
              state="prototyped"),
        Field("origin", ORIGIN, STATIC, "Whether it is a server, an uploaded bundle or another pool.", default="remote",
              state="prototyped"),
        Field("certificate", STRING, STATIC, "TLS certificate of the other pool's server, PEM.", default="",
              state="prototyped"),
    ),
    messages=(
        Message("introduce", (Param("name_label", STRING, "its name"),
                Param("name_description", STRING, "its description"),
                Param("binary_url", STRING, "URL of the packages"), Param("source_url", STRING, "URL of their sources"),
                Param("update", BOOL, "it holds updates"), Param("gpgkey_path", STRING, "file of the key", default="")),
                Ref("Repository"), "Record a repository on a server.", role=POOL_OPERATOR, client_cert=True),
        Message("introduce_bundle", (Param("name_label", STRING, "its name"),
                Param("name_description", STRING, "its description")), Ref("Repository"),
                "Record a repository whose packages are uploaded as a bundle.", role=POOL_OPERATOR, client_cert=True,
                state="prototyped"),
        Message("introduce_remote_pool", (Param("name_label", STRING, "its name"),
                Param("name_description", STRING, "its description"),
                Param("binary_url", STRING, "URL of the packages"), Param("certificate", STRING, "PEM")),
                Ref("Repository"), "Record a repository that another pool serves.", role=POOL_OPERATOR,
                client_cert=True, state="prototyped"),
        Message("forget", (me,), None, "Drop the record of a repository the pool does not use.", role=POOL_OPERATOR,
                client_cert=True),
        Message("apply", (Param("host", Ref("host"), "the host"),), None,
                "Put all updates of the pool's repositories on a host.", role=POOL_OPERATOR, client_cert=True,
                hidden=True, pool_internal=True),
        Message("set_gpgkey_path", (me, Param("value", STRING)), None, "Name the key that signs the packages.",
                role=POOL_OPERATOR, client_cert=True, state="prototyped"),
        Message("apply_livepatch", (Param("host", Ref("host"), "the host"), Param("component", STRING, "the component"),
                Param("base_build_id", STRING), Param("base_version", STRING), Param("base_release", STRING),
                Param("to_version", STRING), Param("to_release", STRING)), None,
                "Patch running code of one component on a host.", role=POOL_OPERATOR, client_cert=True,
                state="prototyped", hidden=True, pool_internal=True),
    ),
)
# fmt: on
