"""Hand-written behaviour, one module per class; importing this package registers all of it."""

from xenapi_core.api.handlers import (
    bond,
    data_sources,
    event,
    host,
    legacy,
    message,
    network,
    pbd,
    pif,
    pool,
    role,
    session,
    sr,
    task,
    tunnel,
    vbd,
    vdi,
    vif,
    vlan,
    vm,
    vm_appliance,
    vm_settings,
)

__all__ = [
    "bond", "data_sources", "event", "host", "legacy", "message", "network", "pbd", "pif", "pool", "role", "session",
    "sr", "task", "tunnel", "vbd", "vdi", "vif", "vlan", "vm", "vm_appliance", "vm_settings",
]  # fmt: skip
