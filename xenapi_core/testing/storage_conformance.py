"""The conformance suite for SR drivers: passing it is what makes a class a storage back end (drivers/storage.py).

How to use it: write a StorageBench for your back end and run `check_storage(make)`, or each of CHECKS by itself under a
test runner. A check uses nothing but the driver's protocol and what the bench offers; it never asserts durations. A
check of a feature the type does not claim asks for it all the same, and expects "unsupported".
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol

from xenapi_core.drivers.storage import Storage, StorageBackend
from xenapi_core.testing.conformance import AnyBench, OneTrial, run

MIB: Final = 1 << 20


class StorageBench(AnyBench, Protocol):
    """What a check needs of the place where a driver is tried."""

    @property
    def backend(self) -> StorageBackend: ...

    @property
    def host(self) -> str:
        """uuid of a host that reaches the storage."""

    def config(self) -> Mapping[str, str]:
        """A device_config that leads to storage without a repository; a new place each time."""

    async def put(self, storage: Storage, size: int) -> str:
        """A volume that somebody else puts there; its uuid. Asked for only if the type lacks VDI_CREATE."""


Make = Callable[[], AbstractAsyncContextManager[StorageBench]]
Check = Callable[["Trial"], Awaitable[None]]


class Trial(OneTrial[StorageBench]):
    """A type of storage under trial."""

    def __init__(self, bench: StorageBench) -> None:
        super().__init__(bench)
        self.backend = bench.backend
        self.features = bench.backend.kind.features

    async def lacks(self, feature: str, awaitable: Awaitable[Any]) -> bool:
        """Whether the type has no such feature; then `awaitable` must be unsupported, otherwise it is dropped."""
        if feature in self.features:
            close = getattr(awaitable, "close", None)
            if close is not None:
                close()
            return False
        await self.refuses("unsupported", awaitable)
        return True

    async def repository(self) -> tuple[str, Storage, Mapping[str, str]]:
        """A new repository with the bench's host attached: its uuid, driver and device_config."""
        uuid, config = self.bench.uuid(), self.bench.config()
        if "SR_FORMAT" in self.features:
            await self.do(self.backend.create(uuid, self.bench.host, config, 0))
        storage = self.backend.open(uuid)
        await self.do(storage.attach(self.bench.host, config))
        return uuid, storage, config

    async def volume(self, storage: Storage, size: int = 64 * MIB) -> str:
        """A volume in it; its uuid."""
        if "VDI_CREATE" not in self.features:
            return await self.bench.put(storage, size)
        uuid = self.bench.uuid()
        await self.do(storage.create(uuid, size))
        return uuid

    async def listed(self, storage: Storage) -> set[str]:
        return {volume.uuid for volume in await self.do(storage.volumes())}


async def a_repository_is_made_found_and_erased(trial: Trial) -> None:
    uuid, config, host = trial.bench.uuid(), trial.bench.config(), trial.bench.host
    if await trial.lacks("SR_FORMAT", trial.backend.create(uuid, host, config, 0)):
        await trial.refuses("unsupported", trial.backend.destroy(uuid, host, config))
        return
    await trial.do(trial.backend.create(uuid, host, config, 0))
    if not await trial.lacks("SR_PROBE", trial.backend.probe(host, config)):
        found = await trial.do(trial.backend.probe(host, config))
        assert uuid in {one.repository for one in found}
        assert all(one.complete for one in found if one.repository)
    await trial.do(trial.backend.destroy(uuid, host, config))
    await trial.refuses("not_found", trial.backend.destroy(uuid, host, config))
    await trial.refuses("not_found", trial.backend.open(uuid).attach(host, config))
    if "SR_PROBE" in trial.features:
        assert uuid not in {one.repository for one in await trial.do(trial.backend.probe(host, config))}


