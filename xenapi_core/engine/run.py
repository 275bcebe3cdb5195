"""One running operation: the interface that its steps use, and its cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from xenapi_core.drivers.api import Hypervisor
from xenapi_core.drivers.storage import Storage, StorageBackend
from xenapi_core.engine.caller import Caller
from xenapi_core.engine.exchange import Exchange
from xenapi_core.engine.plan import Claim, Plan, Step, World
from xenapi_core.errors import ApiError, E
from xenapi_core.ids import NULL_REF
from xenapi_core.store.api import Txn

if TYPE_CHECKING:
    from xenapi_core.engine.engine import Engine


NOBODY = Caller(NULL_REF, "", frozenset())  # the engine itself


class Work:
    """An operation in progress; implements plan.Run.

    Rule 1: `cancel` interrupts only while `interruptible`, that is, inside a step's `do` or while waiting for a claim;
            undoing and committing are never interrupted.
    Rule 2: an operation that is part of another one has a task of its own, and is over when the whole is.
    """

    def __init__(self, engine: Engine, task: str, recorded: bool, caller: Caller = NOBODY) -> None:
        self.engine = engine
        self.world: World = engine.world
        self.task = task
        self.caller = caller
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

    def claim(self, txn: Txn, ref: str, operation: str) -> None:
        current = txn.get(ref)["current_operations"]
        txn.update(ref, current_operations={**current, self.task: operation})
        self.claims = (*self.claims, Claim(ref, operation))

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

    def backend(self, kind: str) -> StorageBackend:
        try:
            return self.engine.backends[kind]
        except KeyError:
            raise E.SR_UNKNOWN_DRIVER(kind) from None

    def open_storage(self, sr: str, kind: str, uuid: str) -> Storage:
        if sr not in self.engine.storages:
            self.engine.add_storage(sr, self.backend(kind).open(uuid))
        return self.storage(sr)

    def is_being_made(self, volume: str) -> bool:
        return self.engine.is_making(volume)

    def drop_storage(self, sr: str) -> None:
        self.engine.drop_storage(sr)

    def exchange(self) -> Exchange:
        if self.engine.exchange is None:
            raise E.NOT_IMPLEMENTED("VM.migrate_send to another pool")
        return self.engine.exchange

    async def perform(self, wire_name: str, *args: Any) -> Any:
        child = self.engine.part(self, wire_name, args)
        try:
            return await asyncio.shield(child.owner)  # type: ignore[arg-type]
        except asyncio.CancelledError:
            child.cancel()
            await child.ended.wait()
            raise

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
