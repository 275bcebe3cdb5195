"""Hand-written behaviour, one module per class; importing this package registers all of it."""

from xenapi_core.api.handlers import (
    event,
    host,
    message,
    network,
    pbd,
    pool,
    session,
    sr,
    task,
    vbd,
    vdi,
    vif,
    vm,
    vm_settings,
)

__all__ = [
    "event", "host", "message", "network", "pbd", "pool", "session", "sr", "task", "vbd", "vdi", "vif", "vm",
    "vm_settings",
]  # fmt: skip
