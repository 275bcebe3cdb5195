"""What was measured, for a while: the samples of the data sources, thinned out as they grow older.

Theory of operation
1. Every STEP seconds each series gets one sample. ARCHIVES says how long which resolution is kept; a row of a coarser
   archive is made of the samples of its time, by each of the consolidation functions.
2. All series share the rows' times: row `n` of an archive ends at instant n * step. A series that had no sample then
   has NaN there.
3. Samples are kept in memory only: a restart begins anew, and so does the history. A series that was not measured for
   the time of the longest archive is gone; what a series costs grows with its age, to a few kilobytes in a week.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from xenapi_core.bridge.source import NO_SAMPLES, Samples

STEP: Final = 5
ARCHIVES: Final = ((1, 120), (12, 120), (720, 168), (17280, 366))  # (samples in a row, rows)
FUNCTIONS: Final = ("AVERAGE", "MIN", "MAX")
_NAN: Final = math.nan


@dataclass(frozen=True, slots=True)
class Series:
    """One thing that is measured. `kind`: "host" or "vm"."""

    kind: str
    uuid: str
    name: str


@dataclass(slots=True)
class _Archive:
    """Rows of one resolution of one series, the newest last, and the samples of the row that is not complete."""

    first: int = 0  # number of the first row
    rows: dict[str, array[float]] = field(default_factory=dict)
    number: int = -1  # row that is being made
    count: int = 0
    total: float = 0.0
    least: float = math.inf
    most: float = -math.inf

    def add(self, number: int, value: float, limit: int) -> None:
        """A sample of row `number`."""
        if number != self.number:
            if self.count:
                self._close(limit)
            self.number, self.count, self.total, self.least, self.most = number, 0, 0.0, math.inf, -math.inf
        self.count += 1
        self.total += value
        self.least, self.most = min(self.least, value), max(self.most, value)

    def _close(self, limit: int) -> None:
        made = {"AVERAGE": self.total / self.count, "MIN": self.least, "MAX": self.most}
        if not self.rows:
            self.first = self.number
            self.rows = {name: array("d") for name in FUNCTIONS}
        gap = self.number - self.first - len(self.rows["AVERAGE"])
        if gap >= limit:
            self.first, gap = self.number, 0
            self.rows = {name: array("d") for name in FUNCTIONS}
        for name, row in self.rows.items():
            row.extend([_NAN] * gap + [made[name]])
        surplus = len(self.rows["AVERAGE"]) - 2 * limit  # cut seldom: cutting moves everything
        if surplus > 0:
            for row in self.rows.values():
                del row[: surplus + limit]
            self.first += surplus + limit

    def at(self, number: int, function: str) -> float:
        if self.number == number and self.count:
            return {"AVERAGE": self.total / self.count, "MIN": self.least, "MAX": self.most}[function]
        index = number - self.first
        rows = self.rows.get(function)
        return rows[index] if rows is not None and 0 <= index < len(rows) else _NAN


class Recorder:
    """Samples of all series. Instants in seconds."""

    def __init__(self) -> None:
        self.last = 0  # instant of the newest sample
        self.values: dict[Series, float] = {}  # the newest samples
        self.newest: Samples = NO_SAMPLES  # the same, by object
        self._archives: dict[Series, tuple[_Archive, ...]] = {}
        self._seen: dict[Series, int] = {}

    def record(self, now: int, values: Mapping[Series, float]) -> None:
        """One sample of each series."""
        self.last = now - now % STEP
        self.values = dict(values)
        by_object: dict[str, dict[str, float]] = {}
        for series, value in values.items():
            by_object.setdefault(series.uuid, {})[series.name] = value
        self.newest = Samples(now, by_object)
        for series, value in values.items():
            archives = self._archives.get(series)
            if archives is None:
                archives = self._archives[series] = tuple(_Archive() for _ in ARCHIVES)
            self._seen[series] = self.last
            for archive, (samples, limit) in zip(archives, ARCHIVES, strict=True):
                archive.add(-(-self.last // (samples * STEP)), value, limit)
        samples, limit = ARCHIVES[-1]
        for series in [one for one, seen in self._seen.items() if self.last - seen > samples * STEP * limit]:
            del self._seen[series], self._archives[series]

    def series(self, kind: str, uuid: str = "") -> list[Series]:
        """Known series of that kind, of one object or of all, in the order of their names."""
        found = [one for one in self._archives if one.kind == kind and uuid in ("", one.uuid)]
        return sorted(found, key=lambda one: (one.uuid, one.name))

    def rows(self, index: int, series: list[Series], start: int, function: str) -> Iterator[tuple[int, list[float]]]:
        """(instant, values) of the rows of archive `index` that end after `start`, the newest first."""
        samples, limit = ARCHIVES[index]
        step = samples * STEP
        newest = self.last // step
        for number in range(newest, max(newest - limit, start // step), -1):
            values = [self._archives[one][index].at(number, function) for one in series]
            if not all(map(math.isnan, values)):
                yield number * step, values


def archive_for(interval: int, age: int) -> int:
    """The finest archive with rows of at least `interval` seconds that reaches back `age` seconds; else the longest."""
    for index, (samples, limit) in enumerate(ARCHIVES):
        if samples * STEP >= interval and samples * STEP * limit >= age:
            return index
    return len(ARCHIVES) - 1
