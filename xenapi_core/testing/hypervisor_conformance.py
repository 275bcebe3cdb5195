"""The conformance suite for hypervisor drivers: passing it is what makes a class a driver (drivers/api.py).

How to use it: write a Bench for your driver and run `check_hypervisor(make)`, or each of CHECKS by itself under a
test runner. A check uses nothing but the driver's protocol and what the Bench offers; it never asserts durations.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Final, Protocol

from xenapi_core.drivers.api import (
    DiskSpec,
    DomainEvent,
    DomainSpec,
    DomainState,
    Gone,
    HostEvent,
    Hypervisor,
    NicSpec,
    PowerState,
)
from xenapi_core.testing.clock_conformance import (
    a_clock_is_set_while_no_server_is_followed,
    variants_of_device_drivers_are_selected_by_name,
)
from xenapi_core.testing.conformance import AnyBench, OneTrial, run
from xenapi_core.testing.cpu_pool_conformance import (
    machines_run_in_the_pool_they_were_given,
    processors_are_divided_among_pools,
)
from xenapi_core.testing.domain_conformance import (
    a_crashed_guest_leaves_its_machine_until_it_is_told_what_comes_next,
    a_renewed_machine_runs_on_in_a_new_domain,
    a_sleeping_guest_keeps_its_machine_and_wakes,
    dumps_of_the_host_are_listed_and_read,
    saved_memory_can_become_another_machines,
)
from xenapi_core.testing.host_power_conformance import (
    a_fenced_host_loses_what_runs_and_comes_back,
    an_empty_host_can_be_restarted,
)
from xenapi_core.testing.tmem_conformance import kernels_that_ask_for_it_use_transcendent_memory

MIB: Final = 1 << 20


class Bench(AnyBench, Protocol):
    """What a check needs of the place where a driver is tried."""

    @property
    def hypervisor(self) -> Hypervisor: ...

    async def volume(self, size: int) -> str:
        """A new volume of `size` bytes; its uuid."""

    async def poweroff(self, machine: str) -> None:
        """The guest of `machine` powers off by itself."""

    async def crash(self, machine: str) -> None:
        """The kernel of the guest of `machine` panics."""

    async def neighbour(self) -> Hypervisor:
        """Another host that reaches the same volumes; asked for if the driver offers live_migrate."""


Make = Callable[[], AbstractAsyncContextManager[Bench]]
Check = Callable[["Trial"], Awaitable[None]]


class Trial(OneTrial[Bench]):
    """A host under trial."""

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench)
        self.driver = bench.hypervisor

    async def spec(self, memory: int = 256 * MIB) -> DomainSpec:
        """A small machine with one disk and one NIC."""
        volume = await self.do(self.bench.volume(64 * MIB))
        return DomainSpec(
            uuid=self.bench.uuid(),
            name="conformance",
            memory_static_max=memory,
            memory_dynamic_min=memory,
            memory_dynamic_max=memory,
            vcpus_max=1,
            vcpus=1,
            domain_type="pv",
            disks=(DiskSpec(self.bench.uuid(), volume, "0", "Disk", False, bootable=True),),
            nics=(NicSpec(self.bench.uuid(), self.bench.uuid(), "0", "02:00:00:00:00:01", 1500),),
        )

    async def start(self, spec: DomainSpec | None = None, paused: bool = False) -> DomainState:
        spec = spec or await self.spec()
        return await self.do(self.driver.create(spec, paused, self.told.append))

    async def find(self, uuid: str) -> DomainState | None:
        return next((state for state in await self.do(self.driver.domains()) if state.uuid == uuid), None)

    async def free(self, driver: Hypervisor | None = None) -> int:
        return (await self.do((driver or self.driver).capabilities())).memory_free

    async def offers(self, feature: str) -> bool:
        """Whether the driver says it can; a check of what it cannot is passed."""
        return feature in (await self.do(self.driver.capabilities())).features

    async def next_event(self, events: AsyncIterator[DomainEvent | HostEvent], machine: str) -> DomainEvent:
        """The next event of that machine."""
        while True:
            event = await self.do(_first(events))
            if isinstance(event, DomainEvent) and event.uuid == machine:
                return event


async def _first(events: AsyncIterator[DomainEvent | HostEvent]) -> DomainEvent | HostEvent:
    return await anext(events)


async def a_created_machine_runs_and_is_listed(t: Trial) -> None:
    spec = await t.spec()
    state = await t.start(spec)
    assert (state.uuid, state.power_state, state.vcpus) == (spec.uuid, PowerState.RUNNING, 1)
    assert state.domid > 0
    assert {disk.uuid for disk in state.disks} == {disk.uuid for disk in spec.disks}
    assert {nic.uuid for nic in state.nics} == {nic.uuid for nic in spec.nics}
    listed = await t.find(spec.uuid)
    assert listed is not None
    assert (listed.domid, listed.power_state) == (state.domid, PowerState.RUNNING)


async def progress_grows_to_one(t: Trial) -> None:
    await t.start()
    assert t.told == sorted(t.told)
    assert t.told[-1] == 1.0
    assert all(0 <= fraction <= 1 for fraction in t.told)


async def a_machine_created_paused_waits_for_unpause(t: Trial) -> None:
    state = await t.start(paused=True)
    assert state.power_state is PowerState.PAUSED
    await t.do(t.driver.unpause(state.uuid))
    found = await t.find(state.uuid)
    assert found is not None
    assert found.power_state is PowerState.RUNNING


async def a_machine_cannot_be_created_twice(t: Trial) -> None:
    spec = await t.spec()
    await t.start(spec)
    await t.refuses("exists", t.driver.create(spec, False, t.told.append))


async def memory_is_taken_and_given_back(t: Trial) -> None:
    before = await t.free()
    state = await t.start()
    assert await t.free() <= before - 256 * MIB
    await t.do(t.driver.destroy(state.uuid))
    assert await t.free() == before


async def a_machine_larger_than_free_memory_is_refused(t: Trial) -> None:
    free = await t.free()
    spec = await t.spec(memory=free + 512 * MIB)
    await t.refuses("no_memory", t.driver.create(spec, False, t.told.append))
    assert await t.find(spec.uuid) is None
    assert await t.free() == free


async def a_missing_volume_is_not_found(t: Trial) -> None:
    spec = await t.spec()
    spec = replace(spec, disks=(replace(spec.disks[0], volume=t.bench.uuid()),))
    await t.refuses("not_found", t.driver.create(spec, False, t.told.append))
    assert await t.find(spec.uuid) is None


async def two_machines_write_to_a_volume_only_if_it_is_shared(t: Trial) -> None:
    first, second = await t.spec(), await t.spec()
    await t.start(first)
    second = replace(second, disks=(replace(second.disks[0], volume=first.disks[0].volume),))
    await t.refuses("in_use", t.driver.create(second, False, t.told.append))
    disk = replace((await t.spec()).disks[0], shared=True)
    for _ in range(2):
        state = await t.start(replace(await t.spec(), disks=(replace(disk, uuid=t.bench.uuid()),)))
        assert [known.volume for known in state.disks] == [disk.volume]


async def a_cancelled_create_leaves_nothing(t: Trial) -> None:
    spec = await t.spec()
    free = await t.free()
    creation = asyncio.ensure_future(t.driver.create(spec, False, t.told.append))
    await asyncio.wait({creation}, timeout=0)  # one turn of the loop: it has begun
    creation.cancel()
    await asyncio.gather(creation, return_exceptions=True)
    assert creation.cancelled(), "create is not over after one turn of the loop"
    assert await t.find(spec.uuid) is None
    assert await t.free() == free
    await t.start(spec)


async def pause_and_unpause_want_the_right_state(t: Trial) -> None:
    state = await t.start()
    await t.refuses("bad_state", t.driver.unpause(state.uuid))
    await t.do(t.driver.pause(state.uuid))
    await t.refuses("bad_state", t.driver.pause(state.uuid))
    found = await t.find(state.uuid)
    assert found is not None
    assert (found.power_state, found.domid) == (PowerState.PAUSED, state.domid)


async def unknown_machines_are_not_found(t: Trial) -> None:
    nobody = t.bench.uuid()
    spec = await t.spec()
    image = await t.do(t.bench.volume(512 * MIB))
    for call in (
        t.driver.destroy(nobody),
        t.driver.pause(nobody),
        t.driver.unpause(nobody),
        t.driver.shutdown(nobody),
        t.driver.reboot(nobody, spec),
        t.driver.reset(nobody, spec),
        t.driver.suspend(nobody, image, t.told.append),
        t.driver.detach_disk(nobody, t.bench.uuid(), False),
        t.driver.attach_nic(nobody, spec.nics[0]),
    ):
        await t.refuses("not_found", call)


async def shutdown_waits_for_the_end(t: Trial) -> None:
    state = await t.start()
    await t.do(t.driver.shutdown(state.uuid))
    assert await t.find(state.uuid) is None


async def a_paused_machine_cannot_be_asked(t: Trial) -> None:
    state = await t.start(paused=True)
    await t.refuses("bad_state", t.driver.shutdown(state.uuid))


async def reboot_and_reset_make_a_new_domain(t: Trial) -> None:
    spec = await t.spec()
    first = await t.start(spec)
    larger = replace(spec, vcpus_max=2, vcpus=2)
    second = await t.do(t.driver.reboot(spec.uuid, larger))
    assert second.domid != first.domid
    assert second.vcpus == 2
    third = await t.do(t.driver.reset(spec.uuid, spec))
    assert third.domid not in (first.domid, second.domid)
    assert third.power_state is PowerState.RUNNING


async def suspend_and_resume_keep_the_machine(t: Trial) -> None:
    spec = await t.spec()
    await t.start(spec)
    image = await t.do(t.bench.volume(512 * MIB))
    await t.do(t.driver.suspend(spec.uuid, image, t.told.append))
    assert await t.find(spec.uuid) is None
    state = await t.do(t.driver.resume(spec, image, False, t.told.append))
    assert state.power_state is PowerState.RUNNING
    assert {disk.uuid for disk in state.disks} == {disk.uuid for disk in spec.disks}


async def an_image_that_is_too_small_is_refused(t: Trial) -> None:
    state = await t.start()
    image = await t.do(t.bench.volume(16 * MIB))
    await t.refuses("no_space", t.driver.suspend(state.uuid, image, t.told.append))
    assert await t.find(state.uuid) is not None


async def only_a_running_machine_is_suspended(t: Trial) -> None:
    state = await t.start(paused=True)
    image = await t.do(t.bench.volume(512 * MIB))
    await t.refuses("bad_state", t.driver.suspend(state.uuid, image, t.told.append))


async def an_empty_volume_cannot_be_resumed_from(t: Trial) -> None:
    spec = await t.spec()
    image = await t.do(t.bench.volume(512 * MIB))
    await t.refuses("not_found", t.driver.resume(spec, image, False, t.told.append))


async def a_saved_machine_is_found_in_its_image(t: Trial) -> None:
    spec = await t.spec()
    await t.start(spec)
    image = await t.do(t.bench.volume(512 * MIB))
    assert await t.do(t.driver.saved_in(image)) is None
    await t.do(t.driver.suspend(spec.uuid, image, t.told.append))
    assert await t.do(t.driver.saved_in(image)) == spec.uuid
    assert await t.do(t.driver.saved_in(t.bench.uuid())) is None


async def a_migrated_machine_runs_on_over_there(t: Trial) -> None:
    if not await t.offers("live_migrate"):
        return
    other, spec = await t.do(t.bench.neighbour()), await t.spec()
    here, there = await t.free(), await t.free(other)
    before = await t.start(spec)
    t.told.clear()
    after = await t.do(t.driver.migrate(spec, other, t.told.append))
    assert t.told == sorted(t.told)
    assert t.told[-1] == 1.0
    assert (after.uuid, after.power_state, after.start_time) == (spec.uuid, PowerState.RUNNING, before.start_time)
    assert {disk.uuid for disk in after.disks} == {disk.uuid for disk in spec.disks}
    assert {nic.uuid for nic in after.nics} == {nic.uuid for nic in spec.nics}
    assert await t.find(spec.uuid) is None
    assert [state.domid for state in await t.do(other.domains()) if state.uuid == spec.uuid] == [after.domid]
    assert await t.free() == here
    assert await t.free(other) <= there - 256 * MIB


async def a_migrating_guest_never_stands_still(t: Trial) -> None:
    if not await t.offers("live_migrate"):
        return
    other, spec = await t.do(t.bench.neighbour()), await t.spec()
    await t.start(spec)
    places: list[tuple[int, int]] = []

    async def look() -> None:
        here, there = await t.driver.domains(), await other.domains()
        places.append((len(here), sum(state.uuid == spec.uuid for state in there)))

    looking: list[asyncio.Task[None]] = []
    await t.do(t.driver.migrate(spec, other, lambda fraction: looking.append(asyncio.ensure_future(look()))))
    await asyncio.gather(*looking)
    assert places, "a migration tells its progress"
    assert set(places) <= {(1, 0), (0, 1)}
    assert places[0] == (1, 0)


async def a_cancelled_migration_moves_nothing(t: Trial) -> None:
    if not await t.offers("live_migrate"):
        return
    other, spec = await t.do(t.bench.neighbour()), await t.spec()
    await t.refuses("not_found", t.driver.migrate(spec, other, t.told.append))
    state, there = await t.start(spec), await t.free(other)
    await t.refuses("exists", t.driver.migrate(spec, t.driver, t.told.append))
    moving = asyncio.ensure_future(t.driver.migrate(spec, other, t.told.append))
    await asyncio.wait({moving}, timeout=0)  # one turn of the loop: it has begun
    moving.cancel()
    await asyncio.gather(moving, return_exceptions=True)
    assert moving.cancelled(), "migrate is not over after one turn of the loop"
    found = await t.find(spec.uuid)
    assert found is not None
    assert (found.domid, found.power_state) == (state.domid, PowerState.RUNNING)
    assert await t.free(other) == there
    await t.do(t.driver.pause(spec.uuid))
    await t.refuses("bad_state", t.driver.migrate(spec, other, t.told.append))


async def a_machine_too_large_for_the_other_host_stays(t: Trial) -> None:
    if not await t.offers("live_migrate"):
        return
    other = await t.do(t.bench.neighbour())
    filler = await t.spec(memory=await t.free(other) - 128 * MIB)
    await t.do(other.create(filler, False, t.told.append))
    spec = await t.spec()
    await t.start(spec)
    await t.refuses("no_memory", t.driver.migrate(spec, other, t.told.append))
    assert await t.find(spec.uuid) is not None


async def memory_and_processors_follow_what_is_asked(t: Trial) -> None:
    if not await t.offers("balloon"):
        return
    spec = replace(await t.spec(), memory_dynamic_min=128 * MIB, vcpus_max=4)
    await t.start(spec)
    reached = await t.do(t.driver.set_memory(spec.uuid, 128 * MIB))
    await t.do(t.driver.set_vcpus(spec.uuid, 3))
    found = await t.find(spec.uuid)
    assert found is not None
    assert (found.memory_actual, found.vcpus) == (reached, 3)
    await t.refuses("unsupported", t.driver.set_vcpus(spec.uuid, 5))


async def usage_is_told_for_every_machine(t: Trial) -> None:
    state = await t.start()
    usage = await t.do(t.driver.usage())
    capabilities = await t.do(t.driver.capabilities())
    assert (usage.memory_total, usage.memory_free) == (capabilities.memory_total, capabilities.memory_free)
    assert len(usage.cpus) == capabilities.cpu_count
    machine = usage.machines[state.uuid]
    assert (len(machine.cpus), machine.memory) == (state.vcpus, state.memory_actual)
    assert all(0 <= busy <= 1 for busy in (*usage.cpus, *machine.cpus))
    assert set(machine.disks) == {disk.position for disk in state.disks}
    assert set(machine.nics) == {nic.position for nic in state.nics}
    assert set(machine.requests) == set(machine.disks)
    for position, asked in machine.requests.items():
        assert (asked.reads > 0) == (machine.disks[position].inward > 0)
        assert (asked.writes > 0) == (machine.disks[position].outward > 0)
        assert min(asked.read_time, asked.write_time, asked.in_flight) >= 0
    moved = (*machine.disks.values(), *machine.nics.values(), *usage.nics.values())
    assert all(one.inward >= 0 and one.outward >= 0 for one in moved)


async def keys_and_triggers_reach_running_machines_only(t: Trial) -> None:
    spec = await t.spec()
    await t.start(spec, paused=True)
    await t.refuses("bad_state", t.driver.send_key(spec.uuid, "h"))
    await t.refuses("bad_state", t.driver.send_trigger(spec.uuid, "nmi"))
    await t.do(t.driver.unpause(spec.uuid))
    await t.do(t.driver.send_key(spec.uuid, "h"))
    await t.do(t.driver.send_trigger(spec.uuid, "nmi"))
    await t.refuses("unsupported", t.driver.send_trigger(spec.uuid, "no such trigger"))


async def settings_of_the_host_are_kept_until_they_are_taken_back(t: Trial) -> None:
    before = dict(await t.do(t.driver.settings()))
    await t.do(t.driver.configure({"timezone": "Europe/Berlin", "ntp_mode": "Disabled"}))
    chosen = {**before, "timezone": "Europe/Berlin", "ntp_mode": "Disabled"}
    assert await t.do(t.driver.settings()) == chosen
    await t.refuses("unsupported", t.driver.configure({"timezone": "UTC", "no such setting": "1"}))
    assert await t.do(t.driver.settings()) == chosen
    await t.do(t.driver.configure({name: before.get(name) for name in chosen}))
    assert await t.do(t.driver.settings()) == before


async def scheduling_of_running_machines_can_be_changed(t: Trial) -> None:
    spec = await t.spec()
    await t.start(spec, paused=True)
    await t.refuses("bad_state", t.driver.set_scheduling(spec.uuid, {"weight": "512"}))
    await t.refuses("bad_state", t.driver.set_shadow(spec.uuid, 2.0))
    await t.do(t.driver.unpause(spec.uuid))
    await t.do(t.driver.set_scheduling(spec.uuid, {"weight": "512", "cap": "50"}))
    await t.do(t.driver.set_shadow(spec.uuid, 2.0))


async def disks_are_plugged_and_unplugged(t: Trial) -> None:
    state = await t.start()
    volume = await t.do(t.bench.volume(64 * MIB))
    disk = DiskSpec(t.bench.uuid(), volume, "3", "Disk", False)
    assert await t.do(t.driver.attach_disk(state.uuid, disk)), "attach_disk tells the device name"
    found = await t.find(state.uuid)
    assert found is not None
    assert disk.uuid in {known.uuid for known in found.disks}
    other = replace(disk, uuid=t.bench.uuid(), volume=await t.do(t.bench.volume(64 * MIB)))
    await t.refuses("in_use", t.driver.attach_disk(state.uuid, other))
    await t.do(t.driver.detach_disk(state.uuid, disk.uuid, False))
    await t.refuses("not_found", t.driver.detach_disk(state.uuid, disk.uuid, False))


async def a_disk_is_held_by_one_and_released_by_its_token(t: Trial) -> None:
    spec = await t.spec()
    state = await t.start(spec)
    (disk,) = (known.uuid for known in state.disks[:1])
    await t.refuses("not_found", t.driver.hold_disk(state.uuid, t.bench.uuid()))
    await t.refuses("bad_state", t.driver.release_disk(state.uuid, disk, ""))
    token = await t.do(t.driver.hold_disk(state.uuid, disk))
    await t.refuses("bad_state", t.driver.hold_disk(state.uuid, disk))
    await t.refuses("bad_state", t.driver.release_disk(state.uuid, disk, token + "x"))
    await t.do(t.driver.release_disk(state.uuid, disk, token))


async def nics_are_plugged_and_unplugged(t: Trial) -> None:
    state = await t.start()
    nic = NicSpec(t.bench.uuid(), t.bench.uuid(), "1", "02:00:00:00:00:02", 1500)
    await t.do(t.driver.attach_nic(state.uuid, nic))
    await t.refuses("in_use", t.driver.attach_nic(state.uuid, replace(nic, uuid=t.bench.uuid())))
    await t.do(t.driver.detach_nic(state.uuid, nic.uuid, False))
    found = await t.find(state.uuid)
    assert found is not None
    assert nic.uuid not in {known.uuid for known in found.nics}


async def nics_are_moved_and_given_addresses(t: Trial) -> None:
    state = await t.start()
    nic, other = state.nics[0].uuid, t.bench.uuid()
    await t.do(t.driver.move_nic(state.uuid, nic, other))
    await t.do(t.driver.address_nic(state.uuid, nic, ("192.0.2.7/24",)))
    found = await t.find(state.uuid)
    assert found is not None
    assert [(known.uuid, known.network) for known in found.nics] == [(nic, other)]
    await t.refuses("not_found", t.driver.move_nic(state.uuid, t.bench.uuid(), other))
    await t.refuses("not_found", t.driver.address_nic(state.uuid, t.bench.uuid(), ()))
    await t.refuses("not_found", t.driver.move_nic(t.bench.uuid(), nic, other))


async def interfaces_have_names_of_their_own(t: Trial) -> None:
    names = [found.name for found in await t.do(t.driver.interfaces())]
    assert names == sorted(set(names))


async def events_follow_the_changes_in_order(t: Trial) -> None:
    spec = await t.spec()
    events = t.driver.events()
    await t.start(spec)
    await t.do(t.driver.pause(spec.uuid))
    await t.do(t.driver.unpause(spec.uuid))
    await t.do(t.driver.destroy(spec.uuid))
    seen: list[str] = []
    while not seen or seen[-1] != "gone":
        event = await t.next_event(events, spec.uuid)
        assert event.gone is None, "these changes were asked for"
        now = "gone" if event.state is None else str(event.state.power_state)
        if not seen or seen[-1] != now:
            seen.append(now)
    assert seen == ["Running", "Paused", "Running", "gone"]


async def a_guest_that_powers_off_is_told_with_its_reason(t: Trial) -> None:
    state = await t.start()
    events = t.driver.events()
    await t.do(t.bench.poweroff(state.uuid))
    while (event := await t.next_event(events, state.uuid)).state is not None:
        pass
    assert event.gone is Gone.SHUTDOWN
    assert await t.find(state.uuid) is None


async def closing_ends_the_events(t: Trial) -> None:
    events = t.driver.events()
    await t.do(t.driver.close())
    try:
        await t.do(_first(events))
    except StopAsyncIteration:
        return
    raise AssertionError("the events go on after close")


CHECKS: Final[tuple[Check, ...]] = (
    a_created_machine_runs_and_is_listed,
    progress_grows_to_one,
    a_machine_created_paused_waits_for_unpause,
    a_machine_cannot_be_created_twice,
    memory_is_taken_and_given_back,
    a_machine_larger_than_free_memory_is_refused,
    a_missing_volume_is_not_found,
    two_machines_write_to_a_volume_only_if_it_is_shared,
    a_cancelled_create_leaves_nothing,
    pause_and_unpause_want_the_right_state,
    unknown_machines_are_not_found,
    shutdown_waits_for_the_end,
    a_paused_machine_cannot_be_asked,
    reboot_and_reset_make_a_new_domain,
    suspend_and_resume_keep_the_machine,
    an_image_that_is_too_small_is_refused,
    only_a_running_machine_is_suspended,
    an_empty_volume_cannot_be_resumed_from,
    a_saved_machine_is_found_in_its_image,
    saved_memory_can_become_another_machines,
    a_migrated_machine_runs_on_over_there,
    a_migrating_guest_never_stands_still,
    a_cancelled_migration_moves_nothing,
    a_machine_too_large_for_the_other_host_stays,
    memory_and_processors_follow_what_is_asked,
    usage_is_told_for_every_machine,
    keys_and_triggers_reach_running_machines_only,
    a_sleeping_guest_keeps_its_machine_and_wakes,
    a_renewed_machine_runs_on_in_a_new_domain,
    settings_of_the_host_are_kept_until_they_are_taken_back,
    a_clock_is_set_while_no_server_is_followed,
    variants_of_device_drivers_are_selected_by_name,
    scheduling_of_running_machines_can_be_changed,
    processors_are_divided_among_pools,
    machines_run_in_the_pool_they_were_given,
    kernels_that_ask_for_it_use_transcendent_memory,
    an_empty_host_can_be_restarted,
    a_fenced_host_loses_what_runs_and_comes_back,
    disks_are_plugged_and_unplugged,
    a_disk_is_held_by_one_and_released_by_its_token,
    dumps_of_the_host_are_listed_and_read,
    a_crashed_guest_leaves_its_machine_until_it_is_told_what_comes_next,
    nics_are_plugged_and_unplugged,
    nics_are_moved_and_given_addresses,
    interfaces_have_names_of_their_own,
    events_follow_the_changes_in_order,
    a_guest_that_powers_off_is_told_with_its_reason,
    closing_ends_the_events,
)


async def run_check(check: Check, make: Make) -> None:
    """One check on a bench of its own. AssertionError says what the driver does wrong."""
    await run((check,), make, Trial)


async def check_hypervisor(make: Make) -> None:
    """All checks, each on a bench of its own; the first failure ends it."""
    await run(CHECKS, make, Trial)
