"""DSP1042 virtual system management: defines, changes and destroys machines by their setting data.

Rule 1: a request is read, and refused if it cannot be met, before there is a job; the calls are in define_system.py.
Rule 2: the InstanceID of settings says which configuration is meant: the Defined one is the record, the State one what
        the running machine has now. What the Xen-API has only one value for changes in both.
Rule 3: a new machine gets its uuid from the pool; a VirtualSystemIdentifier that a client proposes is not used.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cim_provider import jobs
from cim_provider.jobs import Work
from cim_provider.mapping.association import SameRecord
from cim_provider.mapping.method import Call, Result, method
from cim_provider.mapping.refusal import Kind, RefusedError, invalid
from cim_provider.mapping.rule import const
from cim_provider.mapping.subject import Subject
from cim_provider.methods import define_device
from cim_provider.methods import define_system as plan
from cim_provider.methods.disk_input import Disk
from cim_provider.methods.nic_input import Nic
from cim_provider.methods.resource_input import Asked, Device, Memory, Processors, read_resource
from cim_provider.methods.setting_terms import STATE, SettingId
from cim_provider.methods.system_input import System, read_system
from cim_provider.profiles import switch_management, switch_uplinks
from cim_provider.profiles.computer_system import HostComputerSystem
from cim_provider.profiles.host_service import HostedService, HostService, ServiceAffectsElement, machines_of
from cim_provider.profiles.job_relations import OwningJobElement, jobs_of
from cim_provider.profiles.system_virtualization import ElementCapabilities, VirtualSystemManagementCapabilities
from cim_provider.profiles.virtual_ethernet_switch import VirtualSwitch
from cim_provider.schema.objects import CIMV2, NOT_FOUND, CimError, Instance, Path

if TYPE_CHECKING:
    from xenapi_core.bridge.source import Source
    from xenapi_core.store.api import Version

VSSD = "Xen_VirtualSystemSettingData"
SHOWN_AS = {"VBD": "Xen_DiskSettingData", "VIF": "Xen_NetworkPortSettingData", **define_device.SHOWN_AS}
RESOURCES = ("Xen_ProcessorSettingData", "Xen_MemorySettingData", *SHOWN_AS.values())
WORDS = {"Processor": "Xen_ProcessorSettingData", "Memory": "Xen_MemorySettingData"}


# What references and InstanceIDs name


def settings_at(call: Call, instance_id: Any, *classes: str) -> Mapping[str, Any] | None:
    """The rendition of the setting data with that InstanceID; None if there is none."""
    for name in classes:
        found = call.find(Path.of(name, {"InstanceID": instance_id}, CIMV2))
        if found is not None:
            return found.values
    return None


def _machine(call: Call, found: SettingId) -> Version:
    """The VM that setting data belongs to. CimError NOT_FOUND."""
    vm = call.source.by_uuid("VM", found.vm)
    if vm is None:
        raise CimError(NOT_FOUND, f"there is no machine {found.vm}")
    return vm


def _configuration(call: Call, path: Path | None, name: str) -> tuple[SettingId, Version]:
    """The configuration a reference names, and its VM. RefusedError, CimError NOT_FOUND."""
    subject = call.target(path, name, VSSD)
    found = SettingId.of(str(path.key("InstanceID"))) if path is not None else None
    if found is None:
        raise invalid(f"{name} is no configuration")
    return found, subject.version


def _device(call: Call, found: SettingId) -> Version | None:
    """The VBD, VIF, console ... whose settings an InstanceID names; None for settings of what is part of the VM
    record."""
    if found.part in WORDS:
        return None
    device = _of_uuid(call.source, found.part)
    if device is None or device.values["VM"] != _machine(call, found).ref:
        raise CimError(NOT_FOUND, f"there are no settings {found.part} of machine {found.vm}")
    return device


def _of_uuid(source: Source, uuid: str) -> Version | None:
    """The device with that uuid."""
    return next((version for cls in SHOWN_AS if (version := source.by_uuid(cls, uuid)) is not None), None)


# DefineSystem


@jobs.answers(jobs.DEFINITIONS)
async def define_system(
    call: Call,
    system_settings: Instance | None,
    resource_settings: tuple[Instance, ...] | None,
    reference_configuration: Path | None,
) -> Result:
    """CIM_VirtualSystemManagementService.DefineSystem.

    With a ReferenceConfiguration (of a template, a snapshot or a halted machine) the new machine is a clone of it in
    which the given settings count; resource settings with an InstanceID of the reference change that resource, others
    add one. Without, what no setting says is as in define_system.NEW_MACHINE. Settings of a switch make one
    (switch_management.py).
    """
    if system_settings is not None and switch_management.is_about_switch(system_settings):
        return await switch_management.define(call, system_settings, resource_settings or (), reference_configuration)
    reference: Version | None = None
    now: Mapping[str, Any] = {}
    if reference_configuration is not None:
        found, reference = _configuration(call, reference_configuration, "ReferenceConfiguration")
        now = settings_at(call, f"Xen:{found.vm}", VSSD) or {}
    jobs.require(call, *(("VM.clone", "VM.provision") if reference is not None else ("VM.create",)))
    system = read_system(of_class(system_settings, "SystemSettings"), now, True) if system_settings else System()
    asked = [_read_new(call, each, reference) for each in resource_settings or ()]
    _require(call, [each for each in asked if each.id is None])
    _check_single(asked)
    if reference is None:
        record = plan.new_record(system, asked)
    else:
        _check_on_reference(reference, asked)

    async def body(work: Work) -> Mapping[str, Any]:
        work.expected = 2 + len(system.fields) + 2 * len(asked)
        if reference is None:
            vm = await plan.create_machine(work, record)
        else:
            name = system.fields.get("name_label", reference.values["name_label"])
            vm = await plan.clone_machine(work, reference, name)
            await plan.change_system(work, _present(work, vm), system)
        for each in asked:
            await _define_resource(work, vm, reference, each)
        return {"ResultingSystem": call.path_of("Xen_ComputerSystem", vm)}

    return await call.jobs.several(call, jobs.DEFINITIONS, "CIM.DefineSystem", body)


def of_class(instance: Instance, name: str) -> Instance:
    """RefusedError unless it is setting data of a machine as a whole."""
    if instance.classname not in (VSSD, "CIM_VirtualSystemSettingData"):
        raise invalid(f"{name} is a {instance.classname}")
    return instance


def _present(work: Work, ref: str, cls: str = "VM") -> Version:
    """The newest version of a record that this job works on. HANDLE_INVALID if somebody else removed it."""
    version = work.source.find(ref)
    if version is None:
        raise jobs.gone(cls, ref)
    return version


def _read_new(call: Call, instance: Instance, reference: Version | None) -> Asked:
    """One of DefineSystem's ResourceSettings. Only an InstanceID of the reference says which resource is meant."""
    found = SettingId.of(str(instance.values.get("InstanceID") or ""))
    same = reference is not None and found is not None and found.vm == reference.values["uuid"] and found.part
    now = settings_at(call, instance.values["InstanceID"], *RESOURCES) if same else None
    if now is None or found is None:
        asked = Asked(read_resource(instance, {}, call.source, new=True))
        plan.check_new(call.source, asked)
        return asked
    resource, device = read_resource(instance, now, call.source, new=False), _device(call, found)
    if isinstance(resource, Disk) and device is not None:
        plan.check_disk_change(call.source, device, resource)
    return Asked(resource, found)


