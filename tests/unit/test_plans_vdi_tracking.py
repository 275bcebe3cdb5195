"""Changed blocks: what a backup is told to copy, from the first snapshot on."""

from __future__ import annotations

import base64
import random
from typing import Any

import pytest
from sim_api import ask, refused

from xenapi_core.drivers.sim.changes import GRAIN
from xenapi_core.drivers.sim.contents import Contents
from xenapi_core.engine.plans.vdi_tracking import BLOCK, bitmap
from xenapi_core.testing.pool import GIB, SimPool, sim_pool

MIB = 1 << 20


async def write(pool: SimPool, vdi: str, block: int, data: bytes = b"x") -> None:
    await pool.sim.storage(pool.store.get(pool.sr)["uuid"]).write(pool.store.get(vdi)["uuid"], block * BLOCK, data)


async def changed(pool: SimPool, older: str, newer: str) -> set[int]:
    """Numbers of the blocks that the bitmap names."""
    told = base64.b64decode(await ask(pool, "VDI.list_changed_blocks", older, newer))
    assert len(told) == -(-pool.store.get(newer)["virtual_size"] // BLOCK // 8)
    return {8 * at + bit for at, byte in enumerate(told) for bit in range(8) if byte & (0x80 >> bit)}


async def tracked(pool: SimPool, **values: Any) -> str:
    vdi = pool.add_vdi(16 * MIB, **values)
    await ask(pool, "VDI.enable_cbt", vdi)
    return vdi


async def test_blocks_written_between_two_snapshots_are_named() -> None:
    async with sim_pool() as pool:
        vdi = await tracked(pool)
        await write(pool, vdi, 1)
        first = await ask(pool, "VDI.snapshot", vdi)
        await write(pool, vdi, 3, b"y" * (2 * BLOCK))
        await write(pool, vdi, 9)
        second = await ask(pool, "VDI.snapshot", vdi)
        await write(pool, vdi, 200)
        assert await changed(pool, first, second) == {3, 4, 9}
        assert await changed(pool, first, vdi) == {3, 4, 9, 200}
        assert await changed(pool, second, vdi) == {200}
        assert await changed(pool, first, first) == set()
        assert (await refused(pool, "VDI.list_changed_blocks", second, first))[0] == "SR_BACKEND_FAILURE"
        assert pool.store.get(second)["cbt_enabled"]
        assert not pool.store.get(await ask(pool, "VDI.clone", vdi))["cbt_enabled"]


async def test_what_a_running_vm_writes_is_named() -> None:
    async with sim_pool() as pool:
        vm = await pool.running()
        (vbd,) = pool.store.related(vm, "VBDs")
        vdi = pool.store.get(vbd)["VDI"]
        await ask(pool, "VDI.enable_cbt", vdi)
        before = await ask(pool, "VDI.snapshot", vdi)
        volume = pool.sim.find_volume(pool.store.get(vdi)["uuid"])
        assert volume is not None
        used = volume.used
        pool.sim.guest(pool.vm(vm)["uuid"]).fill(pool.store.get(vdi)["uuid"], 2 * MIB)
        after = await ask(pool, "VDI.snapshot", vdi)
        assert await changed(pool, before, after) == set(range(used // BLOCK, used // BLOCK + 32))
        assert (await refused(pool, "VDI.list_changed_blocks", before, vdi))[:2] == ["VDI_IN_USE", vdi]
        snapshot = await ask(pool, "VM.snapshot", vm, "saved")
        (disk,) = (pool.store.get(ref)["VDI"] for ref in pool.store.related(snapshot, "VBDs"))
        assert await changed(pool, after, disk) == set()
        assert (await refused(pool, "VDI.data_destroy", disk)) == ["VDI_IN_USE", disk, "data_destroy"]


async def test_snapshot_without_data_is_still_compared_with() -> None:
    async with sim_pool() as pool:
        vdi = await tracked(pool)
        await write(pool, vdi, 0, b"z" * MIB)
        first = await ask(pool, "VDI.snapshot", vdi)
        await write(pool, vdi, 5)
        second = await ask(pool, "VDI.snapshot", vdi)
        before = pool.store.get(pool.sr)["virtual_allocation"]
        await ask(pool, "VDI.data_destroy", first)
        await ask(pool, "VDI.data_destroy", first)
        left = pool.store.get(first)
        assert (left["type"], left["physical_utilisation"], left["is_a_snapshot"]) == ("cbt_metadata", 0, True)
        assert pool.store.get(pool.sr)["virtual_allocation"] == before
        assert pool.sim.contents.written(left["uuid"]) == 0
        assert await changed(pool, first, second) == {5}
        for operation in ("clone", "copy", "checksum"):
            args = [] if operation != "copy" else [pool.sr]
            told = await refused(pool, f"VDI.{operation}", first, *args)
            assert told == ["VDI_INCOMPATIBLE_TYPE", first, "cbt_metadata"]
        allowed = await ask(pool, "VDI.get_allowed_operations", first)
        assert set(allowed) == {"data_destroy", "destroy", "forget", "list_changed_blocks", "update"}


async def test_chain_does_not_break_where_a_snapshot_is_destroyed() -> None:
    async with sim_pool() as pool:
        vdi = await tracked(pool)
        snapshots = []
        for block in (1, 2, 3):
            await write(pool, vdi, block)
            snapshots.append(await ask(pool, "VDI.snapshot", vdi))
        await ask(pool, "VDI.destroy", snapshots[1])
        assert await changed(pool, snapshots[0], snapshots[2]) == {2, 3}
        await ask(pool, "VDI.disable_cbt", vdi)
        assert await changed(pool, snapshots[0], snapshots[2]) == {2, 3}
        assert (await refused(pool, "VDI.list_changed_blocks", snapshots[2], vdi)) == ["VDI_NO_CBT_METADATA", vdi]
        await ask(pool, "VDI.enable_cbt", vdi)
        assert (await refused(pool, "VDI.list_changed_blocks", snapshots[2], vdi))[0] == "SR_BACKEND_FAILURE"


async def test_disk_that_went_back_differs_where_its_snapshots_do() -> None:
    async with sim_pool() as pool:
        vdi = await tracked(pool)
        first = await ask(pool, "VDI.snapshot", vdi)
        await write(pool, vdi, 7)
        second = await ask(pool, "VDI.snapshot", vdi)
        await write(pool, vdi, 8)
        await ask(pool, "VDI.revert", first)
        assert await changed(pool, second, vdi) == {7}


@pytest.mark.parametrize(
    ("values", "operation", "code"),
    [
        ({"type": "suspend"}, "enable_cbt", "VDI_INCOMPATIBLE_TYPE"),
        ({"is_a_snapshot": True}, "enable_cbt", "OPERATION_NOT_ALLOWED"),
        ({"is_a_snapshot": True}, "disable_cbt", "OPERATION_NOT_ALLOWED"),
        ({"on_boot": "reset"}, "enable_cbt", "VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION"),
        ({"cbt_enabled": True}, "data_destroy", "OPERATION_NOT_ALLOWED"),
        ({"is_a_snapshot": True}, "data_destroy", "VDI_NO_CBT_METADATA"),
    ],
)
async def test_what_cannot_be_tracked_is_refused(values: dict[str, Any], operation: str, code: str) -> None:
    async with sim_pool() as pool:
        vdi = pool.add_vdi(**values)
        assert (await refused(pool, f"VDI.{operation}", vdi))[0] == code


async def test_tracked_disk_neither_moves_nor_forgets() -> None:
    async with sim_pool() as pool:
        vm = await pool.running()
        (vbd,) = pool.store.related(vm, "VBDs")
        vdi, other = pool.store.get(vbd)["VDI"], pool.add_sr("other", 100 * GIB)
        await ask(pool, "VDI.enable_cbt", vdi)
        assert await refused(pool, "VDI.pool_migrate", vdi, other, {}) == ["VDI_CBT_ENABLED", vdi]
        await pool.call("VM.hard_shutdown", vm)
        assert await refused(pool, "VDI.set_on_boot", vdi, "reset") == ["VDI_CBT_ENABLED", vdi]


def test_first_block_is_the_highest_bit() -> None:
    assert bitmap([(0, BLOCK), (9 * BLOCK, 2 * BLOCK)], 12) == bytes([0b10000000, 0b01100000])
    assert bitmap([(11 * BLOCK, 5 * BLOCK)], 12) == bytes([0, 0b00010000])
    assert bitmap([], 0) == b""


def test_any_history_names_every_block_that_differs() -> None:
    """Against a model that keeps whole disks: too much may be told, never too little, and nothing nobody wrote."""
    chance, contents = random.Random(11), Contents()
    log, size = contents.changes, 40
    log.begin("disk")
    disks, alive, serial = {"disk": [0] * size}, ["disk"], 0
    touched: dict[str, set[int]] = {"disk": set()}  # since the snapshots at which the disk was last the same
    for step in range(300):
        act = chance.random()
        if act < 0.6:
            first = chance.randrange(size)
            last = min(size - 1, first + chance.choice((0, 0, 3)))
            log.note("disk", first * GRAIN, (last - first + 1) * GRAIN)
            disks["disk"][first : last + 1] = [step + 1] * (last - first + 1)
            touched["disk"] |= set(range(first, last + 1))
        elif act < 0.8:
            serial += 1
            name = f"s{serial}"
            log.branch(name, "disk")
            disks[name] = list(disks["disk"])
            alive.append(name)
            touched[name], touched["disk"] = touched["disk"], set()
        elif act < 0.9 and len(alive) > 2:
            gone = chance.choice(alive[1:])
            after = alive[alive.index(gone) + 1] if gone != alive[-1] else "disk"
            touched[after] |= touched.pop(gone)
            alive.remove(gone)
            log.drop(gone)
        elif len(alive) > 1:
            target = chance.choice(alive[1:])
            log.revert("disk", target, size * GRAIN)
            disks["disk"] = list(disks[target])
            later = alive[alive.index(target) + 1 :]
            touched["disk"] = set().union(*(touched[name] for name in later))
        order = [*alive[1:], "disk"]
        older = chance.choice(order)
        newer = chance.choice(order[order.index(older) :])
        told = {
            block
            for at, length in log.between(older, newer) or ()
            for block in range(at // GRAIN, (at + length) // GRAIN)
        }
        steps = order[order.index(older) + 1 : order.index(newer) + 1]
        assert {n for n in range(size) if disks[older][n] != disks[newer][n]} <= told
        assert told == set().union(*(touched[name] for name in steps))
    contents.close()


def test_changes_are_remembered_by_the_file(tmp_path: Any) -> None:
    contents = Contents(tmp_path / "disks")
    contents.changes.begin("a")
    contents.changes.branch("s", "a")
    contents.changes.note("a", GRAIN, 1)
    contents.close()
    again = Contents(tmp_path / "disks")
    assert again.changes.between("s", "a") == [(GRAIN, GRAIN)]
    again.keep(["a"])
    assert again.changes.volumes() == {"a"}
    again.close()
