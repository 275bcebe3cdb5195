"""Checks of testing.check_hypervisor about pools of processors, for drivers that offer cpu_pools."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xenapi_core.testing.hypervisor_conformance import Trial


async def _idle_cpu(t: Trial) -> tuple[str, int]:
    """The first pool, and the number of a processor that was taken from it."""
    pools = await t.do(t.driver.cpu_pools())
    first = next(iter(pools))
    number = max(pools[first])
    await t.do(t.driver.remove_cpu(first, number))
    return first, number


async def processors_are_divided_among_pools(t: Trial) -> None:
    if not await t.offers("cpu_pools"):
        return
    before = await t.do(t.driver.cpu_pools())
    first, number = await _idle_cpu(t)
    fast = t.bench.uuid()
    await t.refuses("in_use", t.driver.create_cpu_pool(fast, before[first]))
    await t.refuses("not_found", t.driver.create_cpu_pool(fast, frozenset({10**6})))
    await t.do(t.driver.create_cpu_pool(fast, frozenset({number})))
    await t.refuses("exists", t.driver.create_cpu_pool(fast, frozenset({number})))
    assert await t.do(t.driver.cpu_pools()) == {first: before[first] - {number}, fast: frozenset({number})}
    await t.refuses("in_use", t.driver.add_cpu(first, number))
    await t.refuses("in_use", t.driver.remove_cpu(fast, number))
    await t.do(t.driver.destroy_cpu_pool(fast))
    await t.refuses("not_found", t.driver.destroy_cpu_pool(fast))
    await t.refuses("not_found", t.driver.add_cpu(fast, number))
    await t.do(t.driver.add_cpu(first, number))
    assert await t.do(t.driver.cpu_pools()) == before


async def machines_run_in_the_pool_they_were_given(t: Trial) -> None:
    if not await t.offers("cpu_pools"):
        return
    first, number = await _idle_cpu(t)
    fast, spec = t.bench.uuid(), await t.spec()
    await t.refuses("bad_state", t.driver.create(replace(spec, cpu_pool=fast), False, t.told.append))
    await t.do(t.driver.create_cpu_pool(fast, frozenset({number})))
    assert (await t.start(replace(spec, cpu_pool=fast))).cpu_pool == fast
    await t.refuses("in_use", t.driver.destroy_cpu_pool(fast))
    await t.do(t.driver.move_to_cpu_pool(spec.uuid, ""))
    moved = await t.find(spec.uuid)
    assert moved is not None
    assert moved.cpu_pool == first
    await t.do(t.driver.destroy_cpu_pool(fast))
    await t.refuses("bad_state", t.driver.move_to_cpu_pool(spec.uuid, fast))
    await t.refuses("not_found", t.driver.move_to_cpu_pool(t.bench.uuid(), first))
    await t.refuses("in_use", t.driver.destroy_cpu_pool(first))
