"""Moving a VM to another pool, with its snapshots, disks and memory (VM.migrate_send to a host that is not here).

Theory of operation
1. A VM that runs is suspended first, so it stands still on its way: nothing it writes can be missed, and if anything
   fails it is resumed from that image. Whatever happens, its memory is in the domain or in the image.
2. The parcel is sent in one step that nothing interrupts: this pool must remove the VM once the other pool has it, and
   not before. A request to cancel takes effect between two pieces of a disk.
3. Volumes whose VM has left are removed at last; one that cannot be removed stays as a disk of nobody.
4. With copy=true the VM stays, which must be halted, and the other one has uuids and MACs of its own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from xenapi_core.drivers.api import DriverError
from xenapi_core.engine.exchange import Parcel
from xenapi_core.engine.failures import SUSPEND, About, told_as
from xenapi_core.engine.host_memory import memory_needed
from xenapi_core.engine.plan import Claim, Plan, Run, Step, World
from xenapi_core.engine.specs import domain_spec
from xenapi_core.engine.steps.images import image_steps, is_saved, suspend_sr
from xenapi_core.engine.steps.vm_export import check_disk, disks_of, records_of
from xenapi_core.engine.steps.volumes import FINISH_WITHIN, forget_volume, recount
from xenapi_core.engine.transition import enter_halted
from xenapi_core.errors import ApiError, E
from xenapi_core.ids import is_null
from xenapi_core.model.device_lifecycle import check_vdi_operation
from xenapi_core.model.power import HALTED, RUNNING, bad_power_state
from xenapi_core.store.api import Txn, Version

log = logging.getLogger(__name__)

_DEVICES = ("VBDs", "VIFs", "VGPUs", "VUSBs", "consoles", "crash_dumps")


def parcel_of(
    world: World,
    vm: Version,
    dest: Mapping[str, str],
    vdi_map: Mapping[str, str],
    vif_map: Mapping[str, str],
    copied: bool,
) -> Parcel:
    """Everything that goes along, without the memory of a VM that runs. VDI_NOT_IN_MAP, VIF_NOT_IN_MAP.

    Saved memory and disks of snapshots go where the disk they come from goes, else where the first disk goes.
    """
    store = world.store
    owners = [vm] if copied else [vm, *map(store.get, store.related(vm.ref, "snapshots"))]
    own = {vdi.ref for vdi in disks_of(store, vm)} - {vm["suspend_VDI"]}
    first = next(iter(vdi_map.values()), "")
    disks: dict[str, str] = {}
    for owner in owners:
        for vdi in disks_of(store, owner):
            place = vdi_map.get(vdi.ref) or disks.get(vdi["snapshot_of"], "" if vdi.ref in own else first)
            if not place and vdi.ref != vm["suspend_VDI"]:
                raise E.VDI_NOT_IN_MAP(vdi.ref)
            disks[vdi.ref] = place
    networks: dict[str, str] = {}
    by_network: dict[str, str] = {}
    for owner in owners:
        for vif in map(store.get, store.related(owner.ref, "VIFs")):
            network = vif_map.get(vif.ref) or by_network.get(vif["network"], "")
            if not network:
                raise E.VIF_NOT_IN_MAP(vif.ref)
            networks[vif.ref] = by_network[vif["network"]] = network
    records = records_of(store, vm.ref, snapshots=not copied)
    return Parcel(dict(dest), tuple(records), disks, networks, copied=copied)


def plan_leave(
    world: World,
    vm: Version,
    dest: Mapping[str, str],
    vdi_map: Mapping[str, str],
    vif_map: Mapping[str, str],
    options: Mapping[str, str],
) -> Plan:
    """The result is the VM's reference in the other pool.

    VM_BAD_POWER_STATE to copy a VM that is not halted; OPERATION_NOT_ALLOWED with a virtual TPM, whose secrets stay;
    VDI_NOT_IN_MAP, VIF_NOT_IN_MAP; CANNOT_CONTACT_HOST; and what the other pool says.
    """
    copied = options.get("copy") == "true"
    if copied and vm["power_state"] != HALTED:
        raise bad_power_state(vm, (HALTED,))
    if world.store.related(vm.ref, "VTPMs"):
        raise E.OPERATION_NOT_ALLOWED("A VM with a virtual TPM stays in its pool.")
    parcel, runs = parcel_of(world, vm, dest, vdi_map, vif_map, copied), vm["power_state"] == RUNNING
    for vdi in (world.store.get(ref, "VDI") for ref in parcel.disks):
        if runs:
            check_vdi_operation(world.store, vdi, "mirror")
        else:
            check_disk(world.store, vm, vdi)
    steps, image = _suspend_steps(world, vm) if runs else ((), "")
    leaving = [] if copied else [world.store.get(ref, "VDI") for ref in parcel.disks]

    async def send(run: Run) -> None:
        run.results["there"] = await run.exchange().send(run, _packed(world, vm, parcel, image))
        gone = [*leaving, *([world.store.get(image, "VDI")] if image else [])]
        for vdi in gone:
            await _remove(run, vdi)

    def finish(run: Run, txn: Txn) -> None:
        if copied:
            return
        if runs:
            enter_halted(world, txn, vm.ref)
        for owner in (*world.store.related(vm.ref, "snapshots"), vm.ref):
            forget_machine(txn, owner)
        for ref in (*parcel.disks, image):
            forget_volume(run, txn, ref, destroyed=("removed", ref) in run.results) if ref else None

    claims = [Claim(vm.ref, "migrate_send")]
    claims += [Claim(ref, "mirror" if runs else "copy") for ref in parcel.disks if ref != vm["suspend_VDI"]]
    return Plan(
        steps=(*steps, Step("send", send, weight=20, deadline=None)),
        claims=tuple(claims),
        result=lambda run: run.results["there"],
        finish=finish,
    )


def _suspend_steps(world: World, vm: Version) -> tuple[tuple[Step, ...], str]:
    """Put the memory of a running VM into an image, from which it goes on if it cannot leave. And the image's VDI."""
    image, uuid = world.ids.ref(), world.ids.uuid()
    host = vm["resident_on"]
    spec = domain_spec(world.store, vm, host)

    async def save(run: Run) -> None:
        run.results["hosts"] = (host,)
        with told_as(SUSPEND, About(vm=vm.ref, host=host, operation="migrate_send", size=memory_needed(vm))):
            try:
                await run.hypervisor(host).suspend(spec.uuid, uuid, run.progress)
            except DriverError:
                if not await is_saved(run.hypervisor(host), spec.uuid, uuid):
                    raise

    async def go_on(run: Run) -> None:
        """The last attempt: if it fails too, the memory is in the image alone."""
        try:
            await run.hypervisor(host).resume(spec, uuid, False, lambda fraction: None)
        except BaseException:
            run.results["kept", image] = True
            raise

    steps = image_steps(world, vm, suspend_sr(world, vm), image, uuid)
    return (*steps, Step("save memory", save, go_on, weight=5)), image


