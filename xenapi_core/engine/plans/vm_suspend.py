"""Suspending VMs to disk and resuming them (API reference, VM lifecycle)."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from xenapi_core.drivers.api import DriverError
from xenapi_core.engine.failures import RESUME, SUSPEND, About, told_as
from xenapi_core.engine.host_memory import memory_needed
from xenapi_core.engine.messages import post_vm
from xenapi_core.engine.placement import check_host, check_receiving, placed
from xenapi_core.engine.plan import Claim, Plan, Run, Step, World, plans
from xenapi_core.engine.plans.vm_power import check_disks, reserve
from xenapi_core.engine.specs import attached_spec
from xenapi_core.engine.steps.images import (
    BLOCKED,
    forget_image,
    image_steps,
    is_saved,
    suspend_sr,
)
from xenapi_core.engine.transition import enter_live, enter_suspended
from xenapi_core.errors import ApiError, E
from xenapi_core.ids import NULL_REF
from xenapi_core.model.hosts import is_live
from xenapi_core.model.lifecycle import check_vm_operation
from xenapi_core.model.power import other_operation
from xenapi_core.store.api import Txn, Version

log = logging.getLogger(__name__)

DISCARD_WITHIN: Final = 60.0  # seconds of real time to remove an image nobody needs any more


@plans("VM.suspend")
def plan_suspend(world: World, vm: str) -> Plan:
    """Save the memory of a running VM into a new VDI and end its domain."""
    record = world.store.get(vm, "VM")
    check_vm_operation(world.store, record, "suspend")
    sr = suspend_sr(world, record)
    image, image_uuid = world.ids.ref(), world.ids.uuid()
    host, uuid = record["resident_on"], record["uuid"]

    async def save(run: Run) -> None:
        run.results["hosts"] = (host,)
        with told_as(SUSPEND, About(vm=vm, host=host, operation="suspend", size=memory_needed(record))):
            try:
                await run.hypervisor(host).suspend(uuid, image_uuid, run.progress)
            except DriverError:
                if not await is_saved(run.hypervisor(host), uuid, image_uuid):
                    raise

    def finish(run: Run, txn: Txn) -> None:
        enter_suspended(world, txn, vm, image)
        post_vm(world, txn, "VM_SUSPENDED", record.values)

    return Plan(
        steps=(
            *image_steps(world, record, sr, image, image_uuid),
            Step("save memory", save, weight=10),
        ),
        claims=(Claim(vm, "suspend"),),
        finish=finish,
    )


@plans("VM.resume")
def plan_resume(world: World, vm: str, start_paused: bool, force: bool = False) -> Plan:
    """Continue a suspended VM on the host that suits it best."""
    record = world.store.get(vm, "VM")
    check_vm_operation(world.store, record, "resume", strict=not force)
    return placed(world, record, "resume", lambda host: _resume(world, record, "resume", host, start_paused))


@plans("VM.resume_on")
def plan_resume_on(world: World, vm: str, host: str, start_paused: bool, force: bool = False) -> Plan:
    """Continue a suspended VM on `host`, or say why not."""
    record = world.store.get(vm, "VM")
    check_vm_operation(world.store, record, "resume_on", strict=not force)
    check_host(world, record, host)
    check_receiving(world, host, "vm_resume")
    return _resume(world, record, "resume_on", host, start_paused)


@plans("VM.set_suspend_VDI")
def plan_set_suspend_vdi(world: World, ref: str, value: str) -> Plan:
    """Resume a suspended VM from another disk that holds the same memory, a copy of its image; the old image stays.

    VM_BAD_POWER_STATE unless Suspended; INVALID_VALUE for a disk that does not hold the memory of this VM; HOST_OFFLINE
    if no host can say so.
    """
    vm, image = world.store.get(ref, "VM"), world.store.get(value, "VDI")
    check_vm_operation(world.store, vm, "resume", strict=False)
    _check_free(image)
    host = next((host.ref for host in world.store.all("host").values() if is_live(world.store, host)), NULL_REF)

    async def look(run: Run) -> None:
        with told_as(RESUME, About(vm=ref, host=host, vdi=value, operation="set_suspend_VDI")):
            if await run.hypervisor(host).saved_in(image["uuid"]) != vm["uuid"]:
                raise E.INVALID_VALUE("suspend_VDI", value)

    return Plan(
        steps=(Step("look into image", look),),
        claims=(Claim(ref, "resume"), Claim(value, BLOCKED)),
        finish=lambda run, txn: txn.update(ref, suspend_VDI=value),
    )


def _resume(world: World, vm: Version, operation: str, host: str, paused: bool) -> Plan:
    image = world.store.find(vm["suspend_VDI"])
    if image is None:
        raise E.VM_HAS_NO_SUSPEND_VDI(vm.ref)
    _check_free(image)
    check_disks(world, vm)
    spec, saved = attached_spec(world.store, vm, host), image["uuid"]

    async def restore(run: Run) -> None:
        about = About(vm=vm.ref, host=host, vdi=image.ref, operation=operation, size=memory_needed(vm))
        with told_as(RESUME, about):
            run.results["domain"] = await run.hypervisor(host).resume(spec, saved, paused, run.progress)

    async def back_to_disk(run: Run) -> None:
        """The image still holds the memory: nothing of the machine is lost when its domain ends at once."""
        await run.hypervisor(host).destroy(spec.uuid)

    async def discard(run: Run) -> None:
        """A VM that runs must not fall because its old image could not be removed: the VDI stays visible then.

        Not interruptible (no deadline of the engine's): with the image gone there is no way back.
        """
        try:
            async with asyncio.timeout(DISCARD_WITHIN):
                await run.storage(image["SR"]).destroy(saved)
            run.results["discarded"] = True
        except (ApiError, DriverError, TimeoutError) as error:
            log.warning("the suspend image %s could not be removed: %s", saved, error)

    def finish(run: Run, txn: Txn) -> None:
        if run.results.get("discarded"):
            forget_image(world, run, txn, image.ref)
        enter_live(world, txn, vm.ref, host, run.results["domain"], booted=False)
        post_vm(world, txn, "VM_RESUMED", vm.values)

    return Plan(
        steps=(
            reserve(world, vm, host),
            Step("restore memory", restore, back_to_disk, weight=10),
            Step("discard image", discard, deadline=None),
        ),
        claims=(Claim(vm.ref, operation), Claim(host, "vm_resume"), Claim(image.ref, BLOCKED)),
        finish=finish,
    )


def _check_free(image: Version) -> None:
    """OTHER_OPERATION_IN_PROGRESS while something is done to an image that memory is to be read from."""
    if image["current_operations"]:
        raise other_operation("VDI", image.ref, image["current_operations"])
