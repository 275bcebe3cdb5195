"""Simulated storage back ends: repositories of every known type, on invented disks and servers.

Theory of operation
1. Any device, server or path a configuration names exists and is empty, until a repository is made on it.
2. A repository of a type that is not shared is on the disk of the host that made it; another host does not find it.
3. A device holds one repository; a server or a directory holds many.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from xenapi_core.drivers.api import DriverError
from xenapi_core.drivers.sim.storage import SECONDS_PER_CALL, SimStorage
from xenapi_core.drivers.storage import Found
from xenapi_core.model.storage_types import TYPES, StorageType

if TYPE_CHECKING:
    from xenapi_core.drivers.sim.world import SimWorld

BARE_SIZE: Final = 1024 << 30  # space of storage that nobody gave a size
SIMULATED: Final = ("nfs", "ext", "local", "lvm", "lvmoiscsi", "file", "iso", "udev", "dummy")
_EXCLUSIVE: Final = ("device", "SCSIid")  # keys of device_config that name a device


class SimBackend:
    """All repositories of one type in a SimWorld; see drivers.storage.StorageBackend."""

    def __init__(self, world: SimWorld, kind: StorageType) -> None:
        self.world = world
        self.kind = kind

    def open(self, uuid: str) -> SimStorage:
        found = self.world.repositories.get(uuid)
        if found is None:
            found = self.world.repositories[uuid] = SimStorage(
                self.world, uuid, BARE_SIZE, self.kind.name, exists=False
            )
        return found

    async def create(self, uuid: str, host: str, config: Mapping[str, str], size: int) -> None:
        self._format("create")
        self._complete(config)
        await self.world.clock.sleep(SECONDS_PER_CALL)
        made = [other for other in self.world.repositories.values() if other.exists]
        if any(other.uuid == uuid for other in made):
            raise DriverError("exists", f"repository {uuid} exists")
        here = [other for other in made if self._seen_from(other, host)]
        for key in _EXCLUSIVE:
            if key in config and any(other.place.get(key) == config[key] for other in here):
                raise DriverError("in_use", f"{key} {config[key]} holds a repository already")
        storage = self.open(uuid)
        storage.exists, storage.size, storage.place = True, size or BARE_SIZE, dict(config)
        storage.home = "" if self.kind.shared else host

    async def destroy(self, uuid: str, host: str, config: Mapping[str, str]) -> None:
        self._format("destroy")
        await self.world.clock.sleep(SECONDS_PER_CALL)
        storage = self.world.repositories.get(uuid)
        if storage is None or not storage.exists or not self._seen_from(storage, host):
            raise DriverError("not_found", f"no repository {uuid}")
        if storage.hosts:
            raise DriverError("in_use", f"repository {uuid} is attached")
        del self.world.repositories[uuid]
        storage.exists = False
        for volume in storage.contents:
            self.world.contents.changes.drop(volume)
            self.world.contents.erase(volume)
        storage.contents.clear()

    async def probe(self, host: str, config: Mapping[str, str]) -> list[Found]:
        await self.world.clock.sleep(SECONDS_PER_CALL)
        if "SR_PROBE" not in self.kind.features:
            raise DriverError("unsupported", f"storage of type {self.kind.name} cannot be probed")
        return [
            Found(
                configuration=other.place or dict(config),
                complete=True,
                repository=other.uuid,
                total_space=other.size,
                free_space=other.size - other.used,
            )
            for other in self._existing_repositories()
            if self._seen_from(other, host) and all(other.place.get(key) == config[key] for key in config)
        ]

    def _existing_repositories(self) -> list[SimStorage]:
        return [other for other in self.world.repositories.values() if other.exists and other.kind == self.kind.name]

    @staticmethod
    def _seen_from(storage: SimStorage, host: str) -> bool:
        return storage.home in ("", host)

    def _format(self, verb: str) -> None:
        if "SR_FORMAT" not in self.kind.features:
            raise DriverError("unsupported", f"cannot {verb} storage of type {self.kind.name}")

    def _complete(self, config: Mapping[str, str]) -> None:
        for key in self.kind.required:
            if not config.get(key):
                raise DriverError("failed", f"device_config lacks {key}")


def sim_backends(world: SimWorld) -> list[SimBackend]:
    """A back end for every type the simulator serves."""
    return [SimBackend(world, TYPES[name]) for name in SIMULATED]
