"""The role of this server in a pool: coordinator or member, the pool secret, and which calls a member answers.

Theory of operation
1. A server is the coordinator of the pool in its store, until it joins the pool of another server: then `coordinator`
   is that server's address, and the store keeps the host alone. Code that changes that saves it (`save`) before
   answering.
2. With one endpoint per host, the endpoint of every host but the coordinator's answers as a member does. pool.master
   says which host is the coordinator, so the roles change with the record and with nothing else.
3. A member answers HOST_IS_SLAVE to messages that only the coordinator can answer. It answers itself the messages for
   its own host when the coordinator is lost (EMERGENCY), the coordinator's steps (ROUNDS), and calls of other members:
   those in sessions made with the pool secret.
4. The secret is compared in constant time, and is never in a record, a log or an error.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlsplit

from xenapi_core.errors import ApiError, E
from xenapi_core.store.api import Store
from xenapi_core.wire.api import Call, Codec

if TYPE_CHECKING:
    from xenapi_core.api.sessions import Sessions

# What a member answers itself, also without a coordinator (API reference, emergency calls).
EMERGENCY: Final = frozenset({
    "host.abort_new_master", "host.commit_new_master", "host.emergency_clear_mandatory_guidance",
    "host.emergency_disable_tls_verification", "host.emergency_ha_disable",
    "host.emergency_reenable_tls_verification", "host.emergency_reset_server_certificate",
    "host.get_system_status_capabilities", "host.ha_xapi_healthcheck", "host.is_in_emergency_mode",
    "host.local_assert_healthy", "host.local_management_reconfigure", "host.management_disable",
    "host.propose_new_master", "host.shutdown_agent", "host.signal_networking_change",
    "host.update_firewalld_service_status", "pool.emergency_reset_master", "pool.emergency_transition_to_master",
    "pool.is_slave", "session.local_logout", "session.slave_local_login", "session.slave_local_login_with_password",
})  # fmt: skip

# What a member answers to the coordinator: steps of replacing the pool secret (handlers/pool_secret.py).
ROUNDS: Final = (
    "host.notify_accept_new_pool_secret", "host.notify_send_new_pool_secret", "host.cleanup_pool_secret",
)  # fmt: skip

# And steps of trusting each other (handlers/pool_trust.py), with what a coordinator may order in its place.
TRUST_STEPS: Final = ("host.cert_distrib_atom", "host.refresh_server_certificate", "host.update_pool_secret")

# And where the coordinator is, if it has moved (handlers/new_coordinator.py).
MOVES: Final = ("host.update_master",)


def place_of(address: str) -> tuple[str, str, int | None]:
    """Scheme ("" if none is named), host and port of a server, given as host, host:port or URL. ValueError."""
    parts = urlsplit(
        address
        if "://" in address
        else f"//{f'[{address}]' if address.count(':') > 1 and '[' not in address else address}"
    )
    if not parts.hostname or parts.path not in ("", "/") or parts.scheme not in ("", "http", "https"):
        raise ValueError(f"{address!r} is no address of a server")
    return parts.scheme, parts.hostname, parts.port


class Remote(Protocol):
    """The Xen-API of another server (bridge/client.py)."""

    async def call(self, method: str, *params: Any) -> Any:
        """The value of a call, as decoded from XML. Raises ApiError for a failure, OSError if nobody answers."""

    async def post(self, path: str, body: bytes, cookie: str) -> Any:
        """The value an HTTP handler of the server answers. Raises ApiError for a failure, OSError if nobody answers."""

    async def relay(self, path: str, body: bytes, content_type: str) -> bytes:
        """The body of the reply to a POST, as it came. Raises OSError if nobody answers within a day."""


def answered_by_members(name: str) -> bool:
    """Whether a member answers calls of that name itself."""
    dotted = name if "." in name else name.replace("_", ".", 1)
    return dotted in EMERGENCY or dotted in ROUNDS or dotted in (*TRUST_STEPS, *MOVES) or name.startswith("system.")


def new_secret() -> str:
    """A pool secret: 256 random bits in characters that a cookie may hold."""
    return secrets.token_urlsafe(32)


@dataclass
class Membership:
    """The role of this server in its pool, and its ways to other servers. `connect` opens the way to another server by
    its address (host or host:port), `connect_to` to one that shows a certificate (PEM), `connect_member` to a member of
    the same pool.

    `secret` "" lets nobody in. While it is replaced, `coming` is the one that will be used, or `going` the one that
    was; both are accepted (handlers/pool_secret.py). `address` is where other servers reach this one; "" if they do
    not. `joining`: this server is about to become a member.
    """

    secret: str = field(default="", repr=False)
    coordinator: str = ""
    coming: str = field(default="", repr=False)
    going: str = field(default="", repr=False)
    address: str = ""
    joining: bool = False
    connect: Callable[[str], Remote] | None = None
    connect_to: Callable[[str, str], Remote] | None = None
    connect_member: Callable[[str], Remote] | None = None
    save: Callable[[Membership], None] = field(default=lambda membership: None)

    def knows(self, secret: str) -> bool:
        """Whether that is the pool's secret, or one that is accepted beside it."""
        given, found = secret.encode("utf-8", "surrogatepass"), False
        for good in (self.secret, self.coming, self.going):
            found |= hmac.compare_digest(given, good.encode("utf-8")) and bool(good)
        return found

    def reach(self, address: str) -> Remote:
        """The way to the server of another member of the pool. ConnectionError if this process has no way to any;
        ValueError for what is no address."""
        connect = self.connect_member or self.connect
        if connect is None:
            raise ConnectionError("this process reaches no other server")
        return connect(address)

    def follow(self, coordinator: str, secret: str = "") -> None:
        """Become a member of the server at `coordinator`, or the coordinator if that is "". The secret changes if one
        is given."""
        left = ("", "") if secret else (self.coming, self.going)
        self._become(coordinator, secret or self.secret, *left)

    def use(self, secret: str, coming: str = "", going: str = "") -> None:
        """Show `secret` to other members from now on, and accept the other two beside it."""
        self._become(self.coordinator, secret, coming, going)

    def _become(self, coordinator: str, secret: str, coming: str, going: str) -> None:
        self.save(replace(self, coordinator=coordinator, secret=secret, coming=coming, going=going))
        self.coordinator, self.secret, self.coming, self.going = coordinator, secret, coming, going


