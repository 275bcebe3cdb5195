"""Chooses the host for a VM, and checks whether a host can run it (API reference, "Host choice").

Rule 1: each host is checked in the order of the API reference; the first refusal is the answer.
Rule 2: memory is counted from records (host_memory.py). The driver has the last word.
Rule 3: under high availability a VM goes where the failover plan survives it; a protected VM that waits for a host is
        part of the plan, and is not asked.
Rule 4: where workload balancing is in use, a VM goes to the best host of its server that passes rules 1 to 3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from xenapi_core.engine.advice import Placement, Rating, wants_advice
from xenapi_core.engine.ha_rules import check_arrival
from xenapi_core.engine.host_memory import memory_free_now, memory_needed
from xenapi_core.engine.plan import Plan, World
from xenapi_core.engine.specs import CPU_POOL_NAME, chosen_cpu_pool, domain_type, has_disk
from xenapi_core.errors import ApiError, E
from xenapi_core.ids import is_null
from xenapi_core.model.hosts import is_live
from xenapi_core.model.infrastructure_lifecycle import DRIVING_AWAY, check_host_operation


def check_host(
    world: World,
    vm: Any,
    host: str,
    memory: bool = True,
    moving: Mapping[str, str] = MappingProxyType({}),
    plan: bool = True,
) -> None:
    """Raise why `vm` cannot run on `host` now. `memory`: ask for memory too, and, with `plan`, for the failover plan
    (rule 3).

    `moving`: disks and VIFs that will be elsewhere by then: VDI -> SR, VIF -> network.
    """
    reader = world.store
    record = reader.get(host, "host")
    _check_basics(vm)
    if not is_live(reader, record):
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
        here = vm["scheduled_to_be_resident_on"] == host != vm["resident_on"]  # host.allocate_resources_for_vm
        check_memory(world, vm, host, own=memory_needed(vm) if here else 0)
    cpus = record["cpu_info"].get("cpu_count", "")
    if cpus.isdigit() and vm["VCPUs_max"] > int(cpus):
        raise E.HOST_NOT_ENOUGH_PCPUS(str(vm["VCPUs_max"]), cpus)
    if memory and plan:
        check_arrival(world, vm, host)
    named = bool(vm["other_config"].get(CPU_POOL_NAME) and reader.related(host, "resident_cpu_pools"))
    if named and chosen_cpu_pool(reader, vm, host) is None:
        raise E.POOL_BAD_STATE("deactivated")  # API 1.0: a VM does not start in a pool that is not active


def _check_basics(vm: Any) -> None:
    """What no host can run, though VM.create takes it: INVALID_VALUE for impossible numbers of processors,
    MEMORY_CONSTRAINT_VIOLATION for memory that is none. A dynamic range beyond the static one is bent into it
    (specs.py)."""
    if not 1 <= vm["VCPUs_at_startup"] <= vm["VCPUs_max"]:
        field = "VCPUs_max" if vm["VCPUs_max"] < 1 else "VCPUs_at_startup"
        raise E.INVALID_VALUE(field, str(vm[field]))
    if not 0 <= vm["memory_static_min"] <= vm["memory_static_max"] or not vm["memory_static_max"]:
        raise E.MEMORY_CONSTRAINT_VIOLATION("Memory limits must satisfy: 0 <= static_min <= static_max, 0 < static_max")


def check_memory(world: World, vm: Any, host: str, own: int = 0) -> None:
    """HOST_NOT_ENOUGH_FREE_MEMORY [needed, available]. `own`: bytes that are promised to the VM itself."""
    needed, free = memory_needed(vm), memory_free_now(world, host) + own
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
    """Hosts that could run `vm` now, in creation order; the failover plan is not asked."""
    found = []
    for host in world.store.all("host"):
        try:
            check_host(world, vm, host, memory, plan=False)
        except ApiError:
            continue
        if takes_vms(world, host):
            found.append(host)
    return found


def choose_host(world: World, vm: Any) -> str:
    """The host to start or resume `vm` on, if that can: where it has memory promised, its affinity; else the one with
    most free memory.

    NO_HOSTS_AVAILABLE; HOST_NOT_ENOUGH_FREE_MEMORY when memory is all that is missing;
    HA_OPERATION_WOULD_BREAK_FAILOVER_PLAN when that is all that is left against it.
    """
    hosts = possible_hosts(world, vm)
    if not hosts:
        short_of_memory = possible_hosts(world, vm, memory=False)
        if short_of_memory:
            check_memory(world, vm, max(short_of_memory, key=lambda host: memory_free_now(world, host)))
        raise E.NO_HOSTS_AVAILABLE()
    wishes, refusal = (vm["scheduled_to_be_resident_on"], vm["affinity"]), None
    most_free_first = sorted(hosts, key=lambda host: -memory_free_now(world, host))
    for host in (*(wish for wish in wishes if wish in hosts), *most_free_first):
        try:
            check_arrival(world, vm, host)
        except ApiError as error:
            refusal = error
        else:
            return str(host)
    raise refusal or E.NO_HOSTS_AVAILABLE()


def placed(world: World, vm: Any, operation: str, plan_at: Callable[[str], Plan]) -> Plan:
    """What `plan_at` plans for the host that suits `vm` best (rule 4, then choose_host).

    The task shows which recommendation was taken, in the keys by which such servers find it.
    """
    if wants_advice(world):
        return Plan(steps=(), asks=Placement(vm.ref))
    rating = _advised(world, vm)
    if rating is None:
        return plan_at(choose_host(world, vm))
    notes = {
        "wlb_advised": rating.recommendation, "wlb_action": f"Async.VM.{operation}", "wlb_action_obj_type": "VM",
        "wlb_action_obj_ref": vm.ref,
    }  # fmt: skip
    return replace(plan_at(rating.host), notes=notes)


def _advised(world: World, vm: Any) -> Rating | None:
    """The host with most stars that can take `vm` now."""
    ratings = () if world.advice is None else world.advice.ratings
    for rating in sorted((each for each in ratings if not each.reason), key=lambda each: -float(each.stars)):
        try:
            check_host(world, vm, rating.host)
        except ApiError:
            continue
        if takes_vms(world, rating.host):
            return rating
    return None


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
