"""High availability rules over records: protected VMs, the hosts where they could run, and the operations it forbids.

Rule 1: a VM is protected while ha_restart_priority is "restart" and ha_always_run is true. ha_always_run follows the
        last request: true when the VM was started or resumed, false when it was shut down or suspended.
Rule 2: an operation is refused if there is a plan for the configured number of failures now and would be none
        afterwards; in a pool that has no plan, or where ha_allow_overcommit is set, nothing is refused for that.
Rule 3: only what every host reaches can be used by a protected VM: shared storage attached everywhere, and networks
        with an interface on every host or on none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from weakref import WeakKeyDictionary

from xenapi_core.engine.ha_member import in_live_set
from xenapi_core.engine.ha_plan import Machine, Situation, covers
from xenapi_core.engine.host_memory import memory_needed
from xenapi_core.engine.plan import World
from xenapi_core.engine.specs import has_disk
from xenapi_core.errors import ApiError, E
from xenapi_core.ids import is_null
from xenapi_core.model.hosts import is_live
from xenapi_core.model.power import HALTED, PAUSED, RUNNING, is_guest
from xenapi_core.store.api import Store, Version

RESTART: Final = "restart"
BEST_EFFORT: Final = "best-effort"


def enabled_pool(store: Store) -> Version | None:
    """The pool, if high availability is on."""
    return next((pool for pool in store.all("pool").values() if pool["ha_enabled"]), None)


def serving(store: Store) -> dict[str, Version]:
    """The hosts that VMs can be restarted on: those in the live set, or, where it is off, those that are up."""
    usable = is_live if enabled_pool(store) is None else in_live_set
    return {ref: host for ref, host in store.all("host").items() if usable(store, host)}


def is_protected(vm: Version) -> bool:
    """Whether high availability restarts this VM (rule 1)."""
    return vm["ha_restart_priority"] == RESTART and bool(vm["ha_always_run"]) and is_guest(vm)


def is_waiting(vm: Version) -> bool:
    """Whether it is protected, and does not run."""
    return is_protected(vm) and vm["power_state"] == HALTED


def connected_hosts(store: Store, sr: str) -> frozenset[str]:
    pbds = map(store.get, store.related(sr, "PBDs"))
    return frozenset(pbd["host"] for pbd in pbds if pbd["currently_attached"])


def _disks(store: Store, vm: str) -> list[Version]:
    """The disks and media that a host must reach to run the VM."""
    vbds = map(store.get, store.related(vm, "VBDs"))
    found = (store.find(vbd["VDI"]) for vbd in vbds if has_disk(vbd))
    return [vdi for vdi in found if vdi is not None]


def _network_hosts(store: Store, network: str) -> frozenset[str] | None:
    """Hosts with an interface on a network, other than a member of a bond; None for an internal network."""
    pifs = [] if is_null(network) else [store.get(pif) for pif in store.related(network, "PIFs")]
    return frozenset(pif["host"] for pif in pifs if is_null(pif["bond_slave_of"])) if pifs else None


# SR or network -> the hosts that reach it; None: all do.
Reach = dict[str, frozenset[str] | None]


def reaching(store: Store, vm: str, hosts: frozenset[str], known: Reach) -> frozenset[str]:
    """Those of `hosts` that reach every disk and network of the VM. `known` is filled, for the next VM."""
    found = hosts
    for sr in {vdi["SR"] for vdi in _disks(store, vm)}:
        if sr not in known:
            known[sr] = connected_hosts(store, sr)
        found &= known[sr] or frozenset()
    for network in {store.get(vif)["network"] for vif in store.related(vm, "VIFs")}:
        if network not in known:
            known[network] = _network_hosts(store, network)
        connected = known[network]
        found = found if connected is None else found & connected
    return found


def check_shared_storage(store: Store, sr: str) -> None:
    """HA_CONSTRAINT_VIOLATION_SR_NOT_SHARED [SR] (rule 3)."""
    if not store.get(sr, "SR")["shared"] or not connected_hosts(store, sr).issuperset(store.all("host")):
        raise E.HA_CONSTRAINT_VIOLATION_SR_NOT_SHARED(sr)


def check_shared_network(store: Store, network: str) -> None:
    """HA_CONSTRAINT_VIOLATION_NETWORK_NOT_SHARED [network] (rule 3)."""
    connected = _network_hosts(store, network)
    if connected is not None and not connected.issuperset(store.all("host")):
        raise E.HA_CONSTRAINT_VIOLATION_NETWORK_NOT_SHARED(network)


def check_agile(store: Store, vm: str) -> None:
    """Whether the VM could run on every host (rule 3)."""
    for vdi in _disks(store, vm):
        check_shared_storage(store, vdi["SR"])
    for vif in map(store.get, store.related(vm, "VIFs")):
        check_shared_network(store, vif["network"])


def machine_of(
    store: Store, vm: Version, live: frozenset[str], memory: int | None = None, known: Reach | None = None
) -> Machine:
    """A VM as the plan counts it; on no host unless its host is one of `live`."""
    place = next((h for h in (vm["resident_on"], vm["scheduled_to_be_resident_on"]) if h in live), "")
    needed = memory_needed(vm) if memory is None else memory
    reached = reaching(store, vm.ref, live, {} if known is None else known)
    return Machine(vm.ref, needed, place, reached, vm["order"])


# The situation of a store at its revision: an operation that asks about several hosts needs it for each.
_newest: Final[WeakKeyDictionary[Store, tuple[int, Situation]]] = WeakKeyDictionary()


def situation(world: World) -> Situation:
    """The pool as it is now."""
    revision, found = _newest.get(world.store, (-1, None))
    if found is None or revision != world.store.revision:
        found = situation_with(world, is_protected)
        _newest[world.store] = world.store.revision, found
    return found


def situation_with(world: World, protected: Callable[[Version], bool]) -> Situation:
    """The pool as it is now, if those VMs were protected that `protected` says."""
    store = world.store
    known: Reach = {}
    live = serving(store)
    hosts = frozenset(live)
    free = {ref: _memory(store, host) for ref, host in live.items() if host["enabled"]}
    machines = []
    for vm in store.all("VM").values():
        for host in {vm["resident_on"], vm["scheduled_to_be_resident_on"]}:
            if host in free:
                free[host] -= memory_needed(vm)
        if is_guest(vm) and vm["power_state"] in (HALTED, RUNNING, PAUSED) and protected(vm):
            machines.append(machine_of(store, vm, hosts, known=known))
    return Situation(hosts, free, tuple(machines))


def _memory(store: Store, host: Version) -> int:
    metrics = store.find(host["metrics"])
    return int(metrics["memory_total"]) if metrics is not None else 0


def check_plan_kept(world: World, change: Callable[[Situation], Situation]) -> None:
    """HA_OPERATION_WOULD_BREAK_FAILOVER_PLAN if `change` would do that (rule 2)."""
    pool = enabled_pool(world.store)
    if pool is None or pool["ha_allow_overcommit"]:
        return
    failures, now = pool["ha_host_failures_to_tolerate"], situation(world)
    afterwards = change(now)
    if covers(now, failures) and not covers(afterwards, failures):
        raise E.HA_OPERATION_WOULD_BREAK_FAILOVER_PLAN()


def check_more_failures(world: World, failures: int) -> None:
    """Whether the plan may have to cover `failures` from now on (rule 2)."""
    pool = enabled_pool(world.store)
    if pool is None or pool["ha_allow_overcommit"]:
        return
    now = situation(world)
    if covers(now, pool["ha_host_failures_to_tolerate"]) and not covers(now, failures):
        raise E.HA_OPERATION_WOULD_BREAK_FAILOVER_PLAN()


def check_arrival(world: World, vm: Version, host: str) -> None:
    """Whether `vm` may start on `host`, or move there (rule 2). One of priority "restart" is protected then."""
    counted = host in (vm["resident_on"], vm["scheduled_to_be_resident_on"])
    if enabled_pool(world.store) is None or is_waiting(vm) or counted:
        return

    def arrive(now: Situation) -> Situation:
        joined = now
        if vm["ha_restart_priority"] == RESTART and is_guest(vm):
            joined = now.protecting(machine_of(world.store, vm, now.live))
        return joined.arriving(vm.ref, memory_needed(vm), host, vm["resident_on"])

    check_plan_kept(world, arrive)


def check_disabling(world: World, host: str) -> None:
    """Whether `host` may stop taking VMs (rule 2)."""
    check_plan_kept(world, lambda now: now.without(host))


def check_protecting(world: World, vm: Version, memory: int | None = None) -> None:
    """Whether `vm` may be protected, or have `memory` bytes when it is (rule 2). `memory`: as memory_needed counts."""
    check_plan_kept(world, lambda now: now.protecting(machine_of(world.store, vm, now.live, memory)))


def check_statefiles(store: Store, host: Version, refuse: Callable[[], ApiError]) -> None:
    """Raise what `refuse` makes unless the host reaches each heartbeat disk that is attached to it."""
    for ref in host["ha_statefiles"]:
        if not reaches_disk(store, host.ref, ref):
            raise refuse()


def reaches_disk(store: Store, host: str, vdi: str) -> bool:
    """Whether a disk exists, and the host is connected to its repository."""
    disk = store.find(vdi)
    return disk is not None and host in connected_hosts(store, disk["SR"])


def check_joining_disk(store: Store, vm: Version, sr: str) -> None:
    """Whether a protected VM may have a disk on `sr`: check_shared_storage."""
    if enabled_pool(store) is not None and is_protected(vm):
        check_shared_storage(store, sr)


def check_joining_network(store: Store, vm: Version, network: str) -> None:
    """Whether a protected VM may be on `network`: check_shared_network."""
    if enabled_pool(store) is not None and is_protected(vm):
        check_shared_network(store, network)


def check_unplugging(store: Store, pbd: Version) -> None:
    """Whether a host may be disconnected from a repository: HA_IS_ENABLED where a heartbeat disk is on it;
    HA_CONSTRAINT_VIOLATION_SR_NOT_SHARED [SR] where a protected VM has a disk on it."""
    pool = enabled_pool(store)
    if pool is None:
        return
    disks = store.related(pbd["SR"], "VDIs")
    if any(vdi in pool["ha_statefiles"] for vdi in disks):
        raise E.HA_IS_ENABLED()
    for vdi in disks:
        for vbd in map(store.get, store.related(vdi, "VBDs")):
            vm = store.find(vbd["VM"])
            if vm is not None and is_protected(vm) and not pool["ha_allow_overcommit"]:
                raise E.HA_CONSTRAINT_VIOLATION_SR_NOT_SHARED(pbd["SR"])
