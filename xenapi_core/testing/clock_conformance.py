"""Checks of testing.check_hypervisor about the clock and the device drivers of a host."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xenapi_core.testing.hypervisor_conformance import Trial

HOUR = 3600


async def a_clock_is_set_while_no_server_is_followed(t: Trial) -> None:
    await t.do(t.driver.configure({"ntp_mode": "Custom", "ntp_custom_servers": "time.example.org"}))
    followed = await t.do(t.driver.clock())
    assert set(followed.servers) == {"time.example.org"}
    await t.refuses("bad_state", t.driver.set_clock(followed.now + HOUR))
    await t.do(t.driver.configure({"ntp_mode": "Disabled"}))
    before = await t.do(t.driver.clock())
    assert not before.servers
    assert not before.synchronized
    await t.do(t.driver.set_clock(before.now + HOUR))
    assert (await t.do(t.driver.clock())).now >= before.now + HOUR
    await t.do(t.driver.configure({"ntp_mode": None, "ntp_custom_servers": None}))


async def variants_of_device_drivers_are_selected_by_name(t: Trial) -> None:
    for driver in await t.do(t.driver.device_drivers()):
        for variant in driver.variants:
            await t.do(t.driver.select_variant(driver.name, variant.name))
            told = {one.name: one for one in await t.do(t.driver.device_drivers())}
            assert told[driver.name].selected == variant.name
            assert told[driver.name].active == driver.active
        await t.refuses("not_found", t.driver.select_variant(driver.name, "no such variant"))
        await t.do(t.driver.select_variant(driver.name, ""))
    await t.refuses("not_found", t.driver.select_variant("no such driver", ""))
