"""Hand-written behaviour, one module per class; importing this package registers all of it."""

from xenapi_core.api.handlers import (
    data_sources,
    event,
    host,
    legacy,
    message,
    network,
    pbd,
    pool,
    role,
    session,
    sr,
    task,
    vbd,
    vdi,
    vif,
    vm,
    vm_appliance,
    vm_settings,
)

__all__ = [
    "data_sources", "event", "host", "legacy", "message", "network", "pbd", "pool", "role", "session", "sr", "task",
    "vbd", "vdi", "vif", "vm", "vm_appliance", "vm_settings",
]  # fmt: skip
