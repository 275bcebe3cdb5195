"""cpu_pool: the settings of pools of CPUs (API 1.0). No driver divides the CPUs of a host, so none can be activated."""

from __future__ import annotations

from typing import Any

from xenapi_core.api.registry import CallContext, handles
from xenapi_core.errors import E
from xenapi_core.ids import NULL_REF


@handles("cpu_pool.create")
def create(call: CallContext, values: dict[str, Any]) -> str:
    """A pool that is not active, on the coordinator. INVALID_VALUE unless it shall have a CPU at least."""
    if values["ncpu"] < 1:
        raise E.INVALID_VALUE("ncpu", str(values["ncpu"]))
    master = next((pool["master"] for pool in call.store.all("pool").values()), NULL_REF)
    return call.create("cpu_pool", {**values, "resident_on": master})


@handles("cpu_pool.destroy")
def destroy(call: CallContext, ref: str) -> None:
    """POOL_BAD_STATE ["activated"] for an active pool."""
    if call.get(ref, "cpu_pool")["activated"]:
        raise E.POOL_BAD_STATE("activated")
    call.commit(lambda txn: txn.delete(ref))


@handles("cpu_pool.add_to_proposed_CPUs")
def add_to_proposed(call: CallContext, ref: str, cpu: str) -> None:
    """INVALID_VALUE for what is no number."""
    if not (cpu.isascii() and cpu.isdigit()):
        raise E.INVALID_VALUE("proposed_CPUs", cpu)
    old = call.get(ref, "cpu_pool")["proposed_CPUs"]
    call.update(ref, proposed_CPUs=old if cpu in old else (*old, cpu))


@handles("cpu_pool.remove_from_proposed_CPUs")
def remove_from_proposed(call: CallContext, ref: str, cpu: str) -> None:
    old = call.get(ref, "cpu_pool")["proposed_CPUs"]
    call.update(ref, proposed_CPUs=tuple(number for number in old if number != cpu))
