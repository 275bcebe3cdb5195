"""host: the steps of enabling and disabling high availability on one host, as the coordinator calls them on members.

Rule 1: what a step does is in engine/ha_member.py, and pool.enable_ha and pool.disable_ha do nothing else. Switched on
        by steps alone, nothing is restarted: that is done while pool.ha_enabled is true.
Rule 2: a step concerns one host, which must be up: HOST_OFFLINE. An emergency message concerns the host that was
        called.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from xenapi_core.api.handlers.pool_roles import called_host, the_pool
from xenapi_core.api.registry import CallContext, handles
from xenapi_core.engine import ha_member
from xenapi_core.engine.ha_rules import check_statefiles, reaches_disk
from xenapi_core.engine.plans.ha_switch import SECONDS, TIMEOUT
from xenapi_core.errors import E
from xenapi_core.model.device_lifecycle import check_ha_use
from xenapi_core.model.hosts import check_live
from xenapi_core.store.api import Txn, Version

LOOK_AGAIN: Final = 1.0  # seconds
JOINED_AFTER: Final = 60  # seconds, beside the timeout, in which the coordinator's daemon must start


@handles("host.preconfigure_ha")
def preconfigure_ha(call: CallContext, ref: str, statefiles: tuple[str, ...], metadata: str, generation: str) -> None:
    """Attach heartbeat disks and the disk with the database to a host, instead of those that it had.

    HOST_OFFLINE; INVALID_VALUE without a heartbeat disk; HA_HOST_IS_ARMED [host] while its daemon runs; for each disk
    what check_ha_use raises, then VDI_NOT_AVAILABLE [disk] if the host does not reach it.
    """
    host = check_live(call.store, ref)
    if not statefiles:
        raise E.INVALID_VALUE("statefiles", "")
    _check_stopped(host)
    for vdi in (metadata, *statefiles):
        check_ha_use(call.store, call.get(vdi, "VDI"))
    for vdi in (*statefiles, metadata):
        if not reaches_disk(call.store, ref, vdi):
            raise E.VDI_NOT_AVAILABLE(vdi)
    call.commit(lambda txn: ha_member.preconfigure(txn, ref, statefiles, metadata, generation))


def _check_stopped(host: Version) -> None:
    if ha_member.has_joined(host):
        raise E.HA_HOST_IS_ARMED(host.ref)


@handles("host.ha_join_liveset")
async def ha_join_liveset(call: CallContext, ref: str) -> None:
    """Start the daemon of a host, with fencing; a member waits until that of the coordinator runs.

    HOST_OFFLINE; HA_HEARTBEAT_DAEMON_STARTUP_FAILED if it runs, or was not configured (host.preconfigure_ha);
    HA_HOST_CANNOT_ACCESS_STATEFILE; HA_FAILED_TO_FORM_LIVESET if the host does not answer, if the coordinator's daemon
    does not start within the timeout and JOINED_AFTER seconds, or if a host of the live set was configured otherwise.
    """
    _check_startable(call, ref)
    await ha_member.check_answers(call.services.engine.hypervisors.get(ref))
    await _coordinator_joined(call, ref)
    host = _check_startable(call, ref)
    for other in call.store.all("host").values():
        if ha_member.in_live_set(call.store, other) and other["ha_generation"] != host["ha_generation"]:
            raise E.HA_FAILED_TO_FORM_LIVESET()
    _step(call, lambda txn: ha_member.join(txn, ref))


def _check_startable(call: CallContext, ref: str) -> Version:
    """The host, if its daemon can be started: see ha_join_liveset."""
    host: Version = check_live(call.store, ref)
    if ha_member.has_joined(host) or not host["ha_statefiles"]:
        raise E.HA_HEARTBEAT_DAEMON_STARTUP_FAILED()
    check_statefiles(call.store, host, E.HA_HOST_CANNOT_ACCESS_STATEFILE)
    return host


async def _coordinator_joined(call: CallContext, ref: str) -> None:
    """Return when the coordinator is in the live set, or `ref` is the coordinator. HA_FAILED_TO_FORM_LIVESET."""
    clock = call.services.clock
    patience = float(the_pool(call)["ha_configuration"].get(TIMEOUT, SECONDS)) + JOINED_AFTER
    deadline = clock.monotonic() + patience
    while (coordinator := the_pool(call)["master"]) != ref:
        if ha_member.in_live_set(call.store, call.get(coordinator, "host")):
            return
        if clock.monotonic() >= deadline:
            raise E.HA_FAILED_TO_FORM_LIVESET()
        await clock.sleep(LOOK_AGAIN)


def _step(call: CallContext, write: Callable[[Txn], None]) -> None:
    """Do the step, then record which hosts are in the live set."""

    def both(txn: Txn) -> None:
        write(txn)
        ha_member.show_live_set(call.store, txn)

    call.commit(both)


@handles("host.ha_disable_failover_decisions")
def ha_disable_failover_decisions(call: CallContext, ref: str) -> None:
    """Until the host joins a live set again: as coordinator it declares no host lost and restarts no VM, and it does
    not become the coordinator by itself. HOST_OFFLINE."""
    check_live(call.store, ref)
    call.commit(lambda txn: ha_member.disable_decisions(txn, ref))


@handles("host.ha_disarm_fencing")
def ha_disarm_fencing(call: CallContext, ref: str) -> None:
    """The host does not reset itself when it is not heard from; nothing happens where no daemon runs. HOST_OFFLINE."""
    check_live(call.store, ref)
    call.commit(lambda txn: ha_member.disarm(txn, ref))


@handles("host.ha_stop_daemon")
def ha_stop_daemon(call: CallContext, ref: str) -> None:
    """The host leaves the live set, until it boots or joins again; nothing happens where no daemon runs. HOST_OFFLINE.

    Its VMs run on: it is still heard from, so nobody gives it up.
    """
    check_live(call.store, ref)
    _step(call, lambda txn: ha_member.stop(txn, ref))


@handles("host.ha_release_resources")
def ha_release_resources(call: CallContext, ref: str) -> None:
    """Detach the heartbeat disks; the host does not join when it boots. HOST_OFFLINE, HA_HOST_IS_ARMED [host] while its
    daemon runs, which uses them."""
    _check_stopped(check_live(call.store, ref))
    call.commit(lambda txn: ha_member.release(txn, ref))


@handles("host.emergency_ha_disable")
def emergency_ha_disable(call: CallContext, soft: bool) -> None:
    """The host that was called leaves the live set: for good, or, if `soft`, until it boots. HA_NOT_ENABLED unless it
    is armed; not if `soft`, which then has nothing to do.

    The pool and the other hosts stay as they are, as in xapi: pool.disable_ha is for them.
    """
    host = called_host(call)
    if not ha_member.is_armed(host):
        if soft:
            return
        raise E.HA_NOT_ENABLED()

    def leave(txn: Txn) -> None:
        ha_member.stop(txn, host.ref)
        if not soft:
            ha_member.set_local(txn, host.ref, {ha_member.ARMED: "false"})

    _step(call, leave)


@handles("host.ha_wait_for_shutdown_via_statefile")
async def ha_wait_for_shutdown_via_statefile(call: CallContext, ref: str) -> None:
    """Return when the daemon of the host has ended, as pool.disable_ha has it end. HOST_OFFLINE, also while it waits;
    HA_LOST_STATEFILE if the host does not reach a heartbeat disk any more: it would never hear of the end."""
    while ha_member.has_joined(host := check_live(call.store, ref)):
        check_statefiles(call.store, host, E.HA_LOST_STATEFILE)
        await call.services.clock.sleep(LOOK_AGAIN)


@handles("host.ha_xapi_healthcheck")
def ha_xapi_healthcheck(call: CallContext) -> bool:
    """Whether this server answers, and can write to its database."""
    return call.store.writable


@handles("host.set_localdb_key")
def set_localdb_key(call: CallContext, ref: str, key: str, value: str) -> None:
    """Write a key of the host's own database; engine/ha_member.py says which ones mean something. HOST_OFFLINE."""
    check_live(call.store, ref)
    call.commit(lambda txn: ha_member.set_local(txn, ref, {key: value}))
