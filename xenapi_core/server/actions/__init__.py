"""What the Xen-API's port offers beside calls; importing this package registers all of it."""

from xenapi_core.server.actions import arrivals, blobs, consoles, database, disks, machines, measurements

__all__ = ["arrivals", "blobs", "consoles", "database", "disks", "machines", "measurements"]
