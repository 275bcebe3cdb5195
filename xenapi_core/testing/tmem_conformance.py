"""A check of testing.check_hypervisor about transcendent memory, for drivers that offer tmem."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xenapi_core.testing.hypervisor_conformance import Trial


async def kernels_that_ask_for_it_use_transcendent_memory(t: Trial) -> None:
    if not await t.offers("tmem"):
        return
    spec, other = replace(await t.spec(), boot={"args": "ro tmem quiet"}), await t.spec()
    domid = (await t.start(spec)).domid
    await t.start(other)
    told = await t.do(t.driver.tmem_list(spec.uuid, False))
    assert told.startswith(f"C=CI:{domid},")
    assert told in await t.do(t.driver.tmem_list(None, False))
    assert len(await t.do(t.driver.tmem_list(spec.uuid, True))) > len(told)
    await t.refuses("not_found", t.driver.tmem_list(other.uuid, False))
    await t.refuses("not_found", t.driver.tmem_freeze(other.uuid, True))
    await t.do(t.driver.tmem_freeze(spec.uuid, True))  # so that it hands over nothing more
    for name, value in (("weight", 7), ("cap", 3), ("compress", 1)):
        await t.do(t.driver.tmem_set(None, name, value))
    await t.refuses("unsupported", t.driver.tmem_set(spec.uuid, "colour", 1))
    assert ",ww:7,ca:3,co:1,fr:1," in await t.do(t.driver.tmem_list(spec.uuid, False))
    freeable = await t.do(t.driver.tmem_freeable())
    assert await t.do(t.driver.tmem_flush(None, freeable)) >= freeable
    assert await t.do(t.driver.tmem_freeable()) == 0
    assert await t.do(t.driver.tmem_flush(None, 1 << 20)) == 0
    await t.do(t.driver.tmem_share(spec.uuid, t.bench.uuid(), True))
    await t.do(t.driver.tmem_destroy(spec.uuid))
    await t.refuses("not_found", t.driver.tmem_list(spec.uuid, False))
    await t.do(t.driver.reset(spec.uuid, spec))
    assert ",ww:0,ca:0,co:0,fr:0," in await t.do(t.driver.tmem_list(spec.uuid, False))
