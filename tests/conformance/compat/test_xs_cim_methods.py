"""Methods as clients of xs-cim call them: jobs for everything, vendor states, quantities in its units."""

from __future__ import annotations

from typing import Any

import pytest
from cim_services import MANAGEMENT, MIGRATION, POWER, Site
from compat_pool import CIMV2, CimError, Path, mode_site

from cim_provider.schema.objects import Instance

SYSTEM, VSSD = "Xen_ComputerSystem", "Xen_ComputerSystemSettingData"
MEMORY, PROCESSORS = "Xen_MemorySettingData", "Xen_ProcessorSettingData"
DISK, PORT = "Xen_DiskSettingData", "Xen_NetworkPortSettingData"
NEVER = "never"


async def done(at: Site, path: Path, method: str, **params: Any) -> None:
    """Call a method, which must give a job, and wait until that has succeeded."""
    value, out = await at.invoke(path, method, **params)
    assert value == 4096
    assert (await at.ended(out))["status"] == "success"


# state before, RequestedState, operation that the job is, state after
CHANGES = [
    ("Halted", 2, "VM.start", "Running"),
    ("Paused", 2, "VM.unpause", "Running"),
    ("Running", 3, "VM.clean_shutdown", "Halted"),
    ("Paused", 3, "VM.hard_shutdown", "Halted"),
    ("Running", 4, "VM.clean_shutdown", "Halted"),
    ("Running", 6, "VM.suspend", "Suspended"),
    ("Running", 9, "VM.pause", "Paused"),
    ("Running", 10, "VM.clean_reboot", "Running"),
    ("Running", 11, "VM.hard_reboot", "Running"),
    ("Running", 32768, "VM.hard_shutdown", "Halted"),
    ("Running", 32769, "VM.hard_reboot", "Running"),
]


@pytest.mark.parametrize(("before", "requested", "operation", "after"), CHANGES)
async def test_a_state_change_is_a_job_of_the_operation_it_means(
    before: str, requested: int, operation: str, after: str
) -> None:
    async with mode_site("xs-cim") as at:
        at.mode(NEVER)
        vm = at.sim.add_vm("web") if before == "Halted" else await at.sim.running("web")
        if before == "Paused":
            await at.sim.call("VM.pause", vm)
        value, out = await at.invoke(at.system(vm), "RequestStateChange", RequestedState=requested)
        assert value == 4096
        task = await at.ended(out)
        assert (task["name_label"].removeprefix("Async."), task["status"]) == (operation, "success")
        assert at.store.get(vm)["power_state"] == after


async def test_memory_is_taken_in_mib_and_a_reservation_is_the_least_there_can_be() -> None:
    async with mode_site("xs-cim") as at:
        vm = at.sim.add_vm("web")
        path = Path.of(MEMORY, {"InstanceID": f"Xen:{at.uuid(vm)}/Memory"}, CIMV2)
        changed = at.copy(path, VirtualQuantity=3072, Reservation=512, Limit=2048)
        await done(at, at.service(MANAGEMENT), "ModifyResourceSettings", ResourceSettings=(changed,))
        record = at.store.get(vm)
        names = ("memory_static_max", "memory_dynamic_max", "memory_dynamic_min", "memory_static_min")
        assert [record[name] >> 20 for name in names] == [3072, 2048, 512, 512]
        assert at.shown(path)["VirtualQuantity"] == 3072


async def test_a_reservation_of_processors_is_how_many_there_are_at_startup() -> None:
    async with mode_site("xs-cim") as at:
        vm = at.sim.add_vm("web")
        path = Path.of(PROCESSORS, {"InstanceID": f"Xen:{at.uuid(vm)}/Processor"}, CIMV2)
        changed = at.copy(path, VirtualQuantity=4, Reservation=3)
        await done(at, at.service(MANAGEMENT), "ModifyResourceSettings", ResourceSettings=(changed,))
        record = at.store.get(vm)
        assert (record["VCPUs_max"], record["VCPUs_at_startup"]) == (4, 3)


