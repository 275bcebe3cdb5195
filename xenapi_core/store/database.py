"""The state directory: one SQLite file, and the lock that excludes a second server.

Theory of operation
1. Everything here blocks, and runs in the journal's thread only.
2. One `object` row per journalled object; a batch of changes is one SQLite transaction, in WAL mode with
   synchronous=FULL: when `write` returns, the batch survives a crash, and no part of it is ever seen without the rest.
3. rowid order is creation order: rows are inserted as objects are created and never again, only updated.
4. meta["revision"] is a bound that no revision shown to anybody has passed; a restarted server goes on above it.
5. The lock is held from open to close by an open file, so it is gone with the process, however that ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from xenapi_core.store.failure import StoreError

FILE_NAME = "state.db"
LOCK_NAME = "lock"
FORMAT = 1
APPLICATION_ID = 0x78656E63  # "xenc"
BUSY_SECONDS = 5.0  # how long a backup program may hold the file
REVISION = "revision"

_TABLES = (
    "CREATE TABLE object (ref TEXT PRIMARY KEY, cls TEXT NOT NULL, record TEXT NOT NULL,"
    " created INTEGER NOT NULL, modified INTEGER NOT NULL)",
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
)
_PUT = (
    "INSERT INTO object (ref, cls, record, created, modified) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT (ref) DO UPDATE SET record = excluded.record, modified = excluded.modified"
)
_SET = "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"


class Row(NamedTuple):
    """One object on disk; `record` is the text made by store.rows."""

    ref: str
    cls: str
    record: str
    created: int
    modified: int


class Database:
    """An open state directory. StoreError, with a sentence for the operator, if it cannot be used."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / FILE_NAME
        self._lock = _claim(directory)
        try:
            self._connection = self._connect()
        except BaseException:
            os.close(self._lock)
            raise

    def _connect(self) -> sqlite3.Connection:
        try:
            _make_file(self.path)
            connection = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"{self.path} cannot be opened: {error}") from error
        try:
            self._prepare(connection)
        except sqlite3.Error as error:
            connection.close()
            raise StoreError(f"{self.path} is damaged, or is not a state file of xencim: {error}") from error
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Check the format before anything is written into a file that may not be ours."""
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (file_format,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if tables and application != APPLICATION_ID:
            raise StoreError(f"{self.path} is not a state file of xencim.")
        if file_format > FORMAT:
            raise StoreError(
                f"{self.path} has format {file_format}, made by a newer xencim; this one knows format {FORMAT}."
            )
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise StoreError(f"{self.path} is damaged: {verdict}")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        if not tables:
            with _transaction(connection):
                for statement in _TABLES:
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version={FORMAT}")

    def rows(self) -> list[Row]:
        """All objects, in creation order."""
        with self._reading():
            found = self._connection.execute("SELECT ref, cls, record, created, modified FROM object ORDER BY rowid")
            return [Row(*row) for row in found]

    def meta(self) -> dict[str, Any]:
        """What `write` was given as meta, by key."""
        with self._reading():
            found = self._connection.execute("SELECT key, value FROM meta")
            return {key: orjson.loads(value) for key, value in found}

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, ValueError, TypeError) as error:
            raise StoreError(f"{self.path} is damaged: {error}") from error

    def write(self, puts: Iterable[Row], deletions: Iterable[str], meta: Mapping[str, Any]) -> None:
        """Make one batch durable. sqlite3.Error if that failed: then nothing of it was written, or all of it."""
        with _transaction(self._connection):
            self._connection.executemany(_PUT, puts)
            self._connection.executemany("DELETE FROM object WHERE ref = ?", ((ref,) for ref in deletions))
            self._connection.executemany(_SET, ((key, orjson.dumps(value).decode()) for key, value in meta.items()))

    def replace(self, rows: Iterable[Row], meta: Mapping[str, Any]) -> None:
        """Make `rows` the only ones, in one transaction. sqlite3.Error as for `write`."""
        with _transaction(self._connection):
            self._connection.execute("DELETE FROM object")
            self._connection.executemany(_PUT, rows)
            self._connection.executemany(_SET, ((key, orjson.dumps(value).decode()) for key, value in meta.items()))

    def close(self) -> None:
        """Give file and lock free."""
        try:
            self._connection.close()
        finally:
            os.close(self._lock)


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def _claim(directory: Path) -> int:
    """The lock of `directory`, which is made (for its owner alone) if need be."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
    except FileExistsError as error:
        raise StoreError(f"The state directory {directory} cannot be used: it is a file.") from error
    except OSError as error:
        raise StoreError(f"The state directory {directory} cannot be used: {error.strerror}.") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise StoreError(f"The state directory {directory} is in use by another server.") from error
    return lock


def _make_file(path: Path) -> None:
    """Make sure the file exists, for its owner alone (secrets are in it), and that its name survives a crash."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
