"""Runs a coroutine on a virtual clock as if time passed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from xenapi_core.clock import Clock, VirtualClock

T = TypeVar("T")


async def drive(clock: Clock, awaitable: Awaitable[T], limit: float = 100_000.0) -> T:
    """The result of `awaitable`; a VirtualClock is advanced from sleeper to sleeper until it is there.

    TimeoutError after `limit` seconds of virtual time, or when everybody waits and nobody sleeps. On any other clock
    this is a plain await.
    """
    if not isinstance(clock, VirtualClock):
        return await awaitable
    work = asyncio.ensure_future(awaitable)
    end = clock.monotonic() + limit
    await clock.settle()
    idle = 0
    while not work.done():
        due = clock.due()
        if due is None:
            idle += 1
            if idle > 20:
                work.cancel()
                raise TimeoutError("nothing will happen any more")
            await clock.settle()
            continue
        idle = 0
        if clock.monotonic() + due > end:
            work.cancel()
            raise TimeoutError(f"not done after {limit} seconds")
        await clock.advance(due)
    return work.result()
