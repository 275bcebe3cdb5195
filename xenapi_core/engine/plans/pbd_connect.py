"""Connecting hosts to repositories and disconnecting them (API reference, devices)."""

from __future__ import annotations

from xenapi_core.engine.failures import About, told_as
from xenapi_core.engine.ha_rules import check_unplugging
from xenapi_core.engine.plan import Claim, Plan, Run, Step, World, plans
from xenapi_core.engine.plans.sr_life import connect_step
from xenapi_core.engine.steps.sr_records import REPOSITORY, check_idle
from xenapi_core.errors import ApiError, E
from xenapi_core.model.hosts import check_live
from xenapi_core.model.infrastructure_lifecycle import check_sr_operation
from xenapi_core.store.api import Txn, Version


@plans("PBD.plug")
def plan_plug(world: World, pbd: str) -> Plan:
    """Connect a host to a repository; nothing happens if it is."""
    record = world.store.get(pbd, "PBD")
    if record["currently_attached"]:
        return Plan(steps=())
    sr = world.store.get(record["SR"], "SR")
    check_sr_operation(world.store, sr, "plug")
    if not sr["shared"]:
        for other in map(world.store.get, world.store.related(sr.ref, "PBDs")):
            if other["currently_attached"]:
                raise E.SR_NOT_SHARABLE(sr.ref, other["host"])
    host = check_live(world.store, record["host"])

    async def open_it(run: Run) -> None:
        run.open_storage(sr.ref, sr["type"], sr["uuid"])

    async def count(run: Run) -> None:
        with told_as(REPOSITORY, About(sr=sr.ref, host=host.ref, operation="plug")):
            run.results["usage"] = await run.storage(sr.ref).usage()

    def finish(run: Run, txn: Txn) -> None:
        size, used = run.results["usage"]
        txn.update(pbd, currently_attached=True)
        txn.update(sr.ref, physical_size=size, physical_utilisation=used)

    return Plan(
        steps=(
            Step("open", open_it, deadline=None),
            connect_step(sr.ref, host, record["device_config"]),
            Step("read sizes", count),
        ),
        claims=(Claim(sr.ref, "plug"),),
        finish=finish,
    )


@plans("PBD.unplug")
def plan_unplug(world: World, pbd: str) -> Plan:
    """Disconnect a host from a repository that neither it nor its VMs use; nothing happens if it is not connected."""
    record = world.store.get(pbd, "PBD")
    if not record["currently_attached"]:
        return Plan(steps=())
    sr, host = world.store.get(record["SR"], "SR"), world.store.get(record["host"], "host")
    check_sr_operation(world.store, sr, "unplug")
    used = _in_use(world, record)
    if used:
        raise E.VDI_IN_USE(*used)
    check_unplugging(world.store, record)
    _check_idle(world, record)
    step = connect_step(sr.ref, host, record["device_config"])

    async def disconnect(run: Run) -> None:
        try:
            storage = run.open_storage(sr.ref, sr["type"], sr["uuid"])
        except ApiError as error:
            if error.code != "SR_UNKNOWN_DRIVER":
                raise
            return  # what nobody serves is connected nowhere
        run.results["disconnected"] = True
        with told_as(REPOSITORY, About(sr=sr.ref, host=host.ref, operation="unplug")):
            await storage.detach(host["uuid"])

    async def connect(run: Run) -> None:
        if run.results.get("disconnected"):
            await step.do(run)

    return Plan(
        steps=(Step("disconnect", disconnect, connect),),
        claims=(Claim(sr.ref, "unplug"),),
        finish=lambda run, txn: txn.update(pbd, currently_attached=False),
    )


def _in_use(world: World, pbd: Version) -> list[str]:
    """VDIs of the repository that the PBD's host has attached to itself, or a VM on it has, or is about to."""
    used = []
    for vdi in world.store.related(pbd["SR"], "VDIs"):
        if pbd["host"] in world.store.get(vdi)["static_on"]:
            used.append(vdi)
            continue
        for vbd in map(world.store.get, world.store.related(vdi, "VBDs")):
            vm = world.store.find(vbd["VM"])
            if vm is None or not (vbd["currently_attached"] or vbd["reserved"]):
                continue
            if pbd["host"] in (vm["resident_on"], vm["scheduled_to_be_resident_on"]):
                used.append(vdi)
                break
    return used


def _check_idle(world: World, pbd: Version) -> None:
    """What check_idle raises, if no other host would reach what is being worked on."""
    others = (world.store.get(other) for other in world.store.related(pbd["SR"], "PBDs"))
    if not any(other["currently_attached"] for other in others if other.ref != pbd.ref):
        check_idle(world, pbd["SR"])
