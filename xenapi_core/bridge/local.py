"""The pool of this process as a Source: reads the store, calls the dispatcher."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from xenapi_core.api.auth import Identity
from xenapi_core.api.auth.basic import BasicAuth
from xenapi_core.api.dispatcher import Dispatcher
from xenapi_core.api.sessions import Sessions
from xenapi_core.bridge.source import NO_SAMPLES, Principal, Recorded, Samples
from xenapi_core.clock import Clock
from xenapi_core.engine.caller import Caller
from xenapi_core.model.schema import POOL_ADMIN, Schema
from xenapi_core.store.api import Change, Store


def _principal(caller: Caller) -> Principal:
    return Principal(caller.user, caller.roles, caller.originator, caller.session)


class LocalSource:
    """The bridge.source.Source over the store and the dispatcher of this process."""

    def __init__(
        self,
        store: Store,
        dispatcher: Dispatcher,
        sessions: Sessions,
        clock: Clock,
        newest: Callable[[], Samples] = lambda: NO_SAMPLES,
        recorded: Callable[[str, str, int, int], Recorded] | None = None,
    ) -> None:
        """`newest`: the newest round of samples. `recorded`: what Source.recorded tells; None if nobody measures."""
        self._store = store
        self._dispatcher = dispatcher
        self._sessions = sessions
        self._clock = clock
        self._newest = newest
        self._recorded = recorded
        self._basic = BasicAuth(sessions)
        # Reads of the store are the store's own: no layer in between on the path of every rendered instance.
        self.find = store.find
        self.all = store.all
        self.by_uuid = store.by_uuid
        self.related = store.related
        self.class_revision = store.class_revision
        self.value = dispatcher.records.value

    @property
    def schema(self) -> Schema:
        return self._dispatcher.schema

    @property
    def revision(self) -> int:
        return self._store.revision

    def changes(self, since: int, classes: Iterable[str] | None = None) -> list[Change]:
        return self._store.changes(since, classes)

    async def wait(self, since: int, timeout: float | None) -> bool:
        return await self._store.wait(since, timeout)

    def now(self) -> int:
        return self._clock.now()

    @property
    def samples(self) -> Samples:
        return self._newest()

    async def recorded(self, principal: Principal, cls: str, uuid: str, start: int, interval: int) -> Recorded | None:
        """SESSION_INVALID if the principal's session has ended."""
        self._sessions.check(principal.session)
        return None if self._recorded is None else self._recorded(cls, uuid, start, interval)

    def disk_server(self, address: str) -> str | None:
        return self._dispatcher.services.engine.world.reach(address)

    def known(self, user: str, password: str) -> Principal | None:
        caller = self._basic.known(user, password)
        return None if caller is None else _principal(caller)

    async def authenticate(self, user: str, password: str, originator: str, address: str = "") -> Principal | None:
        caller = await self._basic.authenticate(user, password, originator=originator, address=address)
        return None if caller is None else _principal(caller)

    async def certified(self, certificate: bytes, originator: str) -> Principal | None:
        caller = await self._basic.certified(certificate, originator=originator)
        return None if caller is None else _principal(caller)

    async def as_itself(self) -> Principal | None:
        identity = Identity("root", frozenset({POOL_ADMIN}), superuser=True)
        caller = self._sessions.check(self._sessions.open(identity, originator="xencim"))
        return _principal(caller)

    async def call(self, principal: Principal, method: str, *args: Any) -> Any:
        """SESSION_INVALID if the principal's session has ended."""
        caller = self._sessions.check(principal.session)
        value = self._dispatcher.invoke(caller, method, args)
        return await value if inspect.isawaitable(value) else value
