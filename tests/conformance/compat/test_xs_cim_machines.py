"""What xs-cim's services did beyond the DMTF's: copies, templates, hosts for a machine, the pool, jobs of each kind."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from cim_pool import path_in
from cim_services import GIB, MANAGEMENT, FaultRule, Site
from compat_pool import CIMV2, CimError, ModePool, Path, mode_site, path_of

from cim_provider.compat import xs_jobs
from cim_provider.schema.objects import Instance
from cim_provider.wire.model_path import model_path
from xenapi_core.ids import NULL_REF

VSSD, RASD = "Xen_ComputerSystemSettingData", "CIM_ResourceAllocationSettingData"
SNAPSHOTS = "Xen_VirtualSystemSnapshotService"


def job(at: Site, out: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The class and the properties of the job that a method gave."""
    path = path_in(out["Job"])
    return path.classname, at.shown(path)


async def resulting(at: Site, out: dict[str, Any]) -> str:
    """The machine that a job tells when it has succeeded."""
    assert set(out) == {"Job"}
    assert (await at.ended(out))["status"] == "success"
    uuid = job(at, out)[1]["ResultingSystem"].rpartition("Name=")[2].strip('"')
    found = at.store.by_uuid("VM", uuid)
    assert found is not None
    return found.ref


def configuration(at: Site, vm: str) -> Path:
    return path_of(at, vm, "Xen_VirtualSystemSettingData")


async def test_a_machine_is_copied_to_another_pool_of_storage_by_a_job() -> None:
    async with mode_site("xs-cim") as at:
        vm = at.sim.add_vm("web")
        sr = at.sim.add_sr("other", 100 * GIB)
        value, out = await at.ask(
            MANAGEMENT, "CopySystem", StoragePool=path_of(at, sr, "Xen_StoragePool"),
            ReferenceConfiguration=configuration(at, vm),
            SystemSettings=Instance(VSSD, {"ElementName": "copy", "Description": "of web"}),
        )  # fmt: skip
        assert value == 4096
        copy = await resulting(at, out)
        record = at.store.get(copy)
        assert (record["name_label"], record["name_description"]) == ("copy", "of web")
        disks = [at.store.get(at.store.get(vbd)["VDI"]) for vbd in at.store.related(copy, "VBDs")]
        assert [disk["SR"] for disk in disks] == [sr]
        name, values = job(at, out)
        assert (name, values["ResultingSystem"]) == (
            xs_jobs.CREATE,
            f'{CIMV2}:Xen_ComputerSystem.CreationClassName="Xen_ComputerSystem",Name="{record["uuid"]}"',
        )


async def test_a_template_is_copied_to_the_default_storage_as_a_machine() -> None:
    async with mode_site("xs-cim") as at:
        sr = at.sim.add_sr("default", 100 * GIB)
        at.sim.change(at.sim.pool, default_SR=sr)
        vm = at.sim.add_vm("gold")
        template = {"System": at.system(vm)}
        value, out = await at.ask(MANAGEMENT, "ConvertToXenTemplate", **template)
        assert (value, path_in(out["ResultingTemplate"]).classname) == (0, "Xen_ComputerSystemTemplate")
        assert at.store.get(vm)["is_a_template"] is True
        value, out = await at.ask(MANAGEMENT, "CopySystem", ReferenceConfiguration=configuration(at, vm))
        assert value == 4096
        copy = await resulting(at, out)
        assert at.store.get(copy)["is_a_template"] is False
        assert [at.store.get(at.store.get(vbd)["VDI"])["SR"] for vbd in at.store.related(copy, "VBDs")] == [sr]


async def test_a_copy_that_fails_leaves_nothing_and_gives_the_job_alone() -> None:
    async with mode_site("xs-cim") as at:
        vm = at.sim.add_vm("web")
        before = {cls: set(at.store.all(cls)) for cls in ("VM", "VDI", "VBD")}
        at.faulty(FaultRule("copy"), FaultRule("copy_from"), FaultRule("create_volume"), FaultRule("create"))
        value, out = await at.ask(MANAGEMENT, "CopySystem", ReferenceConfiguration=configuration(at, vm))
        assert (value, set(out)) == (4096, {"Job"})
        assert (await at.ended(out))["status"] == "failure"
        assert {cls: set(at.store.all(cls)) for cls in before} == before
        assert (await at.ask(MANAGEMENT, "CopySystem"))[0] == 4
        network = path_of(at, at.sim.network, "Xen_NetworkPool")
        asked = {"ReferenceConfiguration": configuration(at, vm), "StoragePool": network}
        assert (await at.ask(MANAGEMENT, "CopySystem", **asked))[0] == 4


async def test_a_machine_that_runs_does_not_become_a_template() -> None:
    async with mode_site("xs-cim") as at:
        vm = await at.sim.running("web")
        assert await at.ask(MANAGEMENT, "ConvertToXenTemplate", System=at.system(vm)) == (2, {})
        assert at.store.get(vm)["is_a_template"] is False
        assert (await at.ask(MANAGEMENT, "ConvertToXenTemplate"))[0] == 4


