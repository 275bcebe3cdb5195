"""Sessions for HTTP requests that authenticate each time: by user and password (HTTP Basic: WBEM, import and export
handlers) or by the client certificate of their connection.

Rule 1: a pair that was proven is remembered for a few minutes as a keyed hash, never as text; then it is proven again.
Rule 2: one session serves all requests of one pair and originator, so a polling client does not fill the session table;
        as long as the pair proves the same identity, to the last field.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import OrderedDict
from dataclasses import dataclass

from xenapi_core.api.auth import Identity
from xenapi_core.api.sessions import Sessions
from xenapi_core.engine.caller import Caller
from xenapi_core.errors import ApiError

LIFETIME = 300  # seconds until a proven pair is proven again
CAPACITY = 1000


@dataclass(slots=True)
class Proof:
    """A pair that was right at `proven`; `change` is Sessions.password_changes before its check began."""

    session: str
    proven: int
    change: int


class BasicAuth:
    """Turns pairs of user and password into sessions."""

    def __init__(self, sessions: Sessions) -> None:
        self.sessions = sessions
        self._key = secrets.token_bytes(32)
        self._proofs: OrderedDict[bytes, Proof] = OrderedDict()

    def _digest(self, user: str, password: str) -> bytes:
        text = f"{len(user)}:{user}{password}".encode(errors="surrogatepass")
        return hmac.new(self._key, text, hashlib.sha256).digest()

    def known(self, user: str, password: str) -> Caller | None:
        """The caller of a pair proven lately, without awaiting; else None."""
        proof = self._proofs.get(self._digest(user, password))
        sessions = self.sessions
        if proof is None or proof.change != sessions.password_changes:
            return None
        if sessions.clock.now() - proof.proven > LIFETIME:
            return None
        try:
            return sessions.check(proof.session)
        except ApiError:
            return None

    async def authenticate(self, user: str, password: str, *, originator: str, address: str = "") -> Caller | None:
        """The caller of a pair, or None after the delay for wrong credentials."""
        change = self.sessions.password_changes
        try:
            identity = await self.sessions.identify(user, password, address=address)
        except ApiError:
            return None
        return self._caller(self._digest(user, password), identity, change, originator, address)

    async def certified(self, certificate: bytes, *, originator: str, address: str = "") -> Caller | None:
        """The caller who owns this verified client certificate (DER), or None after the delay for nobody."""
        change = self.sessions.password_changes
        try:
            identity = await self.sessions.identify_certificate(certificate)
        except ApiError:
            return None
        digest = hmac.new(self._key, b"certificate:" + certificate, hashlib.sha256).digest()
        return self._caller(digest, identity, change, originator, address)

    def _caller(self, digest: bytes, identity: Identity, change: int, originator: str, address: str) -> Caller:
        """The caller of a proof: in the session it has (Rule 2), or in a new one."""
        sessions, stale = self.sessions, []
        old = self._proofs.pop(digest, None)
        if old is not None and sessions.alive(old.session):
            caller = sessions.check(old.session)
            if sessions.identity(caller) == identity and caller.originator == originator:
                self._remember(digest, old.session, change)  # kept: requests may be running in it
                return caller
            stale.append(old.session)
        fresh = sessions.open(identity, originator=originator, address=address)
        self._remember(digest, fresh, change)
        while len(self._proofs) > CAPACITY:
            stale.append(self._proofs.popitem(last=False)[1].session)
        sessions.end(*stale)
        return sessions.check(fresh)

    def _remember(self, digest: bytes, session: str, change: int) -> None:
        self._proofs[digest] = Proof(session, self.sessions.clock.now(), change)
