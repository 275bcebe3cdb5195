"""Power state changes with a Time: jobs that wait for it, and what is told of them meanwhile."""

from __future__ import annotations

from typing import Any

import pytest
from cim_pool import path_in
from cim_services import MIGRATION, POWER, Path, Site, site

from cim_provider.jobs import followed
from cim_provider.mapping.rule import interval, timestamp
from cim_provider.methods import scheduled_change
from cim_provider.schema.objects import ACCESS_DENIED, CimError
from xenapi_core.errors import ApiError
from xenapi_core.model.lifecycle import POWER_ON_TIME
from xenapi_core.testing.virtual_time import drive

BUSY, STARTED, X = 4099, 4096, 4097
OFF, ON, CYCLE, RESET, GRACEFUL_OFF = 8, 2, 5, 10, 12


async def ask(at: Site, element: Path, state: int, seconds: int, **more: Any) -> Path:
    """The job of a request for a power state in so many seconds."""
    given = {"PowerState": state, "ManagedElement": element, "Time": interval(seconds), **more}
    value, out = await at.pool.call(at.service(POWER), "RequestPowerStateChange", **given)
    assert value == STARTED
    return path_in(out["Job"])


async def pass_time(at: Site, seconds: float) -> None:
    """The clock goes on, and whoever waits looks at it: the loop's own time stands still in a test."""
    await at.pool.clock.advance(seconds)
    at.store.wake()
    await at.sim.pass_time(120)


async def become(at: Site, user: str, password: str) -> None:
    """The calls that follow are those of another user."""
    found = await at.pool.source.authenticate(user, password, "wbem")
    assert found is not None
    at.pool.principal = found


def power(at: Site, element: Path) -> tuple[str, str | None]:
    """RequestedPowerState and PowerOnTime."""
    (link,) = at.links(element, "Xen_AssociatedPowerManagementService")
    return link["RequestedPowerState"], link["PowerOnTime"]


@pytest.mark.parametrize(("state", "shown"), [(ON, "2"), (CYCLE, "5"), (15, "16")])
async def test_the_time_to_switch_on_is_told_until_it_has_come(state: int, shown: str) -> None:
    async with site() as at:
        vm = at.sim.add_vm() if state == ON else await at.sim.running()
        before, due = at.store.get(vm)["power_state"], timestamp(at.pool.clock.now() + 600)
        job = await ask(at, at.system(vm), state, 600)
        assert power(at, at.system(vm)) == (shown, due)
        assert (at.shown(job)["JobState"], at.store.get(vm)["power_state"]) == (4, before)
        first = at.store.get(vm)["domid"]
        await pass_time(at, 300)
        assert at.shown(job)["JobState"] == 4
        await pass_time(at, 300)
        assert at.shown(job)["JobState"] == 7
        assert (at.store.get(vm)["power_state"], power(at, at.system(vm))[1]) == ("Running", None)
        assert at.store.get(vm)["domid"] != first
        assert POWER_ON_TIME not in at.store.get(vm)["other_config"]


async def test_a_machine_is_switched_off_at_a_point_in_time_without_a_time_to_switch_on() -> None:
    async with site() as at:
        vm = await at.sim.running()
        due = timestamp(at.pool.clock.now() + 600)
        job = await ask(at, at.system(vm), GRACEFUL_OFF, 0, Time=due)
        await at.pool.clock.settle()
        assert power(at, at.system(vm))[1] is None
        assert at.related(job, "Xen_OwningJobElement") == [at.service(POWER)]
        assert at.system(vm) in at.related(job, "Xen_AffectedJobElement")
        await pass_time(at, 600)
        assert (at.store.get(vm)["power_state"], at.shown(job)["JobState"]) == ("Halted", 7)


async def test_a_change_that_waits_can_be_killed_and_leaves_nothing() -> None:
    async with site() as at:
        vm = at.sim.add_vm()
        job = await ask(at, at.system(vm), ON, 600)
        await at.pool.clock.settle()
        value, _ = await at.invoke(job, "RequestStateChange", RequestedState=4)
        assert value in (0, STARTED)
        await at.pool.clock.settle()
        assert (at.shown(job)["JobState"], power(at, at.system(vm))[1]) == (8, None)
        await pass_time(at, 900)
        assert at.store.get(vm)["power_state"] == "Halted"


async def test_a_change_that_the_state_forbids_when_its_time_has_come_fails() -> None:
    async with site() as at:
        vm = await at.sim.running()
        job = await ask(at, at.system(vm), CYCLE, 600)
        await at.sim.call("VM.hard_shutdown", vm)
        await pass_time(at, 600)
        shown = at.shown(job)
        assert (shown["JobState"], shown["ErrorDescription"].split()[0]) == (10, "OPERATION_NOT_ALLOWED")
        assert power(at, at.system(vm))[1] is None


async def test_a_clock_that_runs_ahead_of_the_loop_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduled_change, "LOOK", 0.001)
    async with site() as at:
        vm = at.sim.add_vm()
        await ask(at, at.system(vm), ON, 600)
        await at.pool.clock.settle()
        (task,) = at.store.all("task")
        await at.pool.clock.advance(600)  # and nothing happens in the pool
        assert (await drive(at.pool.clock, followed(at.pool.source, task)))["status"] == "success"
        assert at.store.get(vm)["power_state"] == "Running"


async def test_what_ends_with_the_server_is_told_as_terminated() -> None:
    async with site() as at:
        vm = at.sim.add_vm()
        job = await ask(at, at.system(vm), ON, 600)
        await at.pool.clock.settle()
        await at.pool.provider.jobs.close()
        assert (at.shown(job)["JobState"], power(at, at.system(vm))[1]) == (8, None)


