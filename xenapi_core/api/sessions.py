"""Sessions: from login to logout, expiry or eviction.

Theory of operation
1. A session is a record of class `session` plus a `Caller` in memory; both begin and end together. Session records are
   not durable: after a restart every client logs in again. (A local session of emergency mode has no record.)
2. The reference is the secret. It is random whatever the seed, no event carries it, and it is never logged.
3. A session ends by logout, by 24 h without a call, or when its user or originator has too many: the one that was idle
   longest goes, of those of the originator that has most of the user's, or of the user that has most of the
   originator's: a program that never logs out ends its own. Ending deletes the record, and that commit wakes whoever
   waits in its name (see events.py).
4. `check` is on the path of every request: one dictionary look-up. The record's last_active is written every 600 s.
5. A pair is checked against the server's own accounts first, then by the external directory, if one is enabled
   (auth/external.py). A user of the directory has the roles of the subjects that name it or its groups, and no others.
   Of the server's own users, one that a subject names by login name has that subject's roles instead of those the
   authenticator gives; the superuser is above subjects. A user without any role is refused.
6. Wrong credentials cost `failure_delay` seconds of the clock before the answer. So does a refusal because too many
   logins of the client's machine wait for their check, or because the check did not begin in time (auth/turns.py).
7. Users of an external directory are looked up again every 600 s: a session ends if its user is gone, or if the user's
   groups give other roles. A directory that does not answer ends nothing.
8. A client certificate proves a user of the users file, or has the role client-cert if it carries the name that the
   pool's record says; while that record says that certificates log in.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from xenapi_core.api.auth import Authenticator, Identity
from xenapi_core.api.auth.client_certificate import read
from xenapi_core.api.auth.directories import DirectoryError
from xenapi_core.api.auth.external import External
from xenapi_core.api.auth.turns import NoTurnError, Turns, pool_limit
from xenapi_core.api.membership import Membership
from xenapi_core.api.roles import permissions
from xenapi_core.clock import Clock
from xenapi_core.engine.caller import Caller
from xenapi_core.errors import E
from xenapi_core.ids import NULL_REF, Ids
from xenapi_core.model.schema import CLIENT_CERT, POOL_ADMIN, Schema
from xenapi_core.store.api import Store, Txn, Version

INACTIVITY = 24 * 3600
REFRESH = 600
LIMIT = 500
LIMIT_ANONYMOUS = 400  # for sessions that name no originator, and for those of members
POOL_ORIGINATOR = "pool member"


@dataclass(slots=True)
class Live:
    """A session as checks see it; `active` and `written` are instants, `local` means without a record.

    `subjects`: those that give it its roles. `validated`: when its directory was last asked whether they still do.
    """

    caller: Caller
    identity: Identity
    active: int
    written: int
    local: bool = False
    subjects: frozenset[str] = frozenset()
    validated: int = 0


class Sessions:
    """All sessions of the server. `failure_delay` in seconds; `reads_certificates`: whether TLS listeners verify client
    certificates."""

    def __init__(
        self,
        schema: Schema,
        store: Store,
        ids: Ids,
        clock: Clock,
        authenticator: Authenticator,
        *,
        failure_delay: float = 5.0,
        membership: Membership | None = None,
        external: External | None = None,
        reads_certificates: bool = False,
    ) -> None:
        self.store = store
        self.ids = ids
        self.clock = clock
        self.authenticator = authenticator
        self.external = external if external is not None else External(store, clock, authenticator)
        self.reads_certificates = reads_certificates
        self.failure_delay = failure_delay
        self.membership = membership if membership is not None else Membership()
        self.password_changes = 0  # caches of verified passwords compare it
        self.ended: list[Callable[[str], None]] = []
        self._permissions = functools.cache(functools.partial(permissions, schema))
        self._live: dict[str, Live] = {}
        self._turns = Turns(pool_limit(store, "local_auth_max_threads", 8))

    def __len__(self) -> int:
        return len(self._live)

    async def login(
        self, user: str, password: str, *, originator: str = "", address: str = "", trusted: bool = False
    ) -> str:
        """A new session's reference. `trusted` (the Unix socket) accepts any pair and makes a superuser of it.

        SESSION_AUTHENTICATION_FAILED after `failure_delay`.
        """
        identity = await self.identify(user, password, trusted, address=address)
        return self.open(identity, originator=originator, address=address)

    async def local_login(self, user: str, password: str, *, address: str = "", trusted: bool = False) -> str:
        """A session without a record, for emergency mode, of an account of the server; `local_logout` ends it."""
        identity = await self.identify(user, password, trusted, external=False, address=address)
        return self._open_local(identity, address)

    async def certificate_login(self, certificate: bytes, *, originator: str = "", address: str = "") -> str:
        """A session of the owner of this client certificate. SESSION_AUTHENTICATION_FAILED after the delay."""
        identity = await self.identify_certificate(certificate)
        return self.open(identity, originator=originator, address=address)

    def _open_local(self, identity: Identity, address: str) -> str:
        ref = self.ids.secret_ref()
        now = self.clock.now()
        self._live[ref] = Live(self._caller(ref, identity, "", address), identity, now, now, local=True)
        return ref

    async def pool_login(self, secret: str, *, address: str = "") -> str:
        """A session of another member, which may do everything. SESSION_AUTHENTICATION_FAILED after the delay."""
        identity = await self._member(secret)
        return self.open(identity, originator=POOL_ORIGINATOR, address=address, of_pool=True)

    async def pool_local_login(self, secret: str, *, address: str = "") -> str:
        """A local session of another member, without a record, for emergency mode. SESSION_AUTHENTICATION_FAILED after
        the delay."""
        return self._open_local(await self._member(secret), address)

    async def _member(self, secret: str) -> Identity:
        if not self.membership.knows(secret):
            await self.clock.sleep(self.failure_delay)
            raise E.SESSION_AUTHENTICATION_FAILED("", "The pool secret is another one")
        return Identity("", frozenset({POOL_ADMIN}), superuser=True)

    async def identify(
        self, user: str, password: str, trusted: bool = False, external: bool = True, *, address: str = ""
    ) -> Identity:
        """The identity of a user, with the roles of its subjects if it has any. `external`: the directory is tried,
        too. `address` (HOST:PORT): where the client is; machines are given turns fairly.

        SESSION_AUTHENTICATION_FAILED, and SESSION_AUTHORIZATION_FAILED for no roles, or if the directory does not
        answer; all after `failure_delay`.
        """
        if trusted:
            return Identity(user or "root", frozenset({POOL_ADMIN}), superuser=True)
        identity, reason = None, "Authentication failure"
        if "\0" not in user and "\0" not in password:
            try:
                async with self._turns.turn(address, user):
                    identity = await self.authenticator.verify(user, password)
                if identity is None and external:
                    identity = await self.external.verify(user, password, address=address)
            except NoTurnError:
                reason = "Too many logins are waiting"
            except DirectoryError as error:
                await self.clock.sleep(self.failure_delay)
                raise E.SESSION_AUTHORIZATION_FAILED(user, str(error)) from None
        if identity is None:
            await self.clock.sleep(self.failure_delay)
            raise E.SESSION_AUTHENTICATION_FAILED(user, reason)
        return await self._admit(identity)

    async def identify_certificate(self, certificate: bytes) -> Identity:
        """The identity and roles of the owner of a client certificate that the TLS layer has verified (rule 8). Raises
        what `identify` does."""
        shown, identity = read(certificate), None
        if shown is not None:
            identity = await self.authenticator.certified(shown.subject)
            pool = next(iter(self.store.all("pool").values()), None)
            if pool is None or not pool["client_certificate_auth_enabled"]:
                identity = None
            elif identity is None and pool["client_certificate_auth_name"].lower() in shown.names:
                identity = Identity(f"certificate of {shown.subject}", frozenset({CLIENT_CERT}))
        if identity is None:
            await self.clock.sleep(self.failure_delay)
            raise E.SESSION_AUTHENTICATION_FAILED(shown.subject if shown else "", "Nobody has this certificate")
        return await self._admit(replace(identity, certificate=True))

    async def _admit(self, identity: Identity) -> Identity:
        """The identity with the roles that count (Rule 5)."""
        subjects = self._subjects_of(identity)
        if subjects:
            roles = (self.store.find(role) for subject in subjects for role in subject["roles"])
            identity = replace(identity, roles=frozenset(role["name_label"] for role in roles if role is not None))
        if not identity.roles and not identity.superuser:
            await self.clock.sleep(self.failure_delay)
            raise E.SESSION_AUTHORIZATION_FAILED(identity.user, "The account has no roles in this pool")
        return identity

    def subject(self, identifier: str) -> Version | None:
        """The subject of that identifier."""
        return next((s for s in self.store.all("subject").values() if s["subject_identifier"] == identifier), None)

    def _subjects_of(self, identity: Identity) -> list[Version]:
        """The subjects whose roles the identity has: the user's own first."""
        if identity.superuser:
            return []
        identifiers = (identity.sid, *identity.groups) if identity.sid else (identity.user,)
        return [found for found in map(self.subject, identifiers) if found is not None]

    @staticmethod
    def _caller(ref: str, identity: Identity, originator: str, address: str, of_pool: bool = False) -> Caller:
        return Caller(
            session=ref, user=identity.user, roles=identity.roles, originator=originator, address=address,
            local_root=identity.superuser, of_pool=of_pool,
        )  # fmt: skip

    def open(
        self,
        identity: Identity,
        *,
        originator: str = "",
        address: str = "",
        of_pool: bool = False,
        database: object | None = None,
    ) -> str:
        """A session for a proven identity. `database`: what it reads instead of the pool's own."""
        ref, uuid = self.ids.secret_ref(), self.ids.secret_ref().removeprefix("OpaqueRef:")
        now = self.clock.now()
        txn = self.store.begin()
        self._make_room(txn, identity.user, originator)
        txn.create("session", ref, {
            "uuid": uuid, "this_host": self._this_host(), "last_active": now, "validation_time": now,
            "is_local_superuser": identity.superuser, "auth_user_name": identity.user, "originator": originator,
            "pool": of_pool, "client_certificate": identity.certificate,
            "rbac_permissions": () if identity.superuser else self._permissions(identity.roles),
        })  # fmt: skip
        subjects = self._subjects_of(identity)
        if subjects:
            txn.update(ref, subject=subjects[0].ref, auth_user_sid=identity.sid or subjects[0]["subject_identifier"])
        self.store.commit(txn)
        caller = replace(self._caller(ref, identity, originator, address, of_pool), database=database)
        named = frozenset(subject.ref for subject in subjects)
        self._live[ref] = Live(caller, identity, now, now, subjects=named, validated=now)
        return ref

    def _this_host(self) -> str:
        for pool in self.store.all("pool").values():
            return pool.values["master"]
        return NULL_REF

    def _make_room(self, txn: Txn, user: str, originator: str) -> None:
        """End sessions, so that one more keeps user and originator within their limits (Rule 3)."""
        named = originator not in ("", POOL_ORIGINATOR)
        limit = LIMIT if named else LIMIT_ANONYMOUS
        self._keep_within(txn, limit, "originator", originator, "user", user)
        self._keep_within(txn, LIMIT, "user", user, "originator", originator)

    def _keep_within(self, txn: Txn, limit: int, of: str, name: str, sharing: str, sharer: str) -> None:
        """End sessions whose caller's `of` is `name` until one more fits: those of the `sharing` that has most of them,
        the longest idle first. `sharer` is the one that begins another."""
        mine = [(r, live) for r, live in self._live.items() if not live.local and getattr(live.caller, of) == name]
        while len(mine) >= limit:
            shares = Counter([sharer, *(getattr(live.caller, sharing) for _, live in mine)])
            most = max(shares[getattr(live.caller, sharing)] for _, live in mine)
            candidates = (pair for pair in mine if shares[getattr(pair[1].caller, sharing)] == most)
            gone = min(candidates, key=_idle_since)  # of those idle for the same time, the one that began first
            mine.remove(gone)
            self._forget(txn, gone[0])

    def check(self, ref: Any) -> Caller:
        """The caller of session `ref`. SESSION_INVALID [ref]."""
        live = self._live.get(ref) if type(ref) is str else None
        if live is None:
            raise E.SESSION_INVALID(ref if type(ref) is str else "")
        now = self.clock.now()
        if now != live.active:
            if now - live.active > INACTIVITY:
                self.end(ref)
                raise E.SESSION_INVALID(ref)
            live.active = now
            if now - live.written >= REFRESH and not live.local:
                live.written = now
                txn = self.store.begin()
                txn.update(ref, last_active=now)
                self.store.commit(txn)
        return live.caller

    def alive(self, ref: str) -> bool:
        return ref in self._live

    def identity(self, caller: Caller) -> Identity:
        """The identity of a caller, for one more session of the same user."""
        live = self._live.get(caller.session)
        return live.identity if live else Identity(caller.user, caller.roles, superuser=caller.local_root)

    def callers(self) -> list[Caller]:
        """Everyone logged in."""
        return [live.caller for live in self._live.values()]

    def end(self, *refs: str) -> None:
        """End these sessions, in one commit; unknown ones are ignored."""
        txn = self.store.begin()
        for ref in refs:
            self._forget(txn, ref)
        self.store.commit(txn)

    def end_user(self, user: str) -> int:
        """End every session of `user`; returns how many."""
        refs = [ref for ref, live in self._live.items() if live.caller.user == user]
        self.end(*refs)
        return len(refs)

    def end_subject(self, subject: str) -> None:
        """End every session that has roles of `subject`."""
        self._end_where(lambda live: subject in live.subjects)

    def end_external(self) -> None:
        """End every session of a user of an external directory."""
        self._end_where(lambda live: bool(live.identity.sid))

    def end_certified(self) -> None:
        """End every session that a client certificate has opened."""
        self._end_where(lambda live: live.identity.certificate)

    def _end_where(self, fits: Callable[[Live], bool]) -> None:
        self.end(*[ref for ref, live in self._live.items() if fits(live)])

    def sweep(self) -> int:
        """End sessions nobody has used for 24 h; returns how many. The runtime calls it from time to time."""
        limit = self.clock.now() - INACTIVITY
        idle = [ref for ref, live in self._live.items() if live.active < limit]
        if idle:
            self.end(*idle)
        return len(idle)

    async def revalidate(self) -> int:
        """Ask the directory whether its users are still there, and in their groups (Rule 7); returns how many sessions
        have ended. The runtime calls it from time to time."""
        due = [live.identity for live in self._live.values() if self._is_due(live)]
        ended = 0
        for sid in {identity.sid for identity in due}:
            try:
                groups = await self.external.groups(sid)
            except DirectoryError:
                break
            now, txn = self.clock.now(), self.store.begin()
            for ref, live in list(self._live.items()):
                if live.identity.sid != sid:
                    continue
                subjects = () if groups is None else self._subjects_of(replace(live.identity, groups=groups))
                if live.subjects == {subject.ref for subject in subjects}:
                    live.validated = now
                    txn.update(ref, validation_time=now)
                else:
                    self._forget(txn, ref)
                    ended += 1
            self.store.commit(txn)
        return ended

    def _is_due(self, live: Live) -> bool:
        return bool(live.identity.sid) and self.clock.now() - live.validated >= REFRESH

    def is_local(self, ref: str) -> bool:
        """Whether `ref` is a session without a record."""
        live = self._live.get(ref)
        return live is not None and live.local

    def _forget(self, txn: Txn, ref: str) -> None:
        live = self._live.pop(ref, None)
        if live is None:
            return
        if not live.local:
            txn.delete(ref)
        for ended in self.ended:
            ended(ref)

    async def change_password(self, caller: Caller, old: str, new: str) -> None:
        """Give the caller's account a new password; the old one is not asked of the superuser.

        SESSION_AUTHENTICATION_FAILED for a wrong old password; CHANGE_PASSWORD_REJECTED for a new one that is none;
        NOT_IMPLEMENTED when the accounts live elsewhere.
        """
        if not caller.local_root:
            await self.identify(caller.user, old, address=caller.address)
        if not new or "\0" in new:
            raise E.CHANGE_PASSWORD_REJECTED("A password is not empty, and holds no NUL character.")
        if not await self.authenticator.set_password(caller.user, new):
            raise E.NOT_IMPLEMENTED("session.change_password")
        self.password_changes += 1


def _idle_since(session: tuple[str, Live]) -> int:
    return session[1].active
