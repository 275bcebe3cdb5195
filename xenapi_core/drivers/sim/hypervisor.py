"""One simulated host: domains, memory accounting, boots that take time, events.

Theory of operation
1. A call that fails or is cancelled leaves the host as it was before, except that a machine whose rebuilding fails
   (reboot, reset) is gone, as on a real host.
2. Memory is taken when building begins, so that two builds cannot share the last gigabyte.
3. Every change of a domain is one event, in the order of the changes, to every reader of `events`.
4. A migration takes memory at the destination first and switches over at one moment: the machine is never on two hosts,
   and never on none.
5. A host that is down refuses every call; when it went down, its machines ended without a word.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

from xenapi_core.drivers.api import (
    GUEST_PATIENCE,
    Capabilities,
    DiskSpec,
    DomainEvent,
    DomainSpec,
    DomainState,
    DriverError,
    Gone,
    GuestState,
    HostEvent,
    HostUsage,
    Hypervisor,
    PowerState,
    Progress,
    Traffic,
)
from xenapi_core.drivers.sim.devices import SECONDS_PER_CALL
from xenapi_core.drivers.sim.state import Image, Machine, volumes_of, what_the_agent_says
from xenapi_core.drivers.sim.tmem import PAGE, Tmem
from xenapi_core.drivers.sim.tmem_control import TmemControl

if TYPE_CHECKING:
    from xenapi_core.drivers.sim.world import SimWorld

STAGES = 20  # how often a long call tells its progress
TRIGGERS = ("nmi", "init", "reset", "power", "sleep")
BOOT_WRITES = 64 << 20  # what a boot writes to a guest's first disk


Event = DomainEvent | HostEvent


class _Events:
    """One reader's queue of events; None ends it."""

    def __init__(self, readers: set[asyncio.Queue[Event | None]], closed: bool) -> None:
        self._queue: asyncio.Queue[Event | None] = asyncio.Queue()
        self._readers = readers
        if closed:
            self._queue.put_nowait(None)
        readers.add(self._queue)

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        event = await self._queue.get()
        if event is None:
            self._readers.discard(self._queue)
            raise StopAsyncIteration
        return event


