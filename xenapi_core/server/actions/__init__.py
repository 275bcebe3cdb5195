"""What the Xen-API's port offers beside calls; importing this package registers all of it."""

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
