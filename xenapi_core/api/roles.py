"""Role-based access control: each message has a least role, and a session carries the roles of its user.

Rule 1: the superuser (the Unix socket, and accounts that an authenticator calls so) passes every check; nobody else
        may call LOCAL_ROOT_ONLY messages.
Rule 2: a check reads two frozen sets; what a message requires is computed once, when it is first called.
"""

from __future__ import annotations

from collections.abc import Mapping

from xenapi_core.engine.caller import Caller
from xenapi_core.errors import ApiError, E
from xenapi_core.model.schema import CLIENT_CERT, ROLES, Message, Method, Schema, roles_above

LOCAL_ONLY = "only the local superuser may call it"


def allowed_roles(message: Message) -> frozenset[str]:
    """Every role that may call `message`."""
    return roles_above(message.role, message.client_cert)


def key_role_sets(key_roles: Mapping[str, str]) -> tuple[tuple[str, frozenset[str]], ...]:
    """Map keys, and the roles that may add or remove them: exact keys first, then beginnings ("folder.*")."""
    ordered = sorted(key_roles.items(), key=lambda item: (item[0].endswith("*"), -len(item[0])))
    return tuple((key, roles_above(role)) for key, role in ordered)


def may(caller: Caller, allowed: frozenset[str]) -> bool:
    return caller.local_root or not caller.roles.isdisjoint(allowed)


def key_allows(rules: tuple[tuple[str, frozenset[str]], ...], key: object) -> frozenset[str] | None:
    """The roles that may write map key `key`, if it has a rule of its own (API reference: map_keys_roles)."""
    for pattern, allowed in rules:
        if key == pattern or (pattern.endswith("*") and str(key).startswith(pattern[:-1])):
            return allowed
    return None


def refusal(wire_name: str, allowed: frozenset[str]) -> ApiError:
    """RBAC_PERMISSION_DENIED [permission, message]: the permission is the lower-case wire name, as xapi names it."""
    having = ", ".join(role for role in ROLES if role in allowed and role != CLIENT_CERT) or LOCAL_ONLY
    return E.RBAC_PERMISSION_DENIED(
        wire_name.lower(), f"No permission in user session. (Roles with this permission: {having})"
    )


def permissions(schema: Schema, roles: frozenset[str]) -> tuple[str, ...]:
    """The names of all messages that `roles` may call, sorted (session.rbac_permissions)."""

    def named(method: Method) -> str:
        return method.wire_name.lower()

    return tuple(sorted(named(m) for m in schema.methods.values() if not roles.isdisjoint(allowed_roles(m.message))))
