"""State shared by the connections of one listener: limits, the clock of their timeouts, and their shutdown.

Theory of operation
1. Time is counted in ticks of one sweep, not per request and connection: a timeout may come up to one tick late, and a
   request costs no timer.
2. Every connection is in `connections` from connection_made to connection_lost; every handler's task is in `tasks`
   until it is done, also when its connection is gone before it. `drain` waits for both.
3. Replies that clients do not read are held in memory. Each sweep adds them up, and while they are more than
   max_unread, the patience with clients that take nothing is short_timeout instead of write_timeout.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from math import ceil
from typing import Any, Protocol

from xenapi_core.server.routes import App, Router

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Bounds of one listener. Sizes in bytes, times in seconds.

    header_timeout   from the first byte of a request (or the start of the connection) to the end of its headers
    body_timeout     from there to the end of the body
    idle_timeout     between two requests
    write_timeout    without the client taking a single byte of a reply
    short_timeout    the same, while clients leave more than max_unread of their replies unread
    linger_timeout   for reading and discarding after an error reply
    """

    max_header: int = 32 * 1024
    max_fallback_body: int = 64 * 1024
    max_pipelined: int = 256
    max_connections: int = 4096
    max_discarded: int = 8 * 1024 * 1024
    max_unread: int = 256 * 1024 * 1024
    header_timeout: float = 20.0
    body_timeout: float = 120.0
    idle_timeout: float = 300.0
    write_timeout: float = 60.0
    short_timeout: float = 5.0
    linger_timeout: float = 2.0

    @property
    def tick(self) -> float:
        """Seconds between two sweeps: fine enough for the shortest timeout."""
        shortest = min(
            self.header_timeout, self.body_timeout, self.idle_timeout, self.write_timeout, self.short_timeout,
            self.linger_timeout,
        )  # fmt: skip
        return min(1.0, shortest / 4)

    def ticks(self, seconds: float) -> int:
        return ceil(seconds / self.tick)


DEFAULT = HttpLimits()


class Connection(Protocol):
    """The interface of a connection that the service needs (HttpProtocol)."""

    def check(self, now: int) -> None:
        """End whatever took too long by tick `now`."""

    def close_if_idle(self) -> None:
        """Draining: end it unless a request is in progress; then it ends with the reply."""

    def abort(self) -> None:
        """Cut it off; its handler is cancelled."""

    def flush(self) -> None:
        """Write what was held back."""


class Service:
    """What the connections of one listener share. `transport` is "tcp", "tls" or "unix"."""

    def __init__(self, app: App, transport: str, limits: HttpLimits = DEFAULT) -> None:
        self.app = app
        self.transport = transport
        self.limits = limits
        self.router = Router(app.routes, app.fallback)
        self.connections: set[Connection] = set()
        self.tasks: set[asyncio.Future[Any]] = set()
        self.draining = False
        self.now = 0  # ticks
        self.header_ticks = limits.ticks(limits.header_timeout)
        self.body_ticks = limits.ticks(limits.body_timeout)
        self.idle_ticks = limits.ticks(limits.idle_timeout)
        self.patience = limits.ticks(limits.write_timeout)  # with clients that read nothing (rule 3)
        self.unread = 0
        self.linger_ticks = limits.ticks(limits.linger_timeout)
        self.loop = asyncio.get_running_loop()
        self._holding: list[Connection] = []
        self._empty = asyncio.Event()
        self._sweeping = self.loop.call_later(limits.tick, self._sweep)

    def _sweep(self) -> None:
        self.now += 1
        self._sweeping = self.loop.call_later(self.limits.tick, self._sweep)
        limits, pressed = self.limits, self.unread > self.limits.max_unread
        self.patience = limits.ticks(limits.short_timeout if pressed else limits.write_timeout)
        self.unread = 0
        for connection in tuple(self.connections):
            connection.check(self.now)

    def left(self, connection: Connection) -> None:
        """A connection is gone."""
        self.connections.discard(connection)
        if not self.connections:
            self._empty.set()

    def flush_later(self, connection: Connection) -> None:
        """Call its `flush` when everything that is readable now has been read."""
        self._holding.append(connection)
        if len(self._holding) == 1:
            self.loop.call_soon(self._flush)

    def _flush(self) -> None:
        holding, self._holding = self._holding, []
        for connection in holding:
            connection.flush()

    def own(self, task: asyncio.Future[Any]) -> None:
        """Keep a handler's task until it is done, also when its connection is gone before it."""
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def drain(self, timeout: float) -> None:
        """Finish what is in progress within `timeout` seconds, then cut off the rest. The listener accepts no more."""
        self.draining = True
        for connection in tuple(self.connections):
            connection.close_if_idle()
        if self.connections and timeout > 0:
            self._empty.clear()
            try:
                async with asyncio.timeout(timeout):
                    await self._empty.wait()
            except TimeoutError:
                log.warning("%d connections were still busy after %g s and are cut off", len(self.connections), timeout)
        for connection in tuple(self.connections):
            connection.abort()
        if self.connections:
            self._empty.clear()
            await self._empty.wait()
        self._sweeping.cancel()
        if self.tasks:
            await asyncio.wait(tuple(self.tasks), timeout=max(timeout, 1.0))
