"""host: the change of coordinator in two phases: hosts first agree to the new one, then follow it.

Theory of operation
1. A host agrees to one coordinator at a time (`proposed_coordinator`, an address), for AGREED seconds after the last
   proposal. A restart of the server forgets the proposal. The endpoint says which host is meant; without an endpoint
   for each host it is the coordinator.
2. Hosts that this process simulates have one database: the first commit on any of them makes the new one the
   coordinator of all, and the others find it done. So pool.designate_new_master is the agreement of all hosts that are
   up, and one commit.
3. A server whose host joined another pool follows the address that it agreed to (membership.py).
"""

from __future__ import annotations

from typing import Final

from xenapi_core.api.handlers.pool_roles import (
    answers,
    called_host,
    check_database,
    follow_coordinator,
    lead,
    the_pool,
)
from xenapi_core.api.member_calls import ask_member
from xenapi_core.api.registry import CallContext, handles
from xenapi_core.errors import E
from xenapi_core.model.hosts import check_live, is_live
from xenapi_core.model.infrastructure_lifecycle import check_pool_operation
from xenapi_core.store.api import Txn, Version

AGREED: Final = 600  # seconds


def _check_free(call: CallContext, host: Version, address: str) -> None:
    """HA_ABORT_NEW_MASTER [why] if the host has agreed to another coordinator (rule 1)."""
    agreed, age = host["proposed_coordinator"], call.now - host["proposed_at"]
    if agreed not in ("", address) and age <= AGREED:
        raise E.HA_ABORT_NEW_MASTER(f"The host agreed to {agreed} {age} seconds ago.")


def _agree(call: CallContext, txn: Txn, host: str, address: str) -> None:
    txn.update(host, proposed_coordinator=address, proposed_at=call.now)


def _forget(txn: Txn, host: str) -> None:
    txn.update(host, proposed_coordinator="", proposed_at=0)


@handles("host.propose_new_master")
def propose_new_master(call: CallContext, address: str, manual: bool) -> None:
    """The host that was called agrees to the coordinator at `address`, whether an administrator or high availability
    wants it (`manual`).

    HA_ABORT_NEW_MASTER [why] if it has agreed to another one (rule 1).
    """
    host = called_host(call)
    _check_free(call, host, address)
    call.commit(lambda txn: _agree(call, txn, host.ref, address))


@handles("host.commit_new_master")
def commit_new_master(call: CallContext, address: str) -> None:
    """The host that was called follows the coordinator at `address`, or becomes it if that is its own.

    HA_ABORT_NEW_MASTER [why] unless it has agreed to that; OPERATION_NOT_ALLOWED if no host of the pool has the
    address; else what pool.designate_new_master raises for that host.
    """
    host = called_host(call)
    if not address or host["proposed_coordinator"] != address:
        raise E.HA_ABORT_NEW_MASTER(f"The host has not agreed to {address}.")
    if call.services.sessions.membership.coordinator:
        if host["address"] == address:
            lead(call)
        else:
            follow_coordinator(call, address)
        call.commit(lambda txn: _forget(txn, host.ref))
        return
    new = next((each for each in call.store.all("host").values() if each["address"] == address), None)
    if new is None:
        raise E.OPERATION_NOT_ALLOWED("No host of the pool has that address.")
    _check_successor(call, new.ref)

    def write(txn: Txn) -> None:
        txn.update(the_pool(call).ref, master=new.ref)
        _forget(txn, host.ref)

    call.commit(write)


@handles("host.abort_new_master")
def abort_new_master(call: CallContext, address: str) -> None:
    """The host that was called forgets what it has agreed to, whatever that was, as in xapi."""
    host = called_host(call)
    call.commit(lambda txn: _forget(txn, host.ref))


def _check_successor(call: CallContext, host: str) -> None:
    """Whether `host` can become the coordinator, or is it: see designate_new_master."""
    pool = the_pool(call)
    if pool["master"] != host:
        check_pool_operation(call.store, pool, "designate_new_master")
        _check_lead(call, call.get(host, "host"))


def _check_lead(call: CallContext, host: Version) -> None:
    """HOST_OFFLINE for a host that does not answer: as the coordinator it would leave nobody who does.
    OPERATION_NOT_ALLOWED for one that joined from another server (pool_roles.py, rule 2)."""
    if not answers(call, host):
        raise E.HOST_OFFLINE(host.ref)
    check_database(host)


@handles("pool.designate_new_master")
def designate_new_master(call: CallContext, host: str) -> None:
    """HA_IS_ENABLED, OTHER_OPERATION_IN_PROGRESS, and what _check_lead raises. The present coordinator stays it without
    a word.

    HA_ABORT_NEW_MASTER [why] if a host that is up has agreed to another coordinator; then nothing changes.
    """
    pool = the_pool(call)
    check_pool_operation(call.store, pool, "designate_new_master")
    record = call.get(host, "host")
    _check_lead(call, record)
    asked = [each for each in call.store.all("host").values() if is_live(call.store, each)]
    for each in asked:
        _check_free(call, each, record["address"])

    def write(txn: Txn) -> None:
        txn.update(pool.ref, master=host)
        for each in asked:
            _forget(txn, each.ref)

    call.commit(write)


@handles("host.update_master")
async def update_master(call: CallContext, ref: str, address: str) -> None:
    """The host follows the coordinator at `address`: pool.emergency_reset_master, for that host. HOST_OFFLINE;
    OPERATION_NOT_ALLOWED where its database says otherwise; CANNOT_CONTACT_HOST for the server that it joined from."""
    host = check_live(call.store, ref)
    if host["joined_from"]:
        await ask_member(call.services.sessions.membership, host, "host.update_master", address)
    else:
        follow_coordinator(call, address)
