"""VM.import: imports VMs from an export on a web server.

Rule 1: what will be made is known when the head of the archive has come, so the plan of the import is made and run by a
        step of this one. Its undos are kept, and taken by the step before when the import fails or is cancelled.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any, Final

from xenapi_core.engine.exchange import check_url
from xenapi_core.engine.plan import Plan, Run, Step, World, plans
from xenapi_core.engine.steps.vdi_transfer import WITHIN
from xenapi_core.engine.steps.vm_import import plan_import
from xenapi_core.engine.steps.volumes import check_sr
from xenapi_core.ids import is_null
from xenapi_core.store.api import Txn

_PLAN: Final = "plan of the import"
_UNDOS: Final = "undos of the import"


@plans("VM.import")
def plan_fetch(world: World, url: str, sr: str, full_restore: bool, force: bool) -> Plan:
    """VMs like those of the archive under `url`, with their disks on `sr` (null: the pool's default SR).

    The result is their references. INVALID_VALUE for what is no URL of http or https; IMPORT_ERROR if the server does
    not give it; then what plan_import raises.
    """
    check_url(url)
    if not is_null(sr):
        check_sr(world, sr)

    async def begin(run: Run) -> None:
        run.results[_UNDOS] = AsyncExitStack()

    async def take_back(run: Run) -> None:
        await run.results[_UNDOS].aclose()

    async def receive(run: Run) -> None:
        async with run.exchange().archive(url) as (objects, fill):
            plan = plan_import(run.world, objects, None if is_null(sr) else sr, full_restore, force, fill)
            for step in plan.steps:
                await step.do(run)
                if step.undo is not None:
                    run.results[_UNDOS].push_async_callback(step.undo, run)
        run.results[_PLAN] = plan

    def finish(run: Run, txn: Txn) -> None:
        run.results[_PLAN].finish(run, txn)

    def result(run: Run) -> Any:
        return run.results[_PLAN].result(run)

    steps = (Step("begin", begin, take_back, weight=0.0), Step("receive", receive, deadline=WITHIN))
    return Plan(steps=steps, result=result, finish=finish)
