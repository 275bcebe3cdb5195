"""One file per noun and kind of verb; importing this package registers every plan."""

from xenapi_core.engine.plans import (
    appliance_power,
    crash_dumps,
    host_evacuate,
    host_power,
    host_settings,
    network_bond,
    network_scan,
    pbd_connect,
    reset_disks,
    sr_life,
    sr_scan,
    vbd,
    vdi,
    vdi_contents,
    vdi_copy,
    vdi_move,
    vdi_tracking,
    vif,
    vm_copy,
    vm_destroy,
    vm_live,
    vm_migrate,
    vm_migrate_send,
    vm_power,
    vm_provision,
    vm_revert,
    vm_snapshot,
    vm_suspend,
)

__all__ = [
    "appliance_power", "crash_dumps", "host_evacuate", "host_power", "host_settings", "network_bond", "network_scan",
    "pbd_connect", "reset_disks", "sr_life", "sr_scan", "vbd", "vdi", "vdi_contents", "vdi_copy", "vdi_move",
    "vdi_tracking", "vif", "vm_copy", "vm_destroy",
    "vm_live", "vm_migrate", "vm_migrate_send", "vm_power", "vm_provision", "vm_revert", "vm_snapshot", "vm_suspend",
]  # fmt: skip
