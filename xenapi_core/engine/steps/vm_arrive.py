"""Receiving a VM from another pool: an import whose targets are given, and which resumes the saved memory.

Rule 1: the records appear before the machine does, because a domain is built from records; if it cannot go on, they are
        removed again, and the volumes with them.
Rule 2: a VM that moves keeps uuid and MACs, also those of its snapshots; a copy gets its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from xenapi_core.engine.exported import Exported, Fill
from xenapi_core.engine.placement import check_memory, check_receiving
from xenapi_core.engine.plan import Plan, Run, Step, World
from xenapi_core.engine.steps.vm_import import plan_import
from xenapi_core.engine.steps.vm_leave import forget_machine
from xenapi_core.engine.steps.volumes import forget_volume
from xenapi_core.errors import E
from xenapi_core.model.power import SUSPENDED
from xenapi_core.store.api import Txn


@dataclass(frozen=True)
class Journey:
    """The sender's instructions beside the records: names are those of the export, references are ours.

    disks: VDI -> SR ("": wherever the pool likes); networks: VIF -> network.
    """

    vm: str
    host: str
    running: bool
    copied: bool
    disks: Mapping[str, str]
    networks: Mapping[str, str]


def plan_arrive(world: World, objects: Mapping[str, Exported], journey: Journey, fill: Fill) -> Plan:
    """The result is the reference of the VM. HANDLE_INVALID for places that are not here; what plan_import says; why
    the host takes no VM now, HOST_NOT_ENOUGH_FREE_MEMORY included."""
    store = world.store
    machine = objects.get(journey.vm)
    if machine is None or machine.cls != "VM":
        raise E.IMPORT_ERROR("The VM that is to arrive is not among the records.")
    host = store.get(journey.host, "host").ref
    places = {name: store.get(sr, "SR").ref for name, sr in journey.disks.items() if sr}
    networks = {name: store.get(network, "network").ref for name, network in journey.networks.items()}
    found = _readdressed(objects, journey, networks)
    if journey.running:
        check_receiving(world, host, "vm_migrate")
        check_memory(world, _sizes(machine), host)
    known = {network: network for network in networks.values()}
    whole = plan_import(world, found, None, not journey.copied, True, fill, places, known)

    async def record(run: Run) -> None:
        run.commit(lambda txn: whole.finish(run, txn))

    async def forget(run: Run) -> None:
        def write(txn: Txn) -> None:
            for vm in whole.result(run):
                for vbd in txn.related(vm, "VBDs"):
                    forget_volume(run, txn, txn.get(vbd)["VDI"]) if txn.get(vbd)["type"] == "Disk" else None
                image = txn.get(vm)["suspend_VDI"]
                forget_machine(txn, vm)
                forget_volume(run, txn, image)

        run.commit(write)

    async def resume(run: Run) -> None:
        await run.perform("VM.resume_on", whole.result(run)[0], host, False, True)

    steps = (*whole.steps, Step("record", record, forget, weight=0.0, deadline=None))
    if journey.running:
        steps = (*steps, Step("restore memory", resume, weight=3))
    return Plan(steps=steps, result=lambda run: whole.result(run)[0])


def _readdressed(objects: Mapping[str, Exported], journey: Journey, networks: Mapping[str, str]) -> dict[str, Exported]:
    """The records with networks of this pool, and with the state that the VM arrives in; the VM first."""
    found = {journey.vm: objects[journey.vm], **objects}
    if journey.running:
        found[journey.vm] = _with_values(found[journey.vm], power_state=SUSPENDED)
    for name, network in networks.items():
        if name in found and found[name].cls == "VIF":
            found[name] = _with_values(found[name], network=network)
    return {name: one for name, one in found.items() if one.cls != "network"}


def _with_values(one: Exported, **values: Any) -> Exported:
    return replace(one, values={**one.values, **values})


def _sizes(machine: Exported) -> dict[str, int]:
    """What memory_needed reads. IMPORT_ERROR."""
    try:
        return {name: int(machine.values[name]) for name in ("memory_static_max", "memory_overhead")}
    except (KeyError, TypeError, ValueError):
        raise E.IMPORT_ERROR("The VM does not say how much memory it has.") from None
