"""Diagnostics and host: reports about the server process. One process serves all hosts, so each host gives the same
report."""

from __future__ import annotations

import gc
import resource
from collections.abc import Mapping

from xenapi_core.api import diagnosis, status_report
from xenapi_core.api.registry import CallContext, handles
from xenapi_core.errors import E

KIB = 1024


@handles("host.get_system_status_capabilities")
def get_system_status_capabilities(call: CallContext, host: str) -> str:
    """What GET /system-status can gather, as XML."""
    call.get(host, "host")
    return status_report.capabilities()


@handles("host.get_diagnostic_timing_stats")
def get_diagnostic_timing_stats(call: CallContext, host: str, counts: bool) -> Mapping[str, str]:
    """Message -> how long answers to it took, of those called since the server's start; `counts`: also how many.

    Calls from inside the process are not among them. The times of messages that wait, as event.from does, include the
    waiting; of plain reads one in dispatcher.MEASURED is measured.
    """
    call.get(host, "host")
    timings = call.services.timings()
    return {name: f"{number} calls, {timing.told()}" if counts else timing.told() for name, number, timing in timings}


@handles("host.get_thread_diagnostics")
def get_thread_diagnostics(call: CallContext, host: str) -> str:
    call.get(host, "host")
    return diagnosis.threads()


@handles("host.get_sm_diagnostics")
def get_sm_diagnostics(call: CallContext, host: str) -> str:
    call.get(host, "host")
    return diagnosis.storage(call.store, host, call.services.engine.storages)


@handles("Diagnostics.gc_compact")
def gc_compact(call: CallContext, host: str) -> None:
    """A full collection. Nobody is answered meanwhile, which takes longer the more records there are."""
    call.get(host, "host")
    gc.collect()


@handles("Diagnostics.gc_stats")
def gc_stats(call: CallContext, host: str) -> Mapping[str, str]:
    """What the collector did in each generation, and the most memory the process had, in bytes."""
    call.get(host, "host")
    told = {
        f"generation {number} {name}": str(count)
        for number, generation in enumerate(gc.get_stats())
        for name, count in generation.items()
    }
    told |= {f"generation {number} pending": str(count) for number, count in enumerate(gc.get_count())}
    return told | {"most resident memory": str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB)}


@handles("Diagnostics.db_stats")
def db_stats(call: CallContext) -> Mapping[str, str]:
    """The revision of the database and its objects by class. There are no locks that could be counted."""
    counts = call.store.counts()
    told = {"revision": str(call.store.revision), "objects": str(sum(counts.values()))}
    return told | {f"objects of {cls}": str(count) for cls, count in counts.items() if count}


@handles("Diagnostics.network_stats")
def network_stats(call: CallContext, host: str, params: Mapping[str, str]) -> tuple[tuple[str, ...], ...]:
    """Rows (connections, number), (sessions, number) and, for each message that was called, (call, name, number, mean
    seconds until the answer). `params`: method, to list this message only. INVALID_VALUE for another."""
    call.get(host, "host")
    for name in params.keys() - {"method"}:
        raise E.INVALID_VALUE("params", name)
    agents = call.services.surroundings.agents
    chosen = params.get("method")
    rows = [
        ("call", name, str(number), f"{timing.mean:.6f}")
        for name, number, timing in call.services.timings()
        if chosen in (None, name)
    ]
    connections = agents.connections() if agents is not None else 0
    return (("connections", str(connections)), ("sessions", str(len(call.services.sessions))), *rows)
