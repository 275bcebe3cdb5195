"""Recorded samples of the data sources, at a coarser resolution the older they are.

Theory of operation
1. Every STEP seconds each series gets one sample. ARCHIVES says how long which resolution is kept; a row of a coarser
   archive is made of the samples of its time, by each of the consolidation functions.
2. All series share the rows' times: row `n` of an archive ends at instant n * step. A series that had no sample then
   has NaN there, also for the time the server was not running.
3. A series that was not measured for the time of the longest archive is gone; what a series costs grows with its age,
   to a few kilobytes in a week. What is kept over a restart is in history.py, as the bytes that `packed` gives.
4. The window of a round are the rows of the newest minute that is over, of the series that the first round after it
   had. They are read on request; a complete row changes no more. Before there is one, the window is the first round: it
   has the same series as the samples from the beginning.
"""

from __future__ import annotations

import math
import struct
from array import array
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from xenapi_core.bridge.source import MINUTE, NO_SAMPLES, Samples, Summary, Window

STEP: Final = 5
ARCHIVES: Final = ((1, 120), (12, 120), (720, 168), (17280, 366))  # (samples in a row, rows)
FUNCTIONS: Final = ("AVERAGE", "MIN", "MAX")
_MINUTES: Final = next(index for index, (samples, _) in enumerate(ARCHIVES) if samples * STEP == MINUTE)
_NAN: Final = math.nan
_SERIES: Final = struct.Struct("=HHHq")  # lengths of the three words, instant of the newest sample
_ARCHIVE: Final = struct.Struct("=qIqIddd")  # first, rows, number, count, total, least, most


@dataclass(frozen=True, slots=True)
class Series:
    """One thing that is measured. `kind`: "host", "vm" or "sr"."""

    kind: str
    uuid: str
    name: str


# Index of an archive -> function -> values, the oldest first.
Rows = Mapping[int, Mapping[str, Sequence[float]]]


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
        """A sample of row `number`; none of an earlier row, for a clock that was set back."""
        if number < self.number:
            return
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

    def packed(self, limit: int) -> bytes:
        """The newest `limit` rows, and the one in the making."""
        rows = {name: row[-limit:] for name, row in self.rows.items()}
        kept = len(rows[FUNCTIONS[0]]) if rows else 0
        first = self.first + len(self.rows[FUNCTIONS[0]]) - kept if rows else 0
        head = _ARCHIVE.pack(first, kept, self.number, self.count, self.total, self.least, self.most)
        return head + b"".join(rows[name].tobytes() for name in FUNCTIONS if rows)

    @staticmethod
    def unpacked(data: bytes, at: int) -> tuple[_Archive, int]:
        """The archive whose bytes begin at `at`, and where they end. ValueError, struct.error."""
        first, kept, number, count, total, least, most = _ARCHIVE.unpack_from(data, at)
        at += _ARCHIVE.size
        rows: dict[str, array[float]] = {}
        size = kept * 8
        if at + size * len(FUNCTIONS) > len(data):
            raise ValueError("rows are missing")
        if kept:
            for name in FUNCTIONS:
                rows[name] = array("d", data[at : at + size])
                at += size
        return _Archive(first, rows, number, count, total, least, most), at