def _packed(world: World, vm: Version, parcel: Parcel, image: str) -> Parcel:
    """The parcel as it is sent: with the image that now holds the memory, and the VM's record as it is now."""
    if not image:
        return parcel
    records = tuple(records_of(world.store, vm.ref, snapshots=True))
    disks = {**parcel.disks, image: next(iter(parcel.disks.values()), "")}
    return Parcel(parcel.destination, records, disks, parcel.networks, running=True)


async def _remove(run: Run, vdi: Version) -> None:
    """Destroy a volume that no record uses any more (rule 3)."""
    try:
        async with asyncio.timeout(FINISH_WITHIN):
            await run.storage(vdi["SR"]).destroy(vdi["uuid"])
        run.results["removed", vdi.ref] = True
        await recount(run, vdi["SR"], run.storage(vdi["SR"]))
    except (ApiError, DriverError, TimeoutError) as error:
        log.warning("disk %s of a VM that left could not be removed: %s", vdi["uuid"], error)


def forget_machine(txn: Txn, vm: str) -> None:
    """The records of a VM that is somewhere else now: its devices too, but no disks."""
    record = txn.get(vm, "VM")
    for field in _DEVICES:
        for device in txn.related(vm, field):
            txn.delete(device)
    for owned in (record["metrics"], record["guest_metrics"], *record["blobs"].values()):
        if not is_null(owned):
            txn.delete(owned)
    txn.delete(vm)