async def test_the_last_of_several_times_is_told_and_each_change_happens() -> None:
    async with site() as at:
        vm = at.sim.add_vm()
        late = await ask(at, at.system(vm), ON, 1200)
        await ask(at, at.system(vm), ON, 600)
        await at.pool.clock.settle()
        assert power(at, at.system(vm))[1] == timestamp(at.pool.clock.now() + 600)
        await pass_time(at, 600)
        assert (at.store.get(vm)["power_state"], power(at, at.system(vm))[1]) == ("Running", None)
        await pass_time(at, 600)
        assert at.shown(late)["JobState"] == 7


async def test_a_copy_of_a_machine_does_not_wait_for_its_time() -> None:
    async with site() as at:
        vm = at.sim.add_vm()
        await ask(at, at.system(vm), ON, 600)
        await at.pool.clock.settle()
        copy = await at.sim.call("VM.clone", vm, "copy")
        assert power(at, at.system(copy))[1] is None
        await pass_time(at, 600)
        assert at.store.get(copy)["power_state"] == "Halted"


async def test_a_machine_that_is_reverted_keeps_the_times_it_waits_for_and_no_others() -> None:
    async with site() as at:
        vm = at.sim.add_vm()
        job = await ask(at, at.system(vm), ON, 600)
        await at.pool.clock.settle()
        snapshot = await at.sim.call("VM.snapshot", vm, "before")
        assert POWER_ON_TIME not in at.store.get(snapshot)["other_config"]
        due = power(at, at.system(vm))[1]
        await at.sim.call("VM.revert", snapshot)
        assert (power(at, at.system(vm))[1], due is None) == (due, False)
        await at.invoke(job, "RequestStateChange", RequestedState=4)
        await at.pool.clock.settle()
        await at.sim.call("VM.revert", snapshot)
        assert power(at, at.system(vm))[1] is None


async def test_a_host_is_switched_off_and_on_at_their_times() -> None:
    async with site(hosts=2) as at:
        host = at.sim.hosts[1]
        at.sim.change(host, power_on_mode="wake-on-lan")
        await ask(at, at.host(host), OFF, 600)
        on = await ask(at, at.host(host), ON, 1800)
        await at.pool.clock.settle()
        assert power(at, at.host(host)) == ("2", timestamp(at.pool.clock.now() + 1800))
        metrics = at.store.get(host)["metrics"]
        await pass_time(at, 600)
        assert at.store.get(metrics)["live"] is False
        await pass_time(at, 1200)
        await at.sim.pass_time(600)
        assert (at.store.get(metrics)["live"], at.shown(on)["JobState"]) == (True, 7)
        assert power(at, at.host(host))[1] is None


async def test_a_host_that_is_on_is_enabled_and_one_with_machines_is_not_restarted() -> None:
    async with site() as at:
        host = at.sim.hosts[0]
        vm = await at.sim.running()
        off = await ask(at, at.host(host), CYCLE, 600)
        await pass_time(at, 600)
        assert (at.shown(off)["JobState"], at.store.get(vm)["power_state"]) == (10, "Running")
        await at.pool.source.call(at.pool.principal, "host.disable", host, False)
        on = await ask(at, at.host(host), ON, 600)
        await pass_time(at, 600)
        assert (at.shown(on)["JobState"], at.store.get(host)["enabled"]) == (7, True)


async def test_older_clients_can_name_a_time_too() -> None:
    async with site() as at:
        vm = at.sim.add_vm()
        given = {"PowerState": 1, "Time": interval(600)}
        assert await at.pool.call(at.system(vm), "SetPowerState", **given) == (STARTED, {})
        await at.pool.clock.settle()
        assert power(at, at.system(vm))[1] == timestamp(at.pool.clock.now() + 600)
        await pass_time(at, 600)
        assert at.store.get(vm)["power_state"] == "Running"


async def test_who_may_start_a_machine_may_name_a_time_without_changing_its_settings() -> None:
    async with site() as at:
        vm = at.sim.add_vm()
        await become(at, "operator", "secret")
        with pytest.raises(ApiError) as refused_setting:
            await at.pool.source.call(at.pool.principal, "VM.add_to_other_config", vm, "a", "b")
        assert refused_setting.value.code == "RBAC_PERMISSION_DENIED"
        await ask(at, at.system(vm), ON, 600)
        await at.pool.clock.settle()
        assert power(at, at.system(vm))[1] is not None
        await pass_time(at, 600)
        assert (at.store.get(vm)["power_state"], power(at, at.system(vm))[1]) == ("Running", None)
        await become(at, "guest", "guest")
        before = len(at.store.all("task"))
        with pytest.raises(CimError) as refused:
            await ask(at, at.system(vm), CYCLE, 600)
        assert refused.value.status == ACCESS_DENIED
        assert len(at.store.all("task")) == before


async def test_states_that_cannot_be_scheduled_are_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async with site() as at:
        vm = at.sim.add_vm()

        async def value(state: int, element: Path) -> int:
            given = {"PowerState": state, "ManagedElement": element, "Time": interval(600)}
            found: int = (await at.pool.call(at.service(POWER), "RequestPowerStateChange", **given))[0]
            return found

        assert [await value(state, at.system(vm)) for state in (11, 13)] == [1, 1]
        assert await value(RESET, at.host(at.sim.hosts[0])) == 1
        monkeypatch.setattr(scheduled_change, "MOST", 1)
        assert await value(ON, at.system(vm)) == STARTED
        assert await value(ON, at.system(vm)) == BUSY
        assert at.related(at.service(MIGRATION), "Xen_OwningJobElement") == []