def _check_single(asked: Iterable[Asked]) -> None:
    """RefusedError for settings that are there twice: a machine has one set of processors, and one of memory."""
    for kind in (Processors, Memory):
        if sum(isinstance(each.resource, kind) for each in asked) > 1:
            raise invalid(f"there are several settings of {kind.__name__.lower()}")


def _check_on_reference(reference: Version, asked: list[Asked]) -> None:
    """RefusedError for what a clone of the reference cannot be."""
    plan.affinity_field(asked)
    for each in asked:
        new = each.id is None
        if isinstance(each.resource, Processors):
            plan.processor_fields(reference.values, each.resource, new)
        elif isinstance(each.resource, Memory):
            plan.memory_fields(reference.values, each.resource, new)


async def _define_resource(work: Work, vm: str, reference: Version | None, asked: Asked) -> None:
    resource, record = asked.resource, _present(work, vm)
    if isinstance(resource, Processors | Memory):
        if reference is not None:
            await _set_built_in(work, record, resource, live=False, new=asked.id is None)
        return
    if asked.id is None:
        await plan.add(work, record, resource, plug=False)
        return
    original = _of_uuid(work.source, asked.id.part)
    if isinstance(resource, Device) and original is not None:
        if define_device.counterpart(work.source, vm, original) is None:
            await define_device.add(work, vm, define_device.like(original))
        return
    device = _counterpart(work, vm, asked.id)
    await _change_device(work, record, device, resource)
    if isinstance(resource, Disk) and resource.size is not None:
        await plan.grow_disk(work, device, resource.size)


