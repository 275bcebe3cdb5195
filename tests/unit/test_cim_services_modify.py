"""Changing, adding and removing settings, and destroying machines: halted, and while they run."""

from __future__ import annotations

from typing import Any

import pytest
from cim_services import DISKS, GIB, MANAGEMENT, MEMORY, NICS, PROCESSORS, VSSD, Instance, Path, Site, site

from cim_provider.schema.objects import CIMV2, NOT_FOUND, CimError


def devices(at: Site, vm: str, inverse: str) -> list[Any]:
    return [at.store.get(ref) for ref in at.store.related(vm, inverse)]


async def modify(at: Site, *settings: Instance) -> int:
    value, _ = await at.ask(MANAGEMENT, "ModifyResourceSettings", ResourceSettings=settings)
    return value


async def test_only_the_settings_that_are_given_change() -> None:
    async with site() as at:
        vm = at.sim.add_vm("one")
        before = at.store.get(vm).values
        path = at.settings(vm)
        given = Instance(VSSD, {"InstanceID": path.key("InstanceID"), "ElementName": "two", "Notes": None})
        assert (await at.ask(MANAGEMENT, "ModifySystemSettings", SystemSettings=given))[0] == 0
        assert dict(at.store.get(vm).values) == {**before, "name_label": "two"}


async def test_settings_sent_back_as_they_were_change_nothing() -> None:
    async with site() as at:
        vm = at.sim.add_vm("one")
        before = at.sim.picture()
        assert (await at.ask(MANAGEMENT, "ModifySystemSettings", SystemSettings=at.copy(at.settings(vm))))[0] == 0
        parts = at.related(at.settings(vm), "Xen_VirtualSystemSettingDataComponent")
        known = [at.copy(path) for path in parts if path.classname in (PROCESSORS, MEMORY, DISKS, NICS)]
        assert await modify(at, *known) == 0
        assert at.sim.picture() == before


@pytest.mark.parametrize("word", ["", "State"])
async def test_the_name_of_a_running_machine_changes_through_both_configurations(word: str) -> None:
    async with site() as at:
        vm = await at.sim.running("one")
        given = at.copy(at.settings(vm, word), ElementName="two")
        assert (await at.ask(MANAGEMENT, "ModifySystemSettings", SystemSettings=given))[0] == 0
        assert at.store.get(vm)["name_label"] == "two"


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"SwapFileDataRoot": "/swap"}, 4), ({"VirtualSystemIdentifier": "other"}, 4), ({"InstanceID": "Xen:no"}, 4),
     ({"InstanceID": None}, 4)],
)  # fmt: skip
async def test_settings_of_a_system_that_cannot_change_are_refused(changes: dict[str, Any], code: int) -> None:
    async with site() as at:
        vm = at.sim.add_vm("one")
        given = at.copy(at.settings(vm), **changes)
        assert await at.ask(MANAGEMENT, "ModifySystemSettings", SystemSettings=given) == (code, {})


async def test_what_only_a_halted_machine_can_change_is_an_invalid_state_while_it_runs() -> None:
    async with site() as at:
        vm = await at.sim.running("one")
        given = at.copy(at.settings(vm), VirtualSystemType="DMTF:Xen:HVM")
        assert await at.ask(MANAGEMENT, "ModifySystemSettings", SystemSettings=given) == (5, {})
        assert await modify(at, at.copy(at.settings(vm, "Processor", PROCESSORS), VirtualQuantity=4)) == 5
        assert await modify(at, at.copy(at.settings(vm, "Memory", MEMORY), VirtualQuantity=2 * GIB)) == 5


async def test_processors_and_memory_of_a_halted_machine() -> None:
    async with site() as at:
        vm = at.sim.add_vm("one", VCPUs_max=4, VCPUs_at_startup=4)
        assert await modify(at, at.copy(at.settings(vm, "Processor", PROCESSORS), VirtualQuantity=2, Weight=5,
                                        VCPUsAtStartup=None)) == 0  # fmt: skip
        record = at.store.get(vm)
        assert (record["VCPUs_max"], record["VCPUs_at_startup"]) == (2, 2)
        assert record["VCPUs_params"] == {"weight": "5"}
        given = {"VirtualQuantity": 4, "AllocationUnits": "GigaBytes", "VirtualQuantityUnits": None,
                 "Reservation": None, "Limit": None}  # fmt: skip
        assert await modify(at, at.copy(at.settings(vm, "Memory", MEMORY), **given)) == 0
        limits = [at.store.get(vm)[f"memory_{name}"] for name in ("static_max", "dynamic_max", "dynamic_min")]
        assert limits == [4 * GIB] * 3


