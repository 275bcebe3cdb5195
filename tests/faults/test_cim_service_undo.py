"""Methods of the CIM services fail, and are cancelled, in the middle of each step: the world is as it was before."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from cim_pool import path_in
from cim_services import (
    DISKS,
    GIB,
    MANAGEMENT,
    MIGRATION,
    NICS,
    POOLS,
    SNAPSHOTS,
    VSSD,
    FaultRule,
    Instance,
    Path,
    Site,
    site,
)

from cim_provider.schema.objects import CIMV2, FAILED, CimError
from cim_provider.undo_log import UndoLog, undoes
from xenapi_core.bridge.source import Principal, Source
from xenapi_core.testing.faults import Faulty
from xenapi_core.testing.virtual_time import drive

Prepared = tuple[Path, str, dict[str, Any]]
# What the pool does without: a figure that will be read again.
FORGIVEN = {"usage"}


@dataclass(frozen=True)
class Scenario:
    """A method, and a pool in which it succeeds."""

    name: str
    prepare: Callable[[Site], Awaitable[Prepared]]


SCENARIOS: list[Scenario] = []


def scenario(prepare: Callable[[Site], Awaitable[Prepared]]) -> None:
    SCENARIOS.append(Scenario(prepare.__name__, prepare))


@scenario
async def define(at: Site) -> Prepared:
    disks = tuple(Instance(DISKS, {"VirtualQuantity": GIB}) for _ in range(2))
    nic = Instance(NICS, {"PoolID": at.uuid(at.sim.network)})
    given = {"SystemSettings": Instance(VSSD, {"ElementName": "new"}), "ResourceSettings": (*disks, nic)}
    return at.service(MANAGEMENT), "DefineSystem", given


@scenario
async def define_from_template(at: Site) -> Prepared:
    sr = at.uuid(at.sim.sr)
    disks = f'<provision><disk device="3" size="{GIB}" sr="{sr}" bootable="true" type="system"/></provision>'
    template = at.sim.add_vm("pattern", disks=1, is_a_template=True, other_config={"disks": disks})
    given = {
        "SystemSettings": Instance(VSSD, {"ElementName": "new", "Notes": ("x",)}),
        "ResourceSettings": (Instance(DISKS, {"VirtualQuantity": GIB}),),
        "ReferenceConfiguration": at.settings(template),
    }
    return at.service(MANAGEMENT), "DefineSystem", given


@scenario
async def add_to_a_running_machine(at: Site) -> Prepared:
    vm = await at.sim.running()
    given = {
        "AffectedConfiguration": at.settings(vm, "State"),
        "ResourceSettings": (
            Instance(DISKS, {"VirtualQuantity": GIB}), Instance(NICS, {"PoolID": at.uuid(at.sim.network)}),
        ),
    }  # fmt: skip
    return at.service(MANAGEMENT), "AddResourceSettings", given


@scenario
async def modify_a_running_machine(at: Site) -> Prepared:
    vm = await at.sim.running(VCPUs_max=4, memory_static_min=GIB // 2, memory_dynamic_min=GIB // 2, memory_target=GIB)
    other = at.sim.add("network", name_label="other", bridge="xenbr1", MTU=1500)
    (vif,) = (at.store.get(ref) for ref in at.store.related(vm, "VIFs"))
    settings = (
        at.copy(at.settings(vm, "State/Processor", "Xen_ProcessorSettingData"), VirtualQuantity=2),
        at.copy(at.settings(vm, "Memory", "Xen_MemorySettingData"), Limit=GIB // 2),
        at.copy(at.settings(vm, str(vif["uuid"]), NICS), Connection=(at.uuid(other),), PoolID=None),
    )
    return at.service(MANAGEMENT), "ModifyResourceSettings", {"ResourceSettings": settings}


@scenario
async def remove_from_a_running_machine(at: Site) -> Prepared:
    vm = await at.sim.running(disks=2)
    vbds = [at.store.get(ref) for ref in at.store.related(vm, "VBDs")]
    (vif,) = (at.store.get(ref) for ref in at.store.related(vm, "VIFs"))
    disk = next(vbd for vbd in vbds if vbd["userdevice"] == "1")
    chosen = (at.settings(vm, f"State/{disk['uuid']}", DISKS), at.settings(vm, f"State/{vif['uuid']}", NICS))
    return at.service(MANAGEMENT), "RemoveResourceSettings", {"ResourceSettings": chosen}


@scenario
async def snapshot_with_memory(at: Site) -> Prepared:
    vm = await at.sim.running()
    settings = Instance("CIM_VirtualSystemSettingData", {"ElementName": "s", "Description": "why"})
    given = {"AffectedSystem": at.system(vm), "SnapshotType": 2, "SnapshotSettings": settings}
    return at.service(SNAPSHOTS), "CreateSnapshot", given


async def _migration(at: Site, kind: int) -> Prepared:
    vm = await at.sim.running()
    other = next(host for host in at.sim.hosts if host != at.store.get(vm)["resident_on"])
    settings = Instance("CIM_VirtualSystemMigrationSettingData", {"MigrationType": kind})
    given = {"ComputerSystem": at.system(vm), "DestinationSystem": at.host(other), "MigrationSettingData": settings}
    return at.service(MIGRATION), "MigrateVirtualSystemToSystem", given


@scenario
async def migrate_live(at: Site) -> Prepared:
    return await _migration(at, 2)


@scenario
async def empty_a_host(at: Site) -> Prepared:
    vm = at.sim.add_vm()
    await at.sim.call("VM.start_on", vm, at.sim.hosts[1], False, False)
    await at.pool.source.call(at.pool.principal, "host.enable", at.sim.hosts[1])  # the undo asks for that too
    await at.sim.pass_time(30)
    return at.host(at.sim.hosts[1]), "RequestStateChange", {"RequestedState": 3}


@scenario
async def move_a_machine_with_new_settings(at: Site) -> Prepared:
    path, method, given = await _migration(at, 2)
    return path, method, {**given, "NewSystemSettingData": Instance(VSSD, {"ElementName": "moved", "Notes": ("x",)})}


@scenario
async def connect_hosts_to_storage(at: Site) -> Prepared:
    (pbd,) = (ref for ref in at.store.related(at.sim.sr, "PBDs") if at.store.get(ref)["host"] == at.sim.hosts[1])
    await at.sim.call("PBD.unplug", pbd)
    devices = at.related(at.host(at.sim.hosts[1]), "Xen_SystemDevice")
    pool = Path.of("Xen_StoragePool", {"InstanceID": f"Xen:StoragePool/{at.uuid(at.sim.sr)}"}, CIMV2)
    return at.service(POOLS), "AddResourcesToResourcePool", {"HostResources": tuple(devices), "Pool": pool}


# What a machine that was saved and went on has another of.
RENEWED = {"domid", "start_time"}


def picture(at: Site) -> dict[str, Any]:
    """Everything there is, but for RENEWED."""
    found = at.sim.picture()
    found["records"] = {
        ref: {name: value for name, value in record.items() if name not in RENEWED}
        for ref, record in found["records"].items()
    }
    return found


def calls_of(drivers: list[Faulty]) -> list[str]:
    return [name for driver in drivers for name in driver.calls]


async def outcome(at: Site, path: Path, method: str, given: dict[str, Any]) -> int:
    """The return value; 2 (Failed) for CIM_ERR_FAILED, which tells the error of a driver."""
    try:
        value, _ = await at.invoke(path, method, **given)
    except CimError as error:
        return 2 if error.status == FAILED else -error.status
    return value


async def calls_made(chosen: Scenario) -> int:
    """How many driver calls the method makes when nothing fails."""
    async with site(hosts=2) as at:
        path, method, given = await chosen.prepare(at)
        drivers = at.faulty()
        value, _ = await at.invoke(path, method, **given)
        assert value == 0
        return len(calls_of(drivers))


class Turn:
    """Rules that fire at the n-th call of any driver: one counter for all."""

    def __init__(self, number: int, **rule: Any) -> None:
        self.rule = FaultRule(after=number, **rule)

    def put(self, at: Site) -> list[Faulty]:
        return at.faulty(self.rule)


@pytest.mark.parametrize("chosen", SCENARIOS, ids=lambda chosen: chosen.name)
async def test_a_failure_of_each_step_leaves_the_world_as_it_was(chosen: Scenario) -> None:
    total = await calls_made(chosen)
    assert total > 0
    for number in range(total):
        async with site(hosts=2) as at:
            path, method, given = await chosen.prepare(at)
            turn = Turn(number)
            drivers = turn.put(at)
            before = picture(at)
            value = await outcome(at, path, method, given)
            assert (turn.rule.fired, value >= 0) == (1, True)
            failed = calls_of(drivers)
            if value == 0:
                assert FORGIVEN & set(failed), (number, failed)
                continue
            assert picture(at) == before, (number, failed)


@pytest.mark.parametrize("chosen", SCENARIOS, ids=lambda chosen: chosen.name)
async def test_a_cancel_in_each_step_leaves_the_world_as_it_was_or_comes_too_late(chosen: Scenario) -> None:
    total = await calls_made(chosen)
    cancelled = 0
    for number in range(total):
        async with site(hosts=2, mode="always") as at:
            path, method, given = await chosen.prepare(at)
            turn = Turn(number, kind="", delay=30.0)
            turn.put(at)
            before = picture(at)
            value, out = await at.invoke(path, method, **given)
            assert value == 4096
            for _ in range(200):
                if turn.rule.fired:
                    break
                await at.pool.clock.advance(1)
            job = path_in(out["Job"])
            code, _ = await at.invoke(job, "RequestStateChange", RequestedState=4)
            assert code in (0, 4096, 4097)  # 4097: it had ended
            task = await at.ended(out)
            if task["status"] == "success":
                continue
            cancelled += 1
            assert task["status"] == "cancelled"
            await at.sim.pass_time(60)
            assert picture(at) == before, number
    assert cancelled > 0


async def test_a_server_that_ends_undoes_what_its_jobs_have_done() -> None:
    async with site(hosts=2, mode="always") as at:
        path, method, given = await SCENARIOS[0].prepare(at)
        turn = Turn(2, kind="", delay=30.0)
        turn.put(at)
        before = picture(at)
        value, out = await at.invoke(path, method, **given)
        assert value == 4096
        while not turn.rule.fired:
            await at.pool.clock.advance(1)
        await drive(at.pool.clock, at.pool.provider.jobs.close())
        assert (await at.ended(out))["status"] == "cancelled"
        assert picture(at) == before


@pytest.mark.parametrize("kind", [3, 4])
async def test_a_machine_that_cannot_start_at_its_destination_runs_again_where_it_was(kind: int) -> None:
    async with site(hosts=2) as at:
        path, method, given = await _migration(at, kind)
        (vm,) = at.store.all("VM")
        origin = at.store.get(vm)["resident_on"]
        other = next(host for host in at.sim.hosts if host != origin)
        driver = at.sim.engine.hypervisors[other]
        name = {3: "resume", 4: "create"}[kind]
        at.sim.engine.hypervisors[other] = Faulty(driver, [FaultRule(name)], at.pool.clock)
        assert await outcome(at, path, method, given) == 2
        record = at.store.get(vm)
        assert (record["power_state"], record["resident_on"]) == ("Running", origin)


def records(at: Site) -> dict[str, set[str]]:
    return {cls: set(at.store.all(cls)) for cls in ("VM", "VDI", "VBD")}


Records = dict[str, set[str]]


async def _machine_to_destroy(at: Site) -> tuple[Records, Prepared]:
    """What there is without the machine, and the call."""
    before, vm = records(at), at.sim.add_vm("old", disks=3)
    for vbd in at.store.related(vm, "VBDs"):
        at.sim.change(vbd, other_config={"owner": ""})
    return before, (at.service(MANAGEMENT), "DestroySystem", {"AffectedSystem": at.system(vm)})


async def _snapshot_to_destroy(at: Site) -> tuple[Records, Prepared]:
    vm = at.sim.add_vm("old", disks=3)
    before = records(at)
    snapshot = await at.sim.call("VM.snapshot", vm, "s", ())
    return before, (at.service(SNAPSHOTS), "DestroySnapshot", {"AffectedSnapshot": at.settings(snapshot)})


@pytest.mark.parametrize("prepare", [_machine_to_destroy, _snapshot_to_destroy])
@pytest.mark.parametrize(
    ("kind", "number", "status"),
    [("failed", 0, "failure"), ("failed", 1, "failure"), ("failed", 2, "failure"), ("", 0, "cancelled"),
     ("", 1, "cancelled")],
)  # fmt: skip
async def test_the_disks_of_what_is_gone_go_too_if_one_of_them_fails_or_the_job_is_cancelled(
    prepare: Callable[[Site], Awaitable[tuple[Records, Prepared]]], kind: str, number: int, status: str
) -> None:
    async with site(mode="always") as at:
        at.sim.add_vm("bystander", disks=1)
        before, (path, method, given) = await prepare(at)
        turn = Turn(number, call="destroy", kind=kind, delay=30.0)
        turn.put(at)
        value, out = await at.pool.call(path, method, **given)
        assert value == 4096
        while not turn.rule.fired:
            await at.pool.clock.advance(1)
        if status == "cancelled":
            await at.pool.call(path_in(out["Job"]), "RequestStateChange", RequestedState=4)
        assert (await at.ended(out))["status"] == status
        assert records(at) == before


async def test_a_job_that_fails_tells_the_error_of_the_step_that_failed() -> None:
    async with site(mode="always") as at:
        path, method, given = await SCENARIOS[0].prepare(at)
        at.faulty(FaultRule("create", after=1))
        _, out = await at.invoke(path, method, **given)
        task = await at.ended(out)
        assert task["status"] == "failure"
        assert task["error_info"][0] == "SR_BACKEND_FAILURE"
        job = at.shown(path_in(out["Job"]))
        assert (job["JobState"], job["PercentComplete"]) == (10, 100)
        value, found = await at.invoke(path_in(out["Job"]), "GetError")
        assert value == 0
        assert "SR_BACKEND_FAILURE" in next(iter(found["Error"].iter("VALUE"))).text


async def test_an_undo_with_a_defect_is_logged_and_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    @undoes("a defect of ours")
    async def defect(source: Source, principal: Principal) -> None:
        raise KeyError("no such thing")

    async with site() as at:
        vm = at.sim.add_vm("half made")
        undo = UndoLog(at.pool.source, at.pool.principal, "a job")
        await undo.add("VM.destroy", vm)
        await undo.add("a defect of ours")
        await undo.unwind()
        assert at.store.find(vm) is None
    assert "a defect of ours" in caplog.text
    assert "KeyError" in caplog.text