class Handles(Protocol):
    """The interface that answers calls (api.dispatcher.Dispatcher)."""

    def handle(self, call: Call, codec: Codec, peer: Any) -> bytes | Awaitable[bytes]: ...


class Door:
    """The Xen-API as one host gives it: the whole of it where the coordinator is, else what a member answers.

    `host` None: the endpoint of the server as a whole, which is the coordinator's unless the server joined a pool.
    """

    def __init__(self, dispatcher: Handles, store: Store, sessions: Sessions, host: str | None = None) -> None:
        self._dispatcher = dispatcher
        self._store = store
        self._sessions = sessions
        self.host = host

    def coordinator(self) -> str | None:
        """The address of the coordinator if that is somewhere else; None if it is here."""
        if self._sessions.membership.coordinator:
            return place_of(self._sessions.membership.coordinator)[1]
        if self.host is None:
            return None
        for pool in self._store.all("pool").values():
            if pool["master"] != self.host:
                master = self._store.find(pool["master"])
                return str(master["address"]) if master is not None else ""
        return None

    def handle(self, call: Call, codec: Codec, peer: Any) -> bytes | Awaitable[bytes]:
        """The reply to a call, as api.dispatcher.Dispatcher.handle makes it; a member refuses what only the coordinator
        can answer with HOST_IS_SLAVE [address of the coordinator]."""
        elsewhere = self.coordinator()
        if elsewhere is not None and not self._answers(call):
            return codec.failure(call, E.HOST_IS_SLAVE(elsewhere).description)
        return self._dispatcher.handle(call, codec, peer if self.host is None else replace(peer, host=self.host))

    def _answers(self, call: Call) -> bool:
        if answered_by_members(call.method):
            return True
        try:
            return bool(call.params) and self._sessions.check(call.params[0]).of_pool
        except ApiError:
            return False
