"""One operation while it runs: what a step is given, and how it is told to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from xenapi_core.drivers.api import Hypervisor, Storage
from xenapi_core.engine.plan import Claim, Plan, Step, World
from xenapi_core.errors import ApiError, E
from xenapi_core.store.api import Txn

if TYPE_CHECKING:
    from xenapi_core.engine.engine import Engine


class Work:
    """An operation in progress; implements plan.Run.

    Rule 1: `cancel` interrupts only while `interruptible`, that is, inside a step's `do` or while waiting for a claim;
            undoing and committing are never interrupted.
    """

    def __init__(self, engine: Engine, task: str, recorded: bool) -> None:
        self.engine = engine
        self.world: World = engine.world
        self.task = task
        self.recorded = recorded  # whether `task` is a record that shows progress
        self.results: dict[Any, Any] = {}
        self.claims: tuple[Claim, ...] = ()
        self.cancelled = False
        self.late = False  # the present step missed its deadline
        self.interruptible = False
        self.owner: asyncio.Task[Any] | None = None
        self.ended = asyncio.Event()
        self._before = 0.0
        self._weight = 1.0

    def commit(self, write: Callable[[Txn], None]) -> None:
        txn = self.world.store.begin()
        write(txn)
        self.world.store.commit(txn)

    def hypervisor(self, host: str) -> Hypervisor:
        try:
            return self.engine.hypervisors[host]
        except KeyError:
            raise E.HOST_OFFLINE(host) from None

    def storage(self, sr: str) -> Storage:
        try:
            return self.engine.storages[sr]
        except KeyError:
            raise E.SR_NOT_ATTACHED(sr) from None

    def progress(self, fraction: float) -> None:
        if self.recorded:
            self.engine.tasks.progress(self.task, self._before + min(max(fraction, 0.0), 1.0) * self._weight)

    def check_cancelled(self) -> None:
        if self.cancelled:
            raise E.TASK_CANCELLED(self.task)

    def cancel(self) -> None:
        """Ask for the end; it comes at the next safe point."""
        if not self.cancelled:
            self.cancelled = True
            self.interrupt()

    def interrupt(self) -> None:
        if self.interruptible and self.owner is not None:
            self.interruptible = False
            self.owner.cancel()

    def begin_step(self, plan: Plan, number: int) -> None:
        total = sum(step.weight for step in plan.steps) or 1.0
        self._before = sum(step.weight for step in plan.steps[:number]) / total
        self._weight = plan.steps[number].weight / total

    def interrupted(self, step: Step | None = None) -> ApiError:
        """What a CancelledError in this run means to its caller."""
        if self.late and not self.cancelled and step is not None:
            return E.OPERATION_NOT_ALLOWED(f"{step.name} did not finish within {step.deadline:.0f} seconds")
        self.cancelled = True
        return E.TASK_CANCELLED(self.task)
