"""Limits how many password checks run at once; an administrator can change the limit at any time.

Rule 1: a check without a turn waits. Waiting machines get turns one after the other, and so do the names that are tried
        from one machine; the same name from the same machine waits in the order of coming. So nobody who tries many
        passwords keeps others from logging in.
Rule 2: at most MOST_WAITING wait per machine. One too many is refused: the last check for the name with the most
        waiting checks, or the newcomer if that name is its own. Nobody waits longer than PATIENCE.
Rule 3: the limit is read at every turn. A lower one lets checks that have begun end; a higher one counts from the next
        turn that ends or begins.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import IPv4Address, ip_address
from typing import Final

from xenapi_core.store.api import Store

MOST: Final = 64  # threads that pool.set_local_auth_max_threads and pool.set_ext_auth_max_threads take
MOST_WAITING: Final = 256
PATIENCE: Final = 30.0  # seconds of real time

# What is waited for: True is a turn, False a refusal.
Turn = asyncio.Future[bool]


class NoTurnError(Exception):
    """Too many wait for a turn, or it took too long."""


def pool_limit(store: Store, field: str, default: int) -> Callable[[], int]:
    """What a field of the pool's record says now; `default` where there is no pool."""

    def limit() -> int:
        return next((int(pool[field]) for pool in store.all("pool").values()), default)

    return limit


def machine_of(address: str) -> str:
    """The machine of a client's address (HOST:PORT, or "" for one unknown).

    Of an IPv6 address its network of 64 bits: a machine may use any address in it.
    """
    host = address.rpartition(":")[0]
    try:
        number = ip_address(host)
    except ValueError:
        return host
    if isinstance(number, IPv4Address):
        return host
    return str(number.ipv4_mapped or f"{int(number) >> 64:x}/64")


class Turns:
    """`async with turns.turn(address, user):` has a turn; at most `limit()` (1 or more) have one."""

    def __init__(self, limit: Callable[[], int], *, patience: float = PATIENCE) -> None:
        self._limit = limit
        self._patience = patience
        self._taken = 0
        self._waiting: OrderedDict[str, OrderedDict[str, deque[Turn]]] = OrderedDict()  # machine -> name -> its queue

    def __len__(self) -> int:
        """How many wait."""
        return sum(len(queue) for names in self._waiting.values() for queue in names.values())

    @asynccontextmanager
    async def turn(self, address: str, user: str) -> AsyncIterator[None]:
        """Wait for a turn, and have it inside. `address` as for machine_of. NoTurnError (Rule 2)."""
        if self._taken < self._limit() and not self._waiting:
            self._taken += 1
        else:
            await self._wait(machine_of(address), user)
        try:
            yield
        finally:
            self._give_back()

    async def _wait(self, machine: str, user: str) -> None:
        self._make_room(machine, user)
        turn: Turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(machine, OrderedDict()).setdefault(user, deque()).append(turn)
        self._hand_over()
        try:
            async with asyncio.timeout(self._patience):
                came = await turn
        except (asyncio.CancelledError, TimeoutError) as leaving:
            if turn.cancel() or turn.cancelled():
                self._leave(machine, user, turn)
            elif turn.result():
                self._give_back()  # it came just when its owner left
            if isinstance(leaving, TimeoutError):
                raise NoTurnError from None
            raise
        if not came:
            raise NoTurnError

    def _make_room(self, machine: str, user: str) -> None:
        """Let one more wait. NoTurnError if the newcomer is the one too many (Rule 2)."""
        names = self._waiting.get(machine, OrderedDict())
        if sum(map(len, names.values())) < MOST_WAITING:
            return
        longest = max(names, key=lambda name: len(names[name]))
        if len(names[longest]) <= len(names.get(user, ())) + 1:
            raise NoTurnError
        last = names[longest][-1]
        self._leave(machine, longest, last)
        if not last.done():
            last.set_result(False)

    def _leave(self, machine: str, user: str, turn: Turn) -> None:
        """Remove a waiting turn; no error if it was refused or removed already."""
        names = self._waiting.get(machine, OrderedDict())
        queue = names.get(user, deque())
        if turn in queue:
            queue.remove(turn)
        if user in names and not queue:
            del names[user]
        if machine in self._waiting and not names:
            del self._waiting[machine]

    def _give_back(self) -> None:
        self._taken -= 1
        self._hand_over()

    def _hand_over(self) -> None:
        while self._waiting and self._taken < self._limit():
            machine, names = self._waiting.popitem(last=False)
            user, queue = names.popitem(last=False)
            turn = queue.popleft()
            if queue:
                names[user] = queue  # behind the other names
            if names:
                self._waiting[machine] = names  # behind the other machines
            if not turn.cancelled():  # else its owner has left
                self._taken += 1
                turn.set_result(True)