async def test_processors_and_memory_of_a_running_machine_change_at_once() -> None:
    async with site() as at:
        vm = await at.sim.running("one", VCPUs_max=4, memory_dynamic_min=GIB // 2, memory_static_min=GIB // 2)
        assert await modify(at, at.copy(at.settings(vm, "State/Processor", PROCESSORS), VirtualQuantity=3)) == 0
        metrics = at.store.get(at.store.get(vm)["metrics"])
        assert metrics["VCPUs_number"] == 3
        assert at.store.get(vm)["VCPUs_at_startup"] == 1
        assert await modify(at, at.copy(at.settings(vm, "Memory", MEMORY), Limit=GIB // 2)) == 0
        assert at.store.get(vm)["memory_dynamic_max"] == GIB // 2
        assert at.store.get(at.store.get(vm)["metrics"])["memory_actual"] == GIB // 2


# What nothing can be made of while a machine runs: (word, class, changes).
CONTRADICTIONS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "another limit of memory": ("Memory", MEMORY, {"VirtualQuantity": GIB // 2, "Limit": GIB - 4096}),
    "another least of memory": ("Memory", MEMORY, {"VirtualQuantity": GIB // 2, "StaticMinimum": GIB // 4}),
    "memory of another host": ("Memory", MEMORY, {"PoolID": "other host"}),
    "processors at startup": ("Processor", PROCESSORS, {"VirtualQuantity": 3, "VCPUsAtStartup": 2}),
    "processors of another host": ("Processor", PROCESSORS, {"PoolID": "other host"}),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
async def test_settings_of_what_a_machine_has_now_that_contradict_are_refused_and_change_nothing(name: str) -> None:
    async with site(hosts=2) as at:
        least = {"memory_dynamic_min": GIB // 2, "memory_static_min": GIB // 2}
        vm = await at.sim.running("one", VCPUs_max=4, **least)
        others = [host for host in at.sim.hosts if host != at.store.get(vm)["resident_on"]]
        word, cls, asked = CONTRADICTIONS[name]
        given = {key: at.uuid(others[0]) if value == "other host" else value for key, value in asked.items()}
        before = at.sim.picture()
        assert await modify(at, at.copy(at.settings(vm, f"State/{word}", cls), **given)) == 4
        assert at.sim.picture() == before
        if "VirtualQuantity" not in given or cls == PROCESSORS:
            value, _ = await at.ask(
                MANAGEMENT, "AddResourceSettings", AffectedConfiguration=at.settings(vm, "State"),
                ResourceSettings=(Instance(cls, given),),
            )  # fmt: skip
            assert value == 4
            assert at.sim.picture() == before


async def test_a_disk_grows_and_never_shrinks() -> None:
    async with site() as at:
        vm = at.sim.add_vm("one")
        (vbd,) = devices(at, vm, "VBDs")
        path = at.settings(vm, str(vbd["uuid"]), DISKS)
        assert await modify(at, at.copy(path, VirtualQuantity=2 * GIB)) == 0
        assert at.store.get(vbd["VDI"])["virtual_size"] == 2 * GIB
        assert await modify(at, at.copy(path, VirtualQuantity=GIB)) == 4


async def test_a_disk_in_use_does_not_grow_and_what_was_changed_before_is_taken_back() -> None:
    async with site() as at:
        vm = await at.sim.running("one")
        (vbd,) = devices(at, vm, "VBDs")
        before = at.sim.picture()
        path = at.settings(vm, str(vbd["uuid"]), DISKS)
        assert await modify(at, at.copy(path, VirtualQuantity=2 * GIB, Bootable=False)) == 5
        assert at.sim.picture() == before


async def test_the_size_a_disk_in_use_has_in_another_unit_changes_nothing() -> None:
    async with site() as at:
        vm = await at.sim.running("one")
        (vbd,) = devices(at, vm, "VBDs")
        path = at.settings(vm, str(vbd["uuid"]), DISKS)
        same = {"VirtualQuantity": GIB // 512, "VirtualQuantityUnits": "count(fixed size block)"}
        assert await modify(at, at.copy(path, **same, VirtualResourceBlockSize=512, Bootable=False)) == 0
        assert at.store.get(vbd.ref)["bootable"] is False
        assert at.store.get(vbd["VDI"])["virtual_size"] == GIB


async def test_a_disk_keeps_its_image_and_a_drive_changes_its_medium() -> None:
    async with site() as at:
        vm = at.sim.add_vm("one")
        (vbd,) = devices(at, vm, "VBDs")
        other, disc = at.sim.add_vdi(GIB), at.sim.add_vdi(GIB, sr=at.sim.iso, read_only=True)
        path = at.settings(vm, str(vbd["uuid"]), DISKS)
        assert await modify(at, at.copy(path, HostExtentName=at.uuid(other))) == 4
        drive = {"ResourceType": 15, "AddressOnParent": "3"}
        await at.ask(
            MANAGEMENT, "AddResourceSettings", AffectedConfiguration=at.settings(vm),
            ResourceSettings=(Instance(DISKS, drive),),
        )  # fmt: skip
        cd = next(each for each in devices(at, vm, "VBDs") if each["type"] == "CD")
        cd_path = at.settings(vm, str(cd["uuid"]), DISKS)
        assert await modify(at, at.copy(cd_path, HostResource=(at.uuid(disc),))) == 0
        assert at.store.get(cd.ref)["VDI"] == disc
        assert await modify(at, at.copy(cd_path, HostExtentName="")) == 0
        assert at.store.get(cd.ref)["empty"]


@pytest.mark.parametrize("state", ["Halted", "Running"])
async def test_an_interface_changes_its_network_and_its_rate(state: str) -> None:
    async with site() as at:
        vm = at.sim.add_vm("one") if state == "Halted" else await at.sim.running("one")
        (vif,) = devices(at, vm, "VIFs")
        other = at.sim.add("network", name_label="other", bridge="xenbr1", MTU=1500)
        path = at.settings(vm, str(vif["uuid"]), NICS)
        given = at.copy(
            path, Connection=(at.uuid(other),), PoolID=None, Limit=100, AllocationUnits="KiloBytes per Second"
        )
        assert await modify(at, given) == 0
        now = at.store.get(vif.ref)
        assert (now["network"], now["qos_algorithm_params"]) == (other, {"kbps": "100"})


@pytest.mark.parametrize(
    ("limit", "unit", "kib"),
    [(100, "bit/second*10^6", "12207"), (8192, "bit/second*10^3", "1000"), (1, "byte/second*2^20", "1024")],
)
async def test_a_rate_is_limited_to_the_whole_kib_a_second_in_what_was_asked(limit: int, unit: str, kib: str) -> None:
    async with site() as at:
        vm = at.sim.add_vm("one")
        (vif,) = devices(at, vm, "VIFs")
        path = at.settings(vm, str(vif["uuid"]), NICS)
        assert await modify(at, at.copy(path, Limit=limit, AllocationUnits=unit)) == 0
        assert at.store.get(vif.ref)["qos_algorithm_params"] == {"kbps": kib}
        assert await modify(at, at.copy(path, Limit=1, AllocationUnits="bit/second*10^3")) == 4
        assert at.store.get(vif.ref)["qos_algorithm_params"] == {"kbps": kib}


async def test_a_new_hardware_address_makes_another_interface_which_the_result_names() -> None:
    async with site() as at:
        vm = await at.sim.running("one")
        (vif,) = devices(at, vm, "VIFs")
        given = at.copy(at.settings(vm, str(vif["uuid"]), NICS), Address="02163E0000FF")
        value, out = await at.ask(MANAGEMENT, "ModifyResourceSettings", ResourceSettings=(given,))
        (now,) = devices(at, vm, "VIFs")
        assert (value, now["MAC"], now["currently_attached"]) == (0, "02:16:3e:00:00:ff", True)
        assert at.made(out, "ResultingResourceSettings", "VIF") == now.ref != vif.ref


@pytest.mark.parametrize(("word", "plugged"), [("", False), ("State", True)])
async def test_what_is_added_to_a_running_machine_is_plugged_if_its_state_was_meant(word: str, plugged: bool) -> None:
    async with site() as at:
        vm = await at.sim.running("one", disks=1, nics=0)
        value, out = await at.ask(
            MANAGEMENT,
            "AddResourceSettings",
            AffectedConfiguration=at.settings(vm, word),
            ResourceSettings=(
                Instance(DISKS, {"VirtualQuantity": GIB, "AddressOnParent": "5"}),
                Instance(NICS, {"PoolID": f"Xen:NetworkPool/{at.uuid(at.sim.network)}"}),
            ),
        )
        assert value == 0
        assert len(list(out["ResultingResourceSettings"].iter("INSTANCENAME"))) == 2
        vbd = next(each for each in devices(at, vm, "VBDs") if each["userdevice"] == "5")
        (vif,) = devices(at, vm, "VIFs")
        assert (vbd["currently_attached"], vif["currently_attached"]) == (plugged, plugged)
        assert "owner" in vbd["other_config"]


async def test_processors_and_memory_that_are_added_add_to_what_there_is() -> None:
    async with site() as at:
        vm = at.sim.add_vm("one")
        value, _ = await at.ask(
            MANAGEMENT,
            "AddResourceSettings",
            AffectedConfiguration=at.settings(vm),
            ResourceSettings=(
                Instance(PROCESSORS, {"VirtualQuantity": 2}),
                Instance(MEMORY, {"VirtualQuantity": 512, "AllocationUnits": "MegaBytes"}),
            ),
        )
        record = at.store.get(vm)
        assert (value, record["VCPUs_max"], record["VCPUs_at_startup"]) == (0, 3, 3)
        assert record["memory_static_max"] == record["memory_dynamic_max"] == GIB + GIB // 2


async def test_the_state_of_a_halted_machine_takes_no_resources() -> None:
    async with site() as at:
        vm = at.sim.add_vm("one")
        value, _ = await at.ask(
            MANAGEMENT, "AddResourceSettings", AffectedConfiguration=at.settings(vm, "State"),
            ResourceSettings=(Instance(DISKS, {"VirtualQuantity": GIB}),),
        )  # fmt: skip
        assert value == 2
        assert len(devices(at, vm, "VBDs")) == 1


@pytest.mark.parametrize(("word", "left"), [("State/", 1), ("", 0)])
async def test_removing_state_settings_unplugs_and_removing_defined_ones_removes(word: str, left: int) -> None:
    async with site() as at:
        vm = await at.sim.running("one", nics=1, disks=2)
        vif = devices(at, vm, "VIFs")[0]
        vbd = next(each for each in devices(at, vm, "VBDs") if each["userdevice"] == "1")
        chosen = (
            at.settings(vm, f"{word}{vif['uuid']}", NICS), at.settings(vm, f"{word}{vbd['uuid']}", DISKS),
        )  # fmt: skip
        assert (await at.ask(MANAGEMENT, "RemoveResourceSettings", ResourceSettings=chosen))[0] == 0
        assert len(devices(at, vm, "VIFs")) == left
        assert not any(each["currently_attached"] for each in devices(at, vm, "VIFs"))
        assert len(devices(at, vm, "VBDs")) == 1 + left
        assert at.store.find(vbd["VDI"]) is not None


async def test_processors_and_memory_cannot_be_removed() -> None:
    async with site() as at:
        vm = at.sim.add_vm("one")
        for path in (at.settings(vm, "Processor", PROCESSORS), at.settings(vm, "Memory", MEMORY)):
            assert (await at.ask(MANAGEMENT, "RemoveResourceSettings", ResourceSettings=(path,)))[0] == 1
        gone = Path.of(DISKS, {"InstanceID": f"Xen:{at.uuid(vm)}/{at.uuid(vm)}"}, CIMV2)
        with pytest.raises(CimError) as error:
            await at.ask(MANAGEMENT, "RemoveResourceSettings", ResourceSettings=(gone,))
        assert error.value.status == NOT_FOUND


@pytest.mark.parametrize("state", ["Halted", "Running", "Paused", "Suspended"])
async def test_a_system_is_destroyed_with_the_disks_that_are_its_own(state: str) -> None:
    async with site() as at:
        vm = at.sim.add_vm("one", disks=3)
        own, shared, foreign = devices(at, vm, "VBDs")
        for vbd in (own, shared):
            at.sim.change(vbd.ref, other_config={"owner": ""})
        other = at.sim.add_vm("two", disks=0)
        at.sim.add("VBD", **at.sim.vbd_values(other, shared["VDI"], "0"))
        if state != "Halted":
            await at.sim.call("VM.start", vm, False, False)
            await at.sim.pass_time(30)
        if state == "Paused":
            await at.sim.call("VM.pause", vm)
        if state == "Suspended":
            await at.sim.call("VM.suspend", vm)
        assert at.store.get(vm)["power_state"] == state
        value, _ = await at.ask(MANAGEMENT, "DestroySystem", AffectedSystem=at.system(vm))
        assert value == 0
        assert at.store.find(vm) is None
        assert at.store.find(own["VDI"]) is None
        assert at.store.find(shared["VDI"]) is not None
        assert at.store.find(foreign["VDI"]) is not None


async def test_a_system_that_may_not_be_destroyed_is_an_invalid_state() -> None:
    async with site() as at:
        vm = at.sim.add_vm("one", blocked_operations={"destroy": "keep it"})
        assert await at.ask(MANAGEMENT, "DestroySystem", AffectedSystem=at.system(vm)) == (5, {})
        assert await at.ask(MANAGEMENT, "DestroySystem", AffectedSystem=None) == (4, {})
        host = at.host(at.sim.hosts[0])
        assert await at.ask(MANAGEMENT, "DestroySystem", AffectedSystem=host) == (4, {})


async def test_a_system_that_is_being_started_is_not_destroyed_and_no_job_tries() -> None:
    async with site(mode="always") as at:
        vm = at.sim.add_vm("one")
        at.sim.change(vm, current_operations={"OpaqueRef:task": "start"})
        before = len(at.store.all("task"))
        assert await at.ask(MANAGEMENT, "DestroySystem", AffectedSystem=at.system(vm)) == (5, {})
        assert len(at.store.all("task")) == before
