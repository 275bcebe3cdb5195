"""The entries of a host's status report (GET /system-status), as clients can list them.

Rule 1: the attributes let clients choose: the content type, whether the entry is included by default, and whether it
        holds personal data (pii). Sizes in bytes and times in seconds are -1: they are not known before.
        server/actions/status_report.py gathers an entry of the same key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import quoteattr


@dataclass(frozen=True, slots=True)
class Entry:
    """One kind of content. pii: no, maybe or yes."""

    key: str
    content_type: str
    pii: str
    doc: str
    default: bool = True


# fmt: off
ENTRIES: Final = (
    Entry("xenserver-databases", "application/json", "yes", "The records, without secrets and sessions."),
    Entry("system-logs", "text/plain", "maybe", "The log of the host."),
    Entry("xen-info", "text/plain", "no", "The messages of the hypervisor."),
    Entry("audit-logs", "text/plain", "yes", "Who called what."),
    Entry("persistent-stats", "application/xml", "maybe", "What was measured on the host, its VMs and its SRs."),
    Entry("process-list", "text/plain", "maybe", "What the server is doing: tasks, storage, calls.", default=False),
)
# fmt: on


def capabilities() -> str:
    """The entries as XML, for host.get_system_status_capabilities."""
    rows = []
    for entry in ENTRIES:
        attributes = {
            "key": entry.key, "content-type": entry.content_type, "pii": entry.pii,
            "default-checked": "yes" if entry.default else "no",
            "min-size": "-1", "max-size": "-1", "min-time": "-1", "max-time": "-1",
        }  # fmt: skip
        rows.append("<capability " + " ".join(f"{name}={quoteattr(text)}" for name, text in attributes.items()) + "/>")
    body = "\n".join(("<system-status-capabilities>", *rows, "</system-status-capabilities>"))
    return f'<?xml version="1.0"?>\n{body}\n'
