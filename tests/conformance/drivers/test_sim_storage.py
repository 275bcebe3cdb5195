"""Every simulated storage type passes the conformance suite of SR drivers; drivers that cheat do not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest

from xenapi_core.clock import Clock, RealClock, VirtualClock
from xenapi_core.drivers.api import DriverError, Progress
from xenapi_core.drivers.sim import SimBackend, SimStorage, SimWorld
from xenapi_core.drivers.sim.storage_backend import SIMULATED
from xenapi_core.drivers.storage import Storage, VolumeState
from xenapi_core.ids import Ids
from xenapi_core.model.storage_types import TYPES
from xenapi_core.testing.storage_conformance import CHECKS, Check, StorageBench, check_storage, run_check
from xenapi_core.testing.virtual_time import drive


class SimStorageBench:
    """A world with one back end and one host."""

    def __init__(self, clock: Clock, kind: str, backend: type[SimBackend] = SimBackend) -> None:
        self.clock = clock
        self.ids = Ids(seed="bench")
        self.world = SimWorld(clock, seed=1)
        self.backend = backend(self.world, TYPES[kind])
        self.host = self.uuid()
        self.places = 0

    def uuid(self) -> str:
        return self.ids.uuid()

    def config(self) -> Mapping[str, str]:
        self.places += 1
        return {key: f"{key} {self.places}" for key in self.backend.kind.required}

    async def put(self, storage: Storage, size: int) -> str:
        assert isinstance(storage, SimStorage)
        return storage.preload(self.uuid(), size).uuid


@asynccontextmanager
async def bench(clock: Clock, kind: str, backend: type[SimBackend] = SimBackend) -> AsyncIterator[StorageBench]:
    made = SimStorageBench(clock, kind, backend)
    try:
        yield made
    finally:
        await made.world.close()


@pytest.mark.parametrize("kind", SIMULATED)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_simulated_storage_passes_the_conformance_check(check: Check, kind: str) -> None:
    asyncio.run(run_check(check, lambda: bench(VirtualClock(), kind)))


def test_simulated_storage_passes_on_a_real_clock() -> None:
    asyncio.run(check_storage(lambda: bench(RealClock(speed=1000.0), "nfs")))


class Forgetful(SimStorage):
    async def detach(self, host: str) -> None:
        """Does nothing."""


class Generous(SimStorage):
    async def create(self, uuid: str, size: int) -> VolumeState:
        return await super().create(uuid, min(size, self.size))


class Silent(SimStorage):
    async def copy(self, uuid: str, source: str, repository: str, progress: Progress) -> VolumeState:
        return await super().copy(uuid, source, repository, lambda fraction: None)


class Doubling(SimStorage):
    async def move(self, uuid: str, repository: str, progress: Progress) -> VolumeState:
        source = self.world.storage(repository)
        volume = source.contents.get(uuid)
        state = await super().move(uuid, repository, progress)
        assert volume is not None
        source.contents[uuid] = volume
        return state


class Shortsighted(SimStorage):
    """Forgets what was written before the newest snapshot."""

    async def changed(self, older: str, newer: str) -> list[tuple[int, int]]:
        return (await super().changed(older, newer))[-1:]


@pytest.mark.parametrize("cheat", [Forgetful, Generous, Silent, Doubling, Shortsighted])
def test_a_driver_that_cheats_fails_the_suite(cheat: type[SimStorage]) -> None:
    class Cheating(SimBackend):
        def open(self, uuid: str) -> SimStorage:
            known = self.world.repositories.get(uuid)
            if known is None:
                known = self.world.repositories[uuid] = cheat(self.world, uuid, 1 << 40, self.kind.name, exists=False)
            return known

    with pytest.raises((AssertionError, DriverError, IndexError)):
        asyncio.run(check_storage(lambda: bench(VirtualClock(), "nfs", Cheating)))


@asynccontextmanager
async def storage_world(kind: str = "lvm") -> AsyncIterator[tuple[SimWorld, SimBackend]]:
    """A simulated world, and its storage of one kind."""
    world = SimWorld(VirtualClock(), seed=1)
    yield world, SimBackend(world, TYPES[kind])
    await world.close()


async def test_local_storage_is_found_by_its_own_host_alone() -> None:
    async with storage_world() as (world, backend):
        config = {"device": "/dev/sdb"}
        await drive(world.clock, backend.create("repository", "host a", config, 1 << 30))
        (found,) = await drive(world.clock, backend.probe("host a", config))
        assert (found.repository, found.total_space) == ("repository", 1 << 30)
        assert await drive(world.clock, backend.probe("host b", config)) == []
        with pytest.raises(DriverError, match="not there"):
            await drive(world.clock, backend.open("repository").attach("host b", config))


async def test_a_device_holds_one_repository_on_each_host() -> None:
    async with storage_world() as (world, backend):
        config = {"device": "/dev/sdb"}
        await drive(world.clock, backend.create("first", "host a", config, 0))
        with pytest.raises(DriverError, match="holds a repository"):
            await drive(world.clock, backend.create("second", "host a", config, 0))
        await drive(world.clock, backend.create("second", "host b", config, 0))


async def test_a_broken_path_is_told() -> None:
    async with storage_world("nfs") as (world, _backend):
        storage = world.add_storage("repository", kind="nfs")
        storage.connect("host a", {})
        storage.preload("volume", 1 << 30)
        assert await drive(world.clock, storage.check_path("volume", "host a"))
        storage.cut_off.add("host a")
        with pytest.raises(DriverError) as failure:
            await drive(world.clock, storage.check_path("volume", "host a"))
        assert failure.value.kind == "offline"
