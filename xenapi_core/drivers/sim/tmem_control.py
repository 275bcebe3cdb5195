"""The driver's operations on transcendent memory of a simulated host, and the text of its listing.

Rule 1: the text has the form that Xen's tools read: a line for the host (G=), for each shared pool (S=), for each
        client (C=) and each of its pools (P=), of pairs name:number. Names are Xen's; values that are not known here
        are left out, which readers of that form accept.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from xenapi_core.drivers.api import DriverError
from xenapi_core.drivers.sim.cpu_pools import CpuPools
from xenapi_core.drivers.sim.tmem import COMPRESSED, PAGE, Client, Pool, Tmem

if TYPE_CHECKING:
    from xenapi_core.drivers.sim.world import SimWorld

Pairs = list[tuple[str, object]]


class TmemControl(CpuPools):
    """The part of a simulated host that is about transcendent memory."""

    def __init__(self, world: SimWorld, hostname: str, uuid: str, cpus: int) -> None:
        super().__init__(world, hostname, uuid, cpus)
        self.tmem = Tmem()

    @property
    @abstractmethod
    def memory_free(self) -> int:
        """Bytes that no machine has; what is lent to transcendent memory is among them (tmem.py, rule 2)."""

    @property
    def memory_unused(self) -> int:
        """Bytes that neither a machine nor transcendent memory has."""
        return max(0, self.memory_free - self.tmem.lent())

    async def tmem_list(self, machine: str | None, long: bool) -> str:
        clients = await self._clients(machine)
        lines = [] if machine is not None else [_line("G", self._of_host(), self._more_of_host() if long else [])]
        for number, pool in enumerate(self.tmem.shared.values() if machine is None else ()):
            sharing = [client for client in self.tmem.clients.values() if pool in client.joined]
            members: Pairs = [("SC", client.machine.domid) for client in sharing]
            told: Pairs = [("SI", number), *_kind(pool), *members]
            lines.append(_line("S", told, _counts(pool) if long else []))
        for client in clients:
            lines.append(_line("C", _of_client(client), self._more_of_client(client) if long else []))
            for number, pool in enumerate(client.pools):
                told = [("CI", client.machine.domid), ("PI", number), *_kind(pool)]
                lines.append(_line("P", told, _counts(pool) if long else []))
        return "".join(lines)

    async def tmem_freeze(self, machine: str | None, frozen: bool) -> None:
        for client in await self._clients(machine):
            client.frozen = frozen
            client.note()

    async def tmem_set(self, machine: str | None, name: str, value: int) -> None:
        if name not in ("weight", "cap", "compress"):
            raise DriverError("unsupported", f"transcendent memory has no setting {name}")
        for client in await self._clients(machine):
            if name == "weight":
                client.weight = value
            elif name == "cap":
                self.tmem.limit(client, value)
            else:
                client.compress = bool(value)
            client.note()

    async def tmem_share(self, machine: str | None, uuid: str, allowed: bool) -> None:
        clients = await self._clients(machine)
        if machine is None:
            self.tmem.everybody_shares = allowed
            return
        for client in clients:
            (client.allowed.add if allowed else client.allowed.discard)(uuid)
            client.note()

    async def tmem_flush(self, machine: str | None, size: int) -> int:
        clients = await self._clients(machine)
        return self.tmem.shrink(size, None if machine is None else clients[0])

    async def tmem_destroy(self, machine: str | None) -> None:
        for client in await self._clients(machine):
            self.tmem.end(client.machine.spec.uuid)

    async def tmem_freeable(self) -> int:
        await self._wait()
        return self.tmem.lent()

    async def _clients(self, machine: str | None) -> list[Client]:
        """All clients, or that one, after the time a call takes. not_found."""
        await self._wait()
        if machine is None:
            return list(self.tmem.clients.values())
        try:
            return [self.tmem.clients[machine]]
        except KeyError:
            raise DriverError("not_found", f"machine {machine} uses no transcendent memory") from None

    def _of_host(self) -> Pairs:
        return [("Pf", sum(pool.refused for pool in self._pools())), ("Et", self.tmem.evicted)]

    def _more_of_host(self) -> Pairs:
        pages, frames = sum(pool.pages for pool in self._pools()), -(-self.tmem.lent() // PAGE)
        return [("Ec", self.tmem.pages()), ("Pc", pages), ("Fc", frames)]

    def _pools(self) -> Iterator[Pool]:
        """Every pool once."""
        yield from self.tmem.shared.values()
        for client in self.tmem.clients.values():
            yield from (pool for pool in client.pools if not pool.uuid)

    def _more_of_client(self, client: Client) -> Pairs:
        compressed = self.tmem.pages(client, COMPRESSED)
        return [("Ec", self.tmem.pages(client)), ("cp", compressed), ("cb", compressed * COMPRESSED)]


def _of_client(client: Client) -> Pairs:
    found = sum(pool.found for pool in client.pools if not pool.persistent)
    return [
        ("CI", client.machine.domid), ("ww", client.weight), ("ca", client.cap), ("co", int(client.compress)),
        ("fr", int(client.frozen)), ("Ge", found), ("Pp", client.swap.taken), ("Gp", client.swap.found),
    ]  # fmt: skip


def _kind(pool: Pool) -> Pairs:
    """Ephemeral or persistent, shared or private; the lower and the upper half of its uuid, in hexadecimal digits."""
    digits = pool.uuid.replace("-", "") or "0" * 32
    return [
        ("PT", ("P" if pool.persistent else "E") + ("S" if pool.uuid else "P")),
        ("U0", f"{int(digits[16:], 16):x}"),
        ("U1", f"{int(digits[:16], 16):x}"),
    ]


def _counts(pool: Pool) -> Pairs:
    return [
        ("Pc", pool.pages), ("Pm", pool.most), ("ps", pool.taken), ("pt", pool.offered), ("px", pool.refused),
        ("gs", pool.found), ("gt", pool.wanted),
    ]  # fmt: skip


def _line(kind: str, pairs: Iterable[tuple[str, object]], more: Iterable[tuple[str, object]]) -> str:
    return f"{kind}=" + ",".join(f"{name}:{value}" for name, value in (*pairs, *more)) + "\n"
