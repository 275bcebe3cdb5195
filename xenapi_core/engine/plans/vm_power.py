"""Starting, stopping, pausing and rebooting VMs (API reference, VM lifecycle)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from xenapi_core.drivers.api import DriverError
from xenapi_core.engine.efi_variables import boot_firmware
from xenapi_core.engine.failures import MACHINE, SHUTDOWN, START, About, told_as
from xenapi_core.engine.host_memory import memory_needed
from xenapi_core.engine.messages import post_vm
from xenapi_core.engine.placement import check_host, check_receiving, placed
from xenapi_core.engine.plan import Claim, Plan, Run, Step, World, plans
from xenapi_core.engine.plans.reset_disks import resets
from xenapi_core.engine.specs import domain_spec, has_disk
from xenapi_core.engine.steps.images import discard_image, forget_image
from xenapi_core.engine.transition import enter_halted, enter_live, switch
from xenapi_core.errors import E
from xenapi_core.ids import NULL_REF
from xenapi_core.model.device_lifecycle import disk_use_error
from xenapi_core.model.lifecycle import OPERATIONS, check_vm_operation
from xenapi_core.model.power import PAUSED, RUNNING, SUSPENDED
from xenapi_core.store.api import Txn, Version


@plans("VM.start")
def plan_start(world: World, vm: str, start_paused: bool, force: bool = False) -> Plan:
    """Boot a halted VM on the host that suits it best; `force` does not excuse a missing host."""
    record = world.store.get(vm, "VM")
    check_vm_operation(world.store, record, "start", strict=not force)
    return placed(world, record, "start", lambda host: _boot(world, record, "start", host, start_paused))


@plans("VM.start_on")
def plan_start_on(world: World, vm: str, host: str, start_paused: bool, force: bool = False) -> Plan:
    """Boot a halted VM on `host`, or say why not."""
    record = world.store.get(vm, "VM")
    check_vm_operation(world.store, record, "start_on", strict=not force)
    check_host(world, record, host)
    check_receiving(world, host, "vm_start")
    return _boot(world, record, "start_on", host, start_paused)


def _boot(world: World, vm: Version, operation: str, host: str, paused: bool) -> Plan:
    check_disks(world, vm)
    spec = domain_spec(world.store, vm, host)
    about = About(vm=vm.ref, host=host, operation=operation, size=memory_needed(vm))
    disks = resets(world, vm)

    async def boot(run: Run) -> None:
        with told_as(START, about):
            run.results["domain"] = await run.hypervisor(host).create(spec, paused, run.progress)

    async def unboot(run: Run) -> None:
        await run.hypervisor(host).destroy(spec.uuid)

    def finish(run: Run, txn: Txn) -> None:
        enter_live(world, txn, vm.ref, host, run.results["domain"])
        boot_firmware(world.store, txn, vm.ref)
        for disk in disks:
            disk.finish(run, txn)
        post_vm(world, txn, "VM_STARTED", vm.values)

    return Plan(
        steps=(reserve(world, vm, host), *(disk.step for disk in disks), Step("boot", boot, unboot)),
        claims=(Claim(vm.ref, operation), Claim(host, "vm_start")),
        finish=finish,
    )


def check_disks(world: World, vm: Version) -> None:
    """The first reason why a disk of `vm` cannot be attached to it now."""
    for vbd in map(world.store.get, world.store.related(vm.ref, "VBDs")):
        error = disk_use_error(world.store, vbd) if has_disk(vbd) else None
        if error is not None:
            raise error


def reserve(world: World, vm: Version, host: str) -> Step:
    """Promise the host's memory, the disks and the NICs to `vm`, so that no other plan counts on them."""

    def write(run: Run, place: str, reserved: bool) -> None:
        def change(txn: Txn) -> None:
            txn.update(vm.ref, scheduled_to_be_resident_on=place)
            for device in (*txn.related(vm.ref, "VBDs"), *txn.related(vm.ref, "VIFs")):
                txn.update(device, reserved=reserved)

        run.commit(change)

    async def do(run: Run) -> None:
        run.results["hosts"] = (host,)
        write(run, host, True)

    async def undo(run: Run) -> None:
        write(run, NULL_REF, False)

    return Step("reserve", do, undo, weight=0.0, deadline=None)


@plans("VM.pause")
def plan_pause(world: World, vm: str) -> Plan:
    """Stop the virtual processors of a running VM."""
    return _switch(world, vm, "pause", PAUSED, "VM_PAUSED")


@plans("VM.unpause")
def plan_unpause(world: World, vm: str) -> Plan:
    """Let a paused VM run on."""
    return _switch(world, vm, "unpause", RUNNING, "VM_UNPAUSED")


def _switch(world: World, ref: str, operation: str, state: str, message: str) -> Plan:
    vm = world.store.get(ref, "VM")
    check_vm_operation(world.store, vm, operation)
    host, uuid = vm["resident_on"], vm["uuid"]

    async def do(run: Run) -> None:
        with told_as(MACHINE, About(vm=ref, host=host, operation=operation)):
            hypervisor = run.hypervisor(host)
            await (hypervisor.pause(uuid) if state == PAUSED else hypervisor.unpause(uuid))

    def finish(run: Run, txn: Txn) -> None:
        switch(world, txn, ref, state)
        post_vm(world, txn, message, vm.values)

    return Plan(steps=(Step(operation, do),), claims=(Claim(ref, operation),), finish=finish)


