"""The undo log of a job: the calls that take its steps back, stored where they survive a killed server.

Theory of operation
1. Each step that changed something adds one entry: a message of the Xen-API, or the name of a function that `undoes`
   made known, and its arguments. Entries are undone in reverse; one that fails is logged, and the others go on.
2. With a state directory, entries are rows of the repository's file, durable before the next step begins. A job has its
   first row before it does anything, and none when it has ended: its end is reported after that is durable.
3. Machines and disks that a job makes carry the job in their other_config (MADE_BY). So they are known although the
   server was killed between making one and writing its entry. A clone can only be marked by its entry.
4. When a server starts, no job is running: rows that are there are of a server that was killed. What they name is
   undone in the name of the server (`undo_what_was_left`). A server for another pool has no name of its own there, and
   leaves what was done.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from cim_provider.schema.objects import CimError
from xenapi_core.bridge.source import Principal, Source
from xenapi_core.errors import ApiError

log = logging.getLogger("xencim.wbem.jobs")

KIND = "undo"  # of the rows; their key is the task of the job and the number of the entry
MADE_BY = "cim-job"  # in other_config of what a job makes: the task of the job
UNDO_WITHIN = 3600.0  # seconds of the loop's time for one call of an undo

# A class whose objects carry MADE_BY -> what takes one back; a machine before its disks.
_MADE = {"VM": "machine and its disks", "VDI": "VDI.destroy"}

Undo = Callable[..., Awaitable[None]]
_FUNCTIONS: dict[str, Undo] = {}


class Rows(Protocol):
    """The part of repository.disk.Disk that is used here."""

    def rows(self, kind: str) -> list[tuple[str, bytes]]: ...

    def put(self, kind: str, key: str, value: bytes) -> None: ...

    def drop(self, kind: str, key: str) -> None: ...

    def settled(self) -> Awaitable[None] | None: ...


def undoes(name: str) -> Callable[[Undo], Undo]:
    """For a function(source, principal, *args) that takes more back than one message does: entries call it `name`."""

    def register(function: Undo) -> Undo:
        _FUNCTIONS[name] = function
        return function

    return register


def _tuples(value: Any) -> Any:
    """A value as it was before it was JSON: the pool's lists are tuples."""
    if isinstance(value, list):
        return tuple(_tuples(item) for item in value)
    return {key: _tuples(item) for key, item in value.items()} if isinstance(value, dict) else value


class UndoLog:
    """The entries of one job. See the module's theory of operation."""

    def __init__(self, source: Source, principal: Principal, task: str, disk: Rows | None = None) -> None:
        self._source, self._principal, self._task, self._disk = source, principal, task, disk
        self._entries: list[tuple[str, bytes]] = []

    async def begin(self) -> None:
        """Say that there is such a job. CimError FAILED if nothing can be written."""
        if not self._entries:
            await self._write(b"[]")

    async def add(self, name: str, *args: Any) -> None:
        await self._write(json.dumps([name, *args]).encode())

    def adopt(self, key: str, value: bytes) -> None:
        """Take over an entry that a server that was killed has left."""
        self._entries.append((key, value))

    def names(self, ref: str) -> bool:
        """Whether an entry is about that object."""
        return any(ref.encode() in value for _, value in self._entries)

    async def unwind(self) -> None:
        """Undo everything, the last first."""
        while self._entries:
            key, value = self._entries.pop()
            name, *args = _tuples(json.loads(value)) or ("",)
            try:
                async with asyncio.timeout(UNDO_WITHIN):
                    await self._take_back(name, *args)
            except (ApiError, TimeoutError) as error:
                log.warning("job %s: %s, which undoes a step, failed: %s", self._task, name, error)
            except Exception:
                log.exception("job %s: %s, which undoes a step, failed: our bug", self._task, name)
            await self._drop(key)

    async def end(self) -> None:
        """Forget the entries: what was done shall stay."""
        await self._drop(*(key for key, _ in self._entries))
        self._entries.clear()

    async def _take_back(self, name: str, *args: Any) -> None:
        if name in _FUNCTIONS:
            await _FUNCTIONS[name](self._source, self._principal, *args)
        elif name:
            await self._source.call(self._principal, name, *args)

    async def _write(self, value: bytes) -> None:
        key = f"{self._task}/{len(self._entries):05d}"
        self._entries.append((key, value))
        if self._disk is not None:
            self._disk.put(KIND, key, value)
            await self._settle(self._disk)

    async def _drop(self, *keys: str) -> None:
        """Remove a row; a disk that has failed logs that itself, and the job goes on without it."""
        if self._disk is None:
            return
        try:
            for key in keys:
                self._disk.drop(KIND, key)
            await self._settle(self._disk)
        except CimError as error:
            log.warning("job %s: %s", self._task, error)

    @staticmethod
    async def _settle(disk: Rows) -> None:
        later = disk.settled()
        if later is not None:
            await later


async def undo_what_was_left(source: Source, disk: Rows | None, rows: list[tuple[str, bytes]]) -> None:
    """Undo the jobs that a killed server left (rule 4). Called at the start, before the server answers requests.
    `rows`: what was in the file then."""
    principal = await source.as_itself() if rows else None
    if principal is None:
        return
    left: dict[str, UndoLog] = {}
    for key, value in sorted(rows):
        task = key.rpartition("/")[0]
        left.setdefault(task, UndoLog(source, principal, task, disk)).adopt(key, value)
    try:
        for task, undo in left.items():
            log.warning("job %s was cut short: its steps are undone", task)
            for cls, name in reversed(_MADE.items()):
                for ref, version in list(source.all(cls).items()):
                    if version.values["other_config"].get(MADE_BY) == task and not undo.names(ref):
                        await undo.add(name, ref)
            await undo.unwind()
    finally:
        await source.call(principal, "session.logout")
