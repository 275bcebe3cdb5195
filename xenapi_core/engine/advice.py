"""Advice of the pool's workload balancing server: asked for before an operation is planned, and used by its plan.

Theory of operation
1. A plan function stays pure: where it needs advice and has none, it checks that the operation may happen and returns a
   Plan that only asks (`Plan.asks`). The engine requests the advice, and calls the plan function again in a world that
   holds the answer (`World.advice`). So the server is asked at most once for an operation.
2. A server that fails stops nothing: a message record reports the failure, and our own placement decides.
3. What is advised is checked like every other wish: nothing runs where it cannot.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from xenapi_core.engine.messages import PRIORITIES, post
from xenapi_core.errors import ApiError

if TYPE_CHECKING:
    from xenapi_core.engine.plan import World
    from xenapi_core.store.api import Version

log = logging.getLogger(__name__)

NOT_ASKED: Final = "wlb_choose_host_disable"  # key of pool.other_config: "true" keeps the server out of operations
_FAILED: Final = "WLB_CONSULTATION_FAILED"


@dataclass(frozen=True)
class Rating:
    """The server's rating of a host for a VM. `stars` and `recommendation` are numbers as the server spelled them.

    `reason`: why the VM cannot run there; "" if it can.
    """

    host: str
    stars: str
    recommendation: str
    reason: str = ""


@dataclass(frozen=True)
class Placement:
    """The question where a VM should run."""

    vm: str


@dataclass(frozen=True)
class Evacuation:
    """The question where the VMs of a host should go."""

    host: str


Question = Placement | Evacuation


@dataclass(frozen=True)
class Advice:
    """The answer. `ratings`: of a Placement. `moves`: VM -> host, of an Evacuation; None: nobody says."""

    ratings: tuple[Rating, ...] = ()
    moves: Mapping[str, str] | None = field(default=None)


class Advisor(Protocol):
    """The client of the workload balancing server (api/balancer.py). Raises ApiError."""

    async def ratings(self, vm: str) -> tuple[Rating, ...]:
        """Of every host that is up."""

    async def moves(self, host: str) -> Mapping[str, str]:
        """VM -> another host, for VMs on `host`; VMs that cannot move are left out."""


def balanced(pool: Version) -> bool:
    """Whether the pool has a server and uses it."""
    return bool(pool["wlb_url"] and pool["wlb_enabled"])


def wants_advice(world: World) -> bool:
    """Whether a plan has to ask first (rule 1)."""
    pools = world.store.all("pool").values()
    return world.advice is None and any(
        balanced(pool) and pool["other_config"].get(NOT_ASKED, "").lower() != "true" for pool in pools
    )


async def consult(advisor: Advisor | None, world: World, question: Question) -> Advice:
    """The answer; an empty one, and a message in the pool, if there is none (rule 2)."""
    if advisor is None:
        return Advice()
    try:
        if isinstance(question, Placement):
            return Advice(ratings=await advisor.ratings(question.vm))
        return Advice(moves=await advisor.moves(question.host))
    except ApiError as error:
        log.warning("workload balancing could not be asked: %s", error.code)
        _post_failure(world, question)
    return Advice()


def _post_failure(world: World, question: Question) -> None:
    """The message by which administrators learn of rule 2; none if its object is gone."""
    cls, ref = ("VM", question.vm) if isinstance(question, Placement) else ("Host", question.host)
    about = world.store.find(ref)
    if about is None:
        return
    (pool,) = world.store.all("pool").values()
    body = f"Workload balancing could not be asked about {cls} '{about['name_label']}' (pool uuid: {pool['uuid']})"
    txn = world.store.begin()
    post(world, txn, _FAILED, PRIORITIES[_FAILED], cls, about["uuid"], body)
    world.store.commit(txn)
