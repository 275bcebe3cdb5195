"""Changes of a power state at a time that the client names (DSP1027, parameter Time): jobs that wait for it.

Theory of operation
1. A job does nothing until its time has come, and then what the request would have done without a Time. So it is
   answered with the job (4096) also where methods wait for their jobs: that would be for hours.
2. Values that are never supported and messages that the caller may not call are refused before there is a job. What
   the state then forbids fails the job.
3. A job that waits can be killed like any other. It ends with the server, and leaves nothing.
4. A time to switch on, or off and on again, is shown as PowerOnTime: it is kept with the machine or host (other_config)
   from before the answer as long as the job waits; of several jobs, that of the last one. The server writes it in its
   own name, because who may start a machine need not be allowed to change its settings; in another pool, where nobody
   acts but its users, in the user's, if that one may.
5. MOST jobs can wait at a time, for each pool; what is more is refused with 4099 (Busy). A waiting job tells its
   progress every KEEP seconds, which keeps the session of who asked.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

from cim_provider import jobs
from cim_provider.jobs import Work
from cim_provider.mapping.method import Call, Result
from cim_provider.mapping.refusal import Kind, RefusedError, invalid
from cim_provider.mapping.rule import CimDateTime, timestamp
from cim_provider.mapping.subject import Subject
from cim_provider.query.moment import moment
from cim_provider.undo_log import undoes
from xenapi_core.bridge.source import Principal, Source
from xenapi_core.errors import ApiError
from xenapi_core.model.lifecycle import POWER_ON_TIME

if TYPE_CHECKING:
    from xenapi_core.store.api import Version

log = logging.getLogger("xencim.wbem.jobs")

LABEL = "CIM.RequestPowerStateChange"  # of the tasks
MOST = 100
KEEP = 3600  # seconds
LOOK = 1.0  # seconds of the loop's time: the pool's clock may run faster, or be set
# The PowerStates (DSP1027) that end in a machine that is on, and that PowerOnTime is for: on, and off and on again.
SWITCH_ON = (2, 5, 9, 15)
MICROSECONDS = 1_000_000
EPOCH = date(1970, 1, 1).toordinal() * 86400  # in the seconds that query.moment counts
FORGET = "time to switch on"

Change = Callable[[Work], Awaitable[Any]]


def _seconds(text: str) -> tuple[bool, int] | None:
    """Whether a CIM datetime is an interval, and its seconds (of an instant, since the year 0), rounded up."""
    found = moment(text)
    return None if found is None or found.low != found.high else (found.interval, -(-found.low // MICROSECONDS))


def due_of(time: str | None, now: int) -> int | None:
    """When a Time comes, in seconds since the epoch; None for at once: NULL, no time from now, and what is over.

    RefusedError INVALID_PARAMETER for what is no moment.
    """
    if time is None:
        return None
    found = _seconds(time)
    if found is None:
        raise invalid(f"Time {time} is no moment")
    interval, seconds = found
    due = now + seconds if interval else seconds - EPOCH
    return due if due > now else None


def power_on_time(record: Version | None) -> tuple[int, CimDateTime] | None:
    """The PowerState that a waiting job will request of a machine or host, and when (rule 4); None if nothing waits."""
    state, _, at = ("" if record is None else str(record.values["other_config"].get(POWER_ON_TIME, ""))).partition(" ")
    shown = timestamp(int(at)) if at.isascii() and at.isdecimal() and len(at) < 16 else None
    return (int(state), shown) if shown is not None and state in map(str, SWITCH_ON) else None


async def later(call: Call, element: Subject, due: int, state: int, change: Change) -> Result:
    """Start the job that does `change` when `due` has come. `state`: the requested PowerState.

    4096 and the job; 4099 if too many wait already (rule 5).
    """
    tasks = call.source.all("task").values()
    if sum(one.values["name_label"] == LABEL and one.values["status"] == "pending" for one in tasks) >= MOST:
        raise RefusedError(Kind.BUSY, f"{MOST} changes wait for their time already")
    cls, ref, kept, shown = element.version.cls, element.ref, f"{state} {due}", state in SWITCH_ON

    async def body(work: Work) -> Mapping[str, Any]:
        if shown:
            await work.log.begin()
            await work.undo(FORGET, cls, ref, kept)
            await _write_power_on_time(work.source, work.principal, cls, ref, kept)
        work.begun.set()
        await _wait_until(work, due)
        if shown:
            await _forget(work.source, work.principal, cls, ref, kept)
        await change(work)
        return {}

    about = str(element["uuid"]) if cls == "VM" else ""
    return await call.jobs.answering(False).several(call, jobs.STATE_CHANGE, LABEL, body, about, when_begun=True)


async def _wait_until(work: Work, due: int) -> None:
    """TASK_CANCELLED if a cancel of the job was requested before."""
    source = work.source
    begun = told = source.now()
    while True:
        seen, now = source.revision, source.now()
        work.check()
        if now >= due:
            return
        if now >= told + KEEP:
            told = now
            share = min(0.99, (now - begun) / (due - begun))
            await source.call(work.principal, "task.set_progress", work.task, share)
        await source.wait(seen, min(due - now, LOOK))


async def _write_power_on_time(source: Source, principal: Principal, cls: str, ref: str, value: str | None) -> None:
    """Write the time to switch on into the record that shows it, or (None) remove it. A missing permission and a
    machine that is gone are no errors: the change does not depend on the record."""
    itself = await source.as_itself()
    who = itself or principal
    try:
        await source.call(who, f"{cls}.remove_from_other_config", ref, POWER_ON_TIME)
        if value is not None:
            await source.call(who, f"{cls}.add_to_other_config", ref, POWER_ON_TIME, value)
    except ApiError as error:
        log.info("PowerOnTime of %s is not kept: %s", ref, error.code)
    finally:
        if itself is not None:
            await source.call(itself, "session.logout")


@undoes(FORGET)
async def _forget(source: Source, principal: Principal, cls: str, ref: str, kept: str) -> None:
    """Take away the time that a job has kept, unless it is another job's by now."""
    version = source.find(ref)
    if version is not None and version.values["other_config"].get(POWER_ON_TIME) == kept:
        await _write_power_on_time(source, principal, cls, ref, None)
