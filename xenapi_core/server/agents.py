"""The endpoints of the pool's hosts, closed and opened again when messages request it (api/agents.py).

Rule 1: what a message asks is done by the task that follows (`follow` here, and that of HostEndpoints), never by the
        message: its own request is one that the closing waits for.
Rule 2: a listener that cannot be opened again is tried again: the port is the address clients know.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final

from xenapi_core.clock import Clock
from xenapi_core.model.hosts import was_heard_from
from xenapi_core.server.endpoints import RETRY_SECONDS, HostEndpoints
from xenapi_core.server.listener import Listener, ListenError
from xenapi_core.store.api import Store

log = logging.getLogger(__name__)

CLOSE_SECONDS: Final = 2.0


class HostAgents:
    """`shared`: the listeners of the endpoint that serves the whole pool, if there is one. `encrypted`: one of all
    listeners of the Xen-API has TLS."""

    def __init__(
        self, store: Store, clock: Clock, endpoints: HostEndpoints, shared: Sequence[Listener], encrypted: bool
    ) -> None:
        self._store = store
        self._clock = clock
        self._endpoints = endpoints
        self._shared = tuple(shared)
        self._encrypted = encrypted
        self._wanted = asyncio.Event()

    def encrypted(self) -> bool:
        return self._encrypted

    def apart(self, host: str) -> bool:
        return self._endpoints.has(host)

    def restart(self, host: str) -> None:
        if self.apart(host):
            self._endpoints.restart(host)
        elif any(pool["master"] == host for pool in self._store.all("pool").values()):
            self._wanted.set()

    def stop(self, host: str) -> None:
        self._endpoints.stop(host)

    def stopped(self, host: str) -> bool:
        return self._endpoints.stopped(host)

    def connections(self) -> int:
        return sum(len(listener.service.connections) for listener in (*self._shared, *self._endpoints.listeners()))

    async def follow(self) -> None:
        """Restart the endpoint of the pool whenever that is wanted; ends by cancellation."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            for listener in self._shared:
                await listener.drain(CLOSE_SECONDS)
            for listener in self._shared:
                await self._open(listener)
            log.info("the agent of the coordinator was restarted")

    async def _open(self, listener: Listener) -> None:
        while True:
            try:
                await listener.open_again()
                return
            except ListenError as error:
                log.error("the endpoint cannot be opened again yet: %s", error)
            await self._clock.sleep(RETRY_SECONDS)


def plain_refused(store: Store, host: str | None) -> Callable[[], bool]:
    """Whether an endpoint refuses plain HTTP: that of one host, or (None) that of the pool, if any host says so.

    A host that was never heard from has no say yet. The answer is kept until a record changes: every request asks.
    """
    known = ((-1, -1), False)

    def refused() -> bool:
        nonlocal known
        revisions = store.class_revision("host"), store.class_revision("host_metrics")
        if revisions != known[0]:
            asked = (record for ref, record in store.all("host").items() if host in (None, ref))
            known = (revisions, any(record["https_only"] and was_heard_from(store, record) for record in asked))
        return known[1]

    return refused
