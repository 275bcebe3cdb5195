"""RequestStateChange and RequestPowerStateChange: every cell of the tables of DSP1057 and DSP1027, for machines and
hosts, and the return value of every expected error."""

from __future__ import annotations

from typing import Any

import pytest
from cim_services import GIB, POWER, Site, in_time, site

from cim_provider import jobs
from cim_provider.profiles import power_management as power
from cim_provider.schema.objects import ACCESS_DENIED, FAILED, NOT_FOUND, CimError
from xenapi_core.errors import ApiError, E

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
def test_every_requested_state_from_every_state(state: str) -> None:
    async def work() -> None:
        async with site() as at:
            for requested, row in CELLS.items():
                vm = await machine(at, state)
                value, _ = await at.invoke(at.system(vm), "RequestStateChange", RequestedState=requested)
                check(at, vm, state, row[STATES.index(state)], value)

    in_time(work())


@pytest.mark.parametrize("state", STATES)
def test_every_power_state_from_every_state(state: str) -> None:
    async def work() -> None:
        async with site() as at:
            for requested, meaning in POWERS.items():
                vm = await machine(at, state)
                value, _ = await at.ask(
                    POWER, "RequestPowerStateChange", PowerState=requested, ManagedElement=at.system(vm)
                )
                check(at, vm, state, 1 if meaning is None else CELLS[meaning][STATES.index(state)], value)

    in_time(work())


def test_the_states_of_the_tables_are_those_the_capabilities_tell() -> None:
    assert {key for key, meaning in POWERS.items() if meaning is not None} | {power.NMI} == set(power.REQUESTABLE)
    assert {key: meaning for key, meaning in POWERS.items() if meaning is not None} == power.OF_MACHINE


@pytest.mark.parametrize(
    ("params", "code"),
    [({"PowerState": None}, 5), ({"PowerState": 1}, 5), ({"PowerState": 17}, 5), ({"ManagedElement": None}, 5),
     ({"Time": "20300101000000.000000+000"}, 1), ({"TimeoutPeriod": "00000000000010.000000:000"}, 4098),
     ({"TimeoutPeriod": "00000000000000.000000:000"}, 0), ({"PowerState": 11}, X)],
)  # fmt: skip
def test_parameters_of_a_power_state_change(params: dict[str, Any], code: int) -> None:
    async def work() -> None:
        async with site() as at:
            vm = at.sim.add_vm()
            given = {"PowerState": 2, "ManagedElement": at.system(vm), **params}
            assert (await at.ask(POWER, "RequestPowerStateChange", **given))[0] == code

    in_time(work())


def test_a_diagnostic_interrupt_reaches_a_running_guest() -> None:
    async def work() -> None:
        async with site() as at:
            vm = await at.sim.running()
            value, _ = await at.ask(POWER, "RequestPowerStateChange", PowerState=11, ManagedElement=at.system(vm))
            assert (value, at.store.get(vm)["power_state"]) == (0, "Running")

    in_time(work())


# EnabledState as shown -> PowerState (PROFILES: DSP1057 state table).
POWER_OF_STATE = {"Halted": 8, "Running": 2, "Paused": 4, "Suspended": 7}


@pytest.mark.parametrize("state", STATES)
def test_the_association_tells_the_power_state_and_what_may_be_requested(state: str) -> None:
    async def work() -> None:
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

    in_time(work())


# Hosts


async def host_state(at: Site, requested: int, host: int = 1) -> int:
    value, _ = await at.invoke(at.host(at.sim.hosts[host]), "RequestStateChange", RequestedState=requested)
    return value


def test_a_host_goes_into_maintenance_and_comes_back() -> None:
    async def work() -> None:
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

    in_time(work())


def test_a_host_that_cannot_be_emptied_is_enabled_again() -> None:
    async def work() -> None:
        async with site(hosts=1) as at:
            vm = await at.sim.running()
            assert at.store.get(vm)["resident_on"] == at.sim.hosts[0]
            assert await host_state(at, 3, host=0) == 4
            assert at.store.get(at.sim.hosts[0])["enabled"] is True

    in_time(work())


def test_a_host_is_restarted_and_switched_off_and_on() -> None:
    async def work() -> None:
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

    in_time(work())


