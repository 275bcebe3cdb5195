"""The clocks: order and instants of the virtual one, speed of the real one."""

from __future__ import annotations

import asyncio

import pytest

from xenapi_core.clock import RealClock, VirtualClock
from xenapi_core.testing.virtual_time import drive


async def test_virtual_clock_stands_still_until_advanced() -> None:
    clock = VirtualClock(start=100)
    sleeper = asyncio.ensure_future(clock.sleep(5))
    await clock.settle()
    assert not sleeper.done()
    assert (clock.now(), clock.monotonic()) == (100, 0.0)
    await clock.advance(4.9)
    assert not sleeper.done()
    await clock.advance(0.1)
    assert sleeper.done()
    assert clock.now() == 105


async def test_sleepers_wake_in_the_order_of_their_deadlines_at_their_own_instants() -> None:
    clock = VirtualClock()
    woken: list[tuple[str, float]] = []

    async def sleep(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, clock.monotonic()))

    tasks = [asyncio.ensure_future(sleep(*given)) for given in (("late", 3.0), ("early", 1.0), ("middle", 2.0))]
    await clock.advance(10)
    assert woken == [("early", 1.0), ("middle", 2.0), ("late", 3.0)]
    assert clock.monotonic() == 10
    await asyncio.gather(*tasks)


async def test_what_a_sleeper_does_next_happens_within_the_same_advance() -> None:
    clock = VirtualClock()
    instants: list[float] = []

    async def ticking() -> None:
        for _ in range(3):
            await clock.sleep(1.5)
            instants.append(clock.monotonic())

    task = asyncio.ensure_future(ticking())
    await clock.advance(10)
    assert instants == [1.5, 3.0, 4.5]
    await task


async def test_due_is_the_next_sleeper_that_still_waits() -> None:
    clock = VirtualClock()
    assert clock.due() is None
    gone = asyncio.ensure_future(clock.sleep(1))
    stays = asyncio.ensure_future(clock.sleep(3))
    await clock.settle()
    assert clock.due() == 1
    gone.cancel()
    await clock.settle()
    assert clock.due() == 3
    await clock.advance(3)
    await stays


def test_zero_sleep_returns_without_an_advance() -> None:
    asyncio.run(VirtualClock().sleep(0))


async def test_drive_runs_time_until_the_result_is_there() -> None:
    clock = VirtualClock()

    async def slow() -> str:
        await clock.sleep(1000)
        await clock.sleep(0.25)
        return "done"

    assert await drive(clock, slow()) == "done"
    assert clock.monotonic() == 1000.25


async def test_drive_gives_up_when_nothing_can_happen() -> None:
    clock = VirtualClock()
    never = asyncio.get_running_loop().create_future()
    with pytest.raises(TimeoutError):
        await drive(clock, never)


async def test_real_clock_runs_at_its_speed() -> None:
    clock = RealClock(speed=1000.0)
    before, wall = clock.monotonic(), clock.now()
    await clock.sleep(20.0)
    assert clock.monotonic() - before >= 19.0, "uvloop counts whole milliseconds of real time"
    assert clock.now() - wall >= 19


def test_real_clock_refuses_to_stand_still() -> None:
    with pytest.raises(ValueError, match="positive"):
        RealClock(speed=0)
