"""Services under the names that xs-cim gave them, with the methods of the corresponding profiles.

Rule 1: these are views of the mode only, shown beside those of the profiles; a method here checks that the request
        concerns its service, and calls the profile's method.
Rule 2: resource settings of a switch are those of its uplinks (switch_uplinks.py).
Rule 3: a job belongs to the profile's service, whichever of the two was called.
"""

from __future__ import annotations

from collections.abc import Mapping

from cim_provider import jobs
from cim_provider.compat.xs_storage import StoragePoolManagementService
from cim_provider.mapping.association import Association, Relation, SameRecord
from cim_provider.mapping.method import Call, Result, method
from cim_provider.mapping.refusal import invalid
from cim_provider.mapping.rule import const
from cim_provider.mapping.view import View
from cim_provider.profiles import switch_management, switch_uplinks, virtual_system_management
from cim_provider.profiles.computer_system import HostComputerSystem
from cim_provider.profiles.host_service import HostedService, HostService, ServiceAffectsElement
from cim_provider.profiles.virtual_ethernet_switch import VirtualSwitch
from cim_provider.schema.objects import Instance, Path


@jobs.answers(jobs.DEFINITIONS)
async def define_switch(
    call: Call,
    system_settings: Instance | None,
    resource_settings: tuple[Instance, ...] | None,
    reference_configuration: Path | None,
) -> Result:
    """DefineSystem of a switch; 4 for settings of anything else."""
    if not switch_management.is_about_switch(system_settings):
        raise invalid("SystemSettings must be the settings of a switch")
    return await virtual_system_management.define_system(
        call, system_settings, resource_settings, reference_configuration
    )


@jobs.answers(jobs.SYSTEMS)
async def destroy_switch(call: Call, affected_system: Path | None) -> Result:
    """DestroySystem of a switch that connects no machine; 4 for a machine."""
    call.target(affected_system, "AffectedSystem", VirtualSwitch.cim)
    return await virtual_system_management.destroy_system(call, affected_system)


@jobs.answers(jobs.SYSTEMS)
async def modify_switch(call: Call, system_settings: Instance | None) -> Result:
    """ModifySystemSettings of a switch; 4 for settings of anything else."""
    if not switch_management.is_about_switch(system_settings):
        raise invalid("SystemSettings must be the settings of a switch")
    return await virtual_system_management.modify_system_settings(call, system_settings)


@jobs.answers(jobs.DEFINITIONS)
async def add_to_switch(
    call: Call, affected_configuration: Path | None, resource_settings: tuple[Instance, ...] | None
) -> Result:
    """AddResourceSettings to a switch; 4 for the configuration of a machine."""
    if not switch_uplinks.is_of_switch(affected_configuration):
        raise invalid("AffectedConfiguration must be that of a switch")
    return await virtual_system_management.add_resource_settings(call, affected_configuration, resource_settings)


@jobs.answers(jobs.SYSTEMS)
async def modify_in_switch(call: Call, resource_settings: tuple[Instance, ...] | None) -> Result:
    """ModifyResourceSettings of uplinks; 4 for settings of a machine."""
    if not resource_settings or any(switch_uplinks.shown_as_uplink(call, each) is None for each in resource_settings):
        raise invalid("ResourceSettings must be those of uplinks")
    return await switch_uplinks.modify(call, resource_settings)


@jobs.answers(jobs.SYSTEMS)
async def remove_from_switch(call: Call, resource_settings: tuple[Path, ...] | None) -> Result:
    """RemoveResourceSettings of uplinks; 4 for settings of a machine."""
    if not resource_settings:
        raise invalid("ResourceSettings is missing")
    return await switch_uplinks.remove(call, resource_settings)


class VirtualSwitchManagementService(
    HostService, cim="Xen_VirtualSwitchManagementService", of="host", registered=False
):
    """What defines, changes and destroys switches and their uplinks."""

    ElementName = const("Virtual switch management")

    DefineSystem = method(define_switch, out=("ResultingSystem", "Job"))
    DestroySystem = method(destroy_switch, out=("Job",))
    ModifySystemSettings = method(modify_switch, out=("Job",))
    AddResourceSettings = method(add_to_switch, out=("ResultingResourceSettings", "Job"))
    ModifyResourceSettings = method(modify_in_switch, out=("ResultingResourceSettings", "Job"))
    RemoveResourceSettings = method(remove_from_switch, out=("Job",))


VIEWS: tuple[type[View], ...] = (StoragePoolManagementService, VirtualSwitchManagementService)


def service_relations() -> Mapping[type[Association], tuple[Relation, ...]]:
    """The relations of the profiles, and those of the views of this module."""
    services = (StoragePoolManagementService, VirtualSwitchManagementService)
    return {
        HostedService: (*HostedService.relations, *(SameRecord(HostComputerSystem, each) for each in services)),
        ServiceAffectsElement: (
            *ServiceAffectsElement.relations,
            switch_management.switches_of(VirtualSwitchManagementService),
        ),
    }
