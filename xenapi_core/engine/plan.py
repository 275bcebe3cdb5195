"""Plans: pure decisions about what an operation will do, as named steps that can be undone.

Theory of operation
1. A plan function reads the world and returns a Plan, or raises the first prerequisite that does not hold, in the order
   of the API reference. It changes nothing and never awaits, so it may be called again, for a dry run or a menu.
2. A step has a `do` and, if it changes something, an `undo`. When a step fails, the steps before it are undone in
   reverse; a step that fails cleans up after itself. Tests fail every step of every plan in turn.
   What only changes records belongs into `finish`, which needs no undo.
3. Claims are records: `current_operations` of each claimed object maps the task to the operation while the plan runs.
   They are visible to clients, survive a crash, and cannot deadlock, because all of them are taken in one commit.
4. The engine runs plans; nothing here knows a socket, a session or a wire format.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from xenapi_core.address import bracketed
from xenapi_core.clock import Clock
from xenapi_core.drivers.api import Hypervisor
from xenapi_core.drivers.storage import Storage, StorageBackend
from xenapi_core.ids import Ids
from xenapi_core.model.schema import Schema
from xenapi_core.store.api import Store, Txn

if TYPE_CHECKING:
    from xenapi_core.engine.advice import Advice, Question
    from xenapi_core.engine.exchange import Exchange


def https(address: str) -> str:
    """The URL of a host at that address, on the port that goes without saying."""
    return f"https://{bracketed(address)}"


class World(Protocol):
    """What a plan function may read."""

    store: Store
    schema: Schema
    clock: Clock
    ids: Ids

    @property
    def reach(self) -> Callable[[str], str]:
        """Gives the URL under which clients find a host, from its address."""

    @property
    def making(self) -> Callable[[str], tuple[str, ...]]:
        """Gives the tasks that are making a volume on an SR, or moving one there: it has no record there yet."""

    @property
    def advice(self) -> Advice | None:
        """The advice of workload balancing for this very operation; None if it has not been requested (advice.py)."""


class Run(Protocol):
    """The interface that a running step works with."""

    world: World
    task: str  # reference of the task (a DummyRef for synchronous calls)
    results: dict[Any, Any]  # what steps leave for later steps and for Plan.result

    def commit(self, write: Callable[[Txn], None]) -> None:
        """Apply `write` in one transaction."""

    def claim(self, txn: Txn, ref: str, operation: str) -> None:
        """Claim what a step makes in the same transaction; it is released with the claims of the plan."""

    def hypervisor(self, host: str) -> Hypervisor:
        """The driver of a host, by reference. HOST_OFFLINE if it has none."""

    def storage(self, sr: str) -> Storage:
        """The storage driver of an SR, by reference. SR_NOT_ATTACHED if it has none."""

    def backend(self, kind: str) -> StorageBackend:
        """The back end for SRs of a type. SR_UNKNOWN_DRIVER."""

    def open_storage(self, sr: str, kind: str, uuid: str) -> Storage:
        """The driver of an SR, taken into service now if it was not. SR_UNKNOWN_DRIVER."""

    def is_being_made(self, volume: str) -> bool:
        """Whether an operation in progress is making the volume with that uuid, and will record it."""

    def drop_storage(self, sr: str) -> None:
        """Let go of the driver of an SR whose record is gone or never came to be."""

    def exchange(self) -> Exchange:
        """The exchange with other servers. NOT_IMPLEMENTED if this process reaches none."""

    async def perform(self, wire_name: str, *args: Any) -> Any:
        """Do another message that has a plan, as a part of this one with a task of its own. Raises ApiError."""

    def progress(self, fraction: float) -> None:
        """0..1 of the present step."""

    def check_cancelled(self) -> None:
        """A safe point: raises TASK_CANCELLED if a cancel of the task was requested."""


StepAction = Callable[[Run], Awaitable[None]]


@dataclass(frozen=True)
class Step:
    """One undoable action. `weight` is its share of the progress bar.

    `deadline`: seconds after which it counts as failed; None for steps that only write records.
    """

    name: str
    do: StepAction
    undo: StepAction | None = None
    weight: float = 1.0
    deadline: float | None = 3600.0


@dataclass(frozen=True)
class Claim:
    """`operation` will be in current_operations of `ref` while the plan runs."""

    ref: str
    operation: str


@dataclass(frozen=True)
class Plan:
    """What will happen.

    finish   what becomes true of records when all steps are done: written in the very commit that releases the claims,
             so nobody sees the new state beside a stale claim.
    result   the value of the call; it may use what steps left in Run.results.
    cancels  operations in progress on the claimed objects that this one overrules.
    asked    whether somebody asked for it, so that VMs remember its operation as the state last asked for.
    asks     what workload balancing is asked first; then nothing else of the plan counts (advice.py).
    notes    what the task's other_config says of the plan, from its beginning.
    """

    steps: tuple[Step, ...]
    claims: tuple[Claim, ...] = ()
    result: Callable[[Run], Any] = field(default=lambda run: None)
    cancels: frozenset[str] = frozenset()
    finish: Callable[[Run, Txn], None] = field(default=lambda run, txn: None)
    asked: bool = True
    asks: Question | None = None
    notes: Mapping[str, str] = field(default_factory=dict)


PlanFunction = Callable[..., Plan]

# Wire name -> plan function(world, *args in the order of the message's parameters).
PLANS: dict[str, PlanFunction] = {}


def plans(wire_name: str) -> Callable[[PlanFunction], PlanFunction]:
    """Register a plan function as the behaviour of a message."""

    def register(function: PlanFunction) -> PlanFunction:
        if wire_name in PLANS:
            raise ValueError(f"{wire_name} has two plans")
        PLANS[wire_name] = function
        return function

    return register
