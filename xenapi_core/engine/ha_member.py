"""The high availability state of each host itself: its local database, its heartbeat disks, its daemon.

Theory of operation
1. A host has a small database of its own (`local_database`), which it can read without the pool's. Two of its keys mean
   something here, and are true when they are spelled "true": ARMED, the daemon starts when the host boots; and
   UNDECIDED, the host takes no decisions: as coordinator it gives no host up and restarts no VM, and it never becomes
   the coordinator by itself. Others are kept.
2. The daemon of a host (`ha_daemon`) is stopped; or FENCING: a host that is not heard from any more resets itself, so
   what ran there has ended; or DISARMED: it does not, so nobody knows, and its VMs are left alone.
3. The live set: the hosts that are up and whose daemon runs. ha_network_peers of its hosts are its uuids.
4. A host whose daemon is to run has the heartbeat disks attached, and the number of the configuration that they belong
   to (`ha_generation`); hosts with different numbers form no live set. Each of these disks says so too (VDI.ha_hosts),
   and those of the pool, while high availability is on, name the pool (VDI.ha_pool): rules for disks look nowhere else.
5. pool.enable_ha and pool.disable_ha are these steps, done for all hosts; host.preconfigure_ha and its like are one of
   them for one host. Nothing here awaits but `check_answers`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from xenapi_core.drivers.api import DriverError, Hypervisor
from xenapi_core.errors import E
from xenapi_core.model.hosts import is_live
from xenapi_core.model.power import Fields
from xenapi_core.model.schema import Reader
from xenapi_core.store.api import Store, Txn

ARMED: Final = "ha.armed"
UNDECIDED: Final = "ha.disable_failover_decisions"
STOPPED: Final = ""
FENCING: Final = "fencing"
DISARMED: Final = "disarmed"
ANSWER_WITHIN: Final = 60.0  # seconds of real time a host has to answer


def is_armed(host: Fields) -> bool:
    """Whether its daemon starts when it boots (rule 1)."""
    return bool(host["local_database"].get(ARMED) == "true")


def has_joined(host: Fields) -> bool:
    """Whether its daemon runs."""
    return bool(host["ha_daemon"] != STOPPED)


def decides(host: Fields) -> bool:
    """Whether it may give hosts up and restart VMs when it is the coordinator, and become that by itself: its daemon
    runs, and rule 1."""
    return has_joined(host) and bool(host["local_database"].get(UNDECIDED) != "true")


def fences_itself(host: Fields) -> bool:
    """Whether what ran on it has ended when it is not heard from for the timeout (rule 2)."""
    return bool(host["ha_daemon"] == FENCING)


def in_live_set(reader: Reader, host: Fields) -> bool:
    """Whether it is up and its daemon runs (rule 3)."""
    return has_joined(host) and is_live(reader, host)


def _attached(host: Fields) -> frozenset[str]:
    """The disks that are attached to it for high availability."""
    return frozenset((*host["ha_statefiles"], host["ha_metadata_vdi"])) - {""}


async def check_answers(hypervisor: Hypervisor | None) -> None:
    """HA_FAILED_TO_FORM_LIVESET unless the host answers within ANSWER_WITHIN."""
    if hypervisor is None:
        raise E.HA_FAILED_TO_FORM_LIVESET()
    try:
        async with asyncio.timeout(ANSWER_WITHIN):
            await hypervisor.settings()
    except (DriverError, TimeoutError) as error:
        raise E.HA_FAILED_TO_FORM_LIVESET() from error


# The steps


def set_local(txn: Txn, host: str, values: Mapping[str, str]) -> None:
    """Write keys of the host's own database."""
    txn.update(host, local_database={**txn.get(host, "host")["local_database"], **values})


