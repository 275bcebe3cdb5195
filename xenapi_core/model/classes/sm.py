"""The class SM: storage back ends that the pool has."""

from __future__ import annotations

from xenapi_core.model.enums import IMAGE_FORMAT_TYPE
from xenapi_core.model.schema import RO, RW, Class, Field
from xenapi_core.model.types import INT, STRING, STRING_MAP, Map, Ref, Set

# fmt: off
SM = Class(
    "SM",
    "A storage back end: the program that serves storage repositories of one type.",
    fields=(
        Field("uuid", STRING, RO, "Unique identifier.", default=""),
        Field("name_label", STRING, RO, "Name shown to people.", default="", path="name/label"),
        Field("name_description", STRING, RO, "Free text shown to people.", default="", path="name/description"),
        Field("type", STRING, RO, "Type of SR that the back end serves.", default=""),
        Field("vendor", STRING, RO, "Who made it.", default=""),
        Field("copyright", STRING, RO, "Who holds the copyright.", default=""),
        Field("version", STRING, RO, "Version of the back end.", default=""),
        Field("required_api_version", STRING, RO, "Version of the back end interface that it needs.", default=""),
        Field("configuration", STRING_MAP, RO, "Keys of device_config it understands, each with a description.",
              default={}),
        Field("capabilities", Set(STRING), RO, "What it can do; features replaces it.", default=(), state="deprecated"),
        Field("features", Map(STRING, INT), RO, "What it can do, each with the version of the ability.", default={}),
        Field("host_pending_features", Map(Ref("host"), Set(STRING)), RO,
              "Abilities that some hosts have and others lack, by host.", default={}, internal=True,
              state="prototyped"),
        Field("other_config", STRING_MAP, RW, "Free-form settings of clients.", default={}),
        Field("driver_filename", STRING, RO, "Program of the back end on the host.", default=""),
        Field("required_cluster_stack", Set(STRING), RO,
              "Cluster stacks of which it needs one; empty if it needs none.", default=()),
        Field("supported_image_formats", Set(IMAGE_FORMAT_TYPE), RO, "Formats of disk images it can write.", default=(),
              state="prototyped"),
    ),
)
# fmt: on
