"""Devices of simulated machines that are plugged, changed and unplugged while their guests run; and the host's NICs.

Rule 1: every change is published as an event, except that a disk is held: that concerns the storage and its user only.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from xenapi_core.drivers.api import DiskSpec, DriverError, InterfaceState, NicSpec
from xenapi_core.drivers.sim.crashes import Crashes
from xenapi_core.drivers.sim.state import Machine, device_name, what_the_agent_says

if TYPE_CHECKING:
    from xenapi_core.drivers.sim.world import SimWorld

SECONDS_PER_CALL: Final = 0.1


class Devices(Crashes):
    """The part of a simulated host that is about devices."""

    def __init__(self, world: SimWorld, hostname: str) -> None:
        super().__init__(world, hostname)
        self.ports: dict[str, InterfaceState] = {}  # network interfaces by name
        self._holds = 0

    async def attach_disk(self, uuid: str, disk: DiskSpec) -> str:
        machine = self._get(uuid)
        await self.world.clock.sleep(SECONDS_PER_CALL)
        self._same(machine)
        if disk.uuid in machine.disks or any(d.position == disk.position for d in machine.disks.values()):
            raise DriverError("in_use", f"position {disk.position} of {uuid} is taken")
        self._check_volumes((disk,))
        machine.disks[disk.uuid] = disk
        self._tell(machine)
        return device_name(disk.position)

    async def detach_disk(self, uuid: str, disk: str, force: bool) -> None:
        machine = self._get(uuid)
        await self.world.clock.sleep(SECONDS_PER_CALL)
        self._same(machine)
        if machine.disks.pop(disk, None) is None:
            raise DriverError("not_found", f"{uuid} has no disk {disk}")
        machine.held.pop(disk, None)
        self._tell(machine)

    async def hold_disk(self, uuid: str, disk: str) -> str:
        machine = self._get(uuid)
        await self.world.clock.sleep(SECONDS_PER_CALL)
        self._same(machine)
        if disk not in machine.disks:
            raise DriverError("not_found", f"{uuid} has no disk {disk}")
        if disk in machine.held:
            raise DriverError("bad_state", f"disk {disk} is held already")
        self._holds += 1
        machine.held[disk] = f"hold-{self._holds}"
        return machine.held[disk]

    async def release_disk(self, uuid: str, disk: str, token: str) -> None:
        machine = self._get(uuid)
        await self.world.clock.sleep(SECONDS_PER_CALL)
        self._same(machine)
        if disk not in machine.disks:
            raise DriverError("not_found", f"{uuid} has no disk {disk}")
        if disk not in machine.held or token not in ("", machine.held[disk]):
            raise DriverError("bad_state", f"disk {disk} is not held by {token!r}")
        del machine.held[disk]

    async def attach_nic(self, uuid: str, nic: NicSpec) -> None:
        machine = self._get(uuid)
        await self.world.clock.sleep(SECONDS_PER_CALL)
        self._same(machine)
        if nic.uuid in machine.nics or any(n.position == nic.position for n in machine.nics.values()):
            raise DriverError("in_use", f"position {nic.position} of {uuid} is taken")
        machine.nics[nic.uuid] = nic
        self._agent_notices_nics(machine)
        self._tell(machine)

    async def detach_nic(self, uuid: str, nic: str, force: bool) -> None:
        machine = self._get(uuid)
        await self.world.clock.sleep(SECONDS_PER_CALL)
        self._same(machine)
        if machine.nics.pop(nic, None) is None:
            raise DriverError("not_found", f"{uuid} has no NIC {nic}")
        self._agent_notices_nics(machine)
        self._tell(machine)

    async def move_nic(self, uuid: str, nic: str, network: str) -> None:
        machine = await self._nic_of(uuid, nic)
        machine.nics[nic] = replace(machine.nics[nic], network=network)
        self._tell(machine)

    async def address_nic(self, uuid: str, nic: str, addresses: tuple[str, ...]) -> None:
        machine = await self._nic_of(uuid, nic)
        if not machine.has_agent:
            raise DriverError("unsupported", f"the guest of {uuid} cannot be asked")
        machine.nics[nic] = replace(machine.nics[nic], addresses=addresses)
        self._agent_notices_nics(machine)
        self._tell(machine)

    async def _nic_of(self, uuid: str, nic: str) -> Machine:
        machine = self._get(uuid)
        await self.world.clock.sleep(SECONDS_PER_CALL)
        self._same(machine)
        if nic not in machine.nics:
            raise DriverError("not_found", f"{uuid} has no NIC {nic}")
        return machine

    async def interfaces(self) -> tuple[InterfaceState, ...]:
        self._require_up()
        return tuple(self.ports[name] for name in sorted(self.ports))

    def add_interface(self, state: InterfaceState) -> None:
        """A card is plugged into the host, or what is known of one changes."""
        self.ports[state.name] = state

    def _agent_notices_nics(self, machine: Machine) -> None:
        if machine.guest is not None:
            machine.guest = replace(machine.guest, networks=what_the_agent_says(machine.nics.values()).networks)

    @abstractmethod
    def _get(self, uuid: str) -> Machine: ...

    @abstractmethod
    def _same(self, machine: Machine) -> None: ...

    @abstractmethod
    def _tell(self, machine: Machine) -> None: ...

    @abstractmethod
    def _check_volumes(self, disks: tuple[DiskSpec, ...]) -> None: ...
