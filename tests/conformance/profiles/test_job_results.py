"""DSP1042, DSP1041, DSP1103: a client that got a job finds by AffectedJobElement what the method made."""

from __future__ import annotations

from typing import Any

import pytest
from cim_pool import path_in
from cim_services import (
    DISKS,
    GIB,
    MANAGEMENT,
    MEMORY,
    NICS,
    POOLS,
    PROCESSORS,
    Instance,
    Path,
    Site,
    site,
)

from cim_provider.schema.objects import CIMV2

MADE, AFFECTED = ["5"], "Xen_AffectedJobElement"


async def created(at: Site, service: str, method: str, **params: Any) -> set[tuple[str, str]]:
    """Class and InstanceID (DeviceID, Name) of what the job of a method has as created; every link is found from both
    ends."""
    value, out = await at.ask(service, method, **params)
    assert value == 4096
    assert (await at.ended(out))["status"] == "success"
    job = path_in(out["Job"])
    found = set()
    for link in at.links(job, AFFECTED):
        made = path_in(link["AffectedElement"])
        assert job in at.related(made, AFFECTED)
        if link["ElementEffects"] == MADE:
            found.add((made.classname, str(made.key("InstanceID") or made.key("DeviceID") or made.key("Name"))))
    return found


def setting_ids(at: Site, vm: str, devices: list[Any], *words: str) -> set[str]:
    return {f"Xen:{at.uuid(vm)}{word}/{device['uuid']}" for device in devices for word in words}


def devices(at: Site, vm: str, inverse: str) -> list[Any]:
    return [at.store.get(ref) for ref in at.store.related(vm, inverse)]


@pytest.mark.parametrize(("state", "words"), [("", ("",)), ("State", ("", "/State"))])
async def test_a_job_tells_the_settings_it_added_in_the_configurations_that_have_them(
    state: str, words: tuple[str, ...]
) -> None:
    async with site(mode="always") as at:
        vm = await at.sim.running("one")
        before = {inverse: {each.ref for each in devices(at, vm, inverse)} for inverse in ("VBDs", "VIFs")}
        disk = Instance(DISKS, {"VirtualQuantity": GIB, "PoolID": at.uuid(at.sim.sr)})
        nic = Instance(NICS, {"PoolID": at.uuid(at.sim.network)})
        made = await created(
            at, MANAGEMENT, "AddResourceSettings",
            AffectedConfiguration=at.settings(vm, state), ResourceSettings=(disk, nic),
        )  # fmt: skip
        wanted = set()
        for inverse, cls in (("VBDs", DISKS), ("VIFs", NICS)):
            new = [each for each in devices(at, vm, inverse) if each.ref not in before[inverse]]
            assert len(new) == 1
            wanted |= {(cls, each) for each in setting_ids(at, vm, new, *words)}
        assert made == wanted


async def test_processors_and_memory_that_were_added_are_changes_of_the_machine() -> None:
    async with site(mode="always") as at:
        vm = at.sim.add_vm("one")
        more = (Instance(PROCESSORS, {"VirtualQuantity": 1}), Instance(MEMORY, {"VirtualQuantity": GIB}))
        before = at.store.get(vm)
        made = await created(
            at, MANAGEMENT, "AddResourceSettings",
            AffectedConfiguration=at.settings(vm), ResourceSettings=more,
        )  # fmt: skip
        assert made == set()
        assert at.store.get(vm)["VCPUs_max"] == before["VCPUs_max"] + 1


async def test_a_job_tells_the_interface_that_took_the_place_of_another() -> None:
    async with site(mode="always") as at:
        vm = at.sim.add_vm("one")
        (vif,) = devices(at, vm, "VIFs")
        path = at.settings(vm, vif["uuid"], NICS)
        made = await created(
            at, MANAGEMENT, "ModifyResourceSettings",
            ResourceSettings=(at.copy(path, Address="02163E00000F"),),
        )  # fmt: skip
        (new,) = devices(at, vm, "VIFs")
        assert new.ref != vif.ref
        assert made == {(NICS, each) for each in setting_ids(at, vm, [new], "")}


