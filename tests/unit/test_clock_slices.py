"""Long work in slices: what is done at once, who is served in between, and what a result is made of."""

from __future__ import annotations

import asyncio
import gc
import itertools
import warnings
from collections.abc import Callable, Coroutine

import pytest

from xenapi_core.clock import FEW, PASSES, Later, Slices, Steps, then


def counting(pieces: int, seen: list[int] | None = None) -> Steps[int]:
    """So many pieces of work; their number in the end."""
    for number in range(pieces):
        if seen is not None:
            seen.append(number)
        yield
    return pieces


def result(value: int | Later[int]) -> int:
    async def wait() -> int:
        return await value if isinstance(value, Later) else value

    return asyncio.run(wait())


@pytest.mark.parametrize("pieces", [0, 1, FEW - 1])
def test_few_pieces_are_done_at_once(pieces: int) -> None:
    assert Slices().run(counting(pieces)) == pieces
    assert Slices().complete(lambda: counting(pieces)) == pieces


def test_many_pieces_are_all_done_later() -> None:
    slices, seen = Slices(few=10), []
    value = slices.run(counting(100, seen))
    assert isinstance(value, Later)
    assert seen == list(range(10))
    assert result(value) == 100
    assert seen == list(range(100))


async def test_others_are_served_between_two_slices() -> None:
    slices, seen = Slices(seconds=0.0, few=10), []
    work = asyncio.ensure_future(wrapped(slices.run(counting(100, seen))))
    turns = []
    while not work.done():
        await asyncio.sleep(0)
        turns.append(len(seen))
    assert turns[-1] == 100
    assert max(after - before for before, after in itertools.pairwise(turns)) == 1


async def wrapped(value: int | Later[int]) -> int:
    return await value if isinstance(value, Later) else value


async def test_a_long_slice_does_many_pieces() -> None:
    slices, seen = Slices(seconds=3600.0, few=10), []
    work = asyncio.ensure_future(wrapped(slices.run(counting(100, seen))))
    turns = 0
    while not work.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns < 10


class World:
    """Cells that anybody may change, and a copy of each that is made when it is missing."""

    def __init__(self, cells: int) -> None:
        self.cells = [0] * cells
        self.copies: list[int | None] = [None] * cells
        self.passes = 0

    def change(self, number: int) -> None:
        self.cells[number] += 1
        self.copies[number] = None

    def read(self) -> Steps[tuple[int | None, ...]]:
        self.passes += 1
        for number, copy in enumerate(tuple(self.copies)):
            if copy is None:
                self.copies[number] = self.cells[number]
                yield
        return tuple(self.copies)


async def test_a_result_is_of_one_moment_whatever_happens_between_the_pieces() -> None:
    world, states = World(50), set()
    value = Slices(seconds=0.0, few=10).complete(world.read)
    work = asyncio.ensure_future(wrapped(value))  # type: ignore[arg-type]
    for number in range(40):
        await asyncio.sleep(0)
        world.change(number % 7)
        states.add(tuple(world.cells))
    assert await work in states
    assert world.passes > 1


async def test_a_world_that_never_stands_still_is_read_all_the_same() -> None:
    world = World(50)
    work = asyncio.ensure_future(wrapped(Slices(seconds=0.0, few=10).complete(world.read)))  # type: ignore[arg-type]
    while not work.done():
        await asyncio.sleep(0)
        for number in range(50):
            world.change(number)
    assert world.passes == PASSES + 1


def test_what_went_wrong_in_an_interrupted_pass_is_not_told() -> None:
    passes = []

    def read() -> Steps[int]:
        passes.append(1)
        if len(passes) == 1:
            yield from counting(20)
            raise LookupError("gone between two pieces")
        return (yield from counting(3))

    assert result(Slices(few=10).complete(read)) == 3


def test_what_goes_wrong_in_a_whole_pass_is_told() -> None:
    passes = []

    def read() -> Steps[int]:
        passes.append(1)
        yield from counting(20 if len(passes) == 1 else 0)
        raise LookupError("not there")

    with pytest.raises(LookupError):
        result(Slices(few=10).complete(read))
    with pytest.raises(LookupError):
        Slices(few=10).complete(read)


async def test_long_work_at_the_same_time_is_all_done() -> None:
    slices = Slices(seconds=3600.0, few=10)
    one, two = ([], [])
    first = asyncio.ensure_future(wrapped(slices.run(counting(50, one))))
    second = asyncio.ensure_future(wrapped(slices.run(counting(50, two))))
    assert await asyncio.gather(first, second) == [50, 50]
    assert one == two == list(range(50))


def test_what_follows_waits_only_if_it_must() -> None:
    slices = Slices(few=10)
    assert then(slices.run(counting(3)), lambda n: n + 1) == 4
    assert result(then(slices.run(counting(30)), lambda n: n + 1)) == 31
    assert result(then(slices.run(counting(30)), lambda n: slices.run(counting(n + 1)))) == 31


def warned(action: Callable[[], None]) -> list[str]:
    """What Python warns of while `action` runs and what it left is collected."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        action()
        gc.collect()
    return [str(warning.message) for warning in caught]


async def begun() -> None:
    raise AssertionError("nobody awaited this")


def test_a_later_that_nobody_awaits_is_dropped_in_silence() -> None:
    async def outer(inner: Later[None]) -> None:
        await inner

    def drop() -> None:
        Later(outer(Later(outer(Later(begun())))))
        then(Later(begun()), lambda value: value)

    def drop_bare() -> None:
        begun()  # type: ignore[unused-coroutine]

    assert warned(drop) == []
    assert len(warned(drop_bare)) == 1  # which is what a Later is for


def test_a_task_that_is_cancelled_before_it_begins_leaves_no_warning() -> None:
    async def respond(reply: Later[None]) -> None:
        await reply

    async def scene() -> None:
        task = asyncio.ensure_future(respond(Later(begun())))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    assert warned(lambda: asyncio.run(scene())) == []


def test_a_later_is_awaited_once() -> None:
    async def scene() -> None:
        later = Slices(few=1).run(counting(5))
        assert isinstance(later, Later)
        assert await later == 5
        with pytest.raises(RuntimeError, match="once"):
            await later

    made: Coroutine[None, None, None] = scene()
    asyncio.run(made)
