"""session: logging in and out."""

from __future__ import annotations

from xenapi_core.api.registry import CallContext, handles
from xenapi_core.api.roles import may
from xenapi_core.errors import E
from xenapi_core.model.schema import POOL_ADMIN
from xenapi_core.store.api import Version

ADMINS = frozenset({POOL_ADMIN})


@handles("session.login_with_password")
async def login_with_password(call: CallContext, uname: str, pwd: str, version: str, originator: str) -> str:
    """A new session. SESSION_AUTHENTICATION_FAILED [user, text] after a delay. `version` has no meaning any more.

    Without a password, the client certificate of the connection counts, if there is one.
    """
    sessions = call.services.sessions
    if call.certificate is not None and not pwd:
        return await sessions.certificate_login(call.certificate, originator=originator, address=call.address)
    trusted = call.transport == "unix"
    return await sessions.login(uname, pwd, originator=originator, address=call.address, trusted=trusted)


@handles("session.slave_local_login_with_password")
async def slave_local_login_with_password(call: CallContext, uname: str, pwd: str) -> str:
    trusted = call.transport == "unix"
    return await call.services.sessions.local_login(uname, pwd, address=call.address, trusted=trusted)


@handles("session.slave_login")
async def slave_login(call: CallContext, host: str, psecret: str) -> str:
    """A session of the member `host`. SESSION_AUTHENTICATION_FAILED after a delay for a wrong pool secret."""
    return await call.services.sessions.pool_login(psecret, address=call.address)


@handles("session.slave_local_login")
async def slave_local_login(call: CallContext, psecret: str) -> str:
    return await call.services.sessions.pool_local_login(psecret, address=call.address)


@handles("session.logout", "session.local_logout")
def logout(call: CallContext) -> None:
    """End the caller's session; event calls that wait in its name end with SESSION_INVALID."""
    call.services.sessions.end(call.caller.session)


@handles("session.change_password")
async def change_password(call: CallContext, old_pwd: str, new_pwd: str) -> None:
    await call.services.sessions.change_password(call.caller, old_pwd, new_pwd)


@handles("session.get_by_uuid")
def get_by_uuid(call: CallContext, uuid: str) -> str:
    """The reference is the secret: only pool admins find another's session by what is no secret. UUID_INVALID."""
    found = call.store.by_uuid("session", uuid)
    if found is None or (found.ref != call.caller.session and not may(call.caller, ADMINS)):
        raise E.UUID_INVALID("session", uuid)
    return found.ref


@handles("session.get_all_subject_identifiers")
def get_all_subject_identifiers(call: CallContext) -> tuple[str, ...]:
    """Identifiers of accounts with a session that subjects gave their roles, and those of the subjects: groups, too."""
    sessions = call.store.all("session").values()
    return tuple(sorted(set().union(*(_identifiers(call, session) for session in sessions))))


def _identifiers(call: CallContext, session: Version) -> set[str]:
    """The identifiers of the account and of its subject, which is a group's subject if the account has none of its
    own."""
    subject = call.store.find(session["subject"])
    return {session["auth_user_sid"], "" if subject is None else subject["subject_identifier"]} - {""}


@handles("session.logout_subject_identifier")
def logout_subject_identifier(call: CallContext, subject_identifier: str) -> None:
    """End every session of an external account, or of a group by which they logged in, but not the caller's own."""
    if not subject_identifier:
        raise E.INVALID_VALUE("subject_identifier", subject_identifier)
    others = [session for ref, session in call.store.all("session").items() if ref != call.caller.session]
    call.services.sessions.end(*[s.ref for s in others if subject_identifier in _identifiers(call, s)])
