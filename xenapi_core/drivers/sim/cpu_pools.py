"""CPU pools of a simulated host: the processors and the machines of each.

Rule 1: a processor is in one pool at most; a pool has one at least; the first pool is always there.
Rule 2: every check is made again after the call's time has passed, so two calls cannot take the same processor.
"""

from __future__ import annotations

import uuid as uuids
from collections.abc import Mapping
from typing import TYPE_CHECKING

from xenapi_core.drivers.api import DomainSpec, DriverError, MachineUsage
from xenapi_core.drivers.sim.devices import SECONDS_PER_CALL, Devices
from xenapi_core.drivers.sim.state import Machine

if TYPE_CHECKING:
    from xenapi_core.drivers.sim.world import SimWorld


class CpuPools(Devices):
    """The part of a simulated host that is about its processors."""

    def __init__(self, world: SimWorld, hostname: str, uuid: str, cpus: int) -> None:
        super().__init__(world, hostname)
        self.uuid = uuid
        self.cpus = cpus
        self.machines: dict[str, Machine] = {}
        self.pools: dict[str, set[int]] = {str(uuids.uuid5(uuids.NAMESPACE_OID, uuid)): set(range(cpus))}

    @property
    def first_pool(self) -> str:
        """The pool the host began with, which is there for good."""
        return next(iter(self.pools))

    def adopt_cpu_pools(self, pools: Mapping[str, frozenset[int]]) -> None:
        """The pools that were there before the simulator started, the first one first; nothing runs there yet."""
        if pools:
            self.pools = {pool: set(numbers) for pool, numbers in pools.items()}

    def pool_for(self, spec: DomainSpec) -> str:
        """The pool a machine runs in that is built from `spec`. bad_state."""
        return self._existing_pool(spec.cpu_pool)

    def _existing_pool(self, pool: str) -> str:
        if pool and pool not in self.pools:
            raise DriverError("bad_state", f"{self.hostname} has no pool {pool} of processors")
        return pool or self.first_pool

    async def cpu_pools(self) -> Mapping[str, frozenset[int]]:
        self._require_up()
        return {pool: frozenset(numbers) for pool, numbers in self.pools.items()}

    async def create_cpu_pool(self, pool: str, cpus: frozenset[int]) -> None:
        await self._wait()
        if pool in self.pools:
            raise DriverError("exists", f"{self.hostname} has a pool {pool}")
        if not cpus:
            raise DriverError("failed", "a pool has one processor at least")
        self._check_idle(cpus)
        self.pools[pool] = set(cpus)

    async def destroy_cpu_pool(self, pool: str) -> None:
        await self._wait()
        self._numbers(pool)
        if pool == self.first_pool or any(machine.cpu_pool == pool for machine in self.machines.values()):
            raise DriverError("in_use", f"machines run in pool {pool}")
        del self.pools[pool]

    async def add_cpu(self, pool: str, number: int) -> None:
        await self._wait()
        self._numbers(pool)
        self._check_idle({number})
        self._numbers(pool).add(number)

    async def remove_cpu(self, pool: str, number: int) -> None:
        await self._wait()
        numbers = self._numbers(pool)
        if number not in numbers:
            raise DriverError("not_found", f"pool {pool} has no processor {number}")
        if len(numbers) == 1:
            raise DriverError("in_use", f"{number} is the last processor of pool {pool}")
        numbers.remove(number)

    async def move_to_cpu_pool(self, uuid: str, pool: str) -> None:
        machine = self._get(uuid)
        await self._wait()
        self._same(machine)
        machine.cpu_pool = self._existing_pool(pool)
        self._tell(machine)

    def busy(self, machines: Mapping[str, MachineUsage]) -> tuple[float, ...]:
        """The busy part of each processor: what the machines of its pool compute is shared evenly."""
        found = [0.0] * self.cpus
        for pool, numbers in self.pools.items():
            load = sum(sum(usage.cpus) for uuid, usage in machines.items() if self.machines[uuid].cpu_pool == pool)
            for number in numbers:
                found[number] = min(1.0, load / len(numbers))
        return tuple(found)

    async def _wait(self) -> None:
        self._require_up()
        await self.world.clock.sleep(SECONDS_PER_CALL)
        self._require_up()

    def _numbers(self, pool: str) -> set[int]:
        try:
            return self.pools[pool]
        except KeyError:
            raise DriverError("not_found", f"{self.hostname} has no pool {pool} of processors") from None

    def _check_idle(self, cpus: set[int] | frozenset[int]) -> None:
        """not_found, in_use (rule 1)."""
        for number in sorted(cpus):
            if not 0 <= number < self.cpus:
                raise DriverError("not_found", f"{self.hostname} has no processor {number}")
            if any(number in numbers for numbers in self.pools.values()):
                raise DriverError("in_use", f"a pool has processor {number}")
