"""Background tasks that run for as long as the program does.

Rule 1: a task that fails by a defect is logged with an incident id and restarted after AGAIN_AFTER seconds: a server
        whose failover or measurements have stopped must not look like one that has them.
Rule 2: the exit stack cancels and awaits a task, and no defect of the task keeps the server from ending: one that fails
        during its cancellation is not restarted.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from xenapi_core.clock import Clock
from xenapi_core.logs import incident

log = logging.getLogger(__name__)

AGAIN_AFTER = 5.0


def keep_going(stack: contextlib.AsyncExitStack, clock: Clock, name: str, begin: Callable[[], Awaitable[None]]) -> None:
    """`again_and_again` in a task of its own that ends when the stack unwinds."""
    stack.push_async_callback(_end, asyncio.create_task(again_and_again(clock, name, begin), name=name))


async def again_and_again(clock: Clock, name: str, begin: Callable[[], Awaitable[None]]) -> None:
    """Run `begin()` until it returns; `name` is what the log calls it (rule 1)."""
    while True:
        try:
            await begin()
            return
        except Exception as error:
            if _is_ending():
                incident(log, f"{name} failed when it was ended", error)
                return
            incident(log, f"{name} failed; it begins again", error)
        await clock.sleep(AGAIN_AFTER)


def _is_ending() -> bool:
    """Whether this task was cancelled: a failure in answer to that has used the cancellation up (rule 2)."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
