"""Roles: what they consist of. The permissions of a role are the messages that it may call."""

from __future__ import annotations

from xenapi_core.api.registry import CallContext, handles
from xenapi_core.api.roles import allowed_roles, permissions
from xenapi_core.model.schema import ROLES


@handles("role.get_permissions_name_label")
def get_permissions_name_label(call: CallContext, ref: str) -> tuple[str, ...]:
    """Lower-case names of the messages that the role may call, sorted."""
    name = call.get(ref, "role")["name_label"]
    return permissions(call.services.schema, frozenset({name}))


@handles("role.get_by_permission_name_label")
def get_by_permission_name_label(call: CallContext, label: str) -> tuple[str, ...]:
    """The roles that may call the message of that lower-case name, most powerful first; none for an unknown name."""
    methods = call.services.schema.methods.values()
    message = next((m.message for m in methods if m.wire_name.lower() == label.lower()), None)
    if message is None:
        return ()
    names = [name for name in ROLES if name in allowed_roles(message)]
    return tuple(ref for name in names for ref in call.store.by_name("role", name))


@handles("subject.get_permissions_name_label")
def subject_permissions(call: CallContext, ref: str) -> tuple[str, ...]:
    """Lower-case names of the messages that the subject may call through its roles, sorted."""
    found = map(call.store.find, call.get(ref, "subject")["roles"])
    return permissions(call.services.schema, frozenset(role["name_label"] for role in found if role is not None))
