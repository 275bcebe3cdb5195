"""host: a new member of the pool: its record, the pool's settings for it, and its preparation for power-off.

Theory of operation
1. host.create makes the record of a host that says it will come. There is nothing behind it: it is not live until its
   first heartbeat, and a server that starts has no driver for it (server/adopt.py).
2. host.prepare_for_poweroff is what a host does while it is being switched off by its own means. Nobody can stop that
   any more, so a failure is logged and the next step is done, as in xapi.
3. A host that has prepared is disabled until it boots: local_database says so (model/infrastructure_lifecycle.py).
   When it is up again it connects to its storage (engine/reconcile.py).
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import Any, Final

from xenapi_core.api.handlers.host_management import here
from xenapi_core.api.registry import CallContext, handles
from xenapi_core.engine import firewall
from xenapi_core.engine.plans.guest_agent import check_config
from xenapi_core.engine.plans.host_evacuate import moves_away
from xenapi_core.engine.plans.vbd import plan_show_medium
from xenapi_core.engine.steps.host_records import check_newcomer, new_host
from xenapi_core.errors import ApiError, E
from xenapi_core.ids import NULL_REF
from xenapi_core.model.classes.host_messages import MESSAGES
from xenapi_core.model.hosts import check_live, is_live
from xenapi_core.model.infrastructure_lifecycle import DISABLED_UNTIL_REBOOT
from xenapi_core.store.api import Txn

log = logging.getLogger(__name__)

DESCRIPTION: Final = "Default install"  # of a host that brings none, as xapi has it
# Key of VM.other_config: the VM sees itself to its end when its host goes down.
OWN_POWEROFF: Final = "auto_poweroff"
_FIELDS: Final = tuple(param.name for message in MESSAGES if message.name == "create" for param in message.params)
_DRIVES: Final = frozenset({"local", "udev"})  # types of SRs whose disks are media in drives of a host


@handles("host.create")
def create(call: CallContext, *args: Any) -> str:
    """The record of a host that is yet to come (theory 1). INVALID_VALUE for what is no uuid; LICENCE_RESTRICTION;
    DB_UNIQUENESS_CONSTRAINT_VIOLATION for the uuid of another host."""
    values = dict(zip(_FIELDS, args, strict=True))
    check_newcomer(call.store, values["uuid"])
    values["name_description"] = values["name_description"] or DESCRIPTION
    made: list[str] = []
    call.commit(lambda txn: made.append(new_host(call.world, txn, values)))
    return made[0]


@handles("host.notify")
async def notify(call: CallContext, kind: str, params: str) -> None:
    """A medium is in a drive of the host again (kind cdrom, "inserted:LOCATION"), and VMs that have it see it anew.

    Nothing else means anything, and a location that is not that of one disk in a drive neither, as in xapi.
    """
    what, _, location = params.partition(":")
    if (kind, what) != ("cdrom", "inserted"):
        return
    media = [vdi for vdi in call.store.all("VDI").values() if vdi["location"] == location]
    media = [vdi for vdi in media if call.get(vdi["SR"])["type"] in _DRIVES]
    if len(media) != 1:
        return
    engine = call.services.engine
    for vbd in call.store.related(media[0].ref, "VBDs"):
        try:
            await engine.see_through(engine.work("VBD.insert"), partial(plan_show_medium, vbd=vbd))
        except ApiError as error:
            log.warning("a VM was not shown a medium: %s", error.code)


@handles("host.update_firewalld_service_status")
async def update_firewall(call: CallContext) -> None:
    """The firewall of the host lets the services through that its records ask for. HOST_OFFLINE."""
    await firewall.update(call.services.engine, here(call))


@handles("pool.add_to_guest_agent_config")
async def add_to_guest_agent_config(call: CallContext, ref: str, key: str, value: str) -> None:
    """MAP_DUPLICATE_KEY; INVALID_VALUE for a value that agents would not understand. The agents of guests get it at
    once."""
    config = call.get(ref, "pool")["guest_agent_config"]
    if key in config:
        raise E.MAP_DUPLICATE_KEY("pool", "guest_agent_config", ref, key)
    check_config(key, value)
    call.update(ref, guest_agent_config={**config, key: value})
    await _tell_guests(call)


@handles("pool.remove_from_guest_agent_config")
async def remove_from_guest_agent_config(call: CallContext, ref: str, key: str) -> None:
    """Nothing happens if there is no such key. The agents of guests lose it at once."""
    config = call.get(ref, "pool")["guest_agent_config"]
    call.update(ref, guest_agent_config={name: value for name, value in config.items() if name != key})
    await _tell_guests(call)


async def _tell_guests(call: CallContext) -> None:
    """Apply the settings at every host that is up; a host where that fails gets them when it boots."""
    for ref, host in tuple(call.store.all("host").items()):
        if is_live(call.store, host):
            await _try(call, "host.apply_guest_agent_config", ref)


@handles("host.prepare_for_poweroff")
async def prepare_for_poweroff(call: CallContext, ref: str) -> None:
    """Prepare a host for being switched off by its own means (theory 2): no VM is left on it, its storage is
    disconnected, measurements are saved, and it is disabled until it boots. HOST_OFFLINE.

    VMs move to other hosts; those that cannot are shut down, by force if need be. A VM whose other_config has
    auto_poweroff is left alone. The host stays up: who called switches it off.
    """
    check_live(call.store, ref)
    call.update(ref, enabled=False)
    await _shut_down(call, [vm for vm in moves_away(call.world, ref).obstacles if not _cares_for_itself(call, vm)])
    await _try(call, "host.evacuate", ref, NULL_REF, 0)
    await _shut_down(call, _running(call, ref))
    for pbd in call.store.related(ref, "PBDs"):
        await _try(call, "PBD.unplug", pbd)
    await _save_measurements(call)

    def write(txn: Txn) -> None:
        local = txn.get(ref, "host")["local_database"]
        txn.update(ref, enabled=False, local_database={**local, DISABLED_UNTIL_REBOOT: "true"})

    call.commit(write)


def _running(call: CallContext, host: str) -> list[str]:
    """The guests of the host that have to go."""
    vms = map(call.get, call.store.related(host, "resident_VMs"))
    return [vm.ref for vm in vms if not (vm["is_control_domain"] or _cares_for_itself(call, vm.ref))]


def _cares_for_itself(call: CallContext, vm: str) -> bool:
    return OWN_POWEROFF in call.get(vm)["other_config"]


async def _shut_down(call: CallContext, vms: list[str]) -> None:
    await asyncio.gather(*(_try(call, "VM.shutdown", vm) for vm in vms))


async def _save_measurements(call: CallContext) -> None:
    history = call.services.surroundings.history
    if history is not None:
        try:
            await history.back_up(0.0)
        except OSError as error:
            log.warning("measurements were not saved before the host goes down: %s", error)


async def _try(call: CallContext, wire_name: str, *args: Any) -> None:
    """Call a message; a failure is logged and not raised."""
    try:
        await call.services.engine.perform(wire_name, args, call.caller)
    except ApiError as error:
        log.warning("%s failed: %s", wire_name, error.code)
