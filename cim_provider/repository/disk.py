"""Stores the repository durably: one SQLite file in the state directory, many changes with one fsync.

Theory of operation
1. The loop's thread queues (`put`, `drop`), the disk's thread writes. They share only what `_lock` guards.
2. Group commit: while one batch is being written, everything that changes gathers into the next. A batch is one
   transaction with synchronous=FULL and holds the newest value of each row, so the file always holds the state after
   some change, never a part of one.
3. An operation that changed something awaits `settled` before its reply: what was acknowledged is on disk.
4. When writing fails, the disk is over: `check`, and whoever waits, gets CimError FAILED. The file keeps what was
   acknowledged.
5. Rows are (kind, key, value); the value is JSON of repository/json_values.py. The state directory's lock is the
   journal's: nobody else has the file.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path as File

from cim_provider.schema.objects import FAILED, CimError
from xenapi_core.clock import Later

log = logging.getLogger("xencim.wbem")

FILE_NAME = "cim.db"
FORMAT = 1
APPLICATION_ID = 0x78656E77  # "xenw"
BUSY_SECONDS = 5.0  # how long a backup program may hold the file
DISK_SECONDS = 60.0  # how long a client waits for the disk

Key = tuple[str, str]

_PUT = (
    "INSERT INTO item (kind, key, value) VALUES (?, ?, ?) ON CONFLICT (kind, key) DO UPDATE SET value = excluded.value"
)


class DiskError(Exception):
    """The file cannot be used: one sentence for the operator."""


class Disk:
    """An open file. DiskError if it cannot be opened, is damaged, or was written by a newer format. Blocks."""

    def __init__(self, directory: File) -> None:
        self.path = directory / FILE_NAME
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
            self._connection = sqlite3.connect(
                self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._prepare()
        except (OSError, sqlite3.Error) as error:
            raise DiskError(f"{self.path} cannot be used: {error}") from error
        self._executor = ThreadPoolExecutor(1, "xencim-cim-disk")
        self._lock = threading.Lock()
        self._pending: dict[Key, bytes | None] = {}
        self._queued = 0  # the number of the last change
        self._written = 0  # changes up to here are durable
        self._waiters: dict[asyncio.Future[None], int] = {}
        self._scheduled = False
        self._failure = ""

    def _prepare(self) -> None:
        (application,) = self._connection.execute("PRAGMA application_id").fetchone()
        (written,) = self._connection.execute("PRAGMA user_version").fetchone()
        (tables,) = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if tables and application != APPLICATION_ID:
            raise DiskError(f"{self.path} is not a file of xencim's CIM repository.")
        if written > FORMAT:
            raise DiskError(
                f"{self.path} has format {written}, made by a newer xencim; this one knows format {FORMAT}."
            )
        (verdict,) = self._connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise DiskError(f"{self.path} is damaged: {verdict}")
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=FULL")
        if not tables:
            with self._transaction():
                self._connection.execute(
                    "CREATE TABLE item (kind TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, UNIQUE (kind, key))"
                )
                self._connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
                self._connection.execute(f"PRAGMA user_version={FORMAT}")

    def rows(self, kind: str) -> list[tuple[str, bytes]]:
        """The keys and values of a kind, in the order they were first written. For the start, before any `put`."""
        try:
            found = self._connection.execute("SELECT key, value FROM item WHERE kind = ? ORDER BY rowid", (kind,))
            return [(str(key), bytes(value)) for key, value in found]
        except sqlite3.Error as error:
            raise DiskError(f"{self.path} is damaged: {error}") from error

    # ---- the loop's thread

    def check(self) -> None:
        """CimError FAILED if nothing can be written any more."""
        if self._failure:
            raise CimError(FAILED, self._failure)

    def put(self, kind: str, key: str, value: bytes) -> None:
        """Queue a row. CimError FAILED as `check`."""
        self._queue((kind, key), value)

    def drop(self, kind: str, key: str) -> None:
        """Queue the end of a row; one that is not there is no error."""
        self._queue((kind, key), None)

    def _queue(self, key: Key, value: bytes | None) -> None:
        self.check()
        with self._lock:
            self._pending.pop(key, None)  # rows are written in the order of their last change
            self._pending[key] = value
            self._queued += 1
            if not self._scheduled:
                self._scheduled = True
                self._executor.submit(self._drain)

    def settled(self) -> Later[None] | None:
        """None if everything queued is durable; otherwise to be awaited for that. CimError FAILED if it never is."""
        with self._lock:
            done = self._written >= self._queued
        return None if done else Later(self._durable())

    async def _durable(self) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with self._lock:
            if self._written >= self._queued:
                return
            if self._failure:
                raise CimError(FAILED, self._failure)
            self._waiters[waiter] = self._queued
        try:
            async with asyncio.timeout(DISK_SECONDS):
                await waiter
        except TimeoutError:
            raise CimError(
                FAILED, "the disk did not answer in time: nobody knows whether the change is durable"
            ) from None
        finally:
            with self._lock:
                self._waiters.pop(waiter, None)

    def close(self) -> None:
        """Write what is queued and give the file free. Blocks."""
        self._executor.shutdown(wait=True)
        self._connection.close()

    # ---- the disk's thread

    def _drain(self) -> None:
        while True:
            with self._lock:
                if not self._pending or self._failure:
                    self._scheduled = False
                    return
                batch, self._pending = self._pending, {}
                queued = self._queued
            try:
                self._write(batch)
            except sqlite3.Error as error:
                self._fail(error)
                return
            with self._lock:
                self._written = queued
                ready = [waiter for waiter, target in self._waiters.items() if target <= queued]
            _wake(ready, "")

    def _write(self, batch: dict[Key, bytes | None]) -> None:
        with self._transaction():
            self._connection.executemany(
                "DELETE FROM item WHERE kind = ? AND key = ?", [key for key, value in batch.items() if value is None]
            )
            self._connection.executemany(_PUT, [(*key, value) for key, value in batch.items() if value is not None])

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise

    def _fail(self, error: Exception) -> None:
        with self._lock:
            self._scheduled = False
            self._failure = f"the CIM repository is read-only since its file could not be written: {error}"
            waiters = list(self._waiters)
        log.error("%s. Nothing that was acknowledged is lost. Restart when the cause is removed.", self._failure)
        _wake(waiters, self._failure)


def _wake(waiters: list[asyncio.Future[None]], failure: str) -> None:
    """Tell waiters, in their loop's thread, that they are durable, or why they never will be."""
    for waiter in waiters:
        with contextlib.suppress(RuntimeError):  # a loop that was closed has nobody waiting
            waiter.get_loop().call_soon_threadsafe(_settle, waiter, failure)


def _settle(waiter: asyncio.Future[None], failure: str) -> None:
    if waiter.done():
        return
    if failure:
        waiter.set_exception(CimError(FAILED, failure))
    else:
        waiter.set_result(None)
