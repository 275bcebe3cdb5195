"""RequestStateChange and RequestPowerStateChange: every cell of the tables of DSP1057 and DSP1027, for machines and
hosts. What errors of the pool become is in tests/conformance/profiles/test_error_table.py."""

from __future__ import annotations

from typing import Any

import pytest
from cim_services import GIB, POWER, Site, site

from cim_provider.profiles import power_management as power
from cim_provider.schema.objects import ACCESS_DENIED, CimError

STATES = ("Halted", "Running", "Paused", "Suspended")
X = 4097

# RequestedState -> for each of STATES: the power state it leads to, or the return value.
# fmt: off
CELLS: dict[int, tuple[str | int, ...]] = {
    2:  ("Running", 0,           "Running", "Running"),
    3:  (0,         "Halted",    "Halted",  "Halted"),
    4:  (X,         "Halted",    X,         X),
    6:  (X,         "Suspended", X,         X),
    9:  (X,         "Paused",    X,         X),
    10: (X,         "Running",   X,         X),
    11: (X,         "Running",   "Running", X),
    7: (1,) * 4, 8: (1,) * 4, 0: (5,) * 4, 1: (5,) * 4, 5: (5,) * 4, 12: (5,) * 4, 13: (5,) * 4, 32768: (5,) * 4,
}
# PowerState -> RequestedState that it means; None: 1, Not Supported.
POWERS: dict[int, int | None] = {
    2: 2, 3: 9, 4: 9, 5: 10, 6: 3, 7: 6, 8: 3, 9: 11, 10: 11, 12: 4, 13: None, 14: 10, 15: 10, 16: None,
}
# fmt: on