async def _set_built_in(work: Work, vm: Version, resource: Processors | Memory, live: bool, new: bool = False) -> None:
    """`new`: what is not said follows from what is, as for a new machine."""
    if isinstance(resource, Processors):
        if new:
            fields = plan.processor_fields(vm.values, resource, new=True)
            resource = replace(resource, most=fields.get("VCPUs_max"), at_startup=fields.get("VCPUs_at_startup"))
        await plan.set_processors(work, vm, resource, live)
    else:
        if new:
            static_min, top, low, high = plan.memory_fields(vm.values, resource, new=True).values()
            resource = Memory(top, low, high, static_min, resource.host)
        await plan.set_memory(work, vm, resource, live)


def _counterpart(work: Work, vm: str, found: SettingId) -> Version:
    """The device of a clone that is at the place of the reference's device."""
    source = work.source
    original = source.by_uuid("VBD", found.part) or source.by_uuid("VIF", found.part)
    if original is not None:
        inverse, place = ("VBDs", "userdevice") if original.cls == "VBD" else ("VIFs", "device")
        for device in map(source.find, source.related(vm, inverse)):
            if device is not None and device.values[place] == original.values[place]:
                return device
    raise jobs.gone("VM" if original is None else original.cls, found.part)


# DestroySystem


@jobs.answers(jobs.SYSTEMS)
async def destroy_system(call: Call, affected_system: Path | None) -> Result:
    """CIM_VirtualSystemManagementService.DestroySystem: a machine that is not Halted is switched off first; the disks
    that go with it (define_system.py, rule 3) and are used by no other machine are destroyed too. 5 while something
    forbids that, such as a start. A switch is destroyed if no machine is connected to it."""
    vm = call.target(affected_system, "AffectedSystem", "Xen_ComputerSystem", VirtualSwitch.cim)
    if vm.version.cls == VirtualSwitch.of:
        return await switch_management.destroy(call, vm)
    jobs.require(call, "VM.destroy", "VM.hard_shutdown", "VDI.destroy")
    blocked = [name for name in ("destroy", "hard_shutdown") if name in vm["blocked_operations"]]
    if blocked:
        raise RefusedError(Kind.INVALID_STATE, f"{blocked[0]} is blocked for this machine")
    first = "destroy" if vm["power_state"] == "Halted" else "hard_shutdown"
    await call.source.call(call.principal, "VM.assert_operation_valid", vm.ref, first)

    async def body(work: Work) -> Mapping[str, Any]:
        disks = plan.own_disks(work.source, vm.ref)
        work.expected = 2 + len(disks)
        if _present(work, vm.ref).values["power_state"] != "Halted":
            await work.run("VM.hard_shutdown", vm.ref)
        await plan.destroy_with_disks(work, vm.ref, disks)
        return {}

    return await call.jobs.several(call, jobs.SYSTEMS, "CIM.DestroySystem", body, about=vm["uuid"])


