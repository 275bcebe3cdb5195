"""Checks of testing.check_hypervisor about suspended guests, crashes, and machines that change their domain."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from xenapi_core.drivers.api import DriverError, Gone, PowerState

if TYPE_CHECKING:
    from xenapi_core.testing.hypervisor_conformance import Trial

MIB: Final = 1 << 20


async def a_sleeping_guest_keeps_its_machine_and_wakes(t: Trial) -> None:
    spec = await t.spec()
    before = await t.start(spec)
    await t.refuses("bad_state", t.driver.wake(spec.uuid))
    try:
        await t.do(t.driver.sleep(spec.uuid))
    except DriverError as error:
        if error.kind != "unsupported":
            raise
        return
    asleep = await t.find(spec.uuid)
    assert asleep is not None
    assert (asleep.power_state, asleep.domid) == (PowerState.RUNNING, before.domid)
    await t.refuses("bad_state", t.driver.sleep(spec.uuid))
    await t.do(t.driver.wake(spec.uuid))
    await t.refuses("bad_state", t.driver.wake(spec.uuid))
    await t.do(t.driver.pause(spec.uuid))
    await t.refuses("bad_state", t.driver.sleep(spec.uuid))


async def a_renewed_machine_runs_on_in_a_new_domain(t: Trial) -> None:
    if not await t.offers("live_migrate"):
        return
    spec = await t.spec()
    before, free = await t.start(spec), await t.free()
    after = await t.do(t.driver.renew(spec.uuid, t.told.append))
    assert (after.start_time, after.disks, after.nics) == (before.start_time, before.disks, before.nics)
    assert after.domid != before.domid
    assert await t.find(spec.uuid) == after
    assert await t.free() == free
    await t.do(t.driver.pause(spec.uuid))
    await t.refuses("bad_state", t.driver.renew(spec.uuid, t.told.append))
    await t.do(t.driver.destroy(spec.uuid))
    large = await t.spec(memory=(await t.free()) // 2 + 64 * MIB)
    before = await t.start(large)
    await t.refuses("no_memory", t.driver.renew(large.uuid, t.told.append))
    assert (await t.find(large.uuid)) == before


async def a_crashed_guest_leaves_its_machine_until_it_is_told_what_comes_next(t: Trial) -> None:
    spec, empty = await t.spec(), await t.free()
    before, events = await t.start(spec), t.driver.events()
    taken = await t.free()
    image = await t.do(t.bench.volume(spec.memory_static_max))
    await t.refuses("not_found", t.driver.dump_core(spec.uuid, image, lambda fraction: None))
    await t.do(t.bench.crash(spec.uuid))
    event = await t.next_event(events, spec.uuid)
    assert event.gone is Gone.CRASH
    assert event.state is not None
    assert (event.state.power_state, event.state.crashed, event.state.domid) == (PowerState.PAUSED, True, before.domid)
    assert await t.find(spec.uuid) == event.state
    assert await t.free() == taken
    await t.refuses("bad_state", t.driver.unpause(spec.uuid))
    await t.do(t.driver.dump_core(spec.uuid, image, lambda fraction: None))
    after = await t.do(t.driver.reset(spec.uuid, spec))
    assert (after.power_state, after.crashed) == (PowerState.RUNNING, False)
    await t.refuses("not_found", t.driver.dump_core(spec.uuid, image, lambda fraction: None))
    await t.do(t.bench.crash(spec.uuid))
    await t.do(t.driver.destroy(spec.uuid))
    assert await t.find(spec.uuid) is None
    assert await t.free() == empty


async def dumps_of_the_host_are_listed_and_read(t: Trial) -> None:
    await t.refuses("not_found", t.driver.delete_crash_dump("no such dump"))
    await t.refuses("not_found", t.driver.read_crash_dump("no such dump", 0, 1))
    for dump in await t.do(t.driver.crash_dumps()):
        assert dump.size > 0
        assert len(await t.do(t.driver.read_crash_dump(dump.name, dump.size - 1, 2))) == 1


async def saved_memory_can_become_another_machines(t: Trial) -> None:
    if not await t.offers("suspend"):
        return
    spec = await t.spec()
    await t.start(spec)
    image, empty = await t.do(t.bench.volume(spec.memory_static_max)), await t.do(t.bench.volume(MIB))
    await t.do(t.driver.suspend(spec.uuid, image, t.told.append))
    other = replace(spec, uuid=t.bench.uuid())
    try:
        await t.do(t.driver.rebind(image, other.uuid))
    except DriverError as error:
        if error.kind != "unsupported":
            raise
        return
    assert await t.do(t.driver.saved_in(image)) == other.uuid
    await t.refuses("not_found", t.driver.resume(spec, image, False, t.told.append))
    await t.do(t.driver.resume(other, image, False, t.told.append))
    assert await t.find(other.uuid) is not None
    assert await t.find(spec.uuid) is None
    await t.refuses("not_found", t.driver.rebind(empty, spec.uuid))