def test_a_host_with_machines_is_not_switched_off() -> None:
    async def work() -> None:
        async with site(hosts=1) as at:
            await at.sim.running()
            assert await host_state(at, 4, host=0) == X
            assert at.store.get(at.sim.hosts[0])["enabled"] is True

    in_time(work())


@pytest.mark.parametrize(("requested", "code"), [(7, 1), (8, 1), (9, 1), (11, 1), (0, 5), (12, 5), (None, 5)])
def test_states_that_no_host_has(requested: int | None, code: int) -> None:
    async def work() -> None:
        async with site() as at:
            value, _ = await at.invoke(at.host(at.sim.hosts[0]), "RequestStateChange", RequestedState=requested)
            assert value == code

    in_time(work())


# Errors


def told(code: str, *params: str) -> ApiError:
    """An error as a pool tells it, ours or another server's."""
    return E.from_wire([code, *params])


# Error of the Xen-API: code with its parameters -> CIM status, or return values of RequestStateChange, the services
# for systems, and the one for pools.
ERRORS: list[tuple[Any, int | tuple[int, int, int]]] = [
    (told("HANDLE_INVALID", "VM", "x"), NOT_FOUND),
    (told("UUID_INVALID", "VM", "x"), NOT_FOUND),
    (told("SESSION_INVALID", "x"), ACCESS_DENIED),
    (told("SESSION_AUTHENTICATION_FAILED"), ACCESS_DENIED),
    (told("RBAC_PERMISSION_DENIED", "x", "y"), ACCESS_DENIED),
    (told("VM_BAD_POWER_STATE", "x", "halted", "running"), (4097, 5, 4)),
    (told("OPERATION_NOT_ALLOWED", "x"), (4097, 5, 4)),
    (told("OTHER_OPERATION_IN_PROGRESS", "VM", "x", "start", "y"), (4099, 5, 6)),
    (told("VM_MISSING_PV_DRIVERS", "x"), (1, 1, 1)),
    (told("VM_LACKS_FEATURE", "x"), (1, 1, 1)),
    (told("FEATURE_REQUIRES_HVM", "x"), (1, 1, 1)),
    (told("FIELD_TYPE_ERROR", "x"), (5, 4, 5)),
    (told("VALUE_NOT_SUPPORTED", "f", "v", "r"), (5, 4, 5)),
    (told("INVALID_VALUE", "f", "v"), (5, 4, 5)),
    (told("MEMORY_CONSTRAINT_VIOLATION", "x"), (5, 4, 5)),
    (told("INVALID_DEVICE", "x"), (5, 4, 5)),
    (told("MAC_INVALID", "x"), (5, 4, 5)),
    (told("SR_FULL", "1", "0"), (4, 2, 8)),
    (told("HOST_NOT_ENOUGH_FREE_MEMORY", "1", "0"), (4, 2, 8)),
    (told("NO_HOSTS_AVAILABLE"), (4, 2, 8)),
    (told("DEVICE_ALREADY_ATTACHED", "x"), (6, 5, 6)),
    (told("VDI_IN_USE", "x", "y"), (6, 5, 6)),
    (told("SR_HAS_PBD", "x"), (6, 5, 6)),
    (told("MESSAGE_METHOD_UNKNOWN", "x"), (1, 1, 1)),
    (told("NOT_IMPLEMENTED", "x"), (1, 1, 1)),
    (told("VM_REVERT_FAILED", "x", "y"), FAILED),
]


@pytest.mark.parametrize(("error", "expected"), ERRORS, ids=lambda value: getattr(value, "code", ""))
def test_an_error_of_the_pool_is_the_return_value_or_status_of_the_table(error: Any, expected: Any) -> None:
    for codes, position in ((jobs.STATE_CHANGE, 0), (jobs.SYSTEMS, 1), (jobs.POOLS, 2)):
        if isinstance(expected, int):
            with pytest.raises(CimError) as raised:
                jobs.return_code(error, codes)
            assert (raised.value.status, raised.value.text) == (expected, " ".join(error.description))
        else:
            assert jobs.return_code(error, codes) == expected[position]


def test_who_may_not_call_the_messages_of_a_method_is_denied_before_there_is_a_job() -> None:
    async def work() -> None:
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

    in_time(work())
