"""Methods as clients of xs-cim call them: jobs for everything, vendor states, quantities in its units."""

from __future__ import annotations

from typing import Any

import pytest
from cim_services import MANAGEMENT, Site, in_time
from compat_pool import CIMV2, Path, mode_site

from cim_provider.schema.objects import Instance

SYSTEM, VSSD = "Xen_ComputerSystem", "Xen_ComputerSystemSettingData"
MEMORY, PROCESSORS = "Xen_MemorySettingData", "Xen_ProcessorSettingData"
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
def test_a_state_change_is_a_job_of_the_operation_it_means(
    before: str, requested: int, operation: str, after: str
) -> None:
    async def work() -> None:
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

    in_time(work())


def test_memory_is_taken_in_mib_and_a_reservation_is_the_least_there_can_be() -> None:
    async def work() -> None:
        async with mode_site("xs-cim") as at:
            vm = at.sim.add_vm("web")
            path = Path.of(MEMORY, {"InstanceID": f"Xen:{at.uuid(vm)}/Memory"}, CIMV2)
            changed = at.copy(path, VirtualQuantity=3072, Reservation=512, Limit=2048)
            await done(at, at.service(MANAGEMENT), "ModifyResourceSettings", ResourceSettings=(changed,))
            record = at.store.get(vm)
            names = ("memory_static_max", "memory_dynamic_max", "memory_dynamic_min", "memory_static_min")
            assert [record[name] >> 20 for name in names] == [3072, 2048, 512, 512]
            assert at.shown(path)["VirtualQuantity"] == 3072

    in_time(work())


def test_a_reservation_of_processors_is_how_many_there_are_at_startup() -> None:
    async def work() -> None:
        async with mode_site("xs-cim") as at:
            vm = at.sim.add_vm("web")
            path = Path.of(PROCESSORS, {"InstanceID": f"Xen:{at.uuid(vm)}/Processor"}, CIMV2)
            changed = at.copy(path, VirtualQuantity=4, Reservation=3)
            await done(at, at.service(MANAGEMENT), "ModifyResourceSettings", ResourceSettings=(changed,))
            record = at.store.get(vm)
            assert (record["VCPUs_max"], record["VCPUs_at_startup"]) == (4, 3)

    in_time(work())


def test_a_machine_is_defined_renamed_and_destroyed_by_jobs() -> None:
    async def work() -> None:
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

    in_time(work())
