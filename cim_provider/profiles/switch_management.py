"""DSP1097: the virtual system management service creates, changes and destroys switches as it does machines.

Rule 1: a switch is a network; its ports come with the interfaces of machines, so the resource settings of a new switch
        are those of its uplinks (switch_uplinks.py). No switch is a copy of another.
Rule 2: a switch that connects machines is not destroyed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cim_provider import jobs
from cim_provider.jobs import Work
from cim_provider.mapping.association import Owned
from cim_provider.mapping.method import Call, Result
from cim_provider.mapping.refusal import Kind, RefusedError, invalid
from cim_provider.mapping.subject import Subject
from cim_provider.methods.given import Given
from cim_provider.methods.setting_terms import IDENTITY
from cim_provider.profiles import switch_uplinks
from cim_provider.profiles.job_relations import AffectedJobElement, made_by_jobs
from cim_provider.profiles.pool_configuration import destroy_network
from cim_provider.profiles.resource_allocation import hosts_of_network
from cim_provider.profiles.system_virtualization import SWITCH_TYPE
from cim_provider.profiles.virtual_ethernet_switch import VirtualSwitch, VirtualSwitchSettingData
from cim_provider.schema.objects import CIMV2, Instance, Path

SETTINGS = (VirtualSwitchSettingData.cim, "CIM_VirtualEthernetSwitchSettingData")

# Properties that are fields of the network.
_FIELDS = {"ElementName": "name_label", "Description": "name_description"}
_OWN = IDENTITY | {"AssociatedResourcePool", "Bridge"}  # a new switch gets its own
_VEB = 2


def is_about_switch(settings: Instance | None) -> bool:
    """Whether SystemSettings are those of a switch."""
    return settings is not None and settings.classname in SETTINGS


async def define(
    call: Call, settings: Instance, resources: tuple[Instance, ...], reference: Path | None = None
) -> Result:
    """DefineSystem of a switch, with the uplinks that `resources` are settings of (rule 1)."""
    given = Given(settings, {}, _OWN)
    if reference is not None:
        raise RefusedError(Kind.NOT_SUPPORTED, "no switch is a copy of another")
    if given.take("VLANConnection"):
        raise RefusedError(Kind.NOT_SUPPORTED, "the VLAN of a switch is that of its uplinks")
    if given.take("VirtualSystemType") not in (None, SWITCH_TYPE) or given.take("EVBMode") not in (None, _VEB):
        raise invalid("no switch is of that type")
    fields = {field: given.take(name) or "" for name, field in _FIELDS.items()}
    given.end()
    uplinks = [switch_uplinks.read_new(call, each, None) for each in resources]
    jobs.require(call, "network.create")
    switch_uplinks.require(call, uplinks)
    record: dict[str, Any] = {**fields, "MTU": 0, "other_config": {}, "bridge": ""}
    record["name_label"] = record["name_label"] or "New switch"

    async def body(work: Work) -> Mapping[str, Any]:
        work.expected = 1 + 2 * len(uplinks)
        network = await work.call("network.create", record)
        await work.undo("network.destroy", network)
        for uplink in uplinks:
            await switch_uplinks.make(work, network, uplink)
        await work.made(network)
        return {"ResultingSystem": call.path_of(VirtualSwitch.cim, network)}

    return await call.jobs.several(call, jobs.DEFINITIONS, "CIM.DefineSystem", body)


async def destroy(call: Call, network: Subject) -> Result:
    """DestroySystem of a switch (rule 2), with the VLANs that connect it."""
    body = destroy_network(call, network)
    return await call.jobs.several(call, jobs.SYSTEMS, "CIM.DestroySystem", body, about=network["uuid"])


async def modify(call: Call, settings: Instance) -> Result:
    """ModifySystemSettings of a switch: its name and description; NULL, and what is as it is, stays."""
    identity = settings.values.get("InstanceID")
    found = call.find(Path.of(VirtualSwitchSettingData.cim, {"InstanceID": identity}, CIMV2)) if identity else None
    if found is None or found.version is None:
        raise invalid("SystemSettings has no InstanceID of a switch")
    network, given = found.version, Given(settings, found.values)
    asked = {field: value for name, field in _FIELDS.items() if (value := given.take(name)) is not None}
    given.end()
    jobs.require(call, *(f"network.set_{field}" for field in asked))

    async def body(work: Work) -> Mapping[str, Any]:
        work.expected = len(asked)
        for field, value in asked.items():
            await work.call(f"network.set_{field}", network.ref, value)
            await work.undo(f"network.set_{field}", network.ref, network.values[field])
        return {}

    return await call.jobs.several(call, jobs.SYSTEMS, "CIM.ModifySystemSettings", body, about=network.values["uuid"])


AffectedJobElement.also(made_by_jobs(VirtualSwitch))


def switches_of(service: Any) -> Owned:
    """A service (left) and the switches at its host (right)."""
    return Owned(service, VirtualSwitch, hosts_of_network, reads=("PIF", "pool"))
