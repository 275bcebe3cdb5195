"""The interface of hypervisor drivers, which see plain values only.

Theory of operation
1. A driver never sees the store, the schema or a reference; machines, disks and NICs are named by uuid.
2. One `Hypervisor` is one host. A call returns when the hypervisor has done the work, not when it has accepted the
   request.
3. Things the hypervisor does by itself (a guest powers off, crashes, reboots) arrive as `DomainEvent`s; the changes a
   call asked for arrive too, and the engine knows its own.
4. Every failure is a `DriverError` with a kind; the engine turns kinds into Xen-API errors.
5. A call may be cancelled while it waits; then, as when it fails, everything is as before the call (a machine whose
   rebuilding fails or is cancelled in `reboot` or `reset` is gone).
   A call to a host that is down fails with kind "offline".
6. A guest that crashes ends nothing: its machine stays, Paused and with all its memory, until the engine decides what
   comes next. The setting may have changed since the machine was built, so no driver decides it.
7. `testing.check_hypervisor` is the conformance suite: passing it is what makes a class a driver.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Protocol

GUEST_PATIENCE: Final = 1200.0  # seconds a guest is given to do what it is asked


class PowerState(StrEnum):
    """States of a domain that exists; a machine the hypervisor does not know is Halted or Suspended."""

    RUNNING = "Running"
    PAUSED = "Paused"


class Gone(StrEnum):
    """Why a domain stopped existing by itself."""

    SHUTDOWN = "shutdown"
    REBOOT = "reboot"
    SOFT_REBOOT = "soft_reboot"
    CRASH = "crash"


class DriverError(Exception):
    """A call of a driver failed.

    kind: "not_found", "exists", "bad_state", "no_memory", "no_space", "in_use", "unsupported", "timeout", "offline",
    "failed".
    """

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind
        self.text = text


@dataclass(frozen=True, slots=True)
class DiskSpec:
    """A disk of a machine: `volume` is the VDI's uuid, None for an empty CD drive; `position` is VBD.userdevice.

    `shared`: other machines may write to the volume at the same time.
    """

    uuid: str
    volume: str | None
    position: str
    kind: str  # "Disk" | "CD" | "Floppy"
    read_only: bool
    bootable: bool = False
    shared: bool = False


@dataclass(frozen=True, slots=True)
class NicSpec:
    """A NIC of a machine: `network` is the network's uuid; `position` is VIF.device.

    `addresses`: the addresses the guest should use, in CIDR notation; none: it chooses for itself.
    """

    uuid: str
    network: str
    position: str
    mac: str
    mtu: int
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DomainSpec:
    """Everything needed to build a machine. Memory in bytes."""

    uuid: str
    name: str
    memory_static_max: int
    memory_dynamic_min: int
    memory_dynamic_max: int
    vcpus_max: int
    vcpus: int
    domain_type: str  # "hvm" | "pv" | "pvh"
    disks: tuple[DiskSpec, ...] = ()
    nics: tuple[NicSpec, ...] = ()
    boot: dict[str, str] = field(default_factory=dict)
    scheduling: dict[str, str] = field(default_factory=dict)  # SCHEDULING: what the scheduler shall know from the start
    shadow: float = 1.0  # factor on the memory of shadow page tables
    cpu_pool: str = ""  # uuid of the pool of processors to run on; "": the first one of the host


@dataclass(frozen=True, slots=True)
class DomainState:
    """A machine as the hypervisor has it now. `domid` changes at every boot; `start_time` is an instant."""

    uuid: str
    power_state: PowerState
    domid: int
    memory_actual: int
    vcpus: int
    start_time: int
    disks: tuple[DiskSpec, ...]
    nics: tuple[NicSpec, ...]
    guest: GuestState | None = None
    cpu_pool: str = ""  # uuid of the pool of processors it runs on; "" if the driver has no pools
    crashed: bool = False  # its guest has crashed: it is Paused for good, until it is destroyed or built again
    # Settings of its transcendent memory: weight, cap, compress, frozen, and shares (uuids, joined by commas); defaults
    # are left out.
    tmem: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GuestState:
    """What the guest's agent reports; None in DomainState until it has spoken."""

    os_version: dict[str, str]
    pv_drivers_version: dict[str, str]
    networks: dict[str, str]


