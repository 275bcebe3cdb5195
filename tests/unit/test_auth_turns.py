"""Turns: how many password checks run at once, who waits for one, and who is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from api_pool import api_pool

from xenapi_core.api.auth import Identity
from xenapi_core.api.auth import turns as auth_turns
from xenapi_core.api.auth.turns import NoTurnError, Turns, machine_of
from xenapi_core.errors import ApiError

FLOOD, OTHER, THIRD = "192.0.2.1", "192.0.2.2", "192.0.2.3"


class Checks:
    """Password checks that end when they are told to."""

    def __init__(self, limit: Callable[[], int], *, patience: float = 60.0) -> None:
        self.turns = Turns(limit, patience=patience)
        self.begun: list[str] = []
        self.ends: dict[str, asyncio.Event] = {}

    async def check(self, name: str, machine: str, user: str) -> None:
        self.ends[name] = asyncio.Event()
        async with self.turns.turn(f"{machine}:{1000 + len(self.ends)}", user):
            self.begun.append(name)
            await self.ends[name].wait()

    async def start(self, *names: str, machine: str = FLOOD, user: str = "root") -> list[asyncio.Task[None]]:
        tasks = [asyncio.create_task(self.check(name, machine, user)) for name in names]
        await settled()
        return tasks

    async def end(self, name: str) -> None:
        self.ends[name].set()
        await settled()

    async def drain(self, tasks: list[asyncio.Task[None]]) -> list[BaseException | None]:
        """End all checks, one after the other, and return what came of them."""
        ended = 0
        while ended < len(self.begun):
            ended += 1
            await self.end(self.begun[ended - 1])
        return await asyncio.gather(*tasks, return_exceptions=True)


async def settled() -> None:
    """Everything that can run without waiting for something else has run."""
    for _ in range(10):
        await asyncio.sleep(0)


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


async def test_machines_are_served_one_after_the_other_whoever_came_first() -> None:
    checks = Checks(lambda: 1)
    tasks = await checks.start("f1", "f2", "f3", "f4")
    tasks += await checks.start("o1", "o2", machine=OTHER)
    tasks += await checks.start("t1", machine=THIRD)
    assert await checks.drain(tasks) == [None] * 7
    assert checks.begun == ["f1", "f2", "o1", "t1", "f3", "o2", "f4"]
    assert len(checks.turns) == 0


async def test_names_tried_from_one_machine_are_served_one_after_the_other() -> None:
    checks = Checks(lambda: 1)
    tasks = await checks.start("x1", "x2", "x3", "x4", user="x")
    tasks += await checks.start("r1", "r2", user="root")
    assert await checks.drain(tasks) == [None] * 6
    assert checks.begun == ["x1", "x2", "r1", "x3", "r2", "x4"]


async def test_one_machine_fills_its_own_places_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth_turns, "MOST_WAITING", 2)
    checks = Checks(lambda: 1)
    tasks = await checks.start("f1", "f2", "f3", "f4")
    assert isinstance(tasks[3].exception(), NoTurnError)
    tasks += await checks.start("o1", "o2", machine=OTHER)
    assert len(checks.turns) == 4
    ended = await checks.drain(tasks)
    assert [type(end) for end in ended] == [type(None)] * 3 + [NoTurnError] + [type(None)] * 2
    assert checks.begun == ["f1", "f2", "o1", "f3", "o2"]


async def test_another_name_takes_a_place_of_the_name_that_most_wait_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth_turns, "MOST_WAITING", 3)
    checks = Checks(lambda: 1)
    tasks = await checks.start("x1", "x2", "x3", "x4", user="x")
    tasks += await checks.start("r1", user="root")
    assert isinstance(tasks[3].exception(), NoTurnError), "the last of the longest queue"
    refused = await checks.start("r2", user="root")
    assert isinstance(refused[0].exception(), NoTurnError), "it would have made its own queue the longest"
    await checks.drain(tasks)
    assert checks.begun == ["x1", "x2", "r1", "x3"]
    assert len(checks.turns) == 0


async def test_who_waits_too_long_is_refused_and_leaves_no_trace() -> None:
    checks = Checks(lambda: 1, patience=0.0)
    tasks = await checks.start("a")
    late = await checks.start("b", "c")
    ended = await asyncio.gather(*late, return_exceptions=True)
    assert [type(end) for end in ended] == [NoTurnError, NoTurnError]
    assert len(checks.turns) == 0
    assert await checks.drain(tasks) == [None]
    tasks = await checks.start("d")
    assert checks.begun == ["a", "d"]
    assert await checks.drain(tasks) == [None]


async def test_places_of_those_who_left_are_free_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth_turns, "MOST_WAITING", 1)
    checks = Checks(lambda: 1)
    first, second = await checks.start("a", "b")
    second.cancel()
    await settled()
    assert len(checks.turns) == 0
    (third,) = await checks.start("c")
    assert await checks.drain([first, third]) == [None, None]
    assert second.cancelled()


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        ("192.0.2.1:80", "192.0.2.1:81", True),
        ("192.0.2.1:80", "192.0.2.2:80", False),
        ("::ffff:192.0.2.1:80", "192.0.2.1:81", True),
        ("2001:db8::1:80", "2001:db8::ffff:0:1:81", True),
        ("2001:db8::1:80", "2001:db8:0:1::1:80", False),
        ("fe80::1%eth0:80", "fe80::1%eth0:81", True),
        ("::1:80", "127.0.0.1:80", False),
        ("", "192.0.2.1:80", False),
    ],
)
def test_a_machine_is_told_by_its_address_without_the_port(one: str, two: str, same: bool) -> None:
    assert (machine_of(one) == machine_of(two)) is same


@pytest.mark.parametrize("most", [1, 3])
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


async def test_a_flood_of_logins_from_one_machine_keeps_no_other_machine_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth_turns, "MOST_WAITING", 4)
    async with api_pool() as pool:
        pool.change(pool.pool, local_auth_max_threads=1)
        checked, go = list[str](), asyncio.Event()

        async def slow(user: str, password: str) -> Identity | None:
            await go.wait()
            checked.append(password)
            return Identity(user, frozenset({"read-only"})) if password == "right" else None

        pool.authenticator.verify = slow
        flood = [
            asyncio.create_task(pool.sessions.login("root", f"wrong {port}", address=f"{FLOOD}:{port}"))
            for port in range(20)
        ]
        await settled()
        login = asyncio.create_task(pool.sessions.login("root", "right", address=f"{OTHER}:1"))
        await settled()
        go.set()
        assert pool.sessions.alive(await login)
        ended = await asyncio.gather(*flood, return_exceptions=True)
        codes = [end.code for end in ended if isinstance(end, ApiError)]
        assert codes == ["SESSION_AUTHENTICATION_FAILED"] * 20
        assert checked == ["wrong 0", "wrong 1", "right", "wrong 2", "wrong 3", "wrong 4"]


async def test_a_login_that_waits_too_long_is_refused_with_a_reason() -> None:
    async with api_pool() as pool:
        pool.sessions._turns = Turns(lambda: 1, patience=0.0)
        go = asyncio.Event()

        async def slow(user: str, password: str) -> Identity:
            await go.wait()
            return Identity(user, frozenset({"read-only"}))

        pool.authenticator.verify = slow
        first = asyncio.create_task(pool.sessions.login("root", "x", address=f"{FLOOD}:1"))
        await settled()
        with pytest.raises(ApiError) as refused:
            await pool.sessions.login("root", "x", address=f"{FLOOD}:2")
        assert (refused.value.code, *refused.value.params) == (
            "SESSION_AUTHENTICATION_FAILED", "root", "Too many logins are waiting",
        )  # fmt: skip
        go.set()
        assert pool.sessions.alive(await first)
