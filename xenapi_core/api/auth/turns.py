"""Turns: how many password checks run at once, a number that an administrator may change at any time.

Rule 1: who has no turn yet waits in the order of coming. A turn is handed to the first who waits, so nobody overtakes.
Rule 2: the limit is asked each time. A lower one lets checks that have begun end; a higher one counts from the next
        turn that ends or begins.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from xenapi_core.store.api import Store

MOST: Final = 64  # threads that pool.set_local_auth_max_threads and pool.set_ext_auth_max_threads take


def pool_limit(store: Store, field: str, default: int) -> Callable[[], int]:
    """What a field of the pool's record says now; `default` where there is no pool."""

    def limit() -> int:
        return next((int(pool[field]) for pool in store.all("pool").values()), default)

    return limit


class Turns:
    """`async with turns:` has a turn; at most `limit()` (1 or more) have one."""

    def __init__(self, limit: Callable[[], int]) -> None:
        self._limit = limit
        self._taken = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def __aenter__(self) -> None:
        if self._taken < self._limit() and not self._waiting:
            self._taken += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._hand_over()
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self._give_back()  # it came just when its owner left
            raise

    async def __aexit__(self, *failure: object) -> None:
        self._give_back()

    def _give_back(self) -> None:
        self._taken -= 1
        self._hand_over()

    def _hand_over(self) -> None:
        while self._waiting and self._taken < self._limit():
            turn = self._waiting.popleft()
            if not turn.cancelled():  # else its owner has left
                self._taken += 1
                turn.set_result(None)
