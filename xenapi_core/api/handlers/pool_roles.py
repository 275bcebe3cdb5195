"""pool: the coordinator, and the emergency messages of hosts that have lost it. The planned change of coordinator is in
new_coordinator.py.

Rule 1: hosts that this process simulates have one database, so any of them can become the coordinator at once.
Rule 2: a host that joined from another server has no copy of the database: its server answers for it, and nothing else.
"""

from __future__ import annotations

from xenapi_core.api.member_certificates import trust_own_alone
from xenapi_core.api.membership import new_secret, place_of
from xenapi_core.api.registry import CallContext, handles
from xenapi_core.errors import ApiError, E
from xenapi_core.model.hosts import is_live
from xenapi_core.store.api import Version


def the_pool(call: CallContext) -> Version:
    return next(iter(call.store.all("pool").values()))


def called_host(call: CallContext) -> Version:
    """The host whose endpoint was called; the coordinator, where one endpoint serves the pool."""
    return call.get(call.host or the_pool(call)["master"], "host")


async def coordinator_lost(call: CallContext) -> bool:
    """Whether the coordinator of the host that was called is down, or does not answer."""
    membership = call.services.sessions.membership
    if not membership.coordinator:
        master = call.store.find(the_pool(call)["master"])
        return bool(call.host) and (master is None or not answers(call, master))
    try:
        await membership.reach(membership.coordinator).call("system.isAlive:member", "")
    except (OSError, ApiError):
        return True
    return False


def answers(call: CallContext, host: Version) -> bool:
    """Whether a host is up and its agent has not been stopped. A heartbeat alone makes no host: nobody answers for a
    record of host.create that has no driver, and that no server joined with."""
    agents, hypervisors = call.services.surroundings.agents, call.services.engine.hypervisors
    there = bool(host["joined_from"]) or host.ref in hypervisors
    return there and is_live(call.store, host) and (agents is None or not agents.stopped(host.ref))


def check_database(host: Version) -> None:
    """OPERATION_NOT_ALLOWED for a host that joined from another server (rule 2)."""
    if host["joined_from"]:
        raise E.OPERATION_NOT_ALLOWED("The server of this host keeps no copy of the pool's database.")


@handles("pool.emergency_transition_to_master")
def lead(call: CallContext) -> None:
    """The host that was called becomes the coordinator; one that is it already stays so without a word.

    A server that joined another pool is the coordinator of its own host alone again, with a new pool secret, and trusts
    the members of that pool no more.
    """
    membership = call.services.sessions.membership
    if membership.coordinator:
        membership.follow("", new_secret())
        trust_own_alone(call.services)
    elif call.host:
        call.update(the_pool(call).ref, master=call.host)


@handles("pool.emergency_reset_master")
def follow_coordinator(call: CallContext, address: str) -> None:
    """The host that was called follows the coordinator at `address`.

    OPERATION_NOT_ALLOWED where the database of this process says otherwise: its hosts follow pool.master. INVALID_VALUE
    for what is no address: nobody could reach the server to tell it another one.
    """
    membership = call.services.sessions.membership
    if membership.coordinator:
        try:
            place_of(address)
        except ValueError:
            raise E.INVALID_VALUE("master_address", address) from None
        membership.follow(address)
        return
    master = call.store.find(the_pool(call)["master"])
    if master is None or master["address"] != address:
        raise E.OPERATION_NOT_ALLOWED("The hosts of this server follow the coordinator that pool.master names.")


@handles("pool.recover_slaves")
def recover_slaves(call: CallContext) -> tuple[str, ...]:
    """The members that answer: they follow pool.master by themselves."""
    master = the_pool(call)["master"]
    return tuple(ref for ref, host in call.store.all("host").items() if ref != master and answers(call, host))


@handles("pool.is_slave")
def is_slave(call: CallContext, host: str) -> bool:
    """Whether `host` follows another host as coordinator."""
    if call.services.sessions.membership.coordinator:
        return True
    return all(pool["master"] != host for pool in call.store.all("pool").values())
