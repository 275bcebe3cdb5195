"""From a decoded call to the bytes of its reply: one straight line for every message.

Theory of operation
1. The line: name -> session -> removed? -> count -> types -> role -> references -> behaviour -> reply. Whatever
   a step refuses is told in the codec's failure form; nothing but `bytes` ever leaves `handle`.
2. Behaviour is looked for once, at start: a handler (registry.py), else a plan (engine), else what the schema implies
   (derived.py). A message with none of them answers NOT_IMPLEMENTED; it never answers success.
3. What needs no waiting is answered without awaiting: `handle` gives bytes, and only otherwise an awaitable of bytes.
   So is a long read, whose missing fragments are rendered in slices (records.py, rule 5).
4. A reply is of one revision, and sent when everything the call could have seen written is durable.
5. A failure that is no ApiError is our bug: INTERNAL_ERROR with an id that is also in the log. Parameters are never
   logged; the session's reference is cut out of what is.
6. Every call is counted by message, and its duration measured; of quick reads only one of MEASURED, because a look at
   the clock costs a part of what they do.
7. What only some roles may call, and what is refused for a missing role, is told to the audit log (audit.py).
"""

from __future__ import annotations

import inspect
import logging
import time
import traceback
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Protocol

import xenapi_core.api.handlers  # noqa: F401 - registers the handlers
from xenapi_core.api.audit import AuditLog, quoted
from xenapi_core.api.database_reader import OF_SESSIONS, DatabaseReader
from xenapi_core.api.derived import PLAIN_WRITES, READS, Interpreter
from xenapi_core.api.diagnosis import Timing
from xenapi_core.api.events import Events
from xenapi_core.api.records import Records
from xenapi_core.api.registry import HANDLERS, CallContext, Services
from xenapi_core.api.roles import allowed_roles, key_allows, key_role_sets, may, refusal
from xenapi_core.api.sessions import Sessions
from xenapi_core.api.signature import Signature
from xenapi_core.api.surroundings import Surroundings
from xenapi_core.clock import Clock, Later
from xenapi_core.engine.caller import Caller
from xenapi_core.engine.plan import PLANS
from xenapi_core.errors import ApiError, E
from xenapi_core.ids import Ids
from xenapi_core.logs import incident
from xenapi_core.model.schema import POOL_ADMIN, READ_ONLY, Method, Schema
from xenapi_core.model.types import STRING, MapType, Mismatch, RecordType, Ref, RefType, Set, Type
from xenapi_core.store.api import Store
from xenapi_core.wire.api import Call, Codec

if TYPE_CHECKING:
    from xenapi_core.engine.engine import Engine

log = logging.getLogger(__name__)

NOBODY = Caller(session="", user="", roles=frozenset())
TASK = Ref("task")
NAMES = Set(STRING)
MEASURED: Final = 16
ADMINS = frozenset({POOL_ADMIN})
# Classes whose messages write nothing that could be durable: sessions end with the process, waiting writes nothing.
UNKEPT = frozenset({"event", "session"})
# What has no task, though the reference lets it: its result is a secret, and everybody may read a task's result.
UNRECORDED = frozenset({"pool.initial_auth", "VDI.open_database", "session.create_from_db_file"})


class Peer(Protocol):
    """What the dispatcher asks of the other end of a connection (server.routes.Peer)."""

    @property
    def transport(self) -> str: ...

    @property
    def address(self) -> str: ...

    @property
    def host(self) -> str: ...

    @property
    def certificate(self) -> bytes | None: ...


class NoAsyncError(Exception):
    """Async. was asked of a message that has no such form; told as a fault of the protocol, as xapi does."""


