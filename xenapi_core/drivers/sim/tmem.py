"""Transcendent memory of a simulated host: pages that guests put into the hypervisor's memory and may get back.

Theory of operation
1. Clients are the machines whose kernel was started with the word `tmem` (DomainSpec.boot["args"]). Each has an
   ephemeral pool, of clean pages that its page cache let go, and a persistent one, of pages that it swapped out; and it
   may join ephemeral pools that several clients share.
2. Ephemeral pages are in memory of the host that no machine has. They go when a machine is to be built there, so they
   never keep one away: first those of clients that have more than their part by weight, the oldest first.
3. Persistent pages are in memory that the machine's balloon has given back, so they cost nobody else anything.
4. A client may share a pool whose uuid it was allowed, or any pool while everybody is; else the pool it asks for is
   private. That is looked at when it joins, and never again.
5. A client ends with its domain. Of one that moves, settings, allowed uuids and persistent pages move along.
6. Nothing here takes time or is a driver's call; those are in tmem_control.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from xenapi_core.drivers.sim.state import Machine

PAGE: Final = 4096  # bytes
COMPRESSED: Final = PAGE // 2  # bytes of a page that is compressed
WORD: Final = "tmem"
MIB: Final = 1 << 20


@dataclass(eq=False)
class Pool:
    """Pages of one client, or of several that share it. Counts are of pages, and of all time but for `pages`."""

    persistent: bool
    uuid: str = ""  # of a shared pool
    pages: int = 0
    most: int = 0
    offered: int = 0
    taken: int = 0
    refused: int = 0  # for want of memory
    wanted: int = 0
    found: int = 0

    def add(self, pages: int) -> None:
        self.pages += pages
        self.taken += pages
        self.most = max(self.most, self.pages)


@dataclass(eq=False)
class Client:
    """A machine that uses transcendent memory. `cap`: MiB that its ephemeral pages may take; 0: as much as there is."""

    machine: Machine
    weight: int = 0
    cap: int = 0
    compress: bool = False
    frozen: bool = False
    allowed: set[str] = field(default_factory=set)  # uuids of the pools it may share
    clean: Pool = field(default_factory=lambda: Pool(persistent=False))
    swap: Pool = field(default_factory=lambda: Pool(persistent=True))
    joined: list[Pool] = field(default_factory=list)
    swapped: int = 0  # bytes of its persistent pages

    @property
    def pools(self) -> list[Pool]:
        """In the order of their numbers."""
        return [self.clean, self.swap, *self.joined]

    @property
    def page(self) -> int:
        """Bytes a page takes that is offered now."""
        return COMPRESSED if self.compress else PAGE

    def note(self) -> None:
        """Have its machine tell the settings as they are now (DomainState.tmem)."""
        numbers = {"weight": self.weight, "cap": self.cap, "compress": self.compress, "frozen": self.frozen}
        told = {name: str(int(value)) for name, value in numbers.items() if value}
        self.machine.tmem = told | ({"shares": ",".join(sorted(self.allowed))} if self.allowed else {})

    def adopt(self, settings: Mapping[str, str]) -> None:
        """Take over settings that the machine told."""
        self.weight, self.cap = int(settings.get("weight", 0)), int(settings.get("cap", 0))
        self.compress, self.frozen = "compress" in settings, "frozen" in settings
        self.allowed = set(settings["shares"].split(",")) if "shares" in settings else set()
        self.note()


@dataclass(eq=False)
class Stretch:
    """Ephemeral pages that came together. `page`: bytes of each."""

    client: Client
    pool: Pool
    pages: int
    page: int


class Tmem:
    """The pages and pools of all clients of one simulated host."""

    def __init__(self) -> None:
        self.clients: dict[str, Client] = {}  # by the machine's uuid
        self.shared: dict[str, Pool] = {}  # by uuid
        self.everybody_shares = False
        self.evicted = 0  # ephemeral pages that had to go
        self._stretches: list[Stretch] = []  # the oldest first

    def lent(self, client: Client | None = None) -> int:
        """Bytes of the host's memory that ephemeral pages are in: all of them, or those of one client."""
        return sum(stretch.pages * stretch.page for stretch in self._stretches_of(client))

    def pages(self, client: Client | None = None, page: int = 0) -> int:
        """Ephemeral pages: all of them, or those of one client; only pages of `page` bytes unless it is 0."""
        return sum(stretch.pages for stretch in self._stretches_of(client) if page in (0, stretch.page))

    def _stretches_of(self, client: Client | None) -> list[Stretch]:
        return [stretch for stretch in self._stretches if client is None or stretch.client is client]

    # Clients come and go.

    def begin(self, machine: Machine) -> Client | None:
        """The kernel of a machine runs; the client it is from now on, or was before, None if it does not want to."""
        uuid = machine.spec.uuid
        if uuid not in self.clients and WORD in machine.spec.boot.get("args", "").split():
            self.clients[uuid] = Client(machine)
        return self.clients.get(uuid)

    def end(self, machine: str) -> Client | None:
        """A machine is no client any more, and its pages are gone; the client it was, None if it was none."""
        client = self.clients.pop(machine, None)
        if client is not None:
            client.machine.tmem = {}
            for stretch in self._stretches_of(client):
                self._remove(stretch, stretch.pages)
            for pool in client.joined:
                if pool.uuid and not any(pool in other.joined for other in self.clients.values()):
                    del self.shared[pool.uuid]
        return client

    def arrive(self, before: Client | None) -> None:
        """A machine is here that was a client where it was before, or in the domain it had before (rule 5)."""
        if before is not None:
            before.clean, before.joined = Pool(persistent=False), []
            self.clients[before.machine.spec.uuid] = before
            before.note()

    def join(self, client: Client, uuid: str) -> Pool:
        """The pool a client gets that asks for one with that uuid (rule 4)."""
        if uuid in client.allowed or self.everybody_shares:
            pool = self.shared.setdefault(uuid, Pool(persistent=False, uuid=uuid))
        else:
            pool = Pool(persistent=False)
        if pool not in client.joined:
            client.joined.append(pool)
        return pool

    # Pages come and go.

    def shrink(self, size: int, client: Client | None = None) -> int:
        """Give back `size` bytes of ephemeral pages, of one client or by rule 2, or what there is; the bytes given."""
        given = 0
        while given < size and (found := self._next_to_go(client)) is not None:
            stretch, most = found
            pages = min(most, -(-(size - given) // stretch.page))
            given += pages * stretch.page
            self.evicted += pages
            self._remove(stretch, pages)
        return given

    def _next_to_go(self, client: Client | None) -> tuple[Stretch, int] | None:
        """The stretch that loses pages next, and how many at most before the choice is made again."""
        weights = sum(each.weight for each in self.clients.values())
        for stretch in self._stretches if client is None and weights else ():
            own = stretch.client
            excess = self.pages(own) - self.pages() * own.weight // weights
            if own.weight and excess > 0:
                return stretch, min(stretch.pages, excess)
        return next(((stretch, stretch.pages) for stretch in self._stretches_of(client)), None)

    def _remove(self, stretch: Stretch, pages: int) -> None:
        stretch.pages -= pages
        stretch.pool.pages -= pages
        if not stretch.pages:
            self._stretches.remove(stretch)

    def offer(self, client: Client, pages: int, free: int, pool: Pool | None = None) -> int:
        """A guest lets go of clean pages; how many were taken.

        `free`: bytes of the host that no machine has, those that are lent included. Older pages make room.
        """
        pool, page = pool or client.clean, client.page
        pool.offered += pages
        if client.frozen:
            return 0
        fits = min(pages, max(0, min(free, client.cap * MIB or free)) // page)
        if client.cap:
            self.shrink(self.lent(client) + fits * page - client.cap * MIB, client)
        self.shrink(self.lent() + fits * page - free)
        pool.refused += pages - fits
        if fits:
            pool.add(fits)
            self._stretches.append(Stretch(client, pool, fits, page))
        return fits

    def recall(self, client: Client, pages: int, pool: Pool | None = None) -> int:
        """A guest looks for clean pages; how many it found. It takes them back, unless others share them."""
        pool = pool or client.clean
        found = min(pages, pool.pages)
        pool.wanted += pages
        pool.found += found
        left = 0 if pool.uuid else found
        for stretch in reversed([stretch for stretch in self._stretches if stretch.pool is pool]):
            back = min(left, stretch.pages)
            left -= back
            self._remove(stretch, back)
        return found

    @staticmethod
    def swap_out(client: Client, pages: int) -> int:
        """A guest swaps pages out; how many were taken (rule 3)."""
        pool, machine = client.swap, client.machine
        pool.offered += pages
        if client.frozen:
            return 0
        room = machine.memory - machine.state().memory_actual - client.swapped
        fits = min(pages, max(0, room) // client.page)
        pool.refused += pages - fits
        pool.add(fits)
        client.swapped += fits * client.page
        return fits

    @staticmethod
    def swap_in(client: Client, pages: int) -> int:
        """A guest swaps pages in, and gives up their copies; how many it found."""
        pool = client.swap
        found = min(pages, pool.pages)
        pool.wanted += pages
        pool.found += found
        client.swapped -= client.swapped * found // pool.pages if found else 0
        pool.pages -= found
        return found

    # Settings.

    def limit(self, client: Client, cap: int) -> None:
        """Set the cap of a client; what it has beyond it goes at once."""
        client.cap = cap
        if cap:
            self.shrink(self.lent(client) - cap * MIB, client)
