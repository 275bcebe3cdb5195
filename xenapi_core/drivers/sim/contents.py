"""The bytes of simulated volumes: sparse, shared between copies, and kept in a file instead of memory.

Theory of operation
1. Bytes are kept in blocks of SIZE in an SQLite file: a private temporary one, or one that stays. A block that was
   never written, or holds only zeros, takes no room.
2. Copies share blocks: a copy is a copy of the table of contents, and writing makes a new block for the writer alone.
   A block nobody refers to any more is removed with its last reference.
3. A call does a bounded amount of work (`read` and `write` refuse more than LARGEST bytes), so it does not hold up the
   event loop for long; a copy costs one row for each block.
4. The file outlives the process, also when it is killed; it is not synchronised with the disk at every write.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from xenapi_core.drivers.api import DriverError
from xenapi_core.drivers.sim.changes import CHANGES_SCHEMA, ChangeLog

SIZE: Final = 64 << 10
LARGEST: Final = 4 << 20
_ZEROS: Final = bytes(SIZE)
_SCHEMA: Final = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
CREATE TABLE IF NOT EXISTS block (id INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS place (
    volume TEXT NOT NULL, number INTEGER NOT NULL, block INTEGER NOT NULL, PRIMARY KEY (volume, number)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS place_block ON place (block);
"""


class Contents:
    """The bytes of all volumes of a simulated site, by volume uuid. `path`: where they stay; None: for this run."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = None
        self.changes = ChangeLog(lambda: None if self._has_no_file else self._database, lambda: self._database)

    @property
    def _database(self) -> sqlite3.Connection:
        """Opened when something is first written or looked for. DriverError if the file is of no use."""
        if self._connection is None:
            with self._opening():
                if self.path is not None:  # guests' data: for the server's user alone
                    os.close(os.open(self.path, os.O_CREAT | os.O_WRONLY, 0o600))
                connection = sqlite3.connect(self.path or "", isolation_level=None)
                try:
                    connection.executescript(_SCHEMA + CHANGES_SCHEMA)
                except BaseException:
                    connection.close()
                    raise
            self._connection = connection
        return self._connection

    @contextmanager
    def _opening(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise DriverError("failed", f"The volumes in {self.path} cannot be used: {reason}.") from error

    @property
    def _has_no_file(self) -> bool:
        return self._connection is None and (self.path is None or not self.path.exists())

    def read(self, volume: str, offset: int, size: int) -> bytes:
        """`size` bytes from `offset` on; zeros where nothing was written."""
        _bounded(size)
        if self._has_no_file or not size:
            return bytes(size)
        first, last = offset // SIZE, (offset + size - 1) // SIZE
        found = dict(
            self._database.execute(
                "SELECT number, data FROM place JOIN block ON block = id WHERE volume = ? AND number BETWEEN ? AND ?",
                (volume, first, last),
            )
        )
        joined = b"".join(found.get(number, _ZEROS) for number in range(first, last + 1))
        return joined[offset - first * SIZE :][:size]

    def write(self, volume: str, offset: int, data: bytes) -> None:
        """Put `data` at `offset`: all of it or nothing."""
        _bounded(len(data))
        if self._has_no_file and not any(data):
            return
        with self._transaction() as database:
            for number, start, piece in _pieces(offset, data):
                if len(piece) < SIZE:
                    old = self.read(volume, number * SIZE, SIZE)
                    piece = old[:start] + piece + old[start + len(piece) :]
                self._replace(database, volume, number, piece)

    def copy(self, volume: str, source: str) -> None:
        """Give `volume` the bytes of `source` instead of its own."""
        if self._has_no_file or volume == source:
            return
        with self._transaction() as database:
            self._erase(database, volume)
            database.execute("INSERT INTO place SELECT ?, number, block FROM place WHERE volume = ?", (volume, source))

    def erase(self, volume: str) -> None:
        """Forget what is written on `volume`."""
        if not self._has_no_file:
            with self._transaction() as database:
                self._erase(database, volume)

    def keep(self, volumes: Iterable[str]) -> None:
        """Forget what is written on any other volume: those were destroyed while nobody looked.

        The first look into a file that stayed: DriverError if it is damaged or of another program.
        """
        if self._has_no_file:
            return
        known = set(volumes)
        with self._opening():
            for (volume,) in self._database.execute("SELECT DISTINCT volume FROM place").fetchall():
                if volume not in known:
                    self.erase(volume)
            for volume in self.changes.volumes() - known:
                self.changes.drop(volume)

    def written(self, volume: str) -> int:
        """Bytes of the blocks that hold something."""
        if self._has_no_file:
            return 0
        (count,) = self._database.execute("SELECT COUNT(*) FROM place WHERE volume = ?", (volume,)).fetchone()
        return int(count) * SIZE

    def extents(self, volume: str) -> list[tuple[int, int]]:
        """(offset, size) of the stretches that hold something, in order."""
        if self._has_no_file:
            return []
        found: list[tuple[int, int]] = []
        for (number,) in self._database.execute("SELECT number FROM place WHERE volume = ? ORDER BY number", (volume,)):
            if found and sum(found[-1]) == number * SIZE:
                found[-1] = (found[-1][0], found[-1][1] + SIZE)
            else:
                found.append((number * SIZE, SIZE))
        return found

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Everything or nothing."""
        database = self._database
        database.execute("BEGIN IMMEDIATE")
        try:
            yield database
        except BaseException:
            database.execute("ROLLBACK")
            raise
        database.execute("COMMIT")

    @staticmethod
    def _replace(database: sqlite3.Connection, volume: str, number: int, data: bytes) -> None:
        old = database.execute("SELECT block FROM place WHERE volume = ? AND number = ?", (volume, number)).fetchone()
        if data == _ZEROS:
            database.execute("DELETE FROM place WHERE volume = ? AND number = ?", (volume, number))
        else:
            made = database.execute("INSERT INTO block (data) VALUES (?)", (data,)).lastrowid
            database.execute("INSERT OR REPLACE INTO place VALUES (?, ?, ?)", (volume, number, made))
        if old is not None:
            database.execute(
                "DELETE FROM block WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM place WHERE block = ?1)", old
            )

    @staticmethod
    def _erase(database: sqlite3.Connection, volume: str) -> None:
        database.execute(
            "DELETE FROM block WHERE id IN (SELECT block FROM place AS mine WHERE volume = ?1 AND NOT EXISTS"
            " (SELECT 1 FROM place WHERE block = mine.block AND volume <> ?1))",
            (volume,),
        )
        database.execute("DELETE FROM place WHERE volume = ?", (volume,))


def _bounded(size: int) -> None:
    if size > LARGEST:
        raise ValueError(f"{size} bytes at once; at most {LARGEST}")


def _pieces(offset: int, data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """The blocks that `data` touches: (number, where in the block, what)."""
    done = 0
    while done < len(data):
        number, start = divmod(offset + done, SIZE)
        piece = data[done : done + SIZE - start]
        yield number, start, piece
        done += len(piece)
