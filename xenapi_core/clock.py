"""Time as a value that can be passed around: the real clock, and a virtual one that tests advance by hand.

Rule 1: no other module calls time.time, loop.time or asyncio.sleep.
Rule 2: durations are float seconds; instants are int seconds since the Unix epoch, UTC (the resolution of the Xen-API).
"""

from __future__ import annotations

import asyncio
import heapq
import time
from typing import Protocol


class Clock(Protocol):
    """What the rest of the program may know about time."""

    def now(self) -> int:
        """Wall-clock instant, seconds since the epoch, UTC."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never goes back."""

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds` of this clock's time."""


class RealClock:
    """The machine's clock, optionally running `speed` times as fast (simulated boots in tests and demos)."""

    def __init__(self, speed: float = 1.0) -> None:
        if speed <= 0:
            raise ValueError("speed must be positive")
        self.speed = speed
        self._wall, self._start = time.time(), time.monotonic()

    def now(self) -> int:
        if self.speed == 1.0:
            return int(time.time())
        return int(self._wall + self.monotonic())

    def monotonic(self) -> float:
        return (time.monotonic() - self._start) * self.speed

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self.speed)


class VirtualClock:
    """A clock that stands still until `advance` moves it.

    Sleepers wake in the order of their deadlines, each at exactly its own instant, and everything a sleeper
    does before its next sleep happens before the next sleeper wakes.
    """

    def __init__(self, start: int = 1_767_225_600) -> None:  # 2026-01-01T00:00:00Z
        self._start = start
        self._time = 0.0
        self._count = 0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> int:
        return self._start + int(self._time)

    def monotonic(self) -> float:
        return self._time

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._sleepers, (self._time + seconds, self._count, future))
        await future

    async def advance(self, seconds: float) -> None:
        """Move time forward by `seconds`, waking sleepers on the way."""
        target = self._time + seconds
        await self.settle()
        while self._sleepers and self._sleepers[0][0] <= target:
            self._time, _, future = heapq.heappop(self._sleepers)
            if not future.done():
                future.set_result(None)
            await self.settle()
        self._time = target

    def due(self) -> float | None:
        """Seconds until the next sleeper wakes; None if nobody sleeps."""
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)  # cancelled meanwhile
        return max(0.0, self._sleepers[0][0] - self._time) if self._sleepers else None

    @staticmethod
    async def settle(turns: int = 50) -> None:
        """Let every runnable task run until it waits for something else than the loop itself."""
        for _ in range(turns):
            await asyncio.sleep(0)
