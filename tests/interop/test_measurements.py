"""Measurements of a real server: what a client is told after a restart goes back to before it."""

from __future__ import annotations

import base64
import json
import time
import urllib.request
from typing import Any

from clients import wait_until
from server_process import ServerProcess, start_server


def updates(server: ServerProcess, start: int) -> dict[int, dict[str, float]]:
    """Instant -> entry of the legend -> value, of the coordinator, its machines and its repositories."""
    credentials = base64.b64encode(f"{server.user}:{server.password}".encode()).decode()
    request = urllib.request.Request(
        f"{server.ready['xenapi']}/rrd_updates?start={start}&interval=5&cf=AVERAGE&host=true&sr_uuid=all&json=true",
        headers={"Authorization": f"Basic {credentials}"},
    )
    with urllib.request.urlopen(request, timeout=20) as reply:
        told: dict[str, Any] = json.load(reply)
    legend = told["meta"]["legend"]
    return {
        row["t"]: {entry: value for entry, value in zip(legend, row["values"], strict=True) if value is not None}
        for row in told["data"]
    }


def test_history_goes_back_to_before_a_restart(tmp_path):
    state, start = str(tmp_path / "state"), int(time.time()) - 300
    server = start_server(tmp_path / "one", "--state", state)
    wait_until(lambda: len(updates(server, start)) > 1)  # the first row is complete
    before = updates(server, start)
    assert server.stop() == 0
    server = start_server(tmp_path / "two", "--state", state)
    after = updates(server, start)
    first = min(before)
    assert {entry.split(":")[1] for entry in before[first]} == {"host", "vm", "sr"}
    assert after[first] == before[first]
    server.stop()
