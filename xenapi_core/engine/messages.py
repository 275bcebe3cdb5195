"""Messages: the records that tell an administrator what happened to an object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from xenapi_core.engine.plan import World
from xenapi_core.store.api import Txn

KEPT: Final = 10_000  # messages in the pool; the oldest go first

# Priority of each message we make, 1 (worst) to 5 (for information).
PRIORITIES: Final = {
    "VM_STARTED": 5,
    "VM_SHUTDOWN": 5,
    "VM_REBOOTED": 5,
    "VM_SUSPENDED": 5,
    "VM_RESUMED": 5,
    "VM_PAUSED": 5,
    "VM_UNPAUSED": 5,
    "VM_MIGRATED": 5,
    "VM_CLONED": 5,
    "VM_SNAPSHOTTED": 5,
    "VM_SNAPSHOT_REVERTED": 5,
    "VM_CHECKPOINTED": 5,
    "VM_CRASHED": 3,
    "VMSS_SNAPSHOT_FAILED": 3,
    "HOST_CLOCK_SKEW_DETECTED": 3,
    "HA_HOST_FAILED": 2,
    "HA_HOST_WAS_FENCED": 4,
    "HA_POOL_DROP_IN_PLAN_EXISTS_FOR": 3,
    "HA_POOL_OVERCOMMITTED": 2,
    "HA_PROTECTED_VM_RESTART_FAILED": 2,
    "POOL_MASTER_TRANSITION": 4,
    "WLB_CONSULTATION_FAILED": 3,
}


def post(world: World, txn: Txn, name: str, priority: int, cls: str, obj_uuid: str, body: str) -> str:
    """One message about an object, stamped with the world's time; the oldest goes when there are KEPT. Returns it."""
    messages = world.store.all("message")
    if len(messages) >= KEPT:
        txn.delete(next(iter(messages)))
    return txn.create(
        "message",
        world.ids.ref(),
        {
            "uuid": world.ids.uuid(),
            "name": name,
            "priority": priority,
            "cls": cls,
            "obj_uuid": obj_uuid,
            "timestamp": world.clock.now(),
            "body": body,
        },
    )


def post_vm(world: World, txn: Txn, name: str, vm: Mapping[str, Any], body: str = "") -> None:
    """One message about a VM (its values)."""
    text = body or f"VM '{vm['name_label']}': {name.removeprefix('VM_').lower().replace('_', ' ')}"
    post(world, txn, name, PRIORITIES[name], "VM", vm["uuid"], text)
