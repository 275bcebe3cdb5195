"""Crash dumps: the memory of a crashed VM, saved on a disk of the SR for crash dumps; and the dumps that hosts keep of
themselves.

Rule 1: a dump that cannot be made (no SR, no space) delays nothing: that is logged, and actions_after_crash says what
        happens to the VM.
Rule 2: records of hosts' dumps are made from what the hosts list, when they come up; nothing else makes them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final

from xenapi_core.drivers.api import CrashDump, DriverError
from xenapi_core.engine.failures import HOST, MACHINE, About, told_as
from xenapi_core.engine.host_memory import memory_needed
from xenapi_core.engine.messages import post_vm
from xenapi_core.engine.plan import Claim, Plan, Run, Step, World, plans
from xenapi_core.engine.plans.vm_power import plan_restart
from xenapi_core.engine.steps.images import ROOM
from xenapi_core.engine.steps.volumes import MAKING, note_usage, record_volume
from xenapi_core.engine.transition import enter_halted
from xenapi_core.errors import ApiError
from xenapi_core.model.device_lifecycle import sr_attached
from xenapi_core.model.lifecycle import check_vm_operation
from xenapi_core.store.api import Txn, Version

log = logging.getLogger(__name__)

CRASHED: Final = "VM_CRASHED"  # the message
RESTARTS: Final = frozenset({"restart", "coredump_and_restart", "rename_restart", "soft_reboot"})
DUMPS: Final = frozenset({"coredump_and_destroy", "coredump_and_restart"})


def crash_dump_sr(world: World, host: str) -> str | None:
    """Where dumps of VMs on `host` go: its own choice or the pool's; None if neither is there and attached."""
    record = world.store.find(host)
    choices = [] if record is None else [record["crash_dump_sr"]]
    choices += [pool["crash_dump_SR"] for pool in world.store.all("pool").values()]
    found = (sr for sr in choices if world.store.find(sr) is not None and sr_attached(world.store, sr))
    return next(found, None)


def plan_crashed(world: World, ref: str, host: str, domid: int) -> Plan:
    """What follows a crash of the guest of a VM in its domain `domid`, its actions_after_crash; not a call of the API.

    The machine is there until it is cleared away. If that fails the VM is Paused, as if it were kept.
    """
    vm = world.store.get(ref, "VM")
    if vm["domid"] != domid:
        return Plan(steps=(), asked=False)  # it has been answered, or somebody was faster
    action, sr = vm["actions_after_crash"], crash_dump_sr(world, host)
    before: tuple[Step, ...] = (_clear_away(vm, host),)
    if action in DUMPS and sr is not None:
        before = (_dump(world, vm, host, sr), *before)
    if action in RESTARTS:
        return plan_restart(world, ref, host, CRASHED, before)
    check_vm_operation(world.store, vm, "hard_shutdown", strict=False)

    def finish(run: Run, txn: Txn) -> None:
        enter_halted(world, txn, ref)
        post_vm(world, txn, CRASHED, vm.values)

    return Plan(steps=before, claims=(Claim(ref, "hard_shutdown"),), finish=finish, asked=False)


def _clear_away(vm: Version, host: str) -> Step:
    """End the machine whose guest crashed. One that ended meanwhile is as good as cleared away."""

    async def do(run: Run) -> None:
        run.results["hosts"] = (host,)
        with told_as(MACHINE, About(vm=vm.ref, host=host, operation="hard_shutdown")):
            try:
                await run.hypervisor(host).destroy(vm["uuid"])
            except DriverError as error:
                if error.kind != "not_found":
                    raise

    return Step("clear away", do)


def _dump(world: World, vm: Version, host: str, sr: str) -> Step:
    """Save the memory of `vm` into a new disk (rule 1). The disk and its record stay, whatever happens afterwards."""
    size, uuid, vdi = memory_needed(vm) + ROOM, world.ids.uuid(), world.ids.ref()

    async def save(run: Run) -> None:
        storage = run.storage(sr)
        run.results[MAKING, uuid] = sr
        await storage.create(uuid, size)
        try:
            await run.hypervisor(host).dump_core(vm["uuid"], uuid, run.progress)
            run.results[uuid] = await storage.volume(uuid)
            await note_usage(run, sr, storage)
        except BaseException:
            await storage.destroy(uuid)
            raise

    async def do(run: Run) -> None:
        run.results["hosts"] = (host,)
        try:
            await save(run)
        except (ApiError, DriverError) as error:
            log.warning("the memory of a VM that crashed is not saved: %s", error)
            return
        run.commit(lambda txn: record(run, txn))

    def record(run: Run, txn: Txn) -> None:
        values = {
            "name_label": "Crash dump", "name_description": f"Memory of VM {vm['uuid']} when it crashed",
            "type": "crashdump", "sharable": False, "read_only": False,
        }  # fmt: skip
        record_volume(world, run, txn, vdi, uuid, sr, values)
        txn.create("crashdump", world.ids.ref(), {"uuid": world.ids.uuid(), "VM": vm.ref, "VDI": vdi})

    return Step("dump memory", do)


def note_dumps(world: World, txn: Txn, host: str, dumps: Iterable[CrashDump]) -> None:
    """Make the records of a host's own dumps true (rule 2)."""
    known = {txn.get(ref)["filename"]: ref for ref in txn.related(host, "crashdumps")}
    there = {dump.name: dump for dump in dumps}
    for name, ref in known.items():
        if name not in there:
            txn.delete(ref)
    for name, dump in there.items():
        if name not in known:
            values = {"host": host, "timestamp": dump.timestamp, "size": dump.size, "filename": name}
            txn.create("host_crashdump", world.ids.ref(), {"uuid": world.ids.uuid(), **values})


@plans("host_crashdump.destroy")
def plan_destroy_host_dump(world: World, ref: str) -> Plan:
    """Remove the dump from the host; one that is gone there already is as good as removed. HOST_OFFLINE."""
    dump = world.store.get(ref, "host_crashdump")

    async def delete(run: Run) -> None:
        with told_as(HOST, About(host=dump["host"], operation="delete a crash dump")):
            try:
                await run.hypervisor(dump["host"]).delete_crash_dump(dump["filename"])
            except DriverError as error:
                if error.kind != "not_found":
                    raise

    return Plan(
        steps=(Step("delete dump", delete, deadline=None),),  # not interruptible: what is deleted is gone
        finish=lambda run, txn: txn.delete(ref),
    )