@dataclass(frozen=True, slots=True)
class InterfaceState:
    """A physical network interface of a host. `speed` in Mbit/s, 0 without a link; numbers of PCI in hexadecimal."""

    name: str
    mac: str
    mtu: int = 1500
    carrier: bool = True
    speed: int = 1000
    duplex: bool = True
    vendor_id: str = ""
    vendor_name: str = ""
    device_id: str = ""
    device_name: str = ""
    pci_bus_path: str = ""


@dataclass(frozen=True, slots=True)
class DomainEvent:
    """Something changed. `state` is None when the domain is gone; `gone` says why, None when a call ended it.

    A machine whose guest crashed has both: it stays as it is (rule 6).
    """

    uuid: str
    state: DomainState | None
    gone: Gone | None = None


@dataclass(frozen=True, slots=True)
class HostEvent:
    """The host itself went down, or came up. What ran on it when it went down is gone, without events of its own."""

    up: bool


@dataclass(frozen=True, slots=True)
class CrashDump:
    """What a host saved of its own crash. `timestamp`: seconds since the epoch; `size` in bytes."""

    name: str
    timestamp: int
    size: int


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes a second that one device takes in (reads, receives) and gives out (writes, sends), as its owner sees it."""

    inward: float
    outward: float


@dataclass(frozen=True, slots=True)
class Requests:
    """Requests a second that one disk answers, their mean latency in seconds, and the mean number of requests in
    flight."""

    reads: float = 0.0
    writes: float = 0.0
    read_time: float = 0.0
    write_time: float = 0.0
    in_flight: float = 0.0

    @property
    def waited(self) -> float:
        """Seconds that the requests answered in one second took, all together."""
        return self.reads * self.read_time + self.writes * self.write_time


@dataclass(frozen=True, slots=True)
class MachineUsage:
    """What one machine uses now: the busy part of each virtual processor (0..1), memory in bytes, the traffic of its
    disks and NICs by position, and the requests to its disks."""

    cpus: tuple[float, ...]
    memory: int
    disks: Mapping[str, Traffic] = field(default_factory=dict)
    nics: Mapping[str, Traffic] = field(default_factory=dict)
    requests: Mapping[str, Requests] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HostUsage:
    """What a host and its machines (by uuid) use now: the busy part of each processor (0..1), memory in bytes, and the
    traffic of its interfaces by name."""

    cpus: tuple[float, ...]
    memory_total: int
    memory_free: int
    machines: Mapping[str, MachineUsage]
    nics: Mapping[str, Traffic] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What one host offers. Memory in bytes, speed in MHz."""

    uuid: str
    hostname: str
    address: str
    memory_total: int
    memory_free: int
    cpu_count: int
    cpu_sockets: int
    cpu_model: str
    cpu_vendor: str
    cpu_speed: int
    cpu_flags: str
    hypervisor: str
    hypervisor_version: str
    domain_types: tuple[str, ...]
    # "suspend", "hotplug", "balloon", "live_migrate", "host_power", "cpu_pools", "tmem"
    features: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class HostClock:
    """What time a host thinks it is (seconds since the epoch, UTC), and where it has that from: the time servers in use
    with their states (selected, combined, unselected, unreachable), and whether the clock follows one of them."""

    now: int
    servers: Mapping[str, str] = field(default_factory=dict)
    synchronized: bool = False


@dataclass(frozen=True, slots=True)
class DriverVariant:
    """One variant of a device driver. status: production, beta, alpha or unknown; the highest priority is to choose."""

    name: str
    version: str
    hardware_present: bool
    priority: float
    status: str