def preconfigure(txn: Txn, host: str, statefiles: Sequence[str], metadata: str, generation: str) -> None:
    """Attach the heartbeat disks and the one with the database, instead of those that were attached."""
    before = _attached(txn.get(host, "host"))
    txn.update(host, ha_statefiles=tuple(statefiles), ha_metadata_vdi=metadata, ha_generation=generation)
    after = _attached(txn.get(host, "host"))
    for vdi in (*(before - after), *(after - before)):
        _show_attached(txn, vdi, host, vdi in after)


def _show_attached(txn: Txn, vdi: str, host: str, attached: bool) -> None:
    """The disk says whether that host has it attached (rule 4); nothing happens if it is gone."""
    disk = txn.find(vdi)
    if disk is not None:
        others = tuple(other for other in disk["ha_hosts"] if other != host)
        txn.update(vdi, ha_hosts=(*others, host) if attached else others)


def join(txn: Txn, host: str) -> None:
    """Start the daemon; it fences. The host starts it again when it boots, and takes decisions."""
    txn.update(host, ha_daemon=FENCING)
    set_local(txn, host, {ARMED: "true", UNDECIDED: "false"})


def disable_decisions(txn: Txn, host: str) -> None:
    """Have the host give nobody up (rule 1), until it joins a live set again or the key is set otherwise."""
    set_local(txn, host, {UNDECIDED: "true"})


def disarm(txn: Txn, host: str) -> None:
    """The daemon fences no more; nothing happens if it does not run."""
    if has_joined(txn.get(host, "host")):
        txn.update(host, ha_daemon=DISARMED)


def stop(txn: Txn, host: str) -> None:
    """End the daemon. The host fences no more and takes no decisions; it starts the daemon again when it boots, if it
    is armed."""
    txn.update(host, ha_daemon=STOPPED)


def detach(txn: Txn, host: str) -> None:
    """Let go of the heartbeat disks and of the one with the database."""
    preconfigure(txn, host, (), "", "")


def release(txn: Txn, host: str) -> None:
    """Detach the disks; the daemon does not start when the host boots."""
    detach(txn, host)
    set_local(txn, host, {ARMED: "false"})


def note_boot(store: Store, txn: Txn, host: str) -> None:
    """A host has booted: an armed one joins the live set again, or finds that high availability went off meanwhile."""
    values = txn.get(host, "host")
    if not is_armed(values):
        stop(txn, host)
    elif values["ha_statefiles"] and any(pool["ha_enabled"] for pool in store.all("pool").values()):
        txn.update(host, ha_daemon=FENCING)
    else:
        stop(txn, host)
        release(txn, host)


def show_live_set(store: Store, txn: Txn) -> None:
    """Write into the records of all hosts which hosts are in the live set, as `txn` has it (rule 3)."""
    hosts = {ref: txn.get(ref) for ref in store.all("host")}
    members = {ref: host for ref, host in hosts.items() if in_live_set(txn, host)}
    uuids = tuple(host["uuid"] for host in members.values())
    for ref in hosts:
        txn.update(ref, ha_network_peers=uuids if ref in members else ())


def adopt(store: Store) -> None:
    """Complete a database that was written when hosts kept nothing of high availability themselves: all have joined;
    or when disks said nothing of it (rule 4)."""
    hosts = store.all("host").values()
    txn = store.begin()
    for pool in store.all("pool").values():
        if not pool["ha_enabled"]:
            continue
        if not any(host["local_database"] for host in hosts):
            for host in hosts:
                preconfigure(txn, host.ref, pool["ha_statefiles"], "", "")
                join(txn, host.ref)
        for vdi in store.all("VDI").values():
            is_metadata = vdi["type"] == "redo_log" and vdi["metadata_of_pool"] == pool.ref
            if vdi.ref in pool["ha_statefiles"] or (is_metadata and vdi.ref != pool["redo_log_vdi"]):
                txn.update(vdi.ref, ha_pool=pool.ref)
    for host in hosts:
        for disk in _attached(txn.get(host.ref)):
            _show_attached(txn, disk, host.ref, True)
    store.commit(txn)
