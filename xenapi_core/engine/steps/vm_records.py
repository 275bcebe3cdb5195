"""Creating a VM from the records of another one, shared by clone, copy, snapshot, checkpoint and revert.

Rule 1: new volumes are made by steps, one per disk; all records appear together in the plan's finish.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from xenapi_core.engine.messages import post_vm
from xenapi_core.engine.plan import Claim, Plan, Run, Step, World
from xenapi_core.engine.specs import has_disk
from xenapi_core.engine.steps.volumes import record_volume, without_location
from xenapi_core.engine.transition import new_metrics
from xenapi_core.engine.vtpm_records import copy_vtpms
from xenapi_core.ids import NULL_REF
from xenapi_core.model.device_lifecycle import check_vdi_operation
from xenapi_core.model.lifecycle import NEVER_ASKED, OWN_REQUESTS
from xenapi_core.model.power import HALTED
from xenapi_core.store.api import Txn, Version

# What a copy of a VM does not take over from its source: state of the present run, and of the source's own life.
FRESH: Final[Mapping[str, Any]] = {
    "current_operations": {},
    "power_state": HALTED,
    "suspend_VDI": NULL_REF,
    "resident_on": NULL_REF,
    "scheduled_to_be_resident_on": NULL_REF,
    "domid": -1,
    "cpu_pool": NULL_REF,
    "tmem": {},
    "guest_metrics": NULL_REF,
    "last_booted_record": "",
    "requested_state": NEVER_ASKED,
    "requires_reboot": False,
    "reverted_to": NULL_REF,
    "blobs": {},
    "is_default_template": False,
    "is_snapshot_from_vmpp": False,
    "is_vmss_snapshot": False,
    "snapshot_metadata": "",
    "transportable_snapshot_id": "",
    "ha_always_run": False,
    "ha_restart_priority": "",
    "protection_policy": NULL_REF,
    "snapshot_schedule": NULL_REF,
    "appliance": NULL_REF,
}

EPOCH: Final = 0
# Keys of other_config that copies do not take over, beside OWN_REQUESTS.
SOURCES_OWN: Final = ("default_template", "xensource_internal", "mac_seed")


@dataclass(frozen=True)
class NewDisk:
    """A disk of the new VM: a copy of `source`, attached like `vbd`."""

    vbd: Version
    source: Version
    ref: str
    uuid: str
    sr: str
    step: Step


MakeStep = Callable[[Version, str], Step]
Check = Callable[[Version], None]


def disks_to_copy(world: World, vm: Version, ignore: frozenset[str] = frozenset()) -> list[tuple[Version, Version]]:
    """(VBD, VDI) of the disks that are copied with a VM; CDs keep their medium and are not."""
    vbds = map(world.store.get, world.store.related(vm.ref, "VBDs"))
    disks = (vbd for vbd in vbds if vbd["type"] == "Disk" and has_disk(vbd) and vbd["VDI"] not in ignore)
    return [(vbd, world.store.get(vbd["VDI"], "VDI")) for vbd in disks]


def new_disks(
    world: World,
    vm: Version,
    operation: str,
    make: MakeStep,
    sr: str | None = None,
    ignore: frozenset[str] = frozenset(),
    check: Check | None = None,
) -> list[NewDisk]:
    """The disks a copy of `vm` will have. Raises what forbids `operation` on one of them, or what `check` does."""
    disks = []
    for vbd, vdi in disks_to_copy(world, vm, ignore):
        if check is not None:
            check(vdi)
        else:
            check_vdi_operation(world.store, vdi, operation)
        uuid = world.ids.uuid()
        disks.append(NewDisk(vbd, vdi, world.ids.ref(), uuid, sr or vdi["SR"], make(vdi, uuid)))
    return disks


def disk_claims(disks: list[NewDisk], operation: str) -> tuple[Claim, ...]:
    return tuple(Claim(disk.source.ref, operation) for disk in disks)


def copied_vdi(vdi: Version) -> dict[str, Any]:
    """What a copy of a VDI takes over from its source (API reference, clone and snapshot of disks)."""
    taken = (
        "name_label", "name_description", "type", "sharable", "other_config", "xenstore_data", "on_boot",
        "allow_caching", "tags",
    )  # fmt: skip
    return {name: vdi[name] for name in taken} | {"read_only": False}


def snapshot_of(world: World, vdi: Version) -> dict[str, Any]:
    """What makes the copy of a VDI its snapshot. Changed blocks of a tracked disk are those of its snapshots too."""
    return {
        "is_a_snapshot": True, "snapshot_of": vdi.ref, "snapshot_time": world.clock.now(),
        "cbt_enabled": vdi["cbt_enabled"],
    }  # fmt: skip


def record_disks(world: World, run: Run, txn: Txn, disks: list[NewDisk], snapshot: bool) -> dict[str, str]:
    """VDI records of the volumes the steps made. Returns source VDI -> new VDI."""
    for disk in disks:
        values = copied_vdi(disk.source)
        if snapshot:
            values |= snapshot_of(world, disk.source)
        record_volume(world, run, txn, disk.ref, disk.uuid, disk.sr, values)
    return {disk.source.ref: disk.ref for disk in disks}


def record_vm(world: World, txn: Txn, source: Version, ref: str, **changes: Any) -> str:
    """A VM record like `source`, with metrics, guest metrics and trusted platform modules of its own. Returns its
    uuid."""
    uuid = world.ids.uuid()
    metrics = world.store.find(source["metrics"])
    installed = metrics["install_time"] if metrics is not None else EPOCH
    values = {
        **source.values,
        **FRESH,
        "uuid": uuid,
        "other_config": without_requests(source["other_config"]),
        "metrics": new_metrics(world, txn, install_time=installed),
        "guest_metrics": copy_guest_metrics(world, txn, source),
        "generation_id": _generation(world),
        **changes,
    }
    txn.create("VM", ref, values)
    copy_vtpms(world, txn, source.ref, ref)
    return uuid


def without_requests(other_config: Mapping[str, str]) -> dict[str, str]:
    """VM.other_config without what is asked of that VM alone."""
    return {key: value for key, value in other_config.items() if key not in OWN_REQUESTS}


def copy_guest_metrics(world: World, txn: Txn, source: Version) -> str:
    """A copy of the guest metrics of `source`, for its copy; NULL if they have not. Before the first boot it tells
    clients which features the guest has; a start clears it."""
    report = world.store.find(source["guest_metrics"])
    if report is None:
        return NULL_REF
    return txn.create("VM_guest_metrics", world.ids.ref(), {**report.values, "uuid": world.ids.uuid()})


def _generation(world: World) -> str:
    """A fresh generation id: a guest that sees it change knows that it is a copy."""
    high, low = (int(world.ids.uuid().replace("-", "")[:16], 16) - (1 << 63) for _ in range(2))
    return f"{high}:{low}"


def record_vbds(
    world: World, txn: Txn, source: Version, ref: str, copies: Mapping[str, str], owner: bool, drop: frozenset[str]
) -> None:
    """VBDs like those of `source`: disks point at their copies, CDs at the same medium. `drop`: VDIs left out."""
    for vbd in map(world.store.get, world.store.related(source.ref, "VBDs")):
        vdi = vbd["VDI"]
        if vdi in drop:
            continue
        other_config = dict(vbd["other_config"])
        if owner and vdi in copies:
            other_config["owner"] = ""
        _record_device(world, txn, vbd, VM=ref, VDI=copies.get(vdi, vdi), other_config=other_config)


def record_vifs(world: World, txn: Txn, source: Version, ref: str, mac_seed: str | None) -> None:
    """VIFs like those of `source`; with a `mac_seed`, with MACs of their own where the old ones were generated."""
    for vif in map(world.store.get, world.store.related(source.ref, "VIFs")):
        changes: dict[str, Any] = {"VM": ref}
        if mac_seed is not None:
            changes |= {"MAC": world.ids.mac(mac_seed, vif["device"]), "MAC_autogenerated": True}
        _record_device(world, txn, vif, **changes)


def _record_device(world: World, txn: Txn, like: Version, **changes: Any) -> None:
    values = {
        **like.values,
        "uuid": world.ids.uuid(),
        "currently_attached": False,
        "reserved": False,
        "current_operations": {},
        "device": "" if like.cls == "VBD" else like["device"],
        "metrics": NULL_REF,
        **changes,
    }
    txn.create(like.cls, world.ids.ref(), values)


def copy_of(world: World, source: Version, name: str, operation: str, disks: list[NewDisk], **values: Any) -> Plan:
    """The plan of a new VM like `source`, with these disks, and with `values` of its own."""
    ref, mac_seed = world.ids.ref(), world.ids.uuid()

    def finish(run: Run, txn: Txn) -> None:
        copies = record_disks(world, run, txn, disks, snapshot=False)
        record_vm(
            world,
            txn,
            source,
            ref,
            name_label=name or source["name_label"],
            other_config=_other_config(source, mac_seed),
            is_a_snapshot=False,
            snapshot_of=NULL_REF,
            snapshot_time=EPOCH,
            snapshot_info={"power-state-at-snapshot": source["power_state"]},
            parent=NULL_REF,
            **values,
        )
        record_vbds(world, txn, source, ref, copies, owner=True, drop=frozenset())
        record_vifs(world, txn, source, ref, mac_seed)
        post_vm(world, txn, "VM_CLONED", txn.get(ref), f"VM '{source['name_label']}' was cloned to '{name}'")

    return Plan(
        steps=tuple(disk.step for disk in disks),
        claims=(Claim(source.ref, operation), *disk_claims(disks, operation)),
        result=lambda run: ref,
        finish=finish,
    )


def _other_config(source: Version, mac_seed: str) -> dict[str, Any]:
    kept = {key: value for key, value in without_requests(source["other_config"]).items() if key not in SOURCES_OWN}
    kept["mac_seed"] = mac_seed
    if source["is_a_template"] and not source["is_a_snapshot"]:
        kept["base_template_name"] = source["name_label"]
    return kept


__all__ = [
    "EPOCH", "NewDisk", "copied_vdi", "copy_guest_metrics", "copy_of", "disk_claims", "disks_to_copy", "new_disks",
    "record_disks", "record_vbds", "record_vifs", "record_vm", "snapshot_of", "without_location",
    "without_requests",
]  # fmt: skip
