"""libvirt-cim's RequestedState: what was asked for last, whether the machine could be brought there or not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cim_services import FaultRule, Site
from compat_pool import CIMV2, CimError, Path, mode_site

from xenapi_core.model.lifecycle import REFUSED_STATE
from xenapi_core.model.schema import READ_ONLY, VM_OPERATOR

SYSTEM = "Xen_ComputerSystem"
WEB = Path.of(SYSTEM, {"CreationClassName": SYSTEM, "Name": "web"}, CIMV2)


def requested(at: Site, name: str = "web") -> int:
    return int(at.shown(Path.of(SYSTEM, {"CreationClassName": SYSTEM, "Name": name}, CIMV2))["RequestedState"])


async def refused(at: Site, path: Path = WEB, **params: object) -> None:
    with pytest.raises(CimError):
        await at.invoke(path, "RequestStateChange", **params)


@pytest.mark.parametrize("state", [3, 9, 11, 6, 77])
async def test_a_refused_state_is_shown_until_another_request_is_met(state: int) -> None:
    async with mode_site("libvirt-cim") as at:
        vm = at.sim.add_vm("web")
        assert requested(at) == 0
        await refused(at, RequestedState=state)
        assert requested(at) == state
        assert await at.invoke(WEB, "RequestStateChange", RequestedState=2) == (0, {})
        assert requested(at) == 2
        assert REFUSED_STATE not in at.store.get(vm)["other_config"]


async def test_the_newest_of_several_refused_states_counts() -> None:
    async with mode_site("libvirt-cim") as at:
        await at.sim.running("web")
        assert requested(at) == 2
        for state in (6, 77, 2):
            await refused(at, RequestedState=state)
            assert requested(at) == state


async def test_a_state_that_failed_on_the_way_is_shown_too() -> None:
    async with mode_site("libvirt-cim") as at:
        vm = await at.sim.running("web")
        await at.sim.call("VM.hard_shutdown", vm)
        at.faulty(FaultRule("create"))
        await refused(at, RequestedState=2)
        assert (at.store.get(vm)["power_state"], requested(at)) == ("Halted", 2)


async def test_a_request_through_the_other_face_makes_the_refused_one_forgotten() -> None:
    async with mode_site("libvirt-cim") as at:
        vm = await at.sim.running("web")
        await refused(at, RequestedState=6)
        await at.sim.call("VM.pause", vm)
        assert (requested(at), at.store.get(vm)["other_config"].get(REFUSED_STATE)) == (9, None)


async def test_a_call_without_a_state_and_a_copy_have_no_requested_state() -> None:
    async with mode_site("libvirt-cim") as at:
        vm = at.sim.add_vm("web")
        await refused(at)
        assert requested(at) == 0
        await refused(at, RequestedState=9)
        await at.sim.call("VM.clone", vm, "copy")
        assert (requested(at), requested(at, "copy")) == (9, 0)


async def test_who_may_not_ask_leaves_no_trace_and_who_may_needs_no_other_right() -> None:
    async with mode_site("libvirt-cim") as at:
        vm = at.sim.add_vm("web")
        principal = at.pool.principal
        at.pool.principal = replace(principal, roles=frozenset({READ_ONLY}))
        await refused(at, RequestedState=9)
        assert requested(at) == 0
        at.pool.principal = replace(principal, roles=frozenset({VM_OPERATOR}))
        await refused(at, RequestedState=9)
        assert (requested(at), at.store.get(vm)["other_config"][REFUSED_STATE]) == (9, "9")


@pytest.mark.parametrize("word", ["", "nine", "-1", "70000", "²"])
async def test_what_is_no_state_in_the_settings_of_a_machine_is_not_shown(word: str) -> None:
    async with mode_site("libvirt-cim") as at:
        at.sim.add_vm("web", other_config={REFUSED_STATE: word})
        assert requested(at) == 0


@pytest.mark.parametrize("mode", ["", "xs-cim"])
async def test_no_other_server_remembers_what_it_refused(mode: str) -> None:
    async with mode_site(mode) as at:
        vm = at.sim.add_vm("web")
        assert (await at.invoke(at.system(vm), "RequestStateChange", RequestedState=9))[0] == 4097
        assert REFUSED_STATE not in at.store.get(vm)["other_config"]