# Changes


@jobs.answers(jobs.SYSTEMS)
async def modify_system_settings(call: Call, system_settings: Instance | None) -> Result:
    """CIM_VirtualSystemManagementService.ModifySystemSettings: NULL, and what is as it is, stays."""
    if system_settings is None:
        raise invalid("SystemSettings is missing")
    if switch_management.is_about_switch(system_settings):
        return await switch_management.modify(call, system_settings)
    given = of_class(system_settings, "SystemSettings")
    found = SettingId.of(str(given.values.get("InstanceID") or ""))
    now = settings_at(call, given.values["InstanceID"], VSSD) if found is not None and not found.part else None
    if found is None or now is None:
        raise invalid("SystemSettings has no InstanceID of a configuration")
    vm = _machine(call, found)
    system = read_system(given, now, new=False)
    jobs.require(call, *(f"VM.set_{name}" for name in system.fields))
    if system.other_config:
        jobs.require(call, "VM.add_to_other_config")

    async def body(work: Work) -> Mapping[str, Any]:
        work.expected = len(system.fields) + len(system.other_config)
        await plan.change_system(work, _present(work, vm.ref), system)
        return {}

    return await call.jobs.several(
        call, jobs.SYSTEMS, "CIM.ModifySystemSettings", body, about=vm.values["uuid"]
    )  # fmt: skip


@jobs.answers(jobs.DEFINITIONS)
async def add_resource_settings(
    call: Call, affected_configuration: Path | None, resource_settings: tuple[Instance, ...] | None
) -> Result:
    """CIM_VirtualSystemManagementService.AddResourceSettings.

    To the State configuration: the running machine has them at once, and the definition too. To the Defined one: the
    machine has them when it next starts. Processors and memory add to what there is. To that of a switch: uplinks
    (switch_uplinks.py).
    """
    if affected_configuration is not None and switch_uplinks.is_of_switch(affected_configuration):
        return await switch_uplinks.add(call, affected_configuration, resource_settings)
    found, vm = _configuration(call, affected_configuration, "AffectedConfiguration")
    if not resource_settings:
        raise invalid("ResourceSettings is missing")
    asked = [Asked(read_resource(each, {}, call.source, new=True)) for each in resource_settings]
    _require(call, asked)
    _check_single(asked)
    plug = _is_live(found, vm)
    for each in asked:
        plan.check_new(call.source, each)
        plan.check_more(call.source, vm, each.resource, plug)

    async def body(work: Work) -> Mapping[str, Any]:
        work.expected = 3 * len(asked)
        made = [await plan.add(work, _present(work, vm.ref), each.resource, plug) for each in asked]
        await work.made(*(ref for ref in made if ref != vm.ref))  # processors and memory are changed, not made
        paths = [_path_of(call, ref, each.resource, plug) for ref, each in zip(made, asked, strict=True)]
        return {"ResultingResourceSettings": tuple(path for path in paths if path is not None)}

    return await call.jobs.several(
        call, jobs.DEFINITIONS, "CIM.AddResourceSettings", body, about=vm.values["uuid"]
    )  # fmt: skip


def _require(call: Call, asked: Iterable[Asked]) -> None:
    """RBAC_PERMISSION_DENIED if the caller may not make one of these."""
    needed = {Disk: ("VBD.create", "VDI.create"), Nic: ("VIF.create",), Memory: ("VM.set_memory_limits",),
              Processors: ("VM.set_VCPUs_max",)}  # fmt: skip
    for each in asked:
        kind = each.resource
        jobs.require(call, *((f"{kind.cls}.create",) if isinstance(kind, Device) else needed[type(kind)]))


