"""Jobs that have ended: shown for the time of TimeBeforeRemoval, also after their tasks are gone (DSP1103).

Theory of operation
1. A pool removes ended tasks when it likes, and clients destroy those they started. So the last version of each ended
   task is remembered while the task is there (`follow`), and kept until its job's time is over if it goes before. A
   task whose job's time is over before it goes is hidden.
2. How long a job stays is said by two keys of its task's other_config, so whoever may change the task may change that,
   and it is known for as long as the task or what is kept of it. DeleteOnCompletion false: until it is deleted.
3. EndedJobs is the pool that the view of jobs and all relations read: its tasks are those whose jobs are there. The
   revision of the class changes whenever a task is kept, hidden or let go, so no listing outlives what it shows.
4. The indications about jobs that go call `catch_up` before they compare, and `let_go` for jobs whose time is over, the
   first of which ends at `next_end`.
5. The call that started a job (job_calls.py) is there as long as the job: it goes with the task or what is kept of it.
6. The steps of a job of several calls (jobs.Work) are no jobs of their own when they are done: they are not kept.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from cim_provider.job_calls import JobCalls
from xenapi_core.errors import ApiError

if TYPE_CHECKING:
    from xenapi_core.bridge.source import Samples, Source
    from xenapi_core.model.schema import Schema
    from xenapi_core.store.api import Version

ENDED = frozenset({"success", "failure", "cancelled"})
KEEP = 5 * 60  # seconds from the end of a job, if nobody says anything else
MOST = 1000  # jobs kept; the oldest go first, so that nobody can fill the memory with short tasks
TASK = "task"
_SECONDS = re.compile(r"[0-9]{1,13}", re.ASCII)
LOOK_AGAIN = 60.0  # seconds of the loop's time

# Keys of a task's other_config (rule 2): seconds, as text; "false".
LASTS, GOES = "cim-time-before-removal", "cim-delete-on-completion"


def time_before_removal(task: Version) -> int:
    """Seconds from the end of a job until it goes; KEEP if nobody said anything else."""
    told = str(task.values["other_config"].get(LASTS, ""))
    return int(told) if _SECONDS.fullmatch(told) else KEEP


def delete_on_completion(task: Version) -> bool:
    """Whether a job goes by itself."""
    return bool(task.values["other_config"].get(GOES) != "false")


class EndedJobs:
    """The tasks of a pool as jobs, with those that have ended kept until their time is over. Serves
    mapping.subject.Pool."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._ended: dict[str, Version] = {}  # tasks that are there
        self._kept: dict[str, Version] = {}  # tasks that are gone
        self._hidden: set[str] = set()  # tasks that are there, and whose jobs are over
        self._ends: dict[str, int] = {}  # when jobs go, seconds since the epoch
        self._next: int | None = None  # when to look again; never later than the first of `_ends`
        self._turns = 0
        self._since: int | None = None  # None: nobody follows
        self._gone: deque[str] = deque(maxlen=MOST)
        self.steps: set[str] = set()
        self.calls = JobCalls()
        self.related, self.value, self.now = source.related, source.value, source.now

    @property
    def schema(self) -> Schema:
        return self._source.schema

    @property
    def samples(self) -> Samples | None:
        return self._source.samples

    def find(self, ref: str) -> Version | None:
        found = self._source.find(ref)
        if found is None:
            return self._present().get(ref)
        return None if found.cls == TASK and self._is_hidden(ref) else found

    def all(self, cls: str) -> Mapping[str, Version]:
        found = self._source.all(cls)
        if cls != TASK or not (self._present() or self._hidden):
            return found
        there = {ref: version for ref, version in found.items() if ref not in self._hidden}
        return {**self._kept, **there}

    def by_uuid(self, cls: str, uuid: str) -> Version | None:
        found = self._source.by_uuid(cls, uuid)
        if cls != TASK:
            return found
        if found is None:
            return next((version for version in self._present().values() if version.values["uuid"] == uuid), None)
        return None if self._is_hidden(found.ref) else found

    def class_revision(self, cls: str) -> int:
        """Grows with each change of what is there and of what is kept, so equal numbers mean equal contents."""
        revision = self._source.class_revision(cls)
        if cls == TASK:
            self._present()
            revision += self._turns
        return revision

    def is_kept(self, ref: str) -> bool:
        """Whether there is a job of a task that is gone."""
        return ref in self._present()

    def forget(self, ref: str) -> None:
        """Let a job go that somebody deletes; if its task is there, that one is destroyed next."""
        if ref in self._kept:
            self._drop(ref)
        else:
            self.steps.add(ref)

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
            self._hidden.clear()
            self._ends = {ref: end for ref, end in self._ends.items() if ref in self._kept}
            self._turns += 1
            self._learn(source.all(TASK).values())
            return
        for change in changes:
            if change.version is not None:
                self._learn((change.version,))
            else:
                self._keep(change.ref)

    def next_end(self) -> int | None:
        """When the next job goes, seconds since the epoch; None if none does."""
        self._present()
        return self._next

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

    def _learn(self, versions: Iterable[Version]) -> None:
        for version in versions:
            if version.values["status"] in ENDED:
                self._ended[version.ref] = version
                self._schedule(version)

    def _schedule(self, version: Version) -> None:
        """Note when the job of an ended task goes; one that has longer now than it had is seen again."""
        ref, end = version.ref, None
        if delete_on_completion(version):
            end = self._ends[ref] = int(version.values["finished"]) + time_before_removal(version)
            self._next = end if self._next is None else min(self._next, end)
        else:
            self._ends.pop(ref, None)
        if ref in self._hidden and (end is None or end > self._source.now()):
            self._hidden.discard(ref)
            self._turns += 1

    def _keep(self, ref: str) -> None:
        self._present()
        version = self._ended.pop(ref, None)
        is_over, is_step = ref in self._hidden, ref in self.steps
        self._hidden.discard(ref)
        self.steps.discard(ref)
        if version is None or is_over or is_step:
            self._ends.pop(ref, None)
            self.calls.forget(ref)
            return
        self._kept[ref] = version
        self._turns += 1
        if len(self._kept) > MOST:
            self._drop(next(iter(self._kept)))

    def _drop(self, ref: str) -> None:
        del self._kept[ref]
        self.calls.forget(ref)
        self._ends.pop(ref, None)
        self._gone.append(ref)
        self._turns += 1

    def _is_hidden(self, ref: str) -> bool:
        self._present()
        return ref in self._hidden

    def _present(self) -> dict[str, Version]:
        """The kept tasks, oldest first, after removing the jobs whose time is over.

        Tasks that went just now are known before `follow` has its turn: a job is not gone in between.
        """
        if self._since not in (None, self._source.revision):
            self.catch_up()
        now = self._source.now()
        if self._next is None or now < self._next:
            return self._kept
        for ref in [ref for ref, end in self._ends.items() if end <= now]:
            if ref in self._kept:
                self._drop(ref)
                continue
            del self._ends[ref]
            if ref not in self._hidden:
                self._hidden.add(ref)
                self._gone.append(ref)
                self._turns += 1
        self._next = min(self._ends.values(), default=None)
        return self._kept
