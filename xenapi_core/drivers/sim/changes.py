"""Changed block tracking of simulated volumes: the stretches written since their last snapshot.

Theory of operation
1. A tracked volume has a parent (the volume it is compared with, "" for none) and the stretches written since they were
   the same. A snapshot takes both over, and becomes the parent of the volume it was taken of.
2. What differs between two volumes of a chain is what the newer one and those between them have noted.
3. A volume that goes leaves what it has noted to its children, so that no chain breaks.
4. A stretch is noted before it is written: after a crash too many stretches are reported, never too few.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

GRAIN: Final = 64 << 10  # stretches are whole blocks of this size
CHANGES_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS tracked (volume TEXT PRIMARY KEY, parent TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS changed (volume TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS changed_of ON changed (volume, last);
"""


class ChangeLog:
    """The tracked volumes of a simulated site and the stretches written to them. `present`: the database if there is
    one; `opened`: in any case."""

    def __init__(
        self, present: Callable[[], sqlite3.Connection | None], opened: Callable[[], sqlite3.Connection]
    ) -> None:
        self._present = present
        self._opened = opened

    def volumes(self) -> set[str]:
        """Every volume that is tracked."""
        database = self._present()
        return set() if database is None else {row[0] for row in database.execute("SELECT volume FROM tracked")}

    def is_tracked(self, volume: str) -> bool:
        return self._parent(volume) is not None

    def begin(self, volume: str) -> None:
        """Track `volume` from now on; if it is tracked already, nothing changes."""
        self._opened().execute("INSERT OR IGNORE INTO tracked VALUES (?, '')", (volume,))

    def note(self, volume: str, offset: int, size: int) -> None:
        """`size` bytes from `offset` on are about to be written."""
        if size > 0 and self.is_tracked(volume):
            self._add(volume, offset // GRAIN, (offset + size - 1) // GRAIN)

    def branch(self, snapshot: str, source: str) -> None:
        """`snapshot` was just taken of `source`; it is tracked if that is."""
        parent = self._parent(source)
        if parent is None:
            return
        with self._transaction() as database:
            database.execute("UPDATE changed SET volume = ? WHERE volume = ?", (snapshot, source))
            database.execute("INSERT OR REPLACE INTO tracked VALUES (?, ?)", (snapshot, parent))
            database.execute("UPDATE tracked SET parent = ? WHERE volume = ?", (snapshot, source))

    def revert(self, volume: str, snapshot: str, size: int) -> None:
        """`volume`, of `size` bytes now, has the data of `snapshot` again: compared with its parent it differs where
        they do."""
        parent = self._parent(volume)
        if parent is None:
            return
        stretches = self._changed_between(snapshot, parent)
        if stretches is None:
            stretches = [(0, -(-size // GRAIN) - 1)]
        with self._transaction() as database:
            database.execute("DELETE FROM changed WHERE volume = ?", (volume,))
            for first, last in stretches:
                self._add(volume, first, last)

    def drop(self, volume: str) -> None:
        """`volume` is not tracked any more, or gone (rule 3)."""
        parent = self._parent(volume)
        if parent is None:
            return
        noted = self._noted(volume)
        with self._transaction() as database:
            children = [row[0] for row in database.execute("SELECT volume FROM tracked WHERE parent = ?", (volume,))]
            for child in children:
                for first, last in noted:
                    self._add(child, first, last)
            database.execute("UPDATE tracked SET parent = ? WHERE parent = ?", (parent, volume))
            database.execute("DELETE FROM tracked WHERE volume = ?", (volume,))
            database.execute("DELETE FROM changed WHERE volume = ?", (volume,))

    def between(self, older: str, newer: str) -> list[tuple[int, int]] | None:
        """(offset, size) of the stretches in which `newer` may differ from `older`, in order.

        None if the one did not come from the other, or was not tracked all the time.
        """
        found = self._changed_between(older, newer)
        return None if found is None else [(first * GRAIN, (last - first + 1) * GRAIN) for first, last in found]

    def _changed_between(self, older: str, newer: str) -> list[tuple[int, int]] | None:
        stretches: list[tuple[int, int]] = []
        volume = newer
        while volume != older:
            parent = self._parent(volume)
            if parent is None:
                return None
            stretches += self._noted(volume)
            volume = parent
        return _merged(stretches) if self.is_tracked(older) else None

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Everything or nothing."""
        database = self._opened()
        with database:
            database.execute("BEGIN IMMEDIATE")
            yield database

    def _parent(self, volume: str) -> str | None:
        """None for a volume that is not tracked."""
        database = self._present()
        if database is None:
            return None
        row = database.execute("SELECT parent FROM tracked WHERE volume = ?", (volume,)).fetchone()
        return None if row is None else str(row[0])

    def _noted(self, volume: str) -> list[tuple[int, int]]:
        return self._opened().execute("SELECT first, last FROM changed WHERE volume = ?", (volume,)).fetchall()

    def _add(self, volume: str, first: int, last: int) -> None:
        """A stretch that goes on where another one ends makes that longer: disks are mostly written in order."""
        database = self._opened()
        near = "volume = ?1 AND last BETWEEN ?2 - 1 AND ?3 AND first <= ?2"
        if database.execute(f"UPDATE changed SET last = ?3 WHERE {near}", (volume, first, last)).rowcount == 0:  # noqa: S608
            database.execute("INSERT INTO changed VALUES (?, ?, ?)", (volume, first, last))


def _merged(stretches: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """In order, and without overlaps."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(stretches):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return found
