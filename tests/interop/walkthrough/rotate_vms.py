"""Move every running VM to the next host of the pool, all at the same time, while they run.

usage: rotate_vms.py
"""

from __future__ import annotations

import sys
from typing import Any

from connection import is_guest, session

PATIENCE = 60.0  # seconds the server keeps one event.from waiting


def wait_for_all(api: Any, tasks: list[str]) -> dict[str, dict[str, Any]]:
    """The records of tasks that have all ended. Events tell of every change, so nothing is polled."""
    ended: dict[str, dict[str, Any]] = {}
    token = ""
    while len(ended) < len(tasks):
        batch = api.event_from([f"task/{task}" for task in tasks], token, PATIENCE)
        for event in batch["events"]:
            record = event.get("snapshot")
            if record and record["status"] not in ("pending", "cancelling"):
                ended[event["ref"]] = record
        token = batch["token"]
    return ended


def main() -> None:
    with session() as api:
        hosts = api.host.get_all_records()
        order = sorted((ref for ref in hosts if hosts[ref]["enabled"]), key=lambda ref: hosts[ref]["name_label"])
        if len(order) < 2:
            sys.exit("there is no second host to move to")
        following = dict(zip(order, order[1:] + order[:1], strict=True))
        running = {
            ref: record
            for ref, record in api.VM.get_all_records().items()
            if is_guest(record) and record["power_state"] == "Running" and record["resident_on"] in following
        }
        moves = {
            api.Async.VM.pool_migrate(ref, following[record["resident_on"]], {"live": "true"}): ref
            for ref, record in running.items()
        }
        wrong = 0
        for task, record in wait_for_all(api, list(moves)).items():
            vm = running[moves[task]]
            origin, wanted = vm["resident_on"], following[vm["resident_on"]]
            arrived = api.VM.get_resident_on(moves[task])
            said = "" if record["status"] == "success" else " ".join([record["status"], *record["error_info"]])
            print(f"{vm['name_label']:20} {hosts[origin]['name_label']} -> {hosts[arrived]['name_label']}  {said}")
            wrong += arrived != wanted
            api.task.destroy(task)
        sys.exit(f"{wrong} of {len(moves)} VMs did not move" if wrong else None)


if __name__ == "__main__":
    main()
