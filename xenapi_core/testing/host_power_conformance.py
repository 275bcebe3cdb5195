"""Checks of testing.check_hypervisor about hosts that go down and come back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from xenapi_core.drivers.api import DomainEvent, HostEvent

if TYPE_CHECKING:
    from xenapi_core.testing.hypervisor_conformance import Trial


async def an_empty_host_can_be_restarted(t: Trial) -> None:
    if not await t.offers("host_power"):
        return
    state = await t.start()
    await t.refuses("in_use", t.driver.power_off())
    await t.do(t.driver.destroy(state.uuid))
    await t.refuses("bad_state", t.driver.power_on("wake-on-lan", {}))
    events = t.driver.events()
    await t.do(t.driver.restart())
    await _goes_down_and_comes_back(t, events)


async def a_fenced_host_loses_what_runs_and_comes_back(t: Trial) -> None:
    if not await t.offers("host_power"):
        return
    await t.start()
    events = t.driver.events()
    await t.do(t.driver.fence())
    await _goes_down_and_comes_back(t, events)


async def _goes_down_and_comes_back(t: Trial, events: AsyncIterator[DomainEvent | HostEvent]) -> None:
    seen: list[bool] = []
    while len(seen) < 2:
        event = await t.do(anext(events))
        if isinstance(event, HostEvent):
            if not seen:
                await t.refuses("offline", t.driver.domains())
            seen.append(event.up)
    assert seen == [False, True]
    assert await t.do(t.driver.domains()) == []
