"""Moving a VM together with its disks (API reference, VM.migrate_send).

Rule 1: inside the pool, VM, disks and VIFs keep their records; disks move first, then the memory, and what fails
        undoes what was done before it. A disk that is not named in vdi_map stays where it is if the destination reaches
        it, and goes to the pool's default SR otherwise.
Rule 2: snapshots go where their disks go.
Rule 3: with option copy=true the VM stays, and a new one like it is made at the destination.
Rule 4: a host of another pool is vm_leave.py's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from xenapi_core.engine.failures import DEVICE, About, told_as
from xenapi_core.engine.messages import post_vm
from xenapi_core.engine.network_records import attach_network
from xenapi_core.engine.placement import (
    attached_repositories,
    check_host,
    check_receiving,
    check_storage,
)
from xenapi_core.engine.plan import Claim, Plan, Run, Step, World, plans
from xenapi_core.engine.plans.vdi_move import check_mirror, count_step, move_step, record_move
from xenapi_core.engine.plans.vm_copy import check_target
from xenapi_core.engine.plans.vm_migrate import move_memory
from xenapi_core.engine.plans.vm_power import reserve
from xenapi_core.engine.specs import domain_spec, has_disk
from xenapi_core.engine.steps.vm_leave import plan_leave
from xenapi_core.engine.steps.vm_records import NewDisk, copy_of, disks_to_copy
from xenapi_core.engine.steps.volumes import copy_step
from xenapi_core.engine.transition import enter_live
from xenapi_core.errors import E
from xenapi_core.ids import is_null
from xenapi_core.model.device_lifecycle import check_vdi_operation
from xenapi_core.model.lifecycle import check_vm_operation
from xenapi_core.model.power import HALTED, RUNNING, bad_power_state
from xenapi_core.store.api import Txn, Version


@plans("VM.migrate_send")
def plan_migrate_send(
    world: World,
    vm: str,
    dest: Mapping[str, str],
    live: bool,
    vdi_map: Mapping[str, str],
    vif_map: Mapping[str, str],
    options: Mapping[str, str],
    vgpu_map: Mapping[str, str],
    vdi_format_map: Mapping[str, str],
) -> Plan:
    """Move `vm` to dest["host"], or copy it there. The result is the VM.

    `live` makes no difference: inside the pool a guest that runs never stands still. What check_vm_operation and
    check_host say; VDI_NOT_IN_MAP, SR_DOES_NOT_SUPPORT_MIGRATION, VM_BAD_POWER_STATE to copy a VM that is not halted.
    """
    record = world.store.get(vm, "VM")
    if vgpu_map or vdi_format_map:
        raise E.NOT_IMPLEMENTED("VM.migrate_send with vgpu_map or vdi_format_map")
    check_vm_operation(world.store, record, "migrate_send", strict=options.get("force") != "true")
    host = _destination(world, dest)
    if host is None:
        return plan_leave(world, record, dest, vdi_map, vif_map, options)
    for network in vif_map.values():
        world.store.get(network, "network")
    places = _places(world, record, host, vdi_map)
    moving = {vdi.ref: sr for vdi, sr in places.items()} | dict(vif_map)
    if options.get("copy") == "true":
        return _copy_there(world, record, host, moving)
    runs = record["power_state"] == RUNNING
    travels = runs and host != record["resident_on"]
    if travels:
        check_host(world, record, host, moving=moving)
        check_receiving(world, host, "vm_migrate")
    else:
        check_storage(world, record, host, moving)
    moves = [(vdi, sr) for vdi, sr in places.items() if sr != vdi["SR"]]
    for vdi, sr in moves:
        check_mirror(world, vdi, sr)
    nics = _reconnected(world, record, vif_map)
    steps: list[Step] = [reserve(world, record, host)] if travels else []
    steps += [move_step(world, vdi, sr) for vdi, sr in moves]
    steps += [count_step(vdi, (vdi["SR"], sr)) for vdi, sr in moves]
    steps += [_migrate_step(world, record, host)] if travels else []
    steps += [_connect_step(world, record, vif, network, host) for vif, network in nics] if runs else []

    def finish(run: Run, txn: Txn) -> None:
        for vdi, sr in moves:
            record_move(run, txn, vdi, sr)
        for vif, network in nics:
            txn.update(vif.ref, network=network)
            if runs and vif["currently_attached"]:
                attach_network(txn, network, host)
        if travels:
            enter_live(world, txn, vm, host, run.results["domain"], booted=False)
            post_vm(world, txn, "VM_MIGRATED", record.values)

    claims = [Claim(vm, "migrate_send"), *(Claim(vdi.ref, "mirror") for vdi, _ in moves)]
    claims += [Claim(vif.ref, "attach") for vif, _ in nics]
    claims += [Claim(host, "vm_migrate")] if travels else []
    return Plan(steps=tuple(steps), claims=tuple(claims), result=lambda run: vm, finish=finish)


def _destination(world: World, dest: Mapping[str, str]) -> str | None:
    """The host that host.migrate_receive answered for; None if it is one of another pool. INVALID_VALUE."""
    host = world.store.find(dest.get("host", ""))
    if host is not None and host.cls == "host":
        return host.ref
    if not {"host", "master", "session_id", "xenops"} <= dest.keys():
        raise E.INVALID_VALUE("dest", "{" + "; ".join(sorted(dest)) + "}")
    return None


def _places(world: World, vm: Version, host: str, vdi_map: Mapping[str, str]) -> dict[Version, str]:
    """Where each disk of the VM and of its snapshots will be (rules 1 and 2). VDI_NOT_IN_MAP."""
    store = world.store
    reached = attached_repositories(world, host)
    pool = next(iter(store.all("pool").values()))
    for sr in vdi_map.values():
        store.get(sr, "SR")
    found: dict[Version, str] = {}
    for owner in (vm, *map(store.get, store.related(vm.ref, "snapshots"))):
        vdis = [store.get(owner["suspend_VDI"], "VDI")] if not is_null(owner["suspend_VDI"]) else []
        vbds = map(store.get, store.related(owner.ref, "VBDs"))
        vdis += [store.get(vbd["VDI"], "VDI") for vbd in vbds if vbd["type"] == "Disk" and has_disk(vbd)]
        for vdi in vdis:
            original = store.find(vdi["snapshot_of"])
            if vdi.ref in vdi_map:
                found[vdi] = vdi_map[vdi.ref]
            elif original is not None and original in found:
                found[vdi] = found[original]
            elif vdi["SR"] in reached:
                found[vdi] = vdi["SR"]
            elif pool["default_SR"] in reached:
                found[vdi] = pool["default_SR"]
            else:
                raise E.VDI_NOT_IN_MAP(vdi.ref)
            if found[vdi] not in reached:
                raise E.VM_REQUIRES_SR(vm.ref, found[vdi])
    return found


def _reconnected(world: World, vm: Version, vif_map: Mapping[str, str]) -> list[tuple[Version, str]]:
    """VIFs of the VM that will be on another network."""
    vifs = map(world.store.get, world.store.related(vm.ref, "VIFs"))
    return [(vif, vif_map[vif.ref]) for vif in vifs if vif_map.get(vif.ref, vif["network"]) != vif["network"]]


def _migrate_step(world: World, vm: Version, host: str) -> Step:
    """The memory, and the way back for it: NICs are connected after it (what move_memory says)."""
    origin = vm["resident_on"]
    spec = domain_spec(world.store, vm, origin)

    async def move_back(run: Run) -> None:
        await run.hypervisor(host).migrate(spec, run.hypervisor(origin), lambda fraction: None)

    return replace(move_memory(world, vm, host, "migrate_send"), undo=move_back)


def _connect_step(world: World, vm: Version, vif: Version, network: str, host: str) -> Step:
    """A NIC of a running guest on its new network, where the guest is now."""
    old, new = (world.store.get(ref, "network")["uuid"] for ref in (vif["network"], network))

    async def connect(run: Run) -> None:
        if vif["currently_attached"]:
            with told_as(DEVICE, About(vm=vm.ref, host=host, device=vif.ref, operation="move")):
                await run.hypervisor(host).move_nic(vm["uuid"], vif["uuid"], new)

    async def connect_again(run: Run) -> None:
        if vif["currently_attached"]:
            await run.hypervisor(host).move_nic(vm["uuid"], vif["uuid"], old)

    return Step("move NIC", connect, connect_again)


def _copy_there(world: World, vm: Version, host: str, moving: Mapping[str, str]) -> Plan:
    """A new VM with copies of the disks (rule 3); its VIFs have MACs of their own."""
    if vm["power_state"] != HALTED:
        raise bad_power_state(vm, (HALTED,))
    check_storage(world, vm, host, moving)
    disks = []
    for vbd, vdi in disks_to_copy(world, vm):
        check_vdi_operation(world.store, vdi, "copy")
        sr, uuid = moving[vdi.ref], world.ids.uuid()
        check_target(world, sr)
        disks.append(NewDisk(vbd, vdi, world.ids.ref(), uuid, sr, copy_step(world, vdi, uuid, sr)))
    plan = copy_of(world, vm, vm["name_label"], "copy", disks)
    networks = {vif["device"]: network for vif, network in _reconnected(world, vm, moving)}

    def finish(run: Run, txn: Txn) -> None:
        plan.finish(run, txn)
        for vif in txn.related(plan.result(run), "VIFs"):
            txn.update(vif, network=networks.get(txn.get(vif)["device"], txn.get(vif)["network"]))

    claims = tuple(replace(claim, operation="migrate_send") if claim.ref == vm.ref else claim for claim in plan.claims)
    return replace(plan, claims=claims, finish=finish)
