"""Whether a host is live: the one definition that all code uses.

Rule 1: a host is up while its host_metrics say so: the coordinator gets its heartbeats. A host without metrics never
        sent one, so it is down: nothing is started or requested there.
Rule 2: this module reads records and returns values. It never awaits, so it can be called at render time.
"""

from __future__ import annotations

from typing import Any, Protocol

from xenapi_core.errors import E
from xenapi_core.model.power import Fields
from xenapi_core.model.schema import Reader


class Records(Reader, Protocol):
    """What `check_live` needs of a store."""

    def get(self, ref: str, cls: str | None = None) -> Any:
        """The `Version` of `ref`. HANDLE_INVALID."""


def reports_live(metrics: Fields | None) -> bool:
    """Whether these metrics of a host, if it has any, say that it is up."""
    return metrics is not None and bool(metrics["live"])


def is_live(reader: Reader, host: Fields) -> bool:
    """Whether a host is up (rule 1)."""
    return reports_live(reader.find(host["metrics"]))


def was_heard_from(reader: Reader, host: Fields) -> bool:
    """Whether there was ever a host behind the record: host.create makes one of a host that says it will come."""
    metrics = reader.find(host["metrics"])
    return metrics is not None and (reports_live(metrics) or bool(metrics["last_updated"]))


def check_live(store: Records, host: str) -> Any:
    """The `Version` of a host that is up. HANDLE_INVALID, HOST_OFFLINE [host]."""
    record = store.get(host, "host")
    if not is_live(store, record):
        raise E.HOST_OFFLINE(host)
    return record