class _Minute(Mapping[str, Mapping[str, Summary]]):
    """The rows of one minute (rule 4), by object."""

    def __init__(
        self, archives: Mapping[Series, tuple[_Archive, ...]], measured: Iterable[Series], number: int
    ) -> None:
        self._archives, self._number = archives, number
        self._series: dict[str, list[Series]] = {}
        for one in measured:
            self._series.setdefault(one.uuid, []).append(one)

    def __getitem__(self, uuid: str) -> Mapping[str, Summary]:
        found = {}
        for series in self._series[uuid]:
            archives = self._archives.get(series)  # forgotten meanwhile: None
            summary = Summary(*(archives[_MINUTES].at(self._number, each) for each in FUNCTIONS)) if archives else None
            if summary is not None and not math.isnan(summary.average):
                found[series.name] = summary
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._series)

    def __len__(self) -> int:
        return len(self._series)


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
        for _ in self.recording(now, values):
            pass

    def recording(self, now: int, values: Mapping[Series, float]) -> Generator[None, None, None]:
        """Record one sample of each series, one series a step; readers see the new rows after the last step."""
        last = now - now % STEP
        by_object: dict[str, dict[str, float]] = {}
        for series, value in values.items():
            by_object.setdefault(series.uuid, {})[series.name] = value
            archives = self._archives.get(series)
            if archives is None:
                archives = self._archives[series] = tuple(_Archive() for _ in ARCHIVES)
            self._seen[series] = last
            for archive, (samples, limit) in zip(archives, ARCHIVES, strict=True):
                archive.add(-(-last // (samples * STEP)), value, limit)
            yield
        window, number = self.newest.window, last // MINUTE
        if self.newest is NO_SAMPLES:
            first = {
                uuid: {name: Summary(value, value, value) for name, value in found.items()}
                for uuid, found in by_object.items()
            }
            window = Window(last, STEP, first)
        elif number * MINUTE > window.at:
            window = Window(number * MINUTE, MINUTE, _Minute(self._archives, values, number))
        self.last, self.values, self.newest = last, dict(values), Samples(now, by_object, window)
        samples, limit = ARCHIVES[-1]
        for series in [one for one, seen in self._seen.items() if self.last - seen > samples * STEP * limit]:
            del self._seen[series], self._archives[series]

    def adopt(self, last: int, found: Mapping[Series, Rows]) -> None:
        """Take over rows that were recorded elsewhere until the instant `last`, in place of what is known of the
        series. All functions of an archive have the same number of rows.
        """
        for series, by_index in found.items():
            archives = []
            for index, (samples, limit) in enumerate(ARCHIVES):
                rows = {name: array("d", values[-limit:]) for name, values in by_index[index].items() if values}
                kept = len(rows[FUNCTIONS[0]]) if rows else 0
                archives.append(_Archive(last // (samples * STEP) - kept + 1 if rows else 0, rows))
            self._archives[series], self._seen[series] = tuple(archives), last - last % STEP
        self.last = max(self.last, last - last % STEP)

    def begin(self, now: int, series: Series) -> None:
        """Know a series that has no sample yet."""
        if series not in self._archives:
            self._archives[series], self._seen[series] = tuple(_Archive() for _ in ARCHIVES), now - now % STEP

    def knows(self, series: Series) -> bool:
        return series in self._archives

    def besides(self, values: Mapping[Series, float]) -> list[Series]:
        """Known series that are not among these."""
        return [one for one in self._archives if one not in values]

    def forget(self, series: Series) -> bool:
        """Drop what is known of a series. False: it is not known."""
        self.values.pop(series, None)
        self._seen.pop(series, None)
        return self._archives.pop(series, None) is not None

    def keep(self, known: Callable[[Series], bool]) -> None:
        """Forget the series of objects that are gone."""
        for series in [one for one in self._archives if not known(one)]:
            self.forget(series)

    def packed(self) -> Generator[None, None, list[bytes]]:
        """What `unpack` reads, in pieces, one series a step: each of them is of one moment."""
        pieces = []
        for series, archives in list(self._archives.items()):
            words = [word.encode() for word in (series.kind, series.uuid, series.name)]
            head = _SERIES.pack(*map(len, words), self._seen.get(series, self.last))
            rows = (archive.packed(limit) for archive, (_, limit) in zip(archives, ARCHIVES, strict=True))
            pieces.append(b"".join((head, *words, *rows)))
            yield
        return pieces

    def unpack(self, data: bytes, now: int) -> None:
        """Take over what was recorded before, all or nothing. ValueError for what is damaged or of the future."""
        found, seen, at = {}, {}, 0
        try:
            while at < len(data):
                *lengths, newest = _SERIES.unpack_from(data, at)
                at += _SERIES.size
                words = []
                for length in lengths:
                    words.append(data[at : at + length].decode())
                    at += length
                archives = []
                for _ in ARCHIVES:
                    archive, at = _Archive.unpacked(data, at)
                    archives.append(archive)
                series = Series(*words)
                found[series], seen[series] = tuple(archives), newest
        except (struct.error, TypeError) as error:
            raise ValueError("damaged") from error
        if max(seen.values(), default=0) > now:
            raise ValueError("newer than the clock")
        self._archives, self._seen = found, seen
        self.last = max(seen.values(), default=0)

    def series(self, kind: str, uuid: str = "") -> list[Series]:
        """Known series of that kind, of one object or of all, in the order of their names."""
        found = [one for one in self._archives if one.kind == kind and uuid in ("", one.uuid)]
        return sorted(found, key=lambda one: (one.uuid, one.name))

    def rows(self, index: int, series: list[Series], start: int, function: str) -> Iterator[tuple[int, list[float]]]:
        """(instant, values) of the rows of archive `index` that end after `start`, the newest first.

        They follow each other without gaps, down to the oldest one with a value: clients count rows to tell the time.
        """
        samples, limit = ARCHIVES[index]
        step = samples * STEP
        newest = self.last // step
        gap = []
        for number in range(newest, max(newest - limit, start // step), -1):
            values = [self._archives[one][index].at(number, function) for one in series]
            gap.append((number * step, values))
            if not all(map(math.isnan, values)):
                yield from gap
                gap = []

    def unfinished(self, index: int, series: list[Series], function: str) -> list[float]:
        """The unfinished row of archive `index`, from the samples so far; NaN where it has no sample."""
        number = self.last // (ARCHIVES[index][0] * STEP) + 1
        return [self._archives[one][index].at(number, function) for one in series]


def archive_for(interval: int, age: int) -> int:
    """The finest archive with rows of at least `interval` seconds that reaches back `age` seconds; else the longest."""
    for index, (samples, limit) in enumerate(ARCHIVES):
        if samples * STEP >= interval and samples * STEP * limit >= age:
            return index
    return len(ARCHIVES) - 1
