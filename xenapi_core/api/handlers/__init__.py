"""Hand-written behaviour, one module per class; importing this package registers all of it."""

from xenapi_core.api.handlers import (
    auth,
    bond,
    crashdump,
    data_sources,
    event,
    host,
    legacy,
    legacy_vm,
    message,
    network,
    pbd,
    pif,
    pool,
    role,
    secret,
    session,
    sr,
    subject,
    task,
    tunnel,
    vbd,
    vdi,
    vif,
    vlan,
    vm,
    vm_appliance,
    vm_group,
    vm_settings,
    vmss,
)

__all__ = [
    "auth", "bond", "crashdump", "data_sources", "event", "host", "legacy", "legacy_vm", "message", "network", "pbd",
    "pif", "pool", "role", "secret", "session", "sr", "subject", "task", "tunnel", "vbd", "vdi", "vif", "vlan", "vm",
    "vm_appliance", "vm_group", "vm_settings", "vmss",
]  # fmt: skip
