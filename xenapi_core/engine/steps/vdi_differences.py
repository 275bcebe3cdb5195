"""Reads disks piece by piece, and finds where two of them differ.

Rule 1: disks are compared by their bytes, so it does not matter whether one is a copy of the other, or who kept track.
Rule 2: everybody else has a turn between two pieces.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from xenapi_core.drivers.storage import PIECE
from xenapi_core.engine.plan import Run
from xenapi_core.store.api import Version

BLOCK: Final = 64 << 10  # disks are compared in blocks of this many bytes


async def pieces(run: Run, stretches: list[tuple[int, int]]) -> AsyncIterator[tuple[int, int]]:
    """(offset, size) of at most PIECE bytes in order, each byte once."""
    done = 0
    for start, length in sorted(stretches):
        offset, end = max(start, done), start + length
        while offset < end:
            size = min(PIECE, end - offset)
            yield offset, size
            await run.world.clock.sleep(0)
            offset += size
        done = max(done, end)


async def differing(run: Run, record: Version, base: Version) -> AsyncIterator[tuple[int, bytes]]:
    """(offset, bytes) of the blocks of `record` that are not those of `base`; beyond its end, `base` is zeros."""
    source, other, size = run.storage(record["SR"]), run.storage(base["SR"]), record["virtual_size"]
    both = (*await source.extents(record["uuid"]), *await other.extents(base["uuid"]))
    async for offset, length in pieces(run, [(at, min(length, size - at)) for at, length in both if at < size]):
        new = await source.read(record["uuid"], offset, length)
        there = max(0, min(length, base["virtual_size"] - offset))
        old = (await other.read(base["uuid"], offset, there) if there else b"").ljust(length, b"\0")
        for at in range(0, length, BLOCK):
            if new[at : at + BLOCK] != old[at : at + BLOCK]:
                yield offset + at, new[at : at + BLOCK]
