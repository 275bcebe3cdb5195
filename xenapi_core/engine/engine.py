"""Runs plans: claims, steps, undo, tasks; keeps records and hypervisors in agreement.

Theory of operation
1. Every operation is one Work, run by one asyncio task that this engine owns until it ends; a caller that goes away
   does not stop it.
2. Planning and claiming happen without an await in between: a plan that was made is a plan that may run. A plan that
   meets another operation's claim is made again when that claim is released, until contention_timeout.
3. A plan that overrules others cancels their Work, waits until they have undone what they did, and is made again.
4. The records' final change, the release of the claims and the end of the task are one commit.
5. After a failure the steps done are undone in reverse, uninterrupted; then the claimed VMs are compared with their
   drivers, so that not even a failing undo leaves a record that lies.
6. A domain event of a VM with a claim is kept until the claim is released. An event is a hint; the truth is
   what domains() says (see reconcile.py).
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import xenapi_core.engine.plans  # noqa: F401 - registers the plans
from xenapi_core.clock import Clock
from xenapi_core.drivers.api import Hypervisor
from xenapi_core.drivers.storage import Storage, StorageBackend
from xenapi_core.engine.advice import Advice, Advisor, consult
from xenapi_core.engine.backends import record_type
from xenapi_core.engine.caller import Caller
from xenapi_core.engine.exchange import Exchange
from xenapi_core.engine.failures import as_api_error
from xenapi_core.engine.plan import PLANS, Plan, Step, World, https
from xenapi_core.engine.reconcile import Reconciler, clear_claims
from xenapi_core.engine.run import Work
from xenapi_core.engine.steps.volumes import MAKING
from xenapi_core.engine.tasks import UNFINISHED, RenderResult, Tasks
from xenapi_core.engine.transition import note_request
from xenapi_core.errors import ApiError, E
from xenapi_core.ids import NULL_REF, Ids, dummy_task_ref
from xenapi_core.logs import incident
from xenapi_core.model.schema import Schema
from xenapi_core.model.storage_types import register
from xenapi_core.store.api import Store, Txn

log = logging.getLogger(__name__)

LOOK_AGAIN: Final = 5.0  # seconds after which a blocked plan is made again even if no release was seen
COLLECT_EVERY: Final = 60.0

Decide = Callable[[World], Plan]
Body = Callable[[], Any]


@dataclass
class EngineWorld:
    """The World that plan functions read."""

    store: Store
    schema: Schema
    clock: Clock
    ids: Ids
    reach: Callable[[str], str]
    making: Callable[[str], tuple[str, ...]]
    advice: Advice | None = None


class Engine:
    """Runs the operations of one pool: their claims, steps, undo and tasks. Made inside a running event loop; end it
    with `close`."""

    def __init__(
        self,
        store: Store,
        schema: Schema,
        clock: Clock,
        ids: Ids,
        render_result: RenderResult,
        contention_timeout: float = 7200.0,
    ) -> None:
        self._world = EngineWorld(store, schema, clock, ids, https, self.makers)
        self.world: World = self._world
        self.contention_timeout = contention_timeout
        self.hypervisors: dict[str, Hypervisor] = {}
        self.exchange: Exchange | None = None  # the way to other pools
        self.advisor: Advisor | None = None  # who asks the workload balancing server
        self.storages: dict[str, Storage] = {}
        self.backends: dict[str, StorageBackend] = {}  # type of SR -> who serves such SRs
        self._runs: dict[str, Work] = {}
        self.tasks = Tasks(self.world, render_result, self._runs)
        self.reconciler = Reconciler(self)
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}  # claimed object -> who waits for its release
        self._owned: set[asyncio.Task[Any]] = set()
        self._background: set[asyncio.Task[Any]] = set()
        self._collector: asyncio.Task[Any] | None = None
        self._closing = False

    # What exists.

    def be_reached(self, reach: Callable[[str], str]) -> None:
        """Clients find hosts under the URLs that `reach` gives for their addresses."""
        self._world.reach = reach

    def add_host(self, host: str, hypervisor: Hypervisor) -> None:
        """Take charge of a host: its driver runs its VMs, and its events are followed from now on."""
        if host in self.hypervisors:
            raise ValueError(f"{host} has a driver already")
        self.hypervisors[host] = hypervisor
        self._own(self.reconciler.watch(host, hypervisor.events()), self._background)

    def drop_host(self, host: str) -> None:
        """Let go of a host that is no member any more. Its driver is not closed: it is its maker's."""
        self.hypervisors.pop(host, None)

    def add_storage(self, sr: str, storage: Storage) -> None:
        """Take charge of a storage repository."""
        self.storages[sr] = storage

    def drop_storage(self, sr: str) -> None:
        """Let go of a repository whose record is gone."""
        self.storages.pop(sr, None)

    def is_making(self, volume: str) -> bool:
        """Whether an operation in progress is making a volume that has no record yet."""
        return any((MAKING, volume) in work.results for work in self._runs.values())

    def makers(self, sr: str) -> tuple[str, ...]:
        """Tasks of the operations in progress that are making a volume on a repository."""
        return tuple(
            task
            for task, work in self._runs.items()
            if any(place == sr for key, place in work.results.items() if isinstance(key, tuple) and key[0] == MAKING)
        )

    def add_backend(self, backend: StorageBackend) -> None:
        """Serve SRs of a type. ValueError if the type has a back end, or is known with other features."""
        kind = backend.kind
        if kind.name in self.backends:
            raise ValueError(f"storage type {kind.name} has a back end already")
        register(kind)
        self.backends[kind.name] = backend
        txn = self.world.store.begin()
        record_type(self.world, txn, kind)
        self.world.store.commit(txn)

    # What is asked for.

    async def perform(self, wire_name: str, args: Sequence[Any], caller: Caller) -> Any:
        """Do it and return its value. The operation goes on if the caller stops waiting. Raises ApiError."""
        work = Work(self, dummy_task_ref(self.world.ids, wire_name), recorded=False, caller=caller)
        return await self.see_through(work, self._decision(wire_name, args))

    async def see_through(self, work: Work, decide: Decide) -> Any:
        """Do what `decide` plans, and return its value. It goes on if the caller stops waiting.

        But if the caller is the body of a task that is cancelled, this is cancelled with it, and its end is waited for:
        a task that says cancelled has left nothing at work.
        """
        running = self.start(work, decide)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            above = next((run for run in self._runs.values() if run.owner is asyncio.current_task()), None)
            if above is None or not above.cancelled:
                raise
        _uncancel()
        work.cancel()
        try:
            return await asyncio.shield(running)
        except ApiError as error:
            if error.code == "TASK_CANCELLED":
                raise E.TASK_CANCELLED(above.task) from None
            raise

    async def to_its_end(self, steps: Awaitable[Any]) -> Any:
        """The value of a behaviour that has several steps: it goes on if the caller stops waiting."""

        async def take() -> Any:
            return await steps

        task = self._own(take(), self._background)
        task.add_done_callback(self._retrieve_exception)
        return await asyncio.shield(task)

    def launch(self, wire_name: str, args: Sequence[Any], caller: Caller, body: Body | None = None) -> str:
        """Begin it and return its task at once. `body`: the behaviour of a message that has no plan."""
        task = self.new_task(f"Async.{wire_name}", caller)
        work = Work(self, task, recorded=True, caller=caller)
        if body is None:
            self.start(work, self._decision(wire_name, args), wire_name)
        else:
            self._start(work, self._run_body(work, wire_name, body))
        return task

    def new_task(self, label: str, caller: Caller, description: str = "", subtask_of: str = NULL_REF) -> str:
        """A pending task, visible at once; from the first one on, tasks that are over are cleared away in time."""
        if self._collector is None or self._collector.done():
            self._collector = self._own(self._collect(), self._background)
        return self.tasks.create(label, caller, description, subtask_of)

    def start(self, work: Work, decide: Decide, wire_name: str | None = None) -> asyncio.Task[Any]:
        """Run what `decide` plans. `wire_name` gives the type of the result in the task record."""
        return self._start(work, self._run_plan(work, decide, wire_name))

    def part(self, whole: Work, wire_name: str, args: Sequence[Any]) -> Work:
        """Begin a message as a part of `whole`, on behalf of the same caller."""
        above = whole.task if whole.recorded else NULL_REF
        work = Work(self, self.new_task(f"Async.{wire_name}", whole.caller, subtask_of=above), True, whole.caller)
        self.start(work, self._decision(wire_name, args), wire_name)
        return work

    def work(self, name: str) -> Work:
        """A Work for something the engine does by itself."""
        return Work(self, dummy_task_ref(self.world.ids, name), recorded=False)

    def cancel(self, task: str) -> None:
        """Ask a task to stop; it does at its next safe point. HANDLE_INVALID; a task that ended is left alone."""
        self.tasks.mark_cancelling(task)
        work = self._runs.get(task)
        if work is not None:
            work.cancel()

    def destroy_task(self, task: str) -> None:
        """Remove a task record, now or when the task ends. HANDLE_INVALID."""
        self.tasks.destroy(task)

    async def recover(self) -> None:
        """Make the records true after a restart: no claims, pending tasks failed, VMs as their drivers have them."""

        def write(txn: Txn) -> None:
            clear_claims(self.world, txn, self._runs)
            for task in list(self.world.store.all("task").values()):
                if task["status"] in UNFINISHED and task.ref not in self._runs:
                    self.tasks.abandon(txn, task.ref)

        txn = self.world.store.begin()
        write(txn)
        self.world.store.commit(txn)
        await self.reconciler.compare_all()

    async def close(self) -> None:
        """Cancel and undo what is in progress, then stop watching. Drivers are not closed: they are their maker's."""
        self._closing = True
        for work in list(self._runs.values()):
            work.cancel()
        while self._owned:
            await asyncio.gather(*self._owned, return_exceptions=True)
        for task in list(self._background):
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)

    # How it runs.

    def _decision(self, wire_name: str, args: Sequence[Any]) -> Decide:
        function = PLANS[wire_name]
        return lambda world: function(world, *args)

    def _own(self, coroutine: Coroutine[Any, Any, Any], owner: set[asyncio.Task[Any]]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(coroutine)
        owner.add(task)
        task.add_done_callback(owner.discard)
        return task

    def _start(self, work: Work, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        self._runs[work.task] = work
        work.owner = task = self._own(coroutine, self._owned)
        task.add_done_callback(self._retrieve_exception)
        return task

    @staticmethod
    def _retrieve_exception(task: asyncio.Task[Any]) -> None:
        """A caller that went away must not turn its operation's failure into a warning of the event loop."""
        if not task.cancelled():
            task.exception()

    async def _run_plan(self, work: Work, decide: Decide, wire_name: str | None) -> Any:
        plan: Plan | None = None
        done: list[Step] = []
        try:
            plan = await self._claim(work, decide)
            for number, step in enumerate(plan.steps):
                work.check_cancelled()
                work.begin_step(plan, number)
                await self._run_step(work, step)
                work.progress(1.0)
                done.append(step)
            value = plan.result(work)
            self._finish(work, plan, value, wire_name)
        except BaseException as failure:
            if plan is not None:
                await self._undo(work, done)
                await self.reconciler.compare_claimed(work)
            error = self._failed(work, failure)
            if isinstance(failure, ApiError | asyncio.CancelledError):
                raise error from failure
            if error.code == "INTERNAL_ERROR" and not work.recorded:
                raise
            raise error from failure
        finally:
            self._forget(work)
        return value

    async def _run_body(self, work: Work, wire_name: str, body: Body) -> Any:
        try:
            work.check_cancelled()
            work.interruptible = True
            try:
                value = body()
                if inspect.isawaitable(value):
                    value = await value
            except asyncio.CancelledError:
                _uncancel()
                raise work.interrupted() from None
            finally:
                work.interruptible = False
            # What was written is written: who cancels from now on comes too late.
            await self.world.store.durable(self.world.store.revision)
            self._finish(work, Plan(steps=()), value, wire_name)
        except BaseException as failure:
            raise self._failed(work, failure) from failure
        finally:
            self._forget(work)
        return value

    async def _claim(self, work: Work, decide: Decide) -> Plan:
        """Plan, and take the claims in the same breath (rules 2 and 3), after asking what the plan asks (advice.py)."""
        clock, world = self.world.clock, self.world
        deadline = clock.monotonic() + self.contention_timeout
        while True:
            work.check_cancelled()
            if self._closing:
                raise E.TASK_CANCELLED(work.task)
            try:
                plan = decide(world)
            except ApiError as error:
                left = deadline - clock.monotonic()
                if error.code != "OTHER_OPERATION_IN_PROGRESS" or left <= 0:
                    raise
                await self._wait(work, self._released(error.params[1], min(left, LOOK_AGAIN)))
                continue
            if plan.asks is not None:
                advice = await self._wait(work, consult(self.advisor, world, plan.asks))
                world = replace(self._world, advice=advice)
                continue
            overruled = self._runs_to_cancel(plan)
            if not overruled:
                break
            for other in overruled:
                other.cancel()
            for other in overruled:
                await self._wait(work, other.ended.wait())
        txn = self.world.store.begin()
        for claim in plan.claims:
            current = txn.get(claim.ref)["current_operations"]
            txn.update(claim.ref, current_operations={**current, work.task: claim.operation})
        if plan.notes and txn.find(work.task) is not None:
            txn.update(work.task, other_config={**txn.get(work.task)["other_config"], **plan.notes})
        self.world.store.commit(txn)
        work.claims = plan.claims
        return plan

    def _runs_to_cancel(self, plan: Plan) -> list[Work]:
        """Runs whose claims on the same objects this plan cancels."""
        found: dict[str, Work] = {}
        for claim in plan.claims:
            for task, operation in self.world.store.get(claim.ref)["current_operations"].items():
                other = self._runs.get(task)
                if operation in plan.cancels and other is not None:
                    found[task] = other
        return list(found.values())

    async def _released(self, ref: str, seconds: float) -> None:
        """Return when a claim on `ref` is released, or after `seconds`."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(ref, []).append(future)
        alarm = self._own(self._alarm(future, seconds), self._background)
        try:
            await future
        finally:
            alarm.cancel()
            waiting = self._waiting.get(ref, [])
            if future in waiting:
                waiting.remove(future)
            if not waiting:
                self._waiting.pop(ref, None)

    async def _alarm(self, future: asyncio.Future[None], seconds: float) -> None:
        await self.world.clock.sleep(seconds)
        if not future.done():
            future.set_result(None)

    async def _wait(self, work: Work, awaitable: Awaitable[Any], step: Step | None = None) -> Any:
        """Await something that `work.cancel` may interrupt."""
        work.interruptible = True
        try:
            return await awaitable
        except asyncio.CancelledError:
            _uncancel()
            raise work.interrupted(step) from None
        finally:
            work.interruptible = False

    async def _run_step(self, work: Work, step: Step) -> None:
        if step.deadline is None:
            await step.do(work)
            return
        work.late = False
        timer = self._own(self._expire(work, step.deadline), self._background)
        try:
            await self._wait(work, step.do(work), step)
        finally:
            timer.cancel()

    async def _expire(self, work: Work, seconds: float) -> None:
        await self.world.clock.sleep(seconds)
        work.late = True
        work.interrupt()

    async def _undo(self, work: Work, done: list[Step]) -> None:
        for step in reversed(done):
            if step.undo is not None:
                try:
                    await step.undo(work)
                except Exception:
                    log.exception("could not undo %r", step.name)

    # How it ends.

    def _finish(self, work: Work, plan: Plan, value: Any, wire_name: str | None) -> None:
        txn = self.world.store.begin()
        plan.finish(work, txn)
        if plan.asked:
            note_request(txn, plan.claims)
        self._release(work, txn)
        if work.recorded:
            method = self.world.schema.methods.get(wire_name or "")
            self.tasks.succeed(txn, work.task, method.message.result if method else None, value)
        self.world.store.commit(txn)

    def _failed(self, work: Work, failure: BaseException) -> ApiError:
        """Release the claims and end the task; returns the error for the caller."""
        error = as_api_error(failure)
        if isinstance(failure, asyncio.CancelledError):
            _uncancel()
            error = work.interrupted()
        if error is None:
            number = incident(log, "an operation failed with a defect", failure)
            error = E.INTERNAL_ERROR(f"{type(failure).__name__} (log id {number})")
        txn = self.world.store.begin()
        self._release(work, txn)
        if work.recorded:
            self.tasks.fail(txn, work.task, error)
        self.world.store.commit(txn)
        return error

    @staticmethod
    def _release(work: Work, txn: Txn) -> None:
        for claim in work.claims:
            values = txn.find(claim.ref)
            if values is not None and work.task in values["current_operations"]:
                left = {task: op for task, op in values["current_operations"].items() if task != work.task}
                txn.update(claim.ref, current_operations=left)

    def _forget(self, work: Work) -> None:
        """The run is over: wake who waits for its claims, and look at what happened to its VMs meanwhile."""
        self._runs.pop(work.task, None)
        work.ended.set()
        for claim in work.claims:
            for future in self._waiting.pop(claim.ref, []):
                if not future.done():
                    future.set_result(None)
        if not self._closing:
            for claim in work.claims:
                if self.reconciler.has_news(claim.ref):
                    self._own(self.reconciler.catch_up(claim.ref), self._background)

    async def _collect(self) -> None:
        while True:
            await self.world.clock.sleep(COLLECT_EVERY)
            self.tasks.collect()


def _uncancel() -> None:
    """The cancellation was ours and has been answered: the task goes on to clean up."""
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()
