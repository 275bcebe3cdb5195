"""Injects faults: makes calls of a real driver fail on purpose, one rule at a time.

Rule 1: the driver underneath is real; a call that fails here has not reached it, unless the rule says `reached` or
        `lost`.
Rule 2: a rule counts its own calls, so a test can make each call of an operation fail in turn.
"""

from __future__ import annotations

import asyncio
import inspect
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from xenapi_core.clock import Clock
from xenapi_core.drivers.api import DriverError


@dataclass
class FaultRule:
    """Fail calls named `call` ("*": any) with a DriverError of `kind`.

    after        calls to let pass first
    count        how many to fail; None: all from then on
    probability  of failing each of those, from a seeded generator
    delay        seconds of the clock before the call fails; with kind "" the call is only slowed down
    reached      the driver does it, and then the failure is reported
    lost         the driver does it, and its answer never comes: what a server that is killed then leaves
    """

    call: str = "*"
    after: int = 0
    kind: str = "failed"
    probability: float = 1.0
    count: int | None = 1
    delay: float = 0.0
    reached: bool = False
    lost: bool = False
    seen: int = field(default=0, init=False)
    fired: int = field(default=0, init=False)

    def applies(self, name: str, chance: random.Random) -> bool:
        """Whether this call is one to fail; counts it."""
        if self.call not in ("*", name):
            return False
        self.seen += 1
        if self.seen <= self.after or (self.count is not None and self.fired >= self.count):
            return False
        if chance.random() >= self.probability:
            return False
        self.fired += 1
        return True


class Faulty:
    """Any Hypervisor, Storage or StorageBackend, with `rules` in front. `calls` lists what was called, in order."""

    def __init__(self, driver: Any, rules: Sequence[FaultRule], clock: Clock, seed: int = 0) -> None:
        self.driver = driver
        self.rules = list(rules)
        self.clock = clock
        self.calls: list[str] = []
        self._chance = random.Random(seed)  # noqa: S311 - chance in tests, not secrets

    def __getattr__(self, name: str) -> Any:
        target = getattr(self.driver, name)
        return self._guarded(name, target) if inspect.iscoroutinefunction(target) else target

    def open(self, uuid: str) -> Faulty:
        """What a storage back end opens has the same rules in front."""
        opened = Faulty(self.driver.open(uuid), (), self.clock)
        opened.rules, opened.calls, opened._chance = self.rules, self.calls, self._chance
        return opened

    def _guarded(self, name: str, target: Callable[..., Any]) -> Callable[..., Any]:
        async def call(*args: Any, **named: Any) -> Any:
            self.calls.append(name)
            for rule in self.rules:
                if rule.applies(name, self._chance):
                    if rule.delay:
                        await self.clock.sleep(rule.delay)
                    if rule.reached or rule.lost:
                        await target(*args, **named)
                    if rule.lost:
                        await asyncio.Event().wait()
                    if rule.kind:
                        raise DriverError(rule.kind, f"{name} was made to fail")
            return await target(*args, **named)

        return call