async def machine(at: Site, state: str) -> str:
    if state == "Halted":
        return at.sim.add_vm("web", memory=GIB // 4, disks=0)
    vm = await at.sim.running("web", memory=GIB // 4, disks=0)
    if state != "Running":
        await at.sim.call({"Paused": "VM.pause", "Suspended": "VM.suspend"}[state], vm)
    return vm


def check(at: Site, vm: str, before: str, expected: str | int, value: int) -> None:
    if isinstance(expected, int):
        assert (value, at.store.get(vm)["power_state"]) == (expected, before)
    else:
        assert (value, at.store.get(vm)["power_state"]) == (0, expected)


@pytest.mark.parametrize("state", STATES)
async def test_every_requested_state_from_every_state(state: str) -> None:
    async with site() as at:
        for requested, row in CELLS.items():
            vm = await machine(at, state)
            value, _ = await at.invoke(at.system(vm), "RequestStateChange", RequestedState=requested)
            check(at, vm, state, row[STATES.index(state)], value)


@pytest.mark.parametrize("state", STATES)
async def test_every_power_state_from_every_state(state: str) -> None:
    async with site() as at:
        for requested, meaning in POWERS.items():
            vm = await machine(at, state)
            value, _ = await at.ask(
                POWER, "RequestPowerStateChange", PowerState=requested, ManagedElement=at.system(vm)
            )
            check(at, vm, state, 1 if meaning is None else CELLS[meaning][STATES.index(state)], value)


def test_the_states_of_the_tables_are_those_the_capabilities_tell() -> None:
    assert {key for key, meaning in POWERS.items() if meaning is not None} | {power.NMI} == set(power.REQUESTABLE)
    assert {key: meaning for key, meaning in POWERS.items() if meaning is not None} == power.OF_MACHINE


@pytest.mark.parametrize(
    ("params", "code"),
    [({"PowerState": None}, 5), ({"PowerState": 1}, 5), ({"PowerState": 17}, 5), ({"ManagedElement": None}, 5),
     ({"Time": "20000101000000.000000+000"}, 0), ({"Time": "00000000000000.000000:000"}, 0),
     ({"Time": "2030**************.******+000"}, 5), ({"Time": "tomorrow"}, 5),
     ({"TimeoutPeriod": "00000000000010.000000:000"}, 4098), ({"TimeoutPeriod": "00000000000000.000000:000"}, 0),
     ({"PowerState": 11}, X)],
)  # fmt: skip
async def test_parameters_of_a_power_state_change(params: dict[str, Any], code: int) -> None:
    async with site() as at:
        vm = at.sim.add_vm()
        given = {"PowerState": 2, "ManagedElement": at.system(vm), **params}
        assert (await at.ask(POWER, "RequestPowerStateChange", **given))[0] == code


# RequestedState, and the operation that leads there from a state.
@pytest.mark.parametrize(
    ("state", "requested", "operation"),
    [("Halted", 2, "start"), ("Running", 3, "hard_shutdown"), ("Running", 4, "clean_shutdown"),
     ("Paused", 2, "unpause"), ("Running", 6, "suspend"), ("Suspended", 2, "resume")],
)  # fmt: skip
async def test_a_change_that_is_blocked_is_refused_before_there_is_a_job(
    state: str, requested: int, operation: str
) -> None:
    async with site(mode="always") as at:
        vm = await machine(at, state)
        at.sim.change(vm, blocked_operations={operation: "its owner says so"})
        before = len(at.store.all("task"))
        assert await at.invoke(at.system(vm), "RequestStateChange", RequestedState=requested) == (X, {})
        power = next(key for key, meaning in POWERS.items() if meaning == requested)
        given = {"PowerState": power, "ManagedElement": at.system(vm)}
        assert await at.ask(POWER, "RequestPowerStateChange", **given) == (X, {})
        assert len(at.store.all("task")) == before


async def test_a_change_while_another_is_in_progress_is_busy() -> None:
    async with site(mode="always") as at:
        vm = await machine(at, "Running")
        at.sim.change(vm, current_operations={"OpaqueRef:task": "snapshot"})
        before = len(at.store.all("task"))
        assert await at.invoke(at.system(vm), "RequestStateChange", RequestedState=9) == (4099, {})
        assert len(at.store.all("task")) == before


async def test_who_may_not_change_a_state_is_denied_whatever_is_blocked() -> None:
    async with site() as at:
        from dataclasses import replace

        vm = at.sim.add_vm(blocked_operations={"start": "its owner says so"})
        at.pool.principal = replace(at.pool.principal, roles=frozenset({"read-only"}))
        with pytest.raises(CimError) as error:
            await at.invoke(at.system(vm), "RequestStateChange", RequestedState=2)
        assert error.value.status == ACCESS_DENIED


async def test_a_diagnostic_interrupt_reaches_a_running_guest() -> None:
    async with site() as at:
        vm = await at.sim.running()
        value, _ = await at.ask(POWER, "RequestPowerStateChange", PowerState=11, ManagedElement=at.system(vm))
        assert (value, at.store.get(vm)["power_state"]) == (0, "Running")


# EnabledState as shown -> PowerState (PROFILES: DSP1057 state table).
POWER_OF_STATE = {"Halted": 8, "Running": 2, "Paused": 4, "Suspended": 7}


@pytest.mark.parametrize("state", STATES)
async def test_the_association_tells_the_power_state_and_what_may_be_requested(state: str) -> None:
    async with site() as at:
        vm = await machine(at, state)
        (link,) = at.links(at.system(vm), "Xen_AssociatedPowerManagementService")
        assert link["PowerState"] == str(POWER_OF_STATE[state])
        available = {int(text) for text in link["AvailableRequestedPowerStates"]}
        column = STATES.index(state)
        moves = {key for key, to in POWERS.items() if to is not None and isinstance(CELLS[to][column], str)}
        assert available - {power.NMI} == moves
        assert (power.NMI in available) == (state == "Running")
        assert link["TransitioningToPowerState"] == "19"
        assert at.related(at.system(vm), "Xen_AssociatedPowerManagementService") == [at.service(POWER)]


# Hosts


async def host_state(at: Site, requested: int, host: int = 1) -> int:
    value, _ = await at.invoke(at.host(at.sim.hosts[host]), "RequestStateChange", RequestedState=requested)
    return value


async def test_a_host_goes_into_maintenance_and_comes_back() -> None:
    async with site(hosts=2) as at:
        host = at.sim.hosts[1]
        vm = at.sim.add_vm()
        await at.sim.call("VM.start_on", vm, host, False, False)
        assert await host_state(at, 6) == 0
        assert at.store.get(host)["enabled"] is False
        assert at.store.get(vm)["resident_on"] == host
        assert await host_state(at, 6) == 0
        assert await host_state(at, 2) == 0
        assert at.store.get(host)["enabled"] is True
        await at.sim.pass_time(30)
        assert await host_state(at, 3) == 0
        assert at.store.get(vm)["resident_on"] == at.sim.hosts[0]


async def test_a_host_that_cannot_be_emptied_is_enabled_again() -> None:
    async with site(hosts=1) as at:
        vm = await at.sim.running()
        assert at.store.get(vm)["resident_on"] == at.sim.hosts[0]
        assert await host_state(at, 3, host=0) == 4
        assert at.store.get(at.sim.hosts[0])["enabled"] is True


async def test_a_host_is_restarted_and_switched_off_and_on() -> None:
    async with site(hosts=2) as at:
        host = at.sim.hosts[1]
        at.sim.change(host, power_on_mode="wake-on-lan")
        assert await host_state(at, 10) == 0
        await at.sim.pass_time(600)
        metrics = at.store.get(host)["metrics"]
        assert (at.store.get(metrics)["live"], at.store.get(host)["enabled"]) == (True, True)
        assert await host_state(at, 4) == 0
        assert at.store.get(metrics)["live"] is False
        assert await host_state(at, 4) == 0
        assert await host_state(at, 10) == X
        (link,) = at.links(at.host(host), "Xen_AssociatedPowerManagementService")
        assert link["PowerState"] == "8"
        value, _ = await at.ask(POWER, "RequestPowerStateChange", PowerState=2, ManagedElement=at.host(host))
        assert value == 0
        await at.sim.pass_time(600)
        assert at.store.get(metrics)["live"] is True


async def test_a_host_with_machines_is_not_switched_off() -> None:
    async with site(hosts=1) as at:
        await at.sim.running()
        assert await host_state(at, 4, host=0) == X
        assert at.store.get(at.sim.hosts[0])["enabled"] is True


@pytest.mark.parametrize(("requested", "code"), [(7, 1), (8, 1), (9, 1), (11, 1), (0, 5), (12, 5), (None, 5)])
async def test_states_that_no_host_has(requested: int | None, code: int) -> None:
    async with site() as at:
        value, _ = await at.invoke(at.host(at.sim.hosts[0]), "RequestStateChange", RequestedState=requested)
        assert value == code


# How a host is, the states that may be requested of it then, and the power states.
# fmt: off
HOSTS: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "empty":         ((3, 4, 6, 10), (5, 8, 12, 14, 15)),
    "with a machine": ((3, 6),       ()),
    "in maintenance": ((2, 3, 4, 10), (5, 8, 12, 14, 15)),
    "off":           ((2,),          (2,)),
    "off for good":  ((),            ()),
}
# fmt: on


async def host_that_is(at: Site, state: str) -> str:
    host = at.sim.hosts[1]
    at.sim.change(host, power_on_mode="" if state == "off for good" else "wake-on-lan")
    if state == "with a machine":
        await at.sim.call("VM.start_on", at.sim.add_vm(), host, False, False)
    elif state != "empty":
        assert await host_state(at, 6 if state == "in maintenance" else 4) == 0
    return host


@pytest.mark.parametrize("state", HOSTS)
async def test_a_host_tells_what_may_be_requested_of_it_now(state: str) -> None:
    async with site(hosts=2) as at:
        host = await host_that_is(at, state)
        shown = at.shown(at.host(host))
        assert shown["AvailableRequestedStates"] == HOSTS[state][0]
        requested, power = {"in maintenance": (6, "12"), "off": (4, "13"), "off for good": (4, "13")}.get(
            state, (12, "12")
        )
        assert (shown["RequestedState"], shown["TransitioningToState"]) == (requested, 5)
        (link,) = at.links(at.host(host), "Xen_AssociatedPowerManagementService")
        assert tuple(int(power) for power in link["AvailableRequestedPowerStates"]) == HOSTS[state][1]
        assert (link["RequestedPowerState"], link["TransitioningToPowerState"]) == (power, "19")


@pytest.mark.parametrize("requested", [2, 3, 4, 6, 10])
@pytest.mark.parametrize("state", HOSTS)
async def test_what_a_host_tells_may_be_requested_is_accepted_and_nothing_else_changes_it(
    state: str, requested: int
) -> None:
    async with site(hosts=2) as at:
        await host_that_is(at, state)
        allowed, before = requested in HOSTS[state][0], len(at.store.all("task"))
        value = await host_state(at, requested)
        assert (value == 0) if allowed else (value in (0, 1, X)), value
        assert (len(at.store.all("task")) > before) == allowed


# Operation of the Xen-API in progress on a host -> RequestedState, RequestedPowerState, TransitioningToPowerState.
@pytest.mark.parametrize(
    ("operation", "expected"),
    [("reboot", (10, "16", "5")), ("shutdown", (4, "13", "8")), ("power_on", (2, "2", "2")),
     ("evacuate", (3, "12", "19")), ("vm_start", (12, "12", "19"))],
)  # fmt: skip
async def test_a_host_tells_what_is_being_done_to_it_whoever_asked(
    operation: str, expected: tuple[int, str, str]
) -> None:
    async with site(hosts=2) as at:
        host = at.sim.hosts[1]
        at.sim.change(host, current_operations={"OpaqueRef:task": operation})
        shown = at.shown(at.host(host))
        assert shown["RequestedState"] == expected[0]
        assert shown["TransitioningToState"] == (5 if operation == "vm_start" else expected[0])
        (link,) = at.links(at.host(host), "Xen_AssociatedPowerManagementService")
        assert (link["RequestedPowerState"], link["TransitioningToPowerState"]) == expected[1:]
        going = operation in ("reboot", "shutdown", "power_on")
        assert (shown["AvailableRequestedStates"] == ()) == going


async def test_the_states_of_hosts_are_those_the_capabilities_tell() -> None:
    async with site() as at:
        (path,) = [one for one in at.related(at.host(at.sim.hosts[0]), "Xen_ElementCapabilities")
                   if one.classname == "Xen_HostComputerSystemCapabilities"]  # fmt: skip
        told = at.shown(path)["RequestedStatesSupported"]
        assert set(told) == {state for available, _ in HOSTS.values() for state in available}


# Errors


async def test_who_may_not_call_the_messages_of_a_method_is_denied_before_there_is_a_job() -> None:
    async with site() as at:
        from dataclasses import replace

        from cim_services import MANAGEMENT

        reader = replace(at.pool.principal, roles=frozenset({"read-only"}))
        at.pool.principal = reader
        before = len(at.store.all("task"))
        for service, method in ((MANAGEMENT, "DefineSystem"),):
            with pytest.raises(CimError) as error:
                await at.ask(service, method)
            assert error.value.status == ACCESS_DENIED
        assert len(at.store.all("task")) == before
