"""GetPerformanceMetricsForSystem of xs-cim: recorded measurements of a machine or host as rrdtool's XML.

Rule 1: what is measured of the devices of a machine or host is measured of the machine or host.
Rule 2: rows are returned as they are recorded: when a row covers more time than requested, because nothing finer is
        kept of so long ago, the step says so. Rows that are due for so much time need not have come yet: then they
        are the finest that hold all there is.
"""

from __future__ import annotations

import math
from xml.sax.saxutils import escape

from cim_provider import jobs
from cim_provider.compat.xs_codes import CODES
from cim_provider.mapping.method import Call, Result, method
from cim_provider.mapping.refusal import Kind, RefusedError, invalid
from cim_provider.mapping.subject import Subject
from cim_provider.profiles.computer_system import ComputerSystem, HostComputerSystem
from cim_provider.query.moment import moment
from cim_provider.schema.objects import Path
from xenapi_core.bridge.source import Recorded

FINEST, MINUTE = 5, 60  # seconds
# How long rows are kept that are finer than those of a day, which are the last resort: of FINEST, a minute, an hour.
KEPT = (10 * MINUTE, 120 * MINUTE, 7 * 24 * 60 * MINUTE)
EPOCH = "19700101000000.000000+000"


def instant(text: str | None, name: str) -> int | None:
    """A CIM timestamp in seconds since 1970. RefusedError INVALID_PARAMETER for what is none, or not a certain one."""
    if text is None:
        return None
    found, epoch = moment(text), moment(EPOCH)
    if found is None or epoch is None or found.interval or found.low != found.high:
        raise invalid(f"{name} is no certain moment")
    return max(0, (found.low - epoch.low) // 1_000_000)


def asked_for(now: int, start: int | None, end: int | None, minutes: int | None) -> tuple[int | None, int]:
    """From when on, None for the newest row alone, and until when. RefusedError INVALID_PARAMETER."""
    if minutes:
        if start is not None or end is not None:
            raise invalid("TimeDuration ends now: it stands for StartTime and EndTime")
        return max(0, now - minutes * MINUTE), now
    until = now if end is None else end
    if start is not None and start > until:
        raise invalid("StartTime is later than EndTime")
    return start, until


def rows_until(found: Recorded, end: int) -> list[tuple[int, tuple[float, ...]]]:
    return [row for row in found.rows if row[0] <= end]


async def recorded(call: Call, of: Subject, since: int, end: int, interval: int) -> Recorded | None:
    """The rows of a system after `since`, as /rrd_updates chooses them for a time that long; if none of these is there
    until `end`, the finest that reach back as far as any (rule 2). None if nothing is measured. ApiError."""

    async def after(instant: int) -> Recorded | None:
        return await call.source.recorded(call.principal, of.version.cls, of["uuid"], instant, interval)

    first = await after(since)
    if first is None or rows_until(first, end):
        return first
    now = call.source.now()
    shorter = [await after(now - kept) for kept in KEPT if since < now - kept]
    having = [one for one in shorter if one is not None and rows_until(one, end)]
    return min(having, key=lambda one: one.rows[-1][0], default=first)


def xport(found: Recorded, start: int, end: int, newest: bool) -> str:
    """The rows of a time, or the newest of them; oldest last, as /rrd_updates tells them."""
    rows = rows_until(found, end)[: 1 if newest else None]
    meta = {"start": start, "step": found.step, "end": rows[0][0] if rows else end, "rows": len(rows),
            "columns": len(found.legend)}  # fmt: skip
    told = "".join(f"<{name}>{value}</{name}>" for name, value in meta.items())
    legend = "".join(f"<entry>{escape(title)}</entry>" for title in found.legend)
    data = "".join(f"<row><t>{at}</t>{''.join(map(_value, values))}</row>" for at, values in rows)
    return f"<xport><meta>{told}<legend>{legend}</legend></meta><data>{data}</data></xport>"


def _value(value: float) -> str:
    return "<v>NaN</v>" if math.isnan(value) else f"<v>{value!r}</v>"


@jobs.answers(CODES)
async def get_performance_metrics(
    call: Call,
    system: Path | None,
    start_time: str | None,
    end_time: str | None,
    time_duration: int | None,
    resolution_interval: int | None,
) -> Result:
    """Xen_MetricService.GetPerformanceMetricsForSystem: rows after StartTime and until EndTime (default: now), or of
    the last TimeDuration minutes, each for ResolutionInterval seconds (default 5) at least; without a beginning the
    newest row.

    4 for a System that is no machine or host, a time that is none, and times that do not go together; 1 if nobody
    measures this pool for the server.
    """
    subject = call.target(system, "System", ComputerSystem.cim, HostComputerSystem.cim)
    interval = resolution_interval or FINEST
    now = call.source.now()
    start, end = asked_for(now, instant(start_time, "StartTime"), instant(end_time, "EndTime"), time_duration)
    since = max(0, end - 2 * interval) if start is None else start
    found = await recorded(call, subject, since, end, interval)
    if found is None:
        raise RefusedError(Kind.NOT_SUPPORTED, "nothing is measured")
    return Result(jobs.DONE, {"Metrics": xport(found, since, end, start is None)})


GET_PERFORMANCE_METRICS = method(get_performance_metrics, out=("Metrics",))
