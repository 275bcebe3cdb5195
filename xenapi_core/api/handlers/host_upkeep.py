"""host: maintenance messages for administrators. Settings that the host must know are plans of the engine
(plans/host_settings.py)."""

from __future__ import annotations

from typing import Final
from zoneinfo import available_timezones

from xenapi_core.api.registry import CallContext, handles
from xenapi_core.engine.transition import enter_halted, note_power
from xenapi_core.errors import E
from xenapi_core.model.hosts import is_live
from xenapi_core.store.api import Txn

LOWEST_TLS: Final = "1.2"  # what server/tls.py accepts at least


@handles("host.list_timezones")
def list_timezones(call: CallContext, ref: str) -> tuple[str, ...]:
    """Names of the tz database, sorted."""
    return tuple(sorted(available_timezones()))


@handles("host.get_uncooperative_domains")
def get_uncooperative_domains(call: CallContext, ref: str) -> tuple[str, ...]:
    """Always empty, as the API now defines it."""
    return ()


@handles("host.declare_dead")
def declare_dead(call: CallContext, ref: str) -> None:
    """The VMs of a host that is gone are Halted, so that they can be started elsewhere. HOST_IS_LIVE if it answers.

    HOST_IS_LIVE for the coordinator too: this server is its proof.
    """
    host = call.get(ref, "host")
    if is_live(call.store, host) or any(pool["master"] == ref for pool in call.store.all("pool").values()):
        raise E.HOST_IS_LIVE(ref)

    def write(txn: Txn) -> None:
        note_power(call.world, txn, ref, False)
        for vm in txn.related(ref, "resident_VMs"):
            if not txn.get(vm)["is_control_domain"]:
                enter_halted(call.world, txn, vm)

    call.commit(write)


@handles("host.local_assert_healthy")
def local_assert_healthy(call: CallContext) -> None:
    """HOST_HAS_NO_MANAGEMENT_IP while the coordinator's management interface has no address."""
    for pool in call.store.all("pool").values():
        pifs = map(call.get, call.store.related(pool["master"], "PIFs"))
        if not any(pif["management"] and (pif["IP"] or pif["IPv6"]) for pif in pifs):
            raise E.HOST_HAS_NO_MANAGEMENT_IP()


@handles("host.set_ssl_legacy")
def set_ssl_legacy(call: CallContext, ref: str, value: bool) -> None:
    """VALUE_NOT_SUPPORTED for true: no listener takes versions of TLS before 1.2."""
    if value:
        raise E.VALUE_NOT_SUPPORTED("ssl_legacy", "true", f"TLS {LOWEST_TLS} is the least that is accepted")
    call.update(ref, ssl_legacy=False)


@handles("pool.disable_ssl_legacy")
def disable_ssl_legacy(call: CallContext, ref: str) -> None:
    """Record for all hosts that legacy TLS is off, as it is on every listener."""

    def write(txn: Txn) -> None:
        for host in call.store.all("host"):
            txn.update(host, ssl_legacy=False)

    call.commit(write)
