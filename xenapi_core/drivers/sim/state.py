"""The simulator's state: volumes, machines and saved memory, as values without time and I/O."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from xenapi_core.drivers.api import (
    DiskSpec,
    DomainSpec,
    DomainState,
    GuestState,
    MachineUsage,
    NicSpec,
    PowerState,
    Requests,
    Traffic,
)
from xenapi_core.drivers.storage import VolumeState, VolumeTraffic

BLOCK: Final = 2 << 20  # storage is given out in blocks of 2 MiB
FLOW: Final = 64 << 20  # bytes a second that a guest whose processors are all busy moves through each of its devices
REQUEST: Final = 64 << 10  # bytes a guest asks a disk for at a time
RATE: Final = 256 << 20  # bytes a second of one request: its time is that of its bytes
QUEUE: Final = 32  # requests a guest leaves with a disk that does not answer, before it waits


def in_blocks(size: int) -> int:
    """`size` bytes, rounded up to whole blocks."""
    return -(-size // BLOCK) * BLOCK


@dataclass
class Image:
    """The saved memory of a machine, inside a volume."""

    machine: str
    memory: int
    guest: GuestState | None
    has_agent: bool = True
    ignores_shutdown: bool = False


@dataclass
class Volume:
    """One volume: thin, so `used` grows as guests write. Sizes in bytes; `contents` differs when the data does."""

    uuid: str
    size: int
    used: int = 0
    image: Image | None = None
    name: str = ""
    read_only: bool = False
    snapshot_of: str = ""
    contents: str = ""
    bytes_read: int = 0
    bytes_written: int = 0
    hosts: set[str] = field(default_factory=set)  # those that have it attached to themselves, for no machine

    def state(self, repository: str) -> VolumeState:
        return VolumeState(
            self.uuid,
            f"{repository}/{self.uuid}",
            self.size,
            self.used,
            self.name,
            self.read_only,
            self.snapshot_of,
        )

    def traffic(self) -> VolumeTraffic:
        """A request moves one block."""
        read, written = self.bytes_read, self.bytes_written
        return VolumeTraffic(read, written, -(-read // BLOCK), -(-written // BLOCK))


@dataclass
class Machine:
    """One domain that exists. `changed` wakes calls that wait for its guest."""

    spec: DomainSpec
    host: str
    domid: int
    power_state: PowerState
    start_time: int
    disks: dict[str, DiskSpec]
    nics: dict[str, NicSpec]
    guest: GuestState | None = None
    ignores_shutdown: bool = False
    has_agent: bool = True
    agent: asyncio.Task[None] | None = field(default=None, repr=False)
    balloon: int = 0  # bytes the guest has of its memory; 0: all it may have
    vcpus: int = 0  # plugged in; 0: as it was built
    load: float = 0.02  # how busy its processors are, 0..1
    pressed: list[str] = field(default_factory=list)  # keys and triggers the guest was sent
    scheduling: dict[str, str] = field(default_factory=dict)  # what the scheduler was told
    held: dict[str, str] = field(default_factory=dict)  # disks whose traffic is held back -> token of who holds them
    asleep: bool = False  # in ACPI state S3
    crashed: bool = False  # it stays to be looked at, and never runs again
    shadow: float = 0.0  # factor on the memory of shadow page tables; 0: as it was built
    cpu_pool: str = ""  # uuid of the pool of processors it runs on
    tmem: dict[str, str] = field(default_factory=dict)  # see DomainState

    def __post_init__(self) -> None:
        self.scheduling = self.scheduling or dict(self.spec.scheduling)
        self.shadow = self.shadow or self.spec.shadow

    def usage(self) -> MachineUsage:
        """The machine's present usage: a machine that is paused, or whose guest sleeps, computes nothing."""
        load = self.load if self.power_state is PowerState.RUNNING and not self.asleep else 0.0
        state = self.state()
        flow = load * FLOW
        disks = {disk.position: _traffic_of_disk(disk, 0.0 if disk.uuid in self.held else flow) for disk in state.disks}
        stuck = {disk.position for disk in state.disks if load and disk.volume is not None and disk.uuid in self.held}
        return MachineUsage(
            (load,) * state.vcpus,
            state.memory_actual,
            disks,
            {nic.position: Traffic(flow / 4, flow / 8) for nic in state.nics},
            {position: _requests(moved, position in stuck) for position, moved in disks.items()},
        )

    @property
    def memory(self) -> int:
        return self.spec.memory_static_max

    def state(self) -> DomainState:
        return DomainState(
            uuid=self.spec.uuid,
            power_state=self.power_state,
            domid=self.domid,
            memory_actual=self.balloon or self.spec.memory_dynamic_max or self.memory,
            vcpus=self.vcpus or self.spec.vcpus,
            start_time=self.start_time,
            disks=tuple(self.disks.values()),
            nics=tuple(self.nics.values()),
            guest=self.guest,
            cpu_pool=self.cpu_pool,
            crashed=self.crashed,
            tmem=dict(self.tmem),
        )


def _traffic_of_disk(disk: DiskSpec, flow: float) -> Traffic:
    """An empty drive moves nothing, and what cannot be written to is read only."""
    if disk.volume is None:
        return Traffic(0.0, 0.0)
    return Traffic(flow / 2, 0.0 if disk.read_only else flow / 4)


def _requests(moved: Traffic, stuck: bool) -> Requests:
    """Requests of one size, each of which takes as long as its bytes; `stuck`: none is answered, and a guest that
    computes has filled its queue."""
    if stuck:
        return Requests(in_flight=float(QUEUE))
    reads, writes, time = moved.inward / REQUEST, moved.outward / REQUEST, REQUEST / RATE
    return Requests(reads, writes, time if reads else 0.0, time if writes else 0.0, (reads + writes) * time)


def device_name(position: str) -> str:
    """The name a paravirtualised guest gives the disk at `position`: "0" is xvda, "26" is xvdaa."""
    number, letters = int(position), ""
    while number >= 0:
        letters = chr(ord("a") + number % 26) + letters
        number = number // 26 - 1
    return f"xvd{letters}"


def what_the_agent_says(nics: Iterable[NicSpec]) -> GuestState:
    """A believable report of the tools inside a guest: addresses follow from MACs where none were chosen for it."""
    networks = {}
    for nic in nics:
        octets = [int(part, 16) for part in nic.mac.split(":")] if nic.mac.count(":") == 5 else [0, 0, 0, 0, 0, 1]
        chosen = [address.partition("/")[0] for address in nic.addresses]
        version4 = [address for address in chosen if ":" not in address]
        version4 = version4 or [f"10.{octets[3]}.{octets[4]}.{octets[5] or 1}"]
        networks[f"{nic.position}/ip"] = version4[0]
        for number, address in enumerate(version4):
            networks[f"{nic.position}/ipv4/{number}"] = address
        for number, address in enumerate(address for address in chosen if ":" in address):
            networks[f"{nic.position}/ipv6/{number}"] = address
    return GuestState(
        os_version={
            "name": "Debian GNU/Linux 12 (bookworm)",
            "distro": "debian",
            "major": "12",
            "minor": "5",
            "uname": "6.1.0-18-amd64",
        },
        pv_drivers_version={"major": "7", "minor": "30", "micro": "0", "build": "1"},
        networks=networks,
    )


def volumes_of(disks: Iterable[DiskSpec]) -> dict[str, bool]:
    """Volume uuid -> whether one of `disks` writes to it, and must be the only one."""
    found: dict[str, bool] = {}
    for disk in disks:
        if disk.volume is not None:
            found[disk.volume] = found.get(disk.volume, False) or not (disk.read_only or disk.shared)
    return found
