"""The simulator is a driver: it passes the conformance suite, on a virtual clock and on a fast real one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from xenapi_core.clock import Clock, RealClock, VirtualClock
from xenapi_core.drivers.api import DiskSpec, DomainSpec, DriverError, Hypervisor, PowerState
from xenapi_core.drivers.sim import SimWorld
from xenapi_core.ids import Ids
from xenapi_core.testing.hypervisor_conformance import CHECKS, Bench, Check, run_check
from xenapi_core.testing.virtual_time import drive

GIB = 1 << 30


class SimBench:
    """One simulated host and one repository."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.ids = Ids(seed="bench")
        self.world = SimWorld(clock, seed=1)
        self.hypervisor = self.world.add_host(self.uuid(), memory=8 * GIB)
        self.storage = self.world.add_storage(self.uuid(), 100 * GIB)

    def uuid(self) -> str:
        return self.ids.uuid()

    async def volume(self, size: int) -> str:
        return (await self.storage.create(self.uuid(), size)).uuid

    async def poweroff(self, machine: str) -> None:
        self.world.guest(machine).poweroff()

    async def crash(self, machine: str) -> None:
        self.world.guest(machine).crash()

    async def neighbour(self) -> Hypervisor:
        return self.world.add_host(self.uuid(), memory=8 * GIB)


@asynccontextmanager
async def bench(clock: Clock) -> AsyncIterator[SimBench]:
    made = SimBench(clock)
    try:
        yield made
    finally:
        await made.world.close()


@pytest.mark.parametrize("clock", [VirtualClock, lambda: RealClock(speed=1000.0)], ids=["virtual", "real"])
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_simulator_passes_the_conformance_check(check: Check, clock: Callable[[], Clock]) -> None:
    @asynccontextmanager
    async def make() -> AsyncIterator[Bench]:
        async with bench(clock()) as made:
            yield made

    asyncio.run(run_check(check, make))


def machine(made: SimBench, memory: int = GIB) -> DomainSpec:
    return DomainSpec(made.uuid(), "m", memory, memory, memory, 1, 1, "pv")


async def test_guest_that_ignores_shutdown_is_given_twenty_minutes() -> None:
    async with bench(VirtualClock()) as made:
        spec = machine(made)
        await drive(made.clock, made.hypervisor.create(spec, False, lambda fraction: None))
        made.world.guest(spec.uuid).ignore_shutdown()
        before = made.clock.monotonic()
        with pytest.raises(DriverError) as failure:
            await drive(made.clock, made.hypervisor.shutdown(spec.uuid))
        assert failure.value.kind == "timeout"
        assert made.clock.monotonic() - before == 1200
        assert (await made.hypervisor.domains())[0].power_state is PowerState.RUNNING


async def test_guest_without_agent_cannot_be_asked() -> None:
    async with bench(VirtualClock()) as made:
        spec = machine(made)
        made.hypervisor.preload(spec)
        made.world.guest(spec.uuid).lose_agent()
        with pytest.raises(DriverError) as failure:
            await drive(made.clock, made.hypervisor.shutdown(spec.uuid))
        assert failure.value.kind == "unsupported"


async def test_agent_reports_some_time_after_boot() -> None:
    clock = VirtualClock()
    async with bench(clock) as made:
        spec = machine(made)
        state = await drive(clock, made.hypervisor.create(spec, False, lambda fraction: None))
        assert state.guest is None
        await clock.advance(made.world.agent_time)
        (state,) = await made.hypervisor.domains()
        assert state.guest is not None
        assert state.guest.os_version["distro"] == "debian"


async def test_preloaded_machines_keep_their_domid_and_new_ones_get_others() -> None:
    async with bench(VirtualClock()) as made:
        old = made.hypervisor.preload(machine(made), PowerState.PAUSED, domid=7, start_time=42)
        assert (old.domid, old.start_time, old.power_state) == (7, 42, PowerState.PAUSED)
        new = await drive(made.clock, made.hypervisor.create(machine(made), False, lambda fraction: None))
        assert new.domid == 8


