"""Calls from a coordinator to the server of a member, each in a session of its own that the pool secret opens.

Rule 1: members are servers whose host joined (host.joined_from). A host has another reference at its own server, so
        calls name it by uuid.
"""

from __future__ import annotations

from typing import Any

from xenapi_core.api.membership import Membership, Remote
from xenapi_core.errors import E
from xenapi_core.store.api import Version


async def log_in_at(membership: Membership, address: str) -> tuple[Remote, str]:
    """A member's server, and a session there. OSError, ValueError, ApiError."""
    remote = membership.reach(address)
    return remote, await remote.call("session.slave_local_login", membership.secret)


async def ask_member(membership: Membership, member: Version, message: str, *args: Any) -> Any:
    """The result of a message, whose first parameter is the host, from the server of that host.

    CANNOT_CONTACT_HOST [host] if it does not answer; the errors that it returns.
    """
    try:
        remote, session = await log_in_at(membership, member["joined_from"])
        answer = await remote.call(message, session, member["uuid"], *args)
        await remote.call("session.local_logout", session)
    except (OSError, ValueError):
        raise E.CANNOT_CONTACT_HOST(member.ref) from None
    return answer
