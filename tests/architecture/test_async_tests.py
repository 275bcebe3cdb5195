"""How async tests run: tests/conftest.py gives each a loop and a deadline."""

from __future__ import annotations

import asyncio

import pytest
import uvloop
from http_client import LOOPS, run


async def test_an_async_test_runs_on_the_loop_of_the_server() -> None:
    assert isinstance(asyncio.get_running_loop(), uvloop.Loop)


@pytest.mark.parametrize("loop", sorted(LOOPS))
async def test_an_async_test_runs_on_the_loop_it_names(loop: str) -> None:
    assert isinstance(asyncio.get_running_loop(), uvloop.Loop) == (loop == "uvloop")


def test_a_test_that_hangs_fails_at_its_deadline() -> None:
    with pytest.raises(TimeoutError):
        run(asyncio.Event().wait(), deadline=0.01)


def test_a_failure_in_a_coroutine_is_the_failure_of_its_test() -> None:
    async def failing() -> None:
        raise LookupError("found")

    with pytest.raises(LookupError, match="found"):
        run(failing())
