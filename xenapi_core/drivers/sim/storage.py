"""Simulated storage repositories: thin volumes with honest accounting.

Theory of operation
1. A volume's uuid is unique in the whole world, so a machine names its disks without naming repositories.
2. A volume takes room when it is written to, not when it is made; a repository refuses a volume that could not
   even be filled alone, and a write that does not fit.
3. What a machine has attached cannot be destroyed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xenapi_core.drivers.api import DriverError, VolumeState
from xenapi_core.drivers.sim.state import BLOCK, Image, Volume, in_blocks

if TYPE_CHECKING:
    from xenapi_core.drivers.sim.world import SimWorld

SECONDS_PER_CALL = 0.2  # what a storage back end takes to answer
COPY_BYTES_PER_SECOND = 1 << 30


class SimStorage:
    """One repository; see drivers.api.Storage. Made by SimWorld.add_storage."""

    def __init__(self, world: SimWorld, uuid: str, size: int) -> None:
        self.world = world
        self.uuid = uuid
        self.size = size
        self.contents: dict[str, Volume] = {}

    @property
    def used(self) -> int:
        return sum(volume.used for volume in self.contents.values())

    def preload(self, uuid: str, size: int, used: int = 0) -> VolumeState:
        """Adopt a volume that was there before the simulator started."""
        return self._add(Volume(uuid, size, min(used, size)))

    async def create(self, uuid: str, size: int) -> VolumeState:
        size = in_blocks(size)
        await self.world.clock.sleep(SECONDS_PER_CALL)
        if size > self.size:
            raise DriverError("no_space", f"{size} bytes do not fit into {self.size}")
        return self._add(Volume(uuid, size))

    async def destroy(self, uuid: str) -> None:
        await self.world.clock.sleep(SECONDS_PER_CALL)
        self._get(uuid)
        if self.world.users(uuid):
            raise DriverError("in_use", f"volume {uuid} is attached")
        del self.contents[uuid]

    async def clone(self, uuid: str, source: str) -> VolumeState:
        await self.world.clock.sleep(SECONDS_PER_CALL)
        origin = self._get(source)
        return self._add(Volume(uuid, origin.size, 0, origin.image))

    async def copy(self, uuid: str, source: str, repository: str) -> VolumeState:
        """A full copy of volume `source` of repository `repository`."""
        origin = self.world.storage(repository).contents.get(source)
        if origin is None:
            raise DriverError("not_found", f"no volume {source}")
        await self.world.clock.sleep(SECONDS_PER_CALL + origin.used / COPY_BYTES_PER_SECOND)
        if origin.size > self.size or origin.used > self.size - self.used:
            raise DriverError("no_space", f"{origin.used} bytes do not fit")
        return self._add(Volume(uuid, origin.size, origin.used, origin.image))

    async def resize(self, uuid: str, size: int) -> VolumeState:
        """Grow a volume. unsupported: it would shrink."""
        size = in_blocks(size)
        await self.world.clock.sleep(SECONDS_PER_CALL)
        volume = self._get(uuid)
        if size < volume.size:
            raise DriverError("unsupported", "a volume cannot shrink")
        if size > self.size:
            raise DriverError("no_space", f"{size} bytes do not fit into {self.size}")
        volume.size = size
        return volume.state(self.uuid)

    async def volumes(self) -> list[VolumeState]:
        return [volume.state(self.uuid) for volume in self.contents.values()]

    async def usage(self) -> tuple[int, int]:
        return self.size, self.used

    def write(self, volume: Volume, size: int) -> None:
        """A guest fills `size` more bytes of `volume`. no_space."""
        size = min(in_blocks(size), volume.size - volume.used)
        if size > self.size - self.used:
            raise DriverError("no_space", f"repository {self.uuid} is full")
        volume.used += size

    def save(self, uuid: str, image: Image) -> None:
        """Put a machine's memory into a volume. no_space."""
        volume = self._get(uuid)
        if image.memory > volume.size or image.memory - volume.used > self.size - self.used:
            raise DriverError("no_space", f"{image.memory} bytes of memory do not fit into volume {uuid}")
        volume.image = image
        volume.used = max(volume.used, in_blocks(image.memory))

    def _get(self, uuid: str) -> Volume:
        try:
            return self.contents[uuid]
        except KeyError:
            raise DriverError("not_found", f"no volume {uuid}") from None

    def _add(self, volume: Volume) -> VolumeState:
        if self.world.find_volume(volume.uuid) is not None:
            raise DriverError("exists", f"volume {volume.uuid} exists")
        self.contents[volume.uuid] = volume
        return volume.state(self.uuid)


__all__ = ["BLOCK", "SimStorage"]
