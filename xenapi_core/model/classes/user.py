"""The class user: local accounts, of which there is none."""

from __future__ import annotations

from xenapi_core.model.schema import POOL_ADMIN, RO, RW, STATIC, Class, Field
from xenapi_core.model.types import STRING, STRING_MAP

# fmt: off
USER = Class(
    "user",
    "A local account; no record is made of the accounts that log in, subject replaces it.",
    fields=(
        Field("uuid", STRING, RO, "Unique identifier.", default=""),
        Field("short_name", STRING, STATIC, "Name to log in with."),
        Field("fullname", STRING, RW, "Name of the person."),
        Field("other_config", STRING_MAP, RW, "Free-form settings of clients.", default={}),
    ),
    creatable=True,
    get_all=False,
    events=False,
    state="deprecated",
    role=POOL_ADMIN,
)
# fmt: on