class SimHypervisor(TmemControl):
    """The drivers.api.Hypervisor of one simulated host. Made by SimWorld.add_host."""

    def __init__(
        self, world: SimWorld, uuid: str, hostname: str, address: str, memory: int, cpus: int, reserved: int
    ) -> None:
        super().__init__(world, hostname, uuid, cpus)
        self.address = address
        self.memory = memory
        self.reserved = reserved
        self._building: dict[str, int] = {}  # uuid -> memory taken by builds in progress
        self._next_domid = 1
        self._readers: set[asyncio.Queue[Event | None]] = set()
        self._closed = False

    @property
    def memory_free(self) -> int:
        taken = sum(machine.memory for machine in self.machines.values()) + sum(self._building.values())
        return self.memory - self.reserved - taken

    async def capabilities(self) -> Capabilities:
        self._require_up()
        return Capabilities(
            uuid=self.uuid,
            hostname=self.hostname,
            address=self.address,
            memory_total=self.memory,
            memory_free=self.memory_unused,
            cpu_count=self.cpus,
            cpu_sockets=max(1, self.cpus // 4),
            cpu_model="Simulated CPU @ 2.60GHz",
            cpu_vendor="GenuineIntel",
            cpu_speed=2600,
            cpu_flags="fpu de tsc msr pae mce cx8 apic sep mtrr cmov pat clflush mmx fxsr sse sse2 ht nx lm vmx",
            hypervisor="sim",
            hypervisor_version="1",
            domain_types=("hvm", "pv", "pvh"),
            features=frozenset({"suspend", "hotplug", "balloon", "live_migrate", "host_power", "cpu_pools", "tmem"}),
        )

    async def domains(self) -> list[DomainState]:
        self._require_up()
        return [machine.state() for machine in self.machines.values()]

    def preload(
        self,
        spec: DomainSpec,
        power_state: PowerState = PowerState.RUNNING,
        domid: int | None = None,
        start_time: int | None = None,
        guest: GuestState | None = None,
        agent: bool = True,
        vcpus: int = 0,
        tmem: Mapping[str, str] | None = None,
    ) -> DomainState:
        """Adopt a machine that was running before the simulator started. exists.

        Free memory is not checked: the machine has its memory already, whatever its settings say by now. `agent`: its
        tools have reported, `guest` or something believable. `vcpus`: the processors it has, if some were plugged in or
        out since it was built. `tmem`: settings of its transcendent memory, as in DomainState.
        """
        self._check_unknown(spec)
        if domid is None:
            domid = self._next_domid
        self._next_domid = max(self._next_domid, domid + 1)
        machine = self._machine(spec, power_state, domid, self.world.clock.now() if start_time is None else start_time)
        if agent:
            machine.guest = guest or what_the_agent_says(machine.nics.values())
        machine.has_agent = agent
        machine.vcpus = vcpus
        if client := self.tmem.begin(machine):
            client.adopt(tmem or {})
        return machine.state()

    async def create(self, spec: DomainSpec, paused: bool, progress: Progress) -> DomainState:
        async def work() -> None:
            await self._take_time(self.world.boot_time * (0.25 if paused else 1.0), progress)

        machine = await self._build(spec, paused, work)
        if not paused:
            self._booted(machine)
        return machine.state()

    async def destroy(self, uuid: str) -> None:
        self._get(uuid)
        await self.world.clock.sleep(SECONDS_PER_CALL)
        self.end(self._get(uuid), None)

    async def pause(self, uuid: str) -> None:
        await self._switch(uuid, PowerState.RUNNING, PowerState.PAUSED)

    async def unpause(self, uuid: str) -> None:
        if self._get(uuid).crashed:
            raise DriverError("bad_state", f"the guest of {uuid} has crashed")
        await self._switch(uuid, PowerState.PAUSED, PowerState.RUNNING)

    async def shutdown(self, uuid: str) -> None:
        machine = await self._ask_to_end(uuid)
        self.end(machine, None)

    async def reboot(self, uuid: str, spec: DomainSpec) -> DomainState:
        machine = await self._ask_to_end(uuid)
        return await self._rebuild(machine, spec)

    async def reset(self, uuid: str, spec: DomainSpec) -> DomainState:
        machine = self._get(uuid)
        await self.world.clock.sleep(SECONDS_PER_CALL)
        self._same(machine)
        return await self._rebuild(machine, spec)

    async def suspend(self, uuid: str, image: str, progress: Progress) -> None:
        machine = self._get(uuid)
        self._require(machine, PowerState.RUNNING)
        saved = Image(uuid, machine.memory, machine.guest, machine.has_agent, machine.ignores_shutdown)
        repository = self.world.repository_of(image)
        if machine.memory > repository.contents[image].size:
            raise DriverError("no_space", f"volume {image} is smaller than the memory of {uuid}")
        await self._take_time(self.world.suspend_time, progress)
        self._same(machine)
        self._require(machine, PowerState.RUNNING)
        repository.save(image, saved)
        self.end(machine, None)

    async def resume(self, spec: DomainSpec, image: str, paused: bool, progress: Progress) -> DomainState:
        saved = self.world.image_in(image)
        if saved is None or saved.machine != spec.uuid:
            raise DriverError("not_found", f"volume {image} holds no memory of {spec.uuid}")

        async def work() -> None:
            await self._take_time(self.world.suspend_time, progress)

        machine = await self._build(spec, paused, work, guest=saved.guest)
        machine.has_agent, machine.ignores_shutdown = saved.has_agent, saved.ignores_shutdown
        self.tmem.begin(machine)
        if machine.guest is None and not paused:
            self._wait_for_agent(machine, self.world.agent_time)
        return machine.state()

    async def saved_in(self, image: str) -> str | None:
        self._require_up()
        saved = self.world.image_in(image)
        return saved.machine if saved is not None else None

    async def rebind(self, image: str, uuid: str) -> None:
        self._require_up()
        await self.world.clock.sleep(SECONDS_PER_CALL)
        self.world.repository_of(image).rebind(image, uuid)

    async def migrate(self, spec: DomainSpec, destination: Hypervisor, progress: Progress) -> DomainState:
        machine = self._get(spec.uuid)
        self._require(machine, PowerState.RUNNING)
        target = self.world.hosts.get((await destination.capabilities()).uuid)
        if target is None:
            raise DriverError("unsupported", "machines move between simulated hosts only")
        if target is self or spec.uuid in target._building:
            raise DriverError("exists", f"machine {spec.uuid} is on {target.hostname}, or on its way there")
        target._check_memory(machine.memory)
        target.pool_for(spec)
        target._building[spec.uuid] = machine.memory
        try:
            await self._take_time(self.world.migrate_time, progress)
            target._require_up()
            self._same(machine)
            self._require(machine, PowerState.RUNNING)
            pool = target.pool_for(spec)
        finally:
            target._building.pop(spec.uuid, None)
        machine.cpu_pool = pool
        del self.machines[spec.uuid]
        target.tmem.arrive(self.tmem.end(spec.uuid))
        target._receive(machine)
        self._publish(DomainEvent(spec.uuid, None))
        return machine.state()

    async def renew(self, uuid: str, progress: Progress) -> DomainState:
        machine = self._get(uuid)
        self._require(machine, PowerState.RUNNING)
        self._check_memory(machine.memory)
        self._building[uuid] = machine.memory
        try:
            await self._take_time(self.world.migrate_time, progress)
            self._same(machine)
            self._require(machine, PowerState.RUNNING)
        finally:
            self._building.pop(uuid, None)
        self.tmem.arrive(self.tmem.end(uuid))
        self._receive(machine)
        return machine.state()

    def _receive(self, machine: Machine) -> None:
        """The machine goes on here, from this moment (rule 4)."""
        machine.host, machine.domid, self._next_domid = self.uuid, self._next_domid, self._next_domid + 1
        self.machines[machine.spec.uuid] = machine
        if machine.guest is None and machine.has_agent:
            self._wait_for_agent(machine, self.world.agent_time)
        self._tell(machine)

    async def set_memory(self, uuid: str, target: int) -> int:
        machine = self._get(uuid)
        self._require(machine, PowerState.RUNNING)
        if not machine.has_agent:
            raise DriverError("unsupported", f"the guest of {uuid} has no balloon")
        if not 0 < target <= machine.memory:
            raise DriverError("no_memory", f"{target} bytes are more than {uuid} was built with")
        await self.world.clock.sleep(self.world.balloon_time)
        self._same(machine)
        machine.balloon = target
        self._tell(machine)
        return target

    async def set_vcpus(self, uuid: str, count: int) -> None:
        machine = self._get(uuid)
        self._require(machine, PowerState.RUNNING)
        if not 1 <= count <= machine.spec.vcpus_max:
            raise DriverError("unsupported", f"{uuid} was built for {machine.spec.vcpus_max} processors")
        await self.world.clock.sleep(SECONDS_PER_CALL)
        self._same(machine)
        machine.vcpus = count
        self._tell(machine)

    async def send_key(self, uuid: str, key: str) -> None:
        machine = self._get(uuid)
        self._require(machine, PowerState.RUNNING)
        machine.pressed.append(key)
        if why := {"b": Gone.REBOOT, "c": Gone.CRASH, "o": Gone.SHUTDOWN}.get(key):
            self.end(machine, why)

    async def send_trigger(self, uuid: str, trigger: str) -> None:
        machine = self._get(uuid)
        self._require(machine, PowerState.RUNNING)
        if trigger not in TRIGGERS:
            raise DriverError("unsupported", f"there is no trigger {trigger!r}")
        machine.pressed.append(trigger)
        if trigger == "reset":
            self.end(machine, Gone.REBOOT)
        elif trigger == "power" and not machine.ignores_shutdown:
            self.end(machine, Gone.SHUTDOWN)

    async def sleep(self, uuid: str) -> None:
        machine = self._awake(uuid)
        if not machine.has_agent:
            raise DriverError("unsupported", f"the guest of {uuid} cannot be asked to sleep")
        await self.world.clock.sleep(SECONDS_PER_CALL)
        self._same(machine)
        self._awake(uuid).asleep = True

    def _awake(self, uuid: str) -> Machine:
        machine = self._get(uuid)
        self._require(machine, PowerState.RUNNING)
        if machine.asleep:
            raise DriverError("bad_state", f"the guest of {uuid} sleeps")
        return machine

    async def wake(self, uuid: str) -> None:
        machine = self._get(uuid)
        self._require(machine, PowerState.RUNNING)
        await self.world.clock.sleep(SECONDS_PER_CALL)
        self._same(machine)
        if not machine.asleep:
            raise DriverError("bad_state", f"the guest of {uuid} is awake")
        machine.asleep = False

    async def set_scheduling(self, uuid: str, parameters: Mapping[str, str]) -> None:
        self._require(self._get(uuid), PowerState.RUNNING)
        self.machines[uuid].scheduling.update(parameters)

    async def set_shadow(self, uuid: str, multiplier: float) -> None:
        self._require(self._get(uuid), PowerState.RUNNING)
        self.machines[uuid].shadow = multiplier

    async def usage(self) -> HostUsage:
        self._require_up()
        machines = {uuid: machine.usage() for uuid, machine in self.machines.items()}
        linked = [port.name for port in self.ports.values() if port.carrier]
        moved = [traffic for usage in machines.values() for traffic in usage.nics.values()]
        ways = max(1, len(linked))
        share = Traffic(sum(one.inward for one in moved) / ways, sum(one.outward for one in moved) / ways)
        nics = {name: share if name in linked else Traffic(0.0, 0.0) for name in self.ports}
        return HostUsage(self.busy(machines), self.memory, self.memory_unused, machines, nics)

    # The host's own power.

    async def power_off(self) -> None:
        await self._go_down()

    async def restart(self) -> None:
        await self._go_down()
        self._come_up_later()

    async def fence(self) -> None:
        self._require_up()
        self.fail()
        self._come_up_later()

    async def power_on(self, mode: str, config: Mapping[str, str]) -> None:
        if self.up:
            raise DriverError("bad_state", f"{self.hostname} is up")
        await self.world.clock.sleep(SECONDS_PER_CALL)
        self._come_up_later()

    async def _go_down(self) -> None:
        self._require_up()
        if self.machines or self._building:
            raise DriverError("in_use", f"{self.hostname} still runs machines")
        await self.world.clock.sleep(SECONDS_PER_CALL)
        self.fail()

    def fail(self) -> None:
        """Down at once, with everything that ran here (rule 5)."""
        for machine in list(self.machines.values()):
            if machine.agent is not None:
                machine.agent.cancel()
            del self.world.machines[machine.spec.uuid]
        self.machines.clear()
        self.tmem = Tmem()
        for repository in self.world.repositories.values():
            repository.let_go(self.uuid)
        self.up = False
        self._publish(HostEvent(up=False))

    def _come_up_later(self) -> None:
        async def boot() -> None:
            await self.world.clock.sleep(self.world.host_boot_time)
            if not self.up:
                self.up = True
                self._publish(HostEvent(up=True))

        self.world.own(asyncio.get_running_loop().create_task(boot()))

    def events(self) -> AsyncIterator[Event]:
        return _Events(self._readers, self._closed)

    async def close(self) -> None:
        """End the events; machines keep existing, as they would when a real driver disconnects."""
        if not self._closed:
            self._closed = True
            for reader in self._readers:
                reader.put_nowait(None)

    def end(self, machine: Machine, why: Gone | None) -> None:
        """The domain is gone, unless its guest crashed; `why` is None when a call asked for it."""
        if self.machines.get(machine.spec.uuid) is not machine:
            return
        self.tmem.end(machine.spec.uuid)
        if why is Gone.CRASH:
            self._stop(machine)
            return
        if machine.agent is not None:
            machine.agent.cancel()
        del self.machines[machine.spec.uuid]
        del self.world.machines[machine.spec.uuid]
        self._publish(DomainEvent(machine.spec.uuid, None, why))

    # Building.

    def _check_unknown(self, spec: DomainSpec) -> None:
        known = spec.uuid in self.world.machines or any(
            spec.uuid in host._building for host in self.world.hosts.values()
        )
        if known:
            raise DriverError("exists", f"machine {spec.uuid} exists")

    def _check_new(self, spec: DomainSpec) -> None:
        self._check_unknown(spec)
        self._check_memory(spec.memory_static_max)

    def _check_memory(self, needed: int) -> None:
        self._require_up()
        if needed > self.memory_free:
            raise DriverError("no_memory", f"{needed} bytes needed, {max(0, self.memory_free)} free")
        self.tmem.shrink(needed - self.memory_unused)

    def _check_volumes(self, disks: tuple[DiskSpec, ...]) -> None:
        alone = {disk.volume for disk in disks if not disk.shared}
        for volume, writes in volumes_of(disks).items():
            found = self.world.find_volume(volume)
            if found is None:
                raise DriverError("not_found", f"no volume {volume}")
            if found.hosts and volume in alone:
                raise DriverError("in_use", f"volume {volume} is attached to a host itself")
            if any(writes and writing for _, writing in self.world.users(volume)):
                raise DriverError("in_use", f"volume {volume} is in use")

    async def _build(
        self,
        spec: DomainSpec,
        paused: bool,
        work: Callable[[], Awaitable[None]],
        guest: GuestState | None = None,
    ) -> Machine:
        """A new machine after `work`; nothing is left of it if that fails or is cancelled (rules 1 and 2)."""
        self._check_new(spec)
        self.pool_for(spec)
        self._check_volumes(spec.disks)
        self._building[spec.uuid] = spec.memory_static_max
        try:
            await work()
            self._require_up()
            self.pool_for(spec)
            self._check_volumes(spec.disks)
        finally:
            del self._building[spec.uuid]
        domid, self._next_domid = self._next_domid, self._next_domid + 1
        state = PowerState.PAUSED if paused else PowerState.RUNNING
        machine = self._machine(spec, state, domid, self.world.clock.now())
        machine.guest = guest
        self._tell(machine)
        return machine

    def _machine(self, spec: DomainSpec, state: PowerState, domid: int, start_time: int) -> Machine:
        machine = Machine(
            spec,
            self.uuid,
            domid,
            state,
            start_time,
            {disk.uuid: disk for disk in spec.disks},
            {nic.uuid: nic for nic in spec.nics},
            cpu_pool=self.pool_for(spec),
        )
        self.machines[spec.uuid] = self.world.machines[spec.uuid] = machine
        return machine

    async def _rebuild(self, machine: Machine, spec: DomainSpec) -> DomainState:
        """The next domain of a machine that ends now. If it cannot be built, the machine is gone (rule 1)."""
        ignores, has_agent = machine.ignores_shutdown, machine.has_agent
        self.end(machine, None)
        fresh = await self._build(spec, False, lambda: self._take_time(self.world.boot_time, lambda fraction: None))
        fresh.ignores_shutdown, fresh.has_agent = ignores, has_agent
        self._booted(fresh)
        return fresh.state()

    def _booted(self, machine: Machine) -> None:
        """The guest's kernel runs: it writes its log, lets go of what it read, and its agent will report soon."""
        if client := self.tmem.begin(machine):
            self.tmem.offer(client, BOOT_WRITES // PAGE, self.memory_free)
        for disk in machine.disks.values():
            volume = self.world.find_volume(disk.volume) if disk.volume else None
            if volume is not None and not disk.read_only and disk.kind == "Disk":
                try:
                    self.world.repository_of(volume.uuid).fill(volume, BOOT_WRITES)
                except DriverError:
                    break  # the repository is full: the guest lives on with a full disk
                break
        self._wait_for_agent(machine, self.world.agent_time)

    # The guest's own life.

    def _wait_for_agent(self, machine: Machine, seconds: float) -> None:
        if machine.agent is not None:
            machine.agent.cancel()
        machine.agent = self.world.own(asyncio.get_running_loop().create_task(self._speak(machine, seconds)))

    async def _speak(self, machine: Machine, seconds: float) -> None:
        await self.world.clock.sleep(seconds)
        if machine.has_agent and self.machines.get(machine.spec.uuid) is machine:
            machine.guest = what_the_agent_says(machine.nics.values())
            self._tell(machine)

    async def _ask_to_end(self, uuid: str) -> Machine:
        """Wait until the guest has ended its work; bad_state, unsupported, timeout. The domain still exists then."""
        machine = self._get(uuid)
        self._require(machine, PowerState.RUNNING)
        if not machine.has_agent:
            raise DriverError("unsupported", f"the guest of {uuid} cannot be asked")
        if machine.ignores_shutdown:
            await self.world.clock.sleep(GUEST_PATIENCE)
            raise DriverError("timeout", f"the guest of {uuid} did not react within {GUEST_PATIENCE:.0f} seconds")
        await self.world.clock.sleep(self.world.vary(self.world.shutdown_time))
        self._same(machine)
        self._require(machine, PowerState.RUNNING)
        return machine

    async def _switch(self, uuid: str, before: PowerState, after: PowerState) -> None:
        machine = self._get(uuid)
        self._require(machine, before)
        await self.world.clock.sleep(SECONDS_PER_CALL)
        self._same(machine)
        self._require(machine, before)
        machine.power_state = after
        if after is PowerState.RUNNING:
            self.tmem.begin(machine)
        if after is PowerState.PAUSED and machine.agent is not None:
            machine.agent.cancel()
        elif after is PowerState.RUNNING and machine.guest is None:
            self._wait_for_agent(machine, self.world.boot_time * 0.75 + self.world.agent_time)
        self._tell(machine)

    async def _take_time(self, seconds: float, progress: Progress) -> None:
        pace = self.world.vary(seconds) / STAGES
        for stage in range(1, STAGES + 1):
            await self.world.clock.sleep(pace)
            progress(stage / STAGES)

    # Small questions.

    def _get(self, uuid: str) -> Machine:
        self._require_up()
        try:
            return self.machines[uuid]
        except KeyError:
            raise DriverError("not_found", f"no machine {uuid} on {self.hostname}") from None

    def _same(self, machine: Machine) -> None:
        """The machine may have ended, or ended and begun again, while a call waited."""
        if self.machines.get(machine.spec.uuid) is not machine:
            raise DriverError("not_found", f"machine {machine.spec.uuid} ended meanwhile")

    @staticmethod
    def _require(machine: Machine, state: PowerState) -> None:
        if machine.power_state is not state:
            raise DriverError("bad_state", f"machine {machine.spec.uuid} is {machine.power_state}, not {state}")

    def _tell(self, machine: Machine) -> None:
        self._publish(DomainEvent(machine.spec.uuid, machine.state()))

    def _publish(self, event: Event) -> None:
        self.record(event)
        for reader in self._readers:
            reader.put_nowait(event)