async def a_configuration_that_lacks_a_key_is_refused(trial: Trial) -> None:
    if "SR_FORMAT" not in trial.features or not trial.backend.kind.required:
        return
    uuid, host = trial.bench.uuid(), trial.bench.host
    config = dict(trial.bench.config())
    del config[trial.backend.kind.required[0]]
    await trial.refuses("failed", trial.backend.create(uuid, host, config, 0))
    await trial.refuses("not_found", trial.backend.open(uuid).attach(host, config))


async def opening_gives_the_same_driver_each_time(trial: Trial) -> None:
    uuid, storage, _ = await trial.repository()
    assert trial.backend.open(uuid) is storage


async def attaching_and_detaching_twice_is_once(trial: Trial) -> None:
    _, storage, config = await trial.repository()
    await trial.do(storage.attach(trial.bench.host, config))
    uuid = await trial.volume(storage)
    path = await trial.do(storage.check_path(uuid, trial.bench.host))
    assert path
    await trial.do(storage.detach(trial.bench.host))
    await trial.do(storage.detach(trial.bench.host))
    await trial.refuses("offline", storage.check_path(uuid, trial.bench.host))
    await trial.do(storage.attach(trial.bench.host, config))
    assert await trial.listed(storage) == {uuid}


async def a_volume_is_attached_to_a_host_itself(trial: Trial) -> None:
    _, storage, _ = await trial.repository()
    uuid, host = await trial.volume(storage), trial.bench.host
    path = await trial.do(storage.attach_volume(uuid, host))
    assert path
    assert await trial.do(storage.attach_volume(uuid, host)) == path
    await trial.refuses("in_use", storage.detach(host))
    if "VDI_DELETE" in trial.features:
        await trial.refuses("in_use", storage.destroy(uuid))
    await trial.do(storage.detach_volume(uuid, host))
    await trial.do(storage.detach_volume(uuid, host))
    await trial.refuses("not_found", storage.attach_volume(trial.bench.uuid(), host))
    await trial.refuses("not_found", storage.detach_volume(trial.bench.uuid(), host))
    await trial.do(storage.detach(host))
    await trial.refuses("offline", storage.attach_volume(uuid, host))


async def an_attached_repository_is_not_erased(trial: Trial) -> None:
    uuid, storage, config = await trial.repository()
    if "SR_FORMAT" in trial.features:
        await trial.refuses("in_use", trial.backend.destroy(uuid, trial.bench.host, config))
        await trial.do(storage.usage())


async def a_volume_is_made_listed_and_destroyed(trial: Trial) -> None:
    _, storage, _ = await trial.repository()
    uuid = trial.bench.uuid()
    if await trial.lacks("VDI_CREATE", storage.create(uuid, MIB)):
        uuid = await trial.volume(storage)
    else:
        made = await trial.do(storage.create(uuid, 5 * MIB))
        assert made.virtual_size >= 5 * MIB
        assert made == await trial.do(storage.volume(uuid))
        await trial.refuses("exists", storage.create(uuid, MIB))
    assert await trial.listed(storage) == {uuid}
    if await trial.lacks("VDI_DELETE", storage.destroy(uuid)):
        return
    await trial.do(storage.destroy(uuid))
    assert await trial.listed(storage) == set()
    await trial.refuses("not_found", storage.destroy(uuid))


async def unknown_volumes_are_not_found(trial: Trial) -> None:
    _, storage, _ = await trial.repository()
    uuid = trial.bench.uuid()
    await trial.refuses("not_found", storage.volume(uuid))
    await trial.refuses("not_found", storage.traffic(uuid))
    await trial.refuses("not_found", storage.check_path(uuid, trial.bench.host))


async def a_volume_larger_than_the_repository_is_refused(trial: Trial) -> None:
    _, storage, _ = await trial.repository()
    size, _ = await trial.do(storage.usage())
    if "VDI_CREATE" in trial.features:
        await trial.refuses("no_space", storage.create(trial.bench.uuid(), size + MIB * 1024))
    assert await trial.listed(storage) == set()


