"""Memory of hosts according to the records: used by resident VMs at most, and reserved for VMs that start."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from xenapi_core.engine.plan import World


def memory_needed(vm: Any) -> int:
    """Bytes a host must have free to run a VM (its values)."""
    return int(vm["memory_static_max"] + vm["memory_overhead"])


def memory_free(
    find: Callable[[str], Any], related: Callable[[str, str], tuple[str, ...]], host: str, promised: int = 0
) -> int:
    """Bytes of a host that no resident VM may use, less `promised`; as store or transaction sees it."""
    metrics = find(find(host)["metrics"])
    total = metrics["memory_total"] if metrics is not None else 0
    return int(total - promised - sum(memory_needed(find(vm)) for vm in related(host, "resident_VMs")))


def memory_promised(world: World, host: str) -> int:
    """Bytes of VMs that are on their way to a host."""
    return sum(
        memory_needed(vm)
        for vm in world.store.all("VM").values()
        if vm["scheduled_to_be_resident_on"] == host and vm["resident_on"] != host
    )


def memory_free_now(world: World, host: str) -> int:
    """Bytes of a host that no VM has, on it or on its way to it."""
    return memory_free(world.store.find, world.store.related, host, memory_promised(world, host))
