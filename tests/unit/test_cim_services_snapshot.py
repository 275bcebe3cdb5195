"""Snapshots and migration: what the services do, what they refuse, and what they leave."""

from __future__ import annotations

from typing import Any

import pytest
from cim_pool import path_in
from cim_services import GIB, MIGRATION, SNAPSHOTS, VSSD, Instance, Site, site

from cim_provider.mapping.subject import Subject
from cim_provider.profiles.snapshot import APPLIED, snapshot_types_enabled


async def machine(at: Site, state: str) -> str:
    if state == "Halted":
        return at.sim.add_vm("web", memory=GIB // 4)
    vm = await at.sim.running("web", memory=GIB // 4)
    if state != "Running":
        await at.sim.call({"Paused": "VM.pause", "Suspended": "VM.suspend"}[state], vm)
    return vm


async def snapshot(at: Site, vm: str, kind: int | None = None, **settings: Any) -> str:
    given = Instance("CIM_VirtualSystemSettingData", settings) if settings else None
    value, out = await at.ask(
        SNAPSHOTS, "CreateSnapshot", AffectedSystem=at.system(vm), SnapshotSettings=given, SnapshotType=kind
    )
    assert value == 0
    return at.made(out, "ResultingSnapshot", "VM")


@pytest.mark.parametrize("kind", [2, 3])
@pytest.mark.parametrize("state", ["Halted", "Running", "Paused", "Suspended"])
async def test_a_snapshot_is_taken_of_the_types_that_the_capabilities_tell(state: str, kind: int) -> None:
    async with site() as at:
        vm = await machine(at, state)
        (capable,) = [p for p in at.related(at.system(vm), "Xen_ElementCapabilities") if "Snapshot" in p.classname]
        enabled = at.shown(capable)["SnapshotTypesEnabled"]
        assert enabled == snapshot_types_enabled(Subject(at.pool.source, at.store.get(vm)))
        value, out = await at.ask(
            SNAPSHOTS, "CreateSnapshot", AffectedSystem=at.system(vm), SnapshotType=kind
        )  # fmt: skip
        if kind not in enabled:
            assert (value, out, at.store.related(vm, "snapshots")) == (5, {}, ())
            return
        taken = at.store.get(at.made(out, "ResultingSnapshot", "VM"))
        assert (value, taken["snapshot_of"]) == (0, vm)
        assert (taken["power_state"] == "Suspended") == (kind == 2)


async def test_a_snapshot_has_the_name_that_was_asked_and_its_machine() -> None:
    async with site() as at:
        vm = await machine(at, "Halted")
        taken = await snapshot(at, vm, ElementName="before", Description="the change")
        record = at.store.get(taken)
        assert (record["name_label"], record["name_description"]) == ("before", "the change")
        assert at.related(at.system(vm), "Xen_SnapshotOfVirtualSystem") == [at.settings(taken)]
        assert at.related(at.settings(taken), "Xen_SnapshotOfVirtualSystem") == [at.system(vm)]


async def test_a_snapshot_type_that_is_none_is_an_invalid_type_and_settings_that_cannot_be_are_invalid() -> None:
    async with site() as at:
        vm = at.system(await machine(at, "Halted"))
        assert await at.ask(SNAPSHOTS, "CreateSnapshot", AffectedSystem=vm, SnapshotType=4) == (6, {})
        settings = Instance(VSSD, {"VirtualSystemType": "x"})
        assert await at.ask(
            SNAPSHOTS, "CreateSnapshot", AffectedSystem=vm, SnapshotSettings=settings
        ) == (4, {})  # fmt: skip
        assert await at.ask(SNAPSHOTS, "CreateSnapshot") == (4, {})


async def test_applying_a_snapshot_brings_the_machine_back_and_says_so() -> None:
    async with site() as at:
        vm = await machine(at, "Halted")
        taken = await snapshot(at, vm)
        assert at.related(at.system(vm), "Xen_LastAppliedSnapshot") == []
        at.sim.change(vm, name_description="changed", VCPUs_max=7)
        assert await at.ask(SNAPSHOTS, "ApplySnapshot", Snapshot=at.settings(taken)) == (0, {})
        assert at.store.get(vm)["VCPUs_max"] == 1
        assert at.related(at.system(vm), "Xen_LastAppliedSnapshot") == [at.settings(taken)]
        assert at.related(at.settings(taken), "Xen_LastAppliedSnapshot") == [at.system(vm)]
        later = await snapshot(at, vm)
        assert await at.ask(SNAPSHOTS, "ApplySnapshot", Snapshot=at.settings(later)) == (0, {})
        assert at.related(at.system(vm), "Xen_LastAppliedSnapshot") == [at.settings(later)]


async def test_the_snapshot_applied_last_is_told_by_whichever_face_it_was_applied() -> None:
    async with site() as at:
        vm, link = await machine(at, "Halted"), "Xen_LastAppliedSnapshot"
        first = await at.sim.call("VM.snapshot", vm, "first")
        assert await at.ask(SNAPSHOTS, "ApplySnapshot", Snapshot=at.settings(first)) == (0, {})
        second = await at.sim.call("VM.snapshot", vm, "second")  # it has what the machine noted of the first
        assert at.related(at.system(vm), link) == [at.settings(first)]
        await at.sim.call("VM.revert", second)
        assert at.related(at.system(vm), link) == [at.settings(second)]
        assert at.related(at.settings(second), link) == [at.system(vm)]
        assert at.related(at.settings(first), link) == []
        await at.sim.call("VM.revert", first)
        assert at.related(at.system(vm), link) == [at.settings(first)]
        copy = await at.sim.call("VM.clone", vm, "copy")
        assert at.related(at.system(copy), link) == []
        assert await at.ask(SNAPSHOTS, "DestroySnapshot", AffectedSnapshot=at.settings(first)) == (0, {})
        assert at.related(at.system(vm), link) == []


async def test_a_machine_that_was_made_anew_from_a_snapshot_was_reverted_to_it() -> None:
    async with site() as at:
        vm = await machine(at, "Halted")
        taken = await at.sim.call("VM.snapshot", vm, "taken")
        await at.sim.call("VM.destroy", vm)
        await at.sim.call("VM.revert", taken)
        anew = at.store.get(taken)["snapshot_of"]
        assert at.related(at.system(anew), "Xen_LastAppliedSnapshot") == [at.settings(taken)]


async def test_a_machine_of_a_server_that_does_not_tell_has_what_was_noted() -> None:
    async with site() as at:
        vm = await machine(at, "Halted")
        taken = await at.sim.call("VM.snapshot", vm, "taken")
        at.sim.change(vm, other_config={APPLIED: at.uuid(taken)})
        assert at.related(at.system(vm), "Xen_LastAppliedSnapshot") == [at.settings(taken)]
        assert at.related(at.settings(taken), "Xen_LastAppliedSnapshot") == [at.system(vm)]


async def test_a_machine_grows_from_the_snapshot_taken_or_applied_last_by_whichever_face() -> None:
    async with site() as at:
        vm, link = await machine(at, "Halted"), "CIM_MostCurrentSnapshotInBranch"
        assert at.related(at.system(vm), link) == []
        first = await snapshot(at, vm)
        assert at.related(at.system(vm), link) == [at.settings(first)]
        second = await at.sim.call("VM.snapshot", vm, "second")
        assert at.related(at.system(vm), link) == [at.settings(second)]
        assert at.related(at.settings(first), link) == []
        assert at.related(at.settings(second), link) == [at.system(vm)]
        await at.sim.call("VM.revert", first)
        assert at.related(at.system(vm), link) == [at.settings(first)]
        assert await at.ask(SNAPSHOTS, "DestroySnapshot", AffectedSnapshot=at.settings(first)) == (0, {})
        assert at.related(at.system(vm), link) == []
        at.sim.change(vm, parent=at.sim.add_vm("other"))
        assert at.related(at.system(vm), link) == []


@pytest.mark.parametrize("kind", [2, 3])
async def test_destroying_a_snapshot_leaves_nothing_of_it(kind: int) -> None:
    async with site() as at:
        vm = await machine(at, "Running")
        before = at.sim.picture()["volumes"]
        taken = await snapshot(at, vm, kind)
        assert at.sim.picture()["volumes"] != before
        assert await at.ask(SNAPSHOTS, "DestroySnapshot", AffectedSnapshot=at.settings(taken)) == (0, {})
        assert at.store.find(taken) is None
        assert at.sim.picture()["volumes"] == before


async def test_a_snapshot_that_is_blocked_stays_and_no_job_tries() -> None:
    async with site() as at:
        vm = await machine(at, "Halted")
        taken = await snapshot(at, vm)
        at.mode("always")
        at.sim.change(taken, blocked_operations={"revert": "keep", "destroy": "keep"})
        before = len(at.store.all("task"))
        assert await at.ask(SNAPSHOTS, "ApplySnapshot", Snapshot=at.settings(taken)) == (5, {})
        assert await at.ask(SNAPSHOTS, "DestroySnapshot", AffectedSnapshot=at.settings(taken)) == (5, {})
        assert len(at.store.all("task")) == before


async def test_settings_of_a_machine_are_no_snapshot() -> None:
    async with site() as at:
        vm = await machine(at, "Halted")
        assert await at.ask(SNAPSHOTS, "ApplySnapshot", Snapshot=at.settings(vm)) == (6, {})
        assert await at.ask(SNAPSHOTS, "DestroySnapshot", AffectedSnapshot=at.settings(vm)) == (6, {})


async def test_while_methods_do_not_wait_the_job_tells_the_snapshot() -> None:
    async with site(mode="always") as at:
        vm = await machine(at, "Halted")
        value, out = await at.ask(SNAPSHOTS, "CreateSnapshot", AffectedSystem=at.system(vm))
        assert value == 4096
        await at.ended(out)
        job = path_in(out["Job"])
        effects = {tuple(link["ElementEffects"]) for link in at.links(job, "Xen_AffectedJobElement")}
        assert effects == {("2",), ("5",)}
        classes = {path.classname for path in at.related(job, "Xen_AffectedJobElement")}
        assert classes == {"Xen_ComputerSystem", VSSD}
        assert at.related(job, "Xen_OwningJobElement") == [at.service(SNAPSHOTS)]


async def test_a_snapshot_that_a_xen_api_client_takes_is_a_job_of_the_snapshot_service() -> None:
    async with site() as at:
        vm = await machine(at, "Halted")
        task = await at.pool.source.call(at.pool.principal, "Async.VM.snapshot", vm, "s", ())
        await at.sim.pass_time(60)
        job = at.pool.provider.extent(_view("Xen_ConcreteJob")).of(at.store.get(task))[0].path
        assert VSSD in {path.classname for path in at.related(job, "Xen_AffectedJobElement")}
        assert at.related(job, "Xen_OwningJobElement") == [at.service(SNAPSHOTS)]


def _view(name: str) -> Any:
    from cim_provider.mapping.view import VIEWS

    return VIEWS[name]


# Migration


def _settings(kind: int | None) -> Instance | None:
    return None if kind is None else Instance("CIM_VirtualSystemMigrationSettingData", {"MigrationType": kind})


@pytest.mark.parametrize("kind", [None, 2, 3, 4])
@pytest.mark.parametrize("method", ["MigrateVirtualSystemToHost", "MigrateVirtualSystemToSystem"])
async def test_a_running_machine_moves_and_runs_there(method: str, kind: int | None) -> None:
    async with site(hosts=2) as at:
        vm = await machine(at, "Running")
        other = next(host for host in at.sim.hosts if host != at.store.get(vm)["resident_on"])
        target: dict[str, Any] = {"DestinationSystem": at.host(other)}
        if method.endswith("Host"):
            target = {"DestinationHost": at.store.get(other)["hostname"]}
        check = method.replace("MigrateVirtualSystem", "CheckVirtualSystemIsMigratable")
        given = {"ComputerSystem": at.system(vm), "MigrationSettingData": _settings(kind), **target}
        value, out = await at.ask(MIGRATION, check, **given)
        assert (value, out["IsMigratable"].findtext("VALUE")) == (0, "true")
        value, out = await at.ask(MIGRATION, method, **given)
        record = at.store.get(vm)
        assert (value, record["power_state"], record["resident_on"]) == (0, "Running", other)
        if method.endswith("System"):
            assert path_in(out["NewComputerSystem"]) == at.system(vm)


async def test_a_machine_that_cannot_move_is_not_migratable_and_asking_for_it_tells_why() -> None:
    async with site(hosts=2) as at:
        halted, running = await machine(at, "Halted"), await at.sim.running("two")
        here = at.store.get(running)["resident_on"]
        there = next(host for host in at.sim.hosts if host != here)
        rows = [
            (halted, there, None, 5), (running, here, None, 5), (running, there, 1, 1), (running, there, 9, 1),
        ]  # fmt: skip
        for vm, host, kind, code in rows:
            given = {"ComputerSystem": at.system(vm), "DestinationSystem": at.host(host),
                     "MigrationSettingData": _settings(kind)}  # fmt: skip
            value, out = await at.ask(MIGRATION, "CheckVirtualSystemIsMigratableToSystem", **given)
            assert (value, out["IsMigratable"].findtext("VALUE")) == (0, "false")
            assert await at.ask(MIGRATION, "MigrateVirtualSystemToSystem", **given) == (code, {})


@pytest.mark.parametrize(
    "form", ["{}", "https://{}", "https://{}:443/", "{}:5989", "[{}]", "[{}]:443", "http://[{}]:80/x"]
)
async def test_a_destination_may_be_written_as_a_host_with_scheme_and_port(form: str) -> None:
    async with site(hosts=2) as at:
        vm = await machine(at, "Running")
        here, there = at.sim.hosts
        at.sim.change(here, address="fe80::1")
        at.sim.change(there, address="fe80::1:443")
        for address, expected in (("fe80::1:443", "true"), (at.uuid(there).upper(), "true"), ("fe80::1", "false")):
            if address.startswith("fe80") and ("[" not in form and form != "{}"):
                continue  # an IPv6 address needs its brackets
            given = {"ComputerSystem": at.system(vm), "DestinationHost": form.format(address)}
            value, out = await at.ask(MIGRATION, "CheckVirtualSystemIsMigratableToHost", **given)
            assert (value, out["IsMigratable"].findtext("VALUE")) == (0, expected)


async def test_a_destination_that_is_not_in_the_pool_is_invalid_and_a_bandwidth_is_not_supported() -> None:
    async with site(hosts=2) as at:
        vm = at.system(await machine(at, "Running"))
        for name in (None, "", "elsewhere", "elsewhere:443", "https://elsewhere/", "https://", "[]", "10.0.0.9"):
            given = {"ComputerSystem": vm, "DestinationHost": name}
            assert (await at.ask(MIGRATION, "MigrateVirtualSystemToHost", **given))[0] == 4
        slow = Instance("CIM_VirtualSystemMigrationSettingData", {"MigrationType": 2, "Bandwidth": 10})
        given = {"ComputerSystem": vm, "DestinationHost": "h1", "MigrationSettingData": slow}
        assert (await at.ask(MIGRATION, "MigrateVirtualSystemToHost", **given))[0] == 1