async def what_is_in_use_never_exceeds_what_there_is(trial: Trial) -> None:
    _, storage, _ = await trial.repository()
    await trial.volume(storage)
    size, used = await trial.do(storage.usage())
    assert 0 <= used <= size


async def clones_and_snapshots_live_by_themselves(trial: Trial) -> None:
    _, storage, _ = await trial.repository()
    origin = await trial.volume(storage)
    made = {origin}
    for feature, branch in (("VDI_CLONE", storage.clone), ("VDI_SNAPSHOT", storage.snapshot)):
        uuid = trial.bench.uuid()
        if await trial.lacks(feature, branch(uuid, origin)):
            continue
        state = await trial.do(branch(uuid, origin))
        assert state.virtual_size == (await trial.do(storage.volume(origin))).virtual_size
        assert state.snapshot_of == (origin if feature == "VDI_SNAPSHOT" else "")
        made.add(uuid)
        await trial.refuses("not_found", branch(trial.bench.uuid(), trial.bench.uuid()))
        await trial.refuses("exists", branch(uuid, origin))
    assert await trial.listed(storage) == made
    if "VDI_DELETE" in trial.features:
        await trial.do(storage.destroy(origin))
        assert await trial.listed(storage) == made - {origin}


async def a_volume_goes_back_to_its_snapshot(trial: Trial) -> None:
    _, storage, _ = await trial.repository()
    origin, saved = await trial.volume(storage), trial.bench.uuid()
    if await trial.lacks("VDI_REVERT", storage.revert(origin, origin)):
        return
    before = await trial.do(storage.snapshot(saved, origin))
    if "VDI_RESIZE" in trial.features:
        await trial.do(storage.resize(origin, before.virtual_size * 2))
    after = await trial.do(storage.revert(origin, saved))
    assert (after.uuid, after.virtual_size) == (origin, before.virtual_size)
    assert await trial.listed(storage) == {origin, saved}
    await trial.refuses("not_found", storage.revert(origin, trial.bench.uuid()))


async def a_volume_grows_and_never_shrinks(trial: Trial) -> None:
    _, storage, _ = await trial.repository()
    uuid = await trial.volume(storage)
    if await trial.lacks("VDI_RESIZE", storage.resize(uuid, 128 * MIB)):
        return
    grown = await trial.do(storage.resize(uuid, 128 * MIB))
    assert grown.virtual_size >= 128 * MIB
    await trial.refuses("unsupported", storage.resize(uuid, 64 * MIB))
    await trial.refuses("not_found", storage.resize(trial.bench.uuid(), MIB))
    assert await trial.do(storage.volume(uuid)) == grown


async def a_copy_tells_its_progress(trial: Trial) -> None:
    repository, storage, _ = await trial.repository()
    source, uuid = await trial.volume(storage), trial.bench.uuid()
    if await trial.lacks("VDI_COPY", storage.copy(uuid, source, repository, trial.told.append)):
        return
    if "VDI_CREATE" not in trial.features:
        return  # it can be read, but not written
    copied = await trial.do(storage.copy(uuid, source, repository, trial.told.append))
    assert copied.virtual_size == (await trial.do(storage.volume(source))).virtual_size
    assert trial.told == sorted(trial.told)
    assert trial.told[-1] == 1.0
    unknown = trial.bench.uuid()
    await trial.refuses("not_found", storage.copy(trial.bench.uuid(), unknown, repository, trial.told.append))


async def a_cancelled_copy_leaves_nothing(trial: Trial) -> None:
    if not {"VDI_COPY", "VDI_CREATE"} <= trial.features:
        return
    repository, storage, _ = await trial.repository()
    source, uuid = await trial.volume(storage), trial.bench.uuid()
    copying = asyncio.ensure_future(storage.copy(uuid, source, repository, trial.told.append))
    await asyncio.wait({copying}, timeout=0)  # one turn of the loop: it has begun
    copying.cancel()
    await asyncio.gather(copying, return_exceptions=True)
    assert await trial.listed(storage) in ({source}, {source, uuid})
    assert copying.cancelled() == (await trial.listed(storage) == {source})


