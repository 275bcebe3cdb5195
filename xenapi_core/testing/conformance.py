"""Shared parts of the conformance suites of drivers: the bench a driver is tried on, and how checks are run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any, Generic, Protocol, TypeVar

from xenapi_core.clock import Clock
from xenapi_core.drivers.api import DriverError
from xenapi_core.testing.virtual_time import drive

T = TypeVar("T")


class AnyBench(Protocol):
    """The place where a driver is tried; each suite says what else its checks need."""

    @property
    def clock(self) -> Clock: ...

    def uuid(self) -> str:
        """A fresh uuid."""


B = TypeVar("B", bound=AnyBench)
Made = Callable[[], AbstractAsyncContextManager[B]]


class OneTrial(Generic[B]):
    """One bench, and short ways to say what the checks say. `told`: the progress that operations told."""

    def __init__(self, bench: B) -> None:
        self.bench = bench
        self.told: list[float] = []

    async def do(self, awaitable: Awaitable[T]) -> T:
        """Await it, letting the bench's clock run."""
        return await drive(self.bench.clock, awaitable)

    async def refuses(self, kind: str, awaitable: Awaitable[Any]) -> None:
        """It fails with a DriverError of that kind, which says what happened."""
        failure: DriverError | None = None
        try:
            await self.do(awaitable)
        except DriverError as error:
            failure = error
        assert failure is not None, f"expected a DriverError of kind {kind}"
        assert failure.kind == kind, f"expected {kind}, got {failure.kind}: {failure.text}"
        assert failure.text, "a DriverError says what happened"


Trial = TypeVar("Trial")


async def run(checks: Iterable[Callable[[Trial], Awaitable[None]]], make: Made[B], trial: Callable[[B], Trial]) -> None:
    """The checks, each on a bench of its own; the first failure ends it. AssertionError says what the driver does."""
    for check in checks:
        async with make() as bench:
            await check(trial(bench))