def _is_live(found: SettingId, vm: Version) -> bool:
    """Whether a configuration is that of a machine that runs. RefusedError INVALID_STATE for the State of one that
    is off: there is nothing to change."""
    if not found.state:
        return False
    if vm.values["power_state"] != "Running":
        raise RefusedError(Kind.INVALID_STATE, f"the machine is {vm.values['power_state']}")
    return True


def _path_of(call: Call, ref: str, resource: object, state: bool) -> Path | None:
    """The settings of a resource in the State configuration, if that is requested and shown apart, else in the Defined
    one; None if they are not there (any more)."""
    version = call.source.find(ref)
    if version is None:
        return None
    built_in = WORDS["Processor" if isinstance(resource, Processors) else "Memory"]
    return call.path_of(SHOWN_AS.get(version.cls, built_in), ref, STATE if state else None)


@jobs.answers(jobs.SYSTEMS)
async def modify_resource_settings(call: Call, resource_settings: tuple[Instance, ...] | None) -> Result:
    """CIM_VirtualSystemManagementService.ModifyResourceSettings: which settings are meant is said by their InstanceID.

    A new hardware address or position makes another interface, whose settings have another InstanceID: see the result.
    """
    if not resource_settings:
        raise invalid("ResourceSettings is missing")
    if any(switch_uplinks.shown_as_uplink(call, each) is not None for each in resource_settings):
        return await switch_uplinks.modify(call, resource_settings)
    jobs.require(call, "VBD.create", "VIF.create", "VDI.resize", "VM.set_VCPUs_max")
    changes = [read_change(call, each) for each in resource_settings]

    async def body(work: Work) -> Mapping[str, Any]:
        work.expected = 2 * len(changes)
        made = [await make_change(work, vm, device, asked) for vm, device, asked in changes]
        for _, device, asked in changes:  # define_system.py, rule 1
            if isinstance(asked.resource, Disk) and asked.resource.size is not None and device is not None:
                await plan.grow_disk(work, device, asked.resource.size)
        shown = [(ref, asked) for ref, (_, _, asked) in zip(made, changes, strict=True)]
        paths = [_path_of(call, ref, asked.resource, asked.id is not None and asked.id.state) for ref, asked in shown]
        before = {found.ref for vm, device, _ in changes for found in (vm, device) if found is not None}
        await work.made(*(ref for ref in made if ref not in before))
        return {"ResultingResourceSettings": tuple(path for path in paths if path is not None)}

    (uuids,) = ({vm.values["uuid"] for vm, _, _ in changes},)
    about = uuids.pop() if len(uuids) == 1 else ""
    return await call.jobs.several(call, jobs.SYSTEMS, "CIM.ModifyResourceSettings", body, about=about)


Change = tuple["Version", "Version | None", Asked]


def read_change(call: Call, instance: Instance) -> Change:
    """The VM, the device (None for processors and memory) and the requested change. RefusedError, CimError
    NOT_FOUND."""
    text = instance.values.get("InstanceID")
    found = SettingId.of(str(text or ""))
    if found is None or not found.part:
        raise invalid("ResourceSettings without an InstanceID of settings there are")
    vm, now = _machine(call, found), settings_at(call, text, *RESOURCES)
    if now is None:
        raise CimError(NOT_FOUND, f"there are no settings {text}")
    asked = Asked(read_resource(instance, now, call.source, new=False), found)
    device = _device(call, found)
    live = found.state and _is_live(found, vm)
    if isinstance(asked.resource, Disk) and device is not None:
        plan.check_disk_change(call.source, device, asked.resource)
    elif isinstance(asked.resource, Processors):
        plan.check_processors(vm, asked.resource, live)
    elif isinstance(asked.resource, Memory):
        plan.check_memory(vm, asked.resource, live)
    return vm, device, asked


