"""Delivers indications to listeners: one queue, one connection and one task for each destination.

Theory of operation
1. A channel delivers in order, one request at a time. What the listener has not confirmed is sent again, after waits
   that grow from DeliveryRetryInterval (DSP1054: a minimum) to eight times that, DeliveryRetryAttempts times; then the
   indication is lost and the channel's failures are reported. Channels know nothing of each other, so a dead listener
   delays nobody; neither does a host name that nobody answers for (names.py).
2. SequenceNumber counts what was queued for the destination, from 0 for each SequenceContext. A lost indication is a
   gap that the listener can see. A context lasts as long as the channel does.
3. A queue is bounded by number and by bytes; when it is full the oldest indication is lost.
4. All tasks belong to the Delivery: `close` cancels and awaits them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any

from cim_provider.indications.address import Address
from cim_provider.indications.connection import TRUST_SYSTEM, DeliveryError, ListenerConnection, Trust
from cim_provider.indications.events import export
from cim_provider.indications.names import Names
from cim_provider.schema.objects import Path
from xenapi_core.clock import Clock

log = logging.getLogger("xencim.indications")

MAX_QUEUED, MAX_QUEUED_BYTES = 10_000, 16 * 1024 * 1024
MAX_GROWTH = 8

Settings = Callable[[], Mapping[str, int]]
Failed = Callable[[Path, float], None]


class Channel:
    """The way to one destination."""

    def __init__(self, destination: Path, address: Address) -> None:
        self.destination = destination
        self.address = address
        self.context = f"Xen:{secrets.token_hex(16)}"
        self.number = 0
        self.lost = 0
        self.failing_since: float | None = None
        self.queue: deque[tuple[bytes, ...]] = deque()
        self.queued_bytes = 0
        self.wake = asyncio.Event()

    def offer(self, classname: str, filter_name: str, body: bytes) -> None:
        """Queue one indication."""
        message = export(classname, self.context, self.number, filter_name, body)
        self.number += 1
        self.queue.append(message)
        self.queued_bytes += len(body)
        while len(self.queue) > MAX_QUEUED or (self.queued_bytes > MAX_QUEUED_BYTES and len(self.queue) > 1):
            self.take()
            self.lost += 1
        self.wake.set()

    def take(self) -> tuple[bytes, ...]:
        message = self.queue.popleft()
        self.queued_bytes -= len(message[1])
        return message


class Delivery:
    """All channels. `failed(destination, seconds)` is called when an indication was given up, with how long deliveries
    have failed in a row; it may call `keep`."""

    def __init__(self, clock: Clock, settings: Settings, failed: Failed, trust: Trust = TRUST_SYSTEM) -> None:
        self.clock = clock
        self.trust = trust
        self.settings = settings
        self.failed = failed
        self.names = Names()
        self.channels: dict[Path, Channel] = {}
        self._tasks: dict[Path, asyncio.Task[None]] = {}
        self._ended: set[asyncio.Task[None]] = set()

    def keep(self, destinations: Mapping[Path, Address]) -> None:
        """Have a channel for each of these destinations and no others. A changed address is a new channel."""
        for path, channel in list(self.channels.items()):
            if destinations.get(path) != channel.address:
                del self.channels[path]
                self._end(self._tasks.pop(path))
        self.names.keep({address.host for address in destinations.values()})
        for path, address in destinations.items():
            if path not in self.channels:
                channel = self.channels[path] = Channel(path, address)
                self._tasks[path] = self._own(self._serve(channel))

    def _own(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return asyncio.create_task(work, name="indication channel")

    def _end(self, task: asyncio.Task[None]) -> None:
        task.cancel()
        self._ended.add(task)
        task.add_done_callback(self._ended.discard)

    async def close(self) -> None:
        """Stop all channels; what is queued is lost."""
        self.keep({})
        await _await_ended(tuple(self._ended))

    async def _serve(self, channel: Channel) -> None:
        connection = ListenerConnection(channel.address, self.trust, self.names)
        try:
            while True:
                while not channel.queue:
                    channel.wake.clear()
                    await channel.wake.wait()
                await self._deliver(channel, connection, channel.take())
        finally:
            connection.close()

    async def _deliver(self, channel: Channel, connection: ListenerConnection, message: tuple[bytes, ...]) -> None:
        failures = 0
        while True:
            try:
                await connection.export(message)
            except DeliveryError as error:
                failures += 1
                settings = self.settings()
                if channel.failing_since is None:
                    channel.failing_since = self.clock.monotonic()
                    log.warning("indications to %s: %s", channel.address.shown, error)
                if failures > settings["DeliveryRetryAttempts"]:
                    channel.lost += 1
                    self.failed(channel.destination, self.clock.monotonic() - channel.failing_since)
                    return
                await self.clock.sleep(settings["DeliveryRetryInterval"] * min(2 ** (failures - 1), MAX_GROWTH))
            else:
                if channel.failing_since is not None:
                    log.info("indications to %s are delivered again", channel.address.shown)
                    channel.failing_since = None
                return


async def _await_ended(tasks: Iterable[asyncio.Task[None]]) -> None:
    for task in tasks:
        with contextlib.suppress(asyncio.CancelledError):
            await task
