"""Clone a halted VM as a task, with a progress bar.

usage: clone_vm.py NAME NEW_NAME
"""

from __future__ import annotations

import sys
import time
from typing import Any

from connection import only_vm, session

WIDTH = 40
INTERVAL = 0.1  # seconds between two looks at the task


def show(progress: float) -> None:
    """Draw the bar over the one before; `progress` is 0.0 to 1.0."""
    bar = "#" * round(WIDTH * progress)
    print(f"\r[{bar:{WIDTH}}] {progress:4.0%}", end="", flush=True)


def wait(api: Any, task: str) -> dict[str, Any]:
    """The record of a task that has ended."""
    while True:
        record = api.task.get_record(task)
        show(record["progress"])
        if record["status"] not in ("pending", "cancelling"):
            print()
            return record
        time.sleep(INTERVAL)


def main(name: str, new_name: str) -> None:
    with session() as api:
        task = api.Async.VM.clone(only_vm(api, name), new_name)  # the answer is the task, at once
        try:
            ended = wait(api, task)
        except KeyboardInterrupt:
            api.task.cancel(task)
            raise
        finally:
            api.task.destroy(task)  # one that still runs goes when it ends
        if ended["status"] != "success":
            sys.exit(f"{ended['status']}: {' '.join(ended['error_info'])}")
        clone = ended["result"].removeprefix("<value>").removesuffix("</value>")  # XML-RPC text
        print(f"{new_name} has uuid {api.VM.get_uuid(clone)}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