@dataclass(frozen=True, slots=True)
class DeviceDriver:
    """A device driver of a host that comes in variants. `active` is loaded, `selected` will be from the next boot on;
    "" for none of them."""

    name: str
    friendly_name: str
    kind: str  # of the devices it is for: network, storage
    description: str
    variants: tuple[DriverVariant, ...]
    active: str = ""
    selected: str = ""


Progress = Callable[[float], None]

# Settings of a host (Hypervisor.configure), with values as the Xen-API spells them: lists are joined by commas, truth
# values are "true" and "false". Those of guest agents are shown to every machine of the host, where its agent looks: on
# Xen in xenstore, below /guest_agent_features.
HOST_SETTINGS: Final = frozenset(
    {
        "cache_repository", "console_idle_timeout", "display", "firewall_services", "guest_agent_auto_update",
        "guest_agent_features", "guest_agent_update_url", "hostname", "igmp_snooping", "iscsi_iqn", "max_cstate",
        "multipathing", "ntp_custom_servers", "ntp_mode", "numa_affinity_policy", "sched_gran", "sdn_controller", "ssh",
        "ssh_auto_mode", "ssh_enabled_timeout", "syslog_destination", "timezone",
    }
)  # fmt: skip
# Parameters of the scheduler for one machine (Hypervisor.set_scheduling).
SCHEDULING: Final = re.compile(r"weight|cap|mask|cpumap(?P<vcpu>0|[1-9][0-9]{0,4})")


