"""Steps that change settings of hosts and restore the earlier ones on undo."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from xenapi_core.engine.failures import HOST, About, told_as
from xenapi_core.engine.plan import Plan, Run, Step, World
from xenapi_core.errors import ApiError
from xenapi_core.store.api import Txn

Finish = Callable[[Run, Txn], None]


def word(value: Any) -> str:
    """A value as HOST_SETTINGS spells it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(value) if isinstance(value, tuple) else str(value)


def tell(host: str, values: Mapping[str, str | None], name: str = "tell host") -> Step:
    """Change settings of one host (None: the default again); undone by what it had before. HOST_OFFLINE,
    OPERATION_NOT_ALLOWED."""
    key = ("settings before", host)

    async def do(run: Run) -> None:
        with told_as(HOST, About(host=host, operation=name)):
            driver = run.hypervisor(host)
            before = await driver.settings()
            run.results[key] = {setting: before.get(setting) for setting in values}
            await driver.configure(values)

    async def undo(run: Run) -> None:
        await run.hypervisor(host).configure(run.results[key])

    return Step(name, do, undo)


def tell_all_hosts(
    world: World, values: Callable[[str], Mapping[str, str]], failure: Callable[[list[str]], ApiError], finish: Finish
) -> Plan:
    """Send every host its settings `values(host)`. If one refuses, raises `failure(hosts)` with it, and no host keeps
    the new values."""

    def named(host: str, step: Step) -> Step:
        async def do(run: Run) -> None:
            try:
                await step.do(run)
            except ApiError as error:
                raise failure([host]) from error

        return Step(step.name, do, step.undo)

    return Plan(steps=tuple(named(host, tell(host, values(host))) for host in world.store.all("host")), finish=finish)
