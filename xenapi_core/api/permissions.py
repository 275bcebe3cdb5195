"""Permissions as role records: one for each message, and a role consists of permissions.

Rule 1: the records follow from the schema and are not stored: role.get_all lists the roles alone, and a permission
        is found by its reference, its uuid or its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from xenapi_core.model.classes.role import role_ref, role_uuid
from xenapi_core.model.schema import Schema
from xenapi_core.store.api import Version


@lru_cache(maxsize=4)
def permission_records(schema: Schema) -> Mapping[str, Version]:
    """The record of each permission by its reference. Its name is the lower-case name of its message."""
    return {version.ref: version for version in map(_record, sorted(name.lower() for name in schema.methods))}


def _record(name: str) -> Version:
    values = {
        "uuid": role_uuid(name), "name_label": name, "name_description": f"Call {name}", "subroles": (),
        "is_internal": False,
    }  # fmt: skip
    return Version("role", role_ref(name), values, 0, 0)
