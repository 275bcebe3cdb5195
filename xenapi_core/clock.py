"""Clocks as values (the real one, and a virtual one that tests advance), and time slices for long work on the loop.

Rule 1: no other module calls time.time, loop.time or asyncio.sleep.
Rule 2: durations are float seconds; instants are int seconds since the Unix epoch, UTC (the resolution of the Xen-API).
Rule 3: work that may be long is a generator that yields after each piece (Steps). Less than FEW pieces are done at
        once, without awaiting; more are done in slices of SLICE seconds, and between two slices the loop serves others.
        Whoever yields must expect that the world is another one afterwards.
Rule 4: what a request waits for is handed on as a Later, never as a bare coroutine: the client may be gone before
        anybody awaits it.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import inspect
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from itertools import islice
from typing import Any, Generic, Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")

Steps = Generator[None, None, T]

SLICE = 0.010
FEW = 128
PASSES = 4
GROWN = 256 * 1024


class Clock(Protocol):
    """The source of time for the whole program."""

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


class Later(Generic[T]):
    """An awaitable to be awaited once, or dropped: then a coroutine in it never begins, and nobody is warned."""

    __slots__ = ("_awaitable",)

    def __init__(self, awaitable: Awaitable[T]) -> None:
        self._awaitable: Awaitable[T] | None = awaitable

    def __await__(self) -> Generator[Any, Any, T]:
        awaitable, self._awaitable = self._awaitable, None
        if awaitable is None:
            raise RuntimeError("a Later is awaited once")
        return awaitable.__await__()

    def __del__(self) -> None:
        if inspect.iscoroutine(self._awaitable):
            self._awaitable.close()


def then(value: T | Later[T], function: Callable[[T], R | Later[R]]) -> R | Later[R]:
    """`function` of a value: at once if it is there, otherwise when it will be."""
    return Later(_then(value, function)) if isinstance(value, Later) else function(value)


async def _then(value: Later[T], function: Callable[[T], R | Later[R]]) -> R:
    made = function(await value)
    return await made if isinstance(made, Later) else made


class Slices:
    """Runs Steps. All who use one of these share its slice: many long reads at a time block the loop as long as one.

    `seconds` is how long the loop may wait for its next turn, give or take one piece; less than `few` pieces are done
    at once.
    """

    def __init__(self, seconds: float = SLICE, few: int = FEW) -> None:
        self.seconds = seconds
        self.few = few
        self._running = 0

    def run(self, steps: Steps[T]) -> T | Later[T]:
        """What `steps` returns. For work that does not depend on what happens between two pieces."""
        ended, value = self._begin(steps)
        return value if ended else Later(self._exhaust(steps))

    def complete(self, begin: Callable[[], Steps[T]]) -> T | Later[T]:
        """What `begin()` returns, of one moment.

        A pass makes what is missing and keeps it where the next one finds it. Passes are begun until one ends with few
        pieces: it was not interrupted, so its result is of one moment. If the world changes faster than that, after
        some passes the rest is done at once. What a pass raises is told if it was not interrupted either.
        """
        steps = begin()
        ended, value = self._begin(steps)
        return value if ended else Later(self._complete(steps, begin))

    async def _complete(self, steps: Steps[T], begin: Callable[[], Steps[T]]) -> T:
        for _ in range(PASSES):
            with contextlib.suppress(Exception):  # something may have gone between two pieces: the next pass tells
                await self._exhaust(steps)
            steps = begin()
            ended, value = self._begin(steps)
            if ended:
                return value
        return _all(steps)

    def grow(self, pieces: Generator[bytes, None, None]) -> tuple[list[bytes], AsyncGenerator[bytes, None] | None]:
        """The first pieces, and what gives the others while it is read: None if those were all.

        For answers that begin before their end is made. Each of the others is what one slice gave, or as soon as it has
        GROWN bytes: between two of them the loop serves others, and nothing is made that nobody reads.
        """
        head = list(islice(pieces, self.few))
        return head, None if len(head) < self.few else self._grow(pieces)

    async def _grow(self, pieces: Generator[bytes, None, None]) -> AsyncGenerator[bytes, None]:
        with contextlib.closing(pieces):
            ended = False
            while not ended:
                await asyncio.sleep(0)
                self._running += 1
                try:
                    batch, size, ended = [], 0, True
                    until = time.perf_counter() + self.seconds / self._running
                    for piece in pieces:
                        batch.append(piece)
                        size += len(piece)
                        if size >= GROWN or time.perf_counter() >= until:
                            ended = False
                            break
                finally:
                    self._running -= 1
                yield b"".join(batch)

    def _begin(self, steps: Steps[T]) -> tuple[bool, Any]:
        """The first pieces: whether that was all, and if so what they came to."""
        try:
            for _ in range(self.few):
                next(steps)
        except StopIteration as end:
            return True, end.value
        return False, None

    async def _exhaust(self, steps: Steps[T]) -> T:
        self._running += 1
        try:
            while True:
                await asyncio.sleep(0)
                until = time.perf_counter() + self.seconds / self._running
                next(steps)
                while time.perf_counter() < until:
                    next(steps)
        except StopIteration as end:
            return end.value
        finally:
            self._running -= 1


def _all(steps: Steps[T]) -> T:
    """What `steps` returns, without a pause."""
    try:
        while True:
            next(steps)
    except StopIteration as end:
        return end.value
