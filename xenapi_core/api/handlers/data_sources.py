"""Data sources of hosts, VMs and SRs: processors, memory, space and traffic, read from the driver at every call.

Rule 1: the server records all that is standard here from its start on (server/actions/measurements.py), so there is
        nothing to start. A history that is forgotten starts again with the next sample.
Rule 2: what goes to an SR is what running machines do with its disks; of a host's own machines, it is also a data
        source of the host, with the first eight digits of the SR's uuid behind the name.
Rule 3: data sources computed from others (sums, means, other units) are optional: they can be queried, and are recorded
        from record_data_source until their history is forgotten. xapi records these, too, by itself.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from xenapi_core.api.registry import CallContext, handles
from xenapi_core.drivers.api import DriverError, HostUsage, MachineUsage, Requests, Traffic
from xenapi_core.drivers.storage import VolumeTraffic
from xenapi_core.engine.failures import HOST, STORAGE, About, told_as
from xenapi_core.engine.specs import device_name, device_position
from xenapi_core.errors import E
from xenapi_core.model.infrastructure_lifecycle import check_sr_operation
from xenapi_core.model.lifecycle import check_vm_operation
from xenapi_core.model.power import PAUSED, RUNNING
from xenapi_core.store.api import Store, Version

ANSWER_WITHIN: Final = 60.0  # seconds of real time a driver has to tell what is used
LONGEST_DELAY: Final = 86400.0  # seconds
UNBOUNDED: Final = sys.float_info.max  # as the largest value: JSON knows no infinity

MIB: Final = 1 << 20
MICROSECONDS: Final = 1e6

Source = dict[str, Any]
Moved = tuple[Traffic, Requests]  # of one disk of one machine


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


def _waits_for(what: str) -> str:
    return f"Seconds a second that requests to {what} take, all together"


def _open_at(what: str) -> str:
    return f"Requests to {what} that have no answer yet"


def _of_requests(requests: Mapping[str, Requests]) -> Iterator[Source]:
    """The rate of requests to disks, their latency, and the number in flight."""
    for position in sorted(requests):
        name, asked = device_name(position), requests[position]
        for word, count, time in (
            ("read", asked.reads, asked.read_time),
            ("write", asked.writes, asked.write_time),
        ):
            yield _source(f"vbd_{name}_iops_{word}", f"{word} requests to disk {name}", "requests/s", count, UNBOUNDED)
            text = f"Time of a {word} request to disk {name}"
            yield _source(f"vbd_{name}_{word}_latency", text, "\N{MICRO SIGN}s", time * MICROSECONDS, UNBOUNDED)
        yield _source(f"vbd_{name}_iowait", _waits_for(f"disk {name}"), "s/s", asked.waited, UNBOUNDED)
        yield _source(f"vbd_{name}_inflight", _open_at(f"disk {name}"), "requests", asked.in_flight, UNBOUNDED)


def _of_storage(moved: Sequence[Moved], suffix: str = "") -> Iterator[Source]:
    """Data sources of the traffic to one SR; `suffix` ends their names."""

    def source(name: str, text: str, units: str, value: float) -> Source:
        return _source(f"{name}{suffix}", text, units, value, UNBOUNDED)

    for word, bytes_, counts, times in (
        ("read", [t.inward for t, _ in moved], [r.reads for _, r in moved], [r.read_time for _, r in moved]),
        ("write", [t.outward for t, _ in moved], [r.writes for _, r in moved], [r.write_time for _, r in moved]),
    ):
        time = sum(count * each for count, each in zip(counts, times, strict=True))
        mean = time / sum(counts) if sum(counts) else 0.0
        yield source(f"io_throughput_{word}", f"Bytes a second: {word} of all disks", "MiB/s", sum(bytes_) / MIB)
        yield source(f"iops_{word}", f"{word} requests to all disks", "requests/s", float(sum(counts)))
        yield source(f"{word}_latency", f"Time of a {word} request", "\N{MICRO SIGN}s", mean * MICROSECONDS)
    yield source("iowait", _waits_for("all disks"), "s/s", sum((asked.waited for _, asked in moved), 0.0))
    yield source("inflight", _open_at("all disks"), "requests", sum((asked.in_flight for _, asked in moved), 0.0))


def _choices(moved: Sequence[Moved], name: Callable[[str], str], what: str, directions: bool) -> Iterator[Source]:
    """What follows from the others of a disk, or of all disks of an SR (rule 3), by xapi's names: latency and queue are
    those of the slowest disk. `name` makes one of a word; `directions`: tell the throughput of each, too."""

    def source(word: str, text: str, units: str, value: float) -> Source:
        made = _source(name(word), f"{text} {what}", units, value, UNBOUNDED)
        return {**made, "enabled": False, "standard": False}

    read, written = sum(t.inward for t, _ in moved) / MIB, sum(t.outward for t, _ in moved) / MIB
    if directions:
        yield source("io_throughput_read", "Read from", "MiB/s", read)
        yield source("io_throughput_write", "Written to", "MiB/s", written)
    yield source("io_throughput_total", "Read from and written to", "MiB/s", read + written)
    yield source("iops_total", "Requests to", "requests/s", sum((r.reads + r.writes for _, r in moved), 0.0))
    means = (asked.waited / (asked.reads + asked.writes) for _, asked in moved if asked.reads + asked.writes)
    yield source("latency", "Time of a request to", "\N{MICRO SIGN}s", max(means, default=0.0) * MICROSECONDS)
    at_work = max((asked.waited for _, asked in moved), default=0.0)
    yield source("avgqu_sz", "Requests at work, on average, at", "requests", at_work)


def vm_choices(machine: MachineUsage) -> Iterator[Source]:
    """What follows from the data sources of a VM (rule 3)."""
    for position in sorted(machine.disks):
        device = device_name(position)
        moved = (machine.disks[position], machine.requests.get(position, Requests()))
        yield from _choices([moved], f"vbd_{device}_{{}}".format, f"disk {device}", directions=True)


def host_choices(store: Store, host: str, moved: Mapping[str, Sequence[Moved]]) -> Iterator[Source]:
    """What follows from `storage_sources` (rule 3)."""
    for sr, suffix in _connected(store, host):
        yield from _choices(moved.get(sr, ()), f"{{}}{suffix}".format, "all disks", directions=False)


def sr_choices(moved: Sequence[Moved]) -> Iterator[Source]:
    """What follows from `sr_sources` (rule 3)."""
    return _choices(moved, str, "all disks", directions=False)


def _connected(store: Store, host: str) -> Iterator[tuple[str, str]]:
    """The SRs that a host is connected to, and what ends the names of their data sources (rule 2)."""
    for pbd in map(store.get, store.related(host, "PBDs")):
        if pbd["currently_attached"]:
            yield pbd["SR"], f"_{store.get(pbd['SR'])['uuid'][:8]}"


async def _usage(call: CallContext, host: str) -> HostUsage:
    """HOST_OFFLINE."""
    engine = call.services.engine
    if host not in engine.hypervisors:
        raise E.HOST_OFFLINE(host)
    with told_as(HOST, About(host=host, operation="data_source_op")):
        try:
            async with asyncio.timeout(ANSWER_WITHIN):
                return await engine.hypervisors[host].usage()
        except TimeoutError as error:
            raise E.HOST_OFFLINE(host) from error


def host_sources(usage: HostUsage) -> tuple[Source, ...]:
    """The data sources of a host."""
    average = sum(usage.cpus) / len(usage.cpus) if usage.cpus else 0.0
    total = usage.memory_total / 1024
    return (
        *_processors(usage.cpus),
        _source("cpu_avg", "Part of all processors that is busy", "(fraction)", average, 1.0),
        _source("memory_total_kib", "Memory of the host", "KiB", total, total),
        _source("memory_free_kib", "Memory of the host that no machine has", "KiB", usage.memory_free / 1024, total),
        *_of_nics("pif", usage.nics),
    )


def moved_on(store: Store, usage: HostUsage) -> dict[str, list[Moved]]:
    """The disk traffic of the machines on a host, by SR."""
    found: dict[str, list[Moved]] = {}
    for uuid, machine in usage.machines.items():
        vm = store.by_uuid("VM", uuid)
        vbds = store.related(vm.ref, "VBDs") if vm is not None and machine.disks else ()
        for vbd in map(store.get, vbds):
            place = str(device_position(vbd["device"]))  # where the machine has it, not where its next boot will
            vdi, traffic = store.find(vbd["VDI"]), machine.disks.get(place)
            if vdi is not None and traffic is not None:
                asked = machine.requests.get(place, Requests())
                found.setdefault(vdi["SR"], []).append((traffic, asked))
    return found


def storage_sources(store: Store, host: str, moved: Mapping[str, Sequence[Moved]]) -> Iterator[Source]:
    """The data sources of a host for the SRs it is connected to (rule 2)."""
    for sr, suffix in _connected(store, host):
        yield from _of_storage(moved.get(sr, ()), suffix)


def _as_recorded(call: CallContext, kind: str, uuid: str, choices: Iterable[Source]) -> Iterator[Source]:
    """Choices, enabled if they are recorded (rule 3)."""
    history = call.services.surroundings.history
    for one in choices:
        yield {**one, "enabled": history is not None and history.records(kind, uuid, one["name_label"])}


@handles("host.get_data_sources")
async def of_host(call: CallContext, ref: str) -> tuple[Source, ...]:
    usage = await _usage(call, ref)
    moved, uuid = moved_on(call.store, usage), call.store.get(ref)["uuid"]
    choices = _as_recorded(call, "host", uuid, host_choices(call.store, ref, moved))
    return (*host_sources(usage), *storage_sources(call.store, ref, moved), *choices)


def sr_sources(size: int, used: int, moved: Sequence[Moved]) -> tuple[Source, ...]:
    """The data sources of an SR; sizes in bytes."""
    return (
        _source("physical_size", "Space there is", "B", float(size), UNBOUNDED),
        _source("physical_utilisation", "Space in use", "B", float(used), float(size)),
        *_of_storage(moved),
    )


def connected_hosts(store: Store, sr: str) -> Iterable[str]:
    """Hosts with a connection to an SR."""
    return [pbd["host"] for pbd in map(store.get, store.related(sr, "PBDs")) if pbd["currently_attached"]]


@handles("SR.get_data_sources")
async def of_sr(call: CallContext, ref: str) -> tuple[Source, ...]:
    """SR_HAS_NO_PBDS while no host is connected. Hosts that do not answer count as idle."""
    check_sr_operation(call.store, call.get(ref, "SR"), "scan")
    engine = call.services.engine
    if ref not in engine.storages:
        raise E.SR_NOT_ATTACHED(ref)
    with told_as(STORAGE, About(sr=ref, operation="data sources")):
        try:
            async with asyncio.timeout(ANSWER_WITHIN):
                storage = engine.storages[ref]
                size, used = await storage.usage()
                through = [await storage.traffic(volume.uuid) for volume in await storage.volumes()]
        except TimeoutError as error:
            raise E.SR_BACKEND_FAILURE("timeout", "", "the storage did not answer") from error
    moved: list[Moved] = []
    for host in connected_hosts(call.store, ref):
        try:
            async with asyncio.timeout(ANSWER_WITHIN):
                usage = await engine.hypervisors[host].usage() if host in engine.hypervisors else None
        except (DriverError, TimeoutError):
            continue
        if usage is not None:
            moved += moved_on(call.store, usage).get(ref, ())
    choices = _as_recorded(call, "sr", call.store.get(ref)["uuid"], sr_choices(moved))
    return (*sr_sources(size, used, moved), *choices, *_totals(through))


def _totals(through: Sequence[VolumeTraffic]) -> Iterator[Source]:
    """What went through all disks so far, as the storage itself counts it."""
    for name, units, words in (
        ("bytes_read", "B", "Read from"),
        ("bytes_written", "B", "Written to"),
        ("reads", "requests", "Requests to read from"),
        ("writes", "requests", "Requests to write to"),
    ):
        total = float(sum(getattr(one, name) for one in through))
        yield {**_source(f"io_{name}", f"{words} all disks so far", units, total, UNBOUNDED), "enabled": False}


def vm_sources(vm: Version, machine: MachineUsage) -> tuple[Source, ...]:
    """The data sources of a VM."""
    highest = float(vm["memory_static_max"])
    return (
        *_processors(machine.cpus),
        _source("memory", "Memory the machine has", "B", float(machine.memory), highest),
        _source("memory_target", "Memory the balloon shall reach", "B", float(vm["memory_dynamic_max"]), highest),
        *_of_disks(machine.disks),
        *_of_requests(machine.requests),
        *_of_nics("vif", machine.nics),
    )


@handles("VM.get_data_sources")
async def of_vm(call: CallContext, ref: str) -> tuple[Source, ...]:
    """None while the VM has no domain."""
    vm = call.get(ref, "VM")
    if vm["power_state"] not in (RUNNING, PAUSED):
        return ()
    machine = (await _usage(call, vm["resident_on"])).machines.get(vm["uuid"])
    if machine is None:
        return ()
    return (*vm_sources(vm, machine), *_as_recorded(call, "vm", vm["uuid"], vm_choices(machine)))


@handles("host.query_data_source")
async def query_host(call: CallContext, ref: str, name: str) -> float:
    """INVALID_VALUE for a name get_data_sources does not list."""
    return _value(await of_host(call, ref), name)


@handles("SR.query_data_source")
async def query_sr(call: CallContext, ref: str, name: str) -> float:
    """INVALID_VALUE for a name get_data_sources does not list; SR_HAS_NO_PBDS."""
    return _value(await of_sr(call, ref), name)


@handles("VM.query_data_source")
async def query_vm(call: CallContext, ref: str, name: str) -> float:
    """INVALID_VALUE for a name get_data_sources does not list; VM_BAD_POWER_STATE unless Running."""
    check_vm_operation(call.store, call.get(ref, "VM"), "data_source_op")
    return _value(await of_vm(call, ref), name)


def _named(sources: tuple[Source, ...], name: str) -> Source:
    """INVALID_VALUE."""
    for source in sources:
        if source["name_label"] == name:
            return source
    raise E.INVALID_VALUE("data_source", name)


def _value(sources: tuple[Source, ...], name: str) -> float:
    return float(_named(sources, name)["value"])


@handles("host.record_data_source")
async def record_host(call: CallContext, ref: str, name: str) -> None:
    """Record a data source of the host from the next sample on. INVALID_VALUE for a name get_data_sources does not
    list; what `_record` raises."""
    await _record(call, "host", call.get(ref, "host"), _named(await of_host(call, ref), name))


@handles("VM.record_data_source")
async def record_vm(call: CallContext, ref: str, name: str) -> None:
    """Record a data source of the VM from the next sample on. INVALID_VALUE for a name get_data_sources does not list;
    VM_BAD_POWER_STATE; what `_record` raises."""
    vm = call.get(ref, "VM")
    check_vm_operation(call.store, vm, "data_source_op")
    await _record(call, "vm", vm, _named(await of_vm(call, ref), name))


@handles("SR.record_data_source")
async def record_sr(call: CallContext, ref: str, name: str) -> None:
    """Record a data source of the SR from the next sample on. INVALID_VALUE for a name get_data_sources does not list;
    SR_HAS_NO_PBDS; what `_record` raises."""
    await _record(call, "sr", call.get(ref, "SR"), _named(await of_sr(call, ref), name))


async def _record(call: CallContext, kind: str, owner: Version, source: Source) -> None:
    """Record a choice from the next sample on (rule 3); all others are recorded already, but totals, which never are
    (OPERATION_NOT_ALLOWED). NOT_IMPLEMENTED where nobody takes samples."""
    if source["enabled"]:
        return
    if source["standard"]:
        raise E.OPERATION_NOT_ALLOWED("Totals are told and not recorded: rates are.")
    history = call.services.surroundings.history
    if history is None:
        raise E.NOT_IMPLEMENTED(call.wire_name)
    await history.begin(kind, owner["uuid"], source["name_label"])


@handles("host.forget_data_source_archives")
def forget_host(call: CallContext, ref: str, name: str) -> None:
    """INVALID_VALUE if nothing of that name was recorded."""
    _forget(call, "host", call.get(ref, "host"), name)


@handles("VM.forget_data_source_archives")
def forget_vm(call: CallContext, ref: str, name: str) -> None:
    """INVALID_VALUE if nothing of that name was recorded; VM_BAD_POWER_STATE."""
    vm = call.get(ref, "VM")
    check_vm_operation(call.store, vm, "data_source_op")
    _forget(call, "vm", vm, name)


@handles("SR.forget_data_source_archives")
def forget_sr(call: CallContext, ref: str, name: str) -> None:
    """INVALID_VALUE if nothing of that name was recorded."""
    _forget(call, "sr", call.get(ref, "SR"), name)


def _forget(call: CallContext, kind: str, owner: Version, name: str) -> None:
    """Delete the recorded history of a data source (rules 1 and 3). INVALID_VALUE if there is none; NOT_IMPLEMENTED for
    a server that records nothing."""
    history = call.services.surroundings.history
    if history is None:
        raise E.NOT_IMPLEMENTED(call.wire_name)
    if not history.forget(kind, owner["uuid"], name):
        raise E.INVALID_VALUE("data_source", name)


@handles("host.backup_rrds")
async def back_up(call: CallContext, ref: str, delay: float) -> None:
    """Write what was measured on all hosts to the state directory: the pool's hosts have one history.

    Without delay it is there when the call ends. INVALID_VALUE for a delay that is no time; NOT_IMPLEMENTED without a
    state directory; INTERNAL_ERROR if it cannot be written.
    """
    call.get(ref, "host")
    if not 0.0 <= delay <= LONGEST_DELAY:
        raise E.INVALID_VALUE("delay", str(delay))
    history = call.services.surroundings.history
    if history is None or not await history.back_up(delay):
        raise E.NOT_IMPLEMENTED(call.wire_name)
