"""cpu_pool: the settings of CPU pools, and the pool that a VM is to start in (API 1.0).

Rule 1: what a pool has and what runs there is changed by plans (engine/plans/cpu_pool.py); settings that count when it
        is activated can be changed before that alone.
"""

from __future__ import annotations

from typing import Any

from xenapi_core.api.handlers.pool_roles import the_pool
from xenapi_core.api.registry import CallContext, handles
from xenapi_core.engine.specs import CPU_POOL_NAME
from xenapi_core.errors import E
from xenapi_core.ids import NULL_REF, is_null
from xenapi_core.model.power import HALTED
from xenapi_core.store.api import Version


@handles("cpu_pool.create")
def create(call: CallContext, values: dict[str, Any]) -> str:
    """A pool that is not active, on the coordinator: API 1.0 knew one host, so a record cannot name another.

    INVALID_VALUE unless it shall have a CPU at least, and for proposed CPUs that are no numbers.
    """
    _check_count(values["ncpu"])
    for cpu in values["proposed_CPUs"]:
        _check_number(cpu)
    return call.create("cpu_pool", {**values, "resident_on": the_pool(call)["master"]})


@handles("cpu_pool.destroy")
def destroy(call: CallContext, ref: str) -> None:
    """POOL_BAD_STATE ["activated"] for an active pool."""
    _inactive(call, ref)
    call.commit(lambda txn: txn.delete(ref))


@handles("cpu_pool.set_ncpu")
def set_ncpu(call: CallContext, ref: str, value: int) -> None:
    """POOL_BAD_STATE ["activated"]; INVALID_VALUE unless it shall have a CPU at least."""
    _inactive(call, ref)
    _check_count(value)
    call.update(ref, ncpu=value)


@handles("cpu_pool.set_sched_policy")
def set_sched_policy(call: CallContext, ref: str, value: str) -> None:
    """POOL_BAD_STATE ["activated"]. Whether there is such a scheduler is checked when the pool is activated."""
    _inactive(call, ref)
    call.update(ref, sched_policy=value)


@handles("cpu_pool.set_proposed_CPUs")
def set_proposed(call: CallContext, ref: str, value: tuple[str, ...]) -> None:
    """POOL_BAD_STATE ["activated"]; INVALID_VALUE for what is no number."""
    _inactive(call, ref)
    for cpu in value:
        _check_number(cpu)
    call.update(ref, proposed_CPUs=tuple(dict.fromkeys(value)))


@handles("cpu_pool.add_to_proposed_CPUs", "cpu_pool.add_proposed_CPUs")
def add_to_proposed(call: CallContext, ref: str, cpu: str) -> None:
    """POOL_BAD_STATE ["activated"]; INVALID_VALUE for what is no number."""
    old = _inactive(call, ref)["proposed_CPUs"]
    _check_number(cpu)
    call.update(ref, proposed_CPUs=old if cpu in old else (*old, cpu))


@handles("cpu_pool.remove_from_proposed_CPUs", "cpu_pool.remove_proposed_CPUs")
def remove_from_proposed(call: CallContext, ref: str, cpu: str) -> None:
    """POOL_BAD_STATE ["activated"]."""
    old = _inactive(call, ref)["proposed_CPUs"]
    call.update(ref, proposed_CPUs=tuple(number for number in old if number != cpu))


def _inactive(call: CallContext, ref: str) -> Version:
    pool = call.get(ref, "cpu_pool")
    if pool["activated"]:
        raise E.POOL_BAD_STATE("activated")
    return pool


def _check_count(ncpu: int) -> None:
    if ncpu < 1:
        raise E.INVALID_VALUE("ncpu", str(ncpu))


def _check_number(cpu: str) -> None:
    if not (cpu.isascii() and cpu.isdigit()):
        raise E.INVALID_VALUE("proposed_CPUs", cpu)


@handles("VM.get_cpu_pool")
def get_cpu_pool(call: CallContext, ref: str) -> tuple[str, ...]:
    """The pool the VM runs in, if it runs."""
    pool = call.get(ref, "VM")["cpu_pool"]
    return () if is_null(pool) else (pool,)


@handles("VM.get_pool_name")
def get_pool_name(call: CallContext, ref: str) -> str:
    """Name of the pool the VM runs in, or is to run in if that is clear: it was chosen, or only one has CPUs where the
    VM may run; else empty."""
    vm = call.get(ref, "VM")
    pool = call.store.find(vm["cpu_pool"])
    if pool is not None:
        return str(pool["name_label"])
    if chosen := vm["other_config"].get(CPU_POOL_NAME, ""):
        return str(chosen)
    pools = [p for p in call.store.all("cpu_pool").values() if vm["affinity"] in (NULL_REF, p["resident_on"])]
    names = {pool["name_label"] for pool in pools if pool["activated"]}
    return names.pop() if len(names) == 1 else ""


@handles("VM.set_pool_name")
def set_pool_name(call: CallContext, ref: str, value: str) -> None:
    """Have the VM run in the active pool of that name, on hosts that have one; empty: in the first pool, on any host.

    VM_BAD_POWER_STATE unless Halted.
    """
    vm = call.get(ref, "VM")
    if vm["power_state"] != HALTED:
        raise E.VM_BAD_POWER_STATE(ref, HALTED.lower(), vm["power_state"].lower())
    others = {key: text for key, text in vm["other_config"].items() if key != CPU_POOL_NAME}
    call.update(ref, other_config=others | ({CPU_POOL_NAME: value} if value else {}))
