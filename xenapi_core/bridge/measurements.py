"""The newest samples of another pool's data sources, from the /rrd_updates of its hosts.

Rule 1: each host reports itself and its guests; a host that does not answer is queried again after REST seconds.
Rule 2: what is no number, and what an answer of another form does not say, is no sample.
Rule 3: when a minute is over, its samples are requested once more, with a page that reaches back to its beginning. A
        host that lacks the last of them when another host has it is left out of that minute's window.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final, cast

from xenapi_core.bridge.pool_client import PoolClient, Unreachable
from xenapi_core.bridge.source import MINUTE, NO_WINDOW, Recorded, Samples, Summary, Window

UPDATES: Final = "/rrd_updates"
STEP: Final = 5
LOOK_BACK: Final = 60  # seconds that hosts may be late with a sample
REST: Final = 60


class Measurements:
    """The samples of one round after the other."""

    def __init__(self, client: PoolClient) -> None:
        self._client = client
        self._silent: dict[str, float] = {}  # address -> when it may be asked again
        self._window = NO_WINDOW

    async def round(self, session: str, addresses: Mapping[str, bool], now: int, instant: float) -> Samples:
        """Read the samples of every host. `addresses` says of each whether it is the coordinator, which is reached at
        the pool's address.

        `now` is the pool's time, `instant` that of the monotonic clock.
        """
        due = now - now % MINUTE  # where the newest minute that is over ended
        start = now - LOOK_BACK if self._window.at >= due else min(now - LOOK_BACK, due - MINUTE)
        query = {"session_id": session, "start": str(start), "cf": "AVERAGE", "interval": str(STEP)}
        values: dict[str, dict[str, float]] = {}
        minute: dict[str, dict[str, Summary]] = {}
        at = 0
        for address, coordinates in addresses.items():
            if self._silent.get(address, 0.0) > instant:
                continue
            try:
                page = await self._client.page(
                    "" if coordinates else address, UPDATES, {**query, "host": "true", "json": "true"}
                )
                newest, found = newest_samples(page)
                if newest >= due > self._window.at:
                    for uuid, summaries in summed_up(page, due).items():
                        minute.setdefault(uuid, {}).update(summaries)
            except (Unreachable, ValueError):
                self._silent[address] = instant + REST
                continue
            at = max(at, newest)
            for uuid, sources in found.items():
                values.setdefault(uuid, {}).update(sources)
        if at >= due > self._window.at:
            self._window = Window(due, MINUTE, minute)
        return Samples(at, values, self._window)


def newest_samples(page: bytes) -> tuple[int, dict[str, dict[str, float]]]:
    """The instant and the values, by uuid and name of the data source, of the newest row. ValueError (rule 2).

    A legend is "AVERAGE:vm:<uuid>:<name>" or "AVERAGE:host:<uuid>:<name>".
    """
    legend, rows = _table(page)
    at, newest = max(rows, key=lambda row: row[0], default=(0, [None] * len(legend)))
    found: dict[str, dict[str, float]] = {}
    for (uuid, name), value in zip(legend, map(_number, newest), strict=True):
        if value is not None:
            found.setdefault(uuid, {})[name] = value
    return at, found


def summed_up(page: bytes, end: int) -> dict[str, dict[str, Summary]]:
    """The summaries of the rows of the minute before `end`, by uuid and name of the data source. ValueError (rule
    2)."""
    legend, rows = _table(page)
    chosen = [values for at, values in rows if end - MINUTE < at <= end]
    found: dict[str, dict[str, Summary]] = {}
    for (uuid, name), column in zip(legend, zip(*chosen, strict=True), strict=False):  # no rows: no columns
        told = [value for value in map(_number, column) if value is not None]
        if told:
            summary = Summary(math.fsum(told) / len(told), min(told), max(told))
            found.setdefault(uuid, {})[name] = summary
    return found


def recorded(page: bytes) -> Recorded:
    """An answer of rrd_updates as it is, with NaN for what is no sample. ValueError (rule 2)."""
    document: Any = json.loads(page)
    _, rows = _columns(document)
    step = _number(document["meta"].get("step"))
    if not step:
        raise ValueError("rrd_updates does not tell the time between rows")
    told = [
        (at, tuple(math.nan if one is None else one for one in map(_number, values)))
        for at, values in sorted(rows, key=lambda row: -row[0])
    ]
    return Recorded(int(step), tuple(map(str, document["meta"]["legend"])), tuple(told))


def _table(page: bytes) -> tuple[list[tuple[str, str]], list[tuple[int, list[Any]]]]:
    """The legend as (uuid, name), and (instant, values) of the rows. ValueError (rule 2)."""
    return _columns(json.loads(page))  # the standard library's, for hosts spell NaN


def _columns(document: Any) -> tuple[list[tuple[str, str]], list[tuple[int, list[Any]]]]:
    try:
        legend = [tuple(title.split(":", 3)[2:]) for title in document["meta"]["legend"]]
        rows = [(int(row["t"]), list(row["values"])) for row in document["data"]]
    except (KeyError, TypeError, AttributeError):
        raise ValueError("no answer to rrd_updates") from None
    if any(len(title) != 2 for title in legend) or any(len(values) != len(legend) for _, values in rows):
        raise ValueError("the legend of rrd_updates does not fit")
    return cast("list[tuple[str, str]]", legend), rows


def _number(value: Any) -> float | None:
    """None for no sample, and for what is no finite number. ValueError for what is not even told as one."""
    if value is None:
        return None
    if not isinstance(value, int | float | str):
        raise ValueError("a sample is no number")
    number = float(value)
    return number if math.isfinite(number) else None
