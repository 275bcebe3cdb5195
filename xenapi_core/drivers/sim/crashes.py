"""Crashes of simulated guests and hosts, and their dumps.

Rule 1: a guest that crashed leaves its machine as it is, Paused for good, and its memory can be saved as long as that
        is there.
Rule 2: a host that crashes saves a dump on its disk, and boots again by itself. The dump is a line that says whose it
        is, and zeros: a simulated hypervisor has no memory of its own.
"""

from __future__ import annotations

from abc import abstractmethod
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from xenapi_core.drivers.api import CrashDump, DomainEvent, DriverError, Gone, HostEvent, PowerState, Progress
from xenapi_core.drivers.sim.host_settings import HostSettings
from xenapi_core.drivers.sim.state import Image, Machine

if TYPE_CHECKING:
    from xenapi_core.drivers.sim.world import SimWorld

CRASH_KEY: Final = "C"  # of the hypervisor's console
SMALLEST_DUMP: Final = 64 << 20


class Crashes(HostSettings):
    """The part of a simulated host that is about crashes."""

    world: SimWorld
    reserved: int

    def __init__(self, world: SimWorld, hostname: str) -> None:
        super().__init__(world.clock, hostname)
        self.world = world
        self.dumps: dict[str, CrashDump] = {}

    async def dump_core(self, uuid: str, image: str, progress: Progress) -> None:
        self._require_up()
        machine = self._get(uuid)
        if not machine.crashed:
            raise DriverError("not_found", f"the guest of {uuid} has not crashed")
        await self._take_time(self.world.suspend_time, progress)
        self._require_up()
        self._same(machine)
        self.world.repository_of(image).save(image, Image("", machine.memory, None))

    def _stop(self, machine: Machine) -> None:
        """The guest of `machine` has crashed (rule 1)."""
        machine.crashed, machine.power_state, machine.guest = True, PowerState.PAUSED, None
        if machine.agent is not None:
            machine.agent.cancel()
        self._publish(DomainEvent(machine.spec.uuid, machine.state(), Gone.CRASH))

    async def send_debug_keys(self, keys: str) -> None:
        await super().send_debug_keys(keys)
        if CRASH_KEY in keys:
            self.crash()

    def crash(self) -> None:
        """The hypervisor panics (rule 2)."""
        now = self._clock.now()
        name = f"{datetime.fromtimestamp(now, UTC):%Y%m%d-%H%M%S}-{len(self.dumps)}"
        self.dumps[name] = CrashDump(name, now, max(self.reserved, SMALLEST_DUMP))
        self.fail()
        self._come_up_later()

    async def crash_dumps(self) -> tuple[CrashDump, ...]:
        self._require_up()
        return tuple(self.dumps.values())

    async def read_crash_dump(self, name: str, offset: int, length: int) -> bytes:
        self._require_up()
        dump = self.dumps.get(name)
        if dump is None:
            raise DriverError("not_found", f"{self.hostname} has no dump {name}")
        head = f"simulated memory of {self.hostname}, saved as {name}\n".encode()
        length = max(0, min(length, dump.size - offset))
        return head[offset : offset + length].ljust(length, b"\0")

    async def delete_crash_dump(self, name: str) -> None:
        self._require_up()
        if self.dumps.pop(name, None) is None:
            raise DriverError("not_found", f"{self.hostname} has no dump {name}")

    @abstractmethod
    def _get(self, uuid: str) -> Machine: ...

    @abstractmethod
    def _same(self, machine: Machine) -> None: ...

    @abstractmethod
    def fail(self) -> None: ...

    @abstractmethod
    def _come_up_later(self) -> None: ...

    @abstractmethod
    async def _take_time(self, seconds: float, progress: Progress) -> None: ...

    @abstractmethod
    def _publish(self, event: DomainEvent | HostEvent) -> None: ...
