"""Suspend images: the VDIs that hold the memory of suspended VMs."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, Final

from xenapi_core.drivers.api import DriverError, Hypervisor
from xenapi_core.engine.host_memory import memory_needed
from xenapi_core.engine.plan import Run, Step, World
from xenapi_core.engine.steps.volumes import check_sr, create_step, destroy_step, forget_volume, record_volume
from xenapi_core.engine.transition import enter_suspended
from xenapi_core.errors import E
from xenapi_core.store.api import Txn, Version

ANSWER_WITHIN: Final = 60.0  # seconds of real time a driver has to say what it did
BLOCKED = "blocked"  # operation of an image that is being written or read; see model.device_lifecycle
ROOM = 32 << 20  # what a saved machine needs beside its memory


def suspend_sr(world: World, vm: Version) -> str:
    """Where the memory of `vm` goes: its own choice, its host's, the pool's, the pool's default. VM_NO_SUSPEND_SR."""
    store = world.store
    host = store.find(vm["resident_on"])
    choices = [vm["suspend_SR"]]
    if host is not None:
        choices.append(host["suspend_image_sr"])
    for pool in store.all("pool").values():
        choices += [pool["suspend_image_SR"], pool["default_SR"]]
    for sr in choices:
        if store.find(sr) is not None:
            check_sr(world, sr)
            return str(sr)
    raise E.VM_NO_SUSPEND_SR(vm.ref)


def image_step(world: World, vm: Version, sr: str, ref: str, uuid: str) -> Step:
    """A volume large enough for the memory of `vm`."""
    return create_step(world, sr, uuid, memory_needed(vm) + ROOM, ref)


def record_image(world: World, run: Run, txn: Txn, vm: Any, sr: str, ref: str, uuid: str) -> None:
    """The VDI record of an image that a step made; `vm`: the values of its VM."""
    record_volume(
        world,
        run,
        txn,
        ref,
        uuid,
        sr,
        {
            "name_label": "Suspend image",
            "name_description": f"Suspended memory of VM {vm['uuid']}",
            "type": "suspend",
            "sharable": False,
            "read_only": False,
        },
    )


def discard_image(world: World, vm: Version) -> tuple[Step, ...]:
    """Destroy the volume of the VM's saved memory; no step if there is none."""
    image = world.store.find(vm["suspend_VDI"])
    return () if image is None else (destroy_step(image),)


def forget_image(world: World, run: Run, txn: Txn, image: str) -> None:
    """The record of an image whose volume is destroyed."""
    forget_volume(run, txn, image)


async def is_saved(hypervisor: Hypervisor, uuid: str, image: str) -> bool:
    """Whether a suspension that was reported as failed has happened: undoing it would throw the only memory away."""
    try:
        async with asyncio.timeout(ANSWER_WITHIN):
            gone = all(domain.uuid != uuid for domain in await hypervisor.domains())
            return gone and await hypervisor.saved_in(image) == uuid
    except (DriverError, TimeoutError):
        return False


def image_steps(world: World, vm: Version, sr: str, image: str, image_uuid: str) -> tuple[Step, Step]:
    """Make the image, and record the VM's claim to it, before the memory is in it.

    From the moment the domain is gone, nothing but the image has the memory: if this process dies then, recovery must
    find it (engine.reconcile, rule 5). A later step that cannot bring the machine back while it is undone leaves
    ("kept", image) in Run.results: then the image stays, and the VM is Suspended.
    """
    make = image_step(world, vm, sr, image, image_uuid)

    async def name(run: Run) -> None:
        def write(txn: Txn) -> None:
            record_image(world, run, txn, vm, sr, image, image_uuid)
            run.claim(txn, image, BLOCKED)
            txn.update(vm.ref, suspend_VDI=image)

        run.commit(write)

    async def unname(run: Run) -> None:
        def write(txn: Txn) -> None:
            if ("kept", image) in run.results:
                enter_suspended(world, txn, vm.ref, image)
                return
            forget_image(world, run, txn, image)
            txn.update(vm.ref, suspend_VDI=vm["suspend_VDI"])

        run.commit(write)

    async def unmake(run: Run) -> None:
        if make.undo is not None and ("kept", image) not in run.results:
            await make.undo(run)

    return replace(make, undo=unmake), Step("name image", name, unname, weight=0.0, deadline=None)
