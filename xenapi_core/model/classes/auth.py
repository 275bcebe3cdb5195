"""The class auth: users and groups of the pool's external directory."""

from __future__ import annotations

from xenapi_core.model.schema import READ_ONLY, Class, Message, Param
from xenapi_core.model.types import STRING, STRING_MAP, Set

# fmt: off
AUTH = Class(
    "auth",
    "Questions to the directory service (such as Active Directory) that external authentication uses.",
    fields=(),
    messages=(
        Message("get_subject_identifier", (Param("subject_name", STRING, "name in the directory"),), STRING,
                "The identifier of the user or group with that name in the directory.", role=READ_ONLY,
                asynchronous=False),
        Message("get_subject_information_from_identifier",
                (Param("subject_identifier", STRING, "identifier in the directory"),), STRING_MAP,
                "What the directory says of a user or group, such as subject-name and subject-is-group.",
                role=READ_ONLY, asynchronous=False),
        Message("get_group_membership", (Param("subject_identifier", STRING, "identifier in the directory"),),
                Set(STRING),
                "Identifiers of the groups that a user or group belongs to, directly or through other groups.",
                role=READ_ONLY, asynchronous=False),
    ),
    get_all=False,
    events=False,
    persist=False,
    in_database=False,
    has_records=False,
)
# fmt: on
