"""Bytes between an operation and a reply: back-pressure, failures, and readers that leave."""

from __future__ import annotations

import asyncio

import pytest

from xenapi_core.errors import ApiError, E
from xenapi_core.server.actions.pipe import HIGH, Pipe


async def test_an_operation_waits_for_a_slow_reader() -> None:
    pipe, made = Pipe(), []

    async def work() -> None:
        pipe.open(None)
        for number in range(12):
            await pipe.put(bytes([number]) * (1 << 20))
            made.append(number)

    task = asyncio.ensure_future(work())
    await pipe.follow(task)
    for _ in range(100):
        await asyncio.sleep(0)
    assert len(made) <= HIGH // (1 << 20) + 1
    assert b"".join([part async for part in pipe]) == b"".join(bytes([n]) * (1 << 20) for n in range(12))


async def test_a_failure_before_the_beginning_is_told_and_one_later_breaks_the_stream() -> None:
    async def at_once() -> None:
        raise E.VDI_READONLY("x")

    with pytest.raises(ApiError, match="VDI_READONLY"):
        await Pipe().follow(asyncio.ensure_future(at_once()))
    pipe = Pipe()

    async def later() -> None:
        pipe.open(100)
        await pipe.put(b"half")
        raise E.VDI_READONLY("x")

    await pipe.follow(asyncio.ensure_future(later()))
    assert pipe.length == 100
    assert await anext(pipe) == b"half"
    with pytest.raises(ApiError, match="VDI_READONLY"):
        await anext(pipe)


async def test_an_operation_whose_reader_leaves_fails() -> None:
    pipe = Pipe()

    async def work() -> None:
        pipe.open(None)
        while True:
            await pipe.put(bytes(1 << 20))

    task = asyncio.ensure_future(work())
    await pipe.follow(task)
    assert await anext(pipe)
    await pipe.aclose()
    with pytest.raises(ApiError, match="VDI_IO_ERROR"):
        await task


async def test_the_end_comes_after_the_operation_has_ended() -> None:
    pipe, tidied = Pipe(), asyncio.Event()

    async def work() -> None:
        pipe.open(4)
        await pipe.put(b"data")
        await tidied.wait()

    task = asyncio.ensure_future(work())
    await pipe.follow(task)
    assert await anext(pipe) == b"data"
    waiting = asyncio.ensure_future(anext(pipe, None))
    await asyncio.sleep(0)
    assert not waiting.done()
    tidied.set()
    assert await waiting is None
