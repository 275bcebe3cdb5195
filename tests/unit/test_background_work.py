"""What goes on beside requests is begun again after a defect, and ends with its exit stack."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from xenapi_core.background import AGAIN_AFTER, again_and_again, keep_going
from xenapi_core.clock import VirtualClock
from xenapi_core.testing.virtual_time import drive


class Flaky:
    """Fails the first `failures` times, then returns."""

    def __init__(self, failures: int) -> None:
        self.failures, self.begun = failures, 0

    async def work(self) -> None:
        self.begun += 1
        if self.begun <= self.failures:
            raise RuntimeError("a defect")


def test_a_defect_is_logged_and_the_work_begins_again(caplog: pytest.LogCaptureFixture) -> None:
    clock, flaky = VirtualClock(), Flaky(2)
    asyncio.run(drive(clock, again_and_again(clock, "the failover", flaky.work)))
    assert flaky.begun == 3
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]
    assert "the failover failed" in caplog.text
    assert clock.monotonic() >= 2 * AGAIN_AFTER


async def test_the_stack_ends_what_would_go_on_for_ever() -> None:
    clock, ended = VirtualClock(), asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with contextlib.AsyncExitStack() as stack:
        keep_going(stack, clock, "waiting", work)
        await clock.settle()
    assert ended.is_set()


async def test_the_stack_unwinds_although_the_work_has_a_defect() -> None:
    clock, flaky = VirtualClock(), Flaky(1_000)
    async with contextlib.AsyncExitStack() as stack:
        keep_going(stack, clock, "failing", flaky.work)
        await clock.settle()
        assert flaky.begun == 1


def test_work_that_answers_its_end_with_a_failure_does_not_begin_again(caplog: pytest.LogCaptureFixture) -> None:
    clock, begun = VirtualClock(), 0

    async def work() -> None:
        nonlocal begun
        begun += 1
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise RuntimeError("a defect") from None

    async def scene() -> None:
        async with contextlib.AsyncExitStack() as stack:
            keep_going(stack, clock, "stubborn", work)
            await clock.settle()

    asyncio.run(drive(clock, scene()))
    assert begun == 1
    assert "stubborn failed when it was ended" in caplog.text