async def test_the_hosts_on_which_a_machine_could_start_are_found() -> None:
    async with mode_site("xs-cim", hosts=2) as at:
        vm = at.sim.add_vm("web")
        value, out = await at.ask(MANAGEMENT, "FindPossibleHostsToRunOn", System=at.system(vm))
        names = {one.text for one in out["PossibleHosts"].iterfind(".//KEYBINDING[@NAME='Name']/KEYVALUE")}
        assert (value, names) == (0, {at.uuid(host) for host in at.sim.hosts})
        huge = at.sim.add_vm("huge", memory=1 << 50)
        value, out = await at.ask(MANAGEMENT, "FindPossibleHostsToRunOn", System=at.system(huge))
        assert (value, [one.tag for one in out["PossibleHosts"].iter("INSTANCENAME")]) == (0, [])


async def test_one_resource_is_added_to_a_machine_and_the_job_tells_its_settings() -> None:
    async with mode_site("xs-cim") as at:
        vm = at.sim.add_vm("web")
        nic = Instance(RASD, {"ResourceType": 10, "Connection": (at.uuid(at.sim.network),)})
        before = set(at.store.related(vm, "VIFs"))
        value, out = await at.ask(
            MANAGEMENT, "AddResourceSetting", AffectedSystem=at.system(vm), ResourceSetting=nic
        )  # fmt: skip
        assert value == 4096
        assert (await at.ended(out))["status"] == "success"
        (added,) = set(at.store.related(vm, "VIFs")) - before
        name, values = job(at, out)
        assert (name, values["ResultingSystem"]) == (xs_jobs.MODIFY, None)
        (told,) = values["AffectedResources"]
        assert at.uuid(added) in told
        assert (await at.ask(MANAGEMENT, "AddResourceSetting", AffectedSystem=at.system(vm)))[0] == 4


async def test_the_settings_of_what_a_running_machine_got_are_those_it_shows() -> None:
    async with mode_site("xs-cim") as at:
        vm = await at.sim.running("web")
        nic = Instance(RASD, {"ResourceType": 10, "Connection": (at.uuid(at.sim.network),)})
        before = set(at.store.related(vm, "VIFs"))
        _, out = await at.ask(MANAGEMENT, "AddResourceSetting", AffectedSystem=at.system(vm), ResourceSetting=nic)
        assert (await at.ended(out))["status"] == "success"
        (added,) = set(at.store.related(vm, "VIFs")) - before
        assert at.store.get(added)["currently_attached"] is True
        shown = path_of(at, added, "Xen_NetworkPortSettingData")
        assert job(at, out)[1]["AffectedResources"] == (model_path(shown, {}),)


async def test_one_key_value_pair_is_added_as_a_resource() -> None:
    async with mode_site("xs-cim") as at:
        vm = await at.sim.running("web")
        pair = Instance("Xen_KVPSettingData", {"key": "role", "value": "shop"})
        value, out = await at.ask(
            MANAGEMENT, "AddResourceSetting", AffectedSystem=at.system(vm), ResourceSetting=pair
        )  # fmt: skip
        assert (value, (await at.ended(out))["status"]) == (4096, "success")
        assert at.store.get(vm)["xenstore_data"]["role"] == "shop"
        (told,) = job(at, out)[1]["AffectedResources"]
        assert told.endswith(f'Xen_KVPSettingData.InstanceID="Xen:{at.uuid(vm)}/role"')


async def test_a_machine_that_is_defined_is_told_beside_its_job() -> None:
    async with mode_site("xs-cim") as at:
        system = Instance(VSSD, {"ElementName": "new"})
        value, out = await at.ask(MANAGEMENT, "DefineSystem", SystemSettings=system)
        vm = at.made(out, "ResultingSystem", "VM")
        assert (value, at.store.get(vm)["name_label"]) == (4096, "new")
        assert (await at.ended(out))["status"] == "success"
        assert job(at, out)[0] == xs_jobs.CREATE


async def test_snapshots_are_taken_applied_and_destroyed_at_once() -> None:
    async with mode_site("xs-cim") as at:
        vm = at.sim.add_vm("web")
        value, out = await at.ask(SNAPSHOTS, "CreateSnapshot", AffectedSystem=at.system(vm))
        snapshot = path_in(out["ResultingSnapshot"])
        assert (value, set(out), snapshot.classname) == (0, {"ResultingSnapshot"}, "Xen_ComputerSystemSnapshot")
        assert await at.ask(SNAPSHOTS, "ApplySnapshot", Snapshot=snapshot) == (0, {})
        assert await at.ask(SNAPSHOTS, "DestroySnapshot", AffectedSnapshot=snapshot) == (0, {})
        assert at.store.related(vm, "snapshots") == ()
        (able,) = at.pool.provider.extents(CIMV2, "Xen_VirtualSystemSnapshotServiceCapabilities")
        (values,) = [one.values for one in able]
        assert (values["SynchronousMethodsSupported"], values["AynchronousMethodsSupported"]) == ((2, 3, 4), ())


# ---- the pool of hosts