async def a_moved_volume_is_in_one_place(trial: Trial) -> None:
    first, source, _ = await trial.repository()
    _, target, _ = await trial.repository()
    uuid = await trial.volume(source)
    if await trial.lacks("VDI_MIRROR", target.move(uuid, first, trial.told.append)):
        return
    before = await trial.do(source.volume(uuid))
    moved = await trial.do(target.move(uuid, first, trial.told.append))
    assert (moved.uuid, moved.virtual_size) == (uuid, before.virtual_size)
    assert (await trial.listed(source), await trial.listed(target)) == (set(), {uuid})
    await trial.refuses("not_found", target.move(trial.bench.uuid(), first, trial.told.append))


async def what_is_written_is_read(trial: Trial) -> None:
    _, storage, _ = await trial.repository()
    uuid = await trial.volume(storage, 4 * MIB)
    if await trial.lacks("VDI_COPY", storage.read(uuid, 0, 512)):
        return
    end = (await trial.do(storage.volume(uuid))).virtual_size
    await trial.refuses("failed", storage.read(uuid, end - 1, 2))
    await trial.refuses("not_found", storage.read(trial.bench.uuid(), 0, 512))
    if await trial.lacks("VDI_CREATE", storage.write(uuid, 0, b"x")):
        return
    assert await trial.do(storage.read(uuid, MIB, 1000)) == bytes(1000)
    data = bytes(range(1, 256)) * 1024
    await trial.do(storage.write(uuid, MIB - 77, data))
    await trial.do(storage.write(uuid, MIB, b"over"))
    wanted = bytearray(bytes(77) + data + bytes(77))
    wanted[77 + 77 : 77 + 77 + 4] = b"over"
    assert await trial.do(storage.read(uuid, MIB - 154, len(wanted))) == wanted
    extents = await trial.do(storage.extents(uuid))
    assert extents == sorted(extents)
    assert all(0 <= offset < offset + size <= end for offset, size in extents)
    holding = [(offset, offset + size) for offset, size in extents]
    assert any(start <= MIB - 77 and MIB - 77 + len(data) <= stop for start, stop in holding)
    await trial.refuses("failed", storage.write(uuid, end - 1, b"xy"))
    await trial.do(storage.write(uuid, end - 1, b"x"))
    assert await trial.do(storage.read(uuid, end - 2, 2)) == b"\0x"


async def copies_have_bytes_of_their_own(trial: Trial) -> None:
    if not {"VDI_COPY", "VDI_CREATE", "VDI_DELETE"} <= trial.features:
        return
    repository, storage, _ = await trial.repository()
    source = await trial.volume(storage)
    await trial.do(storage.write(source, 0, b"first"))
    copied, made = trial.bench.uuid(), []
    await trial.do(storage.copy(copied, source, repository, trial.told.append))
    made.append(copied)
    for feature, make in (("VDI_CLONE", storage.clone), ("VDI_SNAPSHOT", storage.snapshot)):
        if feature in trial.features:
            made.append(trial.bench.uuid())
            await trial.do(make(made[-1], source))
    await trial.do(storage.write(source, 0, b"later"))
    for uuid in made:
        assert await trial.do(storage.read(uuid, 0, 5)) == b"first"
    if {"VDI_SNAPSHOT", "VDI_REVERT"} <= trial.features:
        await trial.do(storage.revert(source, made[-1]))
        assert await trial.do(storage.read(source, 0, 5)) == b"first"
    await trial.do(storage.destroy(source))
    for uuid in made:
        assert await trial.do(storage.read(uuid, 0, 5)) == b"first"
    if "VDI_MIRROR" in trial.features:
        _, target, _ = await trial.repository()
        await trial.do(target.move(copied, repository, trial.told.append))
        assert await trial.do(target.read(copied, 0, 5)) == b"first"


