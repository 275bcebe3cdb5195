"""subject: users and groups that may log in, and their roles.

Rule 1: a subject is a user or group of the external directory, by its identifier there (auth.get_subject_identifier),
        or an account of the server's own (users file, PAM), by the name to log in with.
Rule 2: users of the directory have the roles of their subject and of their groups' subjects, and no others. The roles
        of a subject replace those that the server gave its own account. Both count from the next login on. Taking a
        role away and removing the subject end the subject's sessions at once, the caller's own too.
Rule 3: the superuser is above subjects: none can give or take what it may do.
"""

from __future__ import annotations

from typing import Any

from xenapi_core.api.registry import CallContext, handles
from xenapi_core.errors import E


@handles("subject.create")
def create(call: CallContext, values: dict[str, Any]) -> str:
    """Let a user or group log in as pool-admin. INVALID_VALUE without an identifier, SUBJECT_ALREADY_EXISTS."""
    identifier = values["subject_identifier"]
    if not identifier:
        raise E.INVALID_VALUE("subject_identifier", identifier)
    if call.services.sessions.subject(identifier) is not None:
        raise E.SUBJECT_ALREADY_EXISTS()
    return call.create("subject", values)


@handles("subject.destroy")
def destroy(call: CallContext, ref: str) -> None:
    """The user has no more roles than other subjects and the server give, and logs in again."""
    call.commit(lambda txn: txn.delete(ref))
    call.services.sessions.end_subject(ref)


@handles("subject.add_to_roles")
def add_to_roles(call: CallContext, ref: str, role: str) -> None:
    """ROLE_NOT_FOUND for a role that is the server's own, ROLE_ALREADY_EXISTS for one the subject has."""
    if call.get(role, "role")["is_internal"]:
        raise E.ROLE_NOT_FOUND()
    roles = call.get(ref, "subject")["roles"]
    if role in roles:
        raise E.ROLE_ALREADY_EXISTS()
    call.update(ref, roles=(*roles, role))


@handles("subject.remove_from_roles")
def remove_from_roles(call: CallContext, ref: str, role: str) -> None:
    """ROLE_NOT_FOUND for a role the subject has not. A subject without roles cannot log in."""
    roles = call.get(ref, "subject")["roles"]
    if role not in roles:
        raise E.ROLE_NOT_FOUND()
    call.update(ref, roles=tuple(other for other in roles if other != role))
    call.services.sessions.end_subject(ref)