async def of_pool(at: Site, method: str, **params: Any) -> int:
    path = path_of(at, at.sim.pool, "Xen_HostPool")
    value, out = await at.invoke(path, method, **params)
    assert out == {}
    return int(value)


async def test_the_pool_is_named_described_and_given_its_storage() -> None:
    async with mode_site("xs-cim") as at:
        assert await of_pool(at, "Create", Name="shop", Description="of hosts") == 0
        assert await of_pool(at, "Create", Description="of two") == 0
        record = at.store.get(at.sim.pool)
        assert (record["name_label"], record["name_description"]) == ("shop", "of two")
        sr = at.sim.add_sr("other", 100 * GIB)
        assert await of_pool(at, "SetDefaultStoragePool", StoragePool=path_of(at, sr, "Xen_StoragePool")) == 0
        assert at.store.get(at.sim.pool)["default_SR"] == sr
        assert await of_pool(at, "SetDefaultStoragePool") == 4


async def test_a_host_leaves_the_pool_and_the_coordinator_stays() -> None:
    async with mode_site("xs-cim", hosts=2) as at:
        coordinator, member = at.sim.hosts
        with pytest.raises(CimError) as caught:
            await of_pool(at, "RemoveHost", Host=at.host(coordinator))
        assert (caught.value.status, "Cannot_eject_master" in caught.value.text) == (1, True)
        assert await of_pool(at, "RemoveHost", Host=at.host(member)) == 0
        assert set(at.store.all("host")) == {coordinator}
        assert await of_pool(at, "RemoveHost") == 4


async def test_high_availability_is_switched_on_and_off_with_the_default_storage() -> None:
    async with mode_site("xs-cim", hosts=3) as at:
        at.sim.change(at.sim.pool, default_SR=NULL_REF)
        assert await of_pool(at, "EnableHighAvailability") == 2
        at.sim.change(at.sim.pool, default_SR=at.sim.sr)
        assert await of_pool(at, "EnableHighAvailability") == 0
        assert at.store.get(at.sim.pool)["ha_enabled"] is True
        assert at.shown(path_of(at, at.sim.pool, "Xen_HostPool"))["HighAvailabilityEnabled"] is True
        assert await of_pool(at, "EnableHighAvailability") == 2
        assert await of_pool(at, "DisableHighAvailability") == 0
        assert at.store.get(at.sim.pool)["ha_enabled"] is False
        assert await of_pool(at, "DisableHighAvailability") == 2


# ---- jobs

TASKS = {
    "Async.VM.start": xs_jobs.STATE_CHANGE, "Async.host.disable": xs_jobs.STATE_CHANGE,
    "CIM.RequestStateChange": xs_jobs.STATE_CHANGE, "CIM.DefineSystem": xs_jobs.CREATE,
    "CIM.CopySystem": xs_jobs.CREATE, "CIM.RemoveResourceSettings": xs_jobs.MODIFY,
    "CIM.DestroySystem": xs_jobs.MANAGEMENT, "Async.VM.pool_migrate": xs_jobs.MIGRATION,
    "CIM.MigrateVirtualSystemToHost": xs_jobs.MIGRATION, "CIM.ConnectToDiskImage": xs_jobs.CONNECT_DISK,
    "CIM.DisconnectFromDiskImage": xs_jobs.DISCONNECT_DISK, "Async.VM.snapshot": xs_jobs.JOB,
}  # fmt: skip


@pytest.mark.parametrize("name", TASKS)
def test_each_kind_of_work_has_its_class_of_jobs(name: str) -> None:
    found = ModePool("xs-cim")
    found.add("task", "task", name_label=name, status="pending")
    shown = found.shown_as("Xen_ConcreteJob", "task", TASKS[name])
    assert (shown.values["ResultingSystem"], shown.values["AffectedResources"]) == (None, None)
    graph = found.provider.graph(CIMV2)
    assert graph.is_a(TASKS[name], "Xen_ConcreteJob")


async def test_a_client_that_leaves_while_its_system_is_made_leaves_the_job() -> None:
    async with mode_site("xs-cim") as at:
        vm = at.sim.add_vm("web")
        asked = at.pool.call(at.service(MANAGEMENT), "DefineSystem", ReferenceConfiguration=configuration(at, vm))
        asking = asyncio.ensure_future(asked)
        await at.store.wait(at.store.revision, None)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        (task,) = [one for one in at.store.all("task").values() if one["name_label"] == "CIM.DefineSystem"]
        await at.sim.pass_time(600)
        assert at.store.get(task.ref)["status"] == "success"


async def test_a_system_that_takes_long_is_told_by_its_job_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    async with mode_site("xs-cim") as at:
        monkeypatch.setattr(xs_jobs, "PATIENCE", 0.05)
        vm = at.sim.add_vm("web")
        asked = {"ReferenceConfiguration": configuration(at, vm)}
        value, out = await at.pool.call(at.service(MANAGEMENT), "DefineSystem", **asked)  # the clock stands still
        assert (value, set(out)) == (4096, {"Job"})
        assert at.store.get(await resulting(at, out))["name_label"] == "web"