async def test_a_machine_that_ran_before_is_adopted_whatever_its_memory_settings_say_now() -> None:
    async with bench(VirtualClock()) as made:
        spec = replace(machine(made), memory_static_max=1 << 50)
        assert made.hypervisor.preload(spec).power_state is PowerState.RUNNING
        with pytest.raises(DriverError) as failure:
            made.hypervisor.preload(spec)
        assert failure.value.kind == "exists"


async def test_preloaded_image_can_be_resumed() -> None:
    async with bench(VirtualClock()) as made:
        spec = machine(made)
        image = made.storage.preload(made.uuid(), 2 * GIB).uuid
        made.world.preload_image(image, spec)
        state = await drive(made.clock, made.hypervisor.resume(spec, image, False, lambda fraction: None))
        assert state.uuid == spec.uuid


async def test_agent_of_a_machine_suspended_before_it_spoke_reports_after_the_resume() -> None:
    async with bench(VirtualClock()) as made:
        spec = machine(made)
        image = made.storage.preload(made.uuid(), 2 * GIB).uuid
        await drive(made.clock, made.hypervisor.create(spec, False, lambda fraction: None))
        await drive(made.clock, made.hypervisor.suspend(spec.uuid, image, lambda fraction: None))
        state = await drive(made.clock, made.hypervisor.resume(spec, image, False, lambda fraction: None))
        assert state.guest is None
        await made.clock.advance(made.world.agent_time)
        (state,) = await made.hypervisor.domains()
        assert state.guest is not None


async def test_guest_without_agent_has_none_after_the_resume() -> None:
    async with bench(VirtualClock()) as made:
        spec = machine(made)
        image = made.storage.preload(made.uuid(), 2 * GIB).uuid
        made.hypervisor.preload(spec)
        made.world.guest(spec.uuid).lose_agent()
        await drive(made.clock, made.hypervisor.suspend(spec.uuid, image, lambda fraction: None))
        await drive(made.clock, made.hypervisor.resume(spec, image, False, lambda fraction: None))
        with pytest.raises(DriverError) as failure:
            await drive(made.clock, made.hypervisor.shutdown(spec.uuid))
        assert failure.value.kind == "unsupported"


async def test_volumes_are_thin_and_a_full_repository_refuses() -> None:
    async with bench(VirtualClock()) as made:
        volume = await drive(made.clock, made.storage.create(made.uuid(), 60 * GIB))
        assert (await made.storage.usage())[1] == 0
        found = made.world.find_volume(volume.uuid)
        assert found is not None
        made.storage.fill(found, 50 * GIB)
        assert await made.storage.usage() == (100 * GIB, 50 * GIB)
        clone = await drive(made.clock, made.storage.clone(made.uuid(), volume.uuid))
        assert (clone.virtual_size, clone.physical_utilisation) == (60 * GIB, 0)
        copy = await drive(made.clock, made.storage.copy(made.uuid(), volume.uuid, made.storage.uuid, [].append))
        assert copy.physical_utilisation == 50 * GIB
        other = made.world.find_volume(clone.uuid)
        assert other is not None
        with pytest.raises(DriverError) as failure:
            made.storage.fill(other, GIB)
        assert failure.value.kind == "no_space"
        with pytest.raises(DriverError) as failure:
            await drive(made.clock, made.storage.create(made.uuid(), 101 * GIB))
        assert failure.value.kind == "no_space"


async def test_attached_volume_cannot_be_destroyed() -> None:
    async with bench(VirtualClock()) as made:
        volume = await drive(made.clock, made.volume(GIB))
        spec = DomainSpec(
            made.uuid(), "m", GIB, GIB, GIB, 1, 1, "pv", (DiskSpec(made.uuid(), volume, "0", "Disk", False),)
        )
        made.hypervisor.preload(spec)
        with pytest.raises(DriverError) as failure:
            await drive(made.clock, made.storage.destroy(volume))
        assert failure.value.kind == "in_use"