class Bound:
    """A message ready to be called: what it takes, who may call it, and what it does."""

    def __init__(self, method: Method, signature: Signature, interpreter: Interpreter) -> None:
        message = method.message
        self.name = method.wire_name
        self.cls = method.cls.name
        self.message = message
        self.signature = signature
        self.result: Type | None = message.result
        self.removed = message.state == "removed"
        self.allowed = allowed_roles(message)
        self.key_rules = key_role_sets(message.key_roles)
        self.handler = HANDLERS.get(self.name)
        self.plan = self.handler is None and self.name in PLANS
        derived = self.handler is None and not self.plan
        self.plain = interpreter.behaviour(method) if derived else None
        # quick: a derived read. It neither waits nor writes, and most calls are such.
        self.quick = self.plain if message.derived in READS and self.name not in PLAIN_WRITES else None
        # many: the value is a map ref -> record, which may be long.
        self.many = isinstance(self.result, MapType) and isinstance(self.result.value, RecordType)
        # own: a message to a session: only one's own, except for pool admins.
        self.own = self.cls == "session" and bool(method.params) and method.params[0].type == Ref("session")
        self.calls = 0
        self.measured_next = 1  # at that count of calls
        self.timing = Timing()
        # audited: what not everybody may call, unless it only reads what records hold.
        self.audited = message.session and READ_ONLY not in self.allowed and self.quick is None
        self.audited = self.audited and self.name != "pool.audit_log_append"
        # stepwise: may do several things in turn, and half of them would be wrong, so it goes on without its client.
        self.stepwise = inspect.iscoroutinefunction(self.handler) and (self.audited or message.asynchronous)
        # objects: where references are among the parameters, and what those are called.
        self.objects = tuple(
            (position, param.name)
            for position, param in enumerate(method.params)
            if isinstance(param.type, RefType) and param.type.cls != "session"
        )

    @property
    def implemented(self) -> bool:
        return self.handler is not None or self.plan or self.plain is not None


