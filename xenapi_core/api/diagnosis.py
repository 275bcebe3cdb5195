"""Text reports about the server itself: operations in progress, storage, and how long calls took.

Rule 1: a report holds names, states and numbers, but no parameter of a call and no session.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterable
from dataclasses import dataclass

from xenapi_core.store.api import Store, Version


@dataclass(slots=True)
class Timing:
    """How long answers to a message took, in seconds, of those that were measured."""

    measured: int = 0
    total: float = 0.0
    longest: float = 0.0

    def add(self, seconds: float) -> None:
        self.measured += 1
        self.total += seconds
        if seconds > self.longest:
            self.longest = seconds

    @property
    def mean(self) -> float:
        return self.total / self.measured if self.measured else 0.0

    def told(self) -> str:
        """The mean and the longest."""
        return f"mean {self.mean * 1e3:.3f} ms, longest {self.longest * 1e3:.3f} ms"


def threads() -> str:
    """The threads of the process, and the tasks of its event loop with the line each waits at."""
    lines = [f"{threading.active_count()} threads"]
    frames = sys._current_frames()  # the only way to see where another thread is
    for thread in threading.enumerate():
        frame = frames.get(thread.ident or 0)
        place = f"{frame.f_code.co_name} line {frame.f_lineno}" if frame is not None else "not started"
        lines.append(f"thread {thread.name}: {place}")
    tasks = sorted(asyncio.all_tasks(), key=lambda task: task.get_name())
    lines.append(f"{len(tasks)} tasks")
    for task in tasks:
        stack = task.get_stack(limit=1)
        place = f"line {stack[0].f_lineno}" if stack else "about to run"
        coroutine = getattr(task.get_coro(), "__qualname__", "a coroutine")
        lines.append(f"task {task.get_name()}: {coroutine}, {place}")
    return "\n".join(lines) + "\n"


def storage(store: Store, host: str, served: Iterable[str]) -> str:
    """The connections of a host to its SRs, what is done to them and their disks now, and the disks that VMs there and
    the host itself use.

    `served`: the SRs that have a driver.
    """
    drivers, lines = set(served), []
    for pbd in map(store.get, store.related(host, "PBDs")):
        sr = store.get(pbd["SR"])
        state = "connected" if pbd["currently_attached"] else "not connected"
        lines.append(f"SR {sr['uuid']} ({sr['type']}): {state}, {'driver' if sr.ref in drivers else 'no driver'}")
        lines += [f"  {name} by task {task}" for task, name in sr["current_operations"].items()]
        for disk in map(store.get, store.related(sr.ref, "VDIs")):
            users = [vbd for vbd in map(store.get, store.related(disk.ref, "VBDs")) if _is_here(store, vbd, host)]
            told = f"  VDI {disk['uuid']}:"
            lines += [f"{told} {name} by task {task}" for task, name in disk["current_operations"].items()]
            lines += [f"{told} VBD {vbd['uuid']} {vbd['device']} ({vbd['mode']})" for vbd in users]
            if host in disk["static_on"]:
                lines.append(f"{told} attached to the host itself, for {disk['static_on'][host] or 'no reason told'}")
    return "\n".join(lines or ["no SR is connected"]) + "\n"


def _is_here(store: Store, vbd: Version, host: str) -> bool:
    """Whether a disk connection is in use on that host."""
    vm = store.find(vbd["VM"])
    return bool(vbd["currently_attached"]) and vm is not None and vm["resident_on"] == host
