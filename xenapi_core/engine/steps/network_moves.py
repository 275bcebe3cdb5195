"""Moving VIFs between networks while their VMs run, shared by VIF.move and the operations on bonds.

Rule 1: a VIF that moves is claimed by "attach", so that it is neither plugged nor unplugged meanwhile; a VM that is at
        work itself is waited for.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from xenapi_core.engine.failures import DEVICE, About, told_as
from xenapi_core.engine.network_records import attach_network
from xenapi_core.engine.placement import possible_hosts
from xenapi_core.engine.plan import Claim, Run, Step, World
from xenapi_core.model.device_lifecycle import check_vif_operation
from xenapi_core.model.power import PAUSED, RUNNING, other_operation
from xenapi_core.store.api import Txn, Version

LIVE: Final = (RUNNING, PAUSED)


@dataclass(frozen=True)
class Move:
    """One VIF, and the network it will be on."""

    vif: Version
    vm: Version
    network: str

    @property
    def live(self) -> bool:
        """Whether a guest has the NIC now, so that its host must act."""
        return bool(self.vif["currently_attached"]) and self.vm["power_state"] in LIVE


def move_of(world: World, vif: Version, network: str) -> Move:
    """OTHER_OPERATION_IN_PROGRESS while the VIF or its VM is at work; OPERATION_NOT_ALLOWED while the VM goes down."""
    vm = world.store.get(vif["VM"], "VM")
    check_vif_operation(world.store, vif, "attach")
    if vm["current_operations"]:
        raise other_operation("VM", vm.ref, vm["current_operations"])
    return Move(vif, vm, network)


def vifs_of_host(world: World, host: str, networks: Iterable[str]) -> list[Version]:
    """VIFs on `networks` of VMs that are on `host`, or that could start nowhere else."""
    found = []
    for network in dict.fromkeys(networks):
        for vif in map(world.store.get, world.store.related(network, "VIFs")):
            vm = world.store.find(vif["VM"])
            if vm is None:
                continue
            at_home = vm["power_state"] not in LIVE and possible_hosts(world, vm, memory=False) == [host]
            if vm["resident_on"] == host or at_home:
                found.append(vif)
    return found


def claims(moves: Iterable[Move]) -> tuple[Claim, ...]:
    return tuple(Claim(move.vif.ref, "attach") for move in moves)


def steps(world: World, moves: Iterable[Move]) -> tuple[Step, ...]:
    """One step for each NIC that a guest has."""
    return tuple(_step(world, move) for move in moves if move.live)


def about(vif: Version, vm: Version, operation: str) -> About:
    """What a driver call about a NIC is about."""
    return About(vm=vm.ref, host=vm["resident_on"], device=vif.ref, device_type="VIF", operation=operation)


def _step(world: World, move: Move) -> Step:
    host, vm, vif = move.vm["resident_on"], move.vm, move.vif
    old, new = (world.store.get(ref, "network")["uuid"] for ref in (vif["network"], move.network))

    async def connect(run: Run) -> None:
        with told_as(DEVICE, about(vif, vm, "move")):
            await run.hypervisor(host).move_nic(vm["uuid"], vif["uuid"], new)

    async def connect_again(run: Run) -> None:
        await run.hypervisor(host).move_nic(vm["uuid"], vif["uuid"], old)

    return Step("move NIC", connect, connect_again)


def write(txn: Txn, moves: Iterable[Move]) -> None:
    """The records, when all NICs have moved."""
    for move in moves:
        txn.update(move.vif.ref, network=move.network)
        if move.live:
            attach_network(txn, move.network, move.vm["resident_on"])