class Hypervisor(Protocol):
    """One host. See the module's theory of operation."""

    async def capabilities(self) -> Capabilities: ...

    async def domains(self) -> list[DomainState]:
        """Every machine that exists on this host now."""

    async def create(self, spec: DomainSpec, paused: bool, progress: Progress) -> DomainState:
        """Build and boot; paused: stop before the first instruction. exists, no_memory, in_use, not_found (volume)."""

    async def destroy(self, uuid: str) -> None:
        """Pull the plug. not_found."""

    async def pause(self, uuid: str) -> None:
        """bad_state unless Running."""

    async def unpause(self, uuid: str) -> None:
        """bad_state unless Paused."""

    async def shutdown(self, uuid: str) -> None:
        """Ask the guest to power off and wait until it has. timeout if it does not within GUEST_PATIENCE; unsupported
        if the guest cannot receive such a request."""

    async def reboot(self, uuid: str, spec: DomainSpec) -> DomainState:
        """Ask the guest to reboot and wait until the new domain exists, built from `spec`. As shutdown."""

    async def reset(self, uuid: str, spec: DomainSpec) -> DomainState:
        """Hard reboot."""

    async def suspend(self, uuid: str, image: str, progress: Progress) -> None:
        """Save the memory into volume `image` and end the domain. bad_state unless Running; no_space; timeout if the
        guest does not let itself be saved within GUEST_PATIENCE."""

    async def resume(self, spec: DomainSpec, image: str, paused: bool, progress: Progress) -> DomainState:
        """Rebuild the machine from `image`. not_found if the image holds none."""

    async def dump_core(self, uuid: str, image: str, progress: Progress) -> None:
        """Save the memory of a machine whose guest crashed into volume `image`. not_found (also for a machine whose
        guest has not crashed), no_space."""

    async def saved_in(self, image: str) -> str | None:
        """The machine whose memory volume `image` holds completely; None if it holds none."""

    async def rebind(self, image: str, uuid: str) -> None:
        """Make the memory that volume `image` holds that of machine `uuid`, which can be resumed from it then: a copy
        of an image for a copy of its machine. not_found if it holds none; unsupported where memory cannot change hands.
        """

    async def migrate(self, spec: DomainSpec, destination: Hypervisor, progress: Progress) -> DomainState:
        """Move a running machine to another host of the same kind, and tell its state there.

        The guest runs on all the time: its start_time stays, its domid is a new one of the destination's. The
        destination is told apart by what its `capabilities` say. Memory is taken at the destination from the beginning
        and given back here at the end. bad_state unless Running; exists (it is there already); no_memory; offline.
        """

    async def renew(self, uuid: str, progress: Progress) -> DomainState:
        """Move a running machine into a new domain of the same host, so that it has fresh device models.

        As `migrate`: the guest runs on, its start_time stays, the domid is new; until the end there is memory for both.
        bad_state unless Running; no_memory.
        """

    async def set_memory(self, uuid: str, target: int) -> int:
        """Ask the balloon for `target` bytes and wait for it; the bytes it has then. unsupported without an agent."""

    async def set_vcpus(self, uuid: str, count: int) -> None:
        """Plug virtual processors in or out. bad_state unless Running; unsupported beyond what it was built with."""

    async def send_key(self, uuid: str, key: str) -> None:
        """A SysRq key for the guest's kernel. bad_state unless Running."""

    async def send_trigger(self, uuid: str, trigger: str) -> None:
        """What a button would send: nmi, init, reset, power or sleep. unsupported for others; bad_state."""

    async def sleep(self, uuid: str) -> None:
        """Have the guest sleep in ACPI state S3, its memory kept: it computes nothing, and the machine stays Running.
        bad_state unless Running and awake; unsupported if the guest cannot receive such a request."""

    async def wake(self, uuid: str) -> None:
        """Wake a guest from S3. bad_state unless it sleeps."""

    async def set_scheduling(self, uuid: str, parameters: Mapping[str, str]) -> None:
        """Tell the scheduler about a machine: weight, cap (hundredths of a processor; 0: none), mask (processors, as
        0,1,2), cpumapN (the same for its processor N alone). Others stay as they are. bad_state unless Running."""

    async def set_shadow(self, uuid: str, multiplier: float) -> None:
        """Change the factor on the memory of its shadow page tables. bad_state unless Running."""

    # Pools of processors, each scheduled apart from the others (feature cpu_pools; without it they are unsupported).
    # A processor is in one pool or in none, where it is idle; pools are kept when the host restarts. Hosts begin with
    # one pool that has all processors and stays; machines run there unless their spec names another. A machine whose
    # spec names a pool that is not there is refused with bad_state.

    async def cpu_pools(self) -> Mapping[str, frozenset[int]]:
        """Numbers of the processors of each pool, by its uuid; the first pool comes first."""

    async def create_cpu_pool(self, pool: str, cpus: frozenset[int]) -> None:
        """A pool of processors that no pool has, one at least. exists; in_use, not_found (a processor)."""

    async def destroy_cpu_pool(self, pool: str) -> None:
        """Give its processors back. not_found; in_use while machines run there, and for the first pool."""

    async def add_cpu(self, pool: str, number: int) -> None:
        """Give a pool one more processor. not_found; in_use if a pool has it."""

    async def remove_cpu(self, pool: str, number: int) -> None:
        """Take a processor from a pool. not_found; in_use if it is the last."""

    async def move_to_cpu_pool(self, uuid: str, pool: str) -> None:
        """Have a machine run on the processors of a pool; "": of the first. not_found (the machine), bad_state (the
        pool is not there)."""

    # Transcendent memory (feature tmem; without it these are unsupported): pages that guests hand to the hypervisor in
    # the hope to find them again, in memory that no machine has. They never keep a machine from being built. `machine`
    # is one that uses it, None stands for all of them; not_found for one that does not. Settings end with the domain.

    async def tmem_list(self, machine: str | None, long: bool) -> str:
        """A listing of transcendent memory, as the hypervisor's tools print it; `long`: with all figures."""

    async def tmem_freeze(self, machine: str | None, frozen: bool) -> None:
        """Take no pages any more, or take them again."""

    async def tmem_set(self, machine: str | None, name: str, value: int) -> None:
        """weight: among others when pages have to go, 0 for none; cap: the most its ephemeral pages may take, in MiB, 0
        for no limit; compress: 1 to compress pages that come, else 0. unsupported for other names."""

    async def tmem_share(self, machine: str | None, uuid: str, allowed: bool) -> None:
        """Whether a machine may share the pool with that uuid when it asks for it; None: whether all may share any."""

    async def tmem_flush(self, machine: str | None, size: int) -> int:
        """Give back `size` bytes of ephemeral pages, or what there is; the bytes that were given back."""

    async def tmem_destroy(self, machine: str | None) -> None:
        """Drop all pages, persistent ones too, and all settings; the machine uses none until its kernel starts anew."""

    async def tmem_freeable(self) -> int:
        """Bytes that tmem_flush could give back."""

    async def usage(self) -> HostUsage:
        """What everything here uses now."""

    async def settings(self) -> Mapping[str, str]:
        """The settings of the host that somebody chose (HOST_SETTINGS); what is not there is its default."""

    async def configure(self, values: Mapping[str, str | None]) -> None:
        """Change settings of the host, all or none; None: the default again. unsupported for an unknown one."""

    async def clock(self) -> HostClock:
        """The clock of the host. Settings ntp_mode and ntp_custom_servers say which servers it follows."""

    async def set_clock(self, now: int) -> None:
        """Set the clock. bad_state unless ntp_mode is Disabled."""

    async def device_drivers(self) -> tuple[DeviceDriver, ...]:
        """The device drivers of the host that come in variants."""

    async def select_variant(self, driver: str, variant: str) -> None:
        """Load that variant of a device driver from the next boot on; "": none. not_found."""

    async def messages(self, clear: bool) -> str:
        """The hypervisor's message buffer, which is emptied then if `clear`."""

    async def log(self) -> str:
        """The host's log."""

    async def send_debug_keys(self, keys: str) -> None:
        """Press keys of the hypervisor's console; what it answers is among its messages."""

    async def crash_dumps(self) -> tuple[CrashDump, ...]:
        """The dumps of the host's own crashes, the oldest first."""

    async def read_crash_dump(self, name: str, offset: int, length: int) -> bytes:
        """`length` bytes of a dump from `offset` on, fewer only at its end. not_found."""

    async def delete_crash_dump(self, name: str) -> None:
        """not_found."""

    async def power_off(self) -> None:
        """Switch the host off. in_use while machines exist. Followed by HostEvent(up=False)."""

    async def restart(self) -> None:
        """Restart the host. in_use while machines exist. Followed by HostEvent(up=False), and by HostEvent(up=True)
        when it is up again."""

    async def fence(self) -> None:
        """Reset the host at once, with all that runs on it; it comes back by itself, as after `restart`."""

    async def power_on(self, mode: str, config: Mapping[str, str]) -> None:
        """Tell the machine to switch itself on; HostEvent(up=True) follows in time. bad_state if it is up."""

    async def attach_disk(self, uuid: str, disk: DiskSpec) -> str:
        """Hot-plug; returns the device name in the guest (xvda). in_use if the position is taken."""

    async def detach_disk(self, uuid: str, disk: str, force: bool) -> None: ...

    async def hold_disk(self, uuid: str, disk: str) -> str:
        """Hold back what the guest reads and writes there, until it is released with the token that this returns.
        not_found, bad_state (it is held)."""

    async def release_disk(self, uuid: str, disk: str, token: str) -> None:
        """Let it through again; "" stands for any token. not_found, bad_state (it is not held, or by another token)."""

    async def attach_nic(self, uuid: str, nic: NicSpec) -> None: ...

    async def detach_nic(self, uuid: str, nic: str, force: bool) -> None: ...

    async def move_nic(self, uuid: str, nic: str, network: str) -> None:
        """Connect a NIC to another network; the guest sees no more than a link that is up. not_found."""

    async def address_nic(self, uuid: str, nic: str, addresses: tuple[str, ...]) -> None:
        """Have the guest use exactly these addresses on a NIC, or choose for itself if there are none. not_found,
        unsupported (no agent)."""

    async def interfaces(self) -> tuple[InterfaceState, ...]:
        """The physical network interfaces of the host, ordered by name."""

    def events(self) -> AsyncIterator[DomainEvent | HostEvent]:
        """Everything that happens from the moment of the call on; ends when the driver is closed."""

    async def close(self) -> None: ...
