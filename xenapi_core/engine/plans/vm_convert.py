"""VM.import_convert: imports VMs of other platforms through a conversion appliance, which is a VM of this pool.

Theory of operation
1. The appliance is the VM that its maker marked in other_config (APPLIANCE). It is started if need be, and keeps
   running. Its first interface is on a network inside the pool; calls go to the address that its agent reports for
   another interface.
2. The appliance makes the VM by itself, through the Xen-API, with the account that the caller gave for it. So there is
   nothing to record here, and nothing to undo but the job, which is deleted when it is not waited for any more.
3. Passwords are in the calls to the appliance, and nowhere else.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, Final, NoReturn

from xenapi_core.engine.plan import Plan, Run, Step, World, plans
from xenapi_core.engine.steps.volumes import check_sr
from xenapi_core.errors import ApiError, E
from xenapi_core.model.power import HALTED, PAUSED, RUNNING, SUSPENDED, is_guest
from xenapi_core.store.api import Version

APPLIANCE: Final = "conversionvm"  # key of other_config, as clients know it
_TRUE: Final = frozenset({"true", "1"})
# The interface of the appliance, version 1: platforms and states of jobs by their numbers.
_PLATFORMS: Final = {"default": 0, "XenServer": 0, "ESXServer": 1, "VirtualCenter": 2, "HyperVServer": 3}
_UNDER_WAY: Final = (0, 1, 2)
_COMPLETED: Final = 3
_NEEDED: Final = ("hostname", "username", "password", "vm-name")  # keys of remote_config
_INTERNAL_NIC: Final = "0"
_WAKING: Final = {HALTED: "VM.start", SUSPENDED: "VM.resume"}
_ADDRESS_WITHIN: Final = 120.0  # seconds
_AGAIN: Final = 1.0
_WITHIN: Final = 24 * 3600.0


@plans("VM.import_convert")
def plan_import_convert(
    world: World, kind: str, username: str, password: str, sr: str, remote_config: Mapping[str, str]
) -> Plan:
    """Convert one VM of another platform, with its disks on `sr`; the appliance uses that account here.

    XENAPI_MISSING_PLUGIN ["conversion"] if the pool has no appliance, as xapi answers where conversion is not
    installed; INVALID_VALUE ["type" or "remote_config", ...]; XENAPI_PLUGIN_FAILURE [what, why] if the appliance has no
    address, does not answer, or does not complete the job.
    """
    appliance = _appliance(world)
    if kind not in _PLATFORMS:
        raise E.INVALID_VALUE("type", kind)
    for key in _NEEDED:
        if key not in remote_config:
            raise E.INVALID_VALUE("remote_config", f"{key} is missing")
    account = {"Username": username, "Password": password}
    source = {"ServerType": _PLATFORMS[kind]} | {
        name: remote_config[name.lower()] for name in ("Hostname", "Username", "Password")
    }
    job = {
        "Source": source, "SourceVmUUID": "", "SourceVmName": remote_config["vm-name"],
        "ImportInfo": {"SRuuid": check_sr(world, sr)["uuid"]},
    }  # fmt: skip

    async def convert(run: Run) -> None:
        address = await _address(world, appliance)

        async def ask(method: str, *params: Any) -> Any:
            return await run.exchange().ask_appliance(address, method, account, *params)

        made = _job(await ask("job.create", job))
        number = made["Id"]
        try:
            while made["State"] in _UNDER_WAY:
                run.progress(made["PercentComplete"] / 100)
                await world.clock.sleep(_AGAIN)
                made = _job(await ask("job.get", number))
        except BaseException:  # cancelled, too
            with contextlib.suppress(ApiError):
                await ask("job.delete", number)
            raise
        if made["State"] != _COMPLETED:
            raise E.XENAPI_PLUGIN_FAILURE("not completed", str(made.get("ErrorString") or made.get("StateDesc", "")))

    steps = (
        Step("wake appliance", lambda run: _wake(run, appliance), weight=0.1),
        Step("convert", convert, deadline=_WITHIN),
    )
    return Plan(steps=steps)


def _appliance(world: World) -> str:
    """The appliance, one that runs before any other. XENAPI_MISSING_PLUGIN."""
    found = [vm for vm in world.store.all("VM").values() if _is_appliance(vm)]
    if not found:
        raise E.XENAPI_MISSING_PLUGIN("conversion")
    return min(found, key=lambda vm: vm["power_state"] != RUNNING).ref


def _is_appliance(vm: Version) -> bool:
    return is_guest(vm) and vm["other_config"].get(APPLIANCE, "").lower() in _TRUE


async def _wake(run: Run, appliance: str) -> None:
    """Have the appliance run; somebody else may do so at the same time."""
    state = run.world.store.get(appliance, "VM")["power_state"]
    try:
        if state in _WAKING:
            await run.perform(_WAKING[state], appliance, False, False)
        elif state == PAUSED:
            await run.perform("VM.unpause", appliance)
    except ApiError as error:
        if error.code != "VM_BAD_POWER_STATE":
            raise


async def _address(world: World, appliance: str) -> str:
    """Where the appliance listens, once its agent tells. XENAPI_PLUGIN_FAILURE."""
    store, end = world.store, world.clock.monotonic() + _ADDRESS_WITHIN
    while True:
        metrics = store.find(store.get(appliance, "VM")["guest_metrics"])
        told = {} if metrics is None else metrics["networks"]
        devices = sorted(store.get(vif)["device"] for vif in store.related(appliance, "VIFs"))
        for device in devices:
            if device != _INTERNAL_NIC and (address := told.get(f"{device}/ip")):
                return str(address)
        if world.clock.monotonic() >= end:
            raise E.XENAPI_PLUGIN_FAILURE("no address", "The agent of the conversion appliance tells no address.")
        await world.clock.sleep(_AGAIN)


def _job(value: Any) -> Mapping[str, Any]:
    """A job from the appliance's reply. XENAPI_PLUGIN_FAILURE if it is malformed."""
    if not isinstance(value, dict):
        _unexpected("no job")
    for name, kind in (("Id", str), ("State", int), ("PercentComplete", int)):
        if not isinstance(value.get(name), kind):
            _unexpected(f"{name} is no {kind.__name__}")
    return value


def _unexpected(what: str) -> NoReturn:
    raise E.XENAPI_PLUGIN_FAILURE("unexpected XMLRPC result", what)
