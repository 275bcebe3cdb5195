"""The class role: named sets of permissions.

Rule 1: a role's identity follows from its name (role_uuid, role_ref), so that it is the same in every pool: subjects
        and backups keep it.
"""

from __future__ import annotations

import hashlib
import uuid

from xenapi_core.model.schema import READ_ONLY, RO, STATIC, Class, Field, Message, Param
from xenapi_core.model.types import BOOL, STRING, Ref, Set


def role_uuid(name: str) -> str:
    """The uuid of the role or permission `name`: the MD5 digest of its name (subject.roles in the API reference)."""
    return str(uuid.UUID(bytes=hashlib.md5(name.encode(), usedforsecurity=False).digest()))


def role_ref(name: str) -> str:
    """The reference of the role or permission `name`; it shows the uuid."""
    return f"OpaqueRef:{role_uuid(name)}"


# fmt: off
me = Param("self", Ref("role"))

ROLE = Class(
    "role",
    "A role, or a single permission, which is a role without parts.",
    fields=(
        Field("uuid", STRING, RO, "Unique identifier.", default=""),
        Field("name_label", STRING, STATIC, "Name of the role, or of the message the permission is for.", default="",
              path="name/label"),
        Field("name_description", STRING, STATIC, "What the role is for.", default="", path="name/description"),
        Field("subroles", Set(Ref("role")), STATIC, "Roles and permissions this role is made of.", default=()),
        Field("is_internal", BOOL, RO, "Whether the role is for the server's own use and cannot be given to subjects.",
              default=False),
    ),
    messages=(
        Message("get_permissions", (me,), Set(Ref("role")),
                "The permissions a role consists of, those of its subroles too.", role=READ_ONLY, asynchronous=False),
        Message("get_permissions_name_label", (me,), Set(STRING),
                "Names of the permissions a role consists of, those of its subroles too.", role=READ_ONLY,
                asynchronous=False),
        Message("get_by_permission", (Param("permission", Ref("role"), "the permission"),), Set(Ref("role")),
                "The roles that have a permission.", role=READ_ONLY, asynchronous=False),
        Message("get_by_permission_name_label", (Param("label", STRING, "its name"),), Set(Ref("role")),
                "The roles that have the permission of that name.", role=READ_ONLY, asynchronous=False),
    ),
)
# fmt: on
