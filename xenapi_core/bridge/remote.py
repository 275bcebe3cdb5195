"""Another pool as a Source: reads a replica of it, and calls its Xen-API in the sessions of its users.

Theory of operation
1. A service account feeds the replica by event.from, a long poll at a time. When the events are lost, the counts
   disagree or the contact was broken, the whole pool is read again and the replica is brought up to it: objects that
   still exist keep their identity for readers.
2. Users are the pool's own: a WBEM login is a login there, remembered for LIFETIME seconds as a keyed hash. Calls are
   made in the user's own session, so the pool checks what the user may do.
3. A caller reads what it wrote: after a call that writes, event.inject gives a token, and the call returns when the
   replica has come to it, or BARRIER_SECONDS later. So does a call that fails because something is gone.
4. While the pool cannot be reached the replica stays readable, every host in it is without contact, calls answer
   HOST_OFFLINE, and new logins fail. Connecting is tried again with a growing pause. Users whose sessions did not
   outlast that log in anew with their next request.
5. Samples of the data sources are read from every host that can be reached (measurements.py); they do not change the
   replica.
6. Neither passwords nor sessions reach a log.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import logging
import secrets
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from xenapi_core.api.derived import READS
from xenapi_core.api.records import Records
from xenapi_core.api.roles import allowed_roles
from xenapi_core.background import again_and_again
from xenapi_core.bridge.measurements import STEP, UPDATES, Measurements, recorded
from xenapi_core.bridge.pool_client import PoolClient, Unreachable
from xenapi_core.bridge.replica import Batch, Replica
from xenapi_core.bridge.source import NO_SAMPLES, Principal, Recorded, Samples
from xenapi_core.clock import Clock
from xenapi_core.errors import ApiError, E
from xenapi_core.model.schema import POOL_ADMIN, ROLES, Schema
from xenapi_core.store.api import Change

log = logging.getLogger(__name__)

POLL_SECONDS: Final = 30.0
BARRIER_SECONDS: Final = 10.0
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
LIFETIME: Final = 300
CAPACITY: Final = 1000
ORIGINATOR: Final = "xencim bridge"
# The answers to event.from that mean: begin anew.
LOST: Final = frozenset({"EVENTS_LOST", "EVENT_FROM_TOKEN_PARSE_FAILURE"})
ENDED: Final = frozenset({"SESSION_INVALID", "HANDLE_INVALID"})


class LoginRefusedError(Exception):
    """The pool does not take the service account: one sentence."""


@dataclass(slots=True)
class _Proof:
    principal: Principal
    proven: float


class RemoteSource:
    """The bridge.source.Source over a replica of another pool. `start` returns when the replica is complete; `close`
    ends all sessions."""

    def __init__(self, client: PoolClient, schema: Schema, clock: Clock, user: str, password: str) -> None:
        self._client = client
        self._schema = schema
        self._clock = clock
        self._account = (user, password)
        self._session = ""
        self._replica = Replica(schema)
        self._token = ""
        self._moved = asyncio.Event()
        self._ahead = 0  # seconds that the pool's clock is ahead of ours
        self._feeder: asyncio.Task[None] | None = None
        self._meter: asyncio.Task[None] | None = None
        self._samples = NO_SAMPLES
        self._in_contact = False
        self._key = secrets.token_bytes(32)
        self._proofs: OrderedDict[bytes, _Proof] = OrderedDict()
        store = self._replica.store
        self.find = store.find
        self.all = store.all
        self.by_uuid = store.by_uuid
        self.related = store.related
        self.class_revision = store.class_revision
        self.value = Records(schema, store).value

    # What a Source is

    @property
    def schema(self) -> Schema:
        return self._schema

    @property
    def revision(self) -> int:
        return self._replica.store.revision

    def changes(self, since: int, classes: Iterable[str] | None = None) -> list[Change]:
        return self._replica.store.changes(since, classes)

    async def wait(self, since: int, timeout: float | None) -> bool:
        return await self._replica.store.wait(since, timeout)

    def now(self) -> int:
        return self._clock.now() + self._ahead

    @property
    def samples(self) -> Samples:
        return self._samples

    async def recorded(self, principal: Principal, cls: str, uuid: str, start: int, interval: int) -> Recorded | None:
        """Of the host itself, or of the host the VM is on: the coordinator for one that is on none."""
        (pool,) = self.all("pool").values()
        version = self.by_uuid(cls, uuid)
        host = None if version is None else version if cls == "host" else self.find(version["resident_on"])
        elsewhere = host is not None and host.ref != pool["master"]
        of = {"vm_uuid": "none", "host": "true"} if cls == "host" else {"vm_uuid": uuid}
        query = {"session_id": principal.session, "start": str(start), "interval": str(interval), "json": "true", **of}
        try:
            address = host["address"] if host is not None and elsewhere else ""
            return recorded(await self._client.page(address, UPDATES, query))
        except (Unreachable, ValueError) as error:
            log.warning("measurements cannot be had: %s", error)
            raise E.HOST_OFFLINE(self._client.url if host is None else host.ref) from None

    def disk_server(self, address: str) -> str | None:
        return None

    def known(self, user: str, password: str) -> Principal | None:
        proof = self._proofs.get(self._digest(user, password))
        if proof is None or self._clock.monotonic() - proof.proven > LIFETIME:
            return None
        return proof.principal

    async def certified(self, certificate: bytes, originator: str) -> Principal | None:
        """None: the pool knows passwords only."""
        return None

    async def authenticate(self, user: str, password: str, originator: str, address: str = "") -> Principal | None:
        """The principal of a user; None also while the pool does not answer."""
        digest = self._digest(user, password)
        try:
            session = await self._client.call(None, "session.login_with_password", user, password, "", ORIGINATOR)
            roles = await self._roles(session)
        except (ApiError, Unreachable) as error:
            self._proofs.pop(digest, None)
            if isinstance(error, Unreachable):
                log.warning("a login cannot be checked: %s", error)
            return None
        principal = Principal(user, roles, originator, session)
        stale = [self._proofs.pop(digest)] if digest in self._proofs else []
        self._proofs[digest] = _Proof(principal, self._clock.monotonic())
        while len(self._proofs) > CAPACITY:
            stale.append(self._proofs.popitem(last=False)[1])
        for proof in stale:
            await self._logout(proof.principal.session)
        return principal

    async def as_itself(self) -> Principal | None:
        return None

    async def call(self, principal: Principal, method: str, *args: Any) -> Any:
        message = self._schema.methods[method.removeprefix("Async.")].message
        try:
            result = await self._client.call(principal.session, method, *args)
            if message.derived not in READS:
                await self._barrier(principal.session)
        except Unreachable as error:
            log.warning("a call cannot be made: %s", error)
            raise E.HOST_OFFLINE(self._client.url) from None
        except ApiError as error:
            if error.code == "SESSION_INVALID":
                self._forget(principal)
                raise E.SESSION_INVALID("") from None
            if error.code == "HANDLE_INVALID":
                with contextlib.suppress(Unreachable, ApiError):
                    await self._barrier(principal.session)
            raise
        return result

    # Its life

    async def start(self) -> None:
        """Log in and read the whole pool. Unreachable or LoginRefusedError if that is not possible."""
        await self._connect()
        feeding = again_and_again(self._clock, "following of the pool", self._feed)
        self._feeder = asyncio.create_task(feeding, name="replica of the pool")
        measuring = again_and_again(self._clock, "measuring of the pool", self._measure)
        self._meter = asyncio.create_task(measuring, name="samples of the pool")

    async def close(self) -> None:
        for task in (self._feeder, self._meter):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        for session in (self._session, *(proof.principal.session for proof in self._proofs.values())):
            await self._logout(session)
        await self._client.close()

    @property
    def in_contact(self) -> bool:
        """Whether the replica follows the pool at present."""
        return self._in_contact

    async def _connect(self) -> None:
        """A session, and the whole pool at one token."""
        user, password = self._account
        try:
            session = await self._client.call(None, "session.login_with_password", user, password, "", ORIGINATOR)
        except ApiError as error:
            raise LoginRefusedError(f"{self._client.url} does not let {user} in: {error.code}") from None
        before, self._session = self._session, session
        await self._logout(before)
        # The time that records of the pool have, whatever its hosts think it is.
        there = await self._client.call(self._session, "session.get_last_active", self._session)
        self._ahead = there - self._clock.now()
        await self._poll("")
        await self._check_sessions()
        self._in_contact = True

    async def _feed(self) -> None:
        """Follow the pool until cancelled (rules 1 and 4)."""
        pause = FIRST_PAUSE
        while True:
            try:
                if not self._in_contact:
                    await self._connect()
                    log.info("%s is in contact again", self._client.url)
                pause = FIRST_PAUSE
                await self._poll(self._token)
                continue
            except ApiError as error:
                if error.code in LOST:
                    self._token = ""
                    continue
                problem = f"{self._client.url} answers {error.code}"
            except (Unreachable, LoginRefusedError, ValueError) as error:
                problem = str(error)
            except Exception:  # records that no pool should have: readers must not be told that all is as it was
                log.exception("the pool cannot be mirrored")
                problem = f"{self._client.url} has records that cannot be mirrored"
            if self._in_contact:
                log.warning("contact with the pool is lost: %s", problem)
                self._in_contact = False
                self._replica.lose_contact()
            await self._clock.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _measure(self) -> None:
        """Ask for samples until cancelled."""
        measurements = Measurements(self._client)
        while True:
            if self._in_contact:
                (pool,) = self.all("pool").values()
                addresses = {host["address"]: ref == pool["master"] for ref, host in self.all("host").items()}
                self._samples = await measurements.round(self._session, addresses, self.now(), self._clock.monotonic())
            await self._clock.sleep(STEP)

    async def _poll(self, token: str) -> None:
        """One event.from; from the empty token the whole pool. ApiError, Unreachable, ValueError."""
        patience = POLL_SECONDS if token else 0.0
        params = [list(self._replica.classes), token, patience]
        batch = Batch.of(await self._client.raw(self._session, "event.from", params, patience))
        await self._replica.apply(batch, whole=not token)
        if token and not self._replica.agrees(batch.counts):
            log.warning("the replica missed something: reading the whole pool again")
            batch = Batch.of(await self._client.raw(self._session, "event.from", [params[0], "", 0.0]))
            await self._replica.apply(batch, whole=True)
        self._token = batch.token
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    async def _barrier(self, session: str) -> None:
        """Return when the replica has seen what the pool did before now (rule 3)."""
        (pool,) = self.all("pool")
        token = await self._client.call(session, "event.inject", "pool", pool)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(BARRIER_SECONDS):
                while _place(self._token) < _place(token):
                    await self._moved.wait()

    # Users

    async def _roles(self, session: str) -> frozenset[str]:
        """The roles of a session: all for a superuser, else what its permissions show.

        Permissions are named by message; a role is held if most of the messages that need just it are permitted, so
        that a server of another version, where a few messages have other roles, is understood.
        """
        if await self._client.call(session, "session.get_is_local_superuser", session):
            return frozenset({POOL_ADMIN})
        permitted = set(await self._client.call(session, "session.get_rbac_permissions", session))
        for role, names in self._messages_by_role():
            if names and 2 * len(names & permitted) > len(names):
                return frozenset({role})
        return frozenset()

    def _messages_by_role(self) -> Iterable[tuple[str, frozenset[str]]]:
        """Each role, the most powerful first, with the permissions that less powerful ones lack."""
        methods = [m for m in self._schema.methods.values() if m.message.session]
        for index, role in enumerate(ROLES):
            below = frozenset(ROLES[index + 1 :])
            yield (
                role,
                frozenset(
                    m.wire_name.lower()
                    for m in methods
                    if role in (roles := allowed_roles(m.message)) and roles.isdisjoint(below)
                ),
            )

    def _digest(self, user: str, password: str) -> bytes:
        text = f"{len(user)}:{user}{password}".encode(errors="surrogatepass")
        return hmac.new(self._key, text, hashlib.sha256).digest()

    def _forget(self, principal: Principal) -> None:
        for digest in [d for d, proof in self._proofs.items() if proof.principal.session == principal.session]:
            del self._proofs[digest]

    async def _check_sessions(self) -> None:
        """Forget users whose sessions the pool does not know: it was started anew, or is another one. Unreachable."""
        for proof in tuple(self._proofs.values()):
            session = proof.principal.session
            try:
                await self._client.call(session, "session.get_last_active", session)
            except ApiError as error:
                if error.code in ENDED:
                    self._forget(proof.principal)

    async def _logout(self, session: str) -> None:
        if session:
            with contextlib.suppress(ApiError, Unreachable):
                await self._client.call(session, "session.logout")


def _place(token: str) -> tuple[int, ...]:
    """Where a token is in the pool's history; the beginning, for one in a form we do not know."""
    try:
        return tuple(int(part) for part in token.split(","))
    except ValueError:
        return ()
