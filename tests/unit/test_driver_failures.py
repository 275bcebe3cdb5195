"""What a driver's failure means to a caller: every row of every table, and for each call the table it uses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import pytest
from sim_api import ask, refused

from xenapi_core.drivers.api import DriverError
from xenapi_core.engine import failures
from xenapi_core.engine.failures import About, told_as
from xenapi_core.errors import ApiError
from xenapi_core.ids import NULL_REF
from xenapi_core.testing.faults import FaultRule, Faulty
from xenapi_core.testing.pool import SimPool, sim_pool

ABOUT = About(
    vm="the VM", host="the host", sr="the SR", vdi="the VDI", device="the device", device_type="VIF", operation="do it",
    size=2, available=1,
)  # fmt: skip
WORDS = "in the driver's words"


def builder(kind: str) -> list[str]:
    return ["DOMAIN_BUILDER_ERROR", "do it", kind, WORDS]


def storage(kind: str) -> list[str]:
    return ["SR_BACKEND_FAILURE", kind, "", WORDS]


NOT_ALLOWED = ["OPERATION_NOT_ALLOWED", WORDS]
REJECTED = ["DEVICE_DETACH_REJECTED", "VIF", "the device", WORDS]

# Every kind of failure, table by table; a table has the rows of the one before it unless it says otherwise.
# fmt: off
MACHINE = {
    "not_found":   ["VM_BAD_POWER_STATE", "the VM", "running", "halted"],
    "exists":      ["DOMAIN_EXISTS", "the VM", "-1"],
    "bad_state":   NOT_ALLOWED,
    "no_memory":   ["HOST_NOT_ENOUGH_FREE_MEMORY", "2", "1"],
    "no_space":    ["SR_FULL", "2", "1"],
    "in_use":      NOT_ALLOWED,
    "unsupported": ["VM_LACKS_FEATURE", "the VM"],
    "timeout":     builder("timeout"),
    "offline":     ["HOST_OFFLINE", "the host"],
    "failed":      builder("failed"),
}
DEVICE = {
    **MACHINE,
    "not_found":   ["DEVICE_ALREADY_DETACHED", "the device"],
    "unsupported": ["VM_MISSING_PV_DRIVERS", "the VM"],
}
EXPECTED: Mapping[str, Mapping[str, list[str]]] = {
    "MACHINE":  MACHINE,
    "START":    {**MACHINE, "not_found": builder("not_found")},
    "RESUME":   {**MACHINE, "not_found": ["SUSPEND_IMAGE_NOT_ACCESSIBLE", "the VDI"]},
    "SHUTDOWN": {**MACHINE, "timeout": ["VM_SHUTDOWN_TIMEOUT", "the VM", "1200"]},
    "SUSPEND":  {**MACHINE, "timeout": ["VM_SUSPEND_TIMEOUT", "the VM", "1200"]},
    "HOST":     {**MACHINE, "not_found": NOT_ALLOWED, "exists": NOT_ALLOWED, "unsupported": NOT_ALLOWED},
    "DEVICE":   DEVICE,
    "ATTACH": {
        **DEVICE,
        "not_found": builder("not_found"),
        "exists":    ["DEVICE_ALREADY_ATTACHED", "the device"],
        "in_use":    ["DEVICE_ALREADY_EXISTS", "the device"],
        "timeout":   ["DEVICE_ATTACH_TIMEOUT", "VIF", "the device"],
    },
    "DETACH": {
        **DEVICE,
        "in_use":  REJECTED,
        "timeout": ["DEVICE_DETACH_TIMEOUT", "VIF", "the device"],
        "failed":  REJECTED,
    },
    "STORAGE": {
        "not_found":   ["VDI_MISSING", "the SR", "the VDI"],
        "exists":      storage("exists"),
        "bad_state":   storage("bad_state"),
        "no_memory":   storage("no_memory"),
        "no_space":    ["SR_FULL", "2", "1"],
        "in_use":      ["VDI_IN_USE", "the VDI", "do it"],
        "unsupported": ["SR_OPERATION_NOT_SUPPORTED", "the SR"],
        "timeout":     storage("timeout"),
        "offline":     storage("offline"),
        "failed":      storage("failed"),
    },
}
# fmt: on


@pytest.mark.parametrize("name", EXPECTED)
def test_table_says_what_each_kind_of_failure_means(name: str) -> None:
    meant = {}
    for kind in EXPECTED[name]:
        with pytest.raises(ApiError) as failure, told_as(getattr(failures, name), ABOUT):
            raise DriverError(kind, WORDS)
        meant[kind] = failure.value.description
    assert meant == EXPECTED[name]


def test_every_table_knows_every_kind_of_failure() -> None:
    tables = {name: set(table) for name, table in vars(failures).items() if name.isupper() and isinstance(table, dict)}
    assert tables == {name: set(MACHINE) for name in EXPECTED}


Ready = Callable[[SimPool], Awaitable[tuple[str, ...]]]


async def halted(pool: SimPool) -> tuple[str, ...]:
    return (pool.add_vm(),)


async def running(pool: SimPool) -> tuple[str, ...]:
    return (await pool.running(),)


async def suspended(pool: SimPool) -> tuple[str, ...]:
    vm = await pool.running()
    await pool.call("VM.suspend", vm)
    return (vm,)


async def disk(pool: SimPool) -> tuple[str, ...]:
    vm = await pool.running()
    return (await pool.call("VBD.create", pool.vbd_values(vm, pool.add_vdi(), "3")),)


async def plugged_disk(pool: SimPool) -> tuple[str, ...]:
    (vbd,) = await disk(pool)
    await pool.call("VBD.plug", vbd)
    return (vbd,)


async def nic(pool: SimPool) -> tuple[str, ...]:
    vif = pool.store.related(await pool.running(), "VIFs")[0]
    await pool.call("VIF.unplug", vif)
    return (vif,)


async def plugged_nic(pool: SimPool) -> tuple[str, ...]:
    return pool.store.related(await pool.running(), "VIFs")[:1]


async def nic_and_network(pool: SimPool) -> tuple[str, ...]:
    return *(await plugged_nic(pool)), pool.add("network", name_label="internal", bridge="xapi1", MTU=1500)


async def drive(pool: SimPool, medium: str = NULL_REF) -> tuple[str, ...]:
    vm = pool.add_vm()
    values = pool.vbd_values(vm, medium, "3", type="CD", mode="RO", empty=medium == NULL_REF)
    vbd = await pool.call("VBD.create", values)
    await pool.call("VM.start", vm, False, False)
    return (vbd,)


async def drive_and_medium(pool: SimPool) -> tuple[str, ...]:
    return *(await drive(pool)), pool.add_vdi(sr=pool.iso)


async def full_drive(pool: SimPool) -> tuple[str, ...]:
    return await drive(pool, pool.add_vdi(sr=pool.iso))


async def host(pool: SimPool) -> tuple[str, ...]:
    pool.change(pool.hosts[0], enabled=False)
    return (pool.hosts[0],)


# A call, what makes its first arguments, its other arguments; the driver's call that fails, and with which kind; the
# error, where {} stands for the first argument.
# fmt: off
BOOT = (False, False)
FAILED = "DOMAIN_BUILDER_ERROR"
CALLS = [
    ("VM.start", halted, BOOT, "create", "timeout", [FAILED, "start", "timeout"]),
    ("VM.start", halted, BOOT, "create", "not_found", [FAILED, "start", "not_found"]),
    ("VM.resume", suspended, BOOT, "resume", "timeout", [FAILED, "resume", "timeout"]),
    ("VM.pause", running, (), "pause", "timeout", [FAILED, "pause", "timeout"]),
    ("VM.hard_shutdown", running, (), "destroy", "timeout", [FAILED, "hard_shutdown", "timeout"]),
    ("VM.hard_reboot", running, (), "reset", "timeout", [FAILED, "hard_reboot", "timeout"]),
    ("VM.clean_shutdown", running, (), "shutdown", "timeout", ["VM_SHUTDOWN_TIMEOUT", "{}", "1200"]),
    ("VM.clean_reboot", running, (), "reboot", "timeout", ["VM_SHUTDOWN_TIMEOUT", "{}", "1200"]),
    ("VM.suspend", running, (), "suspend", "timeout", ["VM_SUSPEND_TIMEOUT", "{}", "1200"]),
    ("VM.checkpoint", running, ("c",), "suspend", "timeout", ["VM_SUSPEND_TIMEOUT", "{}", "1200"]),
    ("VBD.plug", disk, (), "attach_disk", "timeout", ["DEVICE_ATTACH_TIMEOUT", "VBD", "{}"]),
    ("VBD.plug", disk, (), "attach_disk", "failed", [FAILED, "plug", "failed"]),
    ("VBD.unplug", plugged_disk, (), "detach_disk", "timeout", ["DEVICE_DETACH_TIMEOUT", "VBD", "{}"]),
    ("VBD.unplug", plugged_disk, (), "detach_disk", "failed", ["DEVICE_DETACH_REJECTED", "VBD", "{}"]),
    ("VBD.unplug", plugged_disk, (), "detach_disk", "not_found", ["DEVICE_ALREADY_DETACHED", "{}"]),
    ("VBD.pause", plugged_disk, (), "hold_disk", "failed", [FAILED, "pause", "failed"]),
    ("VBD.insert", drive_and_medium, (), "attach_disk", "timeout", ["DEVICE_ATTACH_TIMEOUT", "VBD", "{}"]),
    ("VBD.insert", drive_and_medium, (), "detach_disk", "timeout", ["DEVICE_DETACH_TIMEOUT", "VBD", "{}"]),
    ("VBD.eject", full_drive, (), "detach_disk", "failed", ["DEVICE_DETACH_REJECTED", "VBD", "{}"]),
    ("VIF.plug", nic, (), "attach_nic", "timeout", ["DEVICE_ATTACH_TIMEOUT", "VIF", "{}"]),
    ("VIF.plug", nic, (), "attach_nic", "failed", [FAILED, "plug", "failed"]),
    ("VIF.unplug", plugged_nic, (), "detach_nic", "timeout", ["DEVICE_DETACH_TIMEOUT", "VIF", "{}"]),
    ("VIF.unplug", plugged_nic, (), "detach_nic", "failed", ["DEVICE_DETACH_REJECTED", "VIF", "{}"]),
    ("VIF.move", nic_and_network, (), "move_nic", "timeout", [FAILED, "move", "timeout"]),
    ("host.reboot", host, (), "restart", "unsupported", ["OPERATION_NOT_ALLOWED"]),
    ("host.rescan_drivers", host, (), "device_drivers", "not_found", ["OPERATION_NOT_ALLOWED"]),
]
# fmt: on


@pytest.mark.parametrize(
    ("wire_name", "ready", "more", "fails", "kind", "expected"),
    CALLS,
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_failure_of_a_driver_is_told_in_the_words_of_the_call(
    wire_name: str, ready: Ready, more: tuple[object, ...], fails: str, kind: str, expected: list[str]
) -> None:
    async with sim_pool() as pool:
        args = await ready(pool)
        drivers, place = pool.engine.hypervisors, pool.hosts[0]
        drivers[place] = Faulty(drivers[place], [FaultRule(fails, kind=kind)], pool.clock)
        answer = await refused(pool, wire_name, *args, *more)
        assert answer[: len(expected)] == [word.format(args[0]) for word in expected]
        assert answer[len(expected) :] in ([], [f"{fails} was made to fail"])
        await ask(pool, wire_name, *args, *more)
