"""The journal: makes commits durable in a thread of its own, many commits with one fsync.

Theory of operation
1. The loop's thread queues (`append`), the journal's thread writes (`_drain`). They share only what `_lock` guards.
2. Group commit: while one batch is being written, everything that is committed gathers into the next. A batch holds the
   newest version of each object and is written whole or not at all, so the disk always holds the state after some
   commit, never a part of one.
3. No revision is ever used that is above `_limit`, and `_limit` is on disk. The thread moves it ahead, a block at a
   time, long before it is reached; after a crash the next server starts above it, so a revision that a client saw
   before the crash, durable or not, never comes back. A clean close gives the rest of the block back.
4. When writing fails, the journal is over: waiting and later callers of `durable` get ReadOnlyError, except for what is
   durable already. What was acknowledged is on disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from xenapi_core.model.schema import Schema
from xenapi_core.store.api import Version
from xenapi_core.store.database import REVISION, Database, Row
from xenapi_core.store.failure import ReadOnlyError, StoreError
from xenapi_core.store.memory import MemoryStore
from xenapi_core.store.rows import Rows

__all__ = ["Journal", "Loaded", "ReadOnlyError", "StoreError", "open_store"]

log = logging.getLogger(__name__)

BLOCK = 100_000  # revisions reserved at a time
DISK_SECONDS = 60.0  # how long a caller waits for the disk

T = TypeVar("T")


async def open_store(directory: str | Path, schema: Schema, *, tombstones: int = 50_000) -> MemoryStore:
    """The store kept in `directory`, which is made (mode 0700) if need be and is ours until `close`.

    Objects and fields that are not journalled start anew; the revision goes on above every one shown before. Tokens
    given out before a restart are answered with EVENTS_LOST. StoreError, with one clear sentence, if another server has
    the directory, or its content cannot be read, is damaged, or was written by a newer format.
    """
    journal = Journal(Path(directory), schema)
    loaded = await journal.open()
    try:
        return MemoryStore(schema, journal, tombstones, versions=loaded.versions, revision=loaded.revision)
    except BaseException:
        await journal.close(loaded.revision)
        raise


class Loaded(NamedTuple):
    """What a journal held when it was opened: objects in creation order, and the revision to go on from."""

    versions: list[Version]
    revision: int


class Journal:
    """The durable side of one MemoryStore. `open` first; all methods are called in one event loop's thread."""

    def __init__(self, directory: Path, schema: Schema) -> None:
        self._directory = directory
        self._rows = Rows(schema)
        self._executor = ThreadPoolExecutor(1, "xencim-journal")
        self._database: Database | None = None  # the journal's thread only
        self._lock = threading.Lock()
        self._pending: dict[str, Version | None] = {}
        self._scheduled = False
        self._newest = 0  # the last revision there is
        self._queued = 0  # the last revision with something to write
        self._written = 0  # everything up to here is durable
        self._limit = 0
        self._extend_at = 0
        self._waiters: dict[asyncio.Future[None], int] = {}
        self._failure = ""  # why nothing can be written any more
        self._closed = False

    async def open(self) -> Loaded:
        """Claim the directory and read it. StoreError with one clear sentence if it cannot be used."""
        try:
            loaded = await self._in_thread(self._open)
        except BaseException:
            self._executor.shutdown(wait=False)
            raise
        self._newest = self._queued = self._written = loaded.revision
        return loaded

    # What a commit asks

    @property
    def writable(self) -> bool:
        """Whether `admit` lets a commit pass that is to be kept."""
        return not self._failure and not self._closed

    def admit(self, revision: int, kept: bool) -> None:
        """Whether `revision` may be made now. `kept`: it changes objects of classes that are journalled.

        ReadOnlyError after the end, and for what is kept after a failure (reading goes on, and needs sessions);
        StoreError if the disk is far behind.
        """
        if (self._failure and kept) or self._closed:
            raise ReadOnlyError(self._failure or "The store is closed.")
        if revision > self._limit:
            raise StoreError("The journal is too far behind to accept more changes.")

    def check(self, cls: str, values: Mapping[str, Any]) -> None:
        """AssertionError, our bug, if one of the values could not be written (Rows.check)."""
        self._rows.check(cls, values)

    def append(self, revision: int, changed: Iterable[tuple[str, Version | None]]) -> None:
        """Queue the objects whose journalled fields changed in `revision`; None for those that are gone."""
        changes = dict(changed)
        if not changes and revision <= self._extend_at:
            return
        with self._lock:
            self._newest = revision
            if changes:
                self._pending.update(changes)
                self._queued = revision
            self._schedule()

    async def durable(self, revision: int) -> None:
        """Return when everything up to `revision` is on disk. ReadOnlyError if it never will be."""
        if self._written >= min(revision, self._queued):
            return
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        with self._lock:
            target = min(revision, self._queued)
            if self._written >= target:
                return
            if self._failure:
                raise ReadOnlyError(self._failure)
            self._waiters[waiter] = target
        try:
            async with asyncio.timeout(DISK_SECONDS):
                await waiter
        except TimeoutError:
            raise StoreError("The disk did not answer in time: nobody knows whether the change is durable.") from None
        finally:
            with self._lock:
                self._waiters.pop(waiter, None)

    async def flush(self) -> None:
        """Return when all that was queued before is on disk. ReadOnlyError if it never will be."""
        await self._in_thread(self._drain)
        if self._failure:
            raise ReadOnlyError(self._failure)

    async def close(self, revision: int) -> None:
        """Write what is queued, record `revision` as the last one, give the directory free. Twice is no error.

        ReadOnlyError if not everything could be written.
        """
        if self._closed:
            return
        self._closed = True  # before the first await: nothing may be committed above `revision`
        try:
            await self._in_thread(self._finish, revision)
        finally:
            self._executor.shutdown(wait=False)
        if self._failure:
            raise ReadOnlyError(self._failure)

    # The journal's thread

    async def _in_thread(self, function: Callable[..., T], *args: Any) -> T:
        future = asyncio.get_running_loop().run_in_executor(self._executor, function, *args)
        try:
            async with asyncio.timeout(DISK_SECONDS):
                return await future
        except TimeoutError:
            raise StoreError(f"The disk of {self._directory} did not answer in time.") from None

    def _open(self) -> Loaded:
        database = Database(self._directory)
        try:
            loaded = self._load(database)
        except BaseException:
            database.close()
            raise
        self._database = database
        return loaded

    def _load(self, database: Database) -> Loaded:
        bound = database.meta().get(REVISION)
        rows = database.rows()
        if type(bound) is not int and (rows or bound is not None):
            raise StoreError(f"{database.path} is damaged: it has objects, but no revision.")
        versions: list[Version] = []
        for row in rows:
            try:
                values = self._rows.decode(row.cls, row.record)
            except ValueError as error:
                raise StoreError(f"{database.path} is damaged: {error}") from error
            if values is not None:
                versions.append(Version(row.cls, row.ref, values, row.created, row.modified))
        revision = 0 if bound is None else bound + 1
        try:
            database.write((), (), {REVISION: revision + BLOCK})
        except sqlite3.Error as error:
            raise StoreError(f"{database.path} cannot be written: {error}") from error
        self._limit = revision + BLOCK
        self._extend_at = self._limit - BLOCK // 2
        return Loaded(versions, revision)

    def _drain(self) -> None:
        """Write batches until nothing is queued."""
        while True:
            with self._lock:
                extend = self._newest > self._extend_at
                if self._failure or not (self._pending or extend):
                    self._scheduled = False
                    return
                batch, self._pending = self._pending, {}
                queued = self._queued
                limit = self._newest + BLOCK if extend else self._limit
            try:
                self._write(batch, {REVISION: limit} if extend else {})
            except Exception as error:
                self._fail(error)
                return
            with self._lock:
                self._written = queued
                self._limit = limit
                self._extend_at = limit - BLOCK // 2
                ready = [waiter for waiter, target in self._waiters.items() if target <= queued]
                for waiter in ready:
                    del self._waiters[waiter]
            _wake(ready, "")

    def _write(self, batch: Mapping[str, Version | None], meta: Mapping[str, Any]) -> None:
        assert self._database is not None
        encode = self._rows.encode
        puts = [
            Row(ref, version.cls, encode(version.cls, version.values), version.created, version.modified)
            for ref, version in batch.items()
            if version is not None
        ]
        self._database.write(puts, [ref for ref, version in batch.items() if version is None], meta)

    def _fail(self, error: Exception) -> None:
        with self._lock:
            self._scheduled = False
            self._failure = f"The store is read-only since its journal failed: {error}."
            waiters = list(self._waiters)
            self._waiters.clear()
        log.error("%s Nothing that was acknowledged is lost. Restart when the cause is removed.", self._failure)
        _wake(waiters, self._failure)

    def _finish(self, revision: int) -> None:
        self._drain()
        database, self._database = self._database, None
        if database is None:
            return
        try:
            if not self._failure:
                database.write((), (), {REVISION: revision})
        except sqlite3.Error as error:
            self._fail(error)
        finally:
            database.close()

    def _schedule(self) -> None:
        """With the lock held."""
        if not self._scheduled and not self._failure:
            self._scheduled = True
            self._executor.submit(self._drain)


def _wake(waiters: Iterable[asyncio.Future[None]], failure: str) -> None:
    """Tell waiters, in their loop's thread, that they are durable, or why they never will be."""
    by_loop: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
    for waiter in waiters:
        by_loop.setdefault(waiter.get_loop(), []).append(waiter)
    for loop, waiting in by_loop.items():
        with contextlib.suppress(RuntimeError):  # a loop that was closed has nobody waiting
            loop.call_soon_threadsafe(_settle, waiting, failure)


def _settle(waiters: Iterable[asyncio.Future[None]], failure: str) -> None:
    for waiter in waiters:
        if not waiter.done():
            if failure:
                waiter.set_exception(ReadOnlyError(failure))
            else:
                waiter.set_result(None)
