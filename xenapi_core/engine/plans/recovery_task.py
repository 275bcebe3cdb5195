"""Introducing the storage of a lost pool for recovery, and removing it again (DR_task).

Theory of operation
1. A task introduces the repositories of a white list that a probe finds and this pool does not know yet, connects them
   and scans them, so that copies of databases on them can be opened. All of them come in, or none.
2. A repository that a recovered VM needs belongs to the task no more (vm_recover.py); the others go with the task.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from xenapi_core.drivers.storage import Found
from xenapi_core.engine.failures import About, told_as
from xenapi_core.engine.plan import Plan, Run, Step, World, plans
from xenapi_core.engine.plans.database_copy import this_pool
from xenapi_core.engine.plans.sr_life import connect_step
from xenapi_core.engine.steps.database_disk import NEEDED
from xenapi_core.engine.steps.sr_records import (
    REPOSITORY,
    check_device_config,
    forget_repository,
)
from xenapi_core.errors import ApiError, E
from xenapi_core.model.hosts import check_live, is_live
from xenapi_core.model.infrastructure_lifecycle import check_sr_operation
from xenapi_core.model.storage_types import TYPES
from xenapi_core.store.api import Txn, Version


@dataclass(frozen=True)
class _Brought:
    """A repository that comes in: its reference here, and the connections to it."""

    found: Found
    ref: str
    steps: tuple[Step, ...]


@plans("DR_task.create")
def plan_create(world: World, type: str, device_config: Mapping[str, str], whitelist: Collection[str]) -> Plan:
    """OPERATION_NOT_ALLOWED for a type that holds no databases; SR_UNKNOWN_DRIVER; what a probe and a plug say."""
    kind = TYPES.get(type)
    if kind is None or not any(sm["type"] == type for sm in world.store.all("SM").values()):
        raise E.SR_UNKNOWN_DRIVER(type)
    if not kind.features >= NEEDED | {"SR_PROBE"}:
        raise E.OPERATION_NOT_ALLOWED(f"Storage of type {type} holds no databases.")
    check_device_config(device_config)
    master = check_live(world.store, this_pool(world.store)["master"])
    members = list(world.store.all("host").values()) if kind.shared else [master]
    connected = [member for member in members if is_live(world.store, member)]
    task = world.ids.ref()

    async def look(run: Run) -> None:
        with told_as(REPOSITORY, About(host=master.ref, operation="probe")):
            found = await run.backend(type).probe(master["uuid"], device_config)
        new = [one for one in found if one.repository in whitelist and not _is_known(world, one)]
        run.results["brought"] = brought = []
        for one in new:
            ref = world.ids.ref()
            steps = tuple(connect_step(ref, member, one.configuration) for member in connected)
            brought.append(_Brought(one, ref, steps))

    async def connect(run: Run) -> None:
        done: list[_Brought] = []
        try:
            for one in run.results["brought"]:
                done.append(one)
                run.open_storage(one.ref, type, one.found.repository)
                for step in one.steps:
                    await step.do(run)
        except BaseException:
            await _disconnect(run, type, done)
            raise

    async def disconnect(run: Run) -> None:
        await _disconnect(run, type, run.results["brought"])

    async def record(run: Run) -> None:
        def write(txn: Txn) -> None:
            txn.create("DR_task", task, {"uuid": world.ids.uuid()})
            for one in run.results["brought"]:
                _record(world, txn, one, type, task, members, connected)

        run.commit(write)

    async def forget(run: Run) -> None:
        def write(txn: Txn) -> None:
            for one in run.results["brought"]:
                forget_repository(world, run, txn, one.ref)
            txn.delete(task)

        run.commit(write)

    async def scan(run: Run) -> None:
        for one in run.results["brought"]:
            await run.perform("SR.scan", one.ref)

    return Plan(
        steps=(
            Step("look for storage", look),
            Step("connect", connect, disconnect),
            Step("record", record, forget, weight=0.0, deadline=None),
            Step("scan", scan),
        ),
        result=lambda run: task,
    )


def _is_known(world: World, found: Found) -> bool:
    return world.store.by_uuid("SR", found.repository) is not None


async def _disconnect(run: Run, type: str, brought: list[_Brought]) -> None:
    for one in reversed(brought):
        run.open_storage(one.ref, type, one.found.repository)
        for step in one.steps:
            if step.undo is not None:
                await step.undo(run)
        run.drop_storage(one.ref)


def _record(
    world: World, txn: Txn, one: _Brought, type: str, task: str, members: list[Version], connected: list[Version]
) -> None:
    name = one.found.name or f"Storage {one.found.repository}"
    values: dict[str, Any] = {
        "uuid": one.found.repository, "name_label": name, "type": type, "content_type": TYPES[type].content,
        "shared": TYPES[type].shared, "introduced_by": task,
    }  # fmt: skip
    txn.create("SR", one.ref, values)
    for member in members:
        pbd: dict[str, Any] = {"uuid": world.ids.uuid(), "host": member.ref, "SR": one.ref}
        pbd |= {"device_config": dict(one.found.configuration), "currently_attached": member in connected}
        txn.create("PBD", world.ids.ref(), pbd)


@plans("DR_task.destroy")
def plan_destroy(world: World, task: str) -> Plan:
    """The repositories that are still the task's are disconnected and forgotten; their contents stay.

    CANNOT_DESTROY_DISASTER_RECOVERY_TASK [reason]: then nothing has changed.
    """
    world.store.get(task, "DR_task")
    repositories = world.store.related(task, "introduced_SRs")
    pbds = [pbd for sr in repositories for pbd in world.store.related(sr, "PBDs")]
    attached = [pbd for pbd in pbds if world.store.get(pbd)["currently_attached"]]

    async def check(run: Run) -> None:
        for sr in repositories:
            check_sr_operation(world.store, world.store.get(sr, "SR"), "forget")

    def finish(run: Run, txn: Txn) -> None:
        for sr in repositories:
            forget_repository(world, run, txn, sr)
        txn.delete(task)

    steps = (*(_unplug_step(pbd) for pbd in attached), Step("check", check, weight=0.0, deadline=None))
    return Plan(steps=steps, finish=finish)


def _unplug_step(pbd: str) -> Step:
    async def unplug(run: Run) -> None:
        try:
            await run.perform("PBD.unplug", pbd)
        except ApiError as error:
            if error.code == "TASK_CANCELLED":
                raise
            raise E.CANNOT_DESTROY_DISASTER_RECOVERY_TASK(str(error)) from error

    async def plug(run: Run) -> None:
        await run.perform("PBD.plug", pbd)

    return Step("disconnect", unplug, plug)
