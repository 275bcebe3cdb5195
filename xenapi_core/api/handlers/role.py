"""Roles and their permissions. The permissions of a role are the messages that it may call (api/permissions.py)."""

from __future__ import annotations

from typing import Any

from xenapi_core.api.permissions import permission_records
from xenapi_core.api.registry import CallContext, handles
from xenapi_core.api.roles import allowed_roles, permissions
from xenapi_core.errors import E
from xenapi_core.model.classes.role import role_ref
from xenapi_core.model.schema import ROLES
from xenapi_core.store.api import Version


def _role(call: CallContext, ref: str) -> Version:
    """A role or a permission. HANDLE_INVALID."""
    return permission_records(call.services.schema).get(ref) or call.get(ref, "role")


def _permissions(call: CallContext, ref: str) -> tuple[str, ...]:
    """Lower-case names of the messages that the role may call, sorted; of a permission: its own."""
    role = _role(call, ref)
    if ref in permission_records(call.services.schema):
        return (role["name_label"],)
    return permissions(call.services.schema, frozenset({role["name_label"]}))


def _roles_with(call: CallContext, label: str) -> tuple[str, ...]:
    """The roles that may call the message of that lower-case name, most powerful first; none for an unknown name."""
    methods = call.services.schema.methods.values()
    message = next((m.message for m in methods if m.wire_name.lower() == label.lower()), None)
    if message is None:
        return ()
    names = [name for name in ROLES if name in allowed_roles(message)]
    return tuple(ref for name in names for ref in call.store.by_name("role", name))


@handles("role.get_permissions_name_label")
def get_permissions_name_label(call: CallContext, ref: str) -> tuple[str, ...]:
    """Names of what the role may call."""
    return _permissions(call, ref)


@handles("role.get_permissions")
def get_permissions(call: CallContext, ref: str) -> tuple[str, ...]:
    """The permissions of the role: one for each message that it may call."""
    return tuple(map(role_ref, _permissions(call, ref)))


@handles("role.get_by_permission_name_label")
def get_by_permission_name_label(call: CallContext, label: str) -> tuple[str, ...]:
    """The roles that may call the message of that name."""
    return _roles_with(call, label)


@handles("role.get_by_permission")
def get_by_permission(call: CallContext, permission: str) -> tuple[str, ...]:
    """The roles that have this permission; none for a role that is no permission. HANDLE_INVALID."""
    return _roles_with(call, _role(call, permission)["name_label"])


@handles("role.get_record")
def get_record(call: CallContext, ref: str) -> Version:
    """A role or a permission. HANDLE_INVALID."""
    return _role(call, ref)


@handles(
    "role.get_uuid", "role.get_name_label", "role.get_name_description", "role.get_subroles", "role.get_is_internal"
)
def get_field(call: CallContext, ref: str) -> Any:
    """The field that the message is named after, of a role or a permission. HANDLE_INVALID."""
    return _role(call, ref)[call.wire_name.removeprefix("role.get_")]


@handles("role.get_by_uuid")
def get_by_uuid(call: CallContext, uuid: str) -> str:
    """A role or a permission. UUID_INVALID."""
    found = call.store.by_uuid("role", uuid) or permission_records(call.services.schema).get(f"OpaqueRef:{uuid}")
    if found is None:
        raise E.UUID_INVALID("role", uuid)
    return found.ref


@handles("role.get_by_name_label")
def get_by_name_label(call: CallContext, label: str) -> tuple[str, ...]:
    """The role or the permission of that name."""
    ref = role_ref(label)
    return call.store.by_name("role", label) or ((ref,) if ref in permission_records(call.services.schema) else ())


@handles("subject.get_permissions_name_label")
def subject_permissions(call: CallContext, ref: str) -> tuple[str, ...]:
    """Lower-case names of the messages that the subject may call through its roles, sorted."""
    found = map(call.store.find, call.get(ref, "subject")["roles"])
    return permissions(call.services.schema, frozenset(role["name_label"] for role in found if role is not None))
