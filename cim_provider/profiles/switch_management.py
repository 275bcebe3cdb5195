"""DSP1097: switches made, changed and destroyed by the virtual system management service, as it does with machines.

Rule 1: a switch is a network without cards; its ports come with the interfaces of machines, and its uplinks with cards
        (pool_resources.py). So there are no resource settings to give, and no switch is a copy of another.
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
from cim_provider.profiles.job_relations import AffectedJobElement, made_by_jobs
from cim_provider.profiles.pool_configuration import destroy_network
from cim_provider.profiles.resource_allocation import hosts_of_network
from cim_provider.profiles.setting_input import IDENTITY, Given
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


async def define(call: Call, settings: Instance, more: bool) -> Result:
    """DefineSystem of a switch. `more`: resource settings or a reference were given (rule 1)."""
    given = Given(settings, {}, _OWN)
    if more or given.take("VLANConnection"):
        raise RefusedError(Kind.NOT_SUPPORTED, "a switch is defined by its own settings alone, and has no uplinks yet")
    if given.take("VirtualSystemType") not in (None, SWITCH_TYPE) or given.take("EVBMode") not in (None, _VEB):
        raise invalid("no switch is of that type")
    fields = {field: given.take(name) or "" for name, field in _FIELDS.items()}
    given.end()
    jobs.require(call, "network.create")
    record: dict[str, Any] = {**fields, "MTU": 0, "other_config": {}, "bridge": ""}
    record["name_label"] = record["name_label"] or "New switch"

    async def body(work: Work) -> Mapping[str, Any]:
        network = await work.call("network.create", record)
        await work.undo("network.destroy", network)
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
