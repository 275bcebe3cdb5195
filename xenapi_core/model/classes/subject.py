"""The class subject: users and groups that may log in, and their roles."""

from __future__ import annotations

from xenapi_core.model.classes.role import role_ref
from xenapi_core.model.schema import POOL_ADMIN, READ_ONLY, RO, STATIC, Class, Field, Message, Param
from xenapi_core.model.types import STRING, STRING_MAP, Ref, Set

# fmt: off
me = Param("self", Ref("subject"))

SUBJECT = Class(
    "subject",
    "A user or group of a directory service that may log in.",
    fields=(
        Field("uuid", STRING, RO, "Unique identifier.", default=""),
        Field("subject_identifier", STRING, STATIC, "Identifier of the user or group in the directory, unique there.",
              default=""),
        Field("other_config", STRING_MAP, STATIC,
              "What the directory said of the subject when it was added, such as subject-name.", default={}),
        Field("roles", Set(Ref("role")), RO, "Roles that the subject has; pool-admin for a new one.",
              default=(role_ref(POOL_ADMIN),)),
    ),
    messages=(
        Message("add_to_roles", (me, Param("role", Ref("role"), "the role")), None, "Give the subject one more role.",
                role=POOL_ADMIN, asynchronous=False),
        Message("remove_from_roles", (me, Param("role", Ref("role"), "the role")), None,
                "Take a role away from the subject.", role=POOL_ADMIN, asynchronous=False),
        Message("get_permissions_name_label", (me,), Set(STRING),
                "Names of everything the subject may do, through all of its roles.", role=READ_ONLY,
                asynchronous=False),
    ),
    creatable=True,
    role=POOL_ADMIN,
)
# fmt: on
