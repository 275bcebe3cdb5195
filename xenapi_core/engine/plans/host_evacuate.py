"""Moving all VMs away from a host (API reference, "Pool and host").

Rule 1: where every VM will go is decided at once, largest VMs first, each to the host that has most memory left; so a
        host that cannot be emptied is not touched.
Rule 2: every move is a VM.pool_migrate with a task of its own. What has moved stays there when a later move fails.
Rule 3: where workload balancing is in use, its server says where each VM goes (xapi, too): a VM that it leaves out has
        no room anywhere, unless something else keeps the VM here. Its placement is checked like our own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from xenapi_core.engine.advice import Evacuation, wants_advice
from xenapi_core.engine.host_memory import memory_free_now, memory_needed
from xenapi_core.engine.placement import check_host, check_receiving, takes_vms
from xenapi_core.engine.plan import Claim, Plan, Run, Step, World, plans
from xenapi_core.errors import ApiError, E
from xenapi_core.ids import is_null
from xenapi_core.model.hosts import is_live
from xenapi_core.model.infrastructure_lifecycle import check_host_operation
from xenapi_core.model.lifecycle import check_vm_operation
from xenapi_core.store.api import Version

BATCH: Final = 10  # VMs moved at once when nobody says how many
PATIENCE: Final = 24 * 3600.0  # seconds for one batch


@dataclass(frozen=True)
class Moves:
    """Where VMs can go, and why others cannot."""

    targets: Mapping[str, str]  # VM -> host
    obstacles: Mapping[str, ApiError]  # VM -> error


def moves_away(world: World, host: str, advised: Mapping[str, str] | None = None) -> Moves:
    """Where each VM on `host` would go. VMs that must stay have the first error that keeps them there.

    `advised`: VM -> host, by workload balancing (rule 3); None: it is not asked.
    """
    store = world.store
    residents = [store.get(vm, "VM") for vm in store.related(host, "resident_VMs")]
    guests = [vm for vm in residents if not vm["is_control_domain"]]
    others = [other for other in store.all("host") if other != host and _receives(world, other)]
    room = {other: memory_free_now(world, other) for other in others}
    targets: dict[str, str] = {}
    obstacles: dict[str, ApiError] = {}
    for vm in sorted(guests, key=memory_needed, reverse=True):
        try:
            target = _place(world, vm, room) if advised is None else _place_as_advised(world, vm, room, advised)
        except ApiError as error:
            obstacles[vm.ref] = error
            continue
        room[target] -= memory_needed(vm)
        targets[vm.ref] = target
    return Moves(targets, obstacles)


def _receives(world: World, host: str) -> bool:
    record = world.store.get(host, "host")
    return bool(record["enabled"]) and takes_vms(world, host) and is_live(world.store, record)


def _place(world: World, vm: Version, room: Mapping[str, int]) -> str:
    """The host for one VM. What forbids its migration, NO_HOSTS_AVAILABLE, or why none of the hosts will do."""
    check_vm_operation(world.store, vm, "pool_migrate")
    if not room:
        raise E.NO_HOSTS_AVAILABLE()
    fitting, refusal = [], None
    for host in room:
        try:
            check_host(world, vm, host, memory=False)
        except ApiError as error:
            refusal = refusal or error
        else:
            fitting.append(host)
    if not fitting and refusal is not None:
        raise refusal
    best = max(fitting, key=lambda host: room[host])
    if room[best] < memory_needed(vm):
        raise E.HOST_NOT_ENOUGH_FREE_MEMORY(str(memory_needed(vm)), str(max(0, room[best])))
    return best


def _place_as_advised(world: World, vm: Version, room: Mapping[str, int], advised: Mapping[str, str]) -> str:
    """The host that `advised` names for one VM, checked as `_place` does; for a VM that it does not name, raises why
    `_place` refuses it, else HOST_NOT_ENOUGH_FREE_MEMORY."""
    target = advised.get(vm.ref)
    if target is not None:
        check_receiving(world, target, "vm_migrate")
        return _place(world, vm, {target: room[target]} if target in room else {})
    _place(world, vm, room)
    raise E.HOST_NOT_ENOUGH_FREE_MEMORY(str(memory_needed(vm)), str(max(0, *room.values())))


@plans("host.evacuate")
def plan_evacuate(world: World, host: str, network: str, evacuate_batch_size: int) -> Plan:
    """Move every VM to other hosts, `evacuate_batch_size` at once (10 unless positive).

    The error is that of the first VM that cannot move. HOST_CANNOT_ATTACH_NETWORK if a host has no interface on
    `network`, which carries the transfer. A VM that stopped running meanwhile has nothing to move.
    """
    record = world.store.get(host, "host")
    check_host_operation(world.store, record, "evacuate")
    if wants_advice(world):
        return Plan(steps=(), asks=Evacuation(host))
    found = moves_away(world, host, None if world.advice is None else world.advice.moves)
    for error in found.obstacles.values():
        raise error
    options = {"live": "true"}
    if not is_null(network):
        options["network"] = network
        for each in (host, *dict.fromkeys(found.targets.values())):
            if all(world.store.get(pif)["host"] != each for pif in world.store.related(network, "PIFs")):
                raise E.HOST_CANNOT_ATTACH_NETWORK(each, network)
    size = evacuate_batch_size if evacuate_batch_size > 0 else BATCH
    moves = list(found.targets.items())

    def batch(some: list[tuple[str, str]]) -> Step:
        async def do(run: Run) -> None:
            moved = 0

            async def move(vm: str, target: str) -> None:
                nonlocal moved
                await run.perform("VM.pool_migrate", vm, target, options)
                moved += 1
                run.progress(moved / len(some))

            for result in await asyncio.gather(*(move(*one) for one in some), return_exceptions=True):
                stopped = isinstance(result, ApiError) and result.code == "VM_BAD_POWER_STATE"
                if isinstance(result, BaseException) and not stopped:
                    raise result

        return Step(f"move {len(some)} VMs", do, weight=len(some), deadline=PATIENCE)

    steps = tuple(batch(moves[start : start + size]) for start in range(0, len(moves), size))
    return Plan(steps=steps, claims=(Claim(host, "evacuate"),))