async def test_a_new_machine_may_have_settings_copied_from_another() -> None:
    async with mode_site("xs-cim") as at:
        vm = at.sim.add_vm("web", memory=3 << 30, VCPUs_max=3, affinity=at.sim.hosts[0])
        keys = ((MEMORY, "Memory"), (PROCESSORS, "Processor"))
        paths = [Path.of(cls, {"InstanceID": f"Xen:{at.uuid(vm)}/{word}"}, CIMV2) for cls, word in keys]
        copies = tuple(at.copy(path) for path in paths)
        system = at.copy(Path.of(VSSD, {"InstanceID": f"Xen:{at.uuid(vm)}"}, CIMV2), ElementName="copy")
        await done(at, at.service(MANAGEMENT), "DefineSystem", SystemSettings=system, ResourceSettings=copies)
        made = next(v for v in at.store.all("VM").values() if v["name_label"] == "copy")
        assert (made["memory_static_max"], made["VCPUs_max"]) == (3 << 30, 3)


async def test_as_many_processors_as_there_are_can_be_added() -> None:
    async with mode_site("xs-cim") as at:
        vm = at.sim.add_vm("web")
        before = at.store.get(vm)["VCPUs_max"]
        path = Path.of(PROCESSORS, {"InstanceID": f"Xen:{at.uuid(vm)}/Processor"}, CIMV2)
        more = Instance(PROCESSORS, {"InstanceID": path.key("InstanceID"), "VirtualQuantity": before})
        config = Path.of(VSSD, {"InstanceID": f"Xen:{at.uuid(vm)}"}, CIMV2)
        await done(
            at, at.service(MANAGEMENT), "AddResourceSettings", AffectedConfiguration=config,
            ResourceSettings=(more,),
        )  # fmt: skip
        assert at.store.get(vm)["VCPUs_max"] == 2 * before


async def test_the_sample_of_its_documentation_defines_a_machine() -> None:
    async with mode_site("xs-cim") as at:
        system = Instance(
            VSSD,
            {"Caption": "This is an HVM VM", "ElementName": "made", "VirtualSystemType": "DMTF:xen:HVM",
             "AutomaticShutdownAction": 0, "AutomaticRecoveryAction": 2, "HVM_Boot_Policy": "BIOS order",
             "HVM_Boot_Params": ("order=dc",), "Platform": ("acpi=true", "apic=true", "pae=true")},
        )  # fmt: skip
        plain = "CIM_ResourceAllocationSettingData"
        resources = (
            Instance(plain, {"ResourceType": 3, "VirtualQuantity": 1, "AllocationUnits": "count", "Limit": 100}),
            Instance(plain, {"ResourceType": 4, "VirtualQuantity": 512, "AllocationUnits": "byte*2^20"}),
            Instance(
                DISK,
                {"ResourceType": 19, "ResourceSubType": "Disk", "VirtualQuantity": 2048, "Access": 3,
                 "AllocationUnits": "byte*2^20", "Bootable": False, "PoolID": at.uuid(at.sim.sr)},
            ),
            Instance(DISK, {"ResourceSubType": "CD", "Access": 1}),
            Instance(PORT, {"ResourceType": 33, "ElementName": "0", "PoolID": at.uuid(at.sim.network)}),
        )  # fmt: skip
        await done(at, at.service(MANAGEMENT), "DefineSystem", SystemSettings=system, ResourceSettings=resources)
        (vm,) = [v.ref for v in at.store.all("VM").values() if v["name_label"] == "made"]
        drives = [at.store.get(ref) for ref in at.store.related(vm, "VBDs")]
        assert sorted(one["type"] for one in drives) == ["CD", "Disk"]
        assert [at.store.get(one["VDI"])["virtual_size"] for one in drives if not one["empty"]] == [2 << 30]
        assert len(at.store.related(vm, "VIFs")) == 1
        assert at.store.get(vm)["actions_after_shutdown"] == "destroy"
        wrong = Instance(DISK, {"ResourceType": 17, "ResourceSubType": "CD"})
        value, _ = await at.invoke(
            at.service(MANAGEMENT), "DefineSystem", SystemSettings=Instance(VSSD, {"ElementName": "other"}),
            ResourceSettings=(wrong,),
        )  # fmt: skip
        assert value == 4