@plans("VM.clean_shutdown")
def plan_clean_shutdown(world: World, vm: str) -> Plan:
    """Ask the guest to power off and wait for it."""
    return _stop(world, vm, "clean_shutdown", _request_shutdown)


@plans("VM.hard_shutdown")
def plan_hard_shutdown(world: World, vm: str) -> Plan:
    """Pull the plug, whatever else is going on; of a suspended VM: throw its saved memory away."""
    return _stop(world, vm, "hard_shutdown", _power_off)


@plans("VM.shutdown")
def plan_shutdown(world: World, vm: str) -> Plan:
    """Shut the guest down; power the VM off if the guest does not answer or cannot receive the request."""
    return _stop(world, vm, "shutdown", _shut_down_or_power_off)


def _stop(world: World, ref: str, operation: str, how: Callable[[Run, Version], Awaitable[None]]) -> Plan:
    vm = world.store.get(ref, "VM")
    check_vm_operation(world.store, vm, operation)
    suspended = vm["power_state"] == SUSPENDED
    steps = discard_image(world, vm) if suspended else (Step(operation, lambda run: how(run, vm)),)

    def finish(run: Run, txn: Txn) -> None:
        if suspended:
            forget_image(world, run, txn, vm["suspend_VDI"])
        enter_halted(world, txn, ref)
        post_vm(world, txn, "VM_SHUTDOWN", vm.values)

    return Plan(
        steps=steps,
        claims=(Claim(ref, operation),),
        cancels=frozenset(OPERATIONS[operation].cancels),
        finish=finish,
    )


async def _request_shutdown(run: Run, vm: Version) -> None:
    with told_as(SHUTDOWN, About(vm=vm.ref, host=vm["resident_on"], operation="clean_shutdown")):
        await run.hypervisor(vm["resident_on"]).shutdown(vm["uuid"])


async def _power_off(run: Run, vm: Version) -> None:
    """A machine that ended by itself just now is as good as stopped."""
    with told_as(MACHINE, About(vm=vm.ref, host=vm["resident_on"], operation="hard_shutdown")):
        try:
            await run.hypervisor(vm["resident_on"]).destroy(vm["uuid"])
        except DriverError as error:
            if error.kind != "not_found":
                raise


async def _shut_down_or_power_off(run: Run, vm: Version) -> None:
    if vm["power_state"] == RUNNING:
        try:
            await run.hypervisor(vm["resident_on"]).shutdown(vm["uuid"])
        except DriverError as error:
            if error.kind == "failed":
                raise E.DOMAIN_BUILDER_ERROR("shutdown", "failed", error.text) from error
        else:
            return
    await _power_off(run, vm)


@plans("VM.clean_reboot")
def plan_clean_reboot(world: World, vm: str) -> Plan:
    """Ask the guest to reboot; the next boot uses the VM's present settings."""
    return _reboot(world, vm, "clean_reboot")


@plans("VM.hard_reboot_internal")
def plan_hard_reboot_internal(world: World, vm: str) -> Plan:
    """What members of a pool once said to each other for VM.hard_reboot."""
    return _reboot(world, vm, "hard_reboot")


@plans("VM.hard_reboot")
def plan_hard_reboot(world: World, vm: str) -> Plan:
    """Pull the plug and boot again on the same host."""
    return _reboot(world, vm, "hard_reboot")


def _reboot(world: World, ref: str, operation: str) -> Plan:
    vm = world.store.get(ref, "VM")
    check_vm_operation(world.store, vm, operation)
    host = vm["resident_on"]
    spec = domain_spec(world.store, vm, host)
    polite = operation == "clean_reboot"

    async def do(run: Run) -> None:
        hypervisor = run.hypervisor(host)
        about = About(vm=ref, host=host, operation=operation, size=memory_needed(vm))
        with told_as(SHUTDOWN if polite else MACHINE, about):
            ask = hypervisor.reboot if polite else hypervisor.reset
            run.results["domain"] = await ask(spec.uuid, spec)

    return Plan(
        steps=(Step(operation, do),),
        claims=(Claim(ref, operation),),
        cancels=frozenset(OPERATIONS[operation].cancels),
        finish=_rebooted(world, vm, host, "VM_REBOOTED"),
    )


def _rebooted(world: World, vm: Version, host: str, message: str) -> Callable[[Run, Txn], None]:
    def finish(run: Run, txn: Txn) -> None:
        enter_live(world, txn, vm.ref, host, run.results["domain"])
        boot_firmware(world.store, txn, vm.ref)
        post_vm(world, txn, message, vm.values)

    return finish


def plan_restart(world: World, ref: str, host: str, message: str, before: tuple[Step, ...] = ()) -> Plan:
    """Boot a VM again whose guest ended by itself (actions_after_*), after the steps `before`; not a call of the API.

    If that fails the VM is halted, which the comparison after a failed plan finds out.
    """
    vm = world.store.get(ref, "VM")
    check_vm_operation(world.store, vm, "hard_reboot", strict=False)
    spec = domain_spec(world.store, vm, host)

    async def boot(run: Run) -> None:
        run.results["hosts"] = (host,)
        with told_as(START, About(vm=ref, host=host, operation="clean_reboot", size=memory_needed(vm))):
            run.results["domain"] = await run.hypervisor(host).create(spec, False, run.progress)

    async def unboot(run: Run) -> None:
        await run.hypervisor(host).destroy(spec.uuid)

    return Plan(
        steps=(*before, Step("boot again", boot, unboot)),
        claims=(Claim(ref, "clean_reboot"),),
        finish=_rebooted(world, vm, host, message),
        asked=False,
    )
