"""Task records: how a client sees an asynchronous call (API reference, tasks).

Theory of operation
1. A task is pending from `create` until exactly one of success, failure, cancelled; only pending tasks change status.
   (Its owner may call it cancelling meanwhile, which is a way of being pending.)
2. Ended tasks go after 65 minutes, or earlier when there are more than 200 (oldest first), but not while they are
   fresh: a client that starts hundreds at once must be able to see how each of them ended. Only when there are very
   many do fresh ones go, too. Pending tasks go after 24 hours without a change, unless a run of the engine works for
   them.
3. Destroying a pending task is remembered in its current_operations and done when it ends.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Any, Final

from xenapi_core.engine.caller import Caller
from xenapi_core.engine.plan import World
from xenapi_core.errors import ApiError, E
from xenapi_core.ids import NULL_REF, dummy_task_ref
from xenapi_core.model.types import Type
from xenapi_core.store.api import Txn, Version

KEPT: Final = 200
FRESH: Final = 5 * 60  # seconds since the end
CROWD: Final = 5000  # tasks that are let be while they are fresh
SLACK: Final = 100  # so many more before a crowd is looked at: each look costs as much as there are tasks
KEEP_ENDED: Final = 65 * 60
KEEP_PENDING: Final = 24 * 3600
PROGRESS_STEP: Final = 0.01
PROGRESS_INTERVAL: Final = 0.25

PENDING: Final = "pending"
UNFINISHED: Final = (PENDING, "cancelling")

RenderResult = Callable[[Type | None, Any], str]


class Tasks:
    """Writes task records; see the module's theory of operation."""

    def __init__(self, world: World, render_result: RenderResult, working: Container[str]) -> None:
        self.world = world
        self.working = working  # tasks that a run of the engine works for
        self.render_result = render_result
        self._quiet_since: dict[str, tuple[int, int]] = {}  # pending task -> (its revision, when first seen with it)
        self._crowded = CROWD + SLACK  # so many tasks are looked at before there is one more
        self._told: dict[str, float] = {}  # task -> clock time of its last progress

    def create(self, label: str, caller: Caller, description: str = "", subtask_of: str = NULL_REF) -> str:
        """A pending task, visible at once. Returns its reference."""
        world = self.world
        if len(world.store.all("task")) >= self._crowded:
            self.collect()
        ref = world.ids.ref()
        txn = world.store.begin()
        txn.create(
            "task",
            ref,
            {
                "uuid": world.ids.uuid(),
                "name_label": label,
                "name_description": description,
                "created": world.clock.now(),
                "finished": 0,
                "status": PENDING,
                "session": caller.session or NULL_REF,
                "resident_on": self._coordinator(),
                "progress": 0.0,
                "externalpid": -1,
                "stunnelpid": -1,
                "type": "<none/>",
                "result": "",
                "error_info": (),
                "subtask_of": subtask_of,
                "other_config": {f"http:{key}": text for key, text in caller.notes} if subtask_of == NULL_REF else {},
            },
        )
        world.store.commit(txn)
        return ref

    def progress(self, ref: str, fraction: float) -> None:
        """0..1; written only when it grew by a hundredth and a quarter of a second has passed."""
        task = self.world.store.find(ref)
        now = self.world.clock.monotonic()
        if task is None or fraction - task["progress"] < PROGRESS_STEP:
            return
        if now - self._told.get(ref, -1.0) < PROGRESS_INTERVAL:
            return
        self._told[ref] = now
        txn = self.world.store.begin()
        txn.update(ref, progress=min(fraction, 1.0))
        self.world.store.commit(txn)

    def succeed(self, txn: Txn, ref: str, result_type: Type | None, value: Any) -> None:
        self._end(txn, ref, "success", result=self.render_result(result_type, value))

    def fail(self, txn: Txn, ref: str, error: ApiError) -> None:
        """failure, or cancelled when the error is TASK_CANCELLED."""
        status = "cancelled" if error.code == "TASK_CANCELLED" else "failure"
        self._end(txn, ref, status, error_info=tuple(error.description))

    def abandon(self, txn: Txn, ref: str) -> None:
        """A task whose work died with the server that did it."""
        self._end(txn, ref, "failure", error_info=tuple(E.TASK_CANCELLED(ref).description))

    def mark_cancelling(self, ref: str) -> None:
        """Record that a cancel of a pending task was requested. HANDLE_INVALID."""
        self._mark(ref, "cancel")

    def destroy(self, ref: str) -> None:
        """Remove an ended task now, a pending one when it ends. HANDLE_INVALID."""
        task = self.world.store.get(ref, "task")
        if task["status"] in UNFINISHED:
            self._mark(ref, "destroy")
            return
        txn = self.world.store.begin()
        txn.delete(ref)
        self.world.store.commit(txn)

    def collect(self) -> None:
        """Remove what nobody will ask for any more (rule 2)."""
        now = self.world.clock.now()
        tasks = self.world.store.all("task")
        ended = sorted((t for t in tasks.values() if t["status"] not in UNFINISHED), key=lambda t: t["finished"])
        surplus, crowd = len(tasks) - KEPT, len(tasks) - CROWD
        gone = []
        for number, task in enumerate(ended):
            age = now - task["finished"]
            if age > KEEP_ENDED or number < crowd or (number < surplus and age > FRESH):
                gone.append(task.ref)
        waiting = (t for t in tasks.values() if t["status"] in UNFINISHED and t.ref not in self.working)
        gone += [t.ref for t in waiting if self._stale(t, now)]
        if gone:
            txn = self.world.store.begin()
            for ref in gone:
                txn.delete(ref)
                self._told.pop(ref, None)
            self.world.store.commit(txn)
        self._crowded = max(CROWD, len(self.world.store.all("task"))) + SLACK
        for ref in [ref for ref in self._quiet_since if self.world.store.find(ref) is None]:
            del self._quiet_since[ref]

    def _stale(self, task: Version, now: int) -> bool:
        revision, since = self._quiet_since.get(task.ref, (-1, now))
        if revision != task.modified:
            since = now
            self._quiet_since[task.ref] = (task.modified, since)
        return now - since > KEEP_PENDING

    def _mark(self, ref: str, operation: str) -> None:
        task = self.world.store.get(ref, "task")
        if task["status"] not in UNFINISHED:
            return
        asking = dummy_task_ref(self.world.ids, f"task.{operation}")
        txn = self.world.store.begin()
        txn.update(ref, current_operations={**task["current_operations"], asking: operation})
        self.world.store.commit(txn)

    def _end(self, txn: Txn, ref: str, status: str, **values: Any) -> None:
        self._told.pop(ref, None)
        task = txn.find(ref)
        if task is None or task["status"] not in UNFINISHED:
            return
        if "destroy" in task["current_operations"].values():
            txn.delete(ref)
            return
        now = self.world.clock.now()
        txn.update(ref, status=status, progress=1.0, finished=now, current_operations={}, **values)

    def _coordinator(self) -> str:
        """The host that works: the pool's coordinator."""
        for pool in self.world.store.all("pool").values():
            return str(pool["master"])
        return next(iter(self.world.store.all("host")), NULL_REF)
