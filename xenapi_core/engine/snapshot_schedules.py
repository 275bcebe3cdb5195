"""Takes the snapshots of snapshot schedules (VMSS) when they are due, and removes the oldest ones.

Theory of operation
1. Times are UTC, the time zone of every host here, and fall on quarters of an hour.
2. `last_run_time` is written before the snapshots are begun, so a quarter is never served twice, also not after a
   crash. A quarter that passed while the server was down is not made up for.
3. A VM that cannot be snapshotted does not keep the others from it: the failure becomes a message about the schedule.
4. Only what a schedule has made (is_vmss_snapshot) counts as retained, and only that is removed, with its disks.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from xenapi_core.engine.caller import Caller
from xenapi_core.engine.engine import Engine
from xenapi_core.engine.messages import PRIORITIES, post
from xenapi_core.errors import ApiError, E
from xenapi_core.ids import NULL_REF
from xenapi_core.model.schema import POOL_ADMIN
from xenapi_core.store.api import Version

log = logging.getLogger(__name__)

QUARTER: Final = 900
DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
# What a schedule of each frequency says; the last day of a week or hour of a day that is not said is the first one.
KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "hourly": ("min",),
    "daily": ("hour", "min"),
    "weekly": ("days", "hour", "min"),
}
FIRST: Final[Mapping[str, str]] = {"days": DAYS[0], "hour": "0", "min": "0"}
ALLOWED: Final[Mapping[str, tuple[str, ...]]] = {
    "days": DAYS,
    "hour": tuple(map(str, range(24))),
    "min": ("0", "15", "30", "45"),
}
OPERATIONS: Final[Mapping[str, str]] = {"snapshot": "VM.snapshot", "checkpoint": "VM.checkpoint"}
FAILED: Final = "VMSS_SNAPSHOT_FAILED"
SCHEDULER: Final = Caller(NULL_REF, "root", frozenset({POOL_ADMIN}), originator="snapshot schedule")


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one VM: the snapshot's reference, or the failure."""

    vm: Version
    snapshot: str = NULL_REF
    failure: ApiError | None = None


def complete(frequency: str, schedule: Mapping[str, str]) -> dict[str, str]:
    """`schedule` with every key that `frequency` needs. INVALID_VALUE [key, value]."""
    for key, value in schedule.items():
        allowed = ALLOWED.get(key, ())
        if any(part not in allowed for part in (_days(value) if key == "days" else (value,))):
            raise E.INVALID_VALUE(key, value)
    return {**{key: FIRST[key] for key in KEYS[frequency]}, **schedule}


def _days(text: str) -> list[str]:
    return [day.strip().lower() for day in text.split(",")]


def due(schedule: Version, instant: int) -> bool:
    """Whether a schedule takes snapshots in the quarter of an hour that has `instant` in it."""
    moment, when = time.gmtime(instant - instant % QUARTER), schedule["schedule"]
    needed = KEYS[schedule["frequency"]]
    return (
        moment.tm_min == int(when["min"])
        and ("hour" not in needed or moment.tm_hour == int(when["hour"]))
        and ("days" not in needed or DAYS[moment.tm_wday] in _days(when["days"]))
    )


async def follow(engine: Engine) -> None:
    """Serve every quarter of an hour as it comes, until cancelled."""
    clock = engine.world.clock
    while True:
        await clock.sleep(QUARTER - clock.now() % QUARTER)
        await serve(engine)


async def serve(engine: Engine) -> None:
    """Run the schedules that are due now and were not run in this quarter yet."""
    now = engine.world.clock.now()
    begun = now - now % QUARTER
    schedules = engine.world.store.all("VMSS").items()
    refs = [ref for ref, v in schedules if v["enabled"] and v["last_run_time"] < begun and due(v, now)]
    for outcome in await asyncio.gather(*(run(engine, ref) for ref in refs), return_exceptions=True):
        if isinstance(outcome, BaseException):
            log.error("a snapshot schedule failed: our bug", exc_info=outcome)


async def run(engine: Engine, ref: str, caller: Caller = SCHEDULER) -> list[Taken]:
    """Take the snapshots of schedule `ref` now, one VM after the other, and remove those beyond its number."""
    world = engine.world
    txn = world.store.begin()
    txn.update(ref, last_run_time=world.clock.now())
    world.store.commit(txn)
    outcomes = []
    for vm in [world.store.get(vm) for vm in world.store.related(ref, "VMs")]:
        schedule = world.store.find(ref)
        if schedule is None:
            break
        try:
            outcomes.append(Taken(vm, await _take(engine, schedule, vm, caller)))
        except ApiError as failure:
            outcomes.append(Taken(vm, failure=failure))
            _post_failure(engine, schedule, vm, failure)
    return outcomes


async def _take(engine: Engine, schedule: Version, vm: Version, caller: Caller) -> str:
    world = engine.world
    stamp = time.strftime("%Y-%m-%d %H:%M", time.gmtime(world.clock.now()))
    name = f"{vm['name_label']} {schedule['name_label']} {stamp}"
    snapshot: str = await engine.perform(OPERATIONS[schedule["type"]], (vm.ref, name), caller)
    txn = world.store.begin()
    txn.update(snapshot, is_vmss_snapshot=True)
    world.store.commit(txn)
    taken = [s for s in map(world.store.get, world.store.related(vm.ref, "snapshots")) if s["is_vmss_snapshot"]]
    for old in taken[: max(0, len(taken) - schedule["retained_snapshots"])]:  # the oldest come first
        await _remove(engine, old, caller)
    return snapshot


async def _remove(engine: Engine, snapshot: Version, caller: Caller) -> None:
    """Destroy a snapshot with its disks and its memory."""
    store = engine.world.store
    disks = [vbd["VDI"] for vbd in map(store.get, store.related(snapshot.ref, "VBDs")) if vbd["type"] == "Disk"]
    await engine.perform("VM.destroy", (snapshot.ref,), caller)
    for disk in (*disks, snapshot["suspend_VDI"]):
        if store.find(disk) is not None and not store.related(disk, "VBDs"):
            await engine.perform("VDI.destroy", (disk,), caller)


def _post_failure(engine: Engine, schedule: Version, vm: Version, failure: ApiError) -> None:
    """A message about the schedule: which VM has no snapshot, and why."""
    world = engine.world
    txn = world.store.begin()
    post(world, txn, FAILED, PRIORITIES[FAILED], "VMSS", schedule["uuid"], f"VM '{vm['name_label']}': {failure}")
    world.store.commit(txn)
