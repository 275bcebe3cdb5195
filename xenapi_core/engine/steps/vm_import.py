"""Importing VMs from an export: new disks, their contents, and then all records at once.

Theory of operation
1. An export is a list of records whose references are names of their own ("Ref:7"). What is not in it does not exist
   for it: such references become null.
2. Volumes are made and filled by steps, records appear in the finish: whatever fails leaves nothing behind.
3. New VMs have uuids, MACs and a mac_seed of their own; a restored one keeps the exported. Disks are always new.
4. SRs and networks of the export are found again in this pool: networks by uuid, then by name; one that is not there is
   made, without interfaces. Media of drives are found by uuid, then by name; otherwise the drive is empty.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any, Final

from xenapi_core.engine.exported import Exported, Fill, Import
from xenapi_core.engine.failures import STORAGE, About, told_as
from xenapi_core.engine.plan import Plan, Run, Step, World
from xenapi_core.engine.steps.network_rules import free_name
from xenapi_core.engine.steps.vdi_transfer import WITHIN
from xenapi_core.engine.steps.vm_records import EPOCH, FRESH, without_requests
from xenapi_core.engine.steps.volumes import check_sr, create_step, note_usage, record_volume
from xenapi_core.engine.transition import attach_to_memory, new_metrics
from xenapi_core.errors import ApiError, E
from xenapi_core.ids import NULL_REF
from xenapi_core.model.power import HALTED, SUSPENDED
from xenapi_core.model.schema import Class
from xenapi_core.model.storage_types import features
from xenapi_core.model.types import MapType, Mismatch, RefType, SetType, Type
from xenapi_core.store.api import Txn

_DEVICE: Final[Mapping[str, Any]] = {
    "currently_attached": False, "reserved": False, "current_operations": {}, "metrics": NULL_REF,
}  # fmt: skip
# What an imported disk takes over from the exported one.
_OF_DISKS: Final = (
    "name_label", "name_description", "type", "sharable", "read_only", "other_config", "xenstore_data", "on_boot",
    "allow_caching", "tags",
)  # fmt: skip


def plan_import(
    world: World,
    objects: Mapping[str, Exported],
    sr: str | None,
    restore: bool,
    force: bool,
    fill: Fill | None,
    places: Mapping[str, str] = MappingProxyType({}),
    known: Mapping[str, str] = MappingProxyType({}),
    replaced: Collection[str] = (),
) -> Plan:
    """VMs like the exported ones; the result is their references.

    `sr`: for all disks but those in `places` (exported name -> SR); without it the pool's default SR. `known`: names
    that the export has for objects of this pool. `replaced`: VMs that will be gone. `fill` writes the disks' bytes;
    None (records alone): the disks must be in this pool already, found by uuid, else
    IMPORT_ERROR_ATTACHED_DISKS_NOT_FOUND unless `force`.
    IMPORT_ERROR for what makes no sense; VM_TO_IMPORT_IS_NOT_NEWER_VERSION for a restored VM that is still here.
    """
    store, work = world.store, Import(objects, restore, known=dict(known))
    vms = work.of("VM")
    if not vms:
        raise E.IMPORT_ERROR("The export holds no VM.")
    for vm in vms:
        existing = store.by_uuid("VM", str(vm.values.get("uuid", ""))) if restore else None
        if existing is not None and existing.ref not in replaced:
            version = vm.values.get("version", "0")
            raise E.VM_TO_IMPORT_IS_NOT_NEWER_VERSION(existing.ref, str(existing["version"]), str(version))
        work.known[vm.name] = world.ids.ref()
    _find_media(world, work)
    steps: list[Step] = []
    for vdi in _attached_disks(work):
        if fill is None:
            found = store.by_uuid("VDI", str(vdi.values.get("uuid", "")))
            if found is None and not force:
                raise E.IMPORT_ERROR_ATTACHED_DISKS_NOT_FOUND()
            if found is not None:
                work.known[vdi.name] = found.ref
            continue
        target = places.get(vdi.name) or sr or next(iter(store.all("pool").values()))["default_SR"]
        record = check_sr(world, target)
        if not {"VDI_CREATE", "VDI_COPY"} <= features(record["type"]):
            raise E.SR_OPERATION_NOT_SUPPORTED(target)
        size = _value(world, "VDI", vdi, "virtual_size")
        if size <= 0:
            raise E.IMPORT_ERROR("A disk of the export has no size.")
        uuid = world.ids.uuid()
        work.disks[vdi.name] = (uuid, target, size)
        work.known[vdi.name] = world.ids.ref()
        steps.append(create_step(world, target, uuid, size, work.known[vdi.name]))
    if fill is not None:
        steps.append(_fill_step(work, fill))
    for one in objects.values():  # what the finish will read is judged now
        if one.cls in ("VM", "VBD", "VIF"):
            _values(world, work, one)

    def finish(run: Run, txn: Txn) -> None:
        _record(world, work, run, txn)

    return Plan(steps=tuple(steps), result=lambda run: tuple(work.known[vm.name] for vm in vms), finish=finish)


def _fill_step(work: Import, fill: Fill) -> Step:
    """The bytes of the disks. The volumes they went into are undone by the steps that made them."""

    async def do(run: Run) -> None:
        with told_as(STORAGE, About(operation="import", sr=next((sr for _, sr, _ in work.disks.values()), NULL_REF))):
            await fill(run, work)
            for uuid, sr, _ in work.disks.values():
                run.results[uuid] = await run.storage(sr).volume(uuid)
                await note_usage(run, sr, run.storage(sr))

    return Step("receive disks", do, weight=20, deadline=WITHIN)


def _attached_disks(work: Import) -> list[Exported]:
    """Disks (not media) that the VMs of the export use, and their saved memory."""
    names = [vbd.values.get("VDI") for vbd in work.of("VBD") if vbd.values.get("type") == "Disk"]
    names += [vm.values.get("suspend_VDI") for vm in work.of("VM")]
    wanted = dict.fromkeys(name for name in names if isinstance(name, str))
    return [work.objects[name] for name in wanted if name in work.objects and work.objects[name].cls == "VDI"]


def _find_media(world: World, work: Import) -> None:
    """Networks, and media of drives, that this pool has (rule 4)."""
    store = world.store
    for network in work.of("network"):
        name, uuid = str(network.values.get("name_label", "")), str(network.values.get("uuid", ""))
        found = store.by_uuid("network", uuid)
        named = store.by_name("network", name) if name else ()
        if found is not None or named:
            work.known[network.name] = found.ref if found is not None else sorted(named)[0]
    media = {vbd.values.get("VDI") for vbd in work.of("VBD") if vbd.values.get("type") == "CD"}
    for vdi in work.of("VDI"):
        if vdi.name not in media:
            continue
        found = store.by_uuid("VDI", str(vdi.values.get("uuid", "")))
        named = store.by_name("VDI", str(vdi.values.get("name_label", "")))
        isos = [ref for ref in sorted(named) if store.get(store.get(ref)["SR"])["content_type"] == "iso"]
        if found is not None or isos:
            work.known[vdi.name] = found.ref if found is not None else isos[0]


def _value(world: World, cls: str, one: Exported, name: str) -> Any:
    """One field. IMPORT_ERROR if it has another type."""
    kind = world.schema[cls].by_name[name]
    if one.internal:
        return one.values[name]
    try:
        return kind.type.accept(one.values[name])
    except (Mismatch, ApiError, KeyError) as error:
        raise E.IMPORT_ERROR(f"{cls}.{name} of {one.name} makes no sense: {error}") from error


def _values(world: World, work: Import, one: Exported) -> dict[str, Any]:
    """The stored fields of a record that the export has, with references of this pool."""
    cls: Class = world.schema[one.cls]
    return {
        known.name: _with_local_refs(known.type, _value(world, one.cls, one, known.name), work.known)
        for known in cls.fields
        if known.inverse is None and known.computed is None and not known.internal and known.name in one.values
    }


def _with_local_refs(kind: Type, value: Any, known: Mapping[str, str]) -> Any:
    """A value with its references exchanged (rule 1)."""
    if isinstance(kind, RefType):
        return known.get(value, NULL_REF)
    if isinstance(kind, SetType) and isinstance(kind.item, RefType):
        return tuple(known[ref] for ref in value if ref in known)
    if isinstance(kind, MapType) and (isinstance(kind.key, RefType) or isinstance(kind.value, RefType)):
        pairs = (
            (_with_local_refs(kind.key, key, known), _with_local_refs(kind.value, item, known))
            for key, item in value.items()
        )
        return {key: item for key, item in pairs if NULL_REF not in (key, item)}
    return value


def _record(world: World, work: Import, run: Run, txn: Txn) -> None:
    """All records (rules 3 and 4)."""
    bridges = {network["bridge"] for network in world.store.all("network").values()}
    for network in work.of("network"):
        if network.name not in work.known:
            work.known[network.name] = _new_network(world, txn, network, bridges)
    for name, (uuid, sr, _) in work.disks.items():
        values = _values(world, work, work.objects[name])
        taken: dict[str, Any] = {key: values[key] for key in _OF_DISKS if key in values}
        record_volume(world, run, txn, work.known[name], uuid, sr, taken)
    for name in work.disks:
        values = _values(world, work, work.objects[name])
        if values.get("is_a_snapshot") and values["snapshot_of"] != NULL_REF:
            _copy_fields(txn, work.known[name], values, ("is_a_snapshot", "snapshot_of", "snapshot_time"))
    for vm in work.of("VM"):
        _record_vm(world, work, txn, vm)
    for vbd in work.of("VBD"):
        values = _values(world, work, vbd)
        gone = values.get("VDI", NULL_REF) == NULL_REF
        if gone and values.get("type") == "Disk":
            continue  # forced: its disk is not here
        values |= {**_DEVICE, "uuid": world.ids.uuid(), "device": "", "empty": gone}
        txn.create("VBD", world.ids.ref(), values)
    for vif in work.of("VIF"):
        values = {**_values(world, work, vif), **_DEVICE, "uuid": world.ids.uuid()}
        if not work.restore:
            seed = txn.get(values["VM"])["other_config"]["mac_seed"]
            values |= {"MAC": world.ids.mac(seed, values["device"]), "MAC_autogenerated": True}
        txn.create("VIF", world.ids.ref(), values)
    for vm in work.of("VM"):
        ref = work.known[vm.name]
        made = txn.get(ref, "VM")
        if made["power_state"] == SUSPENDED and not made["is_a_snapshot"]:
            attach_to_memory(txn, ref)


def _copy_fields(txn: Txn, ref: str, values: Mapping[str, Any], names: tuple[str, ...]) -> None:
    txn.update(ref, **{name: values[name] for name in names if name in values})


def _record_vm(world: World, work: Import, txn: Txn, vm: Exported) -> None:
    values = _values(world, work, vm)
    given = {**values, **FRESH, "metrics": new_metrics(world, txn, install_time=EPOCH)}
    image = values.get("suspend_VDI", NULL_REF)
    suspended = values.get("power_state") == SUSPENDED and image != NULL_REF
    given |= {"power_state": SUSPENDED, "suspend_VDI": image} if suspended else {"power_state": HALTED}
    other_config = without_requests(values.get("other_config", {}))
    if not work.restore:
        given["uuid"] = world.ids.uuid()
        other_config["mac_seed"] = world.ids.uuid()
    other_config.setdefault("mac_seed", world.ids.uuid())
    given |= {"other_config": other_config, "affinity": NULL_REF, "groups": ()}
    if given.get("snapshot_of", NULL_REF) == NULL_REF:
        given |= {"is_a_snapshot": False, "snapshot_time": EPOCH}
    txn.create("VM", work.known[vm.name], given)


def _new_network(world: World, txn: Txn, network: Exported, bridges: set[str]) -> str:
    """A network without interfaces, named like the exported one. Its bridge is added to `bridges`."""
    bridge, ref = free_name("xapi", bridges), world.ids.ref()
    bridges.add(bridge)
    names = {name: str(network.values.get(name, "")) for name in ("name_label", "name_description")}
    return txn.create("network", ref, {"uuid": world.ids.uuid(), "bridge": bridge, "MTU": 1500, **names})
