"""RequestedState of machines and hosts: the last request, by whichever face it came, until they leave that state."""

from __future__ import annotations

from typing import Any

import pytest
from cim_services import POWER, FaultRule, Site, site

from cim_provider.schema.objects import CimError
from xenapi_core.ids import NULL_REF
from xenapi_core.testing.virtual_time import drive

CIM = {2: "Running", 3: "Halted", 4: "Halted", 6: "Suspended", 9: "Paused", 10: "Running", 11: "Running"}
# A Xen-API message -> the power state it begins in, its arguments after the machine, and the request it is.
# fmt: off
XENAPI: dict[str, tuple[str, tuple[Any, ...], int]] = {
    "VM.start":          ("Halted", (False, False), 2),
    "VM.clean_shutdown": ("Running", (), 4),
    "VM.shutdown":       ("Running", (), 4),
    "VM.hard_shutdown":  ("Running", (), 3),
    "VM.suspend":        ("Running", (), 6),
    "VM.resume":         ("Suspended", (False, False), 2),
    "VM.pause":          ("Running", (), 9),
    "VM.unpause":        ("Paused", (), 2),
    "VM.clean_reboot":   ("Running", (), 10),
    "VM.hard_reboot":    ("Running", (), 11),
}
# RequestedState -> RequestedPowerState, whose numbers from 12 on are those of that property.
POWERS = {2: "2", 3: "8", 4: "13", 6: "7", 9: "4", 10: "16", 11: "10"}
# fmt: on


def requested(at: Site, vm: str) -> int:
    return int(at.shown(at.system(vm))["RequestedState"])


async def in_state(at: Site, state: str) -> str:
    vm = at.sim.add_vm("web") if state == "Halted" else await at.sim.running("web")
    if state in ("Paused", "Suspended"):
        await at.sim.call({"Paused": "VM.pause", "Suspended": "VM.suspend"}[state], vm)
    return vm


@pytest.mark.parametrize("state", CIM)
async def test_a_request_is_shown_after_it_was_met(state: int) -> None:
    async with site() as at:
        vm = await in_state(at, "Halted" if state == 2 else "Running")
        assert await at.invoke(at.system(vm), "RequestStateChange", RequestedState=state) == (0, {})
        assert (requested(at, vm), at.store.get(vm)["power_state"]) == (state, CIM[state])
        (link,) = at.links(at.system(vm), "Xen_AssociatedPowerManagementService")
        assert link["RequestedPowerState"] == POWERS[state]


@pytest.mark.parametrize("name", XENAPI)
async def test_requests_of_xen_api_clients_count_too(name: str) -> None:
    async with site() as at:
        begins, arguments, expected = XENAPI[name]
        vm = await in_state(at, begins)
        await at.sim.call(name, vm, *arguments)
        assert requested(at, vm) == expected


async def test_nobody_has_asked_a_new_machine_or_a_copy_for_anything() -> None:
    async with site() as at:
        vm = await in_state(at, "Running")
        snapshot = await at.sim.call("VM.snapshot", vm, "s")
        await at.sim.call("VM.hard_shutdown", vm)
        clone = await at.sim.call("VM.clone", vm, "copy")
        assert requested(at, clone) == requested(at, at.sim.add_vm()) == 12
        (link,) = at.links(at.system(clone), "Xen_AssociatedPowerManagementService")
        assert link["RequestedPowerState"] == "12"
        assert at.store.get(snapshot)["requested_state"] == 12


async def test_a_machine_that_stops_by_itself_was_not_asked_to() -> None:
    async with site() as at:
        vm = await in_state(at, "Running")
        assert requested(at, vm) == 2
        at.sim.sim.guest(at.uuid(vm)).poweroff()
        await at.sim.pass_time(30)
        assert (at.store.get(vm)["power_state"], requested(at, vm)) == ("Halted", 5)


async def test_a_reboot_from_within_is_no_request() -> None:
    async with site() as at:
        vm = await in_state(at, "Running")
        domain = at.store.get(vm)["domid"]
        at.sim.sim.guest(at.uuid(vm)).reboot()
        await at.sim.pass_time(60)
        assert at.store.get(vm)["domid"] != domain
        assert (at.store.get(vm)["power_state"], requested(at, vm)) == ("Running", 2)


async def test_a_request_that_failed_is_not_remembered_and_one_in_progress_is_shown() -> None:
    async with site(mode="always") as at:
        vm = await in_state(at, "Running")
        await at.sim.call("VM.hard_shutdown", vm)
        at.faulty(FaultRule("create", delay=5.0))
        value, out = await at.invoke(at.system(vm), "RequestStateChange", RequestedState=2)
        assert (value, requested(at, vm)) == (4096, 2)
        assert (await at.ended(out))["status"] == "failure"
        assert (at.store.get(vm)["power_state"], requested(at, vm)) == ("Halted", 3)


async def test_a_refused_request_changes_nothing_and_power_requests_are_remembered_as_states() -> None:
    async with site() as at:
        vm = await in_state(at, "Running")
        assert (await at.invoke(at.system(vm), "RequestStateChange", RequestedState=7))[0] == 1
        with pytest.raises(CimError):
            await at.invoke(at.system(vm), "RequestStateChange", RequestedStates=3)
        assert requested(at, vm) == 2
        await at.ask(POWER, "RequestPowerStateChange", PowerState=12, ManagedElement=at.system(vm))
        assert requested(at, vm) == 4


def host_requested(at: Site) -> int:
    return int(at.shown(at.host(at.sim.hosts[1]))["RequestedState"])


async def test_requests_to_hosts_are_remembered_through_whichever_face_they_came() -> None:
    async with site(hosts=2) as at:
        host = at.sim.hosts[1]
        at.sim.change(host, power_on_mode="wake-on-lan")
        assert host_requested(at) == 12
        await at.sim.call("host.evacuate", host, NULL_REF, 0)
        assert host_requested(at) == 12
        await at.pool.source.call(at.pool.principal, "host.disable", host, True)
        assert host_requested(at) == 6
        await at.pool.source.call(at.pool.principal, "host.enable", host)
        assert host_requested(at) == 2
        for state in (3, 10, 2, 4, 2):
            assert (await at.invoke(at.host(host), "RequestStateChange", RequestedState=state))[0] == 0
            assert host_requested(at) == state
            await at.sim.pass_time(600)
            assert host_requested(at) == state
        assert host_requested(at) == 2


async def test_a_host_that_goes_down_or_comes_up_by_itself_was_not_asked_to() -> None:
    async with site(hosts=2) as at:
        host = at.sim.hosts[1]
        at.sim.change(host, power_on_mode="wake-on-lan")
        at.sim.sim.hosts[at.uuid(host)].fail()
        await at.sim.pass_time(1)
        assert host_requested(at) == 12
        await at.sim.call("host.power_on", host)
        await at.sim.pass_time(600)
        assert host_requested(at) == 2
        at.sim.sim.hosts[at.uuid(host)].fail()
        await at.sim.pass_time(1)
        assert host_requested(at) == 5
        await at.sim.call("host.power_on", host)
        await at.sim.pass_time(600)
        assert (await at.invoke(at.host(host), "RequestStateChange", RequestedState=4))[0] == 0
        assert host_requested(at) == 4
        await drive(at.pool.clock, at.sim.sim.hosts[at.uuid(host)].power_on("", {}))
        await at.sim.pass_time(600)
        assert host_requested(at) == 5
