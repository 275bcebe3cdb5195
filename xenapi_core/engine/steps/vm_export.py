"""Exporting a VM: which records belong to it, and access to the bytes of its disks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from xenapi_core.engine.failures import STORAGE, About, told_as
from xenapi_core.engine.plan import Claim, Plan, Run, Step, World
from xenapi_core.engine.specs import has_disk
from xenapi_core.engine.steps.vdi_transfer import WITHIN
from xenapi_core.errors import ApiError
from xenapi_core.ids import is_null
from xenapi_core.model.device_lifecycle import check_vdi_operation
from xenapi_core.model.lifecycle import check_vm_operation
from xenapi_core.store.api import Store, Version

Use = Callable[[Run, Version], Awaitable[None]]

DISKS: Final = "Disk"


def records_of(store: Store, vm: str, snapshots: bool = False) -> list[Version]:
    """The VM and all that belongs to it, each once: its devices, their disks, SRs and networks; its snapshots too."""
    found: dict[str, Version] = {}

    def add(ref: str) -> Version | None:
        record = None if is_null(ref) else store.find(ref)
        if record is not None:
            found.setdefault(record.ref, record)
        return record

    vms = [vm, *(store.related(vm, "snapshots") if snapshots else ())]
    for each in vms:
        record = add(each)
        assert record is not None
        vdis = [add(record["suspend_VDI"])]
        for device in (*store.related(each, "VBDs"), *store.related(each, "VIFs")):
            known = add(device)
            assert known is not None
            if known.cls == "VIF":
                add(known["network"])
            else:
                vdis.append(add(known["VDI"]))
        for vdi in vdis:
            if vdi is not None:
                add(vdi["SR"])
    return list(found.values())


def disks_of(store: Store, vm: Version) -> list[Version]:
    """Disks that travel with the VM; media in drives do not, and neither does saved memory, unless it is kept."""
    vbds = map(store.get, store.related(vm.ref, "VBDs"))
    disks = [store.get(vbd["VDI"], "VDI") for vbd in vbds if vbd["type"] == DISKS and has_disk(vbd)]
    if not is_null(vm["suspend_VDI"]):
        disks.append(store.get(vm["suspend_VDI"], "VDI"))
    return list({disk.ref: disk for disk in disks}.values())


def plan_export(world: World, vm: str, use: Use, snapshots: bool = False) -> Plan:
    """Let `use` read the disks of a VM, and of its snapshots. What forbids export, or a copy of a disk."""
    record = world.store.get(vm, "VM")
    check_vm_operation(world.store, record, "export")
    owners = [record, *map(world.store.get, world.store.related(vm, "snapshots") if snapshots else ())]
    disks = list({disk.ref: disk for owner in owners for disk in disks_of(world.store, owner)}.values())
    for disk in disks:
        check_disk(world.store, record, disk)

    async def do(run: Run) -> None:
        with told_as(STORAGE, About(vm=vm, operation="export")):
            await use(run, record)

    claims = (Claim(vm, "export"), *(Claim(disk.ref, "copy") for disk in disks))
    return Plan(steps=(Step("export", do, weight=20, deadline=WITHIN),), claims=claims)


def check_disk(store: Store, vm: Version, disk: Version) -> None:
    """What forbids a copy of a disk. That the VM itself holds it, which is suspended, does not."""
    try:
        check_vdi_operation(store, disk, "copy")
    except ApiError as error:
        vbds = map(store.get, store.related(disk.ref, "VBDs"))
        users = {vbd["VM"] for vbd in vbds if vbd["currently_attached"] or vbd["reserved"]}
        if error.code != "VDI_IN_USE" or users != {vm.ref}:
            raise
