"""Attaching disks and media to VMs (API reference, devices)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from xenapi_core.drivers.api import DriverError
from xenapi_core.engine.failures import ATTACH, DETACH, DEVICE, About, told_as
from xenapi_core.engine.ha_rules import check_joining_disk
from xenapi_core.engine.placement import attached_repositories
from xenapi_core.engine.plan import Claim, Plan, Run, Step, World, plans
from xenapi_core.engine.specs import device_name, device_position, disk_spec
from xenapi_core.errors import E
from xenapi_core.ids import NULL_REF, is_null
from xenapi_core.model.device_lifecycle import check_vbd_operation, disk_use_error, is_of_ha
from xenapi_core.model.power import PAUSED, RUNNING, SUSPENDED
from xenapi_core.store.api import Txn, Version

ATTACHABLE: Final = ("system", "user", "ephemeral", "suspend", "crashdump", "metadata", "rrd", "pvs_cache")
POSITIONS: Final = 255
LIVE: Final = (RUNNING, PAUSED)


@plans("VBD.create")
def plan_create(world: World, args: Mapping[str, Any]) -> Plan:
    """Connect a disk, or an empty drive, to a VM; it is attached when the VM starts, or by VBD.plug. VDI_IN_USE [vdi]
    for a disk of high availability."""
    store = world.store
    vm = store.get(args["VM"], "VM")
    empty = bool(args.get("empty", False)) or is_null(args["VDI"])
    if args["type"] == "CD" and args["mode"] != "RO":
        raise E.VBD_CDS_MUST_BE_READONLY()
    if empty and args["type"] != "CD":
        raise E.VBD_NOT_REMOVABLE_MEDIA("in constructor")
    if not empty:
        vdi = store.get(args["VDI"], "VDI")
        if args["mode"] == "RW" and vdi["read_only"]:
            raise E.VDI_READONLY(vdi.ref)
        if vdi["type"] not in ATTACHABLE:
            raise E.VDI_INCOMPATIBLE_TYPE(vdi.ref, vdi["type"])
        if is_of_ha(vdi):
            raise E.VDI_IN_USE(vdi.ref)
        check_joining_disk(store, vm, vdi["SR"])
    userdevice = _position(world, vm, args["userdevice"])
    suspended = vm["power_state"] == SUSPENDED
    ref = world.ids.ref()

    def finish(run: Run, txn: Txn) -> None:
        values = {
            **args,
            "uuid": world.ids.uuid(),
            "VDI": NULL_REF if empty else args["VDI"],
            "empty": empty,
            "userdevice": userdevice,
            "device": args.get("device", "") if suspended else "",
            "currently_attached": bool(args.get("currently_attached")) if suspended else False,
            "reserved": False,
            "current_operations": {},
        }
        txn.create("VBD", ref, values)

    return Plan(steps=(), result=lambda run: ref, finish=finish)


def free_positions(world: World, vm: str) -> list[int]:
    """Disk positions of `vm` that no VBD has."""
    taken = _taken_positions(world, vm)
    return [number for number in range(POSITIONS) if number not in taken]


def _taken_positions(world: World, vm: str) -> set[int | None]:
    return {device_position(world.store.get(vbd)["userdevice"]) for vbd in world.store.related(vm, "VBDs")}


def _position(world: World, vm: Version, userdevice: str) -> str:
    """The position a new VBD gets. "xvda", "hda" and "0" are one position; "autodetect" is the first free one."""
    if userdevice == "autodetect":
        free = free_positions(world, vm.ref)
        if not free:
            raise E.INVALID_DEVICE(userdevice)
        return str(free[0])
    position = device_position(userdevice)
    if position is None or position >= POSITIONS:
        raise E.INVALID_DEVICE(userdevice)
    if position in _taken_positions(world, vm.ref):
        raise E.DEVICE_ALREADY_EXISTS(userdevice)
    return userdevice


@plans("VBD.destroy")
def plan_destroy(world: World, vbd: str) -> Plan:
    """Remove a connection; the disk stays."""
    record = world.store.get(vbd, "VBD")
    if record["currently_attached"] or record["reserved"]:
        vm = world.store.find(record["VM"])
        owner = vm["uuid"] if vm is not None else record["VM"]
        raise E.OPERATION_NOT_ALLOWED(f"VBD '{record['uuid']}' still attached to '{owner}'")

    def finish(run: Run, txn: Txn) -> None:
        txn.delete(record["metrics"])
        txn.delete(vbd)

    return Plan(steps=(), finish=finish)


@plans("VBD.plug")
def plan_plug(world: World, vbd: str) -> Plan:
    """Attach a disk to its running VM. SR_NOT_ATTACHED if the host of the VM does not reach it."""
    record, vm = _checked(world, vbd, "plug")
    _check_reach(world, vm, record["VDI"])
    host, spec = vm["resident_on"], disk_spec(world.store, record)

    async def reserve(run: Run) -> None:  # so that nobody else takes the disk meanwhile
        run.commit(lambda txn: txn.update(vbd, reserved=True))

    async def release(run: Run) -> None:
        run.commit(lambda txn: txn.update(vbd, reserved=False))

    async def plug(run: Run) -> None:
        with told_as(ATTACH, _about(record, vm, "plug")):
            run.results["device"] = await run.hypervisor(host).attach_disk(vm["uuid"], spec)

    async def unplug(run: Run) -> None:
        await run.hypervisor(host).detach_disk(vm["uuid"], spec.uuid, True)

    def finish(run: Run, txn: Txn) -> None:
        device = run.results["device"] or device_name(record["userdevice"])
        txn.update(vbd, currently_attached=True, reserved=False, device=device)

    steps = (Step("reserve", reserve, release, weight=0.0, deadline=None), Step("plug", plug, unplug))
    return Plan(steps=steps, claims=(Claim(vbd, "plug"),), finish=finish)


def _about(vbd: Version, vm: Version, operation: str) -> About:
    return About(
        vm=vm.ref, host=vm["resident_on"], vdi=vbd["VDI"], device=vbd.ref, device_type="VBD", operation=operation
    )


@plans("VBD.unplug")
def plan_unplug(world: World, vbd: str) -> Plan:
    """Detach a disk from its running VM, if the guest lets it go."""
    return _unplug(world, vbd, "unplug")


@plans("VBD.unplug_force")
@plans("VBD.unplug_force_no_safety_check")
def plan_unplug_force(world: World, vbd: str) -> Plan:
    """Detach a disk from its running VM, whatever the guest says: of a guest's drivers nothing is known, so there is no
    check of them that the second message could leave out."""
    return _unplug(world, vbd, "unplug_force")


def _unplug(world: World, ref: str, operation: str) -> Plan:
    record, vm = _checked(world, ref, operation)
    host = vm["resident_on"]

    async def unplug(run: Run) -> None:
        with told_as(DETACH, _about(record, vm, operation)):
            await run.hypervisor(host).detach_disk(vm["uuid"], record["uuid"], operation == "unplug_force")

    return Plan(
        steps=(Step(operation, unplug),),
        claims=(Claim(ref, operation),),
        finish=lambda run, txn: txn.update(ref, currently_attached=False),
    )


@plans("VBD.pause")
def plan_pause(world: World, ref: str) -> Plan:
    """Hold back what a running guest reads and writes on a disk. The value is the token to release it with.

    OPERATION_NOT_ALLOWED for one that is held already.
    """
    record, vm = _checked(world, ref, "pause")

    async def hold(run: Run) -> None:
        with told_as(DEVICE, _about(record, vm, "pause")):
            run.results["token"] = await run.hypervisor(vm["resident_on"]).hold_disk(vm["uuid"], record["uuid"])

    return Plan(
        steps=(Step("hold disk", hold),),
        claims=(Claim(ref, "pause"),),
        result=lambda run: run.results["token"],
    )


@plans("VBD.unpause")
def plan_unpause(world: World, ref: str, token: str) -> Plan:
    """Let it through again. OPERATION_NOT_ALLOWED for a disk that is not held, or with another token."""
    record, vm = _checked(world, ref, "unpause")

    async def release(run: Run) -> None:
        with told_as(DEVICE, _about(record, vm, "unpause")):
            await run.hypervisor(vm["resident_on"]).release_disk(vm["uuid"], record["uuid"], token)

    return Plan(steps=(Step("release disk", release),), claims=(Claim(ref, "unpause"),))


@plans("VBD.insert")
def plan_insert(world: World, vbd: str, vdi: str) -> Plan:
    """Put a medium into an empty drive. SR_NOT_ATTACHED if the host of a live VM does not reach it."""
    record, vm = _checked(world, vbd, "insert")
    medium = world.store.get(vdi, "VDI")
    if medium["type"] not in ATTACHABLE:
        raise E.VDI_INCOMPATIBLE_TYPE(vdi, medium["type"])
    error = disk_use_error(world.store, _with_medium(record, vdi))
    if error is not None:
        raise error
    if vm["power_state"] in LIVE:
        _check_reach(world, vm, vdi)
    return _change_medium(world, record, vm, "insert", vdi)


@plans("VBD.eject")
def plan_eject(world: World, vbd: str) -> Plan:
    """Take the medium out of a drive."""
    record, vm = _checked(world, vbd, "eject")
    return _change_medium(world, record, vm, "eject", NULL_REF)


def plan_show_medium(world: World, vbd: str) -> Plan:
    """Give a live VM the medium anew that its drive has on record, because somebody changed it by hand."""
    record = world.store.get(vbd, "VBD")
    return _change_medium(world, record, world.store.get(record["VM"], "VM"), "insert", record["VDI"])


def _change_medium(world: World, vbd: Version, vm: Version, operation: str, vdi: str) -> Plan:
    """A drive of a live VM is detached and attached again with what is in it now."""
    host, machine = vm["resident_on"], vm["uuid"]
    old = disk_spec(world.store, vbd)
    new = disk_spec(world.store, _with_medium(vbd, vdi))
    live = vm["power_state"] in LIVE and vbd["currently_attached"]

    async def swap(run: Run) -> None:
        hypervisor = run.hypervisor(host)
        with told_as(DETACH, _about(vbd, vm, operation)):
            await hypervisor.detach_disk(machine, old.uuid, True)
        with told_as(ATTACH, _about(vbd, vm, operation)):
            try:
                await hypervisor.attach_disk(machine, new)
            except BaseException:  # also when cancelled: the drive must not stay away
                await hypervisor.attach_disk(machine, old)
                raise

    async def swap_back(run: Run) -> None:
        hypervisor = run.hypervisor(host)
        try:
            await hypervisor.detach_disk(machine, new.uuid, True)
        except DriverError as error:
            if error.kind != "not_found":
                raise
        await hypervisor.attach_disk(machine, old)

    return Plan(
        steps=(Step(operation, swap, swap_back),) if live else (),
        claims=(Claim(vbd.ref, operation),),
        finish=lambda run, txn: txn.update(vbd.ref, VDI=vdi, empty=is_null(vdi)),
    )


def _check_reach(world: World, vm: Version, vdi: str) -> None:
    disk = world.store.find(vdi)
    if disk is not None and disk["SR"] not in attached_repositories(world, vm["resident_on"]):
        raise E.SR_NOT_ATTACHED(disk["SR"])


def _with_medium(vbd: Version, vdi: str) -> Version:
    """The VBD as it will be with `vdi` in it."""
    values = {**vbd.values, "VDI": vdi, "empty": is_null(vdi)}
    return Version(vbd.cls, vbd.ref, values, vbd.created, vbd.modified)


def _checked(world: World, ref: str, operation: str) -> tuple[Version, Version]:
    vbd = world.store.get(ref, "VBD")
    check_vbd_operation(world.store, vbd, operation)
    return vbd, world.store.get(vbd["VM"], "VM")
