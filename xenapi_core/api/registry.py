"""Where messages get their hand-written behaviour, and what that behaviour is given.

Rule 1: a message has at most one handler; a handler wins over a plan and over the derived behaviour.
Rule 2: a handler gets validated internal values, in the order of the message's parameters, defaults filled in, and
        returns an internal value (a `Version` for a record) or an awaitable of one.
Rule 3: a handler that only writes is synchronous: read, check, one commit. The dispatcher waits until it is durable.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

from xenapi_core.clock import Clock
from xenapi_core.engine.caller import Caller
from xenapi_core.engine.plan import World
from xenapi_core.ids import Ids
from xenapi_core.model.schema import Schema
from xenapi_core.store.api import Store, Txn, Version

if TYPE_CHECKING:
    from xenapi_core.api.diagnosis import Timing
    from xenapi_core.api.events import Events
    from xenapi_core.api.records import Records
    from xenapi_core.api.sessions import Sessions
    from xenapi_core.api.surroundings import Surroundings
    from xenapi_core.engine.engine import Engine


class Invoke(Protocol):
    """Makes another call (api.dispatcher.Dispatcher.invoke)."""

    def __call__(self, caller: Caller, wire_name: str, args: Sequence[Any]) -> Any: ...


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of the server that handlers work with; one object for the life of the dispatcher.

    `invoke` makes another call; `timings` tells messages that were called, how often, and how long answers took.
    """

    schema: Schema
    store: Store
    clock: Clock
    ids: Ids
    records: Records
    sessions: Sessions
    events: Events
    engine: Engine
    surroundings: Surroundings
    invoke: Invoke
    timings: Callable[[], Iterable[tuple[str, int, Timing]]]

    @property
    def reach(self) -> Callable[[str], str]:
        """Gives the URL of a host from its address (engine.plan.World)."""
        return self.engine.world.reach

    @property
    def making(self) -> Callable[[str], tuple[str, ...]]:
        """Gives the tasks that are making a volume on an SR (engine.plan.World)."""
        return self.engine.world.making

    @property
    def advice(self) -> None:
        """None: a call is no operation, so no advice is requested (engine.plan.World)."""
        return None


@dataclass(frozen=True, slots=True)
class CallContext:
    """One call: who calls what. `transport` and `address` are those of the connection ("" for calls inside).

    `host`: the host whose endpoint was called, "" where one endpoint serves the whole pool. `certificate`: the client
    certificate of the connection (DER).
    """

    caller: Caller
    wire_name: str
    services: Services
    transport: str = ""
    address: str = ""
    host: str = ""
    certificate: bytes | None = None

    @property
    def store(self) -> Store:
        return self.services.store

    @property
    def world(self) -> World:
        """What plan functions and placement read."""
        return cast(World, self.services)

    @property
    def now(self) -> int:
        return self.services.clock.now()

    def get(self, ref: str, cls: str | None = None) -> Version:
        """The present version of `ref`. HANDLE_INVALID."""
        return self.services.store.get(ref, cls)

    def value(self, version: Version, field: str) -> Any:
        """Any field, computed and inverse ones included."""
        return self.services.records.value(version, field)

    def commit(self, write: Callable[[Txn], Any]) -> None:
        """Apply `write` in one transaction; nothing is applied if it raises."""
        txn = self.services.store.begin()
        write(txn)
        self.services.store.commit(txn)

    def update(self, ref: str, /, **values: Any) -> None:
        """One transaction that changes fields of one object."""
        txn = self.services.store.begin()
        txn.update(ref, **values)
        self.services.store.commit(txn)

    def create(self, cls: str, values: Mapping[str, Any]) -> str:
        """One transaction that makes one object with a fresh reference and uuid. Returns the reference."""
        ids = self.services.ids
        txn = self.services.store.begin()
        ref = txn.create(cls, ids.ref(), {"uuid": ids.uuid(), **values})
        self.services.store.commit(txn)
        return ref


HandlerFunction = Callable[..., Any | Awaitable[Any]]

# Wire name -> function(call, *args).
HANDLERS: dict[str, HandlerFunction] = {}


def handles(*wire_names: str) -> Callable[[HandlerFunction], HandlerFunction]:
    """Register a function as the behaviour of these messages."""

    def register(function: HandlerFunction) -> HandlerFunction:
        for name in wire_names:
            if name in HANDLERS:
                raise ValueError(f"{name} has two handlers")
            HANDLERS[name] = function
        return function

    return register
