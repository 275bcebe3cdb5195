"""A simulated site: hosts, storage and guests, and the actions of a person at a guest's keyboard.

Theory of operation
1. All state is in plain dicts here; drivers of hosts and repositories are views of it.
2. Nothing takes real time: boots, shutdowns and copies sleep on the clock the world was given.
3. Tasks that run by themselves (guest agents) are owned by the world and end in `close`.
"""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

from xenapi_core.clock import Clock
from xenapi_core.drivers.api import DomainSpec, DriverError, Gone
from xenapi_core.drivers.sim import memory_image
from xenapi_core.drivers.sim.contents import Contents
from xenapi_core.drivers.sim.hypervisor import SimHypervisor
from xenapi_core.drivers.sim.state import Image, Machine, Volume, volumes_of
from xenapi_core.drivers.sim.storage import SimStorage
from xenapi_core.drivers.sim.tmem import Client, Pool

GIB = 1 << 30


class SimWorld:
    """Everything that exists in the simulation. Times in seconds of `clock`.

    boot_time: from create to a booted guest; agent_time: until its agent speaks; shutdown_time: how long a guest takes
    to end when asked; migrate_time: a live migration; balloon_time: until a guest has given memory back or taken it;
    host_boot_time: from switching a host on until it answers. `seed` makes domids and small variations of times
    reproducible. `disks`: a file that keeps what is written on volumes; without it that goes with the world.
    """

    def __init__(
        self,
        clock: Clock,
        seed: str | int | None = None,
        boot_time: float = 4.0,
        shutdown_time: float = 2.0,
        agent_time: float = 3.0,
        suspend_time: float = 2.0,
        migrate_time: float = 4.0,
        balloon_time: float = 1.0,
        host_boot_time: float = 60.0,
        disks: Path | None = None,
    ) -> None:
        self.clock = clock
        self.random = random.Random(seed)  # noqa: S311 - variation, not secrets
        self.boot_time = boot_time
        self.shutdown_time = shutdown_time
        self.agent_time = agent_time
        self.suspend_time = suspend_time
        self.migrate_time = migrate_time
        self.balloon_time = balloon_time
        self.host_boot_time = host_boot_time
        self.hosts: dict[str, SimHypervisor] = {}
        self.repositories: dict[str, SimStorage] = {}
        self.contents = Contents(disks)
        self.machines: dict[str, Machine] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def add_host(
        self,
        uuid: str,
        hostname: str = "",
        address: str = "192.0.2.1",
        memory: int = 64 * GIB,
        cpus: int = 8,
        reserved: int = 2 * GIB,
    ) -> SimHypervisor:
        """A new host; `reserved` bytes of its `memory` are the control domain's."""
        if uuid in self.hosts:
            raise ValueError(f"host {uuid} exists")
        host = SimHypervisor(self, uuid, hostname or f"host-{len(self.hosts)}", address, memory, cpus, reserved)
        self.hosts[uuid] = host
        return host

    def add_storage(self, uuid: str, size: int = 1024 * GIB, kind: str = "") -> SimStorage:
        """A new repository of `size` bytes, of a storage type ("": one that can do everything)."""
        if uuid in self.repositories:
            raise ValueError(f"repository {uuid} exists")
        self.repositories[uuid] = SimStorage(self, uuid, size, kind)
        return self.repositories[uuid]

    def guest(self, uuid: str) -> SimGuest:
        """The keyboard of a machine. KeyError if there is none."""
        return SimGuest(self, self.machines[uuid])

    def preload_image(self, volume: str, spec: DomainSpec) -> None:
        """Adopt the memory of a machine that was suspended before the simulator started. not_found: the volume."""
        found = self.find_volume(volume)
        if found is None:
            raise DriverError("not_found", f"no volume {volume}")
        if self.image_in(volume) is None:
            found.image = Image(spec.uuid, spec.memory_static_max, None)
            self.contents.write(volume, 0, memory_image.encode(found.image))

    def image_in(self, volume: str) -> Image | None:
        """The memory image in a volume, also one that was written there as bytes."""
        found = self.find_volume(volume)
        if found is not None and found.image is None:
            found.image = memory_image.decode(self.contents.read(volume, 0, min(found.size, memory_image.LONGEST)))
        return found.image if found is not None else None

    async def close(self) -> None:
        """End every host's events and everything that runs by itself."""
        for host in self.hosts.values():
            await host.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.contents.close()

    # What the views share.

    def storage(self, uuid: str) -> SimStorage:
        try:
            return self.repositories[uuid]
        except KeyError:
            raise DriverError("not_found", f"no repository {uuid}") from None

    def find_volume(self, uuid: str) -> Volume | None:
        for repository in self.repositories.values():
            found = repository.contents.get(uuid)
            if found is not None:
                return found
        return None

    def repository_of(self, volume: str) -> SimStorage:
        """The repository that holds `volume`. not_found."""
        for repository in self.repositories.values():
            if volume in repository.contents:
                return repository
        raise DriverError("not_found", f"no volume {volume}")

    def users(self, volume: str) -> list[tuple[Machine, bool]]:
        """Machines that have `volume` attached, and whether they are to be alone in writing to it."""
        found = []
        for machine in self.machines.values():
            writes = volumes_of(machine.disks.values()).get(volume)
            if writes is not None:
                found.append((machine, writes))
        return found

    def vary(self, seconds: float) -> float:
        """A duration that is not always the same: up to a tenth longer."""
        return seconds * (1 + self.random.random() / 10)

    def own(self, task: asyncio.Task[None]) -> asyncio.Task[None]:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


