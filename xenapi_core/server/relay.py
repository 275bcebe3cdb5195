"""The Unix socket of a server that joined a pool: forwards root's requests to the coordinator.

Rule 1: requests and replies pass as they are; only what a member answers itself (api/membership.py, EMERGENCY) stays.
Rule 2: whoever can open the socket is root, so logging in there needs no password: the session is one of the
        coordinator, made with the pool secret. Logging in as a member stays a thing of members.
Rule 3: only a server that follows another one's coordinator relays; hosts with endpoints of their own share a process.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from xenapi_core.api.membership import Membership, answered_by_members, place_of
from xenapi_core.api.sessions import Sessions
from xenapi_core.errors import ApiError, E
from xenapi_core.model.types import Ref
from xenapi_core.server.routes import Request, Response
from xenapi_core.wire.api import Call, Codec

_SESSION: Final = Ref("session")
_LOGINS: Final = frozenset({"session.login_with_password", "session_login_with_password"})
_OF_MEMBERS: Final = frozenset({"session.slave_login", "session_slave_login"})

Relay = Callable[[Request, Call, Codec], Awaitable[Response] | None]


def relay_to_coordinator(sessions: Sessions, headers: Callable[[Codec], tuple[tuple[str, str], ...]]) -> Relay:
    """A function that gives the coordinator's answer to a request, or None if it is to be answered here.

    `headers(codec)` are those of a reply. CANNOT_CONTACT_HOST [coordinator] as the answer if there is none.
    """
    membership = sessions.membership

    def relay(request: Request, call: Call, codec: Codec) -> Awaitable[Response] | None:
        if not membership.coordinator:
            return None
        if answered_by_members(call.method) or call.method in _OF_MEMBERS:
            return None
        return answer(request, call, codec)

    async def answer(request: Request, call: Call, codec: Codec) -> Response:
        try:
            remote = membership.reach(membership.coordinator)
            if call.method in _LOGINS:
                session = await remote.call("session.slave_login", _host(sessions), membership.secret)
                return Response(200, headers(codec), codec.success(call, codec.value(_SESSION, session)))
            return Response(200, headers(codec), await remote.relay(request.path, request.body, codec.content_type))
        except ApiError as error:
            return Response(200, headers(codec), codec.failure(call, error.description))
        except (OSError, ValueError):
            failure = E.CANNOT_CONTACT_HOST(_coordinator_host(membership))
            return Response(200, headers(codec), codec.failure(call, failure.description))

    return relay


def _host(sessions: Sessions) -> str:
    """The uuid of the host of this server, by which the coordinator knows it."""
    store = sessions.store
    (pool,) = store.all("pool").values()
    return str(store.get(pool["master"])["uuid"])


def _coordinator_host(membership: Membership) -> str:
    try:
        return place_of(membership.coordinator)[1]
    except ValueError:
        return membership.coordinator
