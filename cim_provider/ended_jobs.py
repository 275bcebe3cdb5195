"""Jobs whose tasks are gone: they stay visible for as long as TimeBeforeRemoval promises (DSP1103).

Theory of operation
1. A pool removes ended tasks when it likes, and clients destroy those they started. So the last version of each ended
   task is remembered while the task is there (`follow`), and kept for KEEP seconds after its end if it goes before.
2. EndedJobs is the pool that the view of jobs reads: tasks that are there, and those that are kept. Its class revision
   changes whenever a task is kept or let go, so no listing outlives what it shows.
3. Who tells of jobs that go (indications) asks `catch_up` before it looks, and `let_go` for those whose time is over,
   the first of which ends at `next_end`.
4. The steps of a job of several calls (jobs.Work) are no jobs of their own when they are done: they are not kept.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from xenapi_core.errors import ApiError

if TYPE_CHECKING:
    from xenapi_core.bridge.source import Samples, Source
    from xenapi_core.model.schema import Schema
    from xenapi_core.store.api import Version

ENDED = frozenset({"success", "failure", "cancelled"})
KEEP = 5 * 60  # seconds from the end of a job
MOST = 1000  # jobs kept; the oldest go first, so that nobody can fill the memory with short tasks
TASK = "task"
LOOK_AGAIN = 60.0  # seconds of the loop's time


class EndedJobs:
    """See the module's theory of operation. Serves mapping.subject.Pool."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._ended: dict[str, Version] = {}
        self._kept: dict[str, Version] = {}
        self._turns = 0
        self._since: int | None = None  # None: nobody follows
        self._gone: deque[str] = deque(maxlen=MOST)
        self.steps: set[str] = set()
        self.related, self.value, self.now = source.related, source.value, source.now

    @property
    def schema(self) -> Schema:
        return self._source.schema

    @property
    def samples(self) -> Samples | None:
        return self._source.samples

    def find(self, ref: str) -> Version | None:
        return self._source.find(ref) or self._present().get(ref)

    def all(self, cls: str) -> Mapping[str, Version]:
        found = self._source.all(cls)
        if cls != TASK or not self._present():
            return found
        return {**self._kept, **found}

    def by_uuid(self, cls: str, uuid: str) -> Version | None:
        found = self._source.by_uuid(cls, uuid)
        if found is None and cls == TASK:
            return next((version for version in self._present().values() if version.values["uuid"] == uuid), None)
        return found

    def class_revision(self, cls: str) -> int:
        """Grows with each change of what is there and of what is kept, so equal numbers mean equal contents."""
        revision = self._source.class_revision(cls)
        if cls == TASK:
            self._present()
            revision += self._turns
        return revision

    async def follow(self) -> None:
        """Remember ended tasks, and keep those that go. Never returns; cancel it."""
        source = self._source
        self._since = source.revision
        self._learn(source.all(TASK).values())
        while True:
            await source.wait(self._since, LOOK_AGAIN)
            self.catch_up()

    def catch_up(self) -> None:
        """Know of all changes there are, if somebody follows."""
        source = self._source
        if self._since is None:
            return
        self._since, before = source.revision, self._since
        try:
            changes = source.changes(before, (TASK,))
        except ApiError:  # EVENTS_LOST: another pool was slow to tell; what is there counts from now on
            self._ended.clear()
            self._learn(source.all(TASK).values())
            return
        for change in changes:
            if change.version is not None:
                self._learn((change.version,))
            else:
                self._keep(change.ref)

    def next_end(self) -> int | None:
        """When the next job goes that is kept, seconds since the epoch; None if none is."""
        first = next(iter(self._kept.values()), None)
        return None if first is None else int(first.values["finished"]) + KEEP

    def is_due(self) -> bool:
        """Whether `let_go` has something to tell."""
        self._present()
        return bool(self._gone)

    def let_go(self) -> list[str]:
        """References of the tasks of jobs that went since the last call, although their tasks had gone before."""
        self._present()
        found = list(self._gone)
        self._gone.clear()
        return found

    def _learn(self, versions: Any) -> None:
        for version in versions:
            if version.values["status"] in ENDED:
                self._ended[version.ref] = version

    def _keep(self, ref: str) -> None:
        version = self._ended.pop(ref, None)
        if ref in self.steps:
            self.steps.discard(ref)
        elif version is not None and not self._is_over(version):
            self._kept[ref] = version
            self._turns += 1
            if len(self._kept) > MOST:
                self._drop(next(iter(self._kept)))

    def _drop(self, ref: str) -> None:
        del self._kept[ref]
        self._gone.append(ref)
        self._turns += 1

    def _is_over(self, version: Version) -> bool:
        return bool(self._source.now() - version.values["finished"] >= KEEP)

    def _present(self) -> dict[str, Version]:
        """What is kept still, oldest first."""
        while self._kept:
            ref = next(iter(self._kept))
            if not self._is_over(self._kept[ref]):
                break
            self._drop(ref)
        return self._kept
