"""The newest samples of another pool's data sources, from the /rrd_updates of its hosts.

Rule 1: each host tells of itself and of its guests; one that does not answer is asked again after REST seconds.
Rule 2: what is no number, and what an answer of another form does not say, is no sample.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final

from xenapi_core.bridge.pool_client import PoolClient, Unreachable
from xenapi_core.bridge.source import Samples

STEP: Final = 5
LOOK_BACK: Final = 60  # seconds that hosts may be late with a sample
REST: Final = 60


class Measurements:
    """The samples of one round after the other."""

    def __init__(self, client: PoolClient) -> None:
        self._client = client
        self._silent: dict[str, float] = {}  # address -> when it may be asked again

    async def round(self, session: str, addresses: Mapping[str, bool], now: int, instant: float) -> Samples:
        """Ask every host: `addresses` says of each whether it is the coordinator, which is asked where the pool is.

        `now` is the pool's time, `instant` that of the monotonic clock.
        """
        query = {"session_id": session, "start": str(now - LOOK_BACK), "cf": "AVERAGE", "interval": str(STEP)}
        values: dict[str, dict[str, float]] = {}
        at = 0
        for address, coordinates in addresses.items():
            if self._silent.get(address, 0.0) > instant:
                continue
            try:
                page = await self._client.page(
                    "" if coordinates else address, "/rrd_updates", {**query, "host": "true", "json": "true"}
                )
                newest, found = newest_samples(page)
            except (Unreachable, ValueError):
                self._silent[address] = instant + REST
                continue
            at = max(at, newest)
            for uuid, sources in found.items():
                values.setdefault(uuid, {}).update(sources)
        return Samples(at, values)


def newest_samples(page: bytes) -> tuple[int, dict[str, dict[str, float]]]:
    """The instant and the values, by uuid and name of the data source, of the newest row. ValueError (rule 2).

    A legend is "AVERAGE:vm:<uuid>:<name>" or "AVERAGE:host:<uuid>:<name>".
    """
    document: Any = json.loads(page)  # the standard library's, for hosts spell NaN
    try:
        legend, rows = document["meta"]["legend"], document["data"]
        newest = max(rows, key=lambda row: int(row["t"]), default=None)
        if newest is None:
            return 0, {}
        found: dict[str, dict[str, float]] = {}
        for title, value in zip(legend, newest["values"], strict=True):
            _, _, uuid, name = title.split(":", 3)
            if value is not None and math.isfinite(float(value)):
                found.setdefault(uuid, {})[name] = float(value)
        return int(newest["t"]), found
    except (KeyError, TypeError, AttributeError):
        raise ValueError("no answer to rrd_updates") from None