async def test_a_machine_is_defined_renamed_and_destroyed_by_jobs() -> None:
    async with mode_site("xs-cim") as at:
        at.mode(NEVER)
        service = at.service(MANAGEMENT)
        system = Instance(VSSD, {"ElementName": "made", "VirtualSystemType": "DMTF:Xen:PV"})
        memory = Instance(MEMORY, {"ResourceType": 4, "VirtualQuantity": 256, "AllocationUnits": "MB"})
        await done(at, service, "DefineSystem", SystemSettings=system, ResourceSettings=(memory,))
        (vm,) = [v.ref for v in at.store.all("VM").values() if v["name_label"] == "made"]
        assert (at.store.get(vm)["domain_type"], at.store.get(vm)["memory_static_max"]) == ("pv", 256 << 20)
        path = Path.of(VSSD, {"InstanceID": f"Xen:{at.uuid(vm)}"}, CIMV2)
        await done(at, service, "ModifySystemSettings", SystemSettings=at.copy(path, ElementName="other"))
        assert at.store.get(vm)["name_label"] == "other"
        await done(at, service, "DestroySystem", AffectedSystem=at.system(vm))
        assert at.store.find(vm) is None


SNAPSHOTS = "Xen_VirtualSystemSnapshotService"
# service, method, the parameter that names a machine
ON_MACHINES = [
    (MANAGEMENT, "DestroySystem", "AffectedSystem"),
    (MANAGEMENT, "AddResourceSetting", "AffectedSystem"),
    (MANAGEMENT, "ConvertToXenTemplate", "System"),
    (MANAGEMENT, "FindPossibleHostsToRunOn", "System"),
    (SNAPSHOTS, "CreateSnapshot", "AffectedSystem"),
    (MIGRATION, "CheckVirtualSystemIsMigratableToHost", "ComputerSystem"),
    (POWER, "RequestPowerStateChange", "ManagedElement"),
    ("Xen_MetricService", "GetPerformanceMetricsForSystem", "System"),
]


@pytest.mark.parametrize(("service", "method", "parameter"), ON_MACHINES)
async def test_what_cannot_be_done_with_domain_0_is_not_supported(service: str, method: str, parameter: str) -> None:
    async with mode_site("xs-cim") as at:
        (host,) = at.sim.hosts
        domain = at.sim.add_vm("dom0", is_control_domain=True, power_state="Running", resident_on=host)
        path = Path.of(SYSTEM, {"CreationClassName": SYSTEM, "Name": at.uuid(domain)}, CIMV2)
        assert at.shown(path)["Caption"] == "XenServer Host"
        assert await at.ask(service, method, **{parameter: path}) == (1, {})
        nobody = Path.of(SYSTEM, {"CreationClassName": SYSTEM, "Name": "x"}, CIMV2)
        with pytest.raises(CimError) as caught:
            await at.ask(service, method, **{parameter: nobody})
        assert caught.value.status == 6


@pytest.mark.parametrize(("state", "told"), [(2, 0), (3, 4097), (6, 4097), (9, 4097), (10, 4097), (32768, 4097)])
async def test_the_state_of_domain_0_cannot_be_changed(state: int, told: int) -> None:
    async with mode_site("xs-cim") as at:
        (host,) = at.sim.hosts
        domain = at.sim.add_vm("dom0", is_control_domain=True, power_state="Running", resident_on=host)
        path = Path.of(SYSTEM, {"CreationClassName": SYSTEM, "Name": at.uuid(domain)}, CIMV2)
        assert await at.invoke(path, "RequestStateChange", RequestedState=state) == (told, {})
        assert at.store.get(domain)["power_state"] == "Running"