async def what_was_written_since_a_snapshot_is_named(trial: Trial) -> None:
    _, storage, _ = await trial.repository()
    uuid = await trial.volume(storage, 4 * MIB)
    if await trial.lacks("VDI_CONFIG_CBT", storage.track_changes(uuid, True)):
        await trial.refuses("unsupported", storage.changed(uuid, uuid))
        await trial.refuses("unsupported", storage.drop_data(uuid))
        return
    first, second = trial.bench.uuid(), trial.bench.uuid()
    await trial.do(storage.track_changes(uuid, True))
    await trial.do(storage.track_changes(uuid, True))
    await trial.do(storage.snapshot(first, uuid))
    assert await trial.do(storage.changed(first, uuid)) == []
    await trial.do(storage.write(uuid, MIB, b"written"))
    await trial.do(storage.snapshot(second, uuid))
    await trial.do(storage.write(uuid, 3 * MIB, b"written"))
    for older, newer, places in ((first, second, [MIB]), (second, uuid, [3 * MIB]), (first, uuid, [MIB, 3 * MIB])):
        told = await trial.do(storage.changed(older, newer))
        assert told == sorted(told)
        assert all(any(at <= place < at + size for at, size in told) for place in places)
    dropped = await trial.do(storage.drop_data(first))
    assert dropped.virtual_size == (await trial.do(storage.volume(second))).virtual_size
    told = await trial.do(storage.changed(first, second))
    assert any(at <= MIB < at + size for at, size in told)
    await trial.do(storage.destroy(second))
    told = await trial.do(storage.changed(first, uuid))
    assert all(any(at <= place < at + size for at, size in told) for place in (MIB, 3 * MIB))
    await trial.do(storage.track_changes(uuid, False))
    await trial.refuses("failed", storage.changed(first, uuid))
    await trial.refuses("not_found", storage.track_changes(trial.bench.uuid(), True))


async def traffic_only_grows(trial: Trial) -> None:
    repository, storage, _ = await trial.repository()
    uuid = await trial.volume(storage)
    before = await trial.do(storage.traffic(uuid))
    if {"VDI_COPY", "VDI_CREATE"} <= trial.features:
        await trial.do(storage.copy(trial.bench.uuid(), uuid, repository, trial.told.append))
    after = await trial.do(storage.traffic(uuid))
    assert after.bytes_read >= before.bytes_read >= 0
    assert after.bytes_written >= before.bytes_written >= 0
    assert (after.reads >= before.reads, after.writes >= before.writes) == (True, True)


CHECKS: Final[tuple[Check, ...]] = (
    a_repository_is_made_found_and_erased,
    a_configuration_that_lacks_a_key_is_refused,
    opening_gives_the_same_driver_each_time,
    attaching_and_detaching_twice_is_once,
    a_volume_is_attached_to_a_host_itself,
    an_attached_repository_is_not_erased,
    a_volume_is_made_listed_and_destroyed,
    unknown_volumes_are_not_found,
    a_volume_larger_than_the_repository_is_refused,
    what_is_in_use_never_exceeds_what_there_is,
    clones_and_snapshots_live_by_themselves,
    a_volume_goes_back_to_its_snapshot,
    a_volume_grows_and_never_shrinks,
    a_copy_tells_its_progress,
    a_cancelled_copy_leaves_nothing,
    a_moved_volume_is_in_one_place,
    what_is_written_is_read,
    copies_have_bytes_of_their_own,
    what_was_written_since_a_snapshot_is_named,
    traffic_only_grows,
)


async def run_check(check: Check, make: Make) -> None:
    """One check on a bench of its own. AssertionError says what the driver does wrong."""
    await run((check,), make, Trial)


async def check_storage(make: Make) -> None:
    """All checks, each on a bench of its own; the first failure ends it."""
    await run(CHECKS, make, Trial)