async def make_change(work: Work, vm: Version, device: Version | None, asked: Asked) -> str:
    """Make one change; the reference of the record whose settings were changed."""
    record = _present(work, vm.ref)
    if device is not None:
        return await _change_device(work, record, _present(work, device.ref, device.cls), asked.resource)
    if isinstance(asked.resource, Processors | Memory):
        await _set_built_in(work, record, asked.resource, live=asked.id is not None and asked.id.state)
    return vm.ref


async def _change_device(work: Work, vm: Version, device: Version, resource: object) -> str:
    if isinstance(resource, Disk):
        await plan.change_disk(work, vm, device, resource)
        return device.ref
    if isinstance(resource, Nic):
        return await plan.change_nic(work, vm, device, resource)
    if isinstance(resource, Device):
        return device.ref
    raise invalid("settings of another kind of resource")


@jobs.answers(jobs.SYSTEMS)
async def remove_resource_settings(call: Call, resource_settings: tuple[Path, ...] | None) -> Result:
    """CIM_VirtualSystemManagementService.RemoveResourceSettings: State settings are unplugged and stay defined; Defined
    ones are removed, from a running machine too. The disk of a removed device stays; 1 for processors and memory."""
    if not resource_settings:
        raise invalid("ResourceSettings is missing")
    if any(map(switch_uplinks.is_uplink, resource_settings)):
        return await switch_uplinks.remove(call, resource_settings)
    chosen: list[tuple[Subject, bool]] = []
    for path in resource_settings:
        subject = call.target(path, "ResourceSettings", *RESOURCES)
        found = SettingId.of(str(path.key("InstanceID")))
        if subject.version.cls not in SHOWN_AS or found is None:
            raise RefusedError(Kind.NOT_SUPPORTED, "a machine keeps its processors and memory")
        if subject.version.cls in define_device.SHOWN_AS:
            define_device.check_removal(subject.version, destroy=not found.state)
        jobs.require(call, f"{subject.version.cls}.destroy")
        chosen.append((subject, found.state))
    chosen.sort(key=lambda each: each[0].version.cls == define_device.TPM)  # define_device.py, rule 1

    async def body(work: Work) -> Mapping[str, Any]:
        work.expected = 2 * len(chosen)
        for subject, state in chosen:
            device = _present(work, subject.ref, subject.version.cls)
            remove = define_device.remove if device.cls in define_device.SHOWN_AS else plan.remove_device
            await remove(work, device, destroy=not state)
        return {}

    owners = {str(machine["uuid"]) for subject, _ in chosen if (machine := subject.follow("VM")) is not None}
    about = owners.pop() if len(owners) == 1 else ""
    return await call.jobs.several(call, jobs.SYSTEMS, "CIM.RemoveResourceSettings", body, about=about)


class VirtualSystemManagementService(HostService, cim="Xen_VirtualSystemManagementService", of="host"):
    """What defines and changes machines."""

    ElementName = const("Virtual system management")

    DefineSystem = method(define_system, out=("ResultingSystem", "Job"))
    DestroySystem = method(destroy_system, out=("Job",))
    ModifySystemSettings = method(modify_system_settings, out=("Job",))
    AddResourceSettings = method(add_resource_settings, out=("ResultingResourceSettings", "Job"))
    ModifyResourceSettings = method(modify_resource_settings, out=("ResultingResourceSettings", "Job"))
    RemoveResourceSettings = method(remove_resource_settings, out=("Job",))


HostedService.also(SameRecord(HostComputerSystem, VirtualSystemManagementService))
ElementCapabilities.also(SameRecord(VirtualSystemManagementService, VirtualSystemManagementCapabilities))
ServiceAffectsElement.also(
    machines_of(VirtualSystemManagementService), switch_management.switches_of(VirtualSystemManagementService)
)
OwningJobElement.also(jobs_of(VirtualSystemManagementService))