class SimGuest:
    """Controls the software inside one machine."""

    def __init__(self, world: SimWorld, machine: Machine) -> None:
        self.world = world
        self.machine = machine

    def _end(self, why: Gone) -> None:
        self.world.hosts[self.machine.host].end(self.machine, why)

    def poweroff(self) -> None:
        """The guest shuts itself down."""
        self._end(Gone.SHUTDOWN)

    def reboot(self) -> None:
        """The guest reboots itself: this domain ends, and whoever manages it makes the next."""
        self._end(Gone.REBOOT)

    def soft_reboot(self) -> None:
        """The guest loads its next kernel itself, and leaves it to its manager to give that a domain."""
        self._end(Gone.SOFT_REBOOT)

    def crash(self) -> None:
        """The guest's kernel panics."""
        self._end(Gone.CRASH)

    def ignore_shutdown(self, ignoring: bool = True) -> None:
        """The guest does not react when asked to power off or to reboot."""
        self.machine.ignores_shutdown = ignoring

    def lose_agent(self) -> None:
        """The guest has no tools: nobody can ask it anything."""
        self.machine.has_agent = False
        self.machine.guest = None

    def work(self, load: float) -> None:
        """The guest keeps its processors busy from now on, by that part (0..1)."""
        self.machine.load = load

    # Transcendent memory; KeyError for a guest that does not use it.

    def offer_pages(self, pages: int, pool: Pool | None = None) -> int:
        """The guest lets go of clean pages; how many were taken."""
        return self._host.tmem.offer(self._client, pages, self._host.memory_free, pool)

    def recall_pages(self, pages: int, pool: Pool | None = None) -> int:
        """The guest looks for pages it let go of; how many it found."""
        return self._host.tmem.recall(self._client, pages, pool)

    def swap_out(self, pages: int) -> int:
        """The guest swaps pages out; how many were taken."""
        return self._host.tmem.swap_out(self._client, pages)

    def swap_in(self, pages: int) -> int:
        """The guest swaps pages in; how many it found."""
        return self._host.tmem.swap_in(self._client, pages)

    def join_pool(self, uuid: str) -> Pool:
        """The guest mounts a file system that it shares with others, and asks for a pool of that uuid."""
        return self._host.tmem.join(self._client, uuid)

    @property
    def _host(self) -> SimHypervisor:
        return self.world.hosts[self.machine.host]

    @property
    def _client(self) -> Client:
        return self._host.tmem.clients[self.machine.spec.uuid]

    def fill(self, volume: str, size: int) -> None:
        """The guest writes `size` new bytes to one of its disks. no_space."""
        found = self.world.find_volume(volume)
        if found is None:
            raise DriverError("not_found", f"no volume {volume}")
        self.world.repository_of(volume).fill(found, size)
