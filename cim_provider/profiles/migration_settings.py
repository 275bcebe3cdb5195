"""DSP1081: changes that a migration makes on arrival: settings of the machine, the storage of its disks, its networks.

Rule 1: settings change before the machine leaves, or while it is off between two hosts (Restart); so a failure finds
        the machine as it was.
Rule 2: a disk whose settings name another pool, and an interface that names another network, change on the way: that
        is VM.migrate_send, which moves running machines. The host may be the one the machine is on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cim_provider.jobs import Work
from cim_provider.mapping.method import Call
from cim_provider.mapping.refusal import invalid
from cim_provider.mapping.subject import Subject
from cim_provider.methods import define_system as plan
from cim_provider.methods.disk_input import Disk
from cim_provider.methods.nic_input import Nic
from cim_provider.methods.resource_input import Asked
from cim_provider.methods.setting_terms import SettingId
from cim_provider.methods.system_input import System, read_system
from cim_provider.profiles.virtual_system_management import (
    VSSD,
    Change,
    make_change,
    of_class,
    read_change,
    settings_at,
)
from cim_provider.schema.objects import Instance

if TYPE_CHECKING:
    from xenapi_core.store.api import Version


@dataclass
class Arrival:
    """What changes. `disks`: VDI -> SR, `networks`: VIF -> network, all by reference."""

    system: System = field(default_factory=System)
    changes: list[Change] = field(default_factory=list)
    disks: dict[str, str] = field(default_factory=dict)
    networks: dict[str, str] = field(default_factory=dict)

    @property
    def on_the_way(self) -> bool:
        """Whether rule 2 applies."""
        return bool(self.disks or self.networks)


def read(call: Call, vm: Subject, system: Instance | None, resources: tuple[Instance, ...] | None) -> Arrival:
    """RefusedError for what cannot be, CimError NOT_FOUND for settings there are not."""
    found = Arrival()
    if system is not None:
        identity = of_class(system, "NewSystemSettingData").values.get("InstanceID") or f"Xen:{vm['uuid']}"
        named, now = SettingId.of(str(identity)), settings_at(call, identity, VSSD)
        if named is None or named.vm != vm["uuid"] or now is None:
            raise invalid("NewSystemSettingData is of another machine")
        found.system = read_system(system, now, new=False)
    for each in resources or ():
        _read_resource(call, vm, each, found)
    return found


def _read_resource(call: Call, vm: Subject, instance: Instance, found: Arrival) -> None:
    """Add what one of NewResourceSettingData asks for."""
    sr, plain = None, instance
    named = SettingId.of(str(instance.values.get("InstanceID") or ""))
    vbd = call.source.by_uuid("VBD", named.part) if named is not None else None
    vdi = call.source.find(vbd.values["VDI"]) if vbd is not None else None
    if instance.values.get("PoolID") and vdi is not None and vbd is not None and vbd.values["type"] == "Disk":
        pool = str(instance.values["PoolID"])
        sr = call.source.by_uuid("SR", pool.rpartition("/")[2].lower())
        if sr is None:
            raise invalid(f"there is no pool {pool}")
        plain = Instance(instance.classname, {**instance.values, "PoolID": None})
    machine, device, asked = read_change(call, plain)
    if machine.ref != vm.ref:
        raise invalid("NewResourceSettingData is of another machine")
    if sr is not None and vdi is not None and vdi.values["SR"] != sr.ref:
        found.disks[vdi.ref] = sr.ref
    if isinstance(asked.resource, Nic) and asked.resource.network is not None and device is not None:
        if asked.resource.network != device.values["network"]:
            found.networks[device.ref] = asked.resource.network
        asked = Asked(replace(asked.resource, network=None), asked.id)
    found.changes.append((machine, device, asked))


async def apply(work: Work, vm: Version, arrival: Arrival) -> None:
    """Make the changes that were requested with a migration, what cannot be undone last (rule 1)."""
    await plan.change_system(work, vm, arrival.system)
    for machine, device, asked in arrival.changes:
        await make_change(work, machine, device, asked)
    for _, device, asked in arrival.changes:  # what cannot be taken back comes last
        if isinstance(asked.resource, Disk) and asked.resource.size is not None and device is not None:
            await plan.grow_disk(work, device, asked.resource.size)


def maps(arrival: Arrival) -> tuple[Mapping[str, Any], ...]:
    """The arguments of VM.migrate_send after `live`: vdi_map, vif_map, options."""
    return arrival.disks, arrival.networks, {}
