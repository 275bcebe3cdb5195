"""pool, VM, host: workload balancing, which a server outside the pool would do. This one speaks no protocol of such a
server, so there is none: clients that ask hear the errors by which they know that.

Rule 1: pool.wlb_url says whether there is one. A database from elsewhere may say so; that can be forgotten, and nothing
        else is done with it.
"""

from __future__ import annotations

from xenapi_core.api.handlers.pool_roles import the_pool
from xenapi_core.api.registry import CallContext, handles
from xenapi_core.errors import E
from xenapi_core.ids import NULL_REF, is_null
from xenapi_core.store.api import Txn, Version


def _balanced(call: CallContext) -> Version:
    """The pool, if there is a server for it. WLB_NOT_INITIALIZED."""
    pool = the_pool(call)
    if not pool["wlb_url"]:
        raise E.WLB_NOT_INITIALIZED()
    return pool


@handles("pool.retrieve_wlb_recommendations")
def recommendations(call: CallContext) -> None:
    """WLB_NOT_INITIALIZED, WLB_DISABLED; NOT_IMPLEMENTED where both are not so (rule 1)."""
    if not _balanced(call)["wlb_enabled"]:
        raise E.WLB_DISABLED()
    raise E.NOT_IMPLEMENTED(call.wire_name)


@handles("VM.retrieve_wlb_recommendations")
def recommendations_for_vm(call: CallContext, vm: str) -> None:
    """See pool.retrieve_wlb_recommendations."""
    call.get(vm, "VM")
    recommendations(call)


@handles("host.retrieve_wlb_evacuate_recommendations")
def recommendations_for_host(call: CallContext, host: str) -> None:
    """See pool.retrieve_wlb_recommendations."""
    call.get(host, "host")
    recommendations(call)


@handles("pool.retrieve_wlb_configuration", "pool.send_wlb_configuration")
def configuration(call: CallContext, config: object = None) -> None:
    """WLB_NOT_INITIALIZED; NOT_IMPLEMENTED where there is a server (rule 1)."""
    _balanced(call)
    raise E.NOT_IMPLEMENTED(call.wire_name)


@handles("pool.set_wlb_enabled")
def set_enabled(call: CallContext, ref: str, value: bool) -> None:
    """WLB_NOT_INITIALIZED for true without a server."""
    call.get(ref, "pool")
    if value:
        _balanced(call)
    call.update(ref, wlb_enabled=value)


@handles("pool.deconfigure_wlb")
def deconfigure(call: CallContext) -> None:
    """Forget the server, and its password with it. WLB_NOT_INITIALIZED."""
    pool = _balanced(call)

    def write(txn: Txn) -> None:
        password = pool["wlb_password"]
        txn.update(pool.ref, wlb_url="", wlb_username="", wlb_password=NULL_REF, wlb_enabled=False)
        if not is_null(password) and txn.find(password) is not None:
            txn.delete(password)

    call.commit(write)
