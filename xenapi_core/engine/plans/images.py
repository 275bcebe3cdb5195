"""Suspend images: the VDIs that hold the memory of suspended VMs."""

from __future__ import annotations

from typing import Any

from xenapi_core.engine.host_memory import memory_needed
from xenapi_core.engine.plan import Run, Step, World
from xenapi_core.engine.plans.volumes import check_sr, create_step, destroy_step, forget_volume, record_volume
from xenapi_core.errors import E
from xenapi_core.store.api import Txn, Version

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
