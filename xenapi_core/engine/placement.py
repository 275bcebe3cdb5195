"""Which host a VM can and should run on (API reference, "Host choice").

Rule 1: what is asked of each host is asked in the order of the API reference; the first refusal is the answer.
Rule 2: memory is counted from records: what resident VMs may use at most, and what starting ones were promised. The
        driver has the last word.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from xenapi_core.engine.plan import World
from xenapi_core.engine.specs import domain_type, has_disk
from xenapi_core.errors import ApiError, E
from xenapi_core.ids import is_null
from xenapi_core.model.infrastructure_lifecycle import DRIVING_AWAY, check_host_operation


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


def check_host(
    world: World, vm: Any, host: str, memory: bool = True, moving: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Raise why `vm` cannot run on `host` now. `memory`: ask for memory too.

    `moving`: disks and VIFs that will be elsewhere by then: VDI -> SR, VIF -> network.
    """
    reader = world.store
    record = reader.get(host, "host")
    metrics = reader.find(record["metrics"])
    if metrics is not None and not metrics["live"]:
        raise E.HOST_NOT_LIVE()
    if not record["enabled"]:
        raise E.HOST_DISABLED(host)
    version = vm["hardware_platform_version"]
    offered = record["virtual_hardware_platform_versions"]
    if offered and version not in offered:
        raise E.VM_HOST_INCOMPATIBLE_VIRTUAL_HARDWARE_PLATFORM_VERSION(
            host, "; ".join(map(str, offered)), vm.ref, str(version)
        )
    check_storage(world, vm, host, moving)
    _check_networks(world, vm, host, moving)
    capabilities = record["capabilities"]
    if domain_type(vm) == "hvm" and capabilities and not any(word.startswith("hvm") for word in capabilities):
        raise E.VM_HVM_REQUIRED(vm.ref)
    if memory:
        check_memory(world, vm, host)
    cpus = record["cpu_info"].get("cpu_count", "")
    if cpus.isdigit() and vm["VCPUs_max"] > int(cpus):
        raise E.HOST_NOT_ENOUGH_PCPUS(str(vm["VCPUs_max"]), cpus)


def check_memory(world: World, vm: Any, host: str) -> None:
    """HOST_NOT_ENOUGH_FREE_MEMORY [needed, available]."""
    needed, free = memory_needed(vm), memory_free_now(world, host)
    if needed > free:
        raise E.HOST_NOT_ENOUGH_FREE_MEMORY(str(needed), str(max(0, free)))


def check_receiving(world: World, host: str, operation: str) -> None:
    """Raise why `host` may not take a VM by `operation` (vm_start, vm_resume, vm_migrate) now.

    HOST_EVACUATE_IN_PROGRESS while it sends its VMs away; OTHER_OPERATION_IN_PROGRESS while it goes down; HOST_OFFLINE,
    HOST_DISABLED.
    """
    record = world.store.get(host, "host")
    if "evacuate" in record["current_operations"].values():
        raise E.HOST_EVACUATE_IN_PROGRESS(host)
    check_host_operation(world.store, record, operation)


def takes_vms(world: World, host: str) -> bool:
    """Whether a host is neither being emptied nor going down."""
    return DRIVING_AWAY.isdisjoint(world.store.get(host, "host")["current_operations"].values())


def possible_hosts(world: World, vm: Any, memory: bool = True) -> list[str]:
    """Hosts that could run `vm` now, in creation order."""
    found = []
    for host in world.store.all("host"):
        try:
            check_host(world, vm, host, memory)
        except ApiError:
            continue
        if takes_vms(world, host):
            found.append(host)
    return found


def choose_host(world: World, vm: Any) -> str:
    """The host to start or resume `vm` on: its affinity if that can, else the one with most free memory.

    NO_HOSTS_AVAILABLE; HOST_NOT_ENOUGH_FREE_MEMORY when memory is all that is missing.
    """
    hosts = possible_hosts(world, vm)
    if not hosts:
        short_of_memory = possible_hosts(world, vm, memory=False)
        if short_of_memory:
            check_memory(world, vm, max(short_of_memory, key=lambda host: memory_free_now(world, host)))
        raise E.NO_HOSTS_AVAILABLE()
    if vm["affinity"] in hosts:
        return str(vm["affinity"])
    return max(hosts, key=lambda host: memory_free_now(world, host))


def memory_free_now(world: World, host: str) -> int:
    """Bytes of a host that no VM has, on it or on its way to it."""
    return memory_free(world.store.find, world.store.related, host, memory_promised(world, host))


def check_storage(world: World, vm: Any, host: str, moving: Mapping[str, str] = MappingProxyType({})) -> None:
    """VM_REQUIRES_SR if `host` does not reach a disk of `vm` where it is, or will be (`moving`)."""
    attached = attached_repositories(world, host)
    for vbd in map(world.store.get, world.store.related(vm.ref, "VBDs")):
        vdi = world.store.find(vbd["VDI"]) if has_disk(vbd) else None
        if vdi is not None and moving.get(vdi.ref, vdi["SR"]) not in attached:
            raise E.VM_REQUIRES_SR(vm.ref, moving.get(vdi.ref, vdi["SR"]))
    image = world.store.find(vm["suspend_VDI"])
    if image is not None and moving.get(image.ref, image["SR"]) not in attached:
        raise E.VM_REQUIRES_SR(vm.ref, moving.get(image.ref, image["SR"]))


def attached_repositories(world: World, host: str) -> frozenset[str]:
    pbds: list[Mapping[str, Any]] = [world.store.get(pbd).values for pbd in world.store.related(host, "PBDs")]
    return frozenset(pbd["SR"] for pbd in pbds if pbd["currently_attached"])


def _check_networks(world: World, vm: Any, host: str, moving: Mapping[str, str]) -> None:
    """A network is on a host that has a PIF for it, other than a member of a bond; or anywhere when no host has one (an
    internal network)."""
    for vif in map(world.store.get, world.store.related(vm.ref, "VIFs")):
        network = moving.get(vif.ref, vif["network"])
        pifs = [] if is_null(network) else [world.store.get(pif) for pif in world.store.related(network, "PIFs")]
        if pifs and not any(pif["host"] == host and is_null(pif["bond_slave_of"]) for pif in pifs):
            raise E.VM_REQUIRES_NETWORK(vm.ref, network)
