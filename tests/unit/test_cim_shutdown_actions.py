"""AutomaticShutdownAction: what a machine says shall happen to it when its host goes down, and that it does happen."""

from __future__ import annotations

import pytest
from cim_services import MANAGEMENT, POWER, VSSD, FaultRule, Instance, Site, site

from cim_provider.schema.objects import CimError
from xenapi_core.errors import ApiError

X = 4097  # invalid state transition
SHUT_DOWN, REBOOT = 4, 10


async def machine(at: Site, action: int, state: str = "Running") -> str:
    """A machine on the first host that says what shall happen."""
    vm = await at.sim.running()
    if state == "Paused":
        await at.sim.call("VM.pause", vm)
    system = Instance(VSSD, {"InstanceID": f"Xen:{at.uuid(vm)}", "AutomaticShutdownAction": action})
    assert await at.ask(MANAGEMENT, "ModifySystemSettings", SystemSettings=system) == (0, {})
    return vm


async def ask_host(at: Site, requested: int) -> int:
    path = at.host(at.sim.hosts[0])
    value, _ = await at.invoke(path, "RequestStateChange", RequestedState=requested)
    return value


def is_up(at: Site) -> bool:
    return bool(at.store.get(at.store.get(at.sim.hosts[0])["metrics"])["live"])


def available(at: Site) -> tuple[int, ...]:
    return tuple(at.shown(at.host(at.sim.hosts[0]))["AvailableRequestedStates"])


@pytest.mark.parametrize(
    ("action", "kept", "after"),
    [(2, "hard_shutdown", "Halted"), (3, "suspend", "Suspended"), (4, "clean_shutdown", "Halted")],
)
@pytest.mark.parametrize("state", ["Running", "Paused"])
async def test_a_machine_ends_as_it_says_when_its_host_goes_down(
    action: int, kept: str, after: str, state: str
) -> None:
    async with site() as at:
        vm = await machine(at, action, state)
        assert at.store.get(vm)["other_config"]["auto_poweroff"] == kept
        assert at.shown(at.settings(vm))["AutomaticShutdownAction"] == action
        assert {SHUT_DOWN, REBOOT} <= set(available(at))
        assert await ask_host(at, SHUT_DOWN) == 0
        assert (at.store.get(vm)["power_state"], is_up(at)) == (after, False)


async def test_a_host_that_restarts_saves_the_state_of_its_machines() -> None:
    async with site() as at:
        vm = await machine(at, 3)
        given = {"PowerState": 5, "ManagedElement": at.host(at.sim.hosts[0])}
        assert (await at.ask(POWER, "RequestPowerStateChange", **given))[0] == 0
        await at.sim.pass_time(600)
        assert (at.store.get(vm)["power_state"], is_up(at)) == ("Suspended", True)
        assert at.store.get(at.sim.hosts[0])["enabled"] is True


async def test_one_machine_that_says_nothing_keeps_the_host_and_all_others_on() -> None:
    async with site() as at:
        vm, silent = await machine(at, 4), await at.sim.running("silent")
        assert not {SHUT_DOWN, REBOOT} & set(available(at))
        assert await ask_host(at, SHUT_DOWN) == X
        assert {at.store.get(one)["power_state"] for one in (vm, silent)} == {"Running"}
        at.sim.change(silent, other_config={"auto_poweroff": "no such operation"})
        assert await ask_host(at, SHUT_DOWN) == X
        assert is_up(at)


async def test_clients_of_the_other_interface_meet_the_host_with_its_machines_on() -> None:
    async with site() as at:
        vm = await machine(at, 4)
        host = at.sim.hosts[0]
        await at.pool.source.call(at.pool.principal, "host.disable", host, False)
        with pytest.raises(ApiError) as refused:
            await at.sim.call("host.shutdown", host)
        assert refused.value.code == "HOST_HAS_RESIDENT_VMS"
        assert at.store.get(vm)["power_state"] == "Running"


@pytest.mark.parametrize(
    ("action", "state"), [(2, "Running"), (2, "Paused"), (3, "Running"), (3, "Paused"), (4, "Running")]
)
async def test_machines_come_back_when_their_host_stays_on_in_the_end(action: int, state: str) -> None:
    async with site() as at:
        vm = await machine(at, action, state)
        at.faulty(FaultRule("power_off"))
        with pytest.raises(CimError, match="power_off was made to fail"):
            await ask_host(at, SHUT_DOWN)
        assert (at.store.get(vm)["power_state"], is_up(at)) == (state, True)
        assert at.store.get(at.sim.hosts[0])["enabled"] is True


async def test_settings_without_the_action_leave_it_and_unknown_ones_are_refused() -> None:
    async with site() as at:
        vm = await machine(at, 3)
        for changes, value in (({"AutomaticShutdownAction": None}, 0), ({"AutomaticShutdownAction": 5}, 4)):
            system = Instance(VSSD, {"InstanceID": f"Xen:{at.uuid(vm)}", "ElementName": "renamed", **changes})
            assert (await at.ask(MANAGEMENT, "ModifySystemSettings", SystemSettings=system))[0] == value
            assert at.store.get(vm)["other_config"]["auto_poweroff"] == "suspend"
        system = Instance(VSSD, {"ElementName": "made", "AutomaticShutdownAction": 4})
        value, out = await at.ask(MANAGEMENT, "DefineSystem", SystemSettings=system)
        made = at.made(out, "ResultingSystem", "VM")
        assert (value, at.store.get(made)["other_config"]["auto_poweroff"]) == (0, "clean_shutdown")
