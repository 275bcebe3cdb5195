"""Methods of xs-cim's management services beyond the DMTF's: copy a machine, make it a template, find possible hosts,
and change the pool of hosts.

Rule 1: these methods have no job among their outputs, so they answer when they are done; but for CopySystem and
        AddResourceSetting, whose work takes long.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cim_provider import jobs
from cim_provider.compat import xs_devices
from cim_provider.compat.xs_codes import CODES
from cim_provider.jobs import Work
from cim_provider.mapping.method import Call, Result, method
from cim_provider.mapping.refusal import Kind, RefusedError, invalid
from cim_provider.mapping.subject import NULL_REF, Subject
from cim_provider.methods import define_system as plan
from cim_provider.methods.system_input import System, read_system
from cim_provider.profiles import virtual_system_management
from cim_provider.profiles.computer_system import ComputerSystem, HostComputerSystem
from cim_provider.profiles.configuration import STATE
from cim_provider.profiles.resource_pool import StoragePool
from cim_provider.profiles.virtual_system import VirtualSystemSettingData
from cim_provider.schema.objects import CIMV2, Instance, Path
from xenapi_core.errors import E

# ---- machines


@jobs.answers(jobs.DEFINITIONS)
async def copy_system(
    call: Call, system_settings: Instance | None, storage_pool: Path | None, reference_configuration: Path | None
) -> Result:
    """Xen_VirtualSystemManagementService.CopySystem: a machine with full copies of the disks of a machine, template or
    snapshot, in the given pool of storage, else in the default one, else each where it is. The job tells the machine.
    """
    reference = call.target(reference_configuration, "ReferenceConfiguration", VirtualSystemSettingData.cim)
    sr = NULL_REF if storage_pool is None else call.target(storage_pool, "StoragePool", StoragePool.cim).ref
    if storage_pool is None:
        sr = next((str(pool["default_SR"]) for pool in call.source.all("pool").values()), NULL_REF)
    if system_settings is not None:
        now = virtual_system_management.settings_at(call, f"Xen:{reference['uuid']}", VirtualSystemSettingData.cim)
        asked = virtual_system_management.of_class(system_settings, "SystemSettings")
        system = read_system(asked, now or {}, True)
    else:
        system = System()
    jobs.require(call, "VM.copy", "VM.provision")
    name = str(system.fields.get("name_label", reference["name_label"]))

    async def body(work: Work) -> Mapping[str, Any]:
        work.expected = 3 + len(system.fields)
        vm = await plan.copy_machine(work, reference.version, name, sr)
        copy = work.source.find(vm)
        if copy is None:
            raise E.HANDLE_INVALID("VM", vm)
        await plan.change_system(work, copy, system)
        return {"ResultingSystem": call.path_of(ComputerSystem.cim, vm)}

    return await call.jobs.several(call, jobs.DEFINITIONS, "CIM.CopySystem", body, about=reference["uuid"])


@jobs.answers(jobs.DEFINITIONS)
async def add_resource_setting(call: Call, affected_system: Path | None, resource_setting: Instance | None) -> Result:
    """Xen_VirtualSystemManagementService.AddResourceSetting: the same as AddResourceSettings with one setting. A
    machine that runs gets it at once."""
    vm = call.target(affected_system, "AffectedSystem", ComputerSystem.cim)
    if resource_setting is None:
        raise invalid("ResourceSetting is missing")
    state = f"/{STATE}" if vm["power_state"] == "Running" else ""
    configuration = Path.of(VirtualSystemSettingData.cim, {"InstanceID": f"Xen:{vm['uuid']}{state}"}, CIMV2)
    added = await xs_devices.add_resource_settings(call, configuration, (resource_setting,))
    (made,) = added.out.get("ResultingResourceSettings") or (None,)
    out = {"Job": added.out.get("Job"), "ResultingResourceSetting": made}
    return Result(added.value, {name: value for name, value in out.items() if value is not None}, added.why)


@jobs.answers(CODES)
async def convert_to_template(call: Call, system: Path | None) -> Result:
    """Xen_VirtualSystemManagementService.ConvertToXenTemplate; 2 unless the machine is off."""
    vm = call.target(system, "System", ComputerSystem.cim)
    await call.source.call(call.principal, "VM.set_is_a_template", vm.ref, True)
    path = call.path_of(VirtualSystemSettingData.cim, vm.ref)
    return Result(jobs.DONE, {} if path is None else {"ResultingTemplate": path})


@jobs.answers(CODES)
async def find_possible_hosts(call: Call, system: Path | None) -> Result:
    """Xen_VirtualSystemManagementService.FindPossibleHostsToRunOn: the hosts on which a machine could start."""
    vm = call.target(system, "System", ComputerSystem.cim)
    hosts = await call.source.call(call.principal, "VM.get_possible_hosts", vm.ref)
    paths = (call.path_of(HostComputerSystem.cim, host) for host in hosts)
    return Result(jobs.DONE, {"PossibleHosts": tuple(path for path in paths if path is not None)})


# ---- the pool of hosts


async def _one_message(call: Call, label: str, name: str, *arguments: Any) -> Result:
    """A message that takes time, as a job that is waited for."""
    jobs.require(call, name)

    async def body(work: Work) -> Mapping[str, Any]:
        await work.run(name, *arguments)
        return {}

    return await call.jobs.several(call, CODES, f"CIM.{label}", body)


@jobs.answers(CODES)
async def create_pool(call: Call, name: str | None, description: str | None) -> Result:
    """Xen_HostPool.Create: name and describe the pool that the server has anyway; a NULL changes nothing."""
    jobs.require(call, "pool.set_name_label", "pool.set_name_description")
    for field, value in (("name_label", name), ("name_description", description)):
        if value is not None:
            await call.source.call(call.principal, f"pool.set_{field}", call.subject.ref, value)
    return Result(jobs.DONE)


@jobs.answers(CODES)
async def remove_host(call: Call, host: Path | None) -> Result:
    """Xen_HostPool.RemoveHost: the host leaves the pool, which forgets what only it had."""
    subject = call.target(host, "Host", HostComputerSystem.cim)
    return await _one_message(call, "RemoveHost", "pool.eject", subject.ref)


@jobs.answers(CODES)
async def enable_high_availability(call: Call) -> Result:
    """Xen_HostPool.EnableHighAvailability, with the heartbeat on the default pool of storage; 2 if there is none."""
    sr: Subject | None = call.subject.follow("default_SR")
    if sr is None:
        raise RefusedError(Kind.FAILED, "there is no default pool of storage for the heartbeat")
    return await _one_message(call, "EnableHighAvailability", "pool.enable_ha", (sr.ref,), {})


@jobs.answers(CODES)
async def disable_high_availability(call: Call) -> Result:
    """Xen_HostPool.DisableHighAvailability."""
    return await _one_message(call, "DisableHighAvailability", "pool.disable_ha")


@jobs.answers(CODES)
async def set_default_storage_pool(call: Call, storage_pool: Path | None) -> Result:
    """Xen_HostPool.SetDefaultStoragePool."""
    sr = call.target(storage_pool, "StoragePool", StoragePool.cim)
    await call.source.call(call.principal, "pool.set_default_SR", call.subject.ref, sr.ref)
    return Result(jobs.DONE)


MACHINES = {
    "CopySystem": method(copy_system, out=("ResultingSystem", "Job")),
    "AddResourceSetting": method(add_resource_setting, out=("ResultingResourceSetting", "Job")),
    "ConvertToXenTemplate": method(convert_to_template, out=("ResultingTemplate",)),
    "FindPossibleHostsToRunOn": method(find_possible_hosts, out=("PossibleHosts",)),
}
HOSTS = {
    "Create": method(create_pool),
    "RemoveHost": method(remove_host),
    "EnableHighAvailability": method(enable_high_availability),
    "DisableHighAvailability": method(disable_high_availability),
    "SetDefaultStoragePool": method(set_default_storage_pool),
}
