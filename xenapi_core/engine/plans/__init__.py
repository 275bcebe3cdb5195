"""One file per noun and kind of verb; importing this package registers every plan."""

from xenapi_core.engine.plans import (
    vbd,
    vdi,
    vif,
    vm_copy,
    vm_destroy,
    vm_migrate,
    vm_power,
    vm_provision,
    vm_revert,
    vm_snapshot,
    vm_suspend,
)

__all__ = [
    "vbd", "vdi", "vif", "vm_copy", "vm_destroy", "vm_migrate", "vm_power", "vm_provision", "vm_revert", "vm_snapshot",
    "vm_suspend",
]  # fmt: skip
