"""CIM_ComputerSystem.SetPowerState, of older clients: the same transitions as RequestPowerStateChange asks for."""

from __future__ import annotations

from typing import Any

import pytest
from cim_services import GIB, Site, site

from xenapi_core.store.api import Version

STATES = ("Halted", "Running", "Paused", "Suspended")
X = 4097

# PowerState -> for each of STATES: the power state it leads to, or the return value.
# fmt: off
CELLS: dict[int, tuple[str | int, ...]] = {
    1: ("Running", 0,           "Running", "Running"),
    2: (X,         "Paused",    X,         X),
    3: (X,         "Paused",    X,         X),
    4: (1,) * 4,
    5: (X,         "Running",   "Running", X),
    6: (0,         "Halted",    "Halted",  "Halted"),
    7: (X,         "Suspended", X,         X),
    8: (0,         "Halted",    "Halted",  "Halted"),
}
# fmt: on


async def machine(at: Site, state: str) -> str:
    if state == "Halted":
        return at.sim.add_vm("web", memory=GIB // 4, disks=0)
    vm = await at.sim.running("web", memory=GIB // 4, disks=0)
    if state != "Running":
        await at.sim.call({"Paused": "VM.pause", "Suspended": "VM.suspend"}[state], vm)
    return vm


@pytest.mark.parametrize("state", STATES)
async def test_every_old_power_state_from_every_state(state: str) -> None:
    async with site() as at:
        for asked, row in CELLS.items():
            vm, expected = await machine(at, state), row[STATES.index(state)]
            value, out = await at.invoke(at.system(vm), "SetPowerState", PowerState=asked)
            now = at.store.get(vm)["power_state"]
            assert (value, now) == ((expected, state) if isinstance(expected, int) else (0, expected)), asked
            assert out == {}


@pytest.mark.parametrize(
    ("params", "code"),
    [({}, 5), ({"PowerState": 0}, 5), ({"PowerState": 9}, 5),
     ({"PowerState": 1, "Time": "19700101000000.000000+000"}, 0),
     ({"PowerState": 1, "Time": "2030"}, 5), ({"PowerState": 4, "Time": "00000000000010.000000:000"}, 1),
     ({"PowerState": 1, "Time": "00000000000000.000000:000"}, 0)],
)  # fmt: skip
async def test_parameters_of_an_old_power_state_change(params: dict[str, Any], code: int) -> None:
    async with site() as at:
        value, _ = await at.invoke(at.system(at.sim.add_vm()), "SetPowerState", **params)
        assert value == code


async def test_a_host_is_restarted_and_switched_off_and_on_by_old_clients() -> None:
    async with site(hosts=2) as at:
        host = at.sim.hosts[1]
        at.sim.change(host, power_on_mode="wake-on-lan")

        def live() -> bool:
            metrics = at.store.get(at.store.get(host)["metrics"])
            return bool(metrics["live"])

        async def ask(state: int) -> int:
            value, _ = await at.invoke(at.host(host), "SetPowerState", PowerState=state)
            return value

        for never in (2, 3, 4, 6, 7):
            assert await ask(never) == 1
        assert await ask(5) == 0
        await at.sim.pass_time(600)
        assert (await ask(8), live()) == (0, False)
        assert (await ask(8), await ask(5)) == (0, X)
        assert await ask(1) == 0
        await at.sim.pass_time(600)
        assert live()


async def test_a_job_of_an_old_power_state_change_is_found_by_its_machine() -> None:
    async with site(mode="always") as at:
        vm = at.sim.add_vm("web", memory=GIB // 4, disks=0)
        assert await at.invoke(at.system(vm), "SetPowerState", PowerState=1) == (4096, {})
        ids = [str(path.key("InstanceID")) for path in at.related(at.system(vm), "Xen_AffectedJobElement")]
        tasks = [at.store.by_uuid("task", text.removeprefix("Xen:")) for text in ids]
        (task,) = [task for task in tasks if isinstance(task, Version)]
        assert task["name_label"] == "Async.VM.start"
