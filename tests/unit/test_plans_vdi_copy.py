"""Copies of disks: in full, of what differs, and into disks that were there before; and their checksums."""

from __future__ import annotations

from sim_api import ask, refused

from xenapi_core.ids import NULL_REF
from xenapi_core.testing.pool import SimPool, sim_pool

MIB = 1 << 20
BLOCK = 64 << 10


async def disk(pool: SimPool, size: int = 4 * MIB, sr: str | None = None, **blocks: bytes) -> str:
    """A disk with something at the beginning of blocks: b3=b"x" for block 3."""
    vdi = pool.add_vdi(size, sr)
    storage = pool.sim.storage(pool.store.get(pool.store.get(vdi)["SR"])["uuid"])
    for name, data in blocks.items():
        await storage.write(pool.store.get(vdi)["uuid"], int(name[1:]) * BLOCK, data)
    return vdi


async def held(pool: SimPool, vdi: str) -> dict[int, bytes]:
    """What the blocks of a disk begin with, without those that hold nothing."""
    values = pool.store.get(vdi)
    storage = pool.sim.storage(pool.store.get(values["SR"])["uuid"])
    found = {}
    for number in range(values["virtual_size"] // BLOCK):
        data = (await storage.read(values["uuid"], number * BLOCK, BLOCK)).rstrip(b"\0")
        if data:
            found[number] = data
    return found


async def test_copy_into_a_disk_replaces_what_it_held() -> None:
    async with sim_pool() as pool:
        other = pool.add_sr("other", 1 << 30)
        source = await disk(pool, b1=b"one", b40=b"forty")
        target = await disk(pool, 8 * MIB, other, b2=b"two", b100=b"hundred")
        assert await ask(pool, "VDI.copy", source, NULL_REF, NULL_REF, target) == target
        assert await held(pool, target) == {1: b"one", 40: b"forty"}
        assert pool.store.get(target)["virtual_size"] == 8 * MIB
        assert pool.store.get(target)["physical_utilisation"] > 0


async def test_differences_alone_are_written() -> None:
    async with sim_pool() as pool:
        base = await disk(pool, b1=b"one", b2=b"two", b3=b"three")
        source = await disk(pool, b1=b"one", b2=b"TWO", b9=b"nine")
        target = await disk(pool, b1=b"mine", b3=b"three", b30=b"kept")
        await ask(pool, "VDI.copy", source, NULL_REF, base, target)
        assert await held(pool, target) == {1: b"mine", 2: b"TWO", 9: b"nine", 30: b"kept"}
        new = await ask(pool, "VDI.copy", source, pool.sr, base)
        assert await held(pool, new) == {2: b"TWO", 9: b"nine"}
        assert pool.store.get(new)["virtual_size"] == 4 * MIB


async def test_base_smaller_than_the_disk_differs_beyond_its_end() -> None:
    async with sim_pool() as pool:
        base = await disk(pool, 2 * MIB, b0=b"same", b31=b"last")
        source = await disk(pool, b0=b"same", b31=b"last", b32=b"beyond")
        assert await held(pool, await ask(pool, "VDI.copy", source, pool.sr, base)) == {32: b"beyond"}


async def test_snapshot_and_its_differences_make_the_disk_again() -> None:
    """What an incremental backup does: the blocks that tracking names are those that a copy of differences writes."""
    async with sim_pool() as pool:
        vdi = await disk(pool, b1=b"one", b2=b"two")
        backup = await ask(pool, "VDI.copy", vdi, pool.sr)
        before = await ask(pool, "VDI.snapshot", vdi)
        storage, uuid = pool.sim.storage(pool.store.get(pool.sr)["uuid"]), pool.store.get(vdi)["uuid"]
        await storage.write(uuid, 2 * BLOCK, bytes(3))
        await storage.write(uuid, 5 * BLOCK, b"five")
        after = await ask(pool, "VDI.snapshot", vdi)
        await ask(pool, "VDI.copy", after, NULL_REF, before, backup)
        assert await held(pool, backup) == await held(pool, vdi) == {1: b"one", 5: b"five"}
        assert await ask(pool, "VDI.checksum", backup) == await ask(pool, "VDI.checksum", vdi)
        assert await ask(pool, "VDI.checksum", backup) != await ask(pool, "VDI.checksum", before)


async def test_checksum_is_of_what_is_there_and_not_of_how_it_is_kept() -> None:
    async with sim_pool() as pool:
        one = await disk(pool, b1=b"x" * 100, b8=b"y")
        same, moved = await disk(pool, 8 * MIB, b1=b"x" * 100, b8=b"y"), await disk(pool, b1=b"x" * 100, b9=b"y")
        storage = pool.sim.storage(pool.store.get(pool.sr)["uuid"])
        await storage.write(pool.store.get(same)["uuid"], 20 * BLOCK, b"z")
        await storage.write(pool.store.get(same)["uuid"], 20 * BLOCK, b"\0")
        sums = [await ask(pool, "VDI.checksum", vdi) for vdi in (one, same, moved, await disk(pool))]
        assert sums[0] == sums[1]
        assert len(set(sums)) == 3
        assert all(len(bytes.fromhex(text)) == 16 for text in sums)


async def test_copy_into_an_unfit_disk_is_refused() -> None:
    async with sim_pool() as pool:
        source, target = await disk(pool), await disk(pool)
        small, used = pool.add_vdi(MIB), pool.add_vdi(read_only=True)

        async def into(vdi: str, sr: str = NULL_REF) -> list[str]:
            return await refused(pool, "VDI.copy", source, sr, NULL_REF, vdi)

        assert await into(small) == ["VDI_TOO_SMALL", small, str(4 * MIB)]
        assert await into(used) == ["VDI_READONLY", used]
        assert await into(source) == ["INVALID_VALUE", "into_vdi", source]
        assert await into(target, pool.iso) == ["INVALID_VALUE", "sr", pool.iso]
        vm = await pool.running()
        (vbd,) = pool.store.related(vm, "VBDs")
        busy = pool.store.get(vbd)["VDI"]
        assert (await into(busy))[:2] == ["VDI_IN_USE", busy]
        assert (await refused(pool, "VDI.copy", source, pool.sr, busy))[:2] == ["VDI_IN_USE", busy]
        assert (await refused(pool, "VDI.checksum", busy))[:2] == ["VDI_IN_USE", busy]
