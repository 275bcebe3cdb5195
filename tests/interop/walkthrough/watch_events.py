"""Print what happens in the pool: class, operation and name of every object that appears, changes or goes.

usage: watch_events.py [--count N] [--seconds S]
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import XenAPI
from connection import session

PATIENCE = 30.0  # seconds the server keeps one call waiting; a quiet pool answers with no events


def name_of(event: dict[str, Any], names: dict[str, str]) -> str:
    """What to call the object. The event of a deletion has no record, so names are kept from earlier events."""
    record = event.get("snapshot", {})
    if record:
        names[event["ref"]] = record.get("name_label") or record.get("name") or record.get("uuid") or event["ref"]
    return names.get(event["ref"], event["ref"])


def watch(api: Any, count: int, seconds: float) -> None:
    """Print events until there were `count` of them, or `seconds` have passed."""
    names: dict[str, str] = {}
    token, seen, deadline = "", 0, time.monotonic() + seconds
    while seen < count and (left := deadline - time.monotonic()) > 0:
        try:
            batch = api.event_from(["*"], token, min(left, PATIENCE))
        except XenAPI.Failure as failure:
            if failure.details[0] != "EVENTS_LOST":
                raise
            token = ""  # the server has started again: so do we
            continue
        for event in batch["events"]:
            name = name_of(event, names)
            if token and seen < count:  # an empty token is answered with all there is, as additions
                print(event["class"], event["operation"], name, flush=True)
                seen += 1
        if not token:
            print(f"watching {len(batch['events'])} objects", flush=True)
        token = batch["token"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=2**63, help="stop after N events")
    parser.add_argument("--seconds", type=float, default=86400.0, help="stop after S seconds")
    arguments = parser.parse_args()
    with session() as api:
        watch(api, arguments.count, arguments.seconds)
