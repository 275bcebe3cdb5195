"""pool, VM, host: workload balancing, done by a server outside the pool. The requests to it are in api/balancer.py.

Rule 1: pool.wlb_url says whether there is a server, pool.wlb_enabled whether its recommendations are used.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from xenapi_core.api.balancer import Account, Balancer
from xenapi_core.api.handlers.pool_roles import the_pool
from xenapi_core.api.registry import CallContext, handles
from xenapi_core.engine.advice import Rating, balanced
from xenapi_core.engine.placement import check_host
from xenapi_core.engine.plans.host_evacuate import moves_away
from xenapi_core.errors import ApiError, E
from xenapi_core.store.api import Version

log = logging.getLogger(__name__)

_FROM_SERVER = "WLB"  # what a recommendation begins with; what we have against a VM begins with an error's code


def _balancer(call: CallContext) -> Balancer:
    """NOT_IMPLEMENTED for a process that reaches no other server."""
    balancer = call.services.surroundings.balancer
    if balancer is None:
        raise E.NOT_IMPLEMENTED(call.wire_name)
    return balancer


def _initialized(call: CallContext) -> Version:
    """The pool, if there is a server for it. WLB_NOT_INITIALIZED."""
    pool = the_pool(call)
    if not pool["wlb_url"]:
        raise E.WLB_NOT_INITIALIZED()
    return pool


def _advisor(call: CallContext) -> Balancer:
    """The balancer, if its recommendations are enabled. WLB_NOT_INITIALIZED, WLB_DISABLED."""
    if not balanced(_initialized(call)):
        raise E.WLB_DISABLED()
    return _balancer(call)


# The pool and its server. Everything that speaks to the server also fails as Balancer's calls do.


@handles("pool.initialize_wlb")
async def initialize(
    call: CallContext, url: str, username: str, password: str, xenserver_username: str, xenserver_password: str
) -> None:
    """Have a server watch this pool, and use it from then on instead of any other. It gives recommendations once
    pool.wlb_enabled says so. WLB_URL_INVALID; after a failure everything is as before."""
    await _balancer(call).add_pool(Account(url, username, password), xenserver_username, xenserver_password)


@handles("pool.deconfigure_wlb")
async def deconfigure(call: CallContext) -> None:
    """Have the server forget the pool, and forget the server, with its password. WLB_NOT_INITIALIZED.

    A server that fails is forgotten, too, as xapi does: this must work when the server is gone for good.
    """
    password = _initialized(call)["wlb_password"]
    balancer = _balancer(call)
    try:
        await balancer.remove_pool()
    except ApiError as error:
        log.warning("the workload balancing server was not told that the pool leaves: %s", error.code)
    balancer.forget(password)


@handles("pool.set_wlb_enabled")
def set_enabled(call: CallContext, ref: str, value: bool) -> None:
    """WLB_NOT_INITIALIZED for true without a server."""
    call.get(ref, "pool")
    if value:
        _initialized(call)
    call.update(ref, wlb_enabled=value)


@handles("pool.send_wlb_configuration")
async def send_configuration(call: CallContext, config: Mapping[str, str]) -> None:
    """WLB_NOT_INITIALIZED."""
    _initialized(call)
    await _balancer(call).configure(config)


@handles("pool.retrieve_wlb_configuration")
async def retrieve_configuration(call: CallContext) -> dict[str, str]:
    """WLB_NOT_INITIALIZED."""
    _initialized(call)
    return await _balancer(call).configuration()


# Recommendations.


@handles("pool.retrieve_wlb_recommendations")
async def recommendations(call: CallContext) -> dict[str, tuple[str, ...]]:
    """VM -> "WLB", the uuid of the host it should move to, optimisation, recommendation, reason.

    A control domain stands for its host, which should be switched on or off. WLB_NOT_INITIALIZED, WLB_DISABLED.
    """
    found = await _advisor(call).optimization()
    return {vm: (_FROM_SERVER, *rest) for vm, rest in found.items()}


@handles("VM.retrieve_wlb_recommendations")
async def recommendations_for_vm(call: CallContext, vm: str) -> dict[str, tuple[str, ...]]:
    """Host -> "WLB", stars, recommendation, for a host with no stars the server's reason; or the error for which the VM
    cannot run there, whatever the server says. WLB_NOT_INITIALIZED, WLB_DISABLED."""
    call.get(vm, "VM")
    ratings = await _advisor(call).ratings(vm)
    return {rating.host: _checked(call, vm, rating) for rating in ratings}


def _checked(call: CallContext, vm: str, rating: Rating) -> tuple[str, ...]:
    try:
        check_host(call.world, call.get(vm, "VM"), rating.host)
    except ApiError as error:
        return tuple(error.description)
    told = (_FROM_SERVER, rating.stars, rating.recommendation)
    return (*told, rating.reason) if rating.reason else told


@handles("host.retrieve_wlb_evacuate_recommendations")
async def recommendations_for_host(call: CallContext, host: str) -> dict[str, tuple[str, ...]]:
    """VM -> "WLB", the uuid of the host it should go to; or the error that keeps it here, as host.evacuate would tell.

    The control domain -> the host's own uuid, if the host should be switched off then. WLB_NOT_INITIALIZED,
    WLB_DISABLED.
    """
    call.get(host, "host")
    moves = await _advisor(call).moves(host)
    found = moves_away(call.world, host, moves)
    own = call.get(host, "host")["control_domain"]
    targets = {**found.targets, **({own: moves[own]} if own in moves else {})}
    told = {vm: (_FROM_SERVER, call.get(target, "host")["uuid"]) for vm, target in targets.items()}
    return told | {vm: tuple(error.description) for vm, error in found.obstacles.items()}
