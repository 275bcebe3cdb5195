"""Rounds of samples of another pool, over HTTP: the newest ones, and what those of a minute come to."""

from __future__ import annotations

import json
import math
from urllib.parse import parse_qs

from http_client import run, serving

from xenapi_core.bridge.measurements import REST, Measurements
from xenapi_core.bridge.pool_client import PoolClient
from xenapi_core.bridge.source import MINUTE, NO_WINDOW, Samples
from xenapi_core.model.catalog import SCHEMA
from xenapi_core.server.actions.recorder import STEP, Recorder, Series
from xenapi_core.server.routes import App, Request, Response

LOAD, FREE = Series("vm", "u", "cpu0"), Series("host", "h", "memory_free_kib")
BEGIN = 999_960  # a whole minute


class Host:
    """A host that tells what its recorder has, unless it is `silent`."""

    def __init__(self) -> None:
        self.recorder = Recorder()
        self.silent = False
        self.asked: list[int] = []

    def tell(self, request: Request) -> Response:
        if self.silent:
            return Response(500, (), b"")
        start = int(parse_qs(request.query)["start"][0])
        self.asked.append(start)
        series = [LOAD, FREE]
        rows = [
            {"t": at, "values": [None if math.isnan(value) else value for value in values]}
            for at, values in self.recorder.rows(0, series, start, "AVERAGE")
        ]
        legend = [f"AVERAGE:{one.kind}:{one.uuid}:{one.name}" for one in series]
        return Response(200, (), json.dumps({"meta": {"legend": legend}, "data": rows}).encode())

    def rounds(self, *times: tuple[int, int]) -> list[Samples]:
        """The rounds that a bridge asks for: how many seconds after BEGIN, and up to when the host has its samples,
        which are numbered."""

        async def body() -> list[Samples]:
            found, told = [], 0
            async with serving(App("pool", (), self.tell)) as listener:
                client = PoolClient(f"http://127.0.0.1:{listener.port}", SCHEMA)
                measurements = Measurements(client)
                try:
                    for now, end in times:
                        for number in range(told + 1, end // STEP + 1):
                            self.recorder.record(BEGIN + number * STEP, {LOAD: float(number), FREE: 7.0})
                        told = end // STEP
                        found.append(await measurements.round("s", {"": True}, BEGIN + now, float(now)))
                finally:
                    await client.close()
            return found

        result: list[Samples] = run(body())
        return result


def test_the_samples_of_a_minute_are_summed_up_when_it_is_over() -> None:
    host = Host()
    early, late, after, later = host.rounds((32, 30), (62, 60), (67, 65), (122, 120))
    assert early.values == {"u": {"cpu0": 6.0}, "h": {"memory_free_kib": 7.0}}
    assert dict(early.window.values) == {}
    assert (late.window.at, late.window.lasts) == (BEGIN + MINUTE, MINUTE)
    assert late.window.values == {"u": {"cpu0": (6.5, 1.0, 12.0)}, "h": {"memory_free_kib": (7.0, 7.0, 7.0)}}
    assert after.window is late.window
    assert later.window.values["u"] == {"cpu0": (18.5, 13.0, 24.0)}
    assert host.asked[1:] == [BEGIN, BEGIN + 7, BEGIN + MINUTE]


def test_a_window_waits_for_the_last_samples_of_its_minute() -> None:
    host = Host()
    first, second, third = host.rounds((59, 55), (61, 55), (66, 65))
    assert second.window is first.window
    assert third.window.values["u"] == {"cpu0": (6.5, 1.0, 12.0)}


def test_a_host_that_does_not_answer_has_no_part_in_a_window_until_it_is_asked_again() -> None:
    host = Host()
    host.silent = True
    silent, resting = host.rounds((62, 60), (62 + REST - 1, 120))
    assert (silent.values, silent.window) == ({}, NO_WINDOW)
    assert (resting.values, resting.window) == ({}, NO_WINDOW)
