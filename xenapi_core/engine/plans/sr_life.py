"""Creating, destroying and forgetting storage repositories (API reference, devices)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xenapi_core.engine.failures import About, told_as
from xenapi_core.engine.plan import Claim, Plan, Run, Step, World, plans
from xenapi_core.engine.plans.storage_cache import check_no_cache
from xenapi_core.engine.steps.sr_records import (
    REPOSITORY,
    check_device_config,
    forget_repository,
)
from xenapi_core.engine.steps.volumes import in_time
from xenapi_core.errors import E
from xenapi_core.model.hosts import check_live, is_live
from xenapi_core.model.infrastructure_lifecycle import check_sr_operation
from xenapi_core.model.storage_types import TYPES, features
from xenapi_core.store.api import Txn, Version


@plans("SR.create")
def plan_create(
    world: World,
    host: str,
    device_config: Mapping[str, str],
    physical_size: int,
    name_label: str,
    name_description: str,
    type: str,
    content_type: str,
    shared: bool,
    sm_config: Mapping[str, str],
) -> Plan:
    """Make a repository as `host` sees the storage, and connect it there, or on all hosts if it is shared."""
    _check_type(world, type)
    _check_size(physical_size)
    check_device_config(device_config)
    maker = check_live(world.store, host)
    if shared and type in TYPES and not TYPES[type].shared:
        raise E.VALUE_NOT_SUPPORTED("shared", "true", f"Storage of type {type} belongs to one host")
    members = list(world.store.all("host").values()) if shared else [maker]
    members.sort(key=lambda member: member.ref != host)
    connected = [member for member in members if is_live(world.store, member)]
    ref, uuid = world.ids.ref(), world.ids.uuid()

    async def open_it(run: Run) -> None:
        run.open_storage(ref, type, uuid)

    async def close_it(run: Run) -> None:
        run.drop_storage(ref)

    async def count(run: Run) -> None:
        with told_as(REPOSITORY, About(sr=ref, host=host, operation="create")):
            run.results["usage"] = await run.storage(ref).usage()

    def finish(run: Run, txn: Txn) -> None:
        size, used = run.results["usage"]
        values = {
            "uuid": uuid, "name_label": name_label, "name_description": name_description, "type": type,
            "content_type": content_type or (TYPES[type].content if type in TYPES else ""), "shared": shared,
            "sm_config": dict(sm_config), "physical_size": size, "physical_utilisation": used,
        }  # fmt: skip
        txn.create("SR", ref, values)
        for member in members:
            pbd: dict[str, Any] = {"uuid": world.ids.uuid(), "host": member.ref, "SR": ref}
            pbd |= {"device_config": dict(device_config), "currently_attached": member in connected}
            txn.create("PBD", world.ids.ref(), pbd)

    making = [_make_step(ref, uuid, type, maker, device_config, physical_size)] if _formats(type) else []
    return Plan(
        steps=(
            *making,
            Step("open", open_it, close_it, deadline=None),
            *(connect_step(ref, member, device_config) for member in connected),
            Step("read sizes", count),
        ),
        result=lambda run: ref,
        finish=finish,
    )


@plans("SR.make")
def plan_make(
    world: World,
    host: str,
    device_config: Mapping[str, str],
    physical_size: int,
    name_label: str,
    name_description: str,
    type: str,
    content_type: str,
    sm_config: Mapping[str, str],
) -> Plan:
    """Make a repository and leave it unconnected. The result is its uuid, for SR.introduce."""
    _check_type(world, type)
    _check_size(physical_size)
    check_device_config(device_config)
    maker = check_live(world.store, host)
    if not _formats(type):
        raise E.UNIMPLEMENTED_IN_SM_BACKEND("SR.make")
    uuid = world.ids.uuid()
    step = _make_step(world.ids.ref(), uuid, type, maker, device_config, physical_size)
    return Plan(steps=(step,), result=lambda run: uuid)


def _make_step(ref: str, uuid: str, type: str, maker: Version, config: Mapping[str, str], size: int) -> Step:
    """A repository on bare storage; undone by erasing it."""

    async def make(run: Run) -> None:
        with told_as(REPOSITORY, About(sr=ref, host=maker.ref, operation="create", size=size)):
            await run.backend(type).create(uuid, maker["uuid"], config, size)

    async def unmake(run: Run) -> None:
        await run.backend(type).destroy(uuid, maker["uuid"], config)

    return Step("make repository", make, unmake, weight=4)


def connect_step(sr: str, host: Version, config: Mapping[str, str]) -> Step:
    """A host's connection to a repository whose driver is open; undone by disconnecting it."""

    async def connect(run: Run) -> None:
        with told_as(REPOSITORY, About(sr=sr, host=host.ref, operation="plug")):
            await run.storage(sr).attach(host["uuid"], config)

    async def disconnect(run: Run) -> None:
        await run.storage(sr).detach(host["uuid"])

    return Step("connect", connect, disconnect)


def _formats(type: str) -> bool:
    return "SR_FORMAT" in features(type)


def _check_type(world: World, type: str) -> None:
    """SR_UNKNOWN_DRIVER for a type no SM record has."""
    if not any(sm["type"] == type for sm in world.store.all("SM").values()):
        raise E.SR_UNKNOWN_DRIVER(type)


def _check_size(size: int) -> None:
    if size < 0:
        raise E.INVALID_VALUE("physical_size", str(size))


@plans("SR.destroy")
def plan_destroy(world: World, sr: str) -> Plan:
    """Erase an empty, disconnected repository from its storage, and drop its records."""
    record = world.store.get(sr, "SR")
    check_sr_operation(world.store, record, "destroy")
    check_no_cache(world, sr)
    pbds = [world.store.get(pbd, "PBD") for pbd in world.store.related(sr, "PBDs")]
    ways = [pbd for pbd in pbds if is_live(world.store, world.store.get(pbd["host"], "host"))]
    if not ways:
        raise E.HOST_OFFLINE(pbds[0]["host"])
    host, config = world.store.get(ways[0]["host"], "host"), ways[0]["device_config"]

    async def erase(run: Run) -> None:
        with told_as(REPOSITORY, About(sr=sr, host=host.ref, operation="destroy")):
            async with in_time():
                await run.backend(record["type"]).destroy(record["uuid"], host["uuid"], config)

    return Plan(
        # Not interruptible: what was erased cannot be brought back, so its records must go too.
        steps=(Step("erase repository", erase, deadline=None),),
        claims=(Claim(sr, "destroy"),),
        finish=lambda run, txn: forget_repository(world, run, txn, sr),
    )


@plans("SR.forget")
def plan_forget(world: World, sr: str) -> Plan:
    """Drop the records of a disconnected repository, its disks and connections; its data stays."""
    check_sr_operation(world.store, world.store.get(sr, "SR"), "forget")
    check_no_cache(world, sr)
    return Plan(
        steps=(),
        claims=(Claim(sr, "forget"),),
        finish=lambda run, txn: forget_repository(world, run, txn, sr),
    )