def pool_path(at: Site, kind: str, ref: str) -> Path:
    return Path.of(f"Xen_{kind}Pool", {"InstanceID": f"Xen:{kind}Pool/{at.uuid(ref)}"}, CIMV2)


async def test_jobs_of_the_pool_configuration_tell_the_pool_or_volume_they_made() -> None:
    async with site(mode="always") as at:
        known = {ref for cls in ("network", "SR", "VDI") for ref in at.store.all(cls)}

        def new(cls: str) -> str:
            (ref,) = (ref for ref in at.store.all(cls) if ref not in known)
            return at.uuid(ref)

        made = await created(at, POOLS, "CreateResourcePool", ElementName="n", ResourceType="10")
        network = new("network")  # which is a switch, too
        assert made == {("Xen_NetworkPool", f"Xen:NetworkPool/{network}"), ("Xen_VirtualSwitch", network)}
        settings = {"ResourceType": 17, "ResourceSubType": "nfs", "HostResource": ("server=a", "serverpath=/b")}
        made = await created(
            at, POOLS, "CreateChildResourcePool",
            ElementName="s", Settings=(Instance("CIM_ResourceAllocationSettingData", settings),),
        )  # fmt: skip
        assert made == {("Xen_StoragePool", f"Xen:StoragePool/{new('SR')}")}
        made = await created(
            at, POOLS, "CreateResourceInPool",
            Settings=Instance(DISKS, {"VirtualQuantity": GIB}), Pool=pool_path(at, "Storage", at.sim.sr),
        )  # fmt: skip
        assert made == {("Xen_StorageVolume", new("VDI"))}


async def test_a_job_that_changes_a_pool_tells_which() -> None:
    async with site(mode="always") as at:
        path = pool_path(at, "Storage", at.sim.sr)
        value, out = await at.ask(POOLS, "RemoveResourcesFromResourcePool", Pool=path)
        assert value == 4096
        assert (await at.ended(out))["status"] == "success"
        job = path_in(out["Job"])
        (link,) = at.links(job, AFFECTED)
        assert (path_in(link["AffectedElement"]), link["ElementEffects"]) == (path, ["2"])
        assert at.related(path, AFFECTED) == [job]


@pytest.mark.parametrize("state", ["", "State"])
async def test_settings_that_were_added_are_named_in_the_configuration_they_were_added_to(state: str) -> None:
    async with site() as at:
        vm = await at.sim.running("one")
        known = {each.ref for each in devices(at, vm, "VIFs")}
        value, out = await at.ask(
            MANAGEMENT, "AddResourceSettings",
            AffectedConfiguration=at.settings(vm, state),
            ResourceSettings=(Instance(NICS, {"PoolID": at.uuid(at.sim.network)}),),
        )  # fmt: skip
        assert value == 0
        new = [each for each in devices(at, vm, "VIFs") if each.ref not in known]
        (named,) = map(path_in, out["ResultingResourceSettings"].iter("INSTANCENAME"))
        assert {str(named.key("InstanceID"))} == setting_ids(at, vm, new, f"/{state}" if state else "")
        assert at.shown(named)["ResourceType"] == 10


@pytest.mark.parametrize(("weight", "value"), [(0, 4), (1, 0), (65535, 0), (65536, 4)])
async def test_a_weight_the_scheduler_has_not_is_refused(weight: int, value: int) -> None:
    async with site() as at:
        vm = at.sim.add_vm("one")
        settings = Instance(PROCESSORS, {"InstanceID": f"Xen:{at.uuid(vm)}/Processor", "Weight": weight})
        answer, _ = await at.ask(MANAGEMENT, "ModifyResourceSettings", ResourceSettings=(settings,))
        assert answer == value
