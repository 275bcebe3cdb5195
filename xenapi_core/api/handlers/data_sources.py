"""What can be measured on hosts and VMs: processors, memory and traffic, asked of the hypervisor at every call.

Rule 1: the server records everything that is listed here from its start on (server/actions/measurements.py), so there
        is nothing to begin; no history can be given up, so forget_data_source_archives answers NOT_IMPLEMENTED.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from xenapi_core.api.registry import CallContext, handles
from xenapi_core.drivers.api import HostUsage, MachineUsage, Traffic
from xenapi_core.engine.failures import MACHINE, About, told_as
from xenapi_core.engine.specs import device_name
from xenapi_core.errors import E
from xenapi_core.model.lifecycle import check_vm_operation
from xenapi_core.model.power import PAUSED, RUNNING
from xenapi_core.store.api import Version

ANSWER_WITHIN: Final = 60.0  # seconds of real time a driver has to tell what is used
UNBOUNDED: Final = sys.float_info.max  # as the largest value: JSON knows no infinity

Source = dict[str, Any]


def _source(name: str, description: str, units: str, value: float, highest: float) -> Source:
    """One data_source record."""
    return {
        "name_label": name, "name_description": description, "enabled": True, "standard": True, "units": units,
        "min": 0.0, "max": highest, "value": value,
    }  # fmt: skip


def _processors(cpus: Sequence[float]) -> Iterator[Source]:
    for number, busy in enumerate(cpus):
        yield _source(f"cpu{number}", f"Part of processor {number} that is busy", "(fraction)", busy, 1.0)


def _traffic(device: str, words: tuple[str, str], what: str, moved: Traffic) -> Iterator[Source]:
    """The two directions of a disk or an interface: `words` are the ends of the names."""
    for word, value in zip(words, (moved.inward, moved.outward), strict=True):
        yield _source(f"{device}_{word}", f"Bytes a second: {word} of {what}", "B/s", value, UNBOUNDED)


def _of_nics(prefix: str, nics: Mapping[str, Traffic]) -> Iterator[Source]:
    for name in sorted(nics):
        yield from _traffic(f"{prefix}_{name}", ("rx", "tx"), f"interface {name}", nics[name])


def _of_disks(disks: Mapping[str, Traffic]) -> Iterator[Source]:
    for position in sorted(disks):
        name = device_name(position)
        yield from _traffic(f"vbd_{name}", ("read", "write"), f"disk {name}", disks[position])


async def _usage(call: CallContext, host: str) -> HostUsage:
    """HOST_OFFLINE; NOT_IMPLEMENTED without a back end."""
    engine = call.services.engine
    if engine is None:
        raise E.NOT_IMPLEMENTED(call.wire_name)
    if host not in engine.hypervisors:
        raise E.HOST_OFFLINE(host)
    with told_as(MACHINE, About(host=host, operation="data_source_op")):
        try:
            async with asyncio.timeout(ANSWER_WITHIN):
                return await engine.hypervisors[host].usage()
        except TimeoutError as error:
            raise E.HOST_OFFLINE(host) from error


def host_sources(usage: HostUsage) -> tuple[Source, ...]:
    """What is measured on a host."""
    average = sum(usage.cpus) / len(usage.cpus) if usage.cpus else 0.0
    total = usage.memory_total / 1024
    return (
        *_processors(usage.cpus),
        _source("cpu_avg", "Part of all processors that is busy", "(fraction)", average, 1.0),
        _source("memory_total_kib", "Memory of the host", "KiB", total, total),
        _source("memory_free_kib", "Memory of the host that no machine has", "KiB", usage.memory_free / 1024, total),
        *_of_nics("pif", usage.nics),
    )


@handles("host.get_data_sources")
async def of_host(call: CallContext, ref: str) -> tuple[Source, ...]:
    return host_sources(await _usage(call, ref))


def vm_sources(vm: Version, machine: MachineUsage) -> tuple[Source, ...]:
    """What is measured on a VM."""
    highest = float(vm["memory_static_max"])
    return (
        *_processors(machine.cpus),
        _source("memory", "Memory the machine has", "B", float(machine.memory), highest),
        _source("memory_target", "Memory the balloon shall reach", "B", float(vm["memory_dynamic_max"]), highest),
        *_of_disks(machine.disks),
        *_of_nics("vif", machine.nics),
    )


@handles("VM.get_data_sources")
async def of_vm(call: CallContext, ref: str) -> tuple[Source, ...]:
    """None while the VM has no domain."""
    vm = call.get(ref, "VM")
    if vm["power_state"] not in (RUNNING, PAUSED):
        return ()
    machine = (await _usage(call, vm["resident_on"])).machines.get(vm["uuid"])
    return () if machine is None else vm_sources(vm, machine)


@handles("host.query_data_source")
async def query_host(call: CallContext, ref: str, name: str) -> float:
    """INVALID_VALUE for a name get_data_sources does not list."""
    return _value(await of_host(call, ref), name)


@handles("VM.query_data_source")
async def query_vm(call: CallContext, ref: str, name: str) -> float:
    """INVALID_VALUE for a name get_data_sources does not list; VM_BAD_POWER_STATE unless Running."""
    check_vm_operation(call.store, call.get(ref, "VM"), "data_source_op")
    return _value(await of_vm(call, ref), name)


def _value(sources: tuple[Source, ...], name: str) -> float:
    for source in sources:
        if source["name_label"] == name:
            return float(source["value"])
    raise E.INVALID_VALUE("data_source", name)


@handles("host.record_data_source")
async def record_host(call: CallContext, ref: str, name: str) -> None:
    """It is recorded already. INVALID_VALUE for a name get_data_sources does not list."""
    _value(await of_host(call, ref), name)


@handles("VM.record_data_source")
async def record_vm(call: CallContext, ref: str, name: str) -> None:
    """It is recorded already. INVALID_VALUE for a name get_data_sources does not list; VM_BAD_POWER_STATE."""
    check_vm_operation(call.store, call.get(ref, "VM"), "data_source_op")
    _value(await of_vm(call, ref), name)
