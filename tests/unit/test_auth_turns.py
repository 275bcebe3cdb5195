"""Turns: how many password checks run at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from api_pool import api_pool, in_loop

from xenapi_core.api.auth import Identity
from xenapi_core.api.auth.turns import Turns


class Checks:
    """Password checks that end when they are told to."""

    def __init__(self, limit: Callable[[], int]) -> None:
        self.turns = Turns(limit)
        self.begun: list[str] = []
        self.ends: dict[str, asyncio.Event] = {}

    async def check(self, name: str) -> None:
        self.ends[name] = asyncio.Event()
        async with self.turns:
            self.begun.append(name)
            await self.ends[name].wait()

    async def start(self, *names: str) -> list[asyncio.Task[None]]:
        tasks = [asyncio.create_task(self.check(name)) for name in names]
        await settled()
        return tasks

    async def end(self, name: str) -> None:
        self.ends[name].set()
        await settled()


async def settled() -> None:
    """Everything that can run without waiting for something else has run."""
    for _ in range(10):
        await asyncio.sleep(0)


@in_loop
async def test_no_more_than_the_limit_run_and_the_rest_wait_in_order() -> None:
    checks = Checks(lambda: 2)
    tasks = await checks.start("a", "b", "c", "d")
    assert checks.begun == ["a", "b"]
    await checks.end("b")
    assert checks.begun == ["a", "b", "c"]
    for name in ("a", "c", "d"):
        await checks.end(name)
    await asyncio.gather(*tasks)
    assert checks.begun == ["a", "b", "c", "d"]


@in_loop
async def test_a_new_limit_counts_from_the_next_turn() -> None:
    limit = [1]
    checks = Checks(lambda: limit[0])
    tasks = await checks.start("a", "b", "c")
    assert checks.begun == ["a"]
    limit[0] = 3
    tasks += await checks.start("d")
    assert checks.begun == ["a", "b", "c"], "nobody overtakes"
    limit[0] = 1
    await checks.end("a")
    await checks.end("b")
    assert checks.begun == ["a", "b", "c"]
    await checks.end("c")
    assert checks.begun == ["a", "b", "c", "d"]
    await checks.end("d")
    await asyncio.gather(*tasks)


@in_loop
async def test_who_leaves_while_waiting_holds_nobody_up() -> None:
    checks = Checks(lambda: 1)
    first, second, third, fourth = await checks.start("a", "b", "c", "d")
    second.cancel()
    await checks.end("a")
    assert checks.begun == ["a", "c"]
    checks.ends["c"].set()
    third.cancel()
    await settled()
    assert checks.begun == ["a", "c", "d"]
    await checks.end("d")
    await asyncio.gather(first, fourth)
    assert [task.cancelled() for task in (second, third)] == [True, True]


@in_loop
async def test_who_leaves_at_the_moment_of_the_turn_passes_it_on() -> None:
    checks = Checks(lambda: 1)
    first, second, third = await checks.start("a", "b", "c")
    checks.turns._give_back()  # as the end of "a" does, before "b" can run
    second.cancel()
    await settled()
    assert checks.begun == ["a", "c"]
    checks.turns._taken += 1
    for name in ("a", "c"):
        await checks.end(name)
    await asyncio.gather(first, third)
    assert second.cancelled()


@pytest.mark.parametrize("most", [1, 3])
@in_loop
async def test_logins_take_the_turns_that_the_pool_allows(most: int) -> None:
    async with api_pool() as pool:
        pool.change(pool.pool, local_auth_max_threads=most)
        running, seen, go = [0], [0], asyncio.Event()

        async def slow(user: str, password: str) -> Identity:
            running[0] += 1
            seen[0] = max(seen[0], running[0])
            await go.wait()
            running[0] -= 1
            return Identity(user, frozenset({"read-only"}))

        pool.authenticator.verify = slow
        logins = [asyncio.create_task(pool.sessions.login("read-only", "x")) for _ in range(5)]
        await settled()
        assert running[0] == most
        go.set()
        assert len(set(await asyncio.gather(*logins))) == 5
        assert seen[0] == most