class Dispatcher:
    """Answers calls. Without `surroundings` there is nothing but the records."""

    def __init__(
        self,
        schema: Schema,
        store: Store,
        engine: Engine,
        sessions: Sessions,
        clock: Clock,
        ids: Ids,
        surroundings: Surroundings | None = None,
        *,
        from_delay: float | None = None,
        next_delay: float | None = None,
    ) -> None:
        self.schema = schema
        self.store = store
        self.engine = engine
        self.sessions = sessions
        around = surroundings if surroundings is not None else Surroundings(AuditLog(clock))
        self._audit = around.audit
        self.records = Records(schema, store)
        delays = {"from_delay": from_delay, "next_delay": next_delay}
        given = {name: seconds for name, seconds in delays.items() if seconds is not None}
        self.events = Events(schema, store, clock, self.records, sessions, **given)
        self.services = Services(
            schema, store, clock, ids, self.records, sessions, self.events, engine, around, self.invoke, self.timings
        )
        self._journalled = getattr(store, "journal", None) is not None
        self._interpreter = Interpreter(store, self.records)
        self._bound: dict[str, Bound] = {}  # by wire name, from the first call on
        self._names: dict[str, Bound] = {}  # the same in the spellings that were used: CLASS.msg, CLASS_msg
        self._underlined = {name.replace(".", "_", 1): name for name in schema.methods}

    def _bind(self, name: str) -> Bound | None:
        """The message of that wire name; None if there is none."""
        bound = self._bound.get(name)
        if bound is None and (method := self.schema.methods.get(name)) is not None:
            bound = self._bound[name] = Bound(method, Signature(method, self.schema, self.store), self._interpreter)
        return bound

    def _spelled(self, name: str) -> Bound | None:
        """The message of that name in either spelling; None if there is none."""
        bound = self._bind(name if name in self.schema.methods else self._underlined.get(name, ""))
        if bound is not None:
            self._names[name] = bound
        return bound

    def timings(self) -> Iterable[tuple[str, int, Timing]]:
        """Messages that were called on the wire, how often, and how long answers took."""
        return ((name, bound.calls, bound.timing) for name, bound in self._bound.items() if bound.calls)

    def implemented(self) -> frozenset[str]:
        """Wire names that have a behaviour (the coverage page lists the others)."""
        bound = map(self._bind, self.schema.methods)
        return frozenset(each.name for each in bound if each is not None and each.implemented)

    # From the wire

    def handle(self, call: Call, codec: Codec, peer: Peer) -> bytes | Awaitable[bytes]:
        """The complete reply; an awaitable of it where something must be waited for. Raises nothing."""
        caller, bound = NOBODY, self._names.get(call.method) or self._spelled(call.method)
        try:
            if bound is None:
                return self._unusual(call, codec, peer)
            bound.calls += 1
            if bound.calls == bound.measured_next:
                return self._measure(call, codec, peer, bound)
            params = call.params
            if bound.message.session:
                if not params:
                    raise bound.signature.count_mismatch(-1)
                caller = self.sessions.check(params[0])
                if bound.removed:
                    raise E.MESSAGE_REMOVED()
                if isinstance(caller.database, DatabaseReader) and bound.cls not in OF_SESSIONS:
                    return self._of_copy(call, codec, bound, caller, caller.database)
                args = bound.signature.accept(params, 1)
            else:
                args = bound.signature.accept(params, 0)
            self._authorise(bound, caller, args)
            if bound.quick is not None:
                if bound.many:
                    return self._guard(call, codec, bound, caller, self._read_many(call, codec, bound, args))
                return codec.success(call, self.records.render(codec, bound.result, bound.quick(*args)))
            before = self.store.revision
            value = self._act(bound, caller, args, peer)
            if inspect.isawaitable(value):
                if bound.stepwise:
                    value = self.engine.to_its_end(Later(value))
                return Later(self._finish(call, codec, bound, caller, Later(value)))
            if self._journalled and self.store.revision != before and bound.cls not in UNKEPT:
                fragment = self.records.render(codec, bound.result, value)
                return Later(self._finish_durable(call, codec, bound, caller, fragment))
            if bound.many and self.records.timeless(bound.cls):
                reply = self.records.records_reply(codec, call, bound.result, lambda: value)
                return self._guard(call, codec, bound, caller, reply)
            return codec.success(call, self.records.render(codec, bound.result, value))
        except Exception as error:
            return codec.failure(call, self._describe(error, bound, caller))

    def _measure(self, call: Call, codec: Codec, peer: Peer, bound: Bound) -> bytes | Awaitable[bytes]:
        """As `handle`, for a call whose duration is measured: each, but of quick reads one of MEASURED (rule 6)."""
        bound.measured_next += MEASURED if bound.quick is not None else 1
        bound.calls -= 1  # the next line counts it again
        began = time.perf_counter()
        reply = self.handle(call, codec, peer)
        if not isinstance(reply, bytes):
            return Later(_timed(reply, bound.timing, began))
        bound.timing.add(time.perf_counter() - began)
        return reply

    def _of_copy(
        self, call: Call, codec: Codec, bound: Bound, caller: Caller, database: DatabaseReader
    ) -> bytes | Later[bytes]:
        """The reply from a copy of a database, which is what the session is on."""
        value = self._on_copy(bound, caller, database, call.params)()
        if inspect.isawaitable(value):
            return Later(self._finish(call, codec, bound, caller, Later(value)))
        return self._guard(call, codec, bound, caller, database.reply(codec, call, bound.result, value))

    def _on_copy(self, bound: Bound, caller: Caller, database: DatabaseReader, params: list[Any]) -> Callable[[], Any]:
        """As `_act` for a message that a copy answers, when it is called; the checks before it are made now."""
        method = self.schema.methods[bound.name]
        args = database.accept(method, params)
        self._check_role(bound, caller, args)
        return lambda: database.act(method, self._context(bound, caller, None), args)

    def _read_many(self, call: Call, codec: Codec, bound: Bound, args: list[Any]) -> bytes | Later[bytes]:
        """The reply to a derived read of many records."""
        quick = bound.quick
        if quick is None or bound.message.derived == "get_all_records":
            return self.records.all_records_reply(codec, call, bound.cls)
        return self.records.records_reply(codec, call, bound.result, lambda: quick(*args))

    def _guard(
        self, call: Call, codec: Codec, bound: Bound, caller: Caller, reply: bytes | Later[bytes]
    ) -> bytes | Later[bytes]:
        """`reply`; what goes wrong with a later one is told as a failure."""
        return Later(self._guarded(call, codec, bound, caller, reply)) if isinstance(reply, Later) else reply

    async def _guarded(self, call: Call, codec: Codec, bound: Bound, caller: Caller, reply: Awaitable[bytes]) -> bytes:
        try:
            return await reply
        except Exception as error:
            return codec.failure(call, self._describe(error, bound, caller))

    async def _finish(self, call: Call, codec: Codec, bound: Bound, caller: Caller, value: Awaitable[Any]) -> bytes:
        try:
            made = self.records.reply(codec, call, bound.result, await value)
            reply = await made if isinstance(made, Later) else made
            if self._journalled and bound.cls not in UNKEPT:
                await self.store.durable(self.store.revision)
            return reply
        except Exception as error:
            return codec.failure(call, self._describe(error, bound, caller))

    async def _finish_durable(self, call: Call, codec: Codec, bound: Bound, caller: Caller, fragment: bytes) -> bytes:
        try:
            await self.store.durable(self.store.revision)
            return codec.success(call, fragment)
        except Exception as error:
            return codec.failure(call, self._describe(error, bound, caller))

    def _unusual(self, call: Call, codec: Codec, peer: Peer) -> bytes | Awaitable[bytes]:
        """Names that are no message: Async. forms, system calls, and what nobody knows."""
        name, params = call.method, call.params
        bare = name.removeprefix("InternalAsync.") if name.startswith("InternalAsync.") else name.removeprefix("Async.")
        bound = self._bind(bare)
        if bound is not None:
            if not bound.message.session:
                raise NoAsyncError(bound.name)
            return self._launch(call, codec, bound, peer)
        if name == "system.listMethods":
            return codec.bare(call, codec.value(NAMES, self.schema.listed()))
        if name.startswith("system.isAlive") and params and isinstance(params[0], str):
            return codec.success(call, codec.value(STRING, params[0]))
        if params:
            self.sessions.check(params[0])
        raise E.MESSAGE_METHOD_UNKNOWN(name)

    def _launch(self, call: Call, codec: Codec, bound: Bound, peer: Peer) -> bytes | Awaitable[bytes]:
        if not call.params:
            raise bound.signature.count_mismatch(-1)
        caller = self.sessions.check(call.params[0])
        if call.notes:
            caller = replace(caller, notes=call.notes)
        try:
            if bound.removed:
                raise E.MESSAGE_REMOVED()
            if isinstance(caller.database, DatabaseReader) and bound.cls not in OF_SESSIONS:
                task = self._start_on_copy(bound, caller, caller.database, call.params)
                return codec.success(call, codec.value(TASK, task))
            args = bound.signature.accept(call.params, 1)
            task = self._start(bound, caller, args, peer)
            return codec.success(call, codec.value(TASK, task))
        except Exception as error:
            return codec.failure(call, self._describe(error, bound, caller))

    # From inside

    def invoke(self, caller: Caller, wire_name: str, args: Sequence[Any]) -> Any:
        """A call with internal values, in process: the value (a Version for a record), or an awaitable of it.

        The same checks as from the wire, except for the session: `caller` is believed. Raises ApiError; anything else
        that goes wrong raises as it is.
        """
        bare = wire_name.removeprefix("Async.")
        bound = self._bind(bare)
        if bound is None:
            raise E.MESSAGE_METHOD_UNKNOWN(wire_name)
        if bound.removed:
            raise E.MESSAGE_REMOVED()
        accepted = bound.signature.accept(args, 0)
        if bare != wire_name:
            return self._start(bound, caller, accepted, None)
        self._authorise(bound, caller, accepted)
        if bound.quick is not None:
            return bound.quick(*accepted)
        value = self._act(bound, caller, accepted, None)
        if self._journalled:
            return Later(self._durably(Later(value) if inspect.isawaitable(value) else value))
        return Later(value) if inspect.isawaitable(value) else value

    async def _durably(self, value: Any) -> Any:
        """A value, once everything written before is durable."""
        result = await value if inspect.isawaitable(value) else value
        await self.store.durable(self.store.revision)
        return result

    # Both

    def _authorise(self, bound: Bound, caller: Caller, args: list[Any]) -> None:
        """Role, then references. RBAC_PERMISSION_DENIED, HANDLE_INVALID."""
        self._check_role(bound, caller, args)
        bound.signature.resolve(args)

    def _check_role(self, bound: Bound, caller: Caller, args: list[Any]) -> None:
        """RBAC_PERMISSION_DENIED."""
        if bound.message.session and not caller.local_root:
            allowed = bound.allowed
            if bound.key_rules:
                allowed = key_allows(bound.key_rules, args[1]) or allowed
            if caller.roles.isdisjoint(allowed) or bound.message.pool_internal:
                raise self._denied(bound, caller, args, allowed)
            if bound.own and args[0] != caller.session and not may(caller, ADMINS):
                raise self._denied(bound, caller, args, ADMINS)

    def _denied(self, bound: Bound, caller: Caller, args: list[Any], allowed: frozenset[str]) -> ApiError:
        self._audit.add(caller, "API", bound.name, "DENIED", self._named(bound, args))
        return refusal(bound.name, allowed)

    def _named(self, bound: Bound, args: Sequence[Any]) -> list[str]:
        """The objects a message is about, as the audit log tells them."""
        found = []
        for position, name in bound.objects:
            version = self.store.find(args[position])
            if version is not None:
                label = f"{quoted(version['name_label'])} " if "name_label" in version.values else ""
                found.append(f"{name} {label}{version.values.get('uuid', '')} {version.ref}")
        return found

    def _act(self, bound: Bound, caller: Caller, args: list[Any], peer: Peer | None) -> Any:
        """The value of a message, or an awaitable of it. NOT_IMPLEMENTED [name]."""
        if not bound.audited:
            return self._behave(bound, caller, args, peer)
        objects = self._named(bound, args)  # as they were: some are gone afterwards
        try:
            value = self._behave(bound, caller, args, peer)
        except Exception as error:
            self._audit.add(caller, "API", bound.name, _outcome(error), objects)
            raise
        if inspect.isawaitable(value):
            return self._audited(bound, caller, objects, Later(value))
        self._audit.add(caller, "API", bound.name, "OK", objects)
        return value

    async def _audited(self, bound: Bound, caller: Caller, objects: list[str], value: Awaitable[Any]) -> Any:
        try:
            result = await value
        except BaseException as error:
            self._audit.add(caller, "API", bound.name, _outcome(error), objects)
            raise
        self._audit.add(caller, "API", bound.name, "OK", objects)
        return result

    def _behave(self, bound: Bound, caller: Caller, args: list[Any], peer: Peer | None) -> Any:
        if bound.handler is not None:
            return bound.handler(self._context(bound, caller, peer), *args)
        if bound.plan:
            return self.engine.perform(bound.name, args, caller)
        if bound.plain is not None:
            return bound.plain(*args)
        raise E.NOT_IMPLEMENTED(bound.name)

    def _context(self, bound: Bound, caller: Caller, peer: Peer | None) -> CallContext:
        if peer is None:
            return CallContext(caller, bound.name, self.services)
        place = peer.transport, peer.address, peer.host, peer.certificate
        return CallContext(caller, bound.name, self.services, *place)

    def _start(self, bound: Bound, caller: Caller, args: list[Any], peer: Peer | None) -> str:
        """Start a message as a task; its reference at once."""
        if not bound.message.asynchronous or bound.name in UNRECORDED:
            raise NoAsyncError(bound.name)
        self._authorise(bound, caller, args)
        if not bound.implemented:
            raise E.NOT_IMPLEMENTED(bound.name)
        if bound.plan:
            task = self.engine.launch(bound.name, args, caller)
            if bound.audited:  # nothing has been done yet
                objects = [*self._named(bound, args), f"task {self.store.get(task)['uuid']} {task}"]
                self._audit.add(caller, "API", f"Async.{bound.name}", "STARTED", objects)
            return task
        return self.engine.launch(bound.name, args, caller, lambda: self._act(bound, caller, args, peer))

    def _start_on_copy(self, bound: Bound, caller: Caller, database: DatabaseReader, params: list[Any]) -> str:
        """As `_start`, for messages that a copy answers. The task is one of this pool."""
        if not bound.message.asynchronous:
            raise NoAsyncError(bound.name)
        act = self._on_copy(bound, caller, database, params)
        return self.engine.launch(bound.name, (), caller, act)

    def _describe(self, error: Exception, bound: Bound | None, caller: Caller) -> list[str]:
        """The wire form of a failure."""
        if isinstance(error, ApiError):
            return error.description
        if isinstance(error, Mismatch):
            return E.INTERNAL_ERROR(f'Failure("{error}")').description
        if isinstance(error, NoAsyncError):
            return ["Fault", f"No async mode for this operation (rpc: {error})"]
        name = bound.name if bound is not None else "a call"
        number = incident(log, f"{name} failed: our bug\n{_safe_traceback(error, bound, caller)}")
        return E.INTERNAL_ERROR(f"{type(error).__name__} (log id {number})").description


async def _timed(reply: Awaitable[bytes], timing: Timing, began: float) -> bytes:
    """A reply that has to be waited for, which its message's timing counts."""
    try:
        return await reply
    finally:
        timing.add(time.perf_counter() - began)


def _outcome(error: BaseException) -> str:
    """How a call failed, in a word."""
    return f"ERROR:{error.code if isinstance(error, ApiError) else type(error).__name__}"


def _safe_traceback(error: Exception, bound: Bound | None, caller: Caller) -> str:
    """Where it happened; what it said, unless that may hold a secret parameter. Never the session's reference."""
    lines: Iterable[str]
    if bound is None or bound.message.secret:
        lines = (*traceback.format_tb(error.__traceback__), type(error).__name__)
    else:
        lines = traceback.format_exception(error)
    text = "".join(lines)
    return text.replace(caller.session, "(session)") if caller.session else text
