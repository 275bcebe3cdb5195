"""The HTTP actions of the Xen-API's port; importing this package registers all of them."""

from xenapi_core.server.actions import (
    arrivals,
    arriving_measurements,
    backup,
    balancing_reports,
    blobs,
    consoles,
    database,
    disks,
    machines,
    measurements,
    status_report,
)

__all__ = [
    "arrivals", "arriving_measurements", "backup", "balancing_reports", "blobs", "consoles", "database", "disks",
    "machines", "measurements", "status_report",
]  # fmt: skip
