"""Simulated storage repositories: thin-provisioned volumes whose space is accounted exactly.

Theory of operation
1. A volume's uuid is unique in the whole world, so a machine names its disks without naming repositories.
2. A volume takes room when it is written to, not when it is made; a repository refuses a volume that could not
   even be filled alone, and a write that does not fit.
3. What a machine or a host itself has attached cannot be destroyed, nor can that host be detached.
4. What the type of a repository does not offer is "unsupported".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from xenapi_core.drivers.api import DriverError, Progress
from xenapi_core.drivers.sim import memory_image
from xenapi_core.drivers.sim.state import BLOCK, Image, Volume, in_blocks
from xenapi_core.drivers.storage import VolumeState, VolumeTraffic
from xenapi_core.model.storage_types import features

if TYPE_CHECKING:
    from xenapi_core.drivers.sim.world import SimWorld

SECONDS_PER_CALL = 0.2  # what a storage back end takes to answer
COPY_BYTES_PER_SECOND = 1 << 30
COPY_STEPS = 8  # progress reports of a copy


class SimStorage:
    """One repository; see drivers.storage.Storage. Made by SimWorld.add_storage or a SimBackend.

    `exists` is False until it is made, and after it was erased. `hosts`: those connected, with their device_config.
    """

    def __init__(self, world: SimWorld, uuid: str, size: int, kind: str = "", exists: bool = True) -> None:
        self.world = world
        self.uuid = uuid
        self.size = size
        self.kind = kind
        self.exists = exists
        self.place: dict[str, str] = {}  # the device_config that leads to it
        self.home = ""  # the host whose disk it is on; "" if it is on none
        self.hosts: dict[str, dict[str, str]] = {}
        self.contents: dict[str, Volume] = {}
        self.cut_off: set[str] = set()  # hosts whose path is broken

    @property
    def used(self) -> int:
        return sum(volume.used for volume in self.contents.values())

    def preload(self, uuid: str, size: int, used: int = 0, name: str = "", read_only: bool = False) -> VolumeState:
        """Adopt a volume that was there before the simulator started, or that somebody puts there behind our back."""
        return self._add(Volume(uuid, size, min(used, size), name=name, read_only=read_only))

    def connect(self, host: str, config: Mapping[str, str]) -> None:
        """Adopt a connection that was there before the simulator started."""
        self.hosts[host] = dict(config)
        self.place = self.place or dict(config)

    async def attach(self, host: str, config: Mapping[str, str]) -> None:
        await self.world.clock.sleep(SECONDS_PER_CALL)
        if not self.exists and "SR_FORMAT" not in features(self.kind):
            self.exists, self.place = True, dict(config)  # a library is where its configuration says
        if not self.exists or (self.home and self.home != host):
            raise DriverError("not_found", f"repository {self.uuid} is not there")
        self.hosts[host] = dict(config)

    async def detach(self, host: str) -> None:
        await self.world.clock.sleep(SECONDS_PER_CALL)
        for uuid, volume in self.contents.items():
            if host in volume.hosts or any(machine.host == host for machine, _ in self.world.users(uuid)):
                raise DriverError("in_use", f"volume {uuid} is attached on host {host}")
        self.hosts.pop(host, None)
        if not self.hosts and not self.contents and "SR_FORMAT" not in features(self.kind):
            self.exists = False

    async def create(self, uuid: str, size: int) -> VolumeState:
        self._offers("VDI_CREATE")
        size = in_blocks(size)
        await self.world.clock.sleep(SECONDS_PER_CALL)
        if size > self.size:
            raise DriverError("no_space", f"{size} bytes do not fit into {self.size}")
        return self._add(Volume(uuid, size))

    async def destroy(self, uuid: str) -> None:
        await self.world.clock.sleep(SECONDS_PER_CALL)
        self._get(uuid)
        self._offers("VDI_DELETE")
        self._unused(uuid)
        del self.contents[uuid]
        self.world.contents.changes.drop(uuid)
        self.world.contents.erase(uuid)

    async def clone(self, uuid: str, source: str) -> VolumeState:
        await self.world.clock.sleep(SECONDS_PER_CALL)
        return self._branch("VDI_CLONE", uuid, source, "")

    async def snapshot(self, uuid: str, source: str) -> VolumeState:
        await self.world.clock.sleep(SECONDS_PER_CALL)
        state = self._branch("VDI_SNAPSHOT", uuid, source, source)
        self.world.contents.changes.branch(uuid, source)
        return state

    def _branch(self, feature: str, uuid: str, source: str, snapshot_of: str) -> VolumeState:
        """A volume that shares everything with `source`, so it takes no room."""
        origin = self._get(source)
        self._offers(feature)
        branch = Volume(uuid, origin.size, 0, origin.image, origin.name, False, snapshot_of, origin.contents)
        state = self._add(branch)
        self.world.contents.copy(uuid, source)
        return state

    async def revert(self, uuid: str, snapshot: str) -> VolumeState:
        await self.world.clock.sleep(SECONDS_PER_CALL)
        volume, saved = self._get(uuid), self._get(snapshot)
        self._offers("VDI_REVERT")
        self._unused(uuid)
        self.world.contents.changes.revert(uuid, snapshot, saved.size)
        volume.size, volume.used, volume.image, volume.contents = saved.size, 0, saved.image, saved.contents
        self.world.contents.copy(uuid, snapshot)
        return volume.state(self.uuid)

    async def copy(self, uuid: str, source: str, repository: str, progress: Progress) -> VolumeState:
        """A full copy of volume `source` of repository `repository`."""
        origin = await self._read_volume(source, repository, progress, "VDI_COPY")
        copied = Volume(uuid, origin.size, origin.used, origin.image, origin.name, contents=origin.contents)
        state = self._add(copied)
        self.world.contents.copy(uuid, source)
        origin.bytes_read += origin.used
        copied.bytes_written += origin.used
        progress(1.0)
        return state

    async def move(self, uuid: str, repository: str, progress: Progress) -> VolumeState:
        origin = await self._read_volume(uuid, repository, progress, "VDI_MIRROR")
        del self.world.storage(repository).contents[uuid]
        state = self._add(origin)
        progress(1.0)
        return state

    async def _read_volume(self, source: str, repository: str, progress: Progress, feature: str) -> Volume:
        """The volume after the time that reading it takes. not_found, no_space, unsupported."""
        origin = self.world.storage(repository)
        origin._offers(feature)
        volume = origin._get(source)
        self._fits(volume)
        await self.world.clock.sleep(SECONDS_PER_CALL)
        for part in range(COPY_STEPS):
            progress(part / COPY_STEPS)
            await self.world.clock.sleep(volume.used / COPY_BYTES_PER_SECOND / COPY_STEPS)
        volume = origin._get(source)
        self._fits(volume)
        return volume

    async def resize(self, uuid: str, size: int) -> VolumeState:
        """Grow a volume. unsupported: it would shrink."""
        size = in_blocks(size)
        await self.world.clock.sleep(SECONDS_PER_CALL)
        volume = self._get(uuid)
        self._offers("VDI_RESIZE")
        if size < volume.size:
            raise DriverError("unsupported", "a volume cannot shrink")
        if size > self.size:
            raise DriverError("no_space", f"{size} bytes do not fit into {self.size}")
        volume.size = size
        return volume.state(self.uuid)

    async def volume(self, uuid: str) -> VolumeState:
        return self._get(uuid).state(self.uuid)

    async def volumes(self) -> list[VolumeState]:
        return [volume.state(self.uuid) for volume in self.contents.values()]

    async def usage(self) -> tuple[int, int]:
        return self.size, self.used

    async def check_path(self, uuid: str, host: str) -> str:
        await self.world.clock.sleep(SECONDS_PER_CALL)
        self._get(uuid)
        if host not in self.hosts or host in self.cut_off:
            raise DriverError("offline", f"host {host} does not reach repository {self.uuid}")
        return f"/dev/sm/{self.uuid}/{uuid}"

    async def attach_volume(self, uuid: str, host: str) -> str:
        path = await self.check_path(uuid, host)
        disks = (disk for machine, _ in self.world.users(uuid) for disk in machine.disks.values())
        if any(disk.volume == uuid and not disk.shared for disk in disks):
            raise DriverError("in_use", f"volume {uuid} is attached to a machine")
        self.hold(uuid, host)
        return path

    def hold(self, uuid: str, host: str) -> None:
        """The volume is attached to `host` itself from now on. not_found."""
        self._get(uuid).hosts.add(host)

    async def detach_volume(self, uuid: str, host: str) -> None:
        await self.world.clock.sleep(SECONDS_PER_CALL)
        self._get(uuid).hosts.discard(host)

    def let_go(self, host: str) -> None:
        """`host` went down, and has nothing attached any more."""
        for volume in self.contents.values():
            volume.hosts.discard(host)

    async def traffic(self, uuid: str) -> VolumeTraffic:
        return self._get(uuid).traffic()

    async def read(self, uuid: str, offset: int, size: int) -> bytes:
        self._readable(uuid, offset, size)
        return self.world.contents.read(uuid, offset, size)

    async def write(self, uuid: str, offset: int, data: bytes) -> None:
        volume = self._readable(uuid, offset, len(data))
        self._offers("VDI_CREATE")
        contents = self.world.contents
        if len(data) > self.size - self.used and in_blocks(contents.written(uuid) + len(data)) > volume.used:
            raise DriverError("no_space", f"repository {self.uuid} is full")
        contents.changes.note(uuid, offset, len(data))
        contents.write(uuid, offset, data)
        volume.used = max(volume.used, min(in_blocks(contents.written(uuid)), volume.size))
        volume.bytes_written += len(data)
        volume.contents = f"{volume.uuid}@{volume.bytes_written}"

    async def extents(self, uuid: str) -> list[tuple[int, int]]:
        volume = self._readable(uuid, 0, 0)
        found = self.world.contents.extents(uuid)
        return [(offset, min(size, volume.size - offset)) for offset, size in found if offset < volume.size]

    async def track_changes(self, uuid: str, on: bool) -> None:
        await self.world.clock.sleep(SECONDS_PER_CALL)
        self._get(uuid)
        self._offers("VDI_CONFIG_CBT")
        changes = self.world.contents.changes
        (changes.begin if on else changes.drop)(uuid)

    async def changed(self, older: str, newer: str) -> list[tuple[int, int]]:
        await self.world.clock.sleep(SECONDS_PER_CALL)
        self._get(older)
        size = self._get(newer).size
        self._offers("VDI_CONFIG_CBT")
        found = self.world.contents.changes.between(older, newer)
        if found is None:
            raise DriverError("failed", f"it is not known how volume {newer} came from {older}")
        return [(offset, min(length, size - offset)) for offset, length in found if offset < size]

    async def drop_data(self, uuid: str) -> VolumeState:
        await self.world.clock.sleep(SECONDS_PER_CALL)
        volume = self._get(uuid)
        self._offers("VDI_CONFIG_CBT")
        self._unused(uuid)
        self.world.contents.erase(uuid)
        volume.used, volume.image, volume.contents = 0, None, ""
        return volume.state(self.uuid)

    def _readable(self, uuid: str, offset: int, size: int) -> Volume:
        """The volume, if it has those bytes. not_found, unsupported, failed."""
        volume = self._get(uuid)
        self._offers("VDI_COPY")
        if offset < 0 or offset + size > volume.size:
            raise DriverError("failed", f"volume {uuid} ends at byte {volume.size}")
        return volume

    def fill(self, volume: Volume, size: int) -> None:
        """A guest fills `size` more bytes of `volume`. no_space."""
        size = min(in_blocks(size), volume.size - volume.used)
        if size > self.size - self.used:
            raise DriverError("no_space", f"repository {self.uuid} is full")
        self.world.contents.changes.note(volume.uuid, volume.used, size)
        volume.used += size
        volume.bytes_written += size
        volume.contents = f"{volume.uuid}@{volume.bytes_written}"

    def save(self, uuid: str, image: Image) -> None:
        """Put a machine's memory into a volume. no_space."""
        volume = self._get(uuid)
        if image.memory > volume.size or image.memory - volume.used > self.size - self.used:
            raise DriverError("no_space", f"{image.memory} bytes of memory do not fit into volume {uuid}")
        volume.image = image
        self.world.contents.write(uuid, 0, memory_image.encode(image))
        volume.used = max(volume.used, in_blocks(image.memory))
        volume.bytes_written += image.memory

    def rebind(self, uuid: str, machine: str) -> None:
        """The memory in a volume is another machine's from now on. not_found."""
        image = self.world.image_in(self._get(uuid).uuid)
        if image is None:
            raise DriverError("not_found", f"volume {uuid} holds no memory")
        self._get(uuid).image = renamed = replace(image, machine=machine)
        self.world.contents.write(uuid, 0, memory_image.encode(renamed))

    def _unused(self, uuid: str) -> None:
        if self._get(uuid).hosts or self.world.users(uuid):
            raise DriverError("in_use", f"volume {uuid} is attached")

    def _fits(self, volume: Volume) -> None:
        if volume.size > self.size or volume.used > self.size - self.used:
            raise DriverError("no_space", f"{volume.used} bytes do not fit")

    def _offers(self, feature: str) -> None:
        if feature not in features(self.kind):
            raise DriverError("unsupported", f"storage of type {self.kind} has no {feature}")

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
